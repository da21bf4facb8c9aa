//! What the end of a guest means for the command.

use crate::args::RunArgs;
use crate::ending::Ending;
use crate::host::Signal;
use crate::postmortem::{self, CoreFile, Deaths};
use crate::report::{Exit, Failure, Result};
use crate::wasi::Host;
use anyhow::anyhow;
use wardian::{ErrorKind, Instance, StopReason, Store};

/// A guest that has ended.
pub(super) struct End<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) store: &'a Store<Host>,
    /// The program, if its start function has returned.
    pub(super) main: Option<Instance>,
    pub(super) deaths: &'a Deaths,
    pub(super) core: Option<&'a CoreFile>,
    /// The signal that stopped it.
    pub(super) stopped: Option<Signal>,
}

impl End<'_> {
    /// Prints its results, or reports why there are none.
    pub(super) fn of(self, outcome: wardian::Result<String>) -> Result<Exit> {
        let error = match outcome {
            Ok(lines) => {
                crate::output::write(lines.as_bytes())?;
                return Ok(Exit::SUCCESS);
            }
            Err(error) => error,
        };
        match postmortem::of(&error, self.store, self.main, self.deaths, self.args, self.core) {
            // That it could not write is why it failed, mostly, and what its author cannot mend.
            Some(_) if crate::output::reader_is_gone() => {
                let message = format!("nobody reads standard output any more: {error}");
                Err(Failure::new(Exit::PIPE, anyhow!(message)))
            }
            Some(report) => Err(Failure::new(Exit::TRAP, anyhow!(report))),
            None => self.without_trap(error),
        }
    }

    /// What the end of a guest that neither returned nor trapped means.
    fn without_trap(self, error: wardian::Error) -> Result<Exit> {
        if let Some(code) = error.exit_code() {
            // As with any program of the system, only the lowest eight bits remain.
            return Ok(Exit((code % 256) as u8));
        }
        let args = self.args;
        let stop = |ending, message: String| {
            let main = self.main.map(|main| main.internal(self.store));
            let report = postmortem::stopped(&error, &message, args, main);
            Err(Failure::ending_with(ending, anyhow!(report)))
        };
        match error.kind() {
            ErrorKind::Stopped(StopReason::Deadline) => {
                let timeout = humantime::format_duration(args.timeout.unwrap_or_default());
                stop(Ending::Exit(Exit::TIMEOUT), format!("the timeout of {timeout} passed"))
            }
            ErrorKind::Stopped(StopReason::Cancelled) if let Some(signal) = self.stopped => {
                stop(Ending::Signal(signal), format!("the guest was stopped by {signal}"))
            }
            ErrorKind::Stopped(StopReason::Checkpoint) => Ok(Exit::CHECKPOINT),
            ErrorKind::Stopped(StopReason::Fuel) => {
                let fuel = args.fuel.unwrap_or_default();
                stop(Ending::Exit(Exit::FUEL), format!("the fuel of {fuel} is used up"))
            }
            _ if is_refusal(&error) => Err(refusal(error, args)),
            _ => Err(Failure::new(Exit::TRAP, error)),
        }
    }
}

/// Why a guest did not run.
pub(super) fn refusal(error: wardian::Error, args: &RunArgs) -> Failure {
    match error.kind() {
        ErrorKind::Limit(_) => Failure::new(Exit::ERROR, anyhow!("{error}{}", limits(args))),
        _ => Failure::new(Exit::ERROR, error),
    }
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
pub(super) fn is_refusal(error: &wardian::Error) -> bool {
    use ErrorKind::{Checkpoint, Compile, Limit, Link, Usage};
    matches!(error.kind(), Link(_) | Limit(_) | Usage(_) | Compile(_) | Checkpoint(_))
}
