//! Opening an instance up, and changing what is in it.

use super::InternalModule;
use crate::error::UsageKind;
use crate::handles::{Func, Instance, Table};
use crate::store::{check_store, same_store};
use crate::value::Val;
use crate::{Error, Result, StoreContext, StoreContextMut};
use wardian_runtime::ids::InstanceId;
use wardian_runtime::store::inner::StoreInner;
use wardian_runtime::store::instance::MemoryRef;
use wardian_types::{FuncIndex, GlobalIndex, MemoryIndex, TableElementIndex, TableIndex};

impl Instance {
    /// The instance opened up for reading.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn internal<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> InternalModule<'a> {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        InternalModule::live(&store.0.inner, self.index)
    }

    /// The instance opened up for reading and writing.
    ///
    /// # Panics
    ///
    /// It belongs to another store.
    pub fn internal_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> InternalModuleMut<'a> {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        InternalModuleMut { store: &mut store.0.inner, instance: self.index }
    }
}

/// An instance as its embedder may change it, against all that its module keeps private: for
/// debuggers, fault injection, and tools that carry state.
#[derive(Debug)]
pub struct InternalModuleMut<'a> {
    store: &'a mut StoreInner,
    instance: InstanceId,
}

impl InternalModuleMut<'_> {
    /// The same for reading.
    pub fn as_internal(&self) -> InternalModule<'_> {
        InternalModule::live(self.store, self.instance)
    }

    /// Sets a global, even an immutable one. Code that was compiled with an immutable global reads
    /// it anew each time it is entered, not necessarily more often.
    ///
    /// # Errors
    ///
    /// There is no such global, the value is of another type, or a function of another store.
    pub fn set_global(&mut self, index: u32, value: &Val) -> Result<()> {
        let ty = self.as_internal().global_type(index);
        let ty = ty.ok_or_else(|| {
            Error::usage(UsageKind::NotFound, format!("there is no global {index}"))
        })?;
        let value = value.clone().into();
        crate::global::check_value(self.store, &ty, &value)?;
        let global = self.store.instance_global(self.instance, GlobalIndex::from_u32(index));
        Ok(self.store.global_set(&global, &value)?)
    }

    /// The bytes of a memory by its index.
    ///
    /// # Errors
    ///
    /// There is no such memory, or it is shared: then see [`super::MemoryView::shared`].
    pub fn memory_mut(&mut self, index: u32) -> Result<&mut [u8]> {
        match self.store.instance(self.instance).memories().get(MemoryIndex::from_u32(index)) {
            Some(MemoryRef::Own(own)) => Ok(self.store.memory_mut(*own).bytes_mut()),
            Some(MemoryRef::Shared(_)) => Err(Error::usage(
                UsageKind::State,
                format!("memory {index} is shared; it can only be written through SharedMemory"),
            )),
            None => Err(Error::usage(UsageKind::NotFound, format!("there is no memory {index}"))),
        }
    }

    /// Sets an element of a table by the table's index.
    ///
    /// # Errors
    ///
    /// There is no such table or element, or the value is not of the element type.
    pub fn set_table_element(&mut self, table: u32, element: u64, value: &Val) -> Result<()> {
        let tables = self.store.instance(self.instance).tables();
        let index = tables.get(TableIndex::from_u32(table)).copied();
        let index = index.ok_or_else(|| {
            Error::usage(UsageKind::NotFound, format!("there is no table {table}"))
        })?;
        let table = Table { store: self.store.id(), index };
        check_store(self.store, table.store)?;
        let element = TableElementIndex::from_u64(element);
        Ok(self.store.table_set(table.index, element, &value.clone().into())?)
    }

    /// A function by its index, to be called by the embedder, exported or not.
    ///
    /// # Errors
    ///
    /// There is no such function.
    pub fn func(&mut self, index: u32) -> Result<Func> {
        if index as usize >= self.as_internal().num_functions() {
            return Err(Error::usage(UsageKind::NotFound, format!("there is no function {index}")));
        }
        let func = self.store.instance_func(self.instance, FuncIndex::from_u32(index));
        Ok(Func { store: self.store.id(), index: func })
    }
}
