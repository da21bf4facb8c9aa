//! `wardian run --checkpoint` and `wardian resume`: a program is written to a file, and continues from it.

mod chain;
#[cfg(feature = "cloud")]
mod cloud;
#[cfg(not(feature = "cloud"))]
#[path = "checkpoint/without_cloud.rs"]
mod cloud;
mod file;
mod key;
mod place;

pub(crate) use chain::{Chained, Saved, whole};
pub(crate) use file::{Guest, Problem, Target, request};
pub(crate) use key::Key;
pub(crate) use place::{Place, is_url};

use crate::args::{CheckpointSignal, RunArgs};
use crate::ending::Ending;
use crate::host::{Signal, SignalSet};
use crate::objects;
use crate::report;
use crate::wasi::Host;
use anyhow::{Context, anyhow};
use chain::Chain;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wardian::{
    Engine, Error, Module, Store, Val,
    checkpoint::{AfterCheckpoint, Checkpoint, CheckpointReader},
};
use wardian_wasi::{SaveOptions, WasiState};

/// The name of WASI's state in a checkpoint.
const WASI: &str = "wasi";

/// What writes checkpoints while a guest runs.
pub(crate) struct Checkpointer {
    target: Target,
    every: Option<Duration>,
    signals: SignalSet,
    /// What asks for one, while the guest runs.
    request: Arc<Mutex<Option<Guest>>>,
}

impl Checkpointer {
    /// Blocks the signals that ask for a checkpoint, in this thread and in those that it makes from now on. None if
    /// the command line asks for no checkpoints.
    pub(crate) fn new(args: &RunArgs) -> anyhow::Result<Option<Checkpointer>> {
        let Some(path) = &args.checkpoint.file else { return Ok(None) };
        let signals: SignalSet = args.checkpoint.signals().into_iter().map(signal).collect();
        signals.thread_block().context("cannot block signals")?;
        let checkpointer = Checkpointer {
            target: Target {
                place: Place::of(path)?,
                keep: args.checkpoint.keep,
                key: Key::of(args.checkpoint.key.as_deref())?,
            },
            every: args.checkpoint.every,
            signals,
            request: Arc::default(),
        };
        checkpointer.target.place.try_write()?;
        checkpointer.watch_signals()?;
        Ok(Some(checkpointer))
    }

    /// From now on checkpoints are taken.
    pub(crate) fn guest_begins(
        &self,
        store: &mut Store<Host>,
        request: &Guest,
    ) -> anyhow::Result<()> {
        carry_wasi(store);
        let request = request.clone();
        *self.request.lock().unwrap_or_else(|e| e.into_inner()) = Some(request.clone());
        let Some(every) = self.every else { return Ok(()) };
        let target = self.target.clone();
        let thread = std::thread::Builder::new().name("checkpoints".into());
        thread
            .spawn(move || take_every(every, &request, &target))
            .context("cannot make a thread")?;
        Ok(())
    }

