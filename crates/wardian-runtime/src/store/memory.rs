//! A memory of a store that is not shared.

use crate::error::UsageKind;
use crate::limiter::Limiter;
use crate::{Error, Result};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use wardian_types::MemoryType;
use wardian_vm::layout::VmMemory;
use wardian_vm::memory::{GrowError, ImmutableFile, Mark, Memory, MemoryCapture, size_in_bytes};

/// An unshared memory of a store.
pub struct MemoryData {
    ty: MemoryType,
    linear: Memory,
    /// The largest minimum, in bytes, with which an instance has it. Code accesses so much without
    /// a look at the size, so it never becomes smaller.
    least: usize,
    /// Where compiled code reads its bounds: in the instance that defines it, or in `own`.
    vm: NonNull<VmMemory>,
    own: bool,
    /// As [`MemoryData::is_pristine`].
    pristine: bool,
}

/// The error of a memory that broke a promise.
pub fn fault(error: &GrowError) -> Error {
    Error::usage(UsageKind::Contract, error.to_string())
}

/// Does what a limiter allowed, and notifies it if that failed. The embedder's allocator, which may be part
/// of it, may panic.
pub fn granted<V, E>(
    limiter: Option<&mut dyn Limiter>,
    (current, desired): (usize, usize),
    work: impl FnOnce() -> Result<V, E>,
) -> Result<V, E> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if let (Ok(Err(_)) | Err(_), Some(limiter)) = (&done, limiter) {
        limiter.memory_grow_failed(current, desired);
    }
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

impl MemoryData {
    /// A memory whose bounds are written to `vm`, or, of the host's, to a place of its own.
    pub(crate) fn new(
        ty: &MemoryType,
        linear: Memory,
        vm: Option<NonNull<VmMemory>>,
    ) -> MemoryData {
        let own = vm.is_none();
        let vm = vm.unwrap_or_else(|| {
            let empty = VmMemory { base: std::ptr::null_mut(), len: 0.into() };
            NonNull::from(Box::leak(Box::new(empty)))
        });
        let data = MemoryData { ty: *ty, least: linear.len(), linear, vm, own, pristine: true };
        data.publish();
        data
    }

    /// Writes the bounds to where compiled code reads them.
    pub(crate) fn publish(&self) {
        // SAFETY: `vm` lives as long as the store, and no guest reads it at this moment: the store
        // is borrowed mutably, or its guest waits in a builtin.
        unsafe {
            let vm = self.vm.as_ptr();
            (*vm).base = self.linear.base();
            (*vm).len.store(self.linear.len(), Ordering::Relaxed);
        }
    }

    /// Its type.
    pub fn ty(&self) -> MemoryType {
        self.ty
    }

    /// Says that its minimum is another one: that of the memory that it is made like.
    pub(crate) fn set_type(&mut self, ty: MemoryType) {
        self.ty = ty;
    }

    /// Whether neither a segment nor the host has written to it. If no guest ran either, it is as new.
    pub(crate) fn is_pristine(&self) -> bool {
        self.pristine
    }

    /// Notes that somebody else than its instance's segments writes to it.
    pub(crate) fn set_written(&mut self) {
        self.pristine = false;
    }

    pub(crate) fn vm(&self) -> NonNull<VmMemory> {
        self.vm
    }

    /// Notes that an instance relies on a minimum, in pages.
    pub(crate) fn rely_on(&mut self, min: u64) {
        let min = size_in_bytes(&self.ty, min).expect("the memory has so many pages");
        self.least = self.least.max(min);
    }

