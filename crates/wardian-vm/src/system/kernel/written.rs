//! Which pages of a private view were written: the system knows, since they are no longer pages of the file.

use crate::system::{Written, forks};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::sync::{Arc, RwLock};

/// What was written in `[base, base + len)` since the range was mapped or last discarded. `None` if the system does not
/// say.
pub(crate) fn written(base: *const u8, len: usize) -> Option<Written> {
    let ways = ways();
    let pagemap = pagemap().ok()?;
    if ways.scan
        && let Ok(found) = scan(&pagemap.1, base as u64, len)
    {
        return Some(found);
    }
    // Before Linux 6.7.
    if ways.words { read_words(&pagemap.1, base as u64, len).ok() } else { None }
}

/// Which ways the system has, in words.
///
/// # Errors
///
/// It has not the call.
pub(crate) fn written_pages() -> Result<String, String> {
    let neither = "neither PAGEMAP_SCAN nor /proc/self/pagemap";
    let Ok(pagemap) = pagemap() else { return Err(neither.into()) };
    let page = rustix::param::page_size();
    let here = (std::ptr::from_ref(&page) as usize / page * page) as u64;
    if scan(&pagemap.1, here, page).is_ok() {
        return Ok("PAGEMAP_SCAN".into());
    }
    match read_words(&pagemap.1, here, page) {
        Ok(_) => Err("no PAGEMAP_SCAN; /proc/self/pagemap can be read".into()),
        Err(_) => Err(neither.into()),
    }
}

/// Which ways of asking the system may be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// The call `PAGEMAP_SCAN`.
    pub(crate) scan: bool,
    /// The words of the page map.
    pub(crate) words: bool,
}

impl Ways {
    /// All of them.
    pub(crate) const ALL: Ways = Ways { scan: true, words: true };
}

#[cfg(not(test))]
const fn ways() -> Ways {
    Ways::ALL
}

#[cfg(test)]
thread_local! {
    /// What a test pretends that the system has.
    pub(crate) static WAYS: std::cell::Cell<Ways> = const { std::cell::Cell::new(Ways::ALL) };
}

#[cfg(test)]
fn ways() -> Ways {
    WAYS.get()
}

/// The page map of this process, with the number of forks before it was opened: the file stays the one of the
/// process that opened it.
type PageMap = Arc<(u64, OwnedFd)>;

fn pagemap() -> io::Result<PageMap> {
    static OPENED: RwLock<Option<PageMap>> = RwLock::new(None);
    let now = forks();
    let known = OPENED.read().unwrap_or_else(|e| e.into_inner()).clone();
    if let Some(known) = known.filter(|known| known.0 == now) {
        return Ok(known);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open("/proc/self/pagemap", flags, Mode::empty())?;
    let opened = Arc::new((now, file));
    *OPENED.write().unwrap_or_else(|e| e.into_inner()) = Some(opened.clone());
    Ok(opened)
}

/// `struct pm_scan_arg` of Linux.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of Linux.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// Flags: pages that are found are protected, so that the next writes to them are noted; a part that is not tracked is
/// an error.
const PROTECT_WHAT_IS_FOUND: u64 = 1;
const ONLY_TRACKED: u64 = 1 << 1;

const IS_WRITTEN: u64 = 1 << 1;
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;
const IS_ZERO: u64 = 1 << 5;

/// The call, of which the output is the number of regions.
struct Scan<'a>(&'a mut ScanArg);

// SAFETY: the opcode is that of `PAGEMAP_SCAN`, whose argument is a `pm_scan_arg`; it writes to that, and to the
// regions that it points to, which `regions` owns meanwhile.
unsafe impl Ioctl for Scan<'_> {
    type Output = usize;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<ScanArg>(b'f', 16)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<usize> {
        Ok(usize::try_from(out).unwrap_or(0))
    }
}

/// Written pages are not of a file, not the system's page of zeroes, and somewhere.
fn scan(pagemap: &OwnedFd, base: u64, len: usize) -> io::Result<Written> {
    let mut found = Written::default();
    let question = ScanArg {
        category_anyof_mask: IS_PRESENT | IS_SWAPPED,
        return_mask: IS_FILE | IS_ZERO,
        ..ScanArg::default()
    };
    regions(pagemap, base, len, &question, |run, categories| found.add(run, categories != 0))?;
    Ok(found)
}

/// What was written in `[base, base + len)` since the last question, or since [`super::tracking::track`]; all of it is
/// noted anew.
///
/// # Errors
///
/// It is not tracked as a whole.
pub(super) fn written_since(base: *const u8, len: usize) -> io::Result<Vec<Range<usize>>> {
    let mut found = Written::default();
    let question = ScanArg {
        flags: PROTECT_WHAT_IS_FOUND | ONLY_TRACKED,
        category_mask: IS_WRITTEN,
        return_mask: IS_WRITTEN,
        ..ScanArg::default()
    };
    regions(&pagemap()?.1, base as u64, len, &question, |run, _| found.add(run, false))?;
    Ok(found.runs)
}

/// Asks which runs of pages are of these kinds, and gives them with the kinds.
fn regions(
    pagemap: &OwnedFd,
    base: u64,
    len: usize,
    question: &ScanArg,
    mut each: impl FnMut(Range<usize>, u64),
) -> io::Result<()> {
    let mut regions = [Region::default(); 64];
    let end = base + len as u64;
    let mut at = base;
    while at < end {
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start: at,
            end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            ..*question
        };
        // SAFETY: the call only writes to `arg` and to `vec_len` regions, which are ours; it may protect pages that are
        // tracked, of which the system takes the protection away when they are written.
        let count = unsafe { rustix::ioctl::ioctl(pagemap, Scan(&mut arg))? };
        for region in regions.iter().take(count) {
            each((region.start - base) as usize..(region.end - base) as usize, region.categories);
        }
        if arg.walk_end <= at {
            return Err(io::ErrorKind::Unsupported.into());
        }
        at = arg.walk_end;
    }
    Ok(())
}

const WORD_PRESENT: u64 = 1 << 63;
const WORD_SWAPPED: u64 = 1 << 62;
const WORD_FILE: u64 = 1 << 61;

fn read_words(pagemap: &OwnedFd, base: u64, len: usize) -> io::Result<Written> {
    let page = rustix::param::page_size();
    let mut words = [0; 8 << 10];
    let (mut at, mut found) = (0, Written::default());
    while at < len {
        let want = words.len().min((len - at) / page * 8);
        let offset = (base + at as u64) / page as u64 * 8;
        let read = rustix::io::pread(pagemap, &mut words[..want], offset)? / 8 * 8;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for word in words[..read].chunks_exact(8) {
            let word = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
            if word & (WORD_PRESENT | WORD_SWAPPED) != 0 {
                found.add(at..at + page, word & WORD_FILE != 0);
            }
            at += page;
        }
    }
    Ok(found)
}

impl Written {
    /// Adds a run of pages, which may continue the last one.
    fn add(&mut self, run: Range<usize>, only_read: bool) {
        match self.runs.last_mut() {
            _ if only_read => self.read += run.len(),
            Some(last) if last.end == run.start => last.end = run.end,
            _ => self.runs.push(run),
        }
    }
}

/// What is done without the call that says which pages were written.
pub(crate) const WRITTEN_INSTEAD: &str =
    "the words of /proc/self/pagemap are read; without those, snapshots compare all pages";
