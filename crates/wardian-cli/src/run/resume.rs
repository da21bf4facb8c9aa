//! `wardian resume`: a program continues from a checkpoint.

use super::end::{self, End};
use super::watch::Watch;
use super::{Stubs, engine, store};
use crate::args::RunArgs;
use crate::checkpoint::{self, Checkpointer, Guest, Key, Place, Saved};
use crate::control::Control;
use crate::live::Live;
use crate::observe::Observer;
use crate::postmortem::{CoreFile, Deaths};
use crate::report::{Exit, Failure, Result};
use crate::signals::Blocked;
use crate::threads;
use crate::wasi::{self, Host};
use anyhow::Context;
use std::sync::Arc;
use std::time::Instant;
use wardian::{
    Error, Instance, Linker, Module, Store,
    checkpoint::{ResumeOptions, Resumed},
};
use wardian_wasi::{RestoreOptions, ResumedThreads, WasiCtx, WasiThreadsHandle};

/// Continues the program, while somebody looks on. Signals that are blocked stop the guest.
pub(crate) fn resume(
    args: &RunArgs,
    verbose: bool,
    observer: Arc<dyn Observer>,
    signals: Option<Blocked>,
) -> Result<Exit> {
    check(args)?;
    let checkpoints = Checkpointer::new(args)?;
    let watch = Watch::new(args, &observer, signals)?;
    let core = args.coredump.as_deref().map(CoreFile::prepare).transpose()?;
    let engine = engine(args, verbose, &*observer)?;
    let began = Instant::now();
    let (checkpoint, wasi) = read(args)?;
    let module = checkpoint::program(checkpoint.main(), &engine)?;
    observer.loaded(&module, began.elapsed())?;
    let linking = Instant::now();
    let mut linker = Linker::new(&engine);
    wasi::link(&mut linker)?;
    let mut store = store(args, &engine, wasi)?;
    observer.store(&mut store)?;
    watch.guest_begins(&mut store);
    let deaths = Arc::new(Deaths::default());
    let live = args.control.then(|| Live::new(args));
    let on_threads = Live::with_threads(live.as_ref(), observer.clone());
    let restoring = Restoring { args, module: &module, linker: &linker, deaths: deaths.clone() };
    let restored = restoring.restore(checkpoint, &mut store, on_threads)?;
    let restored = restored.map_err(|error| end::refusal(error, args))?;
    let main = restored.main();
    let guest = Guest::new(&mut store, restored.handle());
    checkpoints.iter().try_for_each(|checkpoints| checkpoints.guest_begins(&mut store, &guest))?;
    let _control = Control::open(args, &mut store, &guest, live)?;
    observer.linked(linking.elapsed());
    observer.begins();
    let outcome = restored.run(&module, &mut store);
    if let Err(error) = &outcome {
        deaths.add("main".into(), error);
    }
    if let Some(main) = main {
        observer.ended(&store, main);
    }
    let stopped = watch.guest_ended();
    End { args, store: &store, main, deaths: &deaths, core: core.as_ref(), stopped }.of(outcome)
}

/// Options that say something about a program that begins.
fn check(args: &RunArgs) -> Result<()> {
    if !args.args().is_empty() || args.invoke.is_some() {
        return Err(Failure::usage("the program has its arguments from the checkpoint"));
    }
    if args.symbols.is_some() {
        return Err(Failure::usage(
            "the program continues in the module of the checkpoint, with the names that this has; those of --symbols \
             are part of the module if the program began with that option",
        ));
    }
    Ok(())
}

/// Begins to read the checkpoint, and opens the program's files again.
fn read(args: &RunArgs) -> anyhow::Result<(Saved, WasiCtx)> {
    let key = Key::of(args.checkpoint.key.as_deref())?;
    let checkpoint = checkpoint::read(&Place::of(args.file())?, key.as_ref())?;
    let wasi = checkpoint::read_wasi_state(checkpoint.main())?;
    let wasi = wasi::context(args)?.restore(&wasi, &RestoreOptions::new());
    Ok((checkpoint, wasi.context("the program's files cannot be opened again")?))
}

/// What the state of a checkpoint is restored with.
struct Restoring<'a> {
    args: &'a RunArgs,
    module: &'a Module,
    linker: &'a Linker<Host>,
    deaths: Arc<Deaths>,
}

impl Restoring<'_> {
    /// Makes the checkpoint the state of the store, and of those of other threads, on which an observer looks. Nothing
    /// runs yet.
    fn restore(
        self,
        checkpoint: Saved,
        store: &mut Store<Host>,
        observer: Arc<dyn Observer>,
    ) -> anyhow::Result<wardian::Result<Restored>> {
        let Restoring { args, module, linker, deaths } = self;
        let mut options = ResumeOptions::new().with_module(module);
        if args.stub_imports {
            options = options.with_import_resolver(Stubs(linker.clone()));
        }
        let restored = match checkpoint {
            Saved::One(checkpoint) => {
                let resumed = checkpoint.resume(store, linker, &options);
                resumed.map(|resumed| Restored::One(Box::new(resumed)))
            }
            Saved::Threads(group) => {
                let host = store.data().clone();
                let threads = threads::describe(args, module, linker, &host, observer, deaths)?;
                let resumed = threads.resume(linker, store, group, &options);
                resumed.map(|resumed| Restored::Threads(Box::new(resumed)))
            }
        };
        Ok(restored.and_then(Restored::running))
    }
}

/// A program that is to continue.
enum Restored {
    One(Box<Resumed>),
    Threads(Box<ResumedThreads<Host>>),
}

impl Restored {
    fn resumed(&self) -> &Resumed {
        match self {
            Restored::One(resumed) => resumed,
            Restored::Threads(threads) => threads.main(),
        }
    }

    /// An error if nothing is to continue.
    fn running(self) -> wardian::Result<Restored> {
        match self.resumed().is_running() {
            true => Ok(self),
            false => Err(Error::host("no program was running when the checkpoint was taken")),
        }
    }

    /// The program.
    fn main(&self) -> Option<Instance> {
        self.resumed().instances().first().copied()
    }

    /// By which a group of threads is asked for a checkpoint.
    fn handle(&self) -> Option<WasiThreadsHandle<Host>> {
        match self {
            Restored::One(_) => None,
            Restored::Threads(threads) => Some(threads.handle()),
        }
    }

    /// Runs it to its end, and gives what is to be printed.
    fn run(self, module: &Module, store: &mut Store<Host>) -> wardian::Result<String> {
        let results = match self {
            Restored::One(resumed) => resumed.run(&mut *store),
            Restored::Threads(threads) => threads.run(store),
        };
        results.map(|results| checkpoint::lines(&results, module, store))
    }
}
