//! `wardian attach`: a profile or a trace of a program that runs already, which its process writes.

use super::client::Peer;
use super::protocol::{Command, Fields, Kind};
use crate::args::{AttachArgs, TracedCalls};
use crate::ending::Ending;
use crate::host::signals_that_end;
use crate::output;
use crate::report::{self, Exit, Failure, Result};
use anyhow::{Context, anyhow};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempPath;
use wardian_observe::{Format, TraceFormat};

/// How often new lines of a trace are looked for.
const AGAIN: Duration = Duration::from_millis(50);
/// Bytes of a trace that is shown, unless the command line says otherwise: nobody reads more, and it takes room in the
/// folder for temporary files.
const SHOWN: usize = 64 << 20;

pub(crate) fn attach(args: &AttachArgs) -> Result<Exit> {
    match (args.trace, &args.output) {
        (true, output) => trace(args, output.as_deref()),
        (false, _) if args.summary || args.calls != TracedCalls::default() => {
            Err(Failure::usage("these are options of a trace: --trace shows calls"))
        }
        (false, Some(output)) => profile(args, output),
        (false, None) => Err(Failure::usage("-o FILE names the profile; --trace shows calls")),
    }
}

fn profile(args: &AttachArgs, output: &Path) -> Result<Exit> {
    let format = match &args.format {
        Some(name) => name.parse::<Format>().map_err(Failure::usage)?,
        None => Format::of_path(output).map_err(Failure::usage)?,
    };
    let kind = match (args.exact, args.memory) {
        (true, _) => Kind::Exact,
        (_, true) => Kind::Memory,
        _ => Kind::Sampling,
    };
    let format = Some(format.name().to_owned());
    let command =
        Command::Profile { file: path(output)?, format, for_ms: milliseconds(args), kind };
    let fields = Peer::connect(args.pid)?.ask(&command)?;
    let samples = fields.samples.unwrap_or_default();
    let (file, pid) = (output.display(), args.pid);
    let seen = match kind {
        Kind::Sampling => format!("{samples} samples"),
        Kind::Exact => "the calls".into(),
        Kind::Memory => "the allocations".into(),
    };
    output::write(format!("{file}: {seen} of process {pid}\n").as_bytes())?;
    Ok(Exit::SUCCESS)
}

fn trace(args: &AttachArgs, output: Option<&Path>) -> Result<Exit> {
    let format = args.format.clone();
    if let Some(name) = &format {
        name.parse::<TraceFormat>().map_err(Failure::usage)?;
    }
    let (summary, for_ms, mut calls) = (args.summary, milliseconds(args), args.calls.clone());
    if output.is_none() {
        calls.limit.get_or_insert(SHOWN);
    }
    let command = |file| Command::Trace { file, format, for_ms, calls, summary };
    let fields = match output {
        Some(output) => Peer::connect(args.pid)?.ask(&command(path(output)?))?,
        None => shown(args.pid, command)?,
    };
    let (all, dropped) = (fields.calls.unwrap_or_default(), fields.dropped.unwrap_or_default());
    if dropped > 0 {
        report::warning(&format!(
            "of {all} calls {dropped} are not in the trace, for its limit was reached (see --limit)"
        ));
    }
    if let Some(output) = output {
        let (file, pid) = (output.display(), args.pid);
        output::write(format!("{file}: {all} calls of process {pid}\n").as_bytes())?;
    }
    Ok(Exit::SUCCESS)
}

/// Has the process write to a file without anybody else's use, and shows what comes.
fn shown(pid: u32, command: impl FnOnce(PathBuf) -> Command) -> Result<Fields> {
    // Who ends this command leaves no file behind. Blocked before there are threads.
    let signals = signals_that_end();
    signals.thread_block().context("cannot block signals")?;
    let made = tempfile::Builder::new().prefix("wardian-trace-").tempfile();
    let (mut file, path) = made.context("cannot make a file for the trace")?.into_parts();
    let name = path.to_path_buf();
    let watched = name.clone();
    let thread = std::thread::Builder::new().name("signals".into());
    let watch = move || {
        if let Ok(signal) = signals.wait() {
            let _ = std::fs::remove_file(watched);
            Ending::Signal(signal).end();
        }
    };
    thread.spawn(watch).context("cannot make a thread")?;
    let mut peer = Peer::connect(pid)?;
    let (done, answer) = channel();
    let command = command(name);
    let ask = move || drop(done.send(peer.ask(&command)));
    std::thread::Builder::new().spawn(ask).context("cannot make a thread")?;
    loop {
        let answer = answer.recv_timeout(AGAIN);
        copy(&mut file, &path)?;
        match answer {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(answer) => return Ok(answer?),
            Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("nothing came").into()),
        }
    }
}

/// Shows what has been written since.
fn copy(file: &mut File, path: &TempPath) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    let mut out = io::stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).context("nobody reads the trace")
}

/// The file that the process opens.
fn path(output: &Path) -> Result<PathBuf> {
    if output.as_os_str() == "-" {
        return Err(Failure::usage("its process writes it, to a file"));
    }
    let file = std::path::absolute(output);
    let file = file.with_context(|| format!("{} is no path", output.display()))?;
    match file.to_str() {
        Some(_) => Ok(file),
        None => Err(anyhow!("{}: the name has to be Unicode", file.display()).into()),
    }
}

fn milliseconds(args: &AttachArgs) -> u64 {
    u64::try_from(args.time.as_millis()).unwrap_or(u64::MAX)
}
