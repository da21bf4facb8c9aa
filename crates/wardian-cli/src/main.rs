//! The `wardian` command.

mod args;
mod cache;
mod check;
mod checkpoint;
mod compat;
mod compile;
mod control;
mod coverage;
mod doctor;
mod ending;
mod engine;
mod guided;
mod host;
mod input;
mod inspect;
mod invoke;
mod live;
mod man;
mod objects;
mod observe;
mod outfile;
mod output;
mod parse;
mod postmortem;
mod profile;
mod profile_file;
mod progress;
mod report;
mod run;
mod section;
mod signals;
mod symbols;
mod threads;
mod top;
mod trace;
mod value;
mod wasi;
mod watchdog;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use ending::Ending;
use report::Exit;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let args = compat::with_run(std::env::args_os().collect());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return report::command_line(error),
    };
    let outcome = match &cli.command {
        Command::Run(args) => guided::run(args, cli.verbose),
        Command::Resume(args) => run::resume(&args.run, cli.verbose, Arc::new(()), None),
        Command::Checkpoint(args) => control::checkpoint(args),
        Command::Top(args) => top::top(args),
        Command::Attach(args) => control::attach(args),
        Command::Coverage(args) => coverage::coverage(args, cli.verbose),
        Command::Profile(args) => profile::profile(args, cli.verbose),
        Command::Trace(args) => trace::trace(args, cli.verbose),
        Command::Compile(args) => compile::compile(args),
        Command::Validate(args) => check::validate(args),
        Command::Inspect(args) => inspect::inspect(args),
        Command::Cache(args) => cache::cache(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Completions { shell } => completions(*shell),
        Command::Man { folder } => man::man(folder.as_deref()),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let ending = failure.ending();
            if failure.is_stop() {
                ending.end_soon();
            }
            report::failure(&failure);
            match ending {
                Ending::Exit(exit) => exit.into(),
                Ending::Signal(_) => ending.end(),
            }
        }
    }
}

fn completions(shell: clap_complete::Shell) -> report::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wardian", &mut script);
    output::write(&script)?;
    Ok(Exit::SUCCESS)
}
