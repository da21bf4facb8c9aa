//! Compiling in the background: few threads, modules by turns, of each the hottest first.

use super::idle::Idle;
use crate::module::ModuleInner;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};
use wardian_types::{CodeOffset, DefinedFuncIndex};
use wardian_vm::background::{self, Section, outside};
use wardian_vm::compiled::MemoryVariant;
use wardian_vm::torture::{self, Point};

/// What an engine is to compile. Its threads are started when there is something, and end some time
/// after there was; a job whose module is gone is dropped.
pub struct CompileQueue {
    shared: Arc<Shared>,
    /// At most so many threads.
    threads: usize,
}

#[derive(Default)]
struct Shared {
    /// How many threads may do long work at once: if possible one is left for the rest.
    most_long: usize,
    /// Whether threads compile what is warm while nothing is hot.
    idle_work: bool,
    state: Mutex<State>,
    /// Notified when some work is done.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// How hot it is: how often it was asked for.
    wanted: HashMap<Key, Wanted>,
    /// What threads are doing.
    running: Vec<Key>,
    /// How much of that is long.
    long: usize,
    /// When work of a module was last begun, in turns.
    served: HashMap<usize, Served>,
    turn: u64,
    threads: usize,
    /// Those that have nothing to do.
    parked: Vec<Thread>,
    closed: bool,
    /// Whether a thread looks for what is warm.
    looking: bool,
    /// The process that has these threads: see [`background::generation`].
    generation: u64,
}

/// A module, and when work of it was last begun.
struct Served {
    turn: u64,
    module: Weak<ModuleInner>,
}

/// A module, by its address, and work.
type Key = (usize, Work);

/// A function of a module.
type Function = (Weak<ModuleInner>, DefinedFuncIndex);

struct Wanted {
    asked: u32,
    /// Microseconds that it may take.
    cost: u64,
    module: Weak<ModuleInner>,
}

/// Something to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// A function, by its position among those that the module defines.
    Function { variant: MemoryVariant, defined: DefinedFuncIndex },
    /// A loop of it, by its offset in the code section.
    Loop { variant: MemoryVariant, defined: DefinedFuncIndex, header: CodeOffset },
}

/// Some work, and of which module it is.
pub(super) struct Job {
    pub(super) module: Weak<ModuleInner>,
    pub(super) work: Work,
}

/// How long a thread waits for more work.
const PATIENCE: Duration = Duration::from_millis(500);
/// Work that may take so many microseconds is long: it does not get all threads.
const LONG: u64 = 300_000;

impl CompileQueue {
    /// A queue for at most so many threads, and whether they compile what is warm while nothing is hot.
    pub fn new(threads: usize, idle_work: bool) -> CompileQueue {
        // With a single processor a guest would have to wait for it.
        let idle_work = idle_work && threads > 0;
        let threads = threads.max(1);
        let most_long = threads.saturating_sub(1).max(1);
        let shared = Shared { most_long, idle_work, ..Shared::default() };
        CompileQueue { shared: Arc::new(shared), threads }
    }

    /// Adds work that was hot so many times, or makes it more urgent by as much, and may take so many microseconds.
    pub(super) fn want(&self, module: &Arc<ModuleInner>, work: Work, cost: u64, times: u32) {
        let mut state = self.shared.lock();
        let key = (Arc::as_ptr(module) as usize, work);
        if state.running.contains(&key) {
            return;
        }
        let new = || Wanted { asked: 0, cost, module: Arc::downgrade(module) };
        let wanted = state.wanted.entry(key).or_insert_with(new);
        wanted.asked = wanted.asked.saturating_add(times);
        if let Some(thread) = state.parked.pop() {
            thread.unpark();
        } else if state.threads < self.threads {
            let shared = self.shared.clone();
            let builder = std::thread::Builder::new().name("wardian compiler".into());
            // Without a thread the module stays interpreted until one can be had.
            let started =
                torture::check(Point::Thread).and_then(|()| builder.spawn(move || shared.work()));
            if started.is_ok() {
                state.threads += 1;
            }
        }
    }
}

impl CompileQueue {
    /// Drops what was to be compiled of the loops of a function, which is compiled as a whole now.
    pub(super) fn forget_loops(
        &self,
        module: *const ModuleInner,
        of: MemoryVariant,
        function: DefinedFuncIndex,
    ) {
        let is_such = |(of_module, work): &Key| match *work {
            Work::Loop { variant, defined, .. } => {
                *of_module == module as usize && (variant, defined) == (of, function)
            }
            Work::Function { .. } => false,
        };
        self.shared.lock().wanted.retain(|key, _| !is_such(key));
    }

    /// Drops the work of a module that goes.
    pub fn forget(&self, module: *const ModuleInner) {
        let mut state = self.shared.lock();
        state.wanted.retain(|(of, _), _| *of != module as usize);
        state.served.remove(&(module as usize));
    }

