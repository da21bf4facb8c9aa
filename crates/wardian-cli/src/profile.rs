//! `wardian profile`.

mod outputs;

use crate::args::ProfileArgs;
use crate::observe::Observer;
use crate::report::{self, Exit, Failure, Result};
use crate::signals::Blocked;
use crate::wasi::Host;
use outputs::Outputs;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wardian::{Config, Module, Store};
use wardian_observe::{Profile, ProfileKind, Profiler, ProfilerOptions};

pub(crate) fn profile(args: &ProfileArgs, verbose: bool) -> Result<Exit> {
    // Before there are threads.
    let blocked = Blocked::new()?;
    let value = args.value.as_deref().map(|name| value(args, name)).transpose()?;
    let outputs = Outputs::prepare(args)?;
    let profiler = Profiler::new(options(args));
    let observer =
        Arc::new(ProfileObserver { profiler, value, outputs: Mutex::new(Some(outputs)) });
    let outcome = crate::run::run_or_resume(&args.run, verbose, observer.clone(), Some(blocked));
    report::conclude(outcome, observer.write())
}

fn kind(args: &ProfileArgs) -> ProfileKind {
    match (args.exact, args.memory) {
        (true, _) => ProfileKind::Exact,
        (_, true) => ProfileKind::Memory,
        _ => ProfileKind::Sampling,
    }
}

fn options(args: &ProfileArgs) -> ProfilerOptions {
    let options = match kind(args) {
        ProfileKind::Exact => ProfilerOptions::exact().with_every_call_timed(args.every_call),
        ProfileKind::Memory => ProfilerOptions::memory(),
        _ => ProfilerOptions::sampling(),
    };
    let file = args.run.file();
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let options = options.with_program(name).with_guest_frames(args.run.guest_frames);
    match args.interval.or(args.frequency) {
        Some(interval) => options.with_interval(interval),
        None => options,
    }
}

/// Which of the quantities is shown.
fn value(args: &ProfileArgs, name: &str) -> Result<usize> {
    let kind = kind(args);
    let types = kind.value_types();
    types.iter().position(|ty| ty.name == name).ok_or_else(|| {
        let names: Vec<_> = types.iter().map(|ty| ty.name).collect();
        let names = names.join(", ");
        Failure::usage(format!("a {kind} profile has no value `{name}`, but these: {names}"))
    })
}

struct ProfileObserver {
    profiler: Profiler,
    value: Option<usize>,
    /// Until they are written.
    outputs: Mutex<Option<Outputs>>,
}

impl ProfileObserver {
    fn outputs(&self) -> MutexGuard<'_, Option<Outputs>> {
        self.outputs.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes what was seen, once.
    fn write(&self) -> anyhow::Result<()> {
        // Held until all is written: who else wants to end the process waits for it.
        let mut guard = self.outputs();
        let Some(outputs) = guard.take() else { return Ok(()) };
        let profile: Profile = self.profiler.finish();
        outputs.write(&profile, self.value.unwrap_or_else(|| profile.main_value()))
    }
}

impl Observer for ProfileObserver {
    fn engine(&self, config: &mut Config) {
        config.function_listener_factory(self.profiler.listener_factory());
    }

    fn loaded(&self, _: &Module, took: Duration) -> anyhow::Result<()> {
        self.profiler.add_runtime_time("compile", took);
        Ok(())
    }

    fn linked(&self, took: Duration) {
        self.profiler.add_runtime_time("link", took);
    }

    fn store(&self, store: &mut Store<Host>) -> wardian::Result<()> {
        self.profiler.watch_store(store)
    }

    fn begins(&self) {
        self.outputs().iter_mut().for_each(|outputs| outputs.set_guest(true));
    }

    fn refused(&self) {
        self.outputs().iter_mut().for_each(|outputs| outputs.set_guest(false));
    }

    fn cut_off(&self) {
        if let Err(problem) = self.write() {
            report::failure(&Failure::new(Exit::TIMEOUT, problem));
        }
    }
}
