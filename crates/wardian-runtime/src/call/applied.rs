//! Options of a call, in force while it runs.

use crate::store::inner::StoreInner;
use std::sync::Arc;
use std::time::Instant;
use wardian_vm::interrupt::{Interrupter, reason};

/// Options of a call.
#[derive(Clone, Debug, Default)]
pub struct CallSettings {
    /// Whether host functions may take snapshots.
    pub snapshots: bool,
    /// When the call is to have ended.
    pub ends: Option<Instant>,
    /// What stops it.
    pub token: Option<Arc<Interrupter>>,
}

/// What was in force before a call's options: see [`StoreInner::apply`].
#[derive(Debug)]
pub struct Applied {
    snapshots: bool,
    /// The deadline of before, if it was changed.
    deadline: Option<Option<Instant>>,
    token: bool,
}

impl StoreInner {
    /// Puts the options of a call into force, until [`Self::withdraw`]. Calls nest.
    pub fn apply(&mut self, options: &CallSettings) -> Applied {
        let snapshots = self.taken.allows_snapshots();
        self.taken.allow_snapshots(snapshots || options.snapshots);
        let deadline = options.ends.map(|ends| {
            let outer = self.interrupter().deadline();
            // One that the store has passed already stays in force, with what it has stopped.
            if outer.is_none_or(|outer| ends < outer) {
                self.interrupter().set_deadline(Some(ends));
            }
            outer
        });
        if let Some(token) = &options.token {
            let call = token.link(self.interrupter());
            self.stopping.begin_call(token.clone(), call);
        }
        Applied { snapshots, deadline, token: options.token.is_some() }
    }

    /// Puts back what was in force before.
    pub fn withdraw(&mut self, applied: Applied) {
        self.taken.allow_snapshots(applied.snapshots);
        if let Some(outer) = applied.deadline
            && self.interrupter().deadline() != outer
        {
            self.interrupter().set_deadline(outer);
        }
        if applied.token
            && let Some((token, call)) = self.stopping.end_call()
        {
            token.unlink(&call);
            self.interrupter().acknowledge(reason::CALL);
            // The reason may have been that of a call further out as well.
            if self.stopping.is_call_cancelled() {
                self.interrupter().interrupt(reason::CALL);
            }
        }
    }
}
