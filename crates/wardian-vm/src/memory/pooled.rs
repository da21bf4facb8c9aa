//! A bounded number of memories that are used again and again.

use super::built_in::GuardedMemory;
use super::custom::{LinearMemory, Reservation};
use super::{ADDRESSABLE, GUARDED_SIZE};
use crate::mapping::Mapping;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Slots for memories. Each is a reservation without checks, made on first use and kept.
#[derive(Debug)]
pub struct MemorySlots {
    slots: usize,
    slot_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Full of zeroes, without rights.
    free: Vec<Mapping>,
}

/// Why there is no slot.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    /// All are taken.
    #[error("all {0} slots of the memory pool are in use")]
    Exhausted(usize),
    /// None is large enough.
    #[error("{asked} bytes do not fit the memory pool's slots of {slot} bytes")]
    TooSmall {
        /// Bytes asked for.
        asked: usize,
        /// Bytes of a slot.
        slot: usize,
    },
    /// The system refused.
    #[error("the system has no memory for a slot of the memory pool: {0}")]
    System(#[from] io::Error),
}

impl MemorySlots {
    /// So many slots, of at most `slot_bytes` each, which is at most 4 GiB.
    pub fn new(slots: usize, slot_bytes: usize) -> Arc<MemorySlots> {
        let slot_bytes = slot_bytes.min(ADDRESSABLE);
        Arc::new(MemorySlots { slots, slot_bytes, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Slots in use.
    pub fn used(&self) -> usize {
        self.state().used
    }

    /// A memory of `minimum` bytes, full of zeroes, that grows to at most `maximum` bytes and the
    /// slot's size. Its slot is free again when it goes.
    ///
    /// # Errors
    ///
    /// No slot is left, or large enough; or the system refused.
    pub fn take(
        self: &Arc<Self>,
        minimum: usize,
        maximum: usize,
    ) -> Result<Box<dyn LinearMemory>, SlotsError> {
        if minimum > self.slot_bytes {
            return Err(SlotsError::TooSmall { asked: minimum, slot: self.slot_bytes });
        }
        let mapping = {
            let mut state = self.state();
            if state.used >= self.slots {
                return Err(SlotsError::Exhausted(self.slots));
            }
            state.used += 1;
            state.free.pop()
        };
        // From here on `Drop` releases the slot.
        let mut pooled = Pooled { slots: self.clone(), memory: None };
        let mapping = mapping.map_or_else(|| Mapping::reserve(GUARDED_SIZE), Ok)?;
        let maximum = maximum.min(self.slot_bytes);
        pooled.memory = Some(GuardedMemory::in_mapping(mapping, minimum, maximum)?);
        Ok(Box::new(pooled))
    }
}

/// A memory in a slot.
struct Pooled {
    slots: Arc<MemorySlots>,
    /// `None` only while it is made or dropped.
    memory: Option<GuardedMemory>,
}

impl Pooled {
    fn memory(&self) -> &GuardedMemory {
        self.memory.as_ref().expect("it is there until the drop")
    }

    fn memory_mut(&mut self) -> &mut GuardedMemory {
        self.memory.as_mut().expect("it is there until the drop")
    }
}

// SAFETY: all promises are those of the memory inside, which nobody else has. Its reservation was
// made fresh before, so its bytes are zero.
unsafe impl LinearMemory for Pooled {
    fn base(&self) -> *mut u8 {
        self.memory().base()
    }

    fn capacity(&self) -> usize {
        self.memory().capacity()
    }

    fn never_moves(&self) -> bool {
        true
    }

    fn reallocate(&mut self, size: usize) -> Option<*mut u8> {
        self.memory_mut().reallocate(size)
    }

    fn reservation(&self) -> Option<Reservation> {
        self.memory().reservation()
    }

    fn shrink(&mut self, size: usize) -> bool {
        self.memory_mut().shrink(size)
    }

    fn free(self: Box<Self>) {}
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // A reservation that cannot be made fresh is not used again.
        let mapping = self.memory.take().and_then(|m| m.into_mapping().ok());
        let mut state = self.slots.state();
        state.used -= 1;
        state.free.extend(mapping);
    }
}
