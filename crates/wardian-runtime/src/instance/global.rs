//! Globals of a store as values. Each has 16 bytes, in an instance or in the store's arena.

use crate::error::UsageKind;
use crate::ids::InstanceId;
use crate::store::global::GlobalAt;
use crate::store::inner::StoreInner;
use crate::value::Global;
use crate::value::Val;
use crate::{Error, Result};
use wardian_types::{GlobalIndex, GlobalType, ValType};

impl Global {
    /// Where it lies, for an instance that imports it.
    pub(crate) fn at(&self) -> GlobalAt {
        self.at
    }
}

impl StoreInner {
    /// A global of the host's.
    ///
    /// # Errors
    ///
    /// The value is not of the type, or belongs to another store.
    pub fn add_global(&mut self, ty: &GlobalType, value: &Val) -> Result<Global> {
        let slots = self.global_words(ty, value)?;
        let at = self.add_global_words(ty, slots);
        Ok(Global { store: self.id(), at, ty: *ty })
    }

    /// A value as a global of a type holds it.
    fn global_words(&mut self, ty: &GlobalType, value: &Val) -> Result<[u64; 2]> {
        self.check_value(value, ty.content).map_err(|found| {
            Error::usage(UsageKind::Type, format!("a {found} is no value of type {}", ty.content))
        })?;
        let mut slots = [0; 2];
        self.write_value(value, &mut slots)?;
        Ok(slots)
    }

    /// The same of a value as guests hold it.
    pub(crate) fn add_global_words(&mut self, ty: &GlobalType, words: [u64; 2]) -> GlobalAt {
        self.entities.globals_mut().add(ty, words)
    }

    /// A global of an instance by its index there.
    pub fn instance_global(&self, instance: InstanceId, index: GlobalIndex) -> Global {
        let (at, ty) = self.entities[instance].global(index);
        Global { store: self.id(), at: GlobalAt(at), ty }
    }

    /// The value of a global of this store.
    pub fn global_get(&self, global: &Global) -> Val {
        assert_eq!(global.store, self.id());
        let at = global.at.0;
        // SAFETY: globals live as long as their store, which this is, have 16 bytes, and hold a
        // value of their type.
        unsafe {
            let wide = global.ty.content == ValType::V128;
            let slots = [at.read(), if wide { at.add(1).read() } else { 0 }];
            self.read_value(global.ty.content, &slots)
        }
    }

    /// Sets a global of this store to a value.
    ///
    /// # Errors
    ///
    /// The value is not of the global's type, or of another store.
    pub fn global_set(&mut self, global: &Global, value: &Val) -> Result<()> {
        assert_eq!(global.store, self.id());
        let slots = self.global_words(&global.ty, value)?;
        let at = global.at.0;
        // SAFETY: as above; guests do not run while the store is borrowed.
        unsafe {
            at.write(slots[0]);
            if global.ty.content == ValType::V128 {
                at.add(1).write(slots[1]);
            }
        }
        Ok(())
    }
}
