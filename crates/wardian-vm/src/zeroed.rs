//! Blocks of zeroes. A large one takes memory only where it is written.

use crate::mapping::Mapping;
use std::alloc::Layout;
use std::ptr::NonNull;

/// A block that began zeroed, aligned to 16 bytes. It never moves.
#[derive(Debug)]
pub struct Zeroed {
    at: NonNull<u8>,
    size: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Allocator(Layout),
    Pages { _kept: Mapping },
}

// SAFETY: a block belongs to no thread; who reads and writes it sees to the rest.
unsafe impl Send for Zeroed {}
// SAFETY: shared references only give the address and the size.
unsafe impl Sync for Zeroed {}

/// From here on the system's pages are used: an allocator that has such a block left over would have to
/// write it all.
const LARGE: usize = 1 << 20;

impl Zeroed {
    /// A block of so many bytes, at least one. Without memory the process ends, as with other
    /// allocations.
    ///
    /// # Panics
    ///
    /// It is more than half of the address space.
    pub fn new(size: usize) -> Zeroed {
        if size >= LARGE
            && let Ok(pages) = Mapping::reserve(size)
            && pages.make_accessible(0, pages.size()).is_ok()
            && let Some(at) = NonNull::new(pages.base())
        {
            return Zeroed { at, size, source: Source::Pages { _kept: pages } };
        }
        let layout = Layout::from_size_align(size.max(1), 16).expect("sizes are far smaller");
        // SAFETY: the size is not zero.
        let at = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(at) = NonNull::new(at) else { std::alloc::handle_alloc_error(layout) };
        Zeroed { at, size, source: Source::Allocator(layout) }
    }

    /// Where it begins.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.at
    }

    /// Its size in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        if let Source::Allocator(layout) = self.source {
            // SAFETY: allocated in `new` with this layout.
            unsafe { std::alloc::dealloc(self.at.as_ptr(), layout) }
        }
    }
}
