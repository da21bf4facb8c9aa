//! The heap at a moment, and which snapshots can be restored.
//!
//! ```text
//!   time ──>   snapshot A, with state    snapshot B    A is restored    B?
//! ```
//!
//! B's frames may hold objects that are not in A's image, so B cannot be restored any more; nor do handles of the
//! embedder's lead to such objects.

use std::ops::Range;
use wardian_vm::heap::HeapImage;

/// The heap at a moment.
pub struct HeapCapture {
    pub(super) image: HeapImage,
    /// See [`super::roots::Roots::moment`].
    pub(super) roots: u64,
    /// When it was taken, on the store's clock of snapshots.
    pub(super) time: u64,
    /// How many places there were that hold references: instances, tables, globals of the host's.
    pub(super) places: [usize; 3],
}

/// Which snapshots can be restored.
#[derive(Default)]
pub struct Timeline {
    /// Counts snapshots.
    pub(super) now: u64,
    /// Times at which the heap was one that has been replaced by an older image since.
    lost: Vec<Range<u64>>,
}

impl Timeline {
    /// The time of a snapshot that is taken now.
    pub(crate) fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub(crate) fn restored(&mut self, time: u64) {
        let lost = time + 1..self.now + 1;
        self.lost.retain(|range| range.start < lost.start);
        self.lost.push(lost);
    }

    pub(crate) fn is_lost(&self, time: u64) -> bool {
        self.lost.iter().any(|range| range.contains(&time))
    }
}

impl HeapCapture {
    /// All words that may be handles.
    pub fn words(&self) -> impl Iterator<Item = u64> {
        self.image.words()
    }
}

#[cfg(test)]
mod tests {
    use super::Timeline;

    #[test]
    fn what_was_taken_between_an_image_and_its_restore_is_lost() {
        let mut line = Timeline::default();
        let times: Vec<u64> = (0..4).map(|_| line.tick()).collect();
        line.restored(times[1]);
        let lost = |line: &Timeline| times.iter().map(|t| line.is_lost(*t)).collect::<Vec<_>>();
        assert_eq!(lost(&line), [false, false, true, true]);
        let later = line.tick();
        assert!(!line.is_lost(later));
        line.restored(times[0]);
        assert_eq!(lost(&line), [false, true, true, true]);
        assert!(line.is_lost(later));
        assert_eq!(line.lost.len(), 1);
    }
}
