//! Which parts of a memory were written since a moment, for those who keep its contents elsewhere.
//!
//! ```text
//!   memory   │ part 0 │ part 1 │ part 2 │ part 3 │ …       64 KiB each
//!   changed  │   4    │   1    │   6    │   4    │         the time at which it was last found to be written
//!   marks         times: 3, 5, 6                           since mark 5 only part 2 was written
//! ```
//!
//! The system notes the pages that are written. A mark asks for them, which makes the system forget them, and gives their
//! parts its time; so any number of marks can be asked about, in any order. What changes the pages of a memory without
//! writing to them (captures, restores, forks, a move) ends the tracking: then nothing is known about the marks of before,
//! and the next mark begins anew.

use super::{EngineMemory, Memory};
use crate::system::{track, untrack, written_tracked};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the parts of which it is known whether they were written.
pub const TRACKED_PART: usize = 64 << 10;

/// A moment in the life of a memory, from which on it is noted what is written: see [`Memory::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    tracker: u64,
    time: u64,
}

/// What a memory has for its marks.
#[derive(Debug)]
pub(super) struct Tracker {
    /// No two have the same.
    number: u64,
    /// The time of the next mark.
    now: u64,
    /// Bytes from the base on that the system watches.
    tracked: usize,
    /// By part.
    changed: Vec<u64>,
}

impl Memory {
    /// Notes from now on which parts are written. None if nobody can know.
    pub fn mark(&mut self) -> Option<Mark> {
        match self {
            Memory::Engine(memory) => memory.mark(),
            Memory::Custom(_) => None,
        }
    }

    /// Whether each part may have been written between a mark and the latest one. What the memory has grown by since is
    /// past the end, or may have been. None if that is not known.
    pub fn changed_since(&self, mark: Mark) -> Option<impl Fn(usize) -> bool + Sync + use<>> {
        let Memory::Engine(memory) = self else { return None };
        let tracker = memory.tracker.as_ref().filter(|tracker| tracker.number == mark.tracker)?;
        let changed: Vec<bool> = tracker.changed.iter().map(|time| *time > mark.time).collect();
        Some(move |part: usize| changed.get(part).copied().unwrap_or(true))
    }
}

impl EngineMemory {
    fn mark(&mut self) -> Option<Mark> {
        let done = self.update_tracker();
        if done.is_err() {
            self.end_tracking();
        }
        let tracker = self.tracker.as_mut()?;
        let mark = Mark { tracker: tracker.number, time: tracker.now };
        tracker.now += 1;
        Some(mark)
    }

    fn update_tracker(&mut self) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let base = self.base();
        let tracker = self.tracker.get_or_insert_with(|| Tracker {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            now: 1,
            tracked: 0,
            changed: Vec::new(),
        });
        if tracker.tracked > 0 {
            for run in written_tracked(base, tracker.tracked)? {
                tracker.set_changed(run);
            }
        }
        let (from, to) = (tracker.tracked, self.accessible);
        if from < to {
            track(base.wrapping_add(from), to - from)?;
            tracker.tracked = to;
            tracker.set_changed(from..to);
        }
        Ok(())
    }

    /// The pages will be others, or those of others: nothing is known about the marks of before.
    pub(super) fn end_tracking(&mut self) {
        if self.tracker.take().is_some() {
            untrack(self.base(), self.accessible);
        }
    }
}

impl Tracker {
    fn set_changed(&mut self, run: Range<usize>) {
        let parts = run.start / TRACKED_PART..run.end.div_ceil(TRACKED_PART);
        if parts.end > self.changed.len() {
            self.changed.resize(parts.end, 0);
        }
        self.changed[parts].fill(self.now);
    }
}
