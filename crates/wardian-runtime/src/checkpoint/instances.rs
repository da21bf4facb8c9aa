//! Making the instances of a checkpoint, with their memories, tables and globals.

use super::unusable;
use super::values::ValueReader;
use crate::Result;
use crate::checkpoint::state::{
    ExceptionState, GlobalState, ImportState, InstanceState, Item, ObjectState, SegmentState,
    Shared, State, TableState, Value,
};
use crate::error::LimitKind;
use crate::ids::InstanceId;
use crate::instance::instantiate::Options;
use crate::instance::link::{self, Definition, Lookup};
use crate::module::ModuleInner;
use crate::store::inner::{Embedder, StoreData};
use crate::value::Extern;
use std::any::TypeId;
use std::sync::Arc;
use wardian_module::{ItemIndex, engine_type};
use wardian_types::{FieldIndex, FuncIndex, GlobalIndex, ValType};

impl<T: Embedder> StoreData<T> {
    /// Makes an instance, without running its start function. `given` says what those of its imports are that no
    /// earlier instance has.
    pub(super) fn restore_instance(
        &mut self,
        state: &InstanceState,
        module: &Arc<ModuleInner>,
        data: TypeId,
        given: impl FnOnce(&mut Self, &[ImportState], &Arc<ModuleInner>) -> Result<Vec<Lookup>>,
    ) -> Result<()> {
        let imports = &module.decoded.info().imports;
        if imports.len() != state.imports.len() {
            return Err(unusable("an instance has another number of imports than its module"));
        }
        let options = Options { name: state.name.as_deref(), ..Options::default() };
        let before = self.inner.entities.instances().len();
        let mut definitions = given(self, &state.imports, module)?;
        if self.inner.entities.instances().len() != before {
            return Err(unusable(
                "an import resolver has made an instance, which has no place in the checkpoint",
            ));
        }
        for ((import, what), found) in imports.iter().zip(&state.imports).zip(&mut definitions) {
            if let ImportState::Item(item) = what {
                *found = Lookup::Found(Definition::Extern(self.item(*item, import.item)?));
            }
        }
        let imports = link::check(&self.inner, data, module, definitions)?;
        self.prepare_instance(module, imports, &options)?;
        Ok(())
    }

    /// What an instance has, of the same kind as `like`.
    fn item(&mut self, item: Item, like: ItemIndex) -> Result<Extern> {
        let instance = item.instance();
        let data = self.inner.entities.instances().get(instance);
        let data = data.ok_or_else(|| unusable(format!("there is no instance {instance}")))?;
        let info = data.module().decoded.info();
        let (index, count) = match like {
            ItemIndex::Func(_) => (ItemIndex::Func(item.index()), info.functions.len()),
            ItemIndex::Table(_) => (ItemIndex::Table(item.index()), info.tables.len()),
            ItemIndex::Memory(_) => (ItemIndex::Memory(item.index()), info.memories.len()),
            ItemIndex::Global(_) => (ItemIndex::Global(item.index()), info.globals.len()),
            ItemIndex::Tag(_) => (ItemIndex::Tag(item.index()), info.tags.len()),
        };
        if item.index::<FuncIndex>().index() >= count {
            return Err(unusable(format!("there is no {index:?} in instance {instance}")));
        }
        Ok(self.inner.instance_item(instance, index))
    }

    /// Makes the objects and the exceptions.
    pub(super) fn restore_objects(
        &mut self,
        state: &State,
        modules: &[Arc<ModuleInner>],
        shared: Vec<Shared>,
    ) -> Result<ValueReader> {
        let mut values = ValueReader::default();
        self.allocate_objects(&state.objects, modules, &mut values)?;
        // From here on nothing is allocated, so that nothing is collected.
        values.share(&mut self.inner, shared)?;
        self.make_exceptions(&state.exceptions, &mut values)?;
        // Each may refer to each, so they are filled when all of them are there.
        self.fill_exceptions(&state.exceptions, &values)?;
        self.fill_objects(&state.objects, &values)?;
        Ok(values)
    }

    fn allocate_objects(
        &mut self,
        objects: &[ObjectState],
        modules: &[Arc<ModuleInner>],
        values: &mut ValueReader,
    ) -> Result<()> {
        for ObjectState { module, ty, values: fields } in objects {
            let module = modules.get(module.index());
            let number = module.and_then(|module| module.signatures.get(*ty));
            let number = *number.ok_or_else(|| unusable("an object is of an unknown type"))?;
            let (inner, limiter) = self.split();
            if inner.known_object_type(number).is_none() {
                return Err(unusable("an object is of a type that is no type of objects"));
            }
            let object = inner.allocate_of(number, fields.len(), limiter)?;
            values.objects.push(object);
        }
        Ok(())
    }

    fn make_exceptions(
        &mut self,
        exceptions: &[ExceptionState],
        values: &mut ValueReader,
    ) -> Result<()> {
        for ExceptionState { tag, values: carried } in exceptions {
            let data = self.inner.entities.instances().get(tag.instance());
            let tag = data.and_then(|data| data.tags().get(tag.index()).copied());
            let tag = tag.ok_or_else(|| unusable("an exception has an unknown tag"))?;
            let slots = self.inner.tag_type(tag).param_slots();
            values.exceptions.push(self.inner.exceptions.restore(tag, slots));
            let count = self.inner.tag_type(tag).params().len();
            if carried.len() != count {
                return Err(unusable("an exception has another number of values than its tag"));
            }
        }
        Ok(())
    }

