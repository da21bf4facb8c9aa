//! `wardian run`, and running what is looked at.

mod end;
mod resume;
mod watch;

pub(crate) use resume::resume;

use crate::args::{PerfArg, RunArgs};
use crate::checkpoint::{self, Checkpointer, Guest};
use crate::control::Control;
use crate::input::Input;
use crate::invoke::Invocation;
use crate::live::Live;
use crate::observe::Observer;
use crate::postmortem::{self, CoreFile, Deaths};
use crate::report::{self, Exit, Result};
use crate::signals::Blocked;
use crate::threads;
use crate::wasi::{self, Fuel, Host, Limits};
use anyhow::{Context, anyhow, bail};
use end::End;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wardian::{
    Engine, ExternType, FuncType, Instance, InstantiateOptions, Linker, Module, Store,
    StoreContextMut,
    checkpoint::Checkpoints,
    limits::StoreLimits,
    resolver::{ImportRequest, ImportResolver, Resolution, TrapStubs},
};
use wardian_wasi::{WasiCtx, WasiThreads};
use watch::Watch;

const START: &str = "_start";
const INITIALIZE: &str = "_initialize";

/// Runs the program, or continues it if the file is a checkpoint, while somebody looks on. Signals that are blocked
/// stop the guest.
pub(crate) fn run_or_resume(
    args: &RunArgs,
    verbose: bool,
    observer: Arc<dyn Observer>,
    signals: Option<Blocked>,
) -> Result<Exit> {
    match checkpoint::is_at(args.file()) {
        true => resume(args, verbose, observer, signals),
        false => run(args, verbose, observer, signals),
    }
}

/// Runs the program, while somebody looks on. Signals that are blocked stop the guest.
pub(crate) fn run(
    args: &RunArgs,
    verbose: bool,
    observer: Arc<dyn Observer>,
    signals: Option<Blocked>,
) -> Result<Exit> {
    warn_of_misplaced(args);
    let checkpoints = Checkpointer::new(args)?;
    let watch = Watch::new(args, &observer, signals)?;
    let core = args.coredump.as_deref().map(CoreFile::prepare).transpose()?;
    let engine = engine(args, verbose, &*observer)?;
    let began = Instant::now();
    let module = load(args, &engine, verbose, &*observer)?;
    observer.loaded(&module, began.elapsed())?;
    let linking = Instant::now();
    let plan = Plan::new(args, &module)?;
    let mut linker = Linker::new(&engine);
    wasi::link(&mut linker)?;
    observer.linker(&mut linker)?;
    let mut store = store(args, &engine, wasi::context(args)?.build())?;
    observer.store(&mut store)?;
    let deaths = Arc::new(Deaths::default());
    let live = args.control.then(|| Live::new(args));
    let on_threads = Live::with_threads(live.as_ref(), observer.clone());
    let threads = threads::group(args, &module, &linker, store.data(), on_threads, deaths.clone())?;
    watch.guest_begins(&mut store);
    let guest = Guest::new(&mut store, threads.as_ref().map(WasiThreads::handle));
    checkpoints.iter().try_for_each(|checkpoints| checkpoints.guest_begins(&mut store, &guest))?;
    let _control = Control::open(args, &mut store, &guest, live)?;
    observer.linked(linking.elapsed());
    observer.begins();
    let mut main = None;
    let mut execute = |store: &mut Store<Host>, instance| {
        let outcome = execute(store, instance, &plan);
        if let Err(error) = &outcome {
            deaths.add("main".into(), error);
        }
        observer.ended(store, instance);
        main = Some(instance);
        outcome
    };
    let outcome = match threads {
        None => linker
            .instantiate_with(&mut store, &module, &options(args, &linker))
            .and_then(|instance| execute(&mut store, instance)),
        Some(threads) => threads.run_with(&mut store, execute),
    };
    let stopped = watch.guest_ended();
    if let Err(error) = &outcome
        && main.is_none()
        && end::is_refusal(error)
    {
        observer.refused();
    }
    let end = End { args, store: &store, main, deaths: &deaths, core: core.as_ref(), stopped };
    let exit = end.of(outcome);
    // A program that ran for a moment waits for a moment; whoever is to see a failure does not wait.
    let patience = if exit.is_ok() { began.elapsed() } else { Duration::ZERO };
    module.keep_compiled(patience);
    exit
}

/// Options behind the file are the guest's, which people who type them may not know.
fn warn_of_misplaced(args: &RunArgs) {
    if std::io::stderr().is_terminal()
        && args.invoke.is_none()
        && let Some(option) = crate::compat::misplaced(args.args())
    {
        report::note(&format!(
            "{option} is given to the guest; options of wardian come before the file, and after `--` there is no \
             such note"
        ));
    }
}

/// The engine that the command line asks for.
fn engine(args: &RunArgs, verbose: bool, observer: &dyn Observer) -> wardian::Result<Engine> {
    let engine = crate::engine::engine(args.features.set(), |config| {
        config.engine(args.engine());
        if args.is_carried() {
            config.checkpoints(Checkpoints::CallsAndLoops);
        }
        config
            .stack_size(args.stack_size)
            .fuel(args.fuel.is_some())
            .deterministic(args.deterministic)
            .lazy_validation(args.lazy_validation);
        config.perf_map(args.perf == Some(PerfArg::Map));
        config.perf_dump(args.perf == Some(PerfArg::Jitdump));
        #[cfg(feature = "jit")]
        config.native_debug(args.native_debug);
        config.code_limit(args.max_code.unwrap_or(usize::MAX));
        postmortem::configure(config, args);
        observer.engine(config);
    })?;
    if verbose && let Some(why) = engine.interpreted_because() {
        report::note(&format!(
            "everything is interpreted, since there is no executable memory: {why}"
        ));
    }
    Ok(engine)
}

