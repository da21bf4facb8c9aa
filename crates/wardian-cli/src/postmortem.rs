//! What is reported, and kept, of a guest that trapped.

use crate::args::{BacktraceArg, RunArgs};
use crate::outfile::OutFile;
use crate::report::{self, Failure, Result};
use crate::wasi::Host;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use wardian::{Backtrace, Config, Error, ErrorKind, Instance, Store, inspect::InternalModule};
use wardian_observe::{CoreDump, TrapReport};

/// Calls of each thread that a core dump has at most.
const MOST_CALLS: usize = 100_000;

/// How to see more than the short form of a report has.
const MORE: &str = "--backtrace full shows all calls, values of arguments and memory";

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

/// Where the core dump goes, if there is one.
pub(crate) struct CoreFile {
    path: PathBuf,
    /// As it was before; one that was not there does not stay, however the process ends.
    old: Option<OutFile>,
}

impl CoreFile {
    /// Finds out whether it can be written, for afterwards what would be in it is lost.
    pub(crate) fn prepare(path: &Path) -> Result<CoreFile> {
        if path.as_os_str() == "-" {
            return Err(Failure::usage(
                "a core dump cannot be written to standard output, which is the guest's",
            ));
        }
        let file = OutFile::open(path.to_owned())?;
        file.discard();
        let old = if file.is_new() { None } else { Some(file) };
        Ok(CoreFile { path: path.to_owned(), old })
    }

    fn write(&self, dump: &CoreDump<'_>) -> anyhow::Result<()> {
        let new = match &self.old {
            Some(_) => None,
            None => Some(OutFile::open(self.path.clone())?),
        };
        let Some(file) = self.old.as_ref().or(new.as_ref()) else { return Ok(()) };
        let written = file.replace("core dump", |writer| dump.write(writer));
        if written.is_err() {
            file.discard();
        }
        written
    }
}

/// Makes the engine keep what can be reported of traps.
pub(crate) fn configure(config: &mut Config, args: &RunArgs) {
    config.backtrace_locals(true);
    if args.coredump.is_some() {
        config.backtrace_frames(MOST_CALLS);
    }
}

/// The report of a trap, or of an exception that nobody caught; none of errors of other kinds. Writes the core
/// dump, if one is wanted. There is no instance if its start function ended so.
pub(crate) fn of(
    error: &Error,
    store: &Store<Host>,
    instance: Option<Instance>,
    deaths: &Deaths,
    args: &RunArgs,
    core: Option<&CoreFile>,
) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::Trap(_) | ErrorKind::Exception(_)) {
        return None;
    }
    let mut report = TrapReport::new(error).with_guest_frames(args.guest_frames);
    if let Some(instance) = instance {
        report = report.with_memory_of(instance.internal(store));
    }
    if args.backtrace == BacktraceArg::Short {
        report = report.short(MORE);
    }
    let mut text = report.to_string();
    if let Some(core) = core {
        let mut threads = deaths.take();
        if let (true, Some(backtrace)) = (threads.is_empty(), error.backtrace()) {
            threads.push(("main".into(), backtrace.clone()));
        }
        let is_whole = instance.is_some();
        match dump(&threads, store, instance, args, core) {
            Ok(()) => {
                text.push_str(&format!("\nthe core dump is in {}", core.path.display()));
                if !is_whole {
                    text.push_str(
                        ", without memories and globals: it happened in the start function",
                    );
                }
            }
            // The trap is what counts.
            Err(problem) => report::warning(&report::in_line(&problem)),
        }
    }
    Some(text)
}

/// The report of a guest that was stopped, and where.
pub(crate) fn stopped(
    error: &Error,
    message: &str,
    args: &RunArgs,
    instance: Option<InternalModule<'_>>,
) -> String {
    let mut report = TrapReport::new(error).with_message(message);
    report = report.with_guest_frames(args.guest_frames);
    if let Some(instance) = instance {
        report = report.with_memory_of(instance);
    }
    match args.backtrace {
        BacktraceArg::Short => report.short(MORE).to_string(),
        BacktraceArg::Full => report.to_string(),
    }
}

fn dump(
    threads: &[(String, Backtrace)],
    store: &Store<Host>,
    instance: Option<Instance>,
    args: &RunArgs,
    core: &CoreFile,
) -> anyhow::Result<()> {
    let mut dump = CoreDump::new(args.file().to_string_lossy());
    if let Some(instance) = instance {
        dump.add_instance(instance.internal(store));
    }
    for (name, backtrace) in threads {
        dump.add_thread(name, backtrace);
    }
    core.write(&dump)
}
