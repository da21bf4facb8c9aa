//! A guest from its module to its end.

use crate::checkpoint::{self, Found};
use crate::exit;
use crate::program::{Compiled, INITIALIZE, Program};
use crate::settings::Settings;
use crate::stop::{End, Handle, Slot};
use crate::{directories, memory, threads};
use anyhow::{Context, anyhow};
use std::fs;
use std::path::Path;
use wardian::checkpoint::Checkpoints;
use wardian::limits::StoreLimits;
use wardian::{Config, Engine, Error, ErrorKind, Instance, Linker, StopReason, Store};
use wardian_observe::TrapReport;
use wardian_wasi::{DirPerms, WasiCtx, WasiCtxBuilder};

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";
/// Which of them this process is in.
const MEMBERSHIP: &str = "/proc/self/cgroup";

/// The data of the guest's store; those of its threads have the same.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) wasi: WasiCtx,
    pub(crate) limits: StoreLimits,
}

/// What is run, and how.
pub(crate) struct Guest {
    pub(crate) program: Program,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) settings: Settings,
}

impl Guest {
    /// Runs the guest, which others can stop once its handle is in the slot.
    ///
    /// # Errors
    ///
    /// Those by which it is not run. What happens while it runs is reported here, and is an exit code.
    pub(crate) fn run(self, slot: &Slot) -> anyhow::Result<End> {
        let engine = self.engine()?;
        let wasi = self.wasi()?;
        let Guest { program, settings, .. } = self;
        let program = program.compile(&engine)?;
        let path = settings.checkpoint.as_deref();
        let found = path.map(Found::open).transpose()?.flatten();
        let wasi = match &found {
            None => wasi.build(),
            Some(found) => found.wasi(wasi)?,
        };
        let mut store = Store::new(&engine, Host { wasi, limits: limits(&settings) });
        prepare(&mut store, &settings);
        let mut linker = Linker::new(&engine);
        wardian_wasi::add_to_linker(&mut linker, |host: &mut Host| &host.wasi)?;
        if path.is_some() {
            checkpoint::carry_wasi(&mut store);
        }
        if let Some(timeout) = settings.timeout {
            store.set_timeout(timeout);
        }
        let mut main = None;
        let outcome = match wardian_wasi::needs_threads(&program.module) {
            true => threads::run(&program, &linker, &mut store, &settings, found, slot)?,
            false => {
                let request = checkpoint::Request::One(store.checkpoint_request());
                Handle::put(slot, store.cancel_token(), request);
                match found {
                    Some(found) => found.resume(&program.module, &mut store, &linker)?,
                    None => call(&program, &linker, &mut store, &mut main)?,
                }
            }
        };
        let end = end(outcome, &store, main);
        // What has come to its own end is not continued.
        if let (Some(path), End::Code(_)) = (path, end) {
            checkpoint::remove(path)?;
        }
        Ok(end)
    }

    fn engine(&self) -> wardian::Result<Engine> {
        let mut config = Config::new();
        if self.settings.checkpoint.is_some() {
            config.checkpoints(Checkpoints::CallsAndLoops);
        }
        if let Some(kind) = self.settings.engine {
            config.engine(kind);
        }
        config.fuel(self.settings.fuel.is_some());
        Engine::new(&config)
    }

    /// What the guest gets of the container.
    fn wasi(&self) -> anyhow::Result<WasiCtxBuilder> {
        let mut builder = WasiCtx::builder()
            .inherit_stdio()?
            .args(self.program.arguments.iter().cloned())?
            .envs(self.environment.iter().cloned())?;
        // What the container has mounted for reading only, the system refuses to write.
        for directory in directories::for_guest()? {
            let name = directory.to_str().ok_or_else(|| {
                anyhow!(
                    "the directory {directory:?} has a name that is not Unicode, as WASI requires"
                )
            })?;
            builder = builder.preopen_dir(&directory, name, DirPerms::ReadWrite)?;
        }
        Ok(builder)
    }
}

/// What every store has of the settings, also those of threads.
pub(crate) fn prepare(store: &mut Store<Host>, settings: &Settings) {
    store.limiter(|host| &mut host.limits);
    if let Some(fuel) = settings.fuel {
        // The engine counts it, since there is some.
        let _ = store.set_fuel(fuel);
    }
}

fn limits(settings: &Settings) -> StoreLimits {
    let of_container = || {
        let membership = fs::read_to_string(MEMBERSHIP).unwrap_or_default();
        memory::of_container(Path::new(GROUPS), &membership)
    };
    let bytes = settings.max_memory.or_else(of_container);
    let mut limits = StoreLimits::default();
    if let Some(bytes) = bytes {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        limits.memory_bytes = bytes;
        limits.table_bytes = bytes;
    }
    limits
}

/// Makes the instance and calls the function. The errors before it is called are those of the outer result.
fn call(
    program: &Compiled,
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    main: &mut Option<Instance>,
) -> anyhow::Result<wardian::Result<()>> {
    let instance = match linker.instantiate(&mut *store, &program.module) {
        Ok(instance) => instance,
        // Its start function has run.
        Err(error) if !is_refusal(&error) => return Ok(Err(error)),
        Err(error) => return Err(error).with_context(|| format!("cannot run {}", program.name)),
    };
    *main = Some(instance);
    Ok(call_functions(program, store, instance))
}

/// Calls what is to be called of an instance.
pub(crate) fn call_functions(
    program: &Compiled,
    store: &mut Store<Host>,
    instance: Instance,
) -> wardian::Result<()> {
    let functions = program.initialize.then_some(INITIALIZE).into_iter();
    for function in functions.chain([program.function.as_str()]) {
        instance.typed_func::<(), ()>(&mut *store, function)?.call(&mut *store, ())?;
    }
    Ok(())
}

/// Whether the error is one that guests have before they run.
pub(crate) fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{Compile, Limit, Link, Usage};
    matches!(error.kind(), Link(_) | Limit(_) | Usage(_) | Compile(_))
}

/// What the end of the guest means for its container; what it does not say by itself is reported.
fn end(outcome: wardian::Result<()>, store: &Store<Host>, main: Option<Instance>) -> End {
    let Err(error) = outcome else { return End::Code(0) };
    if let Some(code) = error.exit_code() {
        // As with any program of the system, only the lowest eight bits remain.
        return End::Code((code % 256) as i32);
    }
    match error.stop_reason() {
        Some(StopReason::Cancelled) => return End::Cancelled,
        Some(StopReason::Checkpoint) => return End::Written,
        _ => {}
    }
    let code = if error.stop_reason().is_some() { exit::USED_UP } else { exit::TRAP };
    let mut report = TrapReport::new(&error).short("");
    if let Some(main) = main {
        report = report.with_memory_of(main.internal(store));
    }
    eprintln!("wardian: {report}");
    End::Code(code)
}