    /// Waits until such work of a module that is under way is done, but not longer than this. Returns what is not done.
    pub(super) fn finish(
        &self,
        module: *const ModuleInner,
        patience: Duration,
        which: impl Fn(Work) -> bool,
    ) -> Vec<Work> {
        // There is no deadline if the clock cannot represent it.
        let until = Instant::now().checked_add(patience);
        let is_meant = |(of, work): &Key| *of == module as usize && which(*work);
        let mut state = self.shared.lock();
        loop {
            let running = state.running.iter().filter(|key| is_meant(key)).map(|key| key.1);
            let left = until.map_or(patience, |u| u.saturating_duration_since(Instant::now()));
            if left.is_zero() || running.clone().next().is_none() {
                return running.collect();
            }
            let waited = self.shared.done.wait_timeout(state, left);
            state = waited.unwrap_or_else(|e| e.into_inner()).0;
        }
    }
}

impl Drop for CompileQueue {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.wanted.clear();
        state.parked.drain(..).for_each(|thread| thread.unpark());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.leave_threads_of_parent();
        state
    }

    /// What each thread does.
    fn work(&self) {
        let _section = Section::enter();
        let mut idle = Idle::new(self.idle_work);
        let mut state = self.lock();
        let mut since = Instant::now();
        loop {
            if let Some((key, long, job)) = state.next(self.most_long) {
                state = self.run(state, key, long, || job.run());
                since = Instant::now();
                continue;
            }
            if state.closed {
                break;
            }
            let until_look = idle.until_look().filter(|_| !state.looking);
            if until_look == Some(Duration::ZERO) {
                state = self.compile_warm(state, &mut idle);
                continue;
            }
            let left = PATIENCE.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, until_look.map_or(left, |until| until.min(left)));
        }
        state.threads -= 1;
    }

    /// Waits for work, but not longer than this.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        most: Duration,
    ) -> MutexGuard<'a, State> {
        let this = std::thread::current();
        state.parked.push(this.clone());
        drop(state);
        outside(|| std::thread::park_timeout(most));
        let mut state = self.lock();
        state.parked.retain(|thread| thread.id() != this.id());
        state
    }

    /// Compiles a function that is warm, if there is one.
    fn compile_warm<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        idle: &mut Idle<Function>,
    ) -> MutexGuard<'a, State> {
        let modules = state.modules();
        state.looking = true;
        drop(state);
        notify(idle);
        let found = idle.look(|| modules.iter().find_map(take_warm));
        let mut state = self.lock();
        state.looking = false;
        let Some(job) = found else { return state };
        let key = (job.module.as_ptr() as usize, job.work);
        let compile = || {
            idle.run((job.module.clone(), job.work.defined()), || job.run());
            notify(idle);
        };
        self.run(state, key, false, compile)
    }

    /// Does some work while others use the state.
    fn run<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        key: Key,
        long: bool,
        run: impl FnOnce(),
    ) -> MutexGuard<'a, State> {
        state.running.push(key);
        state.long += usize::from(long);
        drop(state);
        outside(torture::delay);
        // A panic of the compiler must not end the thread with the count of threads wrong.
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            wardian_vm::contain::discard(panic);
        }
        let mut state = self.lock();
        state.running.retain(|running| *running != key);
        state.long -= usize::from(long);
        self.done.notify_all();
        state
    }
}

/// A function that is warm, of a module that is still there.
fn take_warm(module: &Weak<ModuleInner>) -> Option<Job> {
    let work = module.upgrade()?.take_warm()?;
    Some(Job { module: module.clone(), work })
}

/// Has the interpreter ask for what was compiled while nothing was hot, at the next call or round of the function.
fn notify(idle: &mut Idle<Function>) {
    idle.notify(|(module, defined)| {
        module.upgrade().is_some_and(|module| module.notify_compiled(*defined))
    });
}

impl State {
    /// In a process that was forked off there are no threads yet, and what they did is not done.
    fn leave_threads_of_parent(&mut self) {
        let generation = background::generation();
        if self.generation != generation {
            *self = State {
                generation,
                wanted: std::mem::take(&mut self.wanted),
                served: std::mem::take(&mut self.served),
                turn: self.turn,
                closed: self.closed,
                ..State::default()
            };
        }
    }

    /// What is done next: of the module that has waited longest for its turn the hottest, of them the cheapest.
    fn choose(&self, most_long: usize) -> Option<Key> {
        let possible = self.wanted.iter().filter(|(_, w)| !w.is_long() || self.long < most_long);
        if let Some(any) = torture::choose(possible.clone().count()) {
            return possible.map(|(key, _)| *key).nth(any);
        }
        let first = possible.min_by_key(|((module, _), wanted)| {
            let served = self.served.get(module).map_or(0, |served| served.turn);
            (served, std::cmp::Reverse(wanted.asked), wanted.cost)
        });
        first.map(|(key, _)| *key)
    }

    /// Modules of which something was compiled, the one that has waited longest first.
    fn modules(&self) -> Vec<Weak<ModuleInner>> {
        let mut served: Vec<_> = self.served.values().collect();
        served.sort_by_key(|served| served.turn);
        served.into_iter().map(|served| served.module.clone()).collect()
    }

