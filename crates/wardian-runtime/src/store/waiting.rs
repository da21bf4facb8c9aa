//! Atomic waits that guests are in.

use crate::Result;
use crate::ids::InstanceId;
use std::sync::Mutex;
use std::time::Duration;
use wardian_types::MemoryIndex;
use wardian_vm::park::Queued;

/// What takes the checkpoints that somebody wants of a store with data of some type, whose address is passed, while its
/// guest is in an atomic wait.
pub type ServeCheckpoints = unsafe fn(usize) -> Result<()>;

/// An atomic wait in which the guest is.
pub struct Waiting {
    /// The memory, by its index in the instance of the guest.
    pub(crate) memory: MemoryIndex,
    pub(crate) address: u64,
    pub(crate) queued: Queued,
}

/// An atomic wait that a guest of a checkpoint was in.
pub struct RestoredWait {
    pub(crate) instance: InstanceId,
    pub(crate) memory: MemoryIndex,
    /// The address in the memory.
    pub address: u64,
    /// Bytes that it compares.
    pub(crate) size: u64,
    /// How long it still waits; none for ever.
    pub left: Option<Duration>,
    /// How many waited longer at the address; none if the guest was notified already.
    pub place: Option<u32>,
    /// Its place in the queue of this process, once it has one.
    pub(crate) queued: Mutex<Option<Queued>>,
}
