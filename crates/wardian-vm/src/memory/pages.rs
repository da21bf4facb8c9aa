//! The pages of a memory as they were when it was last captured, and what they were at captures before.
//!
//! ```text
//!   memory     ┌──────┬───────┬──────┬───────┬──────────────┐   a private view of the range; what is written
//!              │ view │ own   │ view │ own   │ zeroes       │   goes to pages of its own
//!              └──────┴───────┴──────┴───────┴──────────────┘
//!   range      ┌─────────────────────────────┬ ─ ─ ─ ─ ─ ─ ─    the contents at the capture that the memory
//!              │ a page at the place it has in the memory         was captured at, or brought back to, last
//!              └─────────────────────────────┴ ─ ─ ─ ─ ─ ─ ─
//!   kept       page 7: at times 2..5 it was …                   former pages that a capture still needs
//!              page 9: at times 0..3 it was …
//! ```
//!
//! - **Capture**: the memory's own pages are written to the range, what they replace is kept, and the memory shows
//!   the range again. It costs what was written since the last capture.
//! - **Restore of the latest capture**: the memory's own pages are dropped.
//! - **Restore of another one**: before that, the pages that have changed since are written to the range, and what
//!   they replace is kept. The capture is then the latest.
//!
//! After a fork several memories show one range ([`super::fork`]). Nobody writes to it then: a memory that is captured,
//! or restored to another capture, gets a range of its own before.
//!
//! So a memory has one mapping of one range however many captures there are, and a capture takes the pages in which
//! it differs from the range. The range has a time, which counts its changes; a capture is a time, and a kept page
//! has the times during which it was in the range. It is dropped when no capture has one of these.

use super::page_file::{PageRange, check_room};
use crate::torture::{self, Point};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// The range of a memory with its history.
#[derive(Debug)]
pub(super) struct Pages {
    /// Written only as long as no other memory shows it.
    range: Arc<PageRange>,
    history: Arc<Mutex<History>>,
}

/// Names the contents of the range at a moment.
#[derive(Debug)]
pub(super) struct Version {
    number: VersionNumber,
    history: Arc<Mutex<History>>,
}

/// How many versions of a range there were before one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct VersionNumber(u64);

/// How often a range had changed at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Time(u64);

/// A page of a range, by how many are before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PageIndex(usize);

impl PageIndex {
    /// The page that begins so many bytes from where the range does.
    fn at(bytes: usize) -> PageIndex {
        PageIndex(bytes / crate::system::page_size())
    }

    /// How many bytes it is from where the range begins.
    fn start(self) -> usize {
        self.0 * crate::system::page_size()
    }
}

#[derive(Debug, Default)]
struct History {
    now: Time,
    /// The time of each version.
    versions: BTreeMap<VersionNumber, Time>,
    /// The number of the next version.
    next: VersionNumber,
    /// By the time until which they were in the range.
    kept: Vec<Kept>,
    /// When pages of the range were changed last, if ever.
    since: HashMap<PageIndex, Time>,
    /// Pages and versions that there may be before pages are looked for that nobody needs.
    most_kept: usize,
    least_versions: usize,
}

/// What a page of the range was.
#[derive(Debug)]
struct Kept {
    page: PageIndex,
    times: Range<Time>,
    /// None if it was zero.
    bytes: Option<Box<[u8]>>,
}

/// Bytes that are compared and written at once, at most.
const CHUNK: usize = 256 << 10;

/// Pages kept before it is worth looking for those that nobody needs.
const FEW: usize = 64;

impl History {
    /// Whether a version has the page as it is in the range now.
    fn is_needed(&self, page: PageIndex, newest: Option<Time>) -> bool {
        let since = self.since.get(&page).copied().unwrap_or_default();
        newest.is_some_and(|time| time >= since)
    }

