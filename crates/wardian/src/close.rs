//! Closing instances, and notification of it.
//!
//! ```text
//!   any thread: close ── notifiers ── is_closed ──> deferred work for the store ── its calls end
//!                                                   the store's thread: calls of its functions
//!                                                   now lead to an error
//! ```

mod operations;

use crate::handles::Instance;
use crate::raw::entered::any_entered;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use wardian_vm::contain::{discard, drop_contained};
use wardian_vm::interrupt::{Interrupter, reason};

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

impl ClosingInstance {
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
        let state = &self.0;
        if !state.begin(code) {
            return false;
        }
        let stops = state.shared.runs(state.index);
        state.shared.post(Deferred::Close { instance: state.index, code });
        if stops || state.shared.runs(state.index) {
            state.shared.interrupter.close(code);
        }
        true
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
        f.debug_struct("InstanceCloser").field("instance", &self.0.identity).finish_non_exhaustive()
    }
}

/// Work for the thread that has the store.
#[derive(Debug)]
pub(crate) enum Deferred {
    /// An instance was closed.
    Close { instance: u32, code: u32 },
    /// An attachment of listeners has ended.
    Sweep,
}

/// What a store shares with those who close its instances or end attachments.
pub(crate) struct Shared {
    interrupter: Arc<Interrupter>,
    deferred: Mutex<Vec<Deferred>>,
    links: Mutex<Links>,
}

/// Which instances may have code on the stack of a call that was made through another.
#[derive(Default)]
struct Links {
    /// The context of each instance.
    contexts: Vec<usize>,
    /// For each instance those that may call it.
    callers: Vec<Vec<u32>>,
}

impl Shared {
    pub(crate) fn new(interrupter: Arc<Interrupter>) -> Shared {
        Shared { interrupter, deferred: Mutex::default(), links: Mutex::default() }
    }

    /// Whether the store is there.
    pub(crate) fn is_attached(&self) -> bool {
        self.interrupter.is_attached()
    }

    /// Leaves work for the store.
    pub(crate) fn post(&self, work: Deferred) {
        self.deferred.lock().unwrap_or_else(|e| e.into_inner()).push(work);
        self.interrupter.request_deferred();
    }

    /// Takes the work that was left.
    pub(crate) fn take(&self) -> Vec<Deferred> {
        let mut deferred = self.deferred.lock().unwrap_or_else(|e| e.into_inner());
        self.interrupter.acknowledge(reason::DEFERRED);
        std::mem::take(&mut deferred)
    }

    /// Adds an instance; `may_call` are those that it may call, `may_be_called_by` the reverse.
    pub(crate) fn link(&self, context: usize, may_call: &[u32], may_be_called_by: Vec<u32>) {
        let mut links = self.links.lock().unwrap_or_else(|e| e.into_inner());
        let index = links.contexts.len() as u32;
        links.contexts.push(context);
        links.callers.push(may_be_called_by);
        for callee in may_call {
            links.callers[*callee as usize].push(index);
        }
    }

    /// Whether a call is running in which code of the instance may be open.
    fn runs(&self, instance: u32) -> bool {
        any_entered(&self.interrupter, &self.reaching(instance))
    }

    /// The contexts of an instance and of all that may call it, through others too.
    pub(crate) fn reaching(&self, instance: u32) -> Vec<usize> {
        let links = self.links.lock().unwrap_or_else(|e| e.into_inner());
        let mut reached = vec![instance];
        let mut next = 0;
        while let Some(at) = reached.get(next).copied() {
            next += 1;
            for caller in links.callers.get(at as usize).into_iter().flatten() {
                if !reached.contains(caller) {
                    reached.push(*caller);
                }
            }
        }
        reached.iter().filter_map(|i| links.contexts.get(*i as usize).copied()).collect()
    }
}

/// What an instance shares with those who close it.
pub(crate) struct CloseState {
    shared: Arc<Shared>,
    index: u32,
    identity: ClosingInstance,
    /// 0 is open, 1 is being closed, `CLOSED | code` closed.
    state: AtomicU64,
    notifiers: Mutex<Vec<Arc<dyn CloseNotifier>>>,
}

const OPEN: u64 = 0;

const CLOSING: u64 = 1;

const CLOSED: u64 = 1 << 32;

impl CloseState {
    pub(crate) fn new(shared: Arc<Shared>, instance: Instance, name: Option<String>) -> CloseState {
        CloseState {
            shared,
            index: instance.index,
            identity: ClosingInstance { instance, name },
            state: AtomicU64::new(OPEN),
            notifiers: Mutex::default(),
        }
    }

    /// Notifies all notifiers and marks the instance closed. False if another thread did or does.
    pub(crate) fn begin(&self, code: u32) -> bool {
        let first =
            self.state.compare_exchange(OPEN, CLOSING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !first {
            return false;
        }
        let notifiers =
            std::mem::take(&mut *self.notifiers.lock().unwrap_or_else(|e| e.into_inner()));
        for notifier in notifiers {
            // Said in the documentation of the trait: the panic hook has reported it.
            let notify = || notifier.close_notify(&self.identity, code);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(notify)) {
                discard(panic);
            }
            drop_contained(notifier);
        }
        self.state.store(CLOSED | u64::from(code), Ordering::SeqCst);
        true
    }

    pub(crate) fn code(&self) -> Option<u32> {
        let state = self.state.load(Ordering::SeqCst);
        (state & CLOSED != 0).then_some(state as u32)
    }

    /// Whether nobody has begun to close the instance.
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OPEN
    }

    /// Whom its closing notifies; none if that has begun.
    pub(crate) fn notifiers(&self) -> Option<Vec<Arc<dyn CloseNotifier>>> {
        let all = self.notifiers.lock().unwrap_or_else(|e| e.into_inner());
        self.is_open().then(|| all.clone())
    }

    pub(crate) fn add(&self, notifiers: &[Arc<dyn CloseNotifier>]) {
        let mut all = self.notifiers.lock().unwrap_or_else(|e| e.into_inner());
        if self.state.load(Ordering::SeqCst) == OPEN {
            all.extend_from_slice(notifiers);
        }
    }
}