    /// The first signal asks for a checkpoint, after which the guest ends; the second one ends the process.
    fn watch_signals(&self) -> anyhow::Result<()> {
        let (signals, target, request) = (self.signals, self.target.clone(), self.request.clone());
        let asked = Arc::new(AtomicBool::new(false));
        let watch = move || {
            while let Ok(signal) = signals.wait() {
                let guest = request.lock().unwrap_or_else(|e| e.into_inner()).clone();
                let again = asked.swap(true, Ordering::Relaxed);
                let Some(guest) = guest.filter(|_| !again) else { Ending::Signal(signal).end() };
                let asked = asked.clone();
                file::request(&guest, &target, Chained::No, move |written| match written {
                    Ok(_) => AfterCheckpoint::End,
                    Err(problem) => {
                        report::warning(&format!(
                            "{}; the guest continues",
                            report::in_line(&problem.into_error())
                        ));
                        asked.store(false, Ordering::Relaxed);
                        AfterCheckpoint::Resume
                    }
                });
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint signals".into());
        thread.spawn(watch).context("cannot watch for signals")?;
        Ok(())
    }
}

/// From now on checkpoints of the store have the state of WASI.
pub(crate) fn carry_wasi(store: &mut Store<Host>) {
    store.host_state_with(|host| {
        // Those that there are stand still: see `Guest::Threads`.
        let options = SaveOptions::new().with_threads(true);
        let state = host.wasi.save_with(&options).map_err(Error::host)?;
        Ok(vec![(WASI.to_owned(), state.to_bytes())])
    });
}

/// Writes a checkpoint each time so much time has passed, until the guest's store is gone.
fn take_every(every: Duration, request: &Guest, target: &Target) {
    let place = &target.place;
    let mut warned = false;
    let mut chain = Chain::default();
    loop {
        let begin = Instant::now();
        let (done, written) = channel();
        let parent = chain.parent(place);
        let has_parent = parent.is_some();
        let chained = parent.map_or(Chained::First, Chained::After);
        file::request(request, target, chained, move |written| {
            let _ = done.send(written);
            AfterCheckpoint::Resume
        });
        match written.recv() {
            Ok(Ok(written)) => chain.written(place, written, has_parent),
            Ok(Err(Problem::Replaced)) => chain.replaced(),
            Ok(Err(error)) if !warned => {
                warned = true;
                chain.failed(has_parent);
                report::warning(&format!(
                    "{}; this is tried again",
                    report::in_line(&error.into_error())
                ));
            }
            Ok(Err(_)) => chain.failed(has_parent),
            // The store is gone.
            Err(_) => return,
        }
        std::thread::sleep(every.saturating_sub(begin.elapsed()));
    }
}

fn signal(signal: CheckpointSignal) -> Signal {
    match signal {
        CheckpointSignal::Term => Signal::SIGTERM,
        CheckpointSignal::Int => Signal::SIGINT,
        CheckpointSignal::Hup => Signal::SIGHUP,
        CheckpointSignal::Usr1 => Signal::SIGUSR1,
        CheckpointSignal::Usr2 => Signal::SIGUSR2,
    }
}

/// Whether a file of the command line is a checkpoint rather than a module, of which only that can be at a URL.
pub(crate) fn is_at(file: &Path) -> bool {
    // What is no regular file can be read only once.
    is_url(file) || (file.is_file() && begin_of(file).is_ok_and(|begin| is_checkpoint(&begin)))
}

/// Whether bytes begin as checkpoints do.
pub(crate) fn is_checkpoint(bytes: &[u8]) -> bool {
    wardian::checkpoint::is_checkpoint(bytes) || wardian_wasi::is_threads_checkpoint(bytes)
}

fn begin_of(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    File::open(file)?.take(64).read_to_end(&mut begin)?;
    Ok(begin)
}

/// Begins to read a checkpoint, with its parents.
pub(crate) fn read(place: &Place, key: Option<&Key>) -> anyhow::Result<Saved> {
    chain::open(place, key).with_context(|| format!("cannot resume {place}"))
}

/// The state of the program's descriptors and clocks.
pub(crate) fn wasi_state(checkpoint: &Checkpoint) -> anyhow::Result<WasiState> {
    parse_wasi(checkpoint.host_state(WASI))
}

/// As [`wasi_state`], of one that is being read.
pub(crate) fn read_wasi_state(checkpoint: &CheckpointReader<'_>) -> anyhow::Result<WasiState> {
    parse_wasi(checkpoint.host_state(WASI))
}

fn parse_wasi(bytes: Option<&[u8]>) -> anyhow::Result<WasiState> {
    let bytes = bytes.ok_or_else(|| {
        anyhow!("it has no state of WASI: it was not made by `wardian run --checkpoint`")
    })?;
    WasiState::from_bytes(bytes).context("its state of WASI is damaged")
}

/// The module of the first instance, which is the program.
pub(crate) fn program(
    checkpoint: &CheckpointReader<'_>,
    engine: &Engine,
) -> anyhow::Result<Module> {
    let module = checkpoint.module(engine, 0)?;
    module.ok_or_else(|| anyhow!("the checkpoint has no module"))
}

/// What is printed of results.
pub(crate) fn lines(results: &[Val], module: &Module, store: &Store<Host>) -> String {
    results.iter().map(|v| objects::show(store, module, v) + "\n").collect()
}
