//! `wardian trace`.

mod destination;

use crate::args::TraceArgs;
use crate::observe::Observer;
use crate::report::{self, Exit, Failure, Result};
use crate::signals::Blocked;
use destination::Destination;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wardian::{Config, Module, listener::FunctionFilter};
use wardian_observe::{TraceEnd, TraceFormat, TraceListener, TraceOptions};

/// The default limit of a file.
pub(crate) const FILE_LIMIT: u64 = 1 << 30;
/// How long a reader may read nothing when the process is to end.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn trace(args: &TraceArgs, verbose: bool) -> Result<Exit> {
    let start = Instant::now();
    // Before there are threads.
    let blocked = Blocked::new()?;
    let destination = Destination::prepare(args.output.as_deref())?;
    let writer = destination.writer()?;
    let observer = Arc::new(TraceObserver {
        trace: TraceListener::new(writer, options(args)),
        only: args.calls.only.clone(),
        summary: args.summary,
        destination: Mutex::new(Some(destination)),
    });
    let outcome = crate::run::run_or_resume(&args.run, verbose, observer.clone(), Some(blocked));
    let patience = match args.run.timeout {
        _ if outcome.as_ref().is_err_and(Failure::is_stop) => Some(PATIENCE),
        timeout => timeout.map(|timeout| timeout.saturating_sub(start.elapsed()).max(PATIENCE)),
    };
    report::conclude(outcome, observer.finish(patience))
}

fn options(args: &TraceArgs) -> TraceOptions {
    let to_file = args.output.is_some();
    let events = !args.summary || to_file || args.format.is_some();
    let options = args
        .calls
        .options()
        .with_format(args.format.unwrap_or(TraceFormat::Text))
        .with_events(events)
        .with_summary(args.summary)
        .with_color(!to_file && destination::stderr_has_color())
        .with_prompt_output(!to_file);
    let limit = args.calls.limit.map(|bytes| bytes as u64).or(to_file.then_some(FILE_LIMIT));
    options.with_limit(limit.unwrap_or(u64::MAX))
}

struct TraceObserver {
    trace: TraceListener,
    /// Patterns, of which each should fit a function.
    only: Vec<String>,
    summary: bool,
    /// Until the trace is finished.
    destination: Mutex<Option<Destination>>,
}

impl TraceObserver {
    fn destination(&self) -> std::sync::MutexGuard<'_, Option<Destination>> {
        self.destination.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Ends the trace, once. Who should read it may read nothing for so long.
    fn finish(&self, patience: Option<Duration>) -> anyhow::Result<()> {
        // Held until all is written: who else wants to end the process waits for it.
        let mut guard = self.destination();
        let Some(destination) = guard.take() else { return Ok(()) };
        if !destination.has_guest() {
            return Ok(());
        }
        let (trace, summary) = (self.trace.clone(), self.summary);
        let write = move || write_end(&trace, summary);
        let end = match patience {
            Some(patience) => destination.patiently(patience, write),
            None => write(),
        };
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

    fn loaded(&self, module: &Module, _: Duration) -> anyhow::Result<()> {
        let functions = || (0..).map_while(|index| module.function(index));
        for pattern in &self.only {
            let filter = FunctionFilter::name(pattern);
            if !functions().any(|function| filter.matches(&function)) {
                let names = functions().map(|function| function.display_name());
                let similar = report::similar(pattern, names);
                report::warning(&format!("no function fits --only `{pattern}`{similar}"));
            }
        }
        Ok(())
    }

    fn begins(&self) {
        self.destination().iter_mut().for_each(|destination| destination.set_guest(true));
    }

    fn refused(&self) {
        self.destination().iter_mut().for_each(|destination| destination.set_guest(false));
    }

    fn cut_off(&self) {
        if let Err(problem) = self.finish(Some(PATIENCE)) {
            report::failure(&Failure::new(Exit::TIMEOUT, problem));
        }
    }
}
