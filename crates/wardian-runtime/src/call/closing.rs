//! Closing instances from any thread.
//!
//! ```text
//!   any thread: close ── notifiers ── is_closed ──> deferred work for the store ── its calls end
//!                                                   the store's thread: calls of its functions
//!                                                   now lead to an error
//! ```

use crate::ids::InstanceId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use wardian_types::IndexVec;
use wardian_vm::addr::VmCtxPtr;
use wardian_vm::contain::{discard, drop_contained};
use wardian_vm::interrupt::{Interrupter, reason};

/// Notified when an instance is closed: see `CloseNotifier` of the embedding API.
pub trait CloseNotifier: Send + Sync {
    /// The instance is being closed with this code.
    fn closing(&self, instance: &Closing, code: u32);
}

/// Which instance is closed.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Its store.
    pub store: u64,
    /// Which of the store's instances.
    pub index: InstanceId,
    /// Its name, or its module's.
    pub name: Option<String>,
}

/// Work for the thread that has the store.
#[derive(Debug)]
pub enum Deferred {
    /// An instance was closed.
    Close {
        /// Which.
        instance: InstanceId,
        /// The code that it was closed with.
        code: u32,
    },
    /// An attachment of listeners has ended.
    Sweep,
}

/// What a store shares with those who close its instances or end attachments.
pub struct Shared {
    interrupter: Arc<Interrupter>,
    deferred: Mutex<Vec<Deferred>>,
    links: Mutex<Links>,
}

/// Which instances may have code on the stack of a call that was made through another.
#[derive(Default)]
struct Links {
    /// The contexts of the instances.
    contexts: IndexVec<InstanceId, VmCtxPtr>,
    /// For each instance those that may call it.
    callers: IndexVec<InstanceId, Vec<InstanceId>>,
}

impl Shared {
    /// What a store with this stopping side shares.
    pub fn new(interrupter: Arc<Interrupter>) -> Shared {
        Shared { interrupter, deferred: Mutex::default(), links: Mutex::default() }
    }

    /// Whether the store is there.
    pub fn is_attached(&self) -> bool {
        self.interrupter.is_attached()
    }

    /// Leaves work for the store.
    pub fn post(&self, work: Deferred) {
        self.deferred.lock().unwrap_or_else(|e| e.into_inner()).push(work);
        self.interrupter.request_deferred();
    }

    /// Takes the work that was left.
    pub fn take(&self) -> Vec<Deferred> {
        let mut deferred = self.deferred.lock().unwrap_or_else(|e| e.into_inner());
        self.interrupter.acknowledge(reason::DEFERRED);
        std::mem::take(&mut deferred)
    }

    /// Adds an instance; `may_call` are those that it may call, `may_be_called_by` the reverse.
    pub fn link(
        &self,
        context: VmCtxPtr,
        may_call: &[InstanceId],
        may_be_called_by: Vec<InstanceId>,
    ) {
        let mut links = self.links.lock().unwrap_or_else(|e| e.into_inner());
        let index = links.contexts.push(context);
        links.callers.push(may_be_called_by);
        for callee in may_call {
            links.callers[*callee].push(index);
        }
    }

    /// Whether a call is running in which code of the instance may be open.
    fn runs(&self, instance: InstanceId) -> bool {
        super::entered::any_entered(&self.interrupter, &self.reaching(instance))
    }

    /// The contexts of an instance and of all that may call it, through others too.
    pub(crate) fn reaching(&self, instance: InstanceId) -> Vec<VmCtxPtr> {
        let links = self.links.lock().unwrap_or_else(|e| e.into_inner());
        let mut reached = vec![instance];
        let mut next = 0;
        while let Some(at) = reached.get(next).copied() {
            next += 1;
            for caller in links.callers.get(at).into_iter().flatten() {
                if !reached.contains(caller) {
                    reached.push(*caller);
                }
            }
        }
        reached.iter().filter_map(|i| links.contexts.get(*i).copied()).collect()
    }
}

/// What an instance shares with those who close it.
pub struct CloseState {
    shared: Arc<Shared>,
    identity: Closing,
    /// 0 is open, 1 is being closed, `CLOSED | code` closed.
    state: AtomicU64,
    notifiers: Mutex<Vec<Arc<dyn CloseNotifier>>>,
}

const OPEN: u64 = 0;

const CLOSING: u64 = 1;

const CLOSED: u64 = 1 << 32;

impl CloseState {
    /// Closes the instance, on any thread. Returns whether it was open.
    pub fn close(&self, code: u32) -> bool {
        if !self.begin(code) {
            return false;
        }
        let index = self.identity.index;
        let stops = self.shared.runs(index);
        self.shared.post(Deferred::Close { instance: index, code });
        // It may have been entered meanwhile.
        if stops || self.shared.runs(index) {
            self.shared.interrupter.close(code);
        }
        true
    }

    /// Which instance it is.
    pub fn identity(&self) -> &Closing {
        &self.identity
    }

    /// The state of an open instance.
    pub fn new(shared: Arc<Shared>, identity: Closing) -> CloseState {
        CloseState { shared, identity, state: AtomicU64::new(OPEN), notifiers: Mutex::default() }
    }

    /// Notifies all notifiers and marks the instance closed. False if another thread did or does.
    pub fn begin(&self, code: u32) -> bool {
        let first =
            self.state.compare_exchange(OPEN, CLOSING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !first {
            return false;
        }
        let notifiers =
            std::mem::take(&mut *self.notifiers.lock().unwrap_or_else(|e| e.into_inner()));
        for notifier in notifiers {
            // Said in the documentation of the trait: the panic hook has reported it.
            let notify = || notifier.closing(&self.identity, code);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(notify)) {
                discard(panic);
            }
            drop_contained(notifier);
        }
        self.state.store(CLOSED | u64::from(code), Ordering::SeqCst);
        true
    }

    /// The code that it was closed with.
    pub fn code(&self) -> Option<u32> {
        let state = self.state.load(Ordering::SeqCst);
        (state & CLOSED != 0).then_some(state as u32)
    }

    /// Whether nobody has begun to close the instance.
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OPEN
    }

    /// Whom its closing notifies; none if that has begun.
    pub fn notifiers(&self) -> Option<Vec<Arc<dyn CloseNotifier>>> {
        let all = self.notifiers.lock().unwrap_or_else(|e| e.into_inner());
        self.is_open().then(|| all.clone())
    }

    /// Adds those who want to know, if it is open.
    pub fn add(&self, notifiers: &[Arc<dyn CloseNotifier>]) {
        let mut all = self.notifiers.lock().unwrap_or_else(|e| e.into_inner());
        if self.state.load(Ordering::SeqCst) == OPEN {
            all.extend_from_slice(notifiers);
        }
    }
}
