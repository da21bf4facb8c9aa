//! The side of a control socket that asks: `wardian checkpoint`.

use super::folder;
use super::protocol::{Answer, Code, Command, MAX_LINE, Outcome};
use crate::args::CheckpointCommandArgs;
use crate::output;
use crate::report::{Exit, Result};
use anyhow::{Context, anyhow, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a process may take to read a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// `wardian checkpoint PID FILE`.
pub(crate) fn checkpoint(args: &CheckpointCommandArgs) -> Result<Exit> {
    let file = std::path::absolute(&args.file)
        .with_context(|| format!("{} is no path", args.file.display()))?;
    if file.to_str().is_none() {
        return Err(anyhow!("{}: the name has to be Unicode", file.display()).into());
    }
    let stream = folder::connect(args.pid)?;
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

fn refused(pid: u32, code: Code, message: String) -> anyhow::Error {
    let cause = anyhow!(message);
    match code {
        Code::CannotCapture => cause.context(format!("process {pid} continues and is not written")),
        Code::Ended => anyhow!("process {pid}: the program ended before it could be written"),
        _ => cause.context(format!("process {pid} refuses")),
    }
}

fn ask(mut stream: UnixStream, command: &Command) -> anyhow::Result<Answer> {
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
