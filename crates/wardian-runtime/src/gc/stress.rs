//! Collections at safepoints where nothing is allocated, for tests: see `Config::gc_stress_at_safepoints`.
//!
//! | safepoint | where it collects |
//! |---|---|
//! | a function begins, a loop's header, in interpreted code | countdowns are always below zero: [`StoreInner::stress`] in the runtime call that this makes |
//! | a call of the host | before the function runs: `dispatch_stressed` in `crate::call::host` |
//! | a builtin | before it does its work: `builtins!` |
//!
//! What a builtin or a host function was given needs no frame that holds it, since they hold it by themselves from then
//! on, or do not allocate before they have read it. So that is held here.

use crate::store::inner::StoreInner;

impl StoreInner {
    /// Collects if each safepoint does; `held` is what the guest has given.
    #[inline]
    pub(crate) fn stress(&mut self, held: &[u64]) {
        if self.engine().settings().gc_stress_at_safepoints {
            self.collect_at_safepoint(held);
        }
    }

    #[cold]
    fn collect_at_safepoint(&mut self, held: &[u64]) {
        let before = self.gc.operands().height();
        self.gc.operands().push_words(held);
        self.collect_garbage(false);
        self.gc.operands().truncate(before);
    }
}
