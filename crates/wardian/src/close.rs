//! Closing instances, and notification of it.
//!
//! ```text
//!   any thread: close ── notifiers ── is_closed ──> deferred work for the store ── its calls end
//!                                                   the store's thread: calls of its functions
//!                                                   now lead to an error
//! ```

mod operations;

use crate::handles::Instance;
use std::sync::Arc;
use wardian_runtime::call::closing::{self, CloseState, Closing};

/// Notified when an instance is closed: exactly once for each instance, before [`Instance::is_closed`] turns
/// true and before calls that run in it are stopped, on the thread that closes.
///
/// It has no way to the store. If it panics, or panics when it is dropped, the panic hook of the process
/// is run, and everything continues as if it had returned: other notifiers are called, and the instance
/// is closed.
///
/// ```
/// use wardian::{close::CloseNotifyFunc, Engine, Instance, InstantiateOptions, Module, Store};
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
/// let engine = Engine::default();
/// let module = Module::new(&engine, "(module)")?;
/// let notified = Arc::new(AtomicU32::new(0));
/// let seen = notified.clone();
/// let options = InstantiateOptions::new().with_close_notifier(CloseNotifyFunc::new(
///     move |_, exit_code| seen.store(exit_code, Ordering::Relaxed),
/// ));
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new_with(&mut store, &module, &[], &options)?;
/// instance.close_with_exit_code(&mut store, 7);
/// assert_eq!(notified.load(Ordering::Relaxed), 7);
/// assert!(instance.is_closed(&store));
/// # Ok::<(), wardian::Error>(())
/// ```
pub trait CloseNotifier: Send + Sync + 'static {
    /// An instance is being closed with this code.
    fn close_notify(&self, instance: &ClosingInstance, exit_code: u32);
}

impl<N: CloseNotifier + ?Sized> CloseNotifier for Arc<N> {
    fn close_notify(&self, instance: &ClosingInstance, exit_code: u32) {
        (**self).close_notify(instance, exit_code);
    }
}

/// A closure is a close notifier.
impl<F: Fn(&ClosingInstance, u32) + Send + Sync + 'static> CloseNotifier for F {
    fn close_notify(&self, instance: &ClosingInstance, exit_code: u32) {
        self(instance, exit_code);
    }
}

/// A closure as [`CloseNotifier`], whose parameters need no types if it is given to [`CloseNotifyFunc::new`].
#[derive(Clone, Copy, Debug)]
pub struct CloseNotifyFunc<F>(pub F);

impl<F: Fn(&ClosingInstance, u32) + Send + Sync + 'static> CloseNotifyFunc<F> {
    /// A notifier that calls `closure`. The types of its parameters are inferred.
    pub fn new(closure: F) -> Self {
        CloseNotifyFunc(closure)
    }
}

impl<F: Fn(&ClosingInstance, u32) + Send + Sync + 'static> CloseNotifier for CloseNotifyFunc<F> {
    fn close_notify(&self, instance: &ClosingInstance, exit_code: u32) {
        (self.0)(instance, exit_code);
    }
}

/// Which instance is being closed.
#[derive(Clone, Debug)]
pub struct ClosingInstance {
    instance: Instance,
    name: Option<String>,
}

/// A notifier as the runtime knows it.
pub(crate) struct Notified(pub(crate) Arc<dyn CloseNotifier>);

impl closing::CloseNotifier for Notified {
    fn closing(&self, instance: &Closing, code: u32) {
        self.0.close_notify(&ClosingInstance::of(instance), code);
    }
}

impl ClosingInstance {
    fn of(Closing { store, index, name }: &Closing) -> ClosingInstance {
        let instance = Instance { store: *store, index: *index };
        ClosingInstance { instance, name: name.clone() }
    }

    /// The handle, to compare and to keep; a notifier has no store to use it with.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// Its name: what the embedder gave it, else the module's own.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// Closes an instance from any thread, whichever thread has its store. Clones close the same instance.
#[derive(Clone)]
pub struct InstanceCloser(pub(super) Arc<CloseState>);

impl InstanceCloser {
    /// Closes with exit code 0. Returns whether it was this call that closed the instance.
    pub fn close(&self) -> bool {
        self.close_with_exit_code(0)
    }

    /// Closes with this code: notifiers are notified, then the instance is closed, then calls that run in it
    /// are stopped; they end with [`crate::ErrorKind::Closed`]. Returns at once after that, without waiting
    /// for them to end.
    ///
    /// A call runs in the instance if it was made through it, or through one that it is linked with
    /// (by functions or tables): code of the instance may be running there. To close an instance
    /// without ending calls of others that are only linked with it use
    /// [`Instance::close_with_exit_code`], which sees the stack.
    pub fn close_with_exit_code(&self, code: u32) -> bool {
        self.0.close(code)
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.exit_code().is_some()
    }

    /// The code that it was closed with, if it was.
    pub fn exit_code(&self) -> Option<u32> {
        self.0.code()
    }
}

impl std::fmt::Debug for InstanceCloser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceCloser")
            .field("instance", &ClosingInstance::of(self.0.identity()))
            .finish_non_exhaustive()
    }
}
