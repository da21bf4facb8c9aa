//! Closing instances with their store at hand.

use super::{CloseNotifier, InstanceCloser, Notified};
use crate::handles::Instance;
use crate::store::same_store;
use crate::{AsContextMut, Store, StoreContext};
use std::sync::Arc;

impl Instance {
    /// What closes the instance from other threads.
    ///
    /// # Panics
    ///
    /// It belongs to another store; so for all methods here.
    pub fn closer(&self, mut store: impl AsContextMut) -> InstanceCloser {
        let store = store.as_context_mut();
        same_store(&store.0.inner, self.store);
        InstanceCloser(store.0.inner.close_state(self.index))
    }

    /// Closes with exit code 0: see [`Instance::close_with_exit_code`].
    pub fn close(&self, store: impl AsContextMut) -> bool {
        self.close_with_exit_code(store, 0)
    }

    /// Closes with this code. Notifiers are notified, then the instance is closed; calls of its functions now
    /// end with [`crate::ErrorKind::Closed`]. If a host function does this, the call of the guest that called
    /// it ends in this way too when the host function returns, provided that the instance takes part in the
    /// call: the call was entered through it, or functions of its module are on the stack that are not known
    /// to be those of another instance of the module.
    ///
    /// Memories and globals stay readable. Returns whether it was this call that closed it.
    #[doc(alias = "CloseWithExitCode")]
    pub fn close_with_exit_code(&self, mut store: impl AsContextMut, code: u32) -> bool {
        let store = store.as_context_mut();
        same_store(&store.0.inner, self.store);
        store.0.inner.close_instance(self.index, code)
    }

    /// Whether it is closed.
    pub fn is_closed<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> bool {
        self.internal(store).is_closed()
    }

    /// The code that it was closed with, if it was.
    pub fn exit_code<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> Option<u32> {
        self.internal(store).exit_code()
    }

    /// Adds a notifier of the instance; if it is closed already, the notifier is never called.
    pub fn notify_close(&self, mut store: impl AsContextMut, notifier: impl CloseNotifier) {
        let store = store.as_context_mut();
        same_store(&store.0.inner, self.store);
        store.0.inner.notify_of_closing(self.index, &[Arc::new(Notified(Arc::new(notifier)))]);
    }
}

impl<T: 'static> Store<T> {
    /// Closes all its instances with exit code 0.
    pub fn close(&mut self) {
        self.close_with_exit_code(0);
    }

    /// Closes all its instances with this code, in the order in which they were made. Dropping the
    /// store does the same with code 0 to those that are still open.
    pub fn close_with_exit_code(&mut self, code: u32) {
        use crate::AsContextMut as _;
        self.as_context_mut().0.inner.close_all(code);
    }
}
