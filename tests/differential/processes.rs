//! A guest that continues in another process, of this same program.

use libtest_mimic::Failed;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};

/// Names what the process is for.
const CHILD: &str = "WARDIAN_CARRIED_CHILD";

/// What the other process is given.
#[derive(Default)]
pub(crate) struct Request {
    /// The engine, by its place among the ways.
    pub(crate) way: u64,
    pub(crate) seed: u64,
    /// Host calls so far, and how many of them are open.
    pub(crate) calls: u64,
    pub(crate) depth: u64,
    /// The call from outside in which the guest is; none while it is instantiated.
    pub(crate) turn: Option<u64>,
    pub(crate) module: Vec<u8>,
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) lines: Vec<String>,
}

impl Request {
    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A turn counts from one, so that there can be none.
        let turn = self.turn.map_or(0, |turn| turn + 1);
        for number in [self.way, self.seed, self.calls, self.depth, turn] {
            bytes.extend(number.to_le_bytes());
        }
        let parts = [&self.module[..], &self.checkpoint[..]];
        parts.into_iter().for_each(|part| write_part(&mut bytes, part));
        self.lines.iter().for_each(|line| write_part(&mut bytes, line.as_bytes()));
        bytes
    }

    fn read(mut bytes: &[u8]) -> Request {
        let mut number = || read_number(&mut bytes).expect("there are five");
        let [way, seed, calls, depth, turn] = std::array::from_fn(|_| number());
        let mut part = || read_part(&mut bytes).expect("it is there").to_vec();
        let (module, checkpoint) = (part(), part());
        let turn = turn.checked_sub(1);
        Request { way, seed, calls, depth, turn, module, checkpoint, lines: read_lines(bytes) }
    }
}

fn write_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

fn read_part<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = read_number(bytes)? as usize;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

fn read_lines(mut bytes: &[u8]) -> Vec<String> {
    let parts = std::iter::from_fn(|| read_part(&mut bytes));
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// This program again, by the emulator that `WARDIAN_EMULATOR` names with its arguments, if it runs under one.
fn again() -> std::io::Result<Command> {
    let program = std::env::current_exe()?;
    let emulator = std::env::var("WARDIAN_EMULATOR").unwrap_or_default();
    let mut words = emulator.split_whitespace();
    Ok(match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    })
}

/// Has a new process continue a guest to its end; returns all lines.
pub(crate) fn continue_elsewhere(request: &Request) -> Result<Vec<String>, Failed> {
    let mut child =
        again()?.env(CHILD, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // It reads all before it writes anything.
    child.stdin.take().ok_or("there is an input")?.write_all(&request.write())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("the other process ended with {}", output.status).into());
    }
    Ok(read_lines(&output.stdout))
}

/// In such a process: does what it is asked for.
pub(crate) fn child(run: impl Fn(Request) -> Result<Vec<String>, Failed>) -> Option<ExitCode> {
    std::env::var_os(CHILD)?;
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).ok()?;
    match run(Request::read(&bytes)) {
        Ok(lines) => {
            let mut bytes = Vec::new();
            lines.iter().for_each(|line| write_part(&mut bytes, line.as_bytes()));
            std::io::stdout().write_all(&bytes).ok()?;
            Some(ExitCode::SUCCESS)
        }
        Err(failed) => {
            eprintln!("{}", failed.message().unwrap_or("it failed"));
            Some(ExitCode::FAILURE)
        }
    }
}
