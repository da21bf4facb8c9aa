//! `wardian run`.

mod watch;

use crate::args::RunArgs;
use crate::checkpoint::{self, Checkpointer, Guest, Key, Place, Saved};
use crate::control::Control;
use crate::ending::Ending;
use crate::host::Signal;
use crate::input::Input;
use crate::invoke::Invocation;
use crate::live::Live;
use crate::observe::Observer;
use crate::postmortem::{self, CoreFile, Deaths};
use crate::report::{self, Exit, Failure, Result};
use crate::signals::Blocked;
use crate::threads;
use crate::wasi::{self, Fuel, Host, Limits};
use anyhow::{Context, anyhow, bail};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;
use wardian::{
    Engine, ErrorKind, ExternType, FuncType, Instance, InstantiateOptions, Linker, Module,
    StopReason, Store, StoreContextMut,
    checkpoint::{CheckpointReader, Checkpoints, ResumeOptions},
    inspect::InternalModule,
    limits::StoreLimits,
    resolver::{ImportRequest, ImportResolver, Resolution, TrapStubs},
};
use wardian_wasi::{RestoreOptions, ResumedThreads, WasiCtx, WasiThreads};
use watch::Watch;

const START: &str = "_start";
const INITIALIZE: &str = "_initialize";

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
    observer.loaded(&module, began.elapsed());
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
        && is_refusal(error)
    {
        observer.refused();
    }
    match outcome {
        Ok(lines) => {
            crate::output::write(lines.as_bytes())?;
            Ok(Exit::SUCCESS)
        }
        Err(error) => match postmortem::of(&error, &store, main, &deaths, args, core.as_ref()) {
            // That it could not write is why it failed, mostly, and what its author cannot mend.
            Some(_) if crate::output::reader_is_gone() => {
                let message = format!("nobody reads standard output any more: {error}");
                Err(Failure::new(Exit::PIPE, anyhow!(message)))
            }
            Some(report) => Err(Failure::new(Exit::TRAP, anyhow!(report))),
            None => ended(error, args, stopped, main.map(|main| main.internal(&store))),
        },
    }
}

/// Options behind the file are the guest's, which people who type them may not know.
fn warn_of_misplaced(args: &RunArgs) {
    if std::io::stderr().is_terminal()
        && args.invoke.is_none()
        && let Some(option) = crate::habits::misplaced(args.args())
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
            .deterministic(args.deterministic);
        config.perf_map(args.perf.is_some());
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
        return precompiled(engine, &input);
    }
    if cached && !args.no_cache {
        crate::engine::use_cache(engine, verbose);
    }
    crate::engine::compile(engine, input)
}

#[allow(unsafe_code, reason = "the user vouches for the artifact; there is no other way to know")]
fn precompiled(engine: &Engine, input: &Input) -> anyhow::Result<Module> {
    // SAFETY: with --allow-precompiled the user says that the file is what `wardian compile` wrote,
    // and the bytes were read into memory of our own, so that nobody changes them any more.
    let module = unsafe { Module::deserialize(engine, &input.bytes) };
    module.with_context(|| format!("cannot run {}", input.name))
}

/// Defines functions that end the guest, for imports of a module that nothing defines.
fn stub_imports(linker: &mut Linker<Host>, module: &Module) -> wardian::Result<()> {
    for (from, name, ty) in module.imports() {
        if let ExternType::Func(ty) = ty
            && !linker.is_defined(from, name)
        {
            let message = format!("`{from}` `{name}` is not defined");
            linker
                .func_raw(from, name, ty, move |_, _| Err(wardian::Error::host(message.clone())))?;
        }
    }
    Ok(())
}

