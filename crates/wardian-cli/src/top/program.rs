//! A program that is started to be looked at: `wardian run --control`, or `resume` of a checkpoint, in a
//! process of its own.

use crate::args::{self, Cli};
use crate::checkpoint;
use crate::control::Peer;
use crate::report::Exit;
use anyhow::Context;
use clap::Parser;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wardian_observe::printable;

/// Lines of its output that are shown.
const LINES: usize = 6;
/// Bytes of a line.
const LINE: u64 = 4096;
/// How often it is looked for its control socket.
const AGAIN: Duration = Duration::from_millis(20);
/// How long that is tried; reading and compiling a large module may take long.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) struct Program {
    child: Child,
    printed: Arc<Mutex<VecDeque<String>>>,
}

impl Program {
    /// Starts it. If there is a page what it prints is gathered.
    pub(super) fn start(command: &[OsString], is_page: bool) -> anyhow::Result<Program> {
        let this = std::env::current_exe().context("this command does not know its own file")?;
        let mut run = Command::new(this);
        run.args([verb(command), "--control"]).args(command);
        if is_page {
            run.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = run.spawn().context("cannot start a process")?;
        let printed = Arc::default();
        gather(child.stdout.take(), &printed)?;
        gather(child.stderr.take(), &printed)?;
        Ok(Program { child, printed })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Connects to it when its guest begins. None if it has ended before.
    pub(super) fn connect(&mut self) -> anyhow::Result<Option<Peer>> {
        let began = Instant::now();
        loop {
            match Peer::connect(self.pid()) {
                Ok(peer) => return Ok(Some(peer)),
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(AGAIN),
            }
            if self.child.try_wait().context("cannot wait for the process")?.is_some() {
                return Ok(None);
            }
        }
    }

    /// What it printed last.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.printed.lock().unwrap_or_else(|e| e.into_inner()).iter().cloned().collect()
    }

    /// Waits for its end, and ends as it did.
    pub(super) fn end(mut self) -> anyhow::Result<Exit> {
        let status = self.child.wait().context("cannot wait for the process")?;
        // Where there was a page it shows why.
        let last = self.last_lines();
        if !status.success() && !last.is_empty() {
            eprintln!("\n{}", last.join("\n"));
        }
        Ok(exit(status))
    }
}

/// How the program begins: a checkpoint continues. What the command line lacks is said by who runs it.
fn verb(command: &[OsString]) -> &'static str {
    let before = ["wardian", "run"].map(OsString::from);
    let parsed = Cli::try_parse_from(before.iter().chain(command));
    match parsed.map(|cli| cli.command) {
        Ok(args::Command::Run(args)) if checkpoint::is_at(args.run.file()) => "resume",
        _ => "run",
    }
}

fn exit(status: ExitStatus) -> Exit {
    Exit(u8::try_from(crate::host::exit_code(status)).unwrap_or(1))
}

/// Keeps the last lines of an output, if it has one.
fn gather(
    output: Option<impl Read + Send + 'static>,
    printed: &Arc<Mutex<VecDeque<String>>>,
) -> anyhow::Result<()> {
    let Some(output) = output else { return Ok(()) };
    let printed = printed.clone();
    let read = move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while (&mut output).take(LINE).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = printable(String::from_utf8_lossy(&line).trim_end());
            line.clear();
            let mut printed = printed.lock().unwrap_or_else(|e| e.into_inner());
            printed.push_back(text.to_string());
            if printed.len() > LINES {
                printed.pop_front();
            }
        }
    };
    std::thread::Builder::new().spawn(read).context("cannot make a thread").map(drop)
}
