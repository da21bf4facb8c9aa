//! The heap as part of snapshots with state and of images.
//!
//! ```text
//!   time ──>   snapshot A, with state    snapshot B    A is restored    B?
//! ```
//!
//! B's frames may hold objects that are not in A's image, so B cannot be restored any more; nor do handles of the
//! embedder's lead to such objects.

use crate::error::UsageKind;
use crate::gc::timeline::HeapCapture;
use crate::store::inner::StoreInner;
use crate::{Error, Result};

impl StoreInner {
    /// When a snapshot is taken now.
    pub(crate) fn snapshot_time(&mut self) -> u64 {
        self.gc.timeline_mut().tick()
    }

    /// Whether what a snapshot without state holds is still there.
    pub(crate) fn check_time(&self, time: u64) -> Result<()> {
        if !self.gc.timeline().is_lost(time) {
            return Ok(());
        }
        Err(Error::usage(
            UsageKind::State,
            "a snapshot without state cannot be restored: since it was taken, an older one with state was restored, \
             whose heap does not have the objects that its frames may hold",
        ))
    }

    /// Copies the heap, if there is one, for a snapshot that is about to be taken.
    pub(crate) fn capture_heap(&mut self) -> Option<HeapCapture> {
        let time = self.gc.timeline().now + 1;
        let (roots, places) = (self.gc.roots().moment(), self.places());
        let heap = self.gc.heap()?;
        Some(HeapCapture { image: heap.capture(), roots, time, places })
    }

    fn places(&self) -> [usize; 3] {
        [
            self.entities.instances().len(),
            self.entities.tables().len(),
            self.entities.globals().reference_count(),
        ]
    }

    /// Whether the heap can be brought back: what came later could hold objects that are not in it.
    pub(crate) fn check_heap(&self, capture: Option<&HeapCapture>) -> Result<()> {
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
    pub(crate) fn restore_heap(&mut self, capture: Option<&HeapCapture>) -> Result<()> {
        let Some(capture) = capture else { return Ok(()) };
        let ctx = self.ctx();
        let Some(heap) = self.gc.heap_mut() else { return Ok(()) };
        // SAFETY: the context lives as long as the store, and no guest runs.
        let words = unsafe { &mut (*ctx).heap };
        heap.restore(words, &capture.image)
            .map_err(|e| Error::system("cannot bring back the heap", e))?;
        self.gc.roots().drop_since(capture.roots);
        self.gc.timeline_mut().restored(capture.time);
        Ok(())
    }
}
