//! Options of a call, in force while it runs.

use crate::CallOptions;
use crate::raw::store::StoreInner;
use std::time::Instant;
use wardian_vm::interrupt::reason;

/// What was in force before a call's options: see [`StoreInner::apply`].
#[derive(Debug)]
pub(crate) struct Applied {
    snapshots: bool,
    /// The deadline of before, if it was changed.
    deadline: Option<Option<Instant>>,
    token: bool,
}

impl StoreInner {
    /// Puts the options of a call into force, until [`Self::withdraw`]. Calls nest.
    pub(crate) fn apply(&mut self, options: &CallOptions) -> Applied {
        let snapshots = self.snapshots;
        self.snapshots |= options.snapshots;
        let deadline = options.ends().map(|ends| {
            let outer = self.interrupter().deadline();
            // One that the store has passed already stays in force, with what it has stopped.
            if outer.is_none_or(|outer| ends < outer) {
                self.interrupter().set_deadline(Some(ends));
            }
            outer
        });
        if let Some(token) = &options.token {
            let call = token.0.link(self.interrupter());
            self.call_tokens.push((token.clone(), call));
        }
        Applied { snapshots, deadline, token: options.token.is_some() }
    }

    /// Puts back what was in force before.
    pub(crate) fn withdraw(&mut self, applied: Applied) {
        self.snapshots = applied.snapshots;
        if let Some(outer) = applied.deadline
            && self.interrupter().deadline() != outer
        {
            self.interrupter().set_deadline(outer);
        }
        if applied.token
            && let Some((token, call)) = self.call_tokens.pop()
        {
            token.0.unlink(&call);
            self.interrupter().acknowledge(reason::CALL);
            // The reason may have been that of a call further out as well.
            if self.call_tokens.iter().any(|(token, _)| token.is_cancelled()) {
                self.interrupter().interrupt(reason::CALL);
            }
        }
    }
}