    /// Takes it.
    fn next(&mut self, most_long: usize) -> Option<(Key, bool, Job)> {
        let key = self.choose(most_long)?;
        let wanted = self.wanted.remove(&key)?;
        self.turn += 1;
        self.served.insert(key.0, Served { turn: self.turn, module: wanted.module.clone() });
        Some((key, wanted.is_long(), Job { module: wanted.module, work: key.1 }))
    }
}

impl Wanted {
    fn is_long(&self) -> bool {
        self.cost > LONG
    }
}

impl Work {
    pub(super) fn variant(self) -> MemoryVariant {
        match self {
            Work::Function { variant, .. } | Work::Loop { variant, .. } => variant,
        }
    }

    pub(super) fn defined(self) -> DefinedFuncIndex {
        match self {
            Work::Function { defined, .. } | Work::Loop { defined, .. } => defined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(defined: DefinedFuncIndex) -> Work {
        Work::Function { variant: MemoryVariant::Guarded, defined }
    }

    fn state(wanted: &[(usize, u32, u32, bool)]) -> State {
        let mut state = State::default();
        for (module, defined, asked, long) in wanted.iter().copied() {
            let cost = if long { LONG + 1 } else { LONG };
            let wanted = Wanted { asked, cost, module: Weak::new() };
            state.wanted.insert((module, work(DefinedFuncIndex::from_u32(defined))), wanted);
        }
        state
    }

    #[test]
    fn modules_take_turns_and_the_hottest_of_each_comes_first() {
        let mut state = state(&[
            (1, 0, 9, false),
            (1, 1, 8, false),
            (1, 2, 7, false),
            (2, 0, 1, false),
            (2, 1, 2, false),
        ]);
        let mut order = Vec::new();
        while let Some(((module, work), _, _)) = state.next(1) {
            order.push((module, work.defined().as_u32()));
        }
        assert_eq!(order[..2].iter().filter(|(module, _)| *module == 2).count(), 1);
        assert_eq!(order[2..4].iter().filter(|(module, _)| *module == 2).count(), 1);
        let of = |module| order.iter().filter(move |(m, _)| *m == module).map(|(_, w)| *w);
        assert_eq!(of(1).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(of(2).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn long_work_leaves_a_thread_for_the_rest() {
        let mut state = state(&[(1, 0, 9, true), (1, 1, 8, true), (2, 0, 1, false)]);
        // Two threads, of which one is at long work.
        state.long = 1;
        let chosen = state.next(1).map(|(key, ..)| key);
        assert_eq!(chosen, Some((2, work(DefinedFuncIndex::from_u32(0)))));
        assert!(state.next(1).is_none());
        state.long = 0;
        assert_eq!(
            state.next(1).map(|(key, ..)| key),
            Some((1, work(DefinedFuncIndex::from_u32(0))))
        );
    }

    #[test]
    fn loops_of_a_function_are_forgotten_alone() {
        let queue = CompileQueue::new(1, false);
        let function = DefinedFuncIndex::from_u32;
        let header = CodeOffset::from_u32(7);
        let loop_of = |variant, defined| Work::Loop { variant, defined: function(defined), header };
        let (guarded, checked) = (MemoryVariant::Guarded, MemoryVariant::Checked);
        let kept = [
            (16, work(function(0))),
            (16, loop_of(guarded, 1)),
            (16, loop_of(checked, 0)),
            (32, loop_of(guarded, 0)),
        ];
        let wanted = |key| (key, Wanted { asked: 1, cost: 1, module: Weak::new() });
        let all = kept.into_iter().chain([(16, loop_of(guarded, 0))]);
        queue.shared.lock().wanted.extend(all.map(wanted));
        queue.forget_loops(std::ptr::without_provenance(16), guarded, function(0));
        let left: std::collections::HashSet<_> =
            queue.shared.lock().wanted.keys().copied().collect();
        assert_eq!(left, kept.into_iter().collect());
    }

    #[test]
    fn what_is_under_way_is_waited_for() {
        let queue = CompileQueue::new(1, false);
        let module = std::ptr::without_provenance::<ModuleInner>(16);
        let [first, second] = [0, 1].map(|at| work(DefinedFuncIndex::from_u32(at)));
        queue.shared.lock().running = vec![(16, first), (16, second), (32, first)];
        let short = Duration::from_millis(5);
        assert_eq!(queue.finish(module, short, |work| work == first), [first]);
        assert_eq!(queue.finish(module, Duration::ZERO, |_| true), [first, second]);
        assert_eq!(queue.finish(module, Duration::MAX, |_| false), []);
        let shared = queue.shared.clone();
        std::thread::spawn(move || {
            shared.lock().running.retain(|(of, _)| *of == 32);
            shared.done.notify_all();
        });
        assert_eq!(queue.finish(module, Duration::from_secs(600), |_| true), []);
    }
}
