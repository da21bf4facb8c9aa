//! Which types are supertypes of which: a table for compiled code, one for all stores of an engine.
//!
//! ```text
//!   row of a type, by its number    ┌──────────┬──────────┬─────┬──────────┐
//!                                   │ depth 0  │ depth 1  │ ... │ depth 7  │   number + 1 of the supertype there
//!                                   └──────────┴──────────┴─────┴──────────┘   or of the type itself; else zero
//! ```
//!
//! A type is a subtype of a type of depth `d` if its row has that type's number plus one at `d`. Deeper types are
//! left to the runtime.

use super::Mapping;
use crate::addr::DataAddr;
use crate::system::LAZY_PAGES;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use wardian_types::TypeNumber;

/// The table. Rows are written once, before the type's number is known to anybody else.
#[derive(Debug)]
pub struct Displays {
    mapping: Mapping,
}

impl Displays {
    /// Entries of a row.
    pub const DEPTH: usize = 8;
    /// Types that can have a row. No number is used twice, so an engine can see more types than that come and go.
    pub const TYPES: u32 = if LAZY_PAGES { 1 << 22 } else { 1 << 16 };
    /// Bytes of a row, as a power of two.
    pub const ROW_LOG2: u32 = 5;

    /// A table without rows: pages take memory only where there are some.
    ///
    /// # Errors
    ///
    /// The system has no address space left.
    pub fn new() -> io::Result<Displays> {
        let mapping = Mapping::reserve((Self::TYPES as usize) << Self::ROW_LOG2)?;
        mapping.make_accessible(0, mapping.size())?;
        Ok(Displays { mapping })
    }

    /// The address of the first row.
    pub fn address(&self) -> DataAddr {
        DataAddr::of(self.mapping.base())
    }

    /// Writes the row of a type: the numbers of its supertypes, the outermost first, and last its own. Returns
    /// false if the table has no row for that number.
    pub fn set(&self, number: TypeNumber, display: &[TypeNumber]) -> bool {
        if !Self::has_row(number) {
            return false;
        }
        for (depth, ancestor) in display.iter().take(Self::DEPTH).enumerate() {
            self.entry(number, depth).store(ancestor.as_u32().wrapping_add(1), Ordering::Relaxed);
        }
        true
    }

    /// Whether there is a row for a type. Code looks at the rows of all types of objects, and at the last one, which
    /// is no type's.
    pub const fn has_row(number: TypeNumber) -> bool {
        number.as_u32() < Self::TYPES - 1
    }

    fn entry(&self, number: TypeNumber, depth: usize) -> &AtomicU32 {
        assert!(number.as_u32() < Self::TYPES && depth < Self::DEPTH);
        let at = (number.index() << Self::ROW_LOG2) + 4 * depth;
        // SAFETY: in the mapping, all of which is accessible and aligned; rows are only accessed by atomics, and by
        // loads of compiled code.
        unsafe { AtomicU32::from_ptr(self.mapping.base().add(at).cast()) }
    }

    /// Whether a row has a type at a depth.
    pub fn has(&self, number: TypeNumber, depth: usize, ancestor: TypeNumber) -> bool {
        number.as_u32() < Self::TYPES
            && depth < Self::DEPTH
            && self.entry(number, depth).load(Ordering::Relaxed)
                == ancestor.as_u32().wrapping_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::Displays;
    use wardian_types::TypeNumber;

    #[test]
    fn rows_say_what_is_above() {
        let displays = Displays::new().unwrap();
        let set = |number, display: &[u32]| {
            let display: Vec<_> = display.iter().copied().map(TypeNumber::from_u32).collect();
            displays.set(TypeNumber::from_u32(number), &display)
        };
        let has = |number, depth, ancestor| {
            displays.has(TypeNumber::from_u32(number), depth, TypeNumber::from_u32(ancestor))
        };
        assert!(set(0, &[0]));
        assert!(set(7, &[0, 7]));
        assert!(set(Displays::TYPES - 2, &[0, 7, Displays::TYPES - 2]));
        assert!(has(7, 0, 0) && has(7, 1, 7) && !has(7, 2, 7));
        assert!(has(Displays::TYPES - 2, 1, 7));
        assert!(!set(Displays::TYPES - 1, &[0]));
        assert!(!has(3, 0, 0));
        assert!(!set(Displays::TYPES, &[0]));
        assert!(!has(Displays::TYPES, 0, 0));
        let deep: Vec<u32> = (10..30).collect();
        assert!(set(29, &deep));
        assert!(has(29, 7, 17) && !has(29, 8, 18));
    }
}
