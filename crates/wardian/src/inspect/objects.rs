//! Objects of garbage collection, and values found by a path, as those who look into an instance see them.

use super::{InternalModule, Source};
use crate::error::UsageKind;
use crate::handles::AnyRef;
use crate::value::Val;
use crate::{Error, Result};
use wardian_runtime::gc::objects::Referent;
use wardian_runtime::ids::InstanceId;
use wardian_runtime::store::inner::StoreInner;
use wardian_types::{FieldIndex, FieldType, HeapType};

/// A struct or an array, to be read: see [`InternalModule::object`].
#[derive(Clone)]
pub struct ObjectView<'a> {
    store: &'a StoreInner,
    /// The instance whose module gives the names.
    instance: InstanceId,
    object: AnyRef,
    ty: HeapType,
    fields: &'a [FieldType],
    /// Of an array.
    length: Option<u32>,
}

impl<'a> InternalModule<'a> {
    /// A struct or an array, to be read without the store, with the names that this module has for its type and its
    /// fields. None for integers of 31 bits and for values of the embedder's; for what is of another store, or gone;
    /// and of a double.
    pub fn object(&self, value: &AnyRef) -> Option<ObjectView<'a>> {
        let Source::Live { store, instance } = self.0 else { return None };
        let length = match store.referent(&value.0).ok()? {
            Referent::Struct { .. } => None,
            Referent::Array { length, .. } => Some(length),
            Referent::Integer(_) | Referent::Extern => return None,
        };
        let ty = store.heap_type_of(&value.0).ok()?;
        let fields = store.object_type(store.reference_of(&value.0).ok()?)?.fields();
        Some(ObjectView { store, instance, object: value.clone(), ty, fields, length })
    }

    /// The value at a path, for tools and people: a global or an element of a table, and from there through fields of
    /// structs and elements of arrays.
    ///
    /// A path begins with `global` or `table`. A step is `.name` or `[number]`; a name with other characters than letters,
    /// digits, `_`, `$` and `-` is written `."name"`, without escapes. Globals, tables and fields have the names of the
    /// module's name section, globals and tables also those that they are exported by.
    ///
    /// ```
    /// use wardian::{Engine, Instance, Module, Store};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, br#"(module
    ///     (type $list (struct (field $value i32) (field $next (ref null 0))))
    ///     (global $head (ref null $list)
    ///         (struct.new $list (i32.const 1) (struct.new $list (i32.const 2) (ref.null $list)))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let value = instance.internal(&store).value_at("global.head.next.value")?;
    /// assert_eq!(value.i32(), Some(2));
    /// assert_eq!(instance.internal(&store).value_at("global[0][1][0]")?.i32(), Some(2));
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The path is malformed, or leads to no value: the error says how far it can be followed.
    pub fn value_at(&self, path: &str) -> Result<Val> {
        let mut steps = Steps { path, at: 0 };
        let root = steps.word();
        let mut value = match root {
            "global" => {
                let index = steps.item("global", |name| self.global_index(name))?;
                self.global(index).ok_or_else(|| steps.nothing(format!("global {index}")))?
            }
            "table" => {
                let table = steps.item("table", |name| self.table_index(name))?;
                let Some(Step::Number(element)) = steps.next()? else {
                    return Err(steps.malformed("the number of an element in brackets"));
                };
                let found = self.table_element(table, element);
                found.ok_or_else(|| steps.nothing(format!("element {element} of table {table}")))?
            }
            _ => return Err(steps.malformed("`global` or `table`")),
        };
        loop {
            let before = steps.at;
            let Some(step) = steps.next()? else { return Ok(value) };
            value = self.step(&value, step).map_err(|why| {
                let (found, rest) = path.split_at(before);
                Error::usage(
                    UsageKind::NotFound,
                    format!("`{rest}` leads to nothing: `{found}` is {why}"),
                )
            })?;
        }
    }

    /// The value that a step leads to; or, if it leads to none, what the value before it is.
    fn step(&self, value: &Val, step: Step<'_>) -> Result<Val, String> {
        let Val::AnyRef(reference) = value else { return Err(format!("an {}", value.ty())) };
        let reference = reference.as_ref().ok_or("null")?;
        let object = self.object(reference).ok_or_else(|| match reference.as_i31() {
            Some(_) => "an integer",
            None => "a value of the host's",
        })?;
        let index = match step {
            Step::Number(number) => usize::try_from(number).ok(),
            Step::Name(name) => object.field_index(name),
        };
        let found = index.and_then(|index| object.get(index));
        found.ok_or_else(|| match object.length {
            Some(length) => format!("an array of {length} elements"),
            None => {
                let named = |i| object.field_name(i).map_or(i.to_string(), str::to_owned);
                let names: Vec<_> = (0..object.len().min(16)).map(named).collect();
                format!("a struct with the fields {}", names.join(", "))
            }
        })
    }
}

