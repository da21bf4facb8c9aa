//! A listener that knows which calls are open.

use crate::outcome::note;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wardian::{
    listener::{AbortReason, Call, FunctionListener},
    stack::StackIterator,
};

/// Calls by their numbers, and whether each is open. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Ear(Arc<Mutex<HashMap<(u64, u64), bool>>>);

impl Ear {
    /// After an outermost call nothing is open: each beginning had its ending.
    pub(super) fn check(&self) {
        let calls = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let open: Vec<_> = calls.iter().filter(|(_, open)| **open).map(|(id, _)| *id).collect();
        assert!(open.is_empty(), "calls {open:?} of {} never ended", calls.len());
    }

    fn reported(&self, call: &Call<'_>, what: &str, from: Option<bool>, to: bool) {
        let mut calls = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let id = (call.store_id(), call.id());
        let before = calls.insert(id, to);
        drop(calls);
        note(what);
        assert_eq!(before, from, "{what} of call {id:?} of {:?}", call.definition());
    }
}

impl FunctionListener for Ear {
    fn before(&self, call: &Call<'_>, _: &[u64], stack: &mut StackIterator<'_>) {
        self.reported(call, "before", None, true);
        let mut frames = 0;
        while stack.next() {
            frames += 1;
            assert!(stack.function().definition().name().is_some(), "frame {frames} has no name");
        }
        assert!(frames > 0, "the called function is on the stack");
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        self.reported(call, "after", Some(true), false);
        let expected = if call.is_tail_call() { 0 } else { 1 };
        assert_eq!(results.len(), expected, "results of {:?}", call.definition());
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        let what = match reason {
            AbortReason::Error(_) => "abort by error",
            AbortReason::Panic => "abort by panic",
            AbortReason::Restored => "abort by restore",
            _ => "abandoned",
        };
        self.reported(call, what, Some(true), false);
    }

    fn resumed(&self, call: &Call<'_>) {
        self.reported(call, "resumed", Some(false), true);
    }
}
