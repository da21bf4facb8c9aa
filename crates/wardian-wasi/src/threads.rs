//! Threads of guests: `wasi` `thread-spawn`, of the wasi-threads proposal.

mod checkpoint;
pub(crate) mod current;
mod group;
mod pause;

pub use checkpoint::{ResumedThreads, WasiThreadsCheckpoint, is_threads_checkpoint};

use group::{Ending, Group, MAIN, Origin};
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::{Arc, Weak};
use wardian::{
    Caller, Error, ExternType, FuncType, Instance, InstantiateOptions, Linker, Module, Result,
    SharedMemory, Store, ValType,
};

/// How many threads a program may have at once beside its main thread, unless set otherwise.
pub const DEFAULT_MAX_THREADS: usize = 64;

/// What the runtime and simple host functions need, with room to spare.
const MIN_HOST_STACK: usize = 512 << 10;

/// The export that a thread begins in.
const ENTRY: &str = "wasi_thread_start";

/// The threads of one program, which begin, and end, together.
///
/// A program for threads imports a shared memory, imports `wasi` `thread-spawn` and exports
/// `wasi_thread_start`. Each thread gets a store of its own with the embedder's data for it, and an
/// instance of its own of the module; they have the shared memories in common, and all that is
/// shared in the embedder's data. Clones of a [`WasiCtx`](crate::WasiCtx) share descriptors: a file
/// that one thread opens is open in all.
///
/// As the proposal has it, a start function runs in each instance. Compilers emit one that fills
/// the memory, and that does so only once.
///
/// # How it ends
///
/// The first of these ends the whole group, and is what [`run`](Self::run) and
/// [`join`](Self::join) report; everything that happens afterwards is forgotten:
///
/// - the main thread returns from its entry point, as if it had called `proc_exit` with 0;
/// - any thread calls `proc_exit`;
/// - any thread traps, or a host function that it called fails;
/// - a host function panics: the panic is resumed in the thread that joins;
/// - a thread cannot be made for lack of memory or by a limit of its store, after `thread-spawn`
///   had already succeeded;
/// - the main thread's store reaches its deadline or is cancelled;
/// - the embedder ends it by a [`WasiThreadsHandle`], or drops it.
///
/// Then all other threads are cancelled wherever they are, as by
/// [`CancelToken`](wardian::cancel::CancelToken): in a loop, a `memory.atomic.wait`, or a WASI call that
/// blocks. The main store then stays cancelled, until
/// [`clear_cancellation`](wardian::Store::clear_cancellation).
///
/// ```
/// use wardian::{Engine, Linker, Module, Store};
/// use wardian_wasi::{MemoryOutput, WasiCtx, WasiThreads};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (import "env" "memory" (memory 1 1 shared))
///     (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
///     (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
///     (export "memory" (memory 0))
///     (func (export "wasi_thread_start") (param $tid i32) (param $arg i32)
///         (call $exit (i32.mul (local.get $tid) (local.get $arg))))
///     (func (export "_start")
///         (drop (call $spawn (i32.const 7)))
///         (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#)?;
/// let mut linker: Linker<WasiCtx> = Linker::new(&engine);
/// wardian_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
///
/// let wasi = WasiCtx::builder().build();
/// let mut store = Store::new(&engine, wasi.clone());
/// let threads = WasiThreads::builder(&module, move |_tid| wasi.clone()).build(&linker)?;
/// let end = threads.run(&mut store).unwrap_err();
/// assert_eq!(end.exit_code(), Some(7));
/// # Ok::<(), wardian::Error>(())
/// ```
pub struct WasiThreads<T: 'static> {
    group: Arc<Group<T>>,
    memories: Vec<SharedMemory>,
}

/// Ends a [`WasiThreads`] from any thread, also while it runs. Clones are for the same group; they
/// do not keep it alive.
pub struct WasiThreadsHandle<T: 'static>(Weak<Group<T>>);

/// Describes a [`WasiThreads`].
pub struct WasiThreadsBuilder<T: 'static> {
    origin: Origin<T>,
    max_threads: usize,
}

/// Whether a module is a program for threads: whether it imports `wasi` `thread-spawn`. Such a
/// program is run by [`WasiThreads`].
pub fn needs_threads(module: &Module) -> bool {
    module.imports().any(|(module, name, _)| (module, name) == ("wasi", "thread-spawn"))
}

