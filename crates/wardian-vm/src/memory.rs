//! Linear memories.
//!
//! ```text
//!   guarded:  base          base + len               base + 4 GiB        + guard
//!             ┌─────────────┬────────────────────────┬──────────────────┐
//!             │ read, write │ no rights: faults      │ no rights        │   never moves
//!             └─────────────┴────────────────────────┴──────────────────┘
//!   checked:  base          base + len     base + reserved
//!             ┌─────────────┬──────────────┐
//!             │ read, write │ no rights    │          may move when it grows beyond
//!             └─────────────┴──────────────┘
//! ```
//!
//! Any 32-bit address plus an offset below the guard's size is in the first kind of reservation, so code
//! needs no checks. The second kind is for all others, and its code compares with `len`. Memories that the
//! embedder supplies ([`LinearMemory`]) are of the second kind, unless they promise what the first needs.

mod built_in;
mod capture;
mod custom;
mod file;
mod fork;
#[cfg(all(test, not(miri)))]
mod fork_tests;
mod image;
mod immutable;
mod page_file;
mod pages;
mod pooled;
#[cfg(test)]
mod tests;
mod tracking;
#[cfg(all(test, not(miri)))]
mod tracking_tests;

pub use built_in::{FixedMemory, GuardedMemory, VecMemory};
pub use capture::MemoryCapture;
pub use custom::{Breach, CustomMemory, GrowError, LinearMemory, Reservation};
pub use file::FileMemory;
pub use image::MemoryImage;
pub use immutable::ImmutableFile;
pub use pooled::{MemorySlots, SlotsError};
pub use tracking::{Mark, TRACKED_PART};

use crate::layout::VmMemory;
use crate::mapping::{Mapping, round_up};
use crate::system;
use crate::torture;
use capture::Captured;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tracking::Tracker;
use wardian_types::MemoryType;

/// Inaccessible bytes after the 4 GiB that a 32-bit address reaches.
pub const MEMORY_GUARD: usize = 32 << 20;
const ADDRESSABLE: usize = at_most(4 << 30);
/// Address space that code without checks may touch. Where pointers have 32 bits it is more than there is, so that every
/// memory is checked.
pub(crate) const GUARDED_SIZE: usize = ADDRESSABLE.saturating_add(MEMORY_GUARD);
/// Reserved for a checked memory whose maximum is larger or unknown, so that it hardly ever moves;
/// where there is no such room, the smaller one. Only address space: it takes no memory.
const CHECKED_RESERVATIONS: [usize; 2] =
    if usize::BITS > 32 { [at_most(8 << 30), 64 << 20] } else { [32 << 20, 1 << 20] };

/// The number, or the largest that fits.
const fn at_most(bytes: u64) -> usize {
    if bytes > usize::MAX as u64 { usize::MAX } else { bytes as usize }
}

/// A linear memory: the engine's own, or one that the embedder supplied.
#[derive(Debug)]
pub enum Memory {
    /// The engine's own.
    Engine(EngineMemory),
    /// The embedder's.
    Custom(CustomMemory),
}

impl Memory {
    /// First byte.
    pub fn base(&self) -> *mut u8 {
        match self {
            Memory::Engine(memory) => memory.base(),
            Memory::Custom(memory) => memory.base(),
        }
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Memory::Engine(memory) => memory.len(),
            Memory::Custom(memory) => memory.len(),
        }
    }

    /// Whether its size is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether code may access it without checks.
    pub fn is_guarded(&self) -> bool {
        match self {
            Memory::Engine(memory) => memory.is_guarded(),
            Memory::Custom(memory) => memory.is_guarded(),
        }
    }

    /// Grows to `len` bytes; the new bytes are zero. The base may change unless it is guarded or
    /// shared.
    ///
    /// # Errors
    ///
    /// It cannot grow so far, `stop` said that there is no time to move it, or the embedder's memory
    /// broke its promises. Then the size has not changed.
    pub fn grow_to(&mut self, len: usize, stop: &dyn Fn() -> bool) -> Result<(), GrowError> {
        match self {
            Memory::Engine(memory) => Ok(memory.grow_to(len, stop)?),
            Memory::Custom(memory) => memory.grow_to(len),
        }
    }

    /// Notes the present contents, so that they can come back.
    ///
    /// # Errors
    ///
    /// The system has no memory for them. Then nothing has changed.
    pub fn capture(&mut self) -> io::Result<MemoryCapture> {
        match self {
            Memory::Engine(memory) => memory.capture(),
            Memory::Custom(memory) => memory.capture(),
        }
    }

    /// Brings back the contents and the size that were captured.
    ///
    /// # Safety
    ///
    /// Nobody refers to the contents, and no code relies on a size larger than the captured one.
    ///
    /// # Errors
    ///
    /// The capture is of a memory that this one cannot be made like, or the system refused.
    pub unsafe fn restore(&mut self, capture: &MemoryCapture) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Memory::Engine(memory) => memory.restore(capture),
                Memory::Custom(memory) => memory.restore(capture),
            }
        }
    }
}

