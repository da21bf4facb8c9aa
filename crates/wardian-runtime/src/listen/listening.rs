//! What a store knows of its listeners: the hooks of functions that are listened to, and the calls that are open.

use super::hook::{Hook, Listeners, OpenCall, OpenHost};
use crate::store::arena::Arena;
use std::ptr::NonNull;
use std::sync::Arc;
use wardian_vm::addr::StackAddr;

/// Hooks, and open calls. Every open host call is an open call, and has its number.
#[derive(Default)]
pub(crate) struct Listening {
    /// Calls whose beginning listeners were notified of and that have not ended, the outermost first.
    pub(super) open: Vec<OpenCall>,
    /// Of those the host functions, with what else is known of them.
    pub(super) open_hosts: Vec<OpenHost>,
    /// How many calls have begun.
    begun: u64,
    arena: Arena<Hook>,
    /// All of the arena.
    hooks: Vec<NonNull<Hook>>,
    /// Listeners that were replaced while calls may refer to them.
    retired: Vec<Arc<Listeners>>,
}

impl Listening {
    /// How many calls are open.
    #[inline]
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The depth of the innermost open call, and its frame if it has one.
    pub(crate) fn innermost(&self) -> Option<(usize, Option<StackAddr>)> {
        let call = self.open.last()?;
        Some((self.open.len() - 1, call.frame()))
    }

    /// The number of a call that begins: from 1 on, each once in the life of a store.
    #[inline]
    pub(crate) fn next_number(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// All hooks of the store, which live as long as it does.
    pub(crate) fn hooks(&self) -> &[NonNull<Hook>] {
        &self.hooks
    }

    pub(crate) fn add_hook(&mut self, hook: Hook) -> NonNull<Hook> {
        let hook = self.arena.push(hook);
        self.hooks.push(hook);
        hook
    }

    /// Keeps listeners that were replaced for as long as calls may refer to them.
    pub(crate) fn retire(&mut self, listeners: Arc<Listeners>) {
        self.retired.push(listeners);
    }

    /// Frees listeners that no call refers to any more.
    pub(crate) fn forget_retired(&mut self) {
        if self.open.is_empty() {
            self.retired.clear();
        }
    }
}