    fn fill_exceptions(
        &mut self,
        exceptions: &[ExceptionState],
        values: &ValueReader,
    ) -> Result<()> {
        for (state, handle) in exceptions.iter().zip(values.exceptions.iter().copied()) {
            let (tag, _) = self.inner.exceptions.get(handle).expect("it was made just now");
            let types = self.inner.tag_type(tag).params().to_vec();
            let mut slots = Vec::new();
            for (ty, value) in types.iter().zip(&state.values) {
                let words = values.slots(&mut self.inner, *ty, *value, false)?;
                slots.extend_from_slice(&words[..ty.slots()]);
            }
            self.inner.exceptions.set_values(handle, &slots);
        }
        Ok(())
    }

    fn fill_objects(&mut self, objects: &[ObjectState], values: &ValueReader) -> Result<()> {
        for (state, object) in objects.iter().zip(&values.objects) {
            for (index, value) in state.values.iter().enumerate() {
                let index = FieldIndex::from_usize(index);
                let ty = self.inner.field_type(object, index)?;
                let words = values.slots(&mut self.inner, ty, *value, false)?;
                self.inner.fill_field(object, index, words)?;
            }
        }
        Ok(())
    }

    /// Brings the tables to their size and elements.
    pub(super) fn restore_tables(
        &mut self,
        tables: &[TableState],
        values: &ValueReader,
    ) -> Result<()> {
        for TableState { item, len, runs } in tables {
            let (inner, limiter) = self.split();
            let data = inner.entities.instances().get(item.instance());
            let table = data.and_then(|data| data.tables().get(item.index()).copied());
            let table = table.ok_or_else(|| unusable(format!("there is no table {item:?}")))?;
            let data = &mut inner.entities[table];
            let ty = ValType::Ref(data.ty().element);
            let more = len.checked_sub(data.len() as u64).ok_or_else(|| {
                unusable(format!("a table has {} elements; it is to have {len}", data.len()))
            })?;
            let nullable = data.ty().element.nullable;
            // The embedder can reach the table even after an error, so a table of non-null elements never holds null.
            if !nullable && !covers(runs, *len) {
                return Err(unusable("a table whose elements cannot be null has null"));
            }
            let mut words = Vec::new();
            for (start, run) in runs {
                for (at, value) in (*start..).zip(run) {
                    if at >= *len {
                        return Err(unusable("an element is outside of its table"));
                    }
                    words.push((at, values.slots(inner, ty, *value, false)?[0]));
                }
            }
            let data = &mut inner.entities[table];
            if more > 0 && data.grow(more, limiter)?.is_none() {
                return Err(crate::Error::limit(
                    LimitKind::Store,
                    format!("a table of {len} elements is refused"),
                ));
            }
            let elements = data.elements_mut();
            if nullable {
                elements.fill(0);
            }
            for (at, word) in words {
                elements[at as usize] = word;
            }
        }
        Ok(())
    }

    /// Sets the globals. `are_ours` says that those which instances import were made for this store too.
    pub(super) fn restore_globals(
        &mut self,
        globals: &[GlobalState],
        values: &ValueReader,
        are_ours: bool,
    ) -> Result<()> {
        for GlobalState { item, value } in globals {
            let inner = &mut self.inner;
            let data = inner.entities.instances().get(item.instance());
            let index = item.index::<GlobalIndex>();
            let data =
                data.filter(|data| index.index() < data.module().decoded.info().globals.len());
            let data = data.ok_or_else(|| unusable(format!("there is no global {item:?}")))?;
            let (at, ty) = data.global(index);
            let imported = data.module().decoded.info().imported_globals;
            let words = values.slots(inner, ty.content, *value, false)?;
            let wide = ty.content == ValType::V128;
            // SAFETY: globals live as long as their store and have 16 bytes; no guest runs. The value is one of the
            // global's type.
            unsafe {
                let same = at.read() == words[0] && (!wide || at.add(1).read() == words[1]);
                if !ty.mutable && index.as_u32() < imported && !are_ours {
                    if !same && !ty.content.is_ref() {
                        return Err(unusable(
                            "a global that the embedder gives has another value than before, and cannot be set",
                        ));
                    }
                    continue;
                }
                at.write(words[0]);
                if wide {
                    at.add(1).write(words[1]);
                }
            }
        }
        Ok(())
    }

    /// Sets which segments were dropped, and the elements of those that have objects.
    pub(super) fn restore_segments(
        &mut self,
        instances: &[InstanceState],
        values: &ValueReader,
    ) -> Result<()> {
        for (instance, state) in instances.iter().enumerate() {
            let instance = InstanceId::from_usize(instance);
            let data = &mut self.inner.entities[instance];
            data.segments_mut()
                .restore_dropped(&state.dropped_elements, &state.dropped_data)
                .map_err(unusable)?;
            for SegmentState { segment, elements } in &state.elements {
                let module = self.inner.entities[instance].module().clone();
                let missing = || unusable("there is no such segment with objects");
                let known = module.decoded.info().elements.get(*segment).ok_or_else(missing)?;
                if known.items.len() != elements.len() {
                    return Err(missing());
                }
                let ty = engine_type(ValType::Ref(known.element), &module.signatures);
                let mut words = Vec::with_capacity(elements.len());
                for value in elements {
                    words.push(values.slots(&mut self.inner, ty, *value, false)?[0]);
                }
                let own = self.inner.entities[instance].segments_mut();
                own.objects(*segment).ok_or_else(missing)?;
                own.set_objects(*segment, words.into());
            }
        }
        Ok(())
    }
}

/// Whether the runs are contiguous and make up a table of this length.
fn covers(runs: &[(u64, Vec<Value>)], len: u64) -> bool {
    let mut end = 0;
    for (start, run) in runs {
        if *start != end {
            return false;
        }
        end += run.len() as u64;
    }
    end == len
}
