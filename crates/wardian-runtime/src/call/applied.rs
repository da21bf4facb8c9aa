//! Options of one call, which apply to the store while it runs.

use crate::store::inner::StoreInner;
use std::sync::Arc;
use std::time::Instant;
use wardian_vm::interrupt::{Interrupter, reason};

/// Options of a call.
#[derive(Clone, Debug, Default)]
pub struct CallSettings {
    /// Whether host functions may take snapshots.
    pub snapshots: bool,
    /// The call's deadline.
    pub ends: Option<Instant>,
    /// The token that cancels it.
    pub token: Option<Arc<Interrupter>>,
}

/// The settings that a call's options replaced: see [`StoreInner::apply`].
#[derive(Debug)]
pub struct Applied {
    snapshots: bool,
    /// The previous deadline, if the call changed it.
    deadline: Option<Option<Instant>>,
    token: bool,
}

impl StoreInner {
    /// Applies the options of a call until [`Self::withdraw`]. Calls nest.
    pub fn apply(&mut self, options: &CallSettings) -> Applied {
        let snapshots = self.taken.allows_snapshots();
        self.taken.allow_snapshots(snapshots || options.snapshots);
        let deadline = options.ends.map(|ends| {
            let outer = self.interrupter().deadline();
            // A deadline that has passed already is kept: it has stopped guests, and still does.
            if outer.is_none_or(|outer| ends < outer) {
                self.interrupter().set_deadline(Some(ends));
            }
            outer
        });
        if let Some(token) = &options.token {
            let call = token.link(self.interrupter());
            self.remote.begin_call(token.clone(), call);
        }
        Applied { snapshots, deadline, token: options.token.is_some() }
    }

    /// Restores the settings of before.
    pub fn withdraw(&mut self, applied: Applied) {
        self.taken.allow_snapshots(applied.snapshots);
        if let Some(outer) = applied.deadline
            && self.interrupter().deadline() != outer
        {
            self.interrupter().set_deadline(outer);
        }
        if applied.token
            && let Some((token, call)) = self.remote.end_call()
        {
            token.unlink(&call);
            self.interrupter().acknowledge(reason::CALL);
            // A call further out may have been cancelled too.
            if self.remote.is_call_cancelled() {
                self.interrupter().interrupt(reason::CALL);
            }
        }
    }
}
