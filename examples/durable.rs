//! A workflow that survives the end of its process: it is written to a file after each step, continues from there, and
//! does each of its side effects exactly once.
//!
//! ```text
//!   guest ── pay(n) ──> is n in the journal?  yes: its result
//!                                             no:  do it, append it to the journal
//!                       write a checkpoint, return
//! ```
//!
//! A process can end at any moment: before a side effect, between the effect and the checkpoint, while the checkpoint is
//! written. The journal, to which a side effect is one append, says what was done; the checkpoint says where the workflow
//! stands, and is replaced as a whole.
//!
//! `durable FOLDER` runs the workflow, or continues it. Without a folder the program starts itself in a new one, kills
//! that process at a random moment, and starts the next, again and again.

use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wardian::{
    Caller, Config, Engine, EngineKind, Error, Linker, Module, Result, Store, Val,
    checkpoint::{Checkpoint, CheckpointOptions, ResumeOptions},
};

/// Pays forty bills, each from what the ones before have left.
const WORKFLOW: &str = r#"(module
  (import "host" "pay" (func $pay (param i32 i64) (result i64)))
  (func (export "run") (result i64) (local $bill i32) (local $money i64)
    (local.set $money (i64.const 1000000))
    (loop $bills
      (local.set $money (i64.sub (local.get $money)
        (call $pay (local.get $bill) (i64.div_u (local.get $money) (i64.const 50)))))
      (br_if $bills (i32.lt_u (local.tee $bill (i32.add (local.get $bill) (i32.const 1))) (i32.const 40))))
    (local.get $money)))"#;

const BILLS: usize = 40;

/// Where the journal and the checkpoint are.
type Folder = PathBuf;

/// Pays a bill, or finds that it was paid.
fn pay(mut caller: Caller<'_, Folder>, bill: i32, amount: i64) -> Result<i64> {
    let folder = caller.data().clone();
    let mut options = OpenOptions::new();
    let mut journal = options.read(true).append(true).create(true).open(folder.join("journal"))?;
    let known = io::read_to_string(&journal)?;
    // A line without an end was not written to its end.
    let whole = known.rfind('\n').map_or(0, |at| at + 1);
    if !known[..whole].lines().any(|line| line.starts_with(&format!("{bill} "))) {
        journal.set_len(whole as u64)?;
        journal.seek(SeekFrom::End(0))?;
        journal.write_all(format!("{bill} {amount}\n").as_bytes())?;
    }
    // When it is resumed from here the call is made again, and finds the bill in the journal.
    let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
    write(&checkpoint, &folder)?;
    Ok(amount)
}

/// Replaces the checkpoint as a whole.
fn write(checkpoint: &Checkpoint, folder: &Path) -> Result<()> {
    let temporary = folder.join("checkpoint.new");
    let mut file = fs::File::create(&temporary)?;
    checkpoint.write(&mut file)?;
    file.sync_all()?;
    fs::rename(temporary, folder.join("checkpoint"))?;
    Ok(())
}

/// Begins the workflow, or continues it. Returns how much money is left.
fn process(folder: &Path) -> Result<i64> {
    let engine = Engine::new(Config::new().engine(EngineKind::Interpreted))?;
    let module = Module::new(&engine, WORKFLOW)?;
    let mut linker: Linker<Folder> = Linker::new(&engine);
    linker.func_wrap("host", "pay", pay)?;
    let mut store = Store::new(&engine, folder.to_owned());
    match fs::File::open(folder.join("checkpoint")) {
        Ok(file) => {
            let checkpoint = Checkpoint::read(io::BufReader::new(file))?;
            let options = ResumeOptions::new().with_module(&module);
            let resumed = checkpoint.resume(&mut store, &linker, &options)?;
            match resumed.run(&mut store)?[..] {
                [Val::I64(money)] => Ok(money),
                _ => Err(Error::host("the workflow gives an amount")),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let instance = linker.instantiate(&mut store, &module)?;
            instance.typed_func::<(), i64>(&mut store, "run")?.call(&mut store, ())
        }
        Err(error) => Err(error.into()),
    }
}

/// Each bill was paid once, from what the ones before had left. Returns what is left.
fn check(folder: &Path) -> Result<i64> {
    let journal = fs::read_to_string(folder.join("journal"))?;
    let mut left = 1_000_000;
    for (bill, line) in journal.lines().enumerate() {
        assert_eq!(line, format!("{bill} {}", left / 50), "in {journal}");
        left -= left / 50;
    }
    assert_eq!(journal.lines().count(), BILLS);
    Ok(left)
}

/// Runs workflows in processes that are killed so many times at random moments, and checks what they did. `command` is
/// one that runs [`main`] with a folder as the argument.
pub(crate) fn kill_again_and_again(kills: u32, command: impl Fn(&Path) -> Command) -> Result<()> {
    let random = RandomState::new();
    let base = std::env::temp_dir().join(format!("wardian-durable-{}-{kills}", std::process::id()));
    let (mut killed, mut workflows) = (0, 0);
    // About as long as a process runs that is not killed.
    let mut span = Duration::from_millis(50);
    while killed < kills || workflows == 0 {
        let folder = base.join(workflows.to_string());
        fs::create_dir_all(&folder)?;
        let mut child = command(&folder).stdout(Stdio::null()).spawn()?;
        let begin = Instant::now();
        let moment = span.mul_f64((random.hash_one(killed + workflows) % 1000) as f64 / 1000.0);
        let mut status = child.try_wait()?;
        while status.is_none() && (killed == kills || begin.elapsed() < moment) {
            std::thread::sleep(Duration::from_micros(100));
            status = child.try_wait()?;
        }
        let Some(status) = status else {
            child.kill()?;
            // It may just have ended by itself, which the next process finds out.
            child.wait()?;
            killed += 1;
            continue;
        };
        span = begin.elapsed();
        assert!(status.success(), "{status}");
        assert_eq!(process(&folder)?, check(&folder)?);
        workflows += 1;
    }
    fs::remove_dir_all(&base)?;
    println!("{workflows} workflows paid each bill once; {killed} processes were killed");
    Ok(())
}

/// Begins or continues the workflow in a folder.
pub(crate) fn run_in(folder: &Path) -> Result<()> {
    let money = process(folder)?;
    println!("{money} is left after {BILLS} bills");
    Ok(())
}

#[allow(dead_code, reason = "the tests run the rest with another command")]
pub(crate) fn main() -> Result<()> {
    match std::env::args_os().nth(1) {
        Some(folder) => run_in(folder.as_ref()),
        None => {
            let program = std::env::current_exe()?;
            kill_again_and_again(20, |folder| {
                let mut command = Command::new(&program);
                command.arg(folder);
                command
            })
        }
    }
}