/// How instances are made.
pub(crate) fn options(args: &RunArgs, linker: &Linker<Host>) -> InstantiateOptions<Host> {
    let options = InstantiateOptions::new();
    match args.stub_imports {
        true => options.with_import_resolver(Stubs(linker.clone())),
        false => options,
    }
}

/// Functions that end the guest, for imports that nothing defines. What is defined is left to the linker.
struct Stubs(Linker<Host>);

impl ImportResolver<Host> for Stubs {
    fn resolve(
        &self,
        store: StoreContextMut<'_, Host>,
        request: &ImportRequest<'_>,
    ) -> wardian::Result<Resolution> {
        // That of programs for threads is defined later.
        let is_spawn = (request.module(), request.name()) == ("wasi", "thread-spawn");
        if is_spawn || self.0.is_defined(request.module(), request.name()) {
            return Ok(Resolution::Unresolved);
        }
        TrapStubs::new().resolve(store, request)
    }
}

fn load(
    args: &RunArgs,
    engine: &Engine,
    verbose: bool,
    observer: &dyn Observer,
) -> anyhow::Result<Module> {
    let mut input = Input::read(args.file())?;
    match &args.symbols {
        Some(file) => crate::symbols::add(&mut input, file)?,
        None if observer.shows_names() => crate::symbols::follow(&mut input, args.file()),
        None => {}
    }
    let cached = observer.module(&mut input)?;
    if wardian::cache::is_artifact(&input.bytes) {
        if !args.allow_precompiled {
            bail!(
                "{} is a precompiled module: it holds machine code that could do anything. If you \
                 made it yourself and nobody else could have changed it, run it with \
                 --allow-precompiled",
                input.name
            );
        }
        if observer.profile().is_some() {
            bail!("{} is a precompiled module, which --profile-use does not change", input.name);
        }
        return precompiled(engine, &input);
    }
    if cached && !args.no_cache {
        crate::engine::use_cache(engine, verbose);
    }
    crate::engine::compile(engine, input, observer.profile())
}

#[allow(unsafe_code, reason = "the user vouches for the artifact; there is no other way to know")]
fn precompiled(engine: &Engine, input: &Input) -> anyhow::Result<Module> {
    // SAFETY: with --allow-precompiled the user says that the file is what `wardian compile` wrote,
    // and the bytes were read into memory of our own, so that nobody changes them any more.
    let module = unsafe { Module::deserialize(engine, &input.bytes) };
    module.with_context(|| format!("cannot run {}", input.name))
}

fn store(args: &RunArgs, engine: &Engine, wasi: WasiCtx) -> anyhow::Result<Store<Host>> {
    let mut limits = StoreLimits::default();
    if let Some(bytes) = args.max_memory {
        limits.memory_bytes = bytes;
        limits.table_bytes = bytes;
    }
    if let Some(elements) = args.max_table_elements {
        limits.table_elements = elements;
    }
    let host = Host { wasi, limits: Limits::new(limits), fuel: args.fuel.map(Fuel::new) };
    let mut store = Store::new(engine, host);
    threads::limit(&mut store);
    Ok(store)
}

/// Which functions are called, in order.
struct Plan<'a> {
    /// `_start` or `_initialize`.
    entry: Option<&'static str>,
    invocation: Option<Invocation<'a>>,
}

impl<'a> Plan<'a> {
    fn new(args: &'a RunArgs, module: &Module) -> Result<Plan<'a>> {
        let initialize = entry(module, INITIALIZE)?;
        let Some(name) = &args.invoke else {
            let entry = entry(module, START)?.or(initialize);
            return match entry {
                Some(_) => Ok(Plan { entry, invocation: None }),
                None => Err(nothing_to_run(args, module).into()),
            };
        };
        let invocation = Some(Invocation::new(module, name, args.args())?);
        Ok(Plan { entry: initialize.filter(|entry| entry != name), invocation })
    }
}

/// The name, if the module exports it as an entry point.
fn entry(module: &Module, name: &'static str) -> anyhow::Result<Option<&'static str>> {
    match module.export(name) {
        None => Ok(None),
        Some(ExternType::Func(ty)) if ty == FuncType::new([], []) => Ok(Some(name)),
        Some(other) => bail!("the module exports `{name}` as a {other}, not a function () -> ()"),
    }
}

fn nothing_to_run(args: &RunArgs, module: &Module) -> anyhow::Error {
    anyhow!(
        "{} is no program: it exports neither `{START}` nor `{INITIALIZE}`. A function can be \
         called with --invoke; {}",
        args.file().display(),
        crate::invoke::functions(module)
    )
}

/// Runs the guest, and gives what is to be printed.
fn execute(
    store: &mut Store<Host>,
    instance: Instance,
    plan: &Plan<'_>,
) -> wardian::Result<String> {
    if let Some(entry) = plan.entry {
        instance.typed_func::<(), ()>(&mut *store, entry)?.call(&mut *store, ())?;
    }
    match &plan.invocation {
        Some(invocation) => invocation.call(store, instance),
        None => Ok(String::new()),
    }
}