/// A linear memory of the engine's own that one store owns.
#[derive(Debug)]
pub struct EngineMemory {
    mapping: Mapping,
    /// Bytes with rights, a multiple of the system's pages.
    accessible: usize,
    /// The guest's view of the size, in bytes.
    len: usize,
    /// In bytes.
    maximum: u64,
    guarded: bool,
    movable: bool,
    /// What a module brings along, as long as the memory was never captured.
    image: Option<Arc<MemoryImage>>,
    /// Bytes from the base on that may be views of files that do not change, besides the image; as long as the memory was
    /// never captured.
    shown: usize,
    /// What was captured, once anything was. It goes after the mapping.
    captured: Option<Captured>,
    /// What is noted of writes, once somebody asked.
    tracker: Option<Tracker>,
}

/// Why a memory cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The minimum is more than any memory can be here.
    #[error("a memory of {0} pages is larger than this machine's addresses reach")]
    TooLarge(u64),
    /// The system refused.
    #[error("the system has no memory for it: {0}")]
    System(#[from] io::Error),
    /// What the embedder supplied cannot be used.
    #[error("the memory that was supplied for it cannot be used: {0}")]
    Breach(#[from] Breach),
}

impl EngineMemory {
    /// A new memory of the type's minimum size. `guarded` asks for the kind without checks, which
    /// only 32-bit memories with 64 KiB pages can be. Where the system has not so much address space left, it becomes
    /// one with checks: [`Self::is_guarded`] says which.
    ///
    /// # Errors
    ///
    /// It is too large, or the system has no room.
    pub fn new(
        ty: &MemoryType,
        guarded: bool,
        image: Option<Arc<MemoryImage>>,
        pool: Option<&MemoryPool>,
    ) -> Result<EngineMemory, MemoryError> {
        let len = size_in_bytes(ty, ty.min).ok_or(MemoryError::TooLarge(ty.min))?;
        let maximum = byte_limit(ty);
        let mut memory = match pool.filter(|_| guarded).and_then(|p| p.take(image.as_ref())) {
            Some(memory) => memory,
            None => EngineMemory::reserve(ty, guarded, maximum, len)?,
        };
        memory.maximum = maximum;
        memory.len = len;
        memory.show(image, len)?;
        Ok(memory)
    }

    fn reserve(
        ty: &MemoryType,
        guarded: bool,
        maximum: u64,
        len: usize,
    ) -> Result<EngineMemory, MemoryError> {
        debug_assert!(!guarded || (!ty.memory64 && ty.page_size_log2 == 16));
        let guarded = guarded.then(|| Mapping::reserve_if_possible(GUARDED_SIZE)).flatten();
        let is_guarded = guarded.is_some();
        let mapping = if let Some(mapping) = guarded {
            mapping
        } else if ty.shared {
            let size = usize::try_from(maximum).map_err(|_| MemoryError::TooLarge(ty.min))?;
            Mapping::reserve(size)?
        } else {
            let limit = usize::try_from(maximum).unwrap_or(usize::MAX);
            let [large, small] = CHECKED_RESERVATIONS.map(|size| limit.min(size).max(len));
            Mapping::reserve_if_possible(large).map_or_else(|| Mapping::reserve(small), Ok)?
        };
        Ok(EngineMemory {
            mapping,
            accessible: 0,
            len,
            maximum,
            guarded: is_guarded,
            movable: !is_guarded && !ty.shared,
            image: None,
            shown: 0,
            captured: None,
            tracker: None,
        })
    }

    /// Makes the image and `len` bytes visible; what is there already stays.
    fn show(&mut self, image: Option<Arc<MemoryImage>>, len: usize) -> Result<(), MemoryError> {
        let want = round_up(len).ok_or(io::Error::from(io::ErrorKind::OutOfMemory))?;
        let same = match (&self.image, &image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if !same {
            // SAFETY: the memory is not in use yet.
            unsafe { self.mapping.clear(0, self.accessible)? };
            self.accessible = 0;
            self.image = None;
        }
        if let (None, Some(image)) = (&self.image, image) {
            let len = image.len().min(want);
            // SAFETY: the range is unused, and nobody else has the file to shrink it.
            unsafe { self.mapping.map_file(0, len, (&image.file, 0))? };
            self.accessible = len;
            self.image = Some(image);
        }
        if self.accessible > want {
            // SAFETY: the memory is not in use yet.
            unsafe { self.mapping.clear(want, self.accessible - want)? };
        } else {
            self.make_accessible(want)?;
        }
        self.accessible = want;
        Ok(())
    }

    /// First byte.
    pub fn base(&self) -> *mut u8 {
        self.mapping.base()
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether its size is zero.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most it can grow to, in bytes.
    pub fn maximum(&self) -> u64 {
        self.maximum
    }

    /// Whether code may access it without checks.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Grows to `len` bytes; the new bytes are zero. The base may change unless it is guarded or
    /// shared.
    ///
    /// # Errors
    ///
    /// The size would exceed the maximum, the system has no memory, or `stop` returned true, which is called
    /// now and then if the memory has to move; then nothing has changed.
    pub fn grow_to(&mut self, len: usize, stop: &dyn Fn() -> bool) -> io::Result<()> {
        if len < self.len || len as u64 > self.maximum {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let want = round_up(len).ok_or(io::ErrorKind::OutOfMemory)?;
        if want > self.accessible {
            if want > self.mapping.size() || self.movable && torture::moves() {
                return self.move_to(len, want, stop);
            }
            self.make_accessible(want)?;
        }
        self.len = len;
        Ok(())
    }

    /// Moves to a larger reservation, with room to grow again. Pages full of zeroes, which a guest may
    /// never have touched, are not written.
    fn move_to(&mut self, len: usize, want: usize, stop: &dyn Fn() -> bool) -> io::Result<()> {
        if !self.movable {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let limit = usize::try_from(self.maximum).unwrap_or(usize::MAX);
        // Never less than before: an earlier state, to come back to, may have been larger.
        let roomy = want.saturating_mul(2).min(limit).max(want).max(self.mapping.size());
        let mapping = Mapping::reserve(roomy).or_else(|_| Mapping::reserve(want))?;
        mapping.make_accessible(0, want)?;
        let mut done = 0;
        while done < self.len {
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let size = MOVED_AT_ONCE.min(self.len - done);
            // SAFETY: both mappings are at least `self.len` long, accessible and distinct, and the new
            // one is zero.
            unsafe { copy_written(self.mapping.base().add(done), mapping.base().add(done), size) };
            done += size;
        }
        self.end_tracking();
        self.mapping = mapping;
        (self.image, self.shown) = (None, 0);
        match &mut self.captured {
            Some(captured) if captured.written_through => self.captured = None,
            Some(captured) => captured.moved(),
            None => {}
        }
        self.accessible = want;
        self.len = len;
        Ok(())
    }
}

/// Bytes that are moved between two looks at what stops guests: some milliseconds.
const MOVED_AT_ONCE: usize = 32 << 20;

/// Copies the pages that are not full of zeroes.
///
/// # Safety
///
/// Both ranges are accessible and distinct, and `to` is zero.
unsafe fn copy_written(from: *const u8, to: *mut u8, len: usize) {
    let page = system::page_size();
    for at in (0..len).step_by(page) {
        // SAFETY: inside both ranges.
        unsafe {
            let from = std::slice::from_raw_parts(from.add(at), page.min(len - at));
            if !capture::is_zero(from) {
                std::ptr::copy_nonoverlapping(from.as_ptr(), to.add(at), from.len());
            }
        }
    }
}

/// `pages` of this type in bytes, if the machine's addresses reach so far.
pub fn size_in_bytes(ty: &MemoryType, pages: u64) -> Option<usize> {
    let bytes = pages.checked_mul(ty.page_size())?;
    usize::try_from(bytes).ok().filter(|b| *b <= isize::MAX as usize)
}

/// The most bytes that the type allows.
fn byte_limit(ty: &MemoryType) -> u64 {
    let bytes = u128::from(ty.max_pages()) * u128::from(ty.page_size());
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Guarded reservations kept for reuse: making one costs more than all else in an instantiation.
#[derive(Debug, Default)]
pub struct MemoryPool {
    free: Mutex<Vec<EngineMemory>>,
}

/// Reservations kept at most. They hold no memory, only address space.
const KEPT: usize = 64;

impl MemoryPool {
    /// A reservation, if possible one that shows this image already. Its contents are as new.
    fn take(&self, image: Option<&Arc<MemoryImage>>) -> Option<EngineMemory> {
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        let same = free.iter().rposition(|m| match (&m.image, image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        });
        match same {
            Some(index) => Some(free.swap_remove(index)),
            None => free.pop(),
        }
    }

    /// Keeps a memory for later, after making sure that nothing of what was written to it is left. `pristine`
    /// says that nothing can have written to it.
    pub fn give_back(&self, mut memory: EngineMemory, pristine: bool) {
        if !memory.guarded {
            return;
        }
        memory.end_tracking();
        if memory.captured.is_some() || memory.shown > 0 {
            // SAFETY: its owner gave it up, so nothing refers to its contents.
            if unsafe { memory.mapping.clear(0, memory.accessible) }.is_err() {
                return;
            }
            (memory.accessible, memory.shown) = (0, 0);
            memory.image = None;
            memory.captured = None;
        } else if !pristine {
            // SAFETY: its owner gave it up, so nothing refers to its contents.
            let cleared = unsafe { memory.mapping.discard(0, memory.accessible) };
            if cleared.is_err() {
                return;
            }
        }
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        if free.len() < KEPT {
            free.push(memory);
        }
    }
}

/// A memory that several threads use. It never moves and never shrinks.
#[derive(Debug)]
pub struct SharedMemory {
    ty: MemoryType,
    vm: VmMemory,
    memory: Mutex<Memory>,
}

// SAFETY: the base never changes after creation, the length is atomic, and growth takes the lock. All
// accesses to the bytes are atomic or the racy-by-design accesses of guest code.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// A new shared memory.
    ///
    /// # Errors
    ///
    /// As for [`EngineMemory::new`].
    pub fn new(ty: &MemoryType, guarded: bool) -> Result<SharedMemory, MemoryError> {
        let memory = EngineMemory::new(ty, guarded, None, None)?;
        Ok(SharedMemory::of(ty, Memory::Engine(memory)))
    }

    /// A shared memory in what the embedder supplied, which was made with a shared type.
    pub fn custom(ty: &MemoryType, memory: CustomMemory) -> SharedMemory {
        assert!(memory.is_pinned(), "the memory of threads does not move");
        SharedMemory::of(ty, Memory::Custom(memory))
    }

    fn of(ty: &MemoryType, memory: Memory) -> SharedMemory {
        let vm = VmMemory { base: memory.base(), len: memory.len().into() };
        SharedMemory { ty: *ty, vm, memory: Mutex::new(memory) }
    }

    /// Its type.
    pub fn ty(&self) -> &MemoryType {
        &self.ty
    }

    /// Its bounds, which compiled code reads in place.
    pub fn vm(&self) -> &VmMemory {
        &self.vm
    }

    /// Size in bytes; it may grow at any time.
    pub fn len(&self) -> usize {
        self.vm.len.load(Ordering::SeqCst)
    }

    /// Whether its size is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether code may access it without checks.
    pub fn is_guarded(&self) -> bool {
        self.memory.lock().unwrap_or_else(|e| e.into_inner()).is_guarded()
    }

    /// Grows by `pages`, if `permit(current bytes, wanted bytes)` agrees; returns the size before,
    /// in pages.
    ///
    /// # Errors
    ///
    /// As for [`Memory::grow_to`].
    pub fn grow(
        &self,
        pages: u64,
        permit: impl FnOnce(usize, usize) -> bool,
    ) -> Result<u64, GrowError> {
        let mut memory = self.memory.lock().unwrap_or_else(|e| e.into_inner());
        let before = memory.len() as u64 >> self.ty.page_size_log2;
        let wanted = before.checked_add(pages).ok_or(GrowError::Refused)?;
        let len = size_in_bytes(&self.ty, wanted).ok_or(GrowError::Refused)?;
        if !permit(memory.len(), len) {
            return Err(GrowError::Refused);
        }
        // It never moves.
        memory.grow_to(len, &|| false)?;
        self.vm.len.store(len, Ordering::SeqCst);
        Ok(before)
    }
}
