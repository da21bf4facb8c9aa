//! Memory for compiled code: one reservation per process, never writable and executable at once.
//!
//! ```text
//!   base                                                            base + RESERVED
//!   ┌────────────┬──────────────┬────────┬─────────── ─ ─ ─ ─ ──────┐
//!   │ code, RX   │ code, RX     │ free   │ never used               │
//!   └────────────┴──────────────┴────────┴─────────── ─ ─ ─ ─ ──────┘
//! ```
//!
//! Pieces are whole pages, since rights are. Where in its pages a piece begins differs from piece to
//! piece: small functions that all began a page would fight for the same few lines of the instruction
//! cache, and leave the rest of it unused.
//!
//! One range for all code makes "is this address guest code?" two comparisons, which a signal
//! handler may do.

use crate::addr::CodeAddr;
use crate::system;
use crate::torture::{self, Point};
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Address space asked for; where it is limited, less is taken.
const RESERVED: usize = if usize::BITS < 64 { 256 << 20 } else { (64_u64 << 30) as usize };
const LEAST: usize = 64 << 20;

/// A line of the cache, and a multiple of what code is aligned to.
const LINE: usize = 64;

static BASE: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Whether an address lies where compiled code is. Safe to ask in a signal handler.
#[inline]
pub fn contains(address: CodeAddr) -> bool {
    let address = address.as_usize();
    // A thread that sees the end sees the beginning.
    address < END.load(Ordering::Acquire) && address >= BASE.load(Ordering::Relaxed)
}

/// Whether the system lets a page be executable that was written before.
///
/// # Errors
///
/// Why not: systems and containers can forbid it, and there are processors for which there is no code. That memory or
/// addresses are used up now is no error.
pub fn may_execute() -> io::Result<()> {
    if !crate::COMPILED_CODE {
        let why = "no code is generated for this processor and system";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let size = system::page_size();
    let Some(page) = crate::mapping::Mapping::reserve_if_possible(size) else { return Ok(()) };
    // SAFETY: the page is ours and nothing is in it; rights that it has for a moment change nothing.
    let made = unsafe {
        system::make_writable(page.base(), size)
            .and_then(|()| system::make_executable(page.base(), size))
    };
    match made {
        Err(error) if !system::is_out_of_memory(&error) => Err(error),
        _ => Ok(()),
    }
}

static REGION: Mutex<Region> = Mutex::new(Region { free: Vec::new(), unclean: Vec::new() });

struct Region {
    /// Free ranges, sorted, as (start, length).
    free: Vec<(usize, usize)>,
    /// Ranges whose code is gone, but which the system refused to make inaccessible.
    unclean: Vec<(usize, usize)>,
}

fn region() -> MutexGuard<'static, Region> {
    REGION.lock().unwrap_or_else(|e| e.into_inner())
}

/// Reserves the range for all code, unless that was done before.
fn reserve(region: &mut Region) -> io::Result<()> {
    if END.load(Ordering::Relaxed) != 0 {
        return Ok(());
    }
    let mut size = RESERVED;
    while size >= LEAST {
        let base = torture::check(Point::Map).and_then(|()| system::reserve(size));
        if let Ok(base) = base {
            let base = base as usize;
            region.free.push((base, size));
            BASE.store(base, Ordering::Relaxed);
            END.store(base + size, Ordering::Release);
            return Ok(());
        }
        size /= 4;
    }
    // Not remembered: there may be room later.
    Err(io::Error::new(io::ErrorKind::OutOfMemory, "no address space left for compiled code"))
}

/// Drops the pages and the rights of a range.
///
/// # Safety
///
/// The range was taken from the region, and nothing uses it any more.
unsafe fn make_inaccessible(start: usize, size: usize) -> io::Result<()> {
    torture::check(Point::Map)?;
    // SAFETY: the range is ours by the caller's promise.
    unsafe { system::empty(start as *mut u8, size) }
}

impl Region {
    /// Takes a range without rights.
    fn take(&mut self, size: usize) -> Option<usize> {
        self.clean();
        let index = self.free.iter().position(|(_, length)| *length >= size)?;
        let (start, length) = self.free[index];
        if length == size {
            self.free.remove(index);
        } else {
            self.free[index] = (start + size, length - size);
        }
        Some(start)
    }

