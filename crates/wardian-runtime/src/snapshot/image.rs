//! Images of a store in which no guest is open.

use crate::call::closing::{CloseNotifier, CloseState, Closing};
use crate::error::UsageKind;
use crate::ids::InstanceId;
use crate::listen::listener::AbortReason;
use crate::store::image::ImageData;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::{Error, Result};
use std::sync::Arc;

impl<T: Embedder> StoreData<T> {
    /// Takes an image.
    pub fn take_image(&mut self) -> Result<Arc<ImageData>> {
        let inner = &mut self.inner;
        inner.check_idle("taken")?;
        inner.run_deferred();
        let closing =
            inner.entities.instances().iter().map(|instance| match instance.close_state() {
                Some(state) => state.notifiers(),
                None => Some(Vec::new()),
            });
        let open = closing.collect();
        let state = inner.capture_state()?;
        // The heap of the image is of this time.
        inner.snapshot_time();
        // SAFETY: the context is valid, and no guest runs.
        let fuel = unsafe { (*inner.ctx()).fuel };
        let image = Arc::new(ImageData { store: inner.id(), state, fuel, open });
        inner.taken.keep_image(&image);
        Ok(image)
    }

    /// Brings back what an image holds.
    pub fn reset_to(&mut self, image: &ImageData) -> Result<()> {
        if image.store != self.inner.id() {
            return Err(Error::usage(
                UsageKind::OtherStore,
                "a store was to be reset to an image of another store",
            ));
        }
        self.inner.check_idle("reset to")?;
        self.inner.run_deferred();
        // Calls of a guest that was suspended and then forgotten.
        let aborted = self.inner.abort_to(0, &AbortReason::Abandoned);
        let (inner, limiter) = self.split();
        inner.restore_state(&image.state, limiter)?;
        // SAFETY: the context is valid, and no guest runs.
        unsafe { (*inner.ctx()).fuel = image.fuel };
        for (instance, notifiers) in (0..).map(InstanceId::from_u32).zip(&image.open) {
            if let Some(notifiers) = notifiers {
                inner.reopen(instance, notifiers);
            }
        }
        if !inner.externrefs.is_empty() || !inner.exceptions.is_empty() {
            inner.collect_garbage(true);
        }
        aborted.map_err(Error::panic)
    }
}

impl StoreInner {
    fn check_idle(&self, what: &str) -> Result<()> {
        if self.is_idle() {
            return Ok(());
        }
        Err(Error::usage(
            UsageKind::State,
            format!(
                "an image cannot be {what} inside of a call: a guest of the store is open; `Snapshotter` is for that"
            ),
        ))
    }

    /// Makes an instance that was closed usable again, with a new life for those who close it.
    fn reopen(&mut self, instance: InstanceId, notifiers: &[Arc<dyn CloseNotifier>]) {
        let data = &self.entities[instance];
        if data.close_state().is_none_or(|state| state.is_open()) {
            return;
        }
        let shared = self.shared();
        let store = self.id();
        let data = &mut self.entities[instance];
        let name = data.name().map(str::to_owned);
        let state = CloseState::new(shared, Closing { store, index: instance, name });
        state.add(notifiers);
        data.set_close_state(Arc::new(state));
        self.mark_open(instance);
    }

    /// Notes the references that live images hold.
    pub(crate) fn mark_images(&mut self) {
        let images = self.taken.images();
        // References to objects are to those of the images' own heaps.
        images.iter().flat_map(|i| i.words()).for_each(|word| self.mark_handle(word));
    }
}
