//! A store gives its samples a place.

use super::store::StoreInner;
use crate::module::ModuleInner;
use crate::{Error, Result};
use std::sync::{Arc, Mutex};
use wardian_vm::samples::{self, SampleRing};

/// Where samples of a store's guests go.
#[derive(Clone)]
pub(crate) struct SamplePlace {
    pub(crate) ring: Arc<SampleRing>,
    /// The modules of a store that has gone, without which its samples could not be resolved.
    pub(crate) modules: Arc<Mutex<Vec<Arc<ModuleInner>>>>,
}

impl StoreInner {
    /// Makes a place the one for samples of this store's guests.
    pub(crate) fn start_sampling(&mut self, place: &SamplePlace) -> Result<()> {
        if self.samples.as_ref().is_some_and(|samples| samples.ring.is_active()) {
            return Err(Error::usage("the store has a sampler already"));
        }
        self.keep_sampled();
        // SAFETY: this thread has the store. The ring is kept below until another has been given, or
        // until the store goes, when nobody runs a guest of it.
        unsafe { samples::attach(self.ctx(), &place.ring) };
        self.samples = Some(place.clone());
        Ok(())
    }

    /// Passes the modules of all instances to those who have samples of them.
    pub(super) fn keep_sampled(&self) {
        let Some(place) = &self.samples else { return };
        let mut modules: Vec<_> = self.instances.iter().map(|i| i.module.clone()).collect();
        modules.sort_by_key(Arc::as_ptr);
        modules.dedup_by_key(|module| Arc::as_ptr(module));
        place.modules.lock().unwrap_or_else(|e| e.into_inner()).append(&mut modules);
    }
}
