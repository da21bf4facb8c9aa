//! The heap as part of snapshots with state and of images.
//!
//! ```text
//!   time ──>   snapshot A, with state    snapshot B    A is restored    B?
//! ```
//!
//! B's frames may hold objects that are not in A's image, so B cannot be restored any more; nor do handles of the
//! embedder's lead to such objects.

use super::super::store::StoreInner;
use crate::error::UsageKind;
use crate::{Error, Result};
use std::ops::Range;
use wardian_vm::heap::HeapImage;

/// The heap at a moment.
pub(crate) struct HeapCapture {
    image: HeapImage,
    /// See [`super::Roots::moment`].
    roots: u64,
    /// When it was taken, on the store's clock of snapshots.
    time: u64,
    /// How many places there were that hold references: instances, tables, globals of the host's.
    places: [usize; 3],
}

/// Which snapshots can be restored.
#[derive(Default)]
pub(crate) struct Timeline {
    /// Counts snapshots.
    now: u64,
    /// Times at which the heap was one that has been replaced by an older image since.
    lost: Vec<Range<u64>>,
}

impl Timeline {
    /// The time of a snapshot that is taken now.
    pub(crate) fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn restored(&mut self, time: u64) {
        let lost = time + 1..self.now + 1;
        self.lost.retain(|range| range.start < lost.start);
        self.lost.push(lost);
    }

    fn is_lost(&self, time: u64) -> bool {
        self.lost.iter().any(|range| range.contains(&time))
    }
}

impl HeapCapture {
    /// All words that may be handles.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.image.words()
    }
}

impl StoreInner {
    /// When a snapshot is taken now.
    pub(in crate::raw) fn snapshot_time(&mut self) -> u64 {
        self.gc.timeline.tick()
    }

    /// Whether what a snapshot without state holds is still there.
    pub(in crate::raw) fn check_time(&self, time: u64) -> Result<()> {
        if !self.gc.timeline.is_lost(time) {
            return Ok(());
        }
        Err(Error::usage(
            UsageKind::State,
            "a snapshot without state cannot be restored: since it was taken, an older one with state was restored, \
             whose heap does not have the objects that its frames may hold",
        ))
    }

    /// Copies the heap, if there is one, for a snapshot that is about to be taken.
    pub(in crate::raw) fn capture_heap(&mut self) -> Option<HeapCapture> {
        let time = self.gc.timeline.now + 1;
        let (roots, places) = (self.gc.roots.moment(), self.places());
        let heap = self.gc.heap.as_ref()?;
        Some(HeapCapture { image: heap.capture(), roots, time, places })
    }

    fn places(&self) -> [usize; 3] {
        [self.instances.len(), self.tables.len(), self.host_global_refs.len()]
    }

    /// Whether the heap can be brought back: what came later could hold objects that are not in it.
    pub(in crate::raw) fn check_heap(&self, capture: Option<&HeapCapture>) -> Result<()> {
        match capture {
            Some(capture) if capture.places != self.places() => Err(Error::usage(
                UsageKind::State,
                "an earlier state cannot be brought back: an instance, a table or a global that can hold objects was \
                 made since, and the heap of that state does not have them",
            )),
            _ => Ok(()),
        }
    }

    /// Brings the heap back; it was checked.
    pub(in crate::raw) fn restore_heap(&mut self, capture: Option<&HeapCapture>) -> Result<()> {
        let Some(capture) = capture else { return Ok(()) };
        let ctx = self.ctx();
        let Some(heap) = self.gc.heap.as_mut() else { return Ok(()) };
        // SAFETY: the context lives as long as the store, and no guest runs.
        let words = unsafe { &mut (*ctx).heap };
        heap.restore(words, &capture.image)
            .map_err(|e| Error::system("cannot bring back the heap", e))?;
        self.gc.roots.drop_since(capture.roots);
        self.gc.timeline.restored(capture.time);
        Ok(())
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
