//! Atomic waits that guests are in.

use crate::ids::InstanceId;
use std::sync::Mutex;
use std::time::Duration;
use wardian_types::{GuestAddr, MemoryIndex};
use wardian_vm::park::Queued;

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
