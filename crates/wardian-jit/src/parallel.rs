//! Compiling the functions of a module on several threads.
//!
//! Workers take functions from one counter, the largest bodies first, so that none is left alone
//! with a large one at the end. Each result depends on its function only, hence not on the order.

use crate::func::Worker;
use crate::translate::Env;
use cranelift_codegen::isa::TargetIsa;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use wardian_types::DefinedFuncIndex;
use wardian_vm::compiled::{CompileError, CompiledFunction, ModuleOptions};

/// What the workers share.
struct Queue<'a> {
    isa: &'a dyn TargetIsa,
    env: &'a Env<'a>,
    options: &'a ModuleOptions<'a>,
    order: Vec<DefinedFuncIndex>,
    next: AtomicUsize,
    done: AtomicUsize,
    stop: AtomicBool,
    /// The error of the function with the lowest index, so that it is the same every time.
    failure: Mutex<Option<CompileError>>,
}

/// The functions that a worker has compiled, each with its index.
type Batch = Vec<(DefinedFuncIndex, CompiledFunction)>;

/// Compiles all functions that the module defines, in their order.
pub(crate) fn compile_all(
    isa: &dyn TargetIsa,
    env: &Env<'_>,
    options: &ModuleOptions<'_>,
) -> Result<Vec<CompiledFunction>, CompileError> {
    let total = env.info.bodies.len();
    let mut order: Vec<DefinedFuncIndex> = env.info.bodies.indices().collect();
    order.sort_by_key(|i| std::cmp::Reverse(env.info.bodies[*i].len()));
    let queue = Queue {
        isa,
        env,
        options,
        order,
        next: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let helpers = options.threads.min(total).saturating_sub(1);
    let batches = std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(|| work(&queue))).collect();
        let mut batches = vec![work(&queue)];
        for helper in helpers {
            match helper.join() {
                Ok(batch) => batches.push(batch),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        batches
    });
    if let Some(failure) = queue.failure.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(failure);
    }
    let mut functions: Vec<CompiledFunction> = Vec::new();
    functions.resize_with(total, CompiledFunction::default);
    for (index, function) in batches.into_iter().flatten() {
        functions[index.index()] = function;
    }
    Ok(functions)
}

fn work(queue: &Queue<'_>) -> Batch {
    let mut worker = Worker::new();
    let mut batch = Batch::new();
    while !queue.stop.load(Ordering::Relaxed) {
        let next = queue.next.fetch_add(1, Ordering::Relaxed);
        let Some(&defined) = queue.order.get(next) else { break };
        if queue.options.cancelled.is_some_and(|cancelled| cancelled()) {
            fail(queue, CompileError::Cancelled);
            break;
        }
        match worker.body(queue.isa, queue.env, defined, None) {
            Ok(function) => batch.push((defined, function)),
            Err(reason) => {
                let index = queue.env.info.func_index(defined);
                fail(queue, CompileError::Function { index, reason });
                break;
            }
        }
        report(queue);
    }
    batch
}

fn fail(queue: &Queue<'_>, error: CompileError) {
    queue.stop.store(true, Ordering::Relaxed);
    let mut failure = queue.failure.lock().unwrap_or_else(|e| e.into_inner());
    let earlier = match (&*failure, &error) {
        (None, _) | (_, CompileError::Cancelled) => true,
        (Some(CompileError::Function { index: old, .. }), CompileError::Function { index, .. }) => {
            index < old
        }
        _ => false,
    };
    if earlier {
        *failure = Some(error);
    }
}

/// Reports about a hundred times, and at the end.
fn report(queue: &Queue<'_>) {
    let done = queue.done.fetch_add(1, Ordering::Relaxed) + 1;
    let total = queue.order.len();
    let step = (total / 100).max(1);
    if let Some(progress) = queue.options.progress
        && (done.is_multiple_of(step) || done == total)
    {
        progress(done, total);
    }
}
