//! Behaviours that use up what a whole process can have run in a process of their own.

use crate::matrix::Case;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wardian::Engine;

/// Before the name of a case, on the command line of the process.
const CHILD: &str = "--alone";
/// Longer than any of them takes, on a busy machine too.
const HANG: Duration = Duration::from_secs(300);

/// Whether this process is for one behaviour.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Runs `behaviour` of the case that this thread runs in a process of its own.
pub(crate) fn alone(engine: &Engine, behaviour: fn(&Engine)) {
    if IS_CHILD.load(Ordering::Relaxed) {
        return behaviour(engine);
    }
    if cfg!(feature = "torture") {
        // Its requests would fail in this process, not in that one.
        return;
    }
    let mut command = this_program();
    command.args([CHILD, &Case::running()]).stdin(Stdio::null());
    // All threads have one heap, so that what a behaviour keeps of it is there for the engine's threads, too.
    command.env("MALLOC_ARENA_MAX", "1");
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&text));
}

/// This program again. The system cannot start one for another processor: `WARDIAN_EMULATOR` is then the emulator, with
/// its arguments.
fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let emulator = std::env::var("WARDIAN_EMULATOR").unwrap_or_default();
    let mut words = emulator.split_whitespace();
    let Some(first) = words.next() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(words).arg(program);
    command
}

/// What this process does if it is for one behaviour.
pub(crate) fn child(cases: &[Case]) -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let name = match &arguments[..] {
        [_, flag, name] if flag == CHILD => name,
        _ => return None,
    };
    IS_CHILD.store(true, Ordering::Relaxed);
    std::thread::spawn(|| {
        std::thread::sleep(HANG);
        eprintln!("it does not end");
        std::process::abort();
    });
    let case = cases.iter().find(|case| case.name == *name).expect("the parent has the same cases");
    // A panic ends the process with its message and another code.
    case.run(&case.engine().expect("the configuration works"));
    Some(ExitCode::SUCCESS)
}
