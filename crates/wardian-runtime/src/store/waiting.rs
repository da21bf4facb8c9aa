//! Atomic waits that guests are in.

use crate::Result;
use crate::ids::InstanceId;
use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardian_types::{GuestAddr, MemoryIndex};
use wardian_vm::addr::OwnerPtr;
use wardian_vm::park::Queued;

/// What takes the checkpoints that somebody wants of a store with data of some type, whose address is passed, while its
/// guest is in an atomic wait.
pub type ServeCheckpoints = unsafe fn(OwnerPtr) -> Result<()>;

/// Checkpoints that other threads wait for.
pub trait CheckpointRequests: Any + Send + Sync {
    /// Whether nobody waits.
    fn is_empty(&self) -> bool;
    /// The store goes.
    fn close(&self);
}

/// The atomic wait that the guest of a store is in, and the checkpoints that other threads wait for, which are taken
/// meanwhile.
#[derive(Default)]
pub(crate) struct Waits {
    waiting: Option<Waiting>,
    /// Once somebody has asked for a checkpoint.
    requests: Option<(Arc<dyn CheckpointRequests>, ServeCheckpoints)>,
}

impl Waits {
    /// What asks for checkpoints of the store, if anybody has.
    pub(crate) fn requests(&self) -> Option<&Arc<dyn CheckpointRequests>> {
        self.requests.as_ref().map(|(requests, _)| requests)
    }

    /// Sets what asks for checkpoints, and what takes them.
    ///
    /// # Safety
    ///
    /// `serve` is for the type of the store's data.
    pub(crate) unsafe fn set_requests(
        &mut self,
        requests: Arc<dyn CheckpointRequests>,
        serve: ServeCheckpoints,
    ) {
        self.requests = Some((requests, serve));
    }

    /// Notifies those who wait for checkpoints that the store goes.
    pub(crate) fn close_requests(&mut self) {
        if let Some((requests, _)) = self.requests.take() {
            requests.close();
        }
    }

    /// What takes the checkpoints that somebody wants, if anybody has asked for one.
    pub(crate) fn serve(&self) -> Option<ServeCheckpoints> {
        self.requests.as_ref().map(|(_, serve)| *serve)
    }

    /// The wait that the guest is in.
    pub(crate) fn current(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// Begins a wait, or none if the guest has no place in the queue; returns whether there is one.
    pub(crate) fn begin(&mut self, waiting: Option<Waiting>) -> bool {
        self.waiting = waiting;
        self.waiting.is_some()
    }

    /// Ends the wait.
    pub(crate) fn end(&mut self) -> Option<Waiting> {
        self.waiting.take()
    }
}

/// An atomic wait in which the guest is.
pub struct Waiting {
    /// The memory, by its index in the instance of the guest.
    pub(crate) memory: MemoryIndex,
    pub(crate) address: GuestAddr,
    pub(crate) queued: Queued,
}

/// An atomic wait that a guest of a checkpoint was in.
pub struct RestoredWait {
    pub(crate) instance: InstanceId,
    pub(crate) memory: MemoryIndex,
    /// The address in the memory.
    pub address: GuestAddr,
    /// Bytes that it compares.
    pub(crate) size: u64,
    /// How long it still waits; none for ever.
    pub left: Option<Duration>,
    /// How many waited longer at the address; none if the guest was notified already.
    pub place: Option<u32>,
    /// Its place in the queue of this process, once it has one.
    pub(crate) queued: Mutex<Option<Queued>>,
}
