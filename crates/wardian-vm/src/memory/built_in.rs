//! Memories that embedders can supply without unsafe code of their own.

use super::custom::{LinearMemory, Reservation};
use super::{ADDRESSABLE, GUARDED_SIZE};
use crate::mapping::{Mapping, round_up};
use std::alloc::Layout;
use std::io;

/// A memory on the heap. It moves when it grows past its capacity, so it cannot be a shared memory, and its
/// code has checks. It takes no more address space than it has bytes, up to twice as much.
#[derive(Debug)]
pub struct VecMemory {
    base: *mut u8,
    layout: Layout,
    maximum: usize,
}

// SAFETY: it owns its allocation, which belongs to no thread.
unsafe impl Send for VecMemory {}
// SAFETY: shared references only give the bounds.
unsafe impl Sync for VecMemory {}

impl VecMemory {
    /// A memory of `minimum` bytes, full of zeroes, that grows to at most `maximum` bytes.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn boxed(minimum: usize, maximum: usize) -> io::Result<Box<dyn LinearMemory>> {
        let (base, layout) = zeroed(minimum).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Box::new(VecMemory { base, layout, maximum }))
    }
}

fn zeroed(size: usize) -> Option<(*mut u8, Layout)> {
    let layout = Layout::from_size_align(size.max(16), 16).ok()?;
    // SAFETY: the size is not zero.
    let base = unsafe { std::alloc::alloc_zeroed(layout) };
    (!base.is_null()).then_some((base, layout))
}

// SAFETY: 1: the allocation is aligned to 16 and zeroed. 2: nobody else has its address. 3, 4: it
// changes only below, after nothing can fail any more, and keeps all bytes. 5: there is none.
unsafe impl LinearMemory for VecMemory {
    fn base(&self) -> *mut u8 {
        self.base
    }

    fn capacity(&self) -> usize {
        self.layout.size()
    }

    fn reallocate(&mut self, size: usize) -> Option<*mut u8> {
        if size > self.maximum {
            return None;
        }
        let old = self.layout;
        if size > old.size() {
            let roomy = old.size().saturating_mul(2).min(self.maximum).max(size);
            let (base, layout) = zeroed(roomy).or_else(|| zeroed(size))?;
            // SAFETY: both allocations have so many bytes, and the old one is used no more.
            unsafe {
                base.copy_from_nonoverlapping(self.base, old.size());
                std::alloc::dealloc(self.base, old);
            }
            (self.base, self.layout) = (base, layout);
        }
        Some(self.base)
    }

    fn free(self: Box<Self>) {}
}

impl Drop for VecMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and the owner of the bytes ends here.
        unsafe { std::alloc::dealloc(self.base, self.layout) }
    }
}

/// A memory that reserves address space for its maximum and never moves, so that it can be shared.
/// Only what it grew to takes memory, and that only once it is touched: the maximum may be more than
/// the machine has. Its code has checks.
#[derive(Debug)]
pub struct FixedMemory {
    mapping: Mapping,
    accessible: usize,
    maximum: usize,
}

impl FixedMemory {
    /// A memory of `minimum` bytes, full of zeroes, that grows to at most `maximum` bytes.
    ///
    /// # Errors
    ///
    /// There is no such range of addresses, or no memory. A 64-bit memory without a maximum asks for
    /// more than there can be: then pass a smaller `maximum`.
    pub fn boxed(minimum: usize, maximum: usize) -> io::Result<Box<dyn LinearMemory>> {
        let maximum = maximum.max(minimum);
        let mapping = Mapping::reserve(maximum)?;
        let mut memory = FixedMemory { mapping, accessible: 0, maximum };
        memory.extend(minimum)?;
        Ok(Box::new(memory))
    }

    fn extend(&mut self, size: usize) -> io::Result<()> {
        let want = round_up(size).ok_or(io::ErrorKind::OutOfMemory)?;
        if want > self.accessible {
            self.mapping.make_accessible(self.accessible, want - self.accessible)?;
            self.accessible = want;
        }
        Ok(())
    }
}

