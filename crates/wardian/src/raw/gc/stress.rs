//! Collections at safepoints where nothing is allocated, for tests: see [`crate::Config::gc_stress_at_safepoints`].
//!
//! | safepoint | where it collects |
//! |---|---|
//! | a function begins, a loop's header, in interpreted code | countdowns are always below zero: [`StoreInner::stress`] in the service that this calls |
//! | a call of the host | before the function runs: [`dispatch`] |
//! | a builtin | before it does its work: `builtins!` |
//!
//! What a builtin or a host function was given needs no frame that holds it, since they hold it by themselves from then
//! on, or do not allocate before they have read it. So that is held here.

use super::super::host::{Dispatch, HostDef};
use super::super::store::{StoreData, StoreInner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian_vm::layout::HostFunc;

impl StoreInner {
    /// Collects if each safepoint does; `held` is what the guest has given.
    #[inline]
    pub(in crate::raw) fn stress(&mut self, held: &[u64]) {
        if self.engine().config().gc_stress_at_safepoints {
            self.collect_at_safepoint(held);
        }
    }

    #[cold]
    fn collect_at_safepoint(&mut self, held: &[u64]) {
        let before = self.gc.constants.len();
        self.gc.constants.extend(held.iter().map(|word| [*word, 0]));
        self.collect_garbage(false);
        self.gc.constants.truncate(before);
    }
}

/// Collects, and runs the dispatch of the host function.
pub(in crate::raw) unsafe extern "C" fn dispatch(host: *mut HostFunc, slots: *mut u64) -> u64 {
    // SAFETY: as for every dispatch: the record of a host function of the store that its guest calls, with slots for
    // its parameters. The definition lives as long as the record. Nobody else uses the store now.
    unsafe {
        let def = &*((*host).definition as *const HostDef);
        let store = (*(*host).store).owner as *mut StoreData<()>;
        let held = std::slice::from_raw_parts(slots, def.param_slots());
        let collected = catch_unwind(AssertUnwindSafe(|| (*store).inner.stress(held)));
        if let Err(panic) = collected {
            wardian_vm::contain::discard(panic);
        }
        let run: Dispatch = std::mem::transmute(def.dispatch());
        run(host, slots)
    }
}
