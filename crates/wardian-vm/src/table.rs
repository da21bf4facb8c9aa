//! Elements of tables.
//!
//! ```text
//!   small:  an allocation                 large:  base         base + len            base + most
//!           ┌──────────────┐                      ┌─────────────┬─────────────────────┐
//!           │ len elements │                      │ read, write │ reserved, no rights │
//!           └──────────────┘                      └─────────────┴─────────────────────┘
//! ```
//!
//! A null element is zero, so the pages of a large table take memory only where something else is
//! written. A large table never moves.

use crate::mapping::{Mapping, round_up};
use crate::torture::{self, Point};
use std::io;

/// The elements of one table, each a reference as guests hold it; zero is null.
#[derive(Debug)]
pub struct TableElements {
    storage: Storage,
    len: usize,
    /// The most elements that there may ever be.
    most: usize,
}

#[derive(Debug)]
enum Storage {
    Allocated(Vec<u64>),
    Pages {
        mapping: Mapping,
        /// Bytes with rights, whole pages. Those past the elements are zero.
        accessible: usize,
    },
}

/// Tables of more elements than this have pages of their own.
const LARGE: usize = 8192;

impl TableElements {
    /// So many null elements, of which there may be `most` some day.
    ///
    /// # Errors
    ///
    /// The system has no memory or address space for them.
    pub fn new(len: usize, most: usize) -> io::Result<TableElements> {
        let storage = Storage::Allocated(Vec::new());
        let mut elements = TableElements { storage, len: 0, most: most.max(len) };
        elements.grow(len)?;
        Ok(elements)
    }

    /// The first element; it is aligned also if there is none.
    pub fn base(&mut self) -> *mut u64 {
        match &mut self.storage {
            Storage::Allocated(elements) => elements.as_mut_ptr(),
            Storage::Pages { mapping, .. } => mapping.base().cast(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Grows to `len` elements; the new ones are null. The base may change.
    ///
    /// # Errors
    ///
    /// It is more than there may be, or the system has no memory for them; then nothing has changed.
    pub fn grow(&mut self, len: usize) -> io::Result<()> {
        if len < self.len || len > self.most {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match &mut self.storage {
            Storage::Allocated(elements) if len <= LARGE => {
                torture::check(Point::Allocate)?;
                elements.try_reserve(len - self.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
                elements.resize(len, 0);
            }
            Storage::Allocated(elements) => {
                let want = size(len)?;
                let mapping = Mapping::reserve(size(self.most)?)?;
                mapping.make_accessible(0, want)?;
                // SAFETY: the pages are new, accessible and as large at least; a page is aligned.
                unsafe {
                    let to = mapping.base().cast::<u64>();
                    std::ptr::copy_nonoverlapping(elements.as_ptr(), to, self.len);
                }
                self.storage = Storage::Pages { mapping, accessible: want };
            }
            Storage::Pages { mapping, accessible } => {
                let want = size(len)?;
                if want > *accessible {
                    mapping.make_accessible(*accessible, want - *accessible)?;
                    *accessible = want;
                }
            }
        }
        self.len = len;
        Ok(())
    }

    /// Makes all elements null and their number `len`, which is at most the present one. The memory of a
    /// large table is released. The base does not change.
    ///
    /// # Errors
    ///
    /// The system refused; then some elements may be null already.
    ///
    /// # Safety
    ///
    /// Nobody refers to the elements.
    pub unsafe fn clear(&mut self, len: usize) -> io::Result<()> {
        if len > self.len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match &mut self.storage {
            Storage::Allocated(elements) => {
                elements.truncate(len);
                elements.fill(0);
            }
            Storage::Pages { mapping, accessible } => {
                // SAFETY: nobody relies on what is in there, by the caller's promise.
                unsafe { mapping.discard(0, *accessible)? };
            }
        }
        self.len = len;
        Ok(())
    }
}

/// Elements in bytes, whole pages.
fn size(elements: usize) -> io::Result<usize> {
    let bytes = elements.checked_mul(size_of::<u64>()).and_then(round_up);
    bytes.ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(elements: &mut TableElements) -> Vec<u64> {
        // SAFETY: so many elements are there, and nothing writes them now.
        unsafe { std::slice::from_raw_parts(elements.base(), elements.len()) }.to_vec()
    }

    fn write(elements: &mut TableElements, at: usize, value: u64) {
        assert!(at < elements.len());
        // SAFETY: the element is there.
        unsafe { elements.base().add(at).write(value) }
    }

    #[test]
    fn elements_are_null_until_written_and_after_clearing() {
        for lens in [[3, 700, LARGE], [10, LARGE + 1, 3 * LARGE], [2 * LARGE, 2 * LARGE, 4 * LARGE]]
        {
            let mut elements = TableElements::new(lens[0], 4 * LARGE).unwrap();
            assert_eq!(read(&mut elements), vec![0; lens[0]]);
            write(&mut elements, lens[0] - 1, 7);
            elements.grow(lens[1]).unwrap();
            let mut expected = vec![0; lens[1]];
            expected[lens[0] - 1] = 7;
            assert_eq!(read(&mut elements), expected);
            write(&mut elements, lens[1] - 1, 8);
            let base = elements.base();
            // SAFETY: no slice of the elements is left.
            unsafe { elements.clear(1).unwrap() };
            assert_eq!((read(&mut elements), elements.base()), (vec![0], base));
            elements.grow(lens[2]).unwrap();
            assert_eq!(read(&mut elements), vec![0; lens[2]]);
            assert!(elements.grow(4 * LARGE + 1).is_err());
            assert_eq!(elements.len(), lens[2]);
        }
    }

    #[test]
    fn a_large_table_does_not_move() {
        let mut elements = TableElements::new(LARGE + 1, 10_000_000).unwrap();
        let base = elements.base();
        for len in [LARGE + 2, 100_000, 10_000_000] {
            elements.grow(len).unwrap();
            assert_eq!(elements.base(), base);
        }
    }
}
