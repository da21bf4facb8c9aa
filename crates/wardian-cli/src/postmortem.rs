//! What is told, and kept, of a guest that trapped.

use crate::args::RunArgs;
use crate::report;
use crate::wasi::Host;
use anyhow::Context;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use wardian::{Backtrace, Config, Error, ErrorKind, Instance, Store};
use wardian_observe::{CoreDump, TrapReport};

/// Calls of each thread that a core dump has at most.
const MOST_CALLS: usize = 100_000;

/// Where the threads of a guest were when they failed; the first is the one that made the others fail.
#[derive(Debug, Default)]
pub(crate) struct Deaths(Mutex<Vec<(String, Backtrace)>>);

impl Deaths {
    /// A thread has failed.
    pub(crate) fn add(&self, thread: String, error: &Error) {
        if let Some(backtrace) = error.backtrace() {
            let mut deaths = self.0.lock().unwrap_or_else(|e| e.into_inner());
            deaths.push((thread, backtrace.clone()));
        }
    }

    fn take(&self) -> Vec<(String, Backtrace)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// Makes the engine keep of traps what can be told.
pub(crate) fn configure(config: &mut Config, args: &RunArgs) {
    config.backtrace_locals(true);
    if args.coredump.is_some() {
        config.backtrace_frames(MOST_CALLS);
    }
}

/// The report of a trap; none of errors of other kinds. Writes the core dump, if one is wanted. There is no
/// instance if its start function trapped.
pub(crate) fn of(
    error: &Error,
    store: &Store<Host>,
    instance: Option<Instance>,
    deaths: &Deaths,
    args: &RunArgs,
) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::Trap(_)) {
        return None;
    }
    let mut report = TrapReport::new(error);
    if let Some(instance) = instance {
        report = report.with_memory_of(instance.internal(store));
    }
    let mut text = report.to_string();
    if let Some(path) = &args.coredump {
        let mut threads = deaths.take();
        if let (true, Some(backtrace)) = (threads.is_empty(), error.backtrace()) {
            threads.push(("main".into(), backtrace.clone()));
        }
        match dump(&threads, store, instance, args, path) {
            Ok(()) => text.push_str(&format!("\nthe core dump is in {}", path.display())),
            // The trap is what counts.
            Err(problem) => report::warning(&format!("{problem:#}")),
        }
    }
    Some(text)
}

fn dump(
    threads: &[(String, Backtrace)],
    store: &Store<Host>,
    instance: Option<Instance>,
    args: &RunArgs,
    path: &Path,
) -> anyhow::Result<()> {
    let mut dump = CoreDump::new(args.file().to_string_lossy());
    if let Some(instance) = instance {
        dump.add_instance(instance.internal(store));
    }
    for (name, backtrace) in threads {
        dump.add_thread(name, backtrace);
    }
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        dump.write(&mut file)?;
        file.flush()
    };
    write().with_context(|| format!("cannot write the core dump to {}", path.display()))
}
