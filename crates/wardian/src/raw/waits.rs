//! Atomic accesses that wait for other threads.

use super::store::StoreInner;
use crate::{Error, Result};
use std::time::Duration;
use wardian_types::TrapCode;
use wardian_vm::park::{self, WaitResult};

impl StoreInner {
    /// Address of an atomic access, checked; `None` if the memory is not shared.
    pub(super) fn atomic_address(
        &mut self,
        instance: u32,
        memory: u32,
        address: u64,
        size: u64,
    ) -> Result<Option<usize>> {
        if !address.is_multiple_of(size) {
            let access = self.access(instance, memory, address, size);
            return Err(Error::from(TrapCode::UnalignedAtomic).with_access(access));
        }
        let range = self.range(instance, memory, address, size)?;
        Ok(range.shared.then_some(range.at as usize))
    }

    /// Waits at an address as long as it has what is expected, or for so many nanoseconds. A negative timeout waits for ever.
    pub(super) fn wait(
        &mut self,
        at: usize,
        timeout: i64,
        still_expected: impl FnOnce() -> bool,
    ) -> Result<u64> {
        // A negative timeout waits for ever.
        let timeout = u64::try_from(timeout).ok().map(Duration::from_nanos);
        let interrupter = self.interrupter().clone();
        match park::wait(at, still_expected, timeout, &interrupter) {
            // The stub sees the interrupt word.
            WaitResult::Interrupted => Ok(0),
            result => Ok(result as u64),
        }
    }
}
