//! Memories that the embedder supplies: what they promise, and the checks that they keep it.

use super::{GUARDED_SIZE, MemoryError, byte_limit, size_in_bytes};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian_types::MemoryType;

/// What a base is a multiple of.
const ALIGNMENT: usize = 16;

/// The bytes of one linear memory, supplied by the embedder.
///
/// Wardian asks for the bounds when it gets it and after each growth, keeps them, and uses the bytes
/// until [`LinearMemory::free`]. The *size* is what the guest sees: first the minimum that the memory
/// was requested with, then what the last successful [`LinearMemory::reallocate`] was asked for.
///
/// # Safety
///
/// Compiled code reads and writes these bytes with no other check than that of the size. So, from the
/// moment that Wardian is given the memory until `free`:
///
/// 1. [`LinearMemory::base`] is not null and a multiple of 16, and the [`LinearMemory::capacity`]
///    bytes from there, which are at least the size, are initialised, readable and writable from any
///    thread.
/// 2. Nobody else reads or writes the bytes below the size, or holds a reference to them, except
///    `reallocate` while it runs. That includes another memory over the same bytes.
/// 3. Base and capacity change only in `reallocate` and `shrink`. If those give a refusal or panic,
///    nothing has changed.
/// 4. `reallocate` keeps the bytes below the former size. It may move them, unless
///    [`LinearMemory::never_moves`] or there is a reservation.
/// 5. What `never_moves` and a [`Reservation`] say is true.
///
/// # Zeroes
///
/// The implementor guarantees, too, that bytes are zero when they become part of the size: those of
/// the minimum at the start, those between the old and the new size after `reallocate`. WebAssembly
/// promises that to guests. A memory that brings contents along on purpose, such as [`FileMemory`],
/// may show them in its minimum; a module's active data segments are written over them when it is
/// instantiated. Bytes that a restored snapshot took away are zeroed by Wardian.
///
/// [`FileMemory`]: super::FileMemory
pub unsafe trait LinearMemory: Send + Sync + 'static {
    /// The first byte.
    fn base(&self) -> *mut u8;

    /// Bytes from the base that can be read and written; at least the size.
    fn capacity(&self) -> usize;

    /// Makes the size `size` bytes, which is more than ever before, and gives the base, which may be
    /// another one. `None` refuses: the guest's `memory.grow` returns -1.
    ///
    /// It is called while the guest waits, for a shared memory under a lock; it must not try to grow
    /// the same memory.
    fn reallocate(&mut self, size: usize) -> Option<*mut u8>;

    /// Whether the base never changes. Only such memories can be shared ones, which other threads use
    /// while they grow. Asked once, at the start.
    fn never_moves(&self) -> bool {
        false
    }

    /// A promise by which code for this memory needs no checks, if it is of at least 4 GiB and
    /// [`MEMORY_GUARD`](super::MEMORY_GUARD). Asked once, at the start.
    fn reservation(&self) -> Option<Reservation> {
        None
    }

    /// Makes the size `size` bytes, which is less than it is, for a snapshot from before a growth.
    /// `false` refuses, and the snapshot cannot be restored. Only asked of memories whose reservation
    /// is used: for all others an unused rest does no harm.
    fn shrink(&mut self, size: usize) -> bool {
        let _ = size;
        false
    }

    /// Ends the memory. It is called exactly once, when nobody can use the bytes any more: when the
    /// store goes, or, for a shared memory, the last who refers to it. If the memory is refused, at
    /// once. A panic in it is caught and goes no further.
    fn free(self: Box<Self>);
}

/// The promise that [`LinearMemory::reservation`] makes: `bytes` of address space, from the base on, belong
/// to the memory. The base never changes, it is at the start of a page, and everything in there past the size
/// (not only past the capacity, which then must be the size) is inaccessible, so that an access is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Address space from the base on.
    pub bytes: usize,
}

impl Reservation {
    /// Enough for code without checks.
    pub const GUARDED: Reservation = Reservation { bytes: GUARDED_SIZE };
}

/// A promise of a [`LinearMemory`] that was found broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Promise 1.
    #[error("its base is null")]
    Null,
    /// Promise 1, or the one of a reservation.
    #[error("its base {base:#x} is not a multiple of {alignment}")]
    Misaligned {
        /// The base.
        base: usize,
        /// What it has to be a multiple of.
        alignment: usize,
    },
    /// Promise 1.
    #[error("{asked} bytes were asked for, but its capacity is {capacity}")]
    Short {
        /// Bytes there are.
        capacity: usize,
        /// Bytes there should be.
        asked: usize,
    },
    /// Promise 1.
    #[error("{capacity} bytes from its base {base:#x} reach beyond the end of all addresses")]
    Wraps {
        /// The base.
        base: usize,
        /// Bytes there are said to be.
        capacity: usize,
    },
    /// Promise 3.
    #[error("the base that it gave when it grew is not the one it has")]
    TwoBases,
    /// A shared memory that can move.
    #[error("it may move when it grows, so threads cannot share it")]
    Movable,
    /// Promise 5.
    #[error("it moved when it grew, although it said that it never does")]
    Moved,
    /// Promise 5.
    #[error(
        "its reservation says that all beyond {size} bytes is inaccessible, but its capacity is \
         {capacity}"
    )]
    Loose {
        /// Bytes of the memory.
        size: usize,
        /// Bytes that are accessible.
        capacity: usize,
    },
}

/// Why a memory did not grow.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// It cannot be larger.
    #[error("the memory cannot grow")]
    Refused,
    /// The embedder's memory is at fault.
    #[error("the memory that the allocator supplied is at fault: {0}")]
    Breach(#[from] Breach),
}

impl From<io::Error> for GrowError {
    fn from(_: io::Error) -> GrowError {
        GrowError::Refused
    }
}

