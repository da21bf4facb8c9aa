//! What was taken of a store and may be put back: snapshots of its guests, and images of it.

use crate::store::image::ImageData;
use crate::store::snapshot::SnapshotData;
use std::sync::{Arc, Weak};

/// Snapshots and images, as long as somebody has them.
#[derive(Default)]
pub(crate) struct Taken {
    /// Whether host functions may take snapshots.
    snapshots_allowed: bool,
    /// Those whose bytes may hold references.
    snapshots: Vec<Weak<SnapshotData>>,
    images: Vec<Weak<ImageData>>,
}

impl Taken {
    /// Whether host functions may take snapshots.
    #[inline]
    pub(crate) fn allows_snapshots(&self) -> bool {
        self.snapshots_allowed
    }

    /// Sets whether they may; returns whether they could before.
    pub(crate) fn allow_snapshots(&mut self, allowed: bool) -> bool {
        std::mem::replace(&mut self.snapshots_allowed, allowed)
    }

    /// Notes a snapshot whose bytes may hold references: a collection is to find them.
    pub(crate) fn keep_snapshot(&mut self, snapshot: &Arc<SnapshotData>) {
        self.snapshots.retain(|known| known.strong_count() > 0);
        self.snapshots.push(Arc::downgrade(snapshot));
    }

    /// The snapshots that may hold references.
    pub(crate) fn snapshots(&self) -> Vec<Arc<SnapshotData>> {
        self.snapshots.iter().filter_map(Weak::upgrade).collect()
    }

    /// Notes an image.
    pub(crate) fn keep_image(&mut self, image: &Arc<ImageData>) {
        self.images.retain(|known| known.strong_count() > 0);
        self.images.push(Arc::downgrade(image));
    }

    /// The images.
    pub(crate) fn images(&self) -> Vec<Arc<ImageData>> {
        self.images.iter().filter_map(Weak::upgrade).collect()
    }
}