    /// Tries again what the system refused before.
    fn clean(&mut self) {
        while let Some((start, size)) = self.unclean.pop() {
            // SAFETY: it was taken, and its owner is gone.
            if unsafe { make_inaccessible(start, size) }.is_err() {
                self.unclean.push((start, size));
                return;
            }
            self.give_back(start, size);
        }
    }

    fn give_back(&mut self, start: usize, size: usize) {
        let index = self.free.partition_point(|(s, _)| *s < start);
        self.free.insert(index, (start, size));
        if self.free.get(index + 1).is_some_and(|(next, _)| start + size == *next) {
            self.free[index].1 += self.free.remove(index + 1).1;
        }
        if index > 0 {
            let (previous, length) = self.free[index - 1];
            if previous + length == start {
                self.free[index - 1].1 += self.free.remove(index).1;
            }
        }
    }
}

/// Executable code. Unmapped when dropped, so its owner must outlive every use.
#[derive(Debug)]
pub struct CodeMemory {
    /// The pages.
    pages: usize,
    size: usize,
    /// The code in them.
    start: CodeAddr,
    len: usize,
}

impl CodeMemory {
    /// Copies `text` to where it can be executed.
    ///
    /// # Errors
    ///
    /// No memory or address space is left, or the system forbids executable memory.
    pub fn publish(text: &[u8]) -> io::Result<CodeMemory> {
        let page = system::page_size();
        let size = text.len().max(1).next_multiple_of(page);
        let pages = {
            let mut region = region();
            reserve(&mut region)?;
            region.take(size)
        };
        let pages = pages.ok_or_else(|| {
            io::Error::new(io::ErrorKind::OutOfMemory, "no room left for compiled code")
        })?;
        let start = CodeAddr::from_usize(pages + next_offset(size - text.len()));
        let memory = CodeMemory { pages, size, start, len: text.len() };
        let at = pages as *mut u8;
        torture::check(Point::Protect)?;
        // SAFETY: the range was just taken, so nobody else uses it, and the text fits behind `start`; it
        // is writable before it is executable, never both.
        unsafe {
            system::make_writable(at, size)?;
            ptr::copy_nonoverlapping(text.as_ptr(), start.as_usize() as *mut u8, text.len());
            torture::check(Point::Protect)?;
            system::make_executable(at, size)?;
        }
        crate::arch::publish_instructions(start, text.len());
        Ok(memory)
    }

    /// Where it lies.
    pub fn range(&self) -> Range<CodeAddr> {
        self.start..self.start.add(self.len)
    }

    /// Address of the first byte.
    pub fn start(&self) -> CodeAddr {
        self.start
    }

    /// The part of the code between two addresses that is here.
    pub fn bytes(&self, range: Range<CodeAddr>) -> &[u8] {
        let Range { start, end } = self.range();
        let (start, end) = (range.start.clamp(start, end), range.end.clamp(start, end));
        let bytes = end.max(start).bytes_from(start);
        // SAFETY: inside what was published, which is readable and never changes as long as `self`
        // lives.
        unsafe { std::slice::from_raw_parts(start.as_usize() as *const u8, bytes) }
    }

    /// Bytes of code.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no code.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and nothing runs the code after its owner.
        let done = unsafe { make_inaccessible(self.pages, self.size) };
        let mut region = region();
        match done {
            Ok(()) => region.give_back(self.pages, self.size),
            Err(_) => region.unclean.push((self.pages, self.size)),
        }
    }
}

/// Where the next piece is to begin, if it leaves so many bytes of its pages free.
fn next_offset(free: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // An odd number of lines that is far from dividing a page: neighbours in time are far apart.
    const STEP: usize = 23;
    let line = NEXT.fetch_add(STEP, Ordering::Relaxed);
    line % (free / LINE + 1) * LINE
}

#[cfg(test)]
mod tests {
    use super::Region;

    #[test]
    fn free_ranges_join() {
        let mut region = Region { free: vec![(0x1000, 0x9000)], unclean: Vec::new() };
        let a = region.take(0x1000).unwrap();
        let b = region.take(0x2000).unwrap();
        let c = region.take(0x1000).unwrap();
        region.give_back(a, 0x1000);
        region.give_back(c, 0x1000);
        assert_eq!(region.free.len(), 2);
        region.give_back(b, 0x2000);
        assert_eq!(region.free, [(0x1000, 0x9000)]);
        assert_eq!(region.take(0xa000), None);
    }
}