    /// Notes that a page is changed at the present time, and what it was before if a version needs that.
    fn change(&mut self, page: PageIndex, newest: Option<Time>, bytes: &[u8]) -> io::Result<()> {
        let (now, since) = (self.now, self.since.get(&page).copied().unwrap_or_default());
        torture::check(Point::Allocate)?;
        self.kept.try_reserve(1).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if self.is_needed(page, newest) {
            check_room(bytes.len())?;
            let bytes = if super::capture::is_zero(bytes) { None } else { Some(copy(bytes)?) };
            self.kept.push(Kept { page, times: since..now, bytes });
        }
        // Versions that come later have later times.
        if newest.is_some() {
            self.since.insert(page, now);
        }
        Ok(())
    }

    fn newest(&self) -> Option<Time> {
        self.versions.values().copied().max()
    }

    /// Drops the pages that no version has, if there may be many.
    fn tidy(&mut self) {
        let few = self.kept.len() <= self.most_kept.max(FEW);
        if few && self.versions.len() >= self.least_versions {
            return;
        }
        if self.versions.is_empty() {
            self.since = HashMap::new();
        }
        let mut times: Vec<Time> = self.versions.values().copied().collect();
        times.sort_unstable();
        self.kept.retain(|kept| {
            let first = times.partition_point(|time| *time < kept.times.start);
            times.get(first).is_some_and(|time| *time < kept.times.end)
        });
        self.kept.shrink_to(self.kept.len() * 2);
        self.most_kept = self.kept.len() * 2;
        self.least_versions = (self.versions.len() * 3).div_ceil(4);
    }
}

fn copy(bytes: &[u8]) -> io::Result<Box<[u8]>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy.into_boxed_slice())
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(|e| e.into_inner())
}

impl Pages {
    /// For a memory of at most `size` bytes, whole pages; all of them are zero.
    pub(super) fn new(size: usize) -> io::Result<Pages> {
        Ok(Pages::sharing(Arc::new(PageRange::new(size)?)))
    }

    /// For a memory that shows a range which other memories may show too.
    pub(super) fn sharing(range: Arc<PageRange>) -> Pages {
        Pages { range, history: Arc::default() }
    }

    pub(super) fn range(&self) -> &Arc<PageRange> {
        &self.range
    }

    /// Whether neither another memory nor another process shows the range, so that it may be written.
    pub(super) fn is_own(&mut self) -> bool {
        self.range.is_ours() && Arc::get_mut(&mut self.range).is_some()
    }

    /// Makes sure that the range is at least so large, and that nobody else shows it. If it is another one now, returns
    /// the former one, which has to be kept as long as the memory shows it.
    pub(super) fn renew(&mut self, size: usize) -> io::Result<Option<Arc<PageRange>>> {
        if size <= self.range.size() && self.is_own() {
            return Ok(None);
        }
        let mut new = PageRange::new(size.max(self.range.size()))?;
        let mut bytes = vec![0; CHUNK.min(self.range.end())];
        for at in (0..self.range.end()).step_by(CHUNK) {
            let len = CHUNK.min(self.range.end() - at);
            self.range.read(at, &mut bytes[..len])?;
            if !super::capture::is_zero(&bytes[..len]) {
                new.write(at, &bytes[..len])?;
            }
        }
        Ok(Some(std::mem::replace(&mut self.range, Arc::new(new))))
    }

    /// The range, to be written: [`Pages::renew`] made sure that it is nobody else's.
    fn own(range: &mut Arc<PageRange>) -> io::Result<&mut PageRange> {
        Arc::get_mut(range).ok_or_else(|| io::Error::other("another memory shows the pages"))
    }

