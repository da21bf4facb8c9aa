//! The side of a control socket that asks: `wardian checkpoint`.

use super::protocol::{Answer, Code, Command, Fields, MAX_LINE, Outcome};
use crate::args::CheckpointCommandArgs;
use crate::checkpoint::is_url;
use crate::host::control::{self, Stream};
use crate::live::View;
use crate::output;
use crate::report::{Exit, Result};
use anyhow::{Context, anyhow, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

/// How long a process may take to read a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// `wardian checkpoint PID FILE`.
pub(crate) fn checkpoint(args: &CheckpointCommandArgs) -> Result<Exit> {
    let file = match is_url(&args.file) {
        // The process opens it, with its own credentials.
        true => args.file.clone(),
        false => std::path::absolute(&args.file)
            .with_context(|| format!("{} is no path", args.file.display()))?,
    };
    if file.to_str().is_none() {
        return Err(anyhow!("{}: the name has to be Unicode", file.display()).into());
    }
    let stream = control::connect(args.pid)?;
    let answer = ask(stream, &Command::Checkpoint { file, stop: args.stop });
    let answer = answer.with_context(|| format!("process {} cannot be asked", args.pid))?;
    let fields = match answer.outcome {
        Outcome::Ok(fields) => fields,
        Outcome::Error { code, message } => return Err(refused(args.pid, code, message).into()),
    };
    let ended = if fields.stopped == Some(true) { "; the program has ended" } else { "" };
    let size = output::bytes(fields.bytes.unwrap_or_default());
    output::write(format!("{}: {size}{ended}\n", args.file.display()).as_bytes())?;
    Ok(Exit::SUCCESS)
}

/// A process that is asked again and again.
pub(crate) struct Peer {
    pid: u32,
    stream: BufReader<Stream>,
}

impl Peer {
    /// Connects to the control socket of a process.
    pub(crate) fn connect(pid: u32) -> anyhow::Result<Peer> {
        let stream = control::connect(pid)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Peer { pid, stream: BufReader::new(stream) })
    }

    /// What the guest does for a time. None once it has ended.
    pub(crate) fn view(&mut self, time: Duration) -> anyhow::Result<Option<View>> {
        let for_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self.try_ask(&Command::Top { for_ms }) {
            Ok(answer) => match answer.outcome {
                Outcome::Ok(fields) => Ok(fields.view),
                Outcome::Error { code: Code::Ended, .. } => Ok(None),
                Outcome::Error { code, message } => Err(refused(self.pid, code, message)),
            },
            // With the guest its process ends.
            Err(error) if error.is::<Gone>() || error.is::<std::io::Error>() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn ask(&mut self, command: &Command) -> anyhow::Result<Fields> {
        let pid = self.pid;
        let answer = self.try_ask(command);
        match answer.with_context(|| format!("process {pid} cannot be asked"))?.outcome {
            Outcome::Ok(fields) => Ok(*fields),
            Outcome::Error { code, message } => Err(refused(pid, code, message)),
        }
    }

    fn try_ask(&mut self, command: &Command) -> anyhow::Result<Answer> {
        self.stream.get_mut().write_all(&command.to_line()?)?;
        let mut line = Vec::new();
        (&mut self.stream).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(Gone.into());
        }
        serde_json::from_slice(&line).context("its answer cannot be understood")
    }
}

/// A process ended before it answered.
#[derive(Debug)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it ended before it answered")
    }
}

impl std::error::Error for Gone {}

fn refused(pid: u32, code: Code, message: String) -> anyhow::Error {
    let cause = anyhow!(message);
    match code {
        Code::CannotCapture => cause.context(format!("process {pid} continues and is not written")),
        Code::Ended => anyhow!("process {pid}: the program has ended"),
        Code::CannotSample | Code::CannotAttach => {
            cause.context(format!("process {pid} cannot be looked at"))
        }
        _ => cause.context(format!("process {pid} refuses")),
    }
}

fn ask(mut stream: Stream, command: &Command) -> anyhow::Result<Answer> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&command.to_line()?)?;
    // Of the answer nothing is known but that it is not longer than this; it comes when the guest gets there.
    let mut line = Vec::new();
    BufReader::new(stream).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        bail!("it ended before it answered");
    }
    serde_json::from_slice(&line).context("its answer cannot be understood")
}
