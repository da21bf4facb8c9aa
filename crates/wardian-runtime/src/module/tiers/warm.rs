//! Functions that are warm: they have counted a part of what makes them hot.

use super::queue::Work;
use crate::module::ModuleInner;
use std::sync::Arc;
use wardian_types::DefinedFuncIndex;

/// A function is warm if it has counted this part of what makes it hot.
const WARM: u64 = 32;
/// Microseconds that compiling it may take: what becomes hot meanwhile waits.
const MOST: u64 = 20_000;

impl ModuleInner {
    /// The function that is closest to being hot, if one is warm that nobody wanted so far. From now on it is wanted, for memories as
    /// those for which something was last wanted: other instances of the module may have others.
    pub(super) fn take_warm(self: &Arc<Self>) -> Option<Work> {
        if !self.engine.has_room_for_code() {
            return None;
        }
        let variant = self.tier.last_variant();
        let warmth = |defined| {
            let (counted, hot) =
                (self.interpreted_before(defined)?.counted(), self.hot_at(defined));
            let is_warm = counted > 0 && counted >= hot / WARM;
            is_warm.then(|| counted.saturating_mul(1 << 16) / hot.max(1))
        };
        let functions = self.interpreted.all().map(|code| code.defined());
        let mut warm: Vec<_> =
            functions.filter_map(|defined| Some((warmth(defined)?, defined))).collect();
        warm.sort_unstable_by(|a, b| b.cmp(a));
        let may_be_compiled = |defined: &DefinedFuncIndex| {
            let (is_wanted, loops) = self.tier.wanted(*defined);
            !is_wanted && loops.is_empty() && self.compiled(variant, *defined).is_none()
        };
        let mut possible = warm.into_iter().map(|(_, defined)| defined).filter(may_be_compiled);
        let defined = possible.find(|defined| self.cost(*defined) <= MOST)?;
        self.mark_wanted(variant, defined);
        Some(Work::Function { variant, defined })
    }

    /// Whether the interpreter was notified that a function is compiled: it has not asked since.
    pub(super) fn notify_compiled(self: &Arc<Self>, defined: DefinedFuncIndex) -> bool {
        let is_compiled = self.compiled(self.tier.last_variant(), defined).is_some();
        let code = self.interpreted_before(defined).filter(|_| is_compiled);
        code.is_some_and(|code| code.ask_soon())
    }
}
