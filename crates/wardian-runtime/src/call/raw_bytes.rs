//! Bytes of memories that other threads may access meanwhile.

use std::sync::atomic::{AtomicU8, Ordering};

/// Copies bytes, also where the ranges overlap. `racy` says that other threads may use the memory.
///
/// # Safety
///
/// Both ranges are accessible for `len` bytes.
pub(super) unsafe fn copy_raw(to: *mut u8, from: *const u8, len: usize, racy: bool) {
    // SAFETY: the caller's promise. Where other threads may use the memory, single atomic accesses
    // keep the race from being undefined behaviour.
    unsafe {
        if !racy {
            return std::ptr::copy(from, to, len);
        }
        let byte = |i: usize| {
            let value = AtomicU8::from_ptr(from.add(i).cast_mut()).load(Ordering::Relaxed);
            AtomicU8::from_ptr(to.add(i)).store(value, Ordering::Relaxed);
        };
        if (to as usize) <= from as usize {
            (0..len).for_each(byte);
        } else {
            (0..len).rev().for_each(byte);
        }
    }
}

/// Fills bytes. `racy` is as for [`copy_raw`].
///
/// # Safety
///
/// The range is accessible for `len` bytes.
pub(super) unsafe fn fill_raw(to: *mut u8, value: u8, len: usize, racy: bool) {
    // SAFETY: as in `copy_raw`.
    unsafe {
        if !racy {
            return std::ptr::write_bytes(to, value, len);
        }
        for i in 0..len {
            AtomicU8::from_ptr(to.add(i)).store(value, Ordering::Relaxed);
        }
    }
}