impl<T: 'static> WasiThreads<T> {
    /// Begins the description of a group: `data` makes the data of the store of each new thread,
    /// on that thread, from its identifier, which is positive. If it panics, so does the group.
    pub fn builder(
        module: &Module,
        data: impl Fn(u32) -> T + Send + Sync + 'static,
    ) -> WasiThreadsBuilder<T> {
        WasiThreadsBuilder {
            origin: Origin {
                module: module.clone(),
                linker: Linker::new(module.engine()),
                options: InstantiateOptions::new(),
                data: Box::new(data),
                configure: Box::new(|_| {}),
                failed: Box::new(|_, _, _, _| {}),
                host_stack: None,
            },
            max_threads: DEFAULT_MAX_THREADS,
        }
    }

    /// The shared memory that was made for the group, if one was.
    pub fn memories(&self) -> &[SharedMemory] {
        &self.memories
    }

    /// By which other threads may end the group.
    pub fn handle(&self) -> WasiThreadsHandle<T> {
        WasiThreadsHandle(Arc::downgrade(&self.group))
    }

    /// Makes the instance of the main thread, in a store of the embedder's, and runs the module's
    /// start function. From now on the store is cancelled when the group ends.
    ///
    /// [`run`](Self::run) does all that is needed; this is for those who want to call other
    /// exports. They have to end the group, or drop it, when the main thread is done or has failed.
    ///
    /// # Errors
    ///
    /// As for [`Linker::instantiate`]; or there is a main thread already, or the group has ended.
    pub fn instantiate(&self, store: &mut Store<T>) -> Result<Instance> {
        self.group.enter_main(store.cancel_token())?;
        let instance = self.group.origin.instantiate(store)?;
        // What a start function does is not written down.
        self.group.register(MAIN, store.checkpoint_request());
        Ok(instance)
    }

    /// Runs the program: makes the main instance in `store`, calls its `_start`, and returns when
    /// every thread has ended.
    ///
    /// # Errors
    ///
    /// What ended the group, if it was not the return of `_start`; for an end by `proc_exit`, also with 0,
    /// [`Error::exit_code`] is the code. Or the module has no `_start`.
    ///
    /// # Panics
    ///
    /// A host function panicked, on whatever thread.
    pub fn run(self, store: &mut Store<T>) -> Result<()> {
        self.run_with(store, |store, instance| {
            instance.typed_func::<(), ()>(&mut *store, "_start")?.call(store, ())
        })
    }

    /// [`run`](Self::run) with another main function: the group ends when it returns.
    ///
    /// # Errors
    ///
    /// What ended the group, if it was not that `main` returned a value.
    ///
    /// # Panics
    ///
    /// As for [`run`](Self::run), or `main` panics.
    pub fn run_with<R>(
        self,
        store: &mut Store<T>,
        main: impl FnOnce(&mut Store<T>, Instance) -> Result<R>,
    ) -> Result<R> {
        // If `main` panics, dropping the group ends and joins it.
        let done = self.instantiate(store).and_then(|instance| main(store, instance));
        self.finish(done)
    }

    /// Ends the group as its main thread has ended, and waits for the other threads.
    fn finish<R>(self, done: Result<R>) -> Result<R> {
        let (ending, value) = match done {
            Ok(value) => (Ending::Done, Some(value)),
            Err(error) => (Ending::Failed(error), None),
        };
        self.group.end(ending, Some(MAIN));
        self.join()?;
        // Only an error can have ended the group if the main thread gave no value.
        value.ok_or_else(|| Error::host("the main thread failed, but its group did not"))
    }

    /// Returns when every thread beside the main thread has ended: by themselves, or because the
    /// group has.
    ///
    /// # Errors
    ///
    /// What ended the group.
    ///
    /// # Panics
    ///
    /// A host function of one of the threads panicked.
    pub fn join(self) -> Result<()> {
        self.group.join();
        match self.group.take_ending() {
            Some(Ending::Failed(error)) => Err(error),
            Some(Ending::Panicked(payload)) => resume_unwind(payload),
            Some(Ending::Done) | None => Ok(()),
        }
    }
}

impl<T: 'static> Drop for WasiThreads<T> {
    fn drop(&mut self) {
        self.group.end(Ending::Done, None);
        self.group.join();
    }
}

impl<T: 'static> std::fmt::Debug for WasiThreads<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiThreads").field("live", &self.group.live()).finish_non_exhaustive()
    }
}

impl<T: 'static> WasiThreadsHandle<T> {
    /// Ends the group with an error, which [`WasiThreads::run`] and [`WasiThreads::join`] then
    /// report: all its threads are cancelled. [`Error::exit`] makes one that is an exit with a
    /// code. It returns at once, and does nothing if the group has ended or is gone.
    pub fn end(&self, error: Error) {
        if let Some(group) = self.0.upgrade() {
            group.end(Ending::Failed(error), None);
        }
    }

    /// How many threads there are now, beside the main thread.
    pub fn live(&self) -> usize {
        self.0.upgrade().map_or(0, |group| group.live())
    }

    /// Whether the group has ended. Its threads may still be on their way out.
    pub fn has_ended(&self) -> bool {
        self.0.upgrade().is_none_or(|group| group.has_ended())
    }
}

impl<T: 'static> Clone for WasiThreadsHandle<T> {
    fn clone(&self) -> Self {
        WasiThreadsHandle(self.0.clone())
    }
}

impl<T: 'static> std::fmt::Debug for WasiThreadsHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiThreadsHandle").field("live", &self.live()).finish()
    }
}