// SAFETY: 1: a mapping starts at a page, and `accessible` bytes of it have rights; fresh pages are
// zero. 2: nobody else has its address. 3, 4: the base never changes; rights only come. 5: there is
// none.
unsafe impl LinearMemory for FixedMemory {
    fn base(&self) -> *mut u8 {
        self.mapping.base()
    }

    fn capacity(&self) -> usize {
        self.accessible
    }

    fn never_moves(&self) -> bool {
        true
    }

    fn reallocate(&mut self, size: usize) -> Option<*mut u8> {
        if size > self.maximum {
            return None;
        }
        self.extend(size).ok()?;
        Some(self.mapping.base())
    }

    fn free(self: Box<Self>) {}
}

/// A memory that reserves more than 4 GiB of addresses, as the engine's own do: a 32-bit memory in it
/// needs no checks. It never moves, so it can be shared.
#[derive(Debug)]
pub struct GuardedMemory {
    mapping: Mapping,
    /// A multiple of the system's pages.
    accessible: usize,
    maximum: usize,
}

impl GuardedMemory {
    /// A memory of `minimum` bytes, full of zeroes, that grows to at most `maximum` bytes and 4 GiB.
    ///
    /// # Errors
    ///
    /// The minimum is more than 4 GiB, or there is no such range of addresses, or no memory.
    pub fn boxed(minimum: usize, maximum: usize) -> io::Result<Box<dyn LinearMemory>> {
        if minimum > ADDRESSABLE {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "a guarded memory has at most 4 GiB",
            ));
        }
        let mapping = Mapping::reserve(GUARDED_SIZE)?;
        Ok(Box::new(GuardedMemory::in_mapping(mapping, minimum, maximum)?))
    }

    /// A memory in a fresh reservation of [`GUARDED_SIZE`] bytes.
    pub(super) fn in_mapping(
        mapping: Mapping,
        minimum: usize,
        maximum: usize,
    ) -> io::Result<GuardedMemory> {
        let maximum = maximum.min(ADDRESSABLE);
        let accessible = round_up(minimum).ok_or(io::ErrorKind::OutOfMemory)?;
        mapping.make_accessible(0, accessible)?;
        Ok(GuardedMemory { mapping, accessible, maximum })
    }

    /// The reservation, fresh again.
    pub(super) fn into_mapping(self) -> io::Result<Mapping> {
        // SAFETY: who had the memory gave it up.
        unsafe { self.mapping.clear(0, self.accessible)? };
        Ok(self.mapping)
    }
}

// SAFETY: 1 to 4: as for `FixedMemory`. 5: the reservation has that size and never moves, and everything past
// `accessible`, which is the capacity, has no rights.
unsafe impl LinearMemory for GuardedMemory {
    fn base(&self) -> *mut u8 {
        self.mapping.base()
    }

    fn capacity(&self) -> usize {
        self.accessible
    }

    fn never_moves(&self) -> bool {
        true
    }

    fn reallocate(&mut self, size: usize) -> Option<*mut u8> {
        if size > self.maximum {
            return None;
        }
        let want = round_up(size)?;
        if want > self.accessible {
            self.mapping.make_accessible(self.accessible, want - self.accessible).ok()?;
            self.accessible = want;
        }
        Some(self.mapping.base())
    }

    fn reservation(&self) -> Option<Reservation> {
        Some(Reservation { bytes: self.mapping.size() })
    }

    fn shrink(&mut self, size: usize) -> bool {
        let Some(want) = round_up(size).filter(|want| *want <= self.accessible) else {
            return false;
        };
        // SAFETY: the user of the memory gives up what is past its new size.
        let done = unsafe { self.mapping.clear(want, self.accessible - want) };
        if done.is_ok() {
            self.accessible = want;
        }
        done.is_ok()
    }

    fn free(self: Box<Self>) {}
}
