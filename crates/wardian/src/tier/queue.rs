//! Compiling in the background: few threads, the hottest first.

use crate::jit::MemoryVariant;
use crate::module::ModuleInner;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

/// What an engine is to compile. Its threads are started when there is something, and end some time
/// after there was; a job whose module is gone is dropped.
pub(crate) struct CompileQueue {
    shared: Arc<Shared>,
    /// At most so many threads.
    threads: usize,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// How hot it is: how often it was asked for.
    wanted: HashMap<Key, Wanted>,
    /// What threads are doing.
    running: Vec<Key>,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// A module, by its address, and work.
type Key = (usize, Work);

struct Wanted {
    heat: u32,
    module: Weak<ModuleInner>,
}

/// Something to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// A function, by its position among those that the module defines.
    Function { variant: MemoryVariant, defined: u32 },
    /// A loop of it, by its offset in the code section.
    Loop { variant: MemoryVariant, defined: u32, header: u32 },
}

/// Some work, and of which module it is.
pub(super) struct Job {
    pub(super) module: Weak<ModuleInner>,
    pub(super) work: Work,
}

/// How long a thread waits for more work.
const PATIENCE: Duration = Duration::from_millis(500);

impl CompileQueue {
    pub(crate) fn new(threads: usize) -> CompileQueue {
        let shared = Shared { state: Mutex::default(), wake: Condvar::new() };
        CompileQueue { shared: Arc::new(shared), threads: threads.max(1) }
    }

    /// Adds work, or makes it more urgent.
    pub(super) fn want(&self, module: &Arc<ModuleInner>, work: Work) {
        let mut state = self.shared.lock();
        let key = (Arc::as_ptr(module) as usize, work);
        if state.running.contains(&key) {
            return;
        }
        let new = || Wanted { heat: 0, module: Arc::downgrade(module) };
        state.wanted.entry(key).or_insert_with(new).heat += 1;
        if state.idle > 0 {
            self.shared.wake.notify_one();
        } else if state.threads < self.threads {
            let shared = self.shared.clone();
            let builder = std::thread::Builder::new().name("wardian compiler".into());
            // Without a thread the module stays interpreted until one can be had.
            if builder.spawn(move || shared.work()).is_ok() {
                state.threads += 1;
            }
        }
    }
}

impl Drop for CompileQueue {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.wanted.clear();
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What each thread does.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((key, job)) = state.hottest() {
                state.running.push(key);
                drop(state);
                // A panic of the compiler must not end the thread with the count of threads wrong.
                let run = std::panic::AssertUnwindSafe(|| job.run());
                if let Err(panic) = std::panic::catch_unwind(run) {
                    wardian_vm::contain::discard(panic);
                }
                state = self.lock();
                state.running.retain(|running| *running != key);
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (next, waited) = self
                .wake
                .wait_timeout_while(state, PATIENCE, |s| s.wanted.is_empty() && !s.closed)
                .unwrap_or_else(|e| e.into_inner());
            state = next;
            state.idle -= 1;
            if waited.timed_out() && state.wanted.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl State {
    fn hottest(&mut self) -> Option<(Key, Job)> {
        let key = *self.wanted.iter().max_by_key(|(_, wanted)| wanted.heat)?.0;
        let wanted = self.wanted.remove(&key)?;
        Some((key, Job { module: wanted.module, work: key.1 }))
    }
}

impl Work {
    pub(super) fn variant(self) -> MemoryVariant {
        match self {
            Work::Function { variant, .. } | Work::Loop { variant, .. } => variant,
        }
    }

    pub(super) fn defined(self) -> u32 {
        match self {
            Work::Function { defined, .. } | Work::Loop { defined, .. } => defined,
        }
    }
}
