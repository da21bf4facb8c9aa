//! Exceptions, as the embedder sees them.

use crate::handles::Tag;
use crate::value::Val;
use std::fmt;
use std::sync::Arc;

/// An exception: a tag, and the values that it carries (core specification, "Exceptions").
///
/// An exception that no guest catches reaches the embedder as an [`crate::Error`], of which
/// [`crate::Error::exception`] gives it. A host function throws one by returning
/// [`crate::Error::exception_with`]:
///
/// ```
/// use wardian::{Engine, Error, Instance, Linker, Module, Store, Tag, TagType, Val, ValType};
///
/// # fn main() -> wardian::Result<()> {
/// let engine = Engine::default();
/// let module = Module::new(&engine, br#"(module
///     (import "host" "full" (tag $full (param i32)))
///     (import "host" "put" (func $put (param i32)))
///     (func (export "try_put") (param i32) (result i32)
///         (block $caught (result i32)
///             (try_table (catch $full $caught) (call $put (local.get 0)))
///             (i32.const -1)))
/// )"#)?;
/// let mut store = Store::new(&engine, ());
/// let full = Tag::new(&mut store, &TagType::new([ValType::I32]))?;
/// let mut linker = Linker::new(&engine);
/// linker.define("host", "full", full)?;
/// linker.func_wrap("host", "put", move |n: i32| match n {
///     0..10 => Ok(()),
///     _ => Err(Error::exception_with(full, [Val::I32(10)])),
/// })?;
/// let instance = linker.instantiate(&mut store, &module)?;
/// let try_put = instance.typed_func::<i32, i32>(&mut store, "try_put")?;
/// assert_eq!(try_put.call(&mut store, 3)?, -1);
/// assert_eq!(try_put.call(&mut store, 30)?, 10);
/// # Ok(())
/// # }
/// ```
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Exception(Arc<Carried>);

struct Carried {
    tag: Tag,
    values: Box<[Val]>,
    /// The tag's name in its module.
    name: Option<String>,
}

impl Exception {
    /// An exception with a tag and values.
    ///
    /// That the values are of the tag's types is checked when the exception reaches a guest.
    pub fn new(tag: Tag, values: impl IntoIterator<Item = Val>) -> Exception {
        Exception::named(tag, values, None)
    }

    pub(crate) fn named(
        tag: Tag,
        values: impl IntoIterator<Item = Val>,
        name: Option<String>,
    ) -> Exception {
        Exception(Arc::new(Carried { tag, values: values.into_iter().collect(), name }))
    }

    /// An exception of the runtime's.
    pub(crate) fn of(exception: &wardian_runtime::exception::Exception) -> &Exception {
        exception.shown(|| {
            let values = exception.values().iter().cloned().map(Val::from);
            Exception::named(exception.tag().into(), values, exception.name().map(str::to_owned))
        })
    }

    /// Its tag.
    pub fn tag(&self) -> Tag {
        self.0.tag
    }

    /// The values that it carries.
    pub fn values(&self) -> &[Val] {
        &self.0.values
    }

    /// Whether both are the same exception, and not only equal ones.
    pub fn same(a: &Exception, b: &Exception) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }
}

#[doc(hidden)]
impl From<Exception> for wardian_runtime::exception::Exception {
    fn from(exception: Exception) -> Self {
        let values = exception.values().iter().cloned().map(Into::into).collect();
        Self::of_embedder(exception.tag().into(), values, exception)
    }
}

impl std::error::Error for Exception {}

impl fmt::Debug for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exception")
            .field("tag", &self.0.tag.index)
            .field("values", &self.0.values)
            .finish()
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("exception ")?;
        match &self.0.name {
            Some(name) => write!(f, "`{name}`")?,
            None => write!(f, "with tag {}", self.0.tag.index)?,
        }
        f.write_str(" (")?;
        for (i, value) in self.0.values.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            match value {
                Val::I32(v) => v.fmt(f)?,
                Val::I64(v) => v.fmt(f)?,
                Val::F32(bits) => f32::from_bits(*bits).fmt(f)?,
                Val::F64(bits) => f64::from_bits(*bits).fmt(f)?,
                Val::V128(v) => write!(f, "{v:#034x}")?,
                Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None) => {
                    f.write_str("null")?;
                }
                other => other.ty().fmt(f)?,
            }
        }
        f.write_str(")")
    }
}
