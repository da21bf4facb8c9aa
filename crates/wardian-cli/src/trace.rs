//! `wardian trace`.

mod destination;

use crate::args::TraceArgs;
use crate::observe::Observer;
use crate::report::{self, Exit, Failure, Result};
use crate::signals::Blocked;
use destination::Destination;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use wardian::Config;
use wardian_observe::{TraceEnd, TraceFormat, TraceListener, TraceOptions};

/// What a file may hold unless told otherwise.
const FILE_LIMIT: u64 = 1 << 30;

pub(crate) fn trace(args: &TraceArgs, verbose: bool) -> Result<Exit> {
    // Before there are threads.
    let blocked = Blocked::new()?;
    let destination = Destination::prepare(args.output.as_deref())?;
    let writer = destination.writer()?;
    let observer = Arc::new(TraceObserver {
        trace: TraceListener::new(writer, options(args)),
        summary: args.summary,
        destination: Mutex::new(Some(destination)),
    });
    let outcome = crate::run::run(&args.run, verbose, observer.clone(), Some(blocked));
    let is_urgent = args.run.timeout.is_some() || outcome.as_ref().is_err_and(Failure::is_stop);
    report::conclude(outcome, observer.finish(is_urgent))
}

fn options(args: &TraceArgs) -> TraceOptions {
    let to_file = args.output.is_some();
    let events = !args.summary || to_file || args.format.is_some();
    let mut options = TraceOptions::new()
        .with_format(args.format.unwrap_or(TraceFormat::Text))
        .with_events(events)
        .with_summary(args.summary)
        .with_max_string(args.strings)
        .with_max_depth(args.depth.unwrap_or(usize::MAX))
        .with_color(!to_file && destination::stderr_has_color())
        .with_prompt_output(!to_file);
    let limit = args.limit.map(|bytes| bytes as u64).or(to_file.then_some(FILE_LIMIT));
    options = options.with_limit(limit.unwrap_or(u64::MAX));
    options = args.only.iter().fold(options, |options, pattern| options.with_only(pattern));
    options = if args.host { options.with_host() } else { options };
    if args.exports { options.with_exports() } else { options }
}

struct TraceObserver {
    trace: TraceListener,
    summary: bool,
    /// Until the trace is finished.
    destination: Mutex<Option<Destination>>,
}

impl TraceObserver {
    fn destination(&self) -> std::sync::MutexGuard<'_, Option<Destination>> {
        self.destination.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Ends the trace, once. If the process is to end it does not wait for who should read the trace.
    fn finish(&self, is_urgent: bool) -> anyhow::Result<()> {
        // Held until all is written: who else wants to end the process waits for it.
        let mut guard = self.destination();
        let Some(destination) = guard.take() else { return Ok(()) };
        if !destination.has_guest() {
            return Ok(());
        }
        let (trace, summary) = (self.trace.clone(), self.summary);
        let write = move || write_end(&trace, summary);
        let end = if is_urgent { destination.patiently(write) } else { write() };
        destination.finish(end)
    }
}

/// Writes what is left of the trace, and the summary.
fn write_end(trace: &TraceListener, summary: bool) -> io::Result<TraceEnd> {
    let end = trace.finish();
    // Somebody may still be stuck in the trace: then there is no summary to be had.
    let is_stuck = end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
    if summary && !is_stuck {
        // Nobody may be there to read it, which is no problem of the guest's.
        let _ = write!(io::stderr().lock(), "{}", trace.summary());
    }
    end
}

impl Observer for TraceObserver {
    fn engine(&self, config: &mut Config) {
        config.function_listener_factory(self.trace.clone());
    }

    fn begins(&self) {
        self.destination().iter_mut().for_each(|destination| destination.set_guest(true));
    }

    fn refused(&self) {
        self.destination().iter_mut().for_each(|destination| destination.set_guest(false));
    }

    fn cut_off(&self) {
        if let Err(problem) = self.finish(true) {
            report::failure(&Failure::new(Exit::TIMEOUT, problem));
        }
    }
}
