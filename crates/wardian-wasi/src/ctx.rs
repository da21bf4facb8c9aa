//! The state of a program.

use std::sync::Arc;

use crate::clock::Clocks;
use crate::random::RandomSource;
use crate::table::{Descriptor, Table};
use crate::types::fdflags;
use crate::wait::Waiter;

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

    pub(crate) fn table(&self) -> &Table {
        &self.inner.table
    }

    pub(crate) fn clocks(&self) -> &dyn Clocks {
        &*self.inner.clocks
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