impl<T: 'static> WasiThreadsBuilder<T> {
    /// How many threads may live at once, beside the main thread. If there are as many, `thread-spawn` fails,
    /// as it does if the system gives no thread; `pthread_create` makes `EAGAIN` of it.
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.max_threads = threads;
        self
    }

    /// The size in bytes of the stacks on which host functions run in new threads; Rust's default
    /// unless set, and never less than 512 KiB. Guests have stacks of their own, see
    /// [`Config::stack_size`](wardian::Config::stack_size).
    pub fn host_stack_size(mut self, bytes: usize) -> Self {
        self.origin.host_stack = Some(bytes.max(MIN_HOST_STACK));
        self
    }

    /// How each instance is made, that of the main thread included: say with an import resolver,
    /// which is asked for every thread anew.
    pub fn options(mut self, options: InstantiateOptions<T>) -> Self {
        self.origin.options = options;
        self
    }

    /// What to do with the store of each new thread before it is used, say to set its limiter.
    pub fn configure(mut self, configure: impl Fn(&mut Store<T>) + Send + Sync + 'static) -> Self {
        self.origin.configure = Box::new(configure);
        self
    }

    /// What to do when a new thread has failed, whether it ends the group or is ended with it: the callback
    /// gets the thread's identifier, its store and instance as they are then, and the error, whose backtrace
    /// says where the thread was. It runs on that thread, on several threads at once if several fail. If it
    /// panics, so does the group.
    ///
    /// It is not called for threads that fail before they call `wasi_thread_start`.
    pub fn on_failure(
        mut self,
        failed: impl Fn(u32, &Store<T>, Instance, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.origin.failed = Box::new(failed);
        self
    }

    /// The group. The linker has what the module imports: host functions, and shared memories that
    /// the embedder made. If it lacks `env` `memory`, that is made, with the imported type. Nothing in it
    /// may belong to a store, for each thread has another.
    ///
    /// # Errors
    ///
    /// The module is no program for threads: it imports no shared memory or has no
    /// `wasi_thread_start`; or a shared memory of another name is not defined. Or the memory cannot be made, or the linker defines `wasi`
    /// `thread-spawn` already.
    pub fn build(self, linker: &Linker<T>) -> Result<WasiThreads<T>> {
        let WasiThreadsBuilder { mut origin, max_threads } = self;
        check(&origin.module)?;
        origin.linker = linker.clone();
        let memories = make_memories(&mut origin)?;
        let mut defined = Ok(());
        let group = Arc::new_cyclic(|group: &Weak<Group<T>>| {
            // The group holds the linker, and so this function: it must not hold the group.
            let group = group.clone();
            let spawn = move |_: Caller<'_, T>, arg: i32| {
                group.upgrade().map_or(group::REFUSED, |group| group.spawn(arg))
            };
            defined = origin.linker.func_wrap("wasi", "thread-spawn", spawn).map(drop);
            Group::new(origin, max_threads)
        });
        defined?;
        Ok(WasiThreads { group, memories })
    }
}

impl<T: 'static> std::fmt::Debug for WasiThreadsBuilder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiThreadsBuilder")
            .field("max_threads", &self.max_threads)
            .finish_non_exhaustive()
    }
}

/// Errs if the module is no program for threads.
fn check(module: &Module) -> Result<()> {
    let entry = ExternType::Func(FuncType::new([ValType::I32, ValType::I32], []));
    let problem = match module.export(ENTRY) {
        Some(found) if found == entry => None,
        Some(found) => Some(format!("its export `{ENTRY}` is a {found}, not a {entry}")),
        None => Some(format!("it does not export `{ENTRY}`, a {entry}")),
    };
    let shares = module.imports().any(|(_, _, ty)| is_shared(&ty));
    let problem = problem.or((!shares).then(|| "it imports no shared memory".to_owned()));
    match problem {
        Some(problem) => {
            Err(Error::host(format!("the module is no program for threads: {problem}")))
        }
        None => Ok(()),
    }
}

fn is_shared(ty: &ExternType) -> bool {
    matches!(ty, ExternType::Memory(memory) if memory.shared)
}

/// The memory of a program for threads, as toolchains name it.
const MEMORY: (&str, &str) = ("env", "memory");

/// Makes the shared memory if it is imported and not defined.
fn make_memories<T>(origin: &mut Origin<T>) -> Result<Vec<SharedMemory>> {
    let mut made = Vec::new();
    let mut names = HashSet::new();
    for (module, name, ty) in origin.module.imports() {
        let ExternType::Memory(ty) = ty else { continue };
        if !ty.shared || origin.linker.is_defined(module, name) || !names.insert((module, name)) {
            continue;
        }
        if (module, name) != MEMORY {
            return Err(Error::host(format!(
                "the program for threads imports a shared memory as `{module}` `{name}`; one is made \
                 for `{}` `{}` only, others have to be defined",
                MEMORY.0, MEMORY.1
            )));
        }
        let memory = SharedMemory::new(origin.module.engine(), ty)?;
        origin.linker.define(module, name, memory.clone())?;
        made.push(memory);
    }
    Ok(made)
}
