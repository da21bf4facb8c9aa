//! Compiling something while a guest waits for it, but no longer than the guest may run.

use super::queue::Work;
use crate::module::ModuleInner;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use wardian_vm::background::{self, Section, outside};
use wardian_vm::torture::{self, Point};

/// What of a module is being compiled for guests that wait.
#[derive(Default)]
pub(super) struct Awaited(Mutex<HashMap<Work, Arc<Done>>>);

#[derive(Default)]
struct Done {
    done: Mutex<bool>,
    wake: Condvar,
    /// The process whose thread compiles it: see [`background::generation`].
    generation: u64,
}

/// How often a guest that waits looks whether it is to end.
const LOOK: Duration = Duration::from_millis(2);

impl Awaited {
    /// Compiles it on a thread of its own, and waits until that is done or `stop` is true. In that case the
    /// thread continues: nothing can stop the compiler, and the next guest may want the same. Without a
    /// thread nothing is compiled.
    pub(super) fn compile(&self, module: &Arc<ModuleInner>, work: Work, stop: &dyn Fn() -> bool) {
        let Some(done) = self.begin(module, work) else { return };
        let mut is_done = done.lock();
        while !*is_done && !stop() {
            let waited = done.wake.wait_timeout(is_done, LOOK);
            is_done = waited.unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Work, Arc<Done>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn begin(&self, module: &Arc<ModuleInner>, work: Work) -> Option<Arc<Done>> {
        let mut under_way = self.under_way();
        let generation = background::generation();
        if let Some(done) = under_way.get(&work).filter(|done| done.generation == generation) {
            return Some(done.clone());
        }
        let done = Arc::new(Done { generation, ..Done::default() });
        let (module, notified) = (module.clone(), done.clone());
        let compile = move || {
            let _section = Section::enter();
            // It may be the last that has it, and is to drop it here.
            let module = module;
            outside(torture::delay);
            // A panic of the compiler must not leave anybody waiting.
            let _ = catch_unwind(AssertUnwindSafe(|| module.compile_hot(work)));
            module.tier.awaited.under_way().remove(&work);
            *notified.lock() = true;
            notified.wake.notify_all();
        };
        let builder = std::thread::Builder::new().name("wardian compiler".into());
        torture::check(Point::Thread).and_then(|()| builder.spawn(compile)).ok()?;
        under_way.insert(work, done.clone());
        Some(done)
    }
}

impl Done {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.done.lock().unwrap_or_else(|e| e.into_inner())
    }
}