/// A memory of the embedder's, in use.
pub struct CustomMemory {
    /// `None` only while it is dropped.
    memory: Option<Box<dyn LinearMemory>>,
    base: *mut u8,
    /// The guest's view of the size, in bytes.
    len: usize,
    /// The implementor's view of the size: more than `len` only after a restore.
    asked: usize,
    /// In bytes.
    maximum: u64,
    guarded: bool,
    pinned: bool,
}

// SAFETY: the implementor is `Send`, and promises that its bytes can be used from any thread.
unsafe impl Send for CustomMemory {}
// SAFETY: shared references only give bounds and read bytes.
unsafe impl Sync for CustomMemory {}

impl fmt::Debug for CustomMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("CustomMemory");
        f.field("base", &self.base).field("len", &self.len).finish_non_exhaustive()
    }
}

impl CustomMemory {
    /// Takes a memory of the type's minimum size into use. `may_guard` allows that a reservation
    /// replaces checks.
    ///
    /// # Errors
    ///
    /// It is too large for this machine, or does not keep its promises. Then it has been freed.
    pub fn new(
        memory: Box<dyn LinearMemory>,
        ty: &MemoryType,
        may_guard: bool,
    ) -> Result<CustomMemory, MemoryError> {
        debug_assert!(!may_guard || (!ty.memory64 && ty.page_size_log2 == 16));
        // First of all, so that it is freed whatever comes.
        let mut custom = CustomMemory {
            memory: Some(memory),
            base: std::ptr::null_mut(),
            len: 0,
            asked: 0,
            maximum: byte_limit(ty),
            guarded: false,
            pinned: false,
        };
        let len = size_in_bytes(ty, ty.min).ok_or(MemoryError::TooLarge(ty.min))?;
        let reservation = custom.memory().reservation();
        custom.guarded = may_guard && reservation.is_some_and(|r| r.bytes >= GUARDED_SIZE);
        custom.pinned = reservation.is_some() || custom.memory().never_moves();
        if ty.shared && !custom.pinned {
            return Err(Breach::Movable.into());
        }
        custom.base = custom.memory().base();
        custom.inspect(custom.base, len)?;
        custom.len = len;
        custom.asked = len;
        Ok(custom)
    }

    fn memory(&self) -> &dyn LinearMemory {
        &**self.memory.as_ref().expect("it is there until the drop")
    }

    fn memory_mut(&mut self) -> &mut dyn LinearMemory {
        &mut **self.memory.as_mut().expect("it is there until the drop")
    }

    /// Looks whether the promises about the bounds hold for `size` bytes.
    fn inspect(&self, base: *mut u8, size: usize) -> Result<(), Breach> {
        let capacity = self.memory().capacity();
        let at = base as usize;
        let alignment = if self.guarded { crate::system::page_size() } else { ALIGNMENT };
        if base.is_null() {
            return Err(Breach::Null);
        }
        if base != self.memory().base() {
            return Err(Breach::TwoBases);
        }
        if !at.is_multiple_of(alignment) {
            return Err(Breach::Misaligned { base: at, alignment });
        }
        if capacity < size {
            return Err(Breach::Short { capacity, asked: size });
        }
        if at.checked_add(capacity).is_none() {
            return Err(Breach::Wraps { base: at, capacity });
        }
        if self.guarded && capacity != size {
            return Err(Breach::Loose { size, capacity });
        }
        if self.pinned && base != self.base {
            return Err(Breach::Moved);
        }
        Ok(())
    }

    /// First byte.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether its size is zero.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether code may access it without checks.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Whether it may not move.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// As [`super::Memory::grow_to`].
    pub(super) fn grow_to(&mut self, len: usize) -> Result<(), GrowError> {
        if len < self.len || len as u64 > self.maximum {
            return Err(GrowError::Refused);
        }
        let asked = self.asked;
        if len > asked {
            let base = self.memory_mut().reallocate(len).ok_or(GrowError::Refused)?;
            // If it broke a promise the old bounds stay: nothing better is known.
            self.inspect(base, len)?;
            self.base = base;
            self.asked = len;
        }
        let left_over = asked.min(len);
        if self.len < left_over {
            // SAFETY: below what was asked for, so it can be written; no guest sees it yet. Shared
            // memories, which others might use now, are never restored and have nothing left over.
            unsafe { self.base.add(self.len).write_bytes(0, left_over - self.len) };
        }
        self.len = len;
        Ok(())
    }

    /// The bytes, of a memory that is not shared.
    pub(super) fn bytes(&mut self) -> &[u8] {
        // SAFETY: so many bytes can be read, by the implementor's promise, and code that has the memory
        // exclusively runs no guest that could write to them.
        unsafe { std::slice::from_raw_parts(self.base, self.len) }
    }

    /// Puts the bytes of an earlier time back.
    ///
    /// # Safety
    ///
    /// As for [`super::Memory::restore`].
    pub(super) unsafe fn put_back(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.asked {
            self.grow_to(bytes.len()).map_err(io::Error::other)?;
        }
        if self.guarded && bytes.len() < self.asked {
            if !self.memory_mut().shrink(bytes.len()) {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the memory that the allocator supplied cannot shrink",
                ));
            }
            self.asked = bytes.len();
            self.len = self.len.min(self.asked);
            self.inspect(self.base, self.asked).map_err(io::Error::other)?;
        }
        // SAFETY: the memory has so many bytes, and nobody refers to them, by the caller's promise.
        unsafe { self.base.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.len = bytes.len();
        Ok(())
    }
}

impl Drop for CustomMemory {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            // A store that goes has more to clean up than this.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| memory.free())) {
                crate::contain::discard(panic);
            }
        }
    }
}
