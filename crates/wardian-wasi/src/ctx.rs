//! The state of a program.

use std::sync::{Arc, Mutex, Weak};

use crate::clock::{Clocks, lock};
use crate::host::Waiter;
use crate::pending::Pending;
use crate::random::RandomSource;
use crate::table::{Descriptor, Table};
use crate::threads::current;
use crate::types::{
    GuestFd, {ClockId, fdflags},
};

/// The state of a program: arguments, environment, descriptors, clocks.
///
/// Clones share it, and threads may use it at the same time: a call that waits
/// for one descriptor hinders no call on another. Made by
/// [`WasiCtxBuilder`](crate::WasiCtxBuilder).
#[derive(Clone)]
pub struct WasiCtx {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) args: Vec<String>,
    /// `NAME=value`.
    pub(crate) envs: Vec<String>,
    pub(crate) table: Table,
    pub(crate) clocks: Box<dyn Clocks>,
    pub(crate) random: Box<dyn RandomSource>,
    pub(crate) blocking: bool,
    /// That of the main thread.
    pub(crate) pending: Pending,
    /// Threads of the program beside its main thread that have made calls.
    pub(crate) threads: Mutex<Vec<Weak<()>>>,
}

impl WasiCtx {
    /// Begins the description of a new program's state.
    pub fn builder() -> crate::WasiCtxBuilder {
        crate::WasiCtxBuilder::new()
    }

    pub(crate) fn new(inner: Inner) -> WasiCtx {
        WasiCtx { inner: Arc::new(inner) }
    }

    /// The program's arguments, its name first.
    pub fn args(&self) -> &[String] {
        &self.inner.args
    }

    /// The program's environment, as `NAME=value`.
    pub fn envs(&self) -> &[String] {
        &self.inner.envs
    }

    /// What is open at this moment, by number: a standard stream, a socket, or the guest's path to it. Any thread may ask
    /// while the program runs.
    pub fn open_files(&self) -> Vec<(GuestFd, String)> {
        let open = self.table().open().into_iter();
        open.map(|(fd, descriptor)| (fd, descriptor.origin.display_name())).collect()
    }

    pub(crate) fn table(&self) -> &Table {
        &self.inner.table
    }

    pub(crate) fn clocks(&self) -> &dyn Clocks {
        &*self.inner.clocks
    }

    /// The guest's monotonic time, without the guest's noticing that it was read.
    pub(crate) fn monotonic(&self) -> u64 {
        self.clocks().peek(ClockId::Monotonic).unwrap_or(0)
    }

    /// Tells this state from others.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    /// A call comes from a thread of the program that is not its main thread.
    pub(crate) fn called_by(&self, thread: &Arc<()>) {
        let mut threads = lock(&self.inner.threads);
        if !threads.iter().any(|known| known.as_ptr() == Arc::as_ptr(thread)) {
            threads.retain(|known| known.strong_count() > 0);
            threads.push(Arc::downgrade(thread));
        }
    }

    /// How many threads beside the main thread have made calls and still run.
    pub fn threads(&self) -> usize {
        lock(&self.inner.threads).iter().filter(|known| known.strong_count() > 0).count()
    }

    /// Uses the pending poll of the present thread.
    pub(crate) fn with_pending<R>(&self, work: impl FnOnce(&Pending) -> R) -> R {
        current::with_pending(|own| work(own.unwrap_or(&self.inner.pending)))
    }

    pub(crate) fn random(&self) -> &dyn RandomSource {
        &*self.inner.random
    }

    /// How calls may wait.
    pub(crate) fn waiter<'a>(&self, interrupt: &'a dyn crate::Interrupt) -> Waiter<'a> {
        Waiter { interrupt, blocking: self.inner.blocking }
    }

    /// How calls on this descriptor may wait.
    pub(crate) fn waiter_for<'a>(
        &self,
        descriptor: &Descriptor,
        interrupt: &'a dyn crate::Interrupt,
    ) -> Waiter<'a> {
        let nonblock = descriptor.flags() & fdflags::NONBLOCK != 0;
        Waiter { interrupt, blocking: self.inner.blocking && !nonblock }
    }
}

impl std::fmt::Debug for WasiCtx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtx").field("args", &self.inner.args).finish_non_exhaustive()
    }
}
