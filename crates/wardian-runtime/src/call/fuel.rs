//! The fuel of a store: a word that compiled code counts down, and what happens when it is used up.

use crate::call::exit::OUT_OF_FUEL;
use crate::error::StopReason;
use crate::store::inner::StoreInner;
use crate::{Error, ErrorKind, Result};

impl StoreInner {
    /// Fuel that is left; none while the guest has overdrawn.
    pub fn fuel(&self) -> u64 {
        // SAFETY: the context is valid, and no guest runs at this moment.
        u64::try_from(unsafe { (*self.ctx()).fuel }).unwrap_or(0)
    }

    /// Fuel that is left, or less than zero by how much the guest has overdrawn.
    pub(crate) fn fuel_word(&self) -> i64 {
        // SAFETY: as above.
        unsafe { (*self.ctx()).fuel }
    }

    /// Sets what [`StoreInner::fuel_word`] gives.
    pub(crate) fn set_fuel_word(&mut self, fuel: i64) {
        // SAFETY: as above.
        unsafe { (*self.ctx()).fuel = fuel };
    }

    /// Sets the fuel that is left. What ended for lack of it is forgiven.
    pub fn set_fuel(&mut self, fuel: u64) {
        // SAFETY: as above.
        unsafe { (*self.ctx()).fuel = i64::try_from(fuel).unwrap_or(i64::MAX) };
        self.clear_word(OUT_OF_FUEL);
    }

    /// A check found the fuel below zero: gets more, or ends the guest.
    pub(crate) fn out_of_fuel(&mut self) -> Result<u64> {
        // SAFETY: the context is valid; the guest waits.
        while unsafe { (*self.ctx()).fuel } < 0 {
            // SAFETY: a guest runs, so `owner` is this store, and builtins hold nothing of it but
            // `inner`.
            let more = unsafe { self.asked.refuel((*self.ctx()).owner) };
            let Some(more) = more.filter(|more| *more > 0) else {
                return Err(Error::new(ErrorKind::Stopped(StopReason::Fuel)));
            };
            let more = i64::try_from(more).unwrap_or(i64::MAX);
            // SAFETY: as above.
            unsafe { (*self.ctx()).fuel = (*self.ctx()).fuel.saturating_add(more) };
        }
        Ok(0)
    }
}
