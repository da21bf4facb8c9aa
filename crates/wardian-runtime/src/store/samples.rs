//! Where samples of a store's guests go.

use crate::module::ModuleInner;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};
use wardian_types::GuestAddr;
use wardian_vm::samples::chain::{Bytes, Chain};
use wardian_vm::samples::scan::Scan;
use wardian_vm::samples::{Followed, SampleRing};

/// Where samples of a store's guests go.
#[derive(Clone)]
pub struct SamplePlace {
    /// Where they are written.
    pub ring: Arc<SampleRing>,
    /// The modules of a store that has gone, without which its samples could not be resolved.
    pub modules: Arc<Mutex<Vec<Arc<ModuleInner>>>>,
    /// The first memories of the store's instances, as far as they can be read from other threads. Empty once the
    /// store goes; who reads one holds the lock.
    memories: Arc<Mutex<Vec<InstanceMemory>>>,
}

wardian_types::index_types! {
    /// A memory whose bytes can be read while its guest runs: see [`SamplePlace::memory_modules`].
    pub struct SampledMemory;
}

/// A memory of an instance that does not move.
pub(crate) struct InstanceMemory {
    pub(crate) module: Arc<ModuleInner>,
    pub(crate) bytes: Bytes,
    /// Global 0, if it is of the type `i32`.
    pub(crate) stack_pointer: Option<StackPointer>,
}

/// The address of a global, which stays as long as its store.
#[derive(Clone, Copy)]
pub(crate) struct StackPointer(pub(crate) NonNull<u32>);

// SAFETY: it is read only by handlers of the thread that runs the store's guest.
unsafe impl Send for StackPointer {}

impl SamplePlace {
    /// A place for samples in this ring.
    pub fn new(ring: Arc<SampleRing>) -> SamplePlace {
        SamplePlace { ring, modules: Arc::default(), memories: Arc::default() }
    }

    pub(crate) fn memories(&self) -> MutexGuard<'_, Vec<InstanceMemory>> {
        self.memories.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The modules of instances whose memory can be read, in the order of [`SampledMemory`].
    pub fn memory_modules(&self) -> Vec<Arc<ModuleInner>> {
        self.memories().iter().map(|memory| memory.module.clone()).collect()
    }

    /// The size of one of the memories; zero once the store has gone.
    pub fn memory_len(&self, memory: SampledMemory) -> usize {
        self.memories().get(memory.index()).map_or(0, |memory| memory.bytes.len())
    }

    /// Copies bytes of one of the memories. Says whether they are there.
    pub fn copy(&self, memory: SampledMemory, at: GuestAddr, into: &mut [u8]) -> bool {
        self.memories().get(memory.index()).is_some_and(|memory| memory.bytes.copy(at, into))
    }

    /// Has each further sample show what a chain in one of the memories leads to. Says whether it does.
    pub fn follow(&self, memory: SampledMemory, chain: Chain) -> bool {
        let memories = self.memories();
        let Some(memory) = memories.get(memory.index()) else { return false };
        // SAFETY: memories that are here belong to the store that has the ring, and stay as long as it does.
        unsafe { self.ring.follow(Followed::Chain(chain), memory.bytes) }
    }

    /// Has each further sample show words in a range, of the stack in one of the memories to which global 0 of its instance
    /// points. Says whether it does.
    pub fn scan(&self, memory: SampledMemory, words: Range<u32>) -> bool {
        let memories = self.memories();
        let Some(memory) = memories.get(memory.index()) else { return false };
        let Some(StackPointer(pointer)) = memory.stack_pointer else { return false };
        // SAFETY: globals and memories that are here belong to the store that has the ring, and stay as long as it does.
        unsafe {
            let scan = Scan::new(pointer.as_ptr(), words);
            self.ring.follow(Followed::Scan(scan), memory.bytes)
        }
    }
}
