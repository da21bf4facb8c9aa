//! Atomic waits that guests are in.

use crate::Result;
use std::sync::Mutex;
use std::time::Duration;
use wardian_vm::park::Queued;

/// What takes the checkpoints that somebody wants of a store with data of some type, whose address is passed, while its
/// guest is in an atomic wait.
pub(crate) type ServeCheckpoints = unsafe fn(usize) -> Result<()>;

/// An atomic wait in which the guest is.
pub(crate) struct Waiting {
    /// The memory, by its index in the instance of the guest.
    pub(in crate::raw) memory: u32,
    pub(in crate::raw) address: u64,
    pub(in crate::raw) queued: Queued,
}

/// An atomic wait that a guest of a checkpoint was in.
pub(crate) struct RestoredWait {
    pub(in crate::raw) instance: u32,
    pub(in crate::raw) memory: u32,
    pub(crate) address: u64,
    /// Bytes that it compares.
    pub(in crate::raw) size: u64,
    pub(crate) left: Option<Duration>,
    /// How many waited longer at the address; none if the guest was notified already.
    pub(crate) place: Option<u32>,
    /// Its place in the queue of this process, once it has one.
    pub(in crate::raw) queued: Mutex<Option<Queued>>,
}