    /// Makes the range what `memory` is, which differs from it at most in `runs`, whole pages. If that fails, the
    /// range may have changed in part; versions have not.
    pub(super) fn update(&mut self, memory: &[u8], runs: &[Range<usize>]) -> io::Result<()> {
        let mut history = lock(&self.history);
        history.now.0 += 1;
        let newest = history.newest();
        let page = crate::system::page_size();
        let mut buffer = Vec::new();
        let chunks = runs
            .iter()
            .flat_map(|run| run.clone().step_by(CHUNK).map(|at| at..(at + CHUNK).min(run.end)));
        for chunk in chunks {
            buffer.resize(chunk.len(), 0);
            self.range.read(chunk.start, &mut buffer)?;
            let pages = || buffer.chunks(page).zip(memory[chunk.clone()].chunks(page));
            let starts = || (chunk.start..chunk.end).step_by(page);
            let mut changed = Vec::new();
            for (at, (old, new)) in starts().zip(pages()) {
                if old != new {
                    history.change(PageIndex::at(at), newest, old)?;
                    match changed.last_mut() {
                        Some(Range { end, .. }) if *end == at => *end = at + page,
                        _ => changed.push(at..at + page),
                    }
                }
            }
            for run in changed {
                Pages::own(&mut self.range)?.write(run.start, &memory[run])?;
            }
        }
        Ok(())
    }

    /// Notes that the first `end` bytes of the range may not be zero: a memory writes to them.
    pub(super) fn set_end(&mut self, end: usize) -> io::Result<()> {
        Pages::own(&mut self.range)?.set_end(end);
        Ok(())
    }

    /// Names the present contents of the range.
    pub(super) fn version(&mut self) -> Version {
        let mut history = lock(&self.history);
        let (number, now) = (history.next, history.now);
        history.next.0 += 1;
        history.versions.insert(number, now);
        history.least_versions =
            history.least_versions.max((history.versions.len() * 3).div_ceil(4));
        history.tidy();
        Version { number, history: self.history.clone() }
    }

    /// Whether a version is one of this range.
    pub(super) fn has(&self, version: &Version) -> bool {
        Arc::ptr_eq(&self.history, &version.history)
    }

    /// Makes the range what it was at a version of it. If that fails, it may have changed in part. Returns the former
    /// range if it is another one now, as [`Pages::renew`] does.
    pub(super) fn return_to(&mut self, version: &Version) -> io::Result<Option<Arc<PageRange>>> {
        let shared = self.history.clone();
        let mut history = lock(&shared);
        let mut former = None;
        let time = history.versions[&version.number];
        let first = history.kept.partition_point(|kept| kept.times.end <= time);
        // Of each page what was replaced first since then.
        let mut changed = BTreeMap::new();
        for (at, kept) in history.kept.iter().enumerate().skip(first) {
            changed.entry(kept.page).or_insert(at);
        }
        if !changed.is_empty() {
            former = self.renew(0)?;
            history.now.0 += 1;
            let newest = history.newest();
            let changed: Vec<(PageIndex, usize)> = changed.into_iter().collect();
            let size = crate::system::page_size();
            // Pages next to each other at once.
            let runs = changed.chunk_by(|one, next| one.0.0 + 1 == next.0.0);
            for run in runs.flat_map(|run| run.chunks(CHUNK / size)) {
                let start = run[0].0.start();
                let mut bytes = vec![0; run.len() * size];
                self.range.read(start, &mut bytes)?;
                for ((page, at), bytes) in run.iter().zip(bytes.chunks_mut(size)) {
                    history.change(*page, newest, bytes)?;
                    match &history.kept[*at].bytes {
                        Some(then) => bytes.copy_from_slice(then),
                        None => bytes.fill(0),
                    }
                }
                Pages::own(&mut self.range)?.write(start, &bytes)?;
            }
            let now = history.now;
            history.versions.insert(version.number, now);
        }
        history.tidy();
        Ok(former)
    }

    /// Former pages that are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        lock(&self.history).kept.len()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // Versions may live on, but nothing can return to them.
        let mut history = lock(&self.history);
        (history.kept, history.since) = Default::default();
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        let mut history = lock(&self.history);
        history.versions.remove(&self.number);
        history.tidy();
    }
}
