//! A store gives its samples a place.

use super::store::StoreInner;
use crate::{Error, Result};
use std::sync::Arc;
use wardian_vm::samples::{self, SampleRing};

impl StoreInner {
    /// Makes a ring the place for samples of this store's guests.
    pub(crate) fn start_sampling(&mut self, ring: &Arc<SampleRing>) -> Result<()> {
        if self.samples.as_ref().is_some_and(|r| r.is_active()) {
            return Err(Error::usage("the store has a sampler already"));
        }
        // SAFETY: this thread has the store. The ring is kept below until another has been given, or
        // until the store goes, when nobody runs a guest of it.
        unsafe { samples::attach(self.ctx(), ring) };
        self.samples = Some(ring.clone());
        Ok(())
    }
}
