//! Beginning and ending to sample the guests of a store.

use crate::error::UsageKind;
use crate::ids::InstanceId;
use crate::store::inner::StoreInner;
use crate::store::instance::MemoryRef;
use crate::store::samples::{InstanceMemory, SamplePlace, StackPointer};
use crate::{Error, Result};
use std::sync::Arc;
use wardian_types::{GlobalIndex, MemoryIndex, ValType};
use wardian_vm::samples::chain::Bytes;
use wardian_vm::samples::{self};

impl StoreInner {
    /// Makes a place the one for samples of this store's guests.
    pub fn start_sampling(&mut self, place: &SamplePlace) -> Result<()> {
        if self.samples.as_ref().is_some_and(|samples| samples.ring.is_active()) {
            return Err(Error::usage(UsageKind::Duplicate, "the store has a sampler already"));
        }
        self.keep_sampled();
        // SAFETY: this thread has the store. The ring is kept below until another has been given, or
        // until the store goes, when nobody runs a guest of it.
        unsafe { samples::attach(self.ctx(), &place.ring) };
        self.samples = Some(place.clone());
        for instance in 0..self.entities.instances().len() as u32 {
            self.note_sampled_memory(InstanceId::from_u32(instance));
        }
        Ok(())
    }

    /// Lets those who sample the store read the first memory of an instance, if it is the instance's alone and does
    /// not move.
    pub(crate) fn note_sampled_memory(&self, instance: InstanceId) {
        let Some(place) = &self.samples else { return };
        let data = &self.entities[instance];
        let Some(MemoryRef::Own(own)) = data.memories().get(MemoryIndex::FIRST) else { return };
        let memory = &self.entities[*own];
        if memory.is_custom() || !memory.is_guarded() {
            return;
        }
        // SAFETY: guarded memories of the engine's own never move, and their length is in an instance of this store,
        // or beside the memory, until the store goes. Before that the place gives them up; handlers read
        // only while a guest of the store runs.
        let bytes = unsafe { Bytes::new(memory.base(), &raw const (*memory.vm().as_ptr()).len) };
        let globals = (0..data.module().decoded.info().globals.len().min(1) as u32)
            .map(|index| data.global(GlobalIndex::from_u32(index)))
            .filter(|(_, ty)| ty.content == ValType::I32);
        let stack_pointer = globals.map(|(at, _)| StackPointer(at.cast())).next();
        place.memories().push(InstanceMemory {
            module: data.module().clone(),
            bytes,
            stack_pointer,
        });
    }

    /// Passes the modules of all instances to those who have samples of them.
    pub(crate) fn keep_sampled(&self) {
        let Some(place) = &self.samples else { return };
        place.memories().clear();
        let mut modules: Vec<_> =
            self.entities.instances().iter().map(|i| i.module().clone()).collect();
        modules.sort_by_key(Arc::as_ptr);
        modules.dedup_by_key(|module| Arc::as_ptr(module));
        place.modules.lock().unwrap_or_else(|e| e.into_inner()).append(&mut modules);
    }
}
