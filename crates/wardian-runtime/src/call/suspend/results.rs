//! The results of a call that may wait.

use super::AsyncCall;
use crate::store::inner::Embedder;
use crate::store::typed::List;
use crate::value::Val;
use std::any::TypeId;

impl<T: Embedder> AsyncCall<'_, T> {
    /// The results, after the call has returned.
    ///
    /// # Panics
    ///
    /// It has not, or its results are of other types.
    pub fn results<R: List>(&mut self) -> R {
        let slots = self.returned();
        assert!(self.results == Some(TypeId::of::<R>()), "results of other types");
        // SAFETY: the guest left values of these types there.
        unsafe { R::read_list(self.inner(), &slots) }
    }

    /// The same as values.
    ///
    /// # Panics
    ///
    /// It has not returned.
    pub fn values(&mut self, results: impl FnMut(usize, Val)) {
        let slots = self.returned();
        let callable = self.callable;
        let ty = self.inner().type_of(callable).clone();
        // SAFETY: the guest left values of these types there.
        unsafe { self.inner().read_values(ty.results(), &slots, results) }
    }

    /// The slots of a call that has returned.
    fn returned(&mut self) -> Vec<u64> {
        assert!(std::mem::take(&mut self.has_returned), "the call has not returned");
        std::mem::take(&mut self.slots)
    }
}