/// `wardian resume`: continues a program from a checkpoint.
pub(crate) fn resume(args: &RunArgs, verbose: bool) -> Result<Exit> {
    if !args.args().is_empty() || args.invoke.is_some() {
        return Err(Failure::usage("the program has its arguments from the checkpoint"));
    }
    if args.coredump.is_some() {
        return Err(Failure::usage("core dumps are not written of resumed programs"));
    }
    let observer: Arc<dyn Observer> = Arc::new(());
    let checkpoints = Checkpointer::new(args)?;
    let watch = Watch::new(args, &observer, None)?;
    let engine = engine(args, verbose, &*observer)?;
    let key = Key::of(args.checkpoint.key.as_deref())?;
    let checkpoint = checkpoint::read(&Place::of(args.file())?, key.as_ref())?;
    let wasi = checkpoint::read_wasi_state(checkpoint.main())?;
    let wasi = wasi::context(args)?.restore(&wasi, &RestoreOptions::new());
    let wasi = wasi.context("the program's files cannot be opened again")?;
    let module = checkpoint::program(checkpoint.main(), &engine)?;
    let mut linker = Linker::new(&engine);
    wasi::link(&mut linker)?;
    if args.stub_imports {
        stub_imports(&mut linker, &module)?;
    }
    let mut store = store(args, &engine, wasi)?;
    watch.guest_begins(&mut store);
    let resumed = match checkpoint {
        Saved::One(checkpoint) => Running::One(checkpoint),
        Saved::Threads(group) => {
            let deaths = Arc::new(Deaths::default());
            let host = store.data().clone();
            let threads = threads::describe(args, &module, &linker, &host, observer, deaths)?;
            let options = ResumeOptions::new().with_module(&module);
            let resumed = threads.resume(&linker, &mut store, group, &options)?;
            Running::Threads(Box::new(resumed))
        }
    };
    let handle = match &resumed {
        Running::One(_) => None,
        Running::Threads(threads) => Some(threads.handle()),
    };
    let guest = Guest::new(&mut store, handle);
    checkpoints.iter().try_for_each(|checkpoints| checkpoints.guest_begins(&mut store, &guest))?;
    let live = args.control.then(|| Live::new(args));
    let _control = Control::open(args, &mut store, &guest, live)?;
    let outcome = match resumed {
        Running::One(checkpoint) => checkpoint::resume(checkpoint, &module, &mut store, &linker),
        Running::Threads(threads) => {
            threads.run(&mut store).map(|results| checkpoint::lines(&results, &module, &store))
        }
    };
    let stopped = watch.guest_ended();
    match outcome {
        Ok(lines) => {
            crate::output::write(lines.as_bytes())?;
            Ok(Exit::SUCCESS)
        }
        Err(error) => ended(error, args, stopped, None),
    }
}

/// What is resumed.
enum Running {
    One(CheckpointReader<'static>),
    Threads(Box<ResumedThreads<Host>>),
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

/// What the end of a guest that did not return means for the command.
fn ended(
    error: wardian::Error,
    args: &RunArgs,
    stopped: Option<Signal>,
    main: Option<InternalModule<'_>>,
) -> Result<Exit> {
    if let Some(code) = error.exit_code() {
        // As with any program of the system, only the lowest eight bits remain.
        return Ok(Exit((code % 256) as u8));
    }
    let stop = |ending, message: String| {
        let report = postmortem::stopped(&error, &message, args, main);
        Err(Failure::ending_with(ending, anyhow!(report)))
    };
    let exit = match error.kind() {
        ErrorKind::Stopped(StopReason::Deadline) => {
            let timeout = humantime::format_duration(args.timeout.unwrap_or_default());
            return stop(Ending::Exit(Exit::TIMEOUT), format!("the timeout of {timeout} passed"));
        }
        ErrorKind::Stopped(StopReason::Cancelled) if let Some(signal) = stopped => {
            return stop(Ending::Signal(signal), format!("the guest was stopped by {signal}"));
        }
        ErrorKind::Stopped(StopReason::Checkpoint) => return Ok(Exit::CHECKPOINT),
        ErrorKind::Stopped(StopReason::Fuel) => {
            let fuel = args.fuel.unwrap_or_default();
            return stop(Ending::Exit(Exit::FUEL), format!("the fuel of {fuel} is used up"));
        }
        ErrorKind::Limit(_) => {
            return Err(Failure::new(Exit::ERROR, anyhow!("{error}{}", limits(args))));
        }
        _ if is_refusal(&error) => Exit::ERROR,
        _ => Exit::TRAP,
    };
    Err(Failure::new(exit, error))
}

/// The limits of the command line, for messages about what did not fit.
fn limits(args: &RunArgs) -> String {
    let size = |bytes: usize| crate::output::bytes(bytes as u64);
    let limits = [
        args.max_memory.map(|bytes| format!("--max-memory {}", size(bytes))),
        args.max_table_elements.map(|elements| format!("--max-table-elements {elements}")),
        args.max_code.map(|bytes| format!("--max-code {}", size(bytes))),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if limits.is_empty() {
        String::new()
    } else {
        format!(" (the limits are {})", limits.join(", "))
    }
}

/// Whether the error is one that guests have before they run.
fn is_refusal(error: &wardian::Error) -> bool {
    use ErrorKind::{Checkpoint, Compile, Limit, Link, Usage};
    matches!(error.kind(), Link(_) | Limit(_) | Usage(_) | Compile(_) | Checkpoint(_))
}