impl<'a> ObjectView<'a> {
    /// Its precise type, as one of the engine's.
    pub fn ty(&self) -> HeapType {
        self.ty
    }

    /// Where it is in the heap of its store. Objects do not move, so no two that are alive have the same.
    pub fn address(&self) -> u32 {
        self.store.reference_of(&self.object.0).unwrap_or_default().as_u32()
    }

    /// The name that the module has for its type.
    pub fn type_name(&self) -> Option<&'a str> {
        self.module().type_name(self.ty)
    }

    /// Whether it is an array; else it is a struct.
    pub fn is_array(&self) -> bool {
        self.length.is_some()
    }

    /// How many fields or elements it has.
    pub fn len(&self) -> usize {
        self.length.map_or(self.fields.len(), |length| length as usize)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of a field or an element.
    pub fn field_type(&self, index: usize) -> Option<FieldType> {
        let index = if self.is_array() { 0 } else { index };
        self.fields.get(index).copied()
    }

    /// The name that the module has for a field; none for elements.
    pub fn field_name(&self, index: usize) -> Option<&'a str> {
        self.module().field_name(self.ty, FieldIndex::from_u32(u32::try_from(index).ok()?))
    }

    /// The position of the field with a name.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        (0..self.fields.len()).find(|index| self.field_name(*index) == Some(name))
    }

    /// A field or an element. Those of fewer than 32 bits are extended with zeroes.
    pub fn get(&self, index: usize) -> Option<Val> {
        let index = FieldIndex::saturating_from_usize(index);
        self.store.get_field(&self.object.0, index).ok().map(Val::from)
    }

    /// All fields or elements in order.
    pub fn values(&self) -> impl Iterator<Item = Val> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    fn module(&self) -> &'a wardian_runtime::module::ModuleInner {
        self.store.instance(self.instance).module()
    }
}

impl std::fmt::Debug for ObjectView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectView")
            .field("type", &self.type_name())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A step of a path.
enum Step<'a> {
    Name(&'a str),
    Number(u64),
}

/// What is left of a path.
struct Steps<'a> {
    path: &'a str,
    at: usize,
}

impl<'a> Steps<'a> {
    fn rest(&self) -> &'a str {
        &self.path[self.at..]
    }

    /// The name that begins here; it may be empty.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let is_part = |c: char| c.is_alphanumeric() || "_$-".contains(c);
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// The next step; none at the end.
    fn next(&mut self) -> Result<Option<Step<'a>>> {
        let rest = self.rest();
        let (step, len) = if rest.is_empty() {
            return Ok(None);
        } else if let Some(quoted) = rest.strip_prefix(".\"") {
            let len = quoted.find('"').ok_or_else(|| self.malformed("a closing quote"))?;
            (Step::Name(&quoted[..len]), len + 3)
        } else if let Some(number) = rest.strip_prefix('[') {
            let len = number.find(']').ok_or_else(|| self.malformed("a closing bracket"))?;
            let value = number[..len].parse();
            (Step::Number(value.map_err(|_| self.malformed("a number in brackets"))?), len + 2)
        } else if rest.starts_with('.') {
            self.at += 1;
            (Step::Name(self.word()), 0)
        } else {
            return Err(self.malformed("`.name` or `[number]`"));
        };
        self.at += len;
        Ok(Some(step))
    }

    /// The index that the next step names.
    fn item(&mut self, what: &str, by_name: impl Fn(&str) -> Option<u32>) -> Result<u32> {
        match self.next()? {
            Some(Step::Name(name)) => {
                by_name(name).ok_or_else(|| self.nothing(format!("{what} `{name}`")))
            }
            Some(Step::Number(index)) => {
                u32::try_from(index).map_err(|_| self.nothing(format!("{what} {index}")))
            }
            None => Err(self.malformed("`.name` or `[number]`")),
        }
    }

    fn malformed(&self, wanted: &str) -> Error {
        let (path, at) = (self.path, self.at);
        Error::usage(
            UsageKind::Type,
            format!("path `{path}`: expected {wanted} after `{}`", &path[..at]),
        )
    }

    fn nothing(&self, what: String) -> Error {
        Error::usage(UsageKind::NotFound, format!("path `{}`: there is no {what}", self.path))
    }
}
