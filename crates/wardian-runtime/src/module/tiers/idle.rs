//! What compiling threads do while nothing is hot: they compile functions that are warm.
//!
//! A function is hot when interpreting it has taken about as long as compiling it takes. That bounds what compiling costs where
//! there is no processor to spare. Where there is one, waiting for it only means that a guest is slow for longer.

use super::queue::{Job, Work};
use crate::module::ModuleInner;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use wardian_types::DefinedFuncIndex;

/// A function is compiled if it has counted this part of what makes it hot.
const WARM: u64 = 32;
/// Microseconds that compiling it may take: what becomes hot meanwhile waits.
const MOST: u64 = 20_000;
/// How long a thread that has found nothing waits at least until it looks again, and how much longer than looking took.
const PAUSE: Duration = Duration::from_millis(1);
const PER_LOOK: u32 = 30;
/// How often the interpreter is notified that a function was compiled: a notification is lost if a count is written
/// over it.
const NOTIFICATIONS: u32 = 3;
/// Idle work takes at most about this part of a processor that the thread does not have to itself.
const PART: u32 = 10;

/// What a thread knows of its idle work.
pub(super) struct Idle {
    is_on: bool,
    /// Functions that it has compiled so, and how often the interpreter is still to be notified.
    compiled: Vec<(Weak<ModuleInner>, DefinedFuncIndex, u32)>,
    /// When it looks for more.
    next: Instant,
}

impl Idle {
    pub(super) fn new(is_on: bool) -> Idle {
        Idle { is_on, compiled: Vec::new(), next: Instant::now() }
    }

    /// How long to wait until it may look for something to compile, if it ever may.
    pub(super) fn until_look(&self) -> Option<Duration> {
        self.is_on.then(|| self.next.saturating_duration_since(Instant::now()))
    }

    /// Something to compile, of the first of these modules that has a function which is warm.
    pub(super) fn find(&mut self, modules: &[Weak<ModuleInner>]) -> Option<Job> {
        let began = Instant::now();
        self.notify();
        let job = modules.iter().find_map(|weak| {
            let work = weak.upgrade()?.take_warm()?;
            Some(Job { module: weak.clone(), work })
        });
        if job.is_none() {
            self.next = Instant::now() + PAUSE.max(began.elapsed() * PER_LOOK);
        }
        job
    }

    /// Runs what was found.
    pub(super) fn run(&mut self, job: Job) {
        self.compiled.push((job.module.clone(), job.work.defined(), NOTIFICATIONS));
        let (began, used) = (Instant::now(), wardian_vm::thread_nanoseconds());
        job.run();
        let (took, used) = (began.elapsed(), wardian_vm::thread_nanoseconds().wrapping_sub(used));
        if !is_alone(took, Duration::from_nanos(used)) {
            self.next = Instant::now() + took * PART;
        }
        self.notify();
    }

    /// Has the interpreter ask for what was compiled at the next call or round of the function.
    fn notify(&mut self) {
        self.compiled.retain_mut(|(module, defined, left)| {
            *left -= 1;
            let module = module.upgrade();
            module.is_some_and(|module| module.notify_compiled(*defined)) && *left > 0
        });
    }
}

/// Whether a thread that took so long and used so much processor time had a processor to itself. What is over soon says little.
fn is_alone(took: Duration, used: Duration) -> bool {
    const NOISE: Duration = Duration::from_micros(200);
    used + NOISE >= took.mul_f64(0.85)
}

impl ModuleInner {
    /// The function that is closest to being hot, if one is warm that nobody wanted so far. From now on it is wanted, for memories as
    /// those for which something was last wanted: other instances of the module may have others.
    fn take_warm(self: &Arc<Self>) -> Option<Work> {
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
    fn notify_compiled(self: &Arc<Self>, defined: DefinedFuncIndex) -> bool {
        let is_compiled = self.compiled(self.tier.last_variant(), defined).is_some();
        let code = self.interpreted_before(defined).filter(|_| is_compiled);
        code.is_some_and(|code| code.ask_soon())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waited_was_not_alone() {
        let ms = Duration::from_millis;
        for (took, used, alone) in [
            (ms(10), ms(10), true),
            (ms(10), ms(9), true),
            (ms(10), ms(5), false),
            (ms(0), ms(0), true),
        ] {
            assert_eq!(is_alone(took, used), alone, "{took:?} {used:?}");
        }
    }

    #[test]
    fn what_is_off_never_looks() {
        assert_eq!(Idle::new(false).until_look(), None);
        let mut idle = Idle::new(true);
        assert_eq!(idle.until_look(), Some(Duration::ZERO));
        assert!(idle.find(&[]).is_none());
        assert!(idle.until_look().is_some_and(|until| until > Duration::ZERO));
    }
}