    /// Whether the bytes are the embedder's.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.linear, Memory::Custom(_))
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.linear.is_guarded()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.linear.len()
    }

    /// The most bytes that its type allows.
    pub(crate) fn most(&self) -> Option<usize> {
        limit_in_bytes(&self.ty)
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.linear.base()
    }

    /// Its size in pages.
    pub fn pages(&self) -> u64 {
        self.linear.len() as u64 >> self.ty.page_size_log2
    }

    /// Its contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `base` are accessible; the memory is not shared, and guests,
        // which alone could change it, do not run while the store is borrowed.
        unsafe { std::slice::from_raw_parts(self.linear.base(), self.linear.len()) }
    }

    /// Its contents, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.pristine = false;
        // SAFETY: as above, and the borrow of the store is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.linear.base(), self.linear.len()) }
    }

    /// Grows by `pages`; returns the pages before. `Ok(None)` if that is not allowed or possible. Growing by
    /// zero asks no limiter: it is how a guest reads the size. `stop` says whether moving the memory is to be
    /// interrupted.
    pub fn grow(
        &mut self,
        pages: u64,
        limiter: Option<&mut dyn Limiter>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<u64>> {
        let before = self.pages();
        if pages == 0 {
            return Ok(Some(before));
        }
        let limit = self.ty.max_pages();
        let Some(wanted) = before.checked_add(pages).filter(|w| *w <= limit) else {
            return Ok(None);
        };
        let Some(len) = size_in_bytes(&self.ty, wanted) else { return Ok(None) };
        let current = self.linear.len();
        let mut limiter = limiter;
        if let Some(limiter) = &mut limiter
            && !limiter.memory_growing(current, len, limit_in_bytes(&self.ty))?
        {
            return Ok(None);
        }
        match granted(limiter, (current, len), || self.linear.grow_to(len, stop)) {
            Ok(()) => {
                self.publish();
                Ok(Some(before))
            }
            Err(GrowError::Refused) => Ok(None),
            Err(error) => Err(fault(&error)),
        }
    }

    /// Notes the contents and the size.
    pub fn capture(&mut self) -> Result<MemoryCapture> {
        self.pristine = false;
        let ty = self.ty;
        self.linear
            .capture()
            .map_err(|e| Error::system(format!("cannot keep the contents of a {ty}"), e))
    }

    /// Notes from now on which parts are written, if that is possible.
    pub fn mark(&mut self) -> Option<Mark> {
        self.linear.mark()
    }

    /// See [`Memory::changed_since`].
    pub fn changed_since(&self, mark: Mark) -> Option<impl Fn(usize) -> bool + Sync + use<>> {
        self.linear.changed_since(mark)
    }

    /// See [`Memory::show_file`].
    pub fn show_file(&mut self, range: Range<usize>, place: (&ImmutableFile, u64)) -> bool {
        self.pristine = false;
        self.linear.show_file(range.start, range.len(), place)
    }

    /// Makes a new memory of the same size what this one is.
    pub(crate) fn fork_into(&mut self, child: &mut MemoryData) -> Result<()> {
        (self.pristine, child.pristine) = (false, false);
        let ty = self.ty;
        self.linear
            .fork_into(&mut child.linear)
            .map_err(|e| Error::system(format!("cannot fork the contents of a {ty}"), e))
    }

    /// Brings contents and size back. They may come from another memory of the same kind.
    ///
    /// # Errors
    ///
    /// An instance that was made since relies on a larger size, or the system refused: then the
    /// memory may be partly as it was captured.
    pub fn restore(&mut self, capture: &MemoryCapture) -> Result<()> {
        self.check_restore(capture)?;
        self.pristine = false;
        // SAFETY: slices of the memory borrow the store, as this does, and no instance relies on
        // more than `least`. Compiled code learns the bounds anew before its next access.
        let done = unsafe { self.linear.restore(capture) };
        self.publish();
        done.map_err(|e| Error::system("cannot bring back the contents of a memory", e))
    }

    /// Whether the memory may become as small again as it was.
    pub(crate) fn check_restore(&self, capture: &MemoryCapture) -> Result<()> {
        if capture.len() >= self.least {
            return Ok(());
        }
        Err(Error::usage(
            UsageKind::State,
            format!(
                "the memory cannot become {} bytes again: an instance was made since that needs {}",
                capture.len(),
                self.least
            ),
        ))
    }

    /// Gives the memory back to the engine when the store goes.
    pub(crate) fn release(self, engine: &crate::Engine) {
        if self.own {
            // SAFETY: leaked from a box in `new`; the store's instances are not used again.
            drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
        }
        match self.linear {
            Memory::Engine(memory) => engine.memories().give_back(memory, self.pristine),
            Memory::Custom(memory) => drop(memory),
        }
    }
}

pub(crate) fn limit_in_bytes(ty: &MemoryType) -> Option<usize> {
    size_in_bytes(ty, ty.max?)
}

/// The range of so many bytes, if it is inside of a memory.
///
/// # Errors
///
/// It is not.
pub fn checked(offset: usize, len: usize, size: usize) -> Result<std::ops::Range<usize>> {
    let end = offset.checked_add(len).filter(|end| *end <= size);
    let end = end.ok_or_else(|| {
        Error::usage(
            UsageKind::OutOfBounds,
            format!("{len} bytes at {offset:#x} are not inside a memory of {size} bytes"),
        )
    })?;
    Ok(offset..end)
}
