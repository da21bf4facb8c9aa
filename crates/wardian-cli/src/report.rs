//! How a command ends: exit codes, and messages for people.

use crate::ending::Ending;
use anstyle::{AnsiColor, Style};
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// What a command returns.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    pub(crate) const SUCCESS: Exit = Exit(0);
    /// Something is wrong before the guest runs.
    pub(crate) const ERROR: Exit = Exit(1);
    /// The command line is wrong.
    pub(crate) const USAGE: Exit = Exit(2);
    /// The guest was written to a checkpoint and ended; what sysexits.h has for what is to be tried again later.
    pub(crate) const CHECKPOINT: Exit = Exit(75);
    /// The timeout passed; the code that `timeout` of the coreutils uses.
    pub(crate) const TIMEOUT: Exit = Exit(124);
    /// The guest trapped; what a shell shows for a program that aborts.
    pub(crate) const TRAP: Exit = Exit(128 + 6);
    /// Nobody reads standard output any more; what a shell shows for a program that SIGPIPE ends.
    pub(crate) const PIPE: Exit = Exit(128 + 13);
    /// The fuel was used up; what a shell shows for a program that has had its time of the processor.
    pub(crate) const FUEL: Exit = Exit(128 + 24);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.0)
    }
}

/// An error with the end that it leads to.
pub(crate) struct Failure {
    error: anyhow::Error,
    ending: Ending,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Failure {
        Failure::ending_with(Ending::Exit(exit), error)
    }

    pub(crate) fn ending_with(ending: Ending, error: impl Into<anyhow::Error>) -> Failure {
        Failure { error: error.into(), ending }
    }

    /// The command line does not fit the module.
    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::USAGE, anyhow::anyhow!("{message}"))
    }

    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    /// Whether somebody wants the process to end now, whatever is left to do.
    pub(crate) fn is_stop(&self) -> bool {
        matches!(self.ending, Ending::Signal(_) | Ending::Exit(Exit::TIMEOUT))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(Exit::ERROR, error)
    }
}

/// How a run ends for which something was to be written beside. How the guest ended is reported last, and
/// determines the command's exit code; what could not be written determines it only if the guest ended well.
pub(crate) fn conclude(outcome: Result<Exit>, written: anyhow::Result<()>) -> Result<Exit> {
    match (outcome, written) {
        (outcome, Ok(())) => outcome,
        (Err(ended), Err(problem)) => {
            if ended.is_stop() {
                ended.ending().end_soon();
            }
            failure(&Failure::ending_with(ended.ending(), problem));
            Err(ended)
        }
        (Ok(Exit::SUCCESS), Err(problem)) => Err(Failure::new(Exit::ERROR, problem)),
        (Ok(exit), Err(problem)) => Err(Failure::new(exit, problem)),
    }
}

/// Writes an error and its causes to standard error.
pub(crate) fn failure(failure: &Failure) {
    message("error", AnsiColor::Red, &describe(&failure.error));
}

/// Writes a warning to standard error.
pub(crate) fn warning(text: &str) {
    message("warning", AnsiColor::Yellow, text);
}

/// Writes a piece of information to standard error.
pub(crate) fn note(text: &str) {
    message("note", AnsiColor::Cyan, text);
}

/// The end of a message about a name that fits no function: those that are similar.
pub(crate) fn similar(name: &str, names: impl IntoIterator<Item = String>) -> String {
    match wardian_observe::near_names(name, names, 5) {
        near if near.is_empty() => String::new(),
        near => format!("; similar names: {}", near.join(", ")),
    }
}

fn message(kind: &str, color: AnsiColor, text: &str) {
    let style = Style::new().fg_color(Some(color.into())).bold();
    // Names of guests are among it, and terminals obey more than letters.
    let lines: Vec<String> = text.split('\n').map(wardian_observe::printable).collect();
    let text = lines.join("\n");
    // If even this cannot be written it cannot be reported.
    let _ = writeln!(anstream::stderr(), "{style}{kind}:{style:#} {text}");
}

/// The error, and each cause that says something new.
fn describe(error: &anyhow::Error) -> String {
    join_causes(error, "\n  caused by: ")
}

/// The same as a part of a sentence.
pub(crate) fn in_line(error: &anyhow::Error) -> String {
    join_causes(error, ": ")
}

fn join_causes(error: &anyhow::Error, separator: &str) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        // The alternate form of the runtime's errors has the guest's backtrace.
        let cause = match cause.downcast_ref::<wardian::Error>() {
            Some(error) => format!("{error:#}"),
            None => cause.to_string(),
        };
        let cause = without_number(&cause);
        if text.is_empty() {
            text.push_str(cause);
        } else if !text.contains(cause) {
            text.push_str(separator);
            text.push_str(&cause.replace('\n', "\n  "));
        }
    }
    text
}

/// An error of the system without its number, which says nothing to people.
fn without_number(text: &str) -> &str {
    match text.rsplit_once(" (os error ") {
        Some((message, number)) if number.ends_with(')') => message,
        _ => text,
    }
}

/// Shows help, or what is wrong with the command line.
pub(crate) fn command_line(error: clap::Error) -> ExitCode {
    // A pipe that nobody reads any more is no reason to complain.
    let _ = error.print();
    if let Some(replacement) = crate::compat::replacement(&error) {
        note(&format!("here {replacement}"));
    }
    if error.use_stderr() { Exit::USAGE.into() } else { Exit::SUCCESS.into() }
}
