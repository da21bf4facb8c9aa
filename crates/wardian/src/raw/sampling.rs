//! A store gives its samples a place.

use super::instance::MemoryRef;
use super::store::StoreInner;
use crate::error::UsageKind;
use crate::module::ModuleInner;
use crate::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard};
use wardian_vm::samples::chain::{Bytes, Chain};
use wardian_vm::samples::{self, SampleRing};

/// Where samples of a store's guests go.
#[derive(Clone)]
pub(crate) struct SamplePlace {
    pub(crate) ring: Arc<SampleRing>,
    /// The modules of a store that has gone, without which its samples could not be resolved.
    pub(crate) modules: Arc<Mutex<Vec<Arc<ModuleInner>>>>,
    /// The first memories of the store's instances, as far as they can be read from other threads. Empty once the
    /// store goes; who reads one holds the lock.
    memories: Arc<Mutex<Vec<InstanceMemory>>>,
}

/// A memory of an instance that does not move.
struct InstanceMemory {
    module: Arc<ModuleInner>,
    bytes: Bytes,
}

impl SamplePlace {
    pub(crate) fn new(ring: Arc<SampleRing>) -> SamplePlace {
        SamplePlace { ring, modules: Arc::default(), memories: Arc::default() }
    }

    fn memories(&self) -> MutexGuard<'_, Vec<InstanceMemory>> {
        self.memories.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The modules of instances whose memory can be read, in the order of [`SamplePlace::copy`].
    pub(crate) fn memory_modules(&self) -> Vec<Arc<ModuleInner>> {
        self.memories().iter().map(|memory| memory.module.clone()).collect()
    }

    /// The size of one of the memories; zero once the store has gone.
    pub(crate) fn memory_len(&self, index: usize) -> usize {
        self.memories().get(index).map_or(0, |memory| memory.bytes.len())
    }

    /// Copies bytes of one of the memories. Says whether they are there.
    pub(crate) fn copy(&self, index: usize, at: usize, into: &mut [u8]) -> bool {
        self.memories().get(index).is_some_and(|memory| memory.bytes.copy(at, into))
    }

    /// Has each further sample show what a chain in one of the memories leads to. Says whether it does.
    pub(crate) fn follow(&self, index: usize, chain: Chain) -> bool {
        let memories = self.memories();
        let Some(memory) = memories.get(index) else { return false };
        // SAFETY: memories that are here belong to the store that has the ring, and stay as long as it does.
        unsafe { self.ring.follow(chain, memory.bytes) }
    }
}

impl StoreInner {
    /// Makes a place the one for samples of this store's guests.
    pub(crate) fn start_sampling(&mut self, place: &SamplePlace) -> Result<()> {
        if self.samples.as_ref().is_some_and(|samples| samples.ring.is_active()) {
            return Err(Error::usage(UsageKind::Duplicate, "the store has a sampler already"));
        }
        self.keep_sampled();
        // SAFETY: this thread has the store. The ring is kept below until another has been given, or
        // until the store goes, when nobody runs a guest of it.
        unsafe { samples::attach(self.ctx(), &place.ring) };
        self.samples = Some(place.clone());
        for instance in 0..self.instances.len() as u32 {
            self.note_sampled_memory(instance);
        }
        Ok(())
    }

    /// Lets those who sample the store read the first memory of an instance, if it is the instance's alone and does
    /// not move.
    pub(super) fn note_sampled_memory(&self, instance: u32) {
        let Some(place) = &self.samples else { return };
        let data = &self.instances[instance as usize];
        let Some(MemoryRef::Own(own)) = data.memories.first() else { return };
        let memory = &self.memories[*own as usize];
        if memory.is_custom() || !memory.is_guarded() {
            return;
        }
        // SAFETY: guarded memories of the engine's own never move, and their length is in an instance of this store,
        // or beside the memory, until the store goes. Before that the place gives them up; handlers read
        // only while a guest of the store runs.
        let bytes = unsafe { Bytes::new(memory.base(), &raw const (*memory.vm().as_ptr()).len) };
        place.memories().push(InstanceMemory { module: data.module.clone(), bytes });
    }

    /// Passes the modules of all instances to those who have samples of them.
    pub(super) fn keep_sampled(&self) {
        let Some(place) = &self.samples else { return };
        place.memories().clear();
        let mut modules: Vec<_> = self.instances.iter().map(|i| i.module.clone()).collect();
        modules.sort_by_key(Arc::as_ptr);
        modules.dedup_by_key(|module| Arc::as_ptr(module));
        place.modules.lock().unwrap_or_else(|e| e.into_inner()).append(&mut modules);
    }
}
