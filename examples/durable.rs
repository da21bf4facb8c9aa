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
//! written. The journal, which is one append to a file, says what was done; the checkpoint says where the workflow
//! stands, and is replaced as a whole. Here the end of the process is an error that ends the guest, again and again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wardian::{
    Caller, Checkpoint, CheckpointOptions, Config, Engine, EngineKind, Error, Linker, Module,
    Result, ResumeOptions, Store, Val,
};

/// Pays twenty bills, each from what the ones before have left.
const WORKFLOW: &str = r#"(module
  (import "host" "pay" (func $pay (param i32 i64) (result i64)))
  (func (export "run") (result i64) (local $bill i32) (local $money i64)
    (local.set $money (i64.const 1000000))
    (loop $bills
      (local.set $money (i64.sub (local.get $money)
        (call $pay (local.get $bill) (i64.div_u (local.get $money) (i64.const 50)))))
      (br_if $bills (i32.lt_u (local.tee $bill (i32.add (local.get $bill) (i32.const 1))) (i32.const 20))))
    (local.get $money)))"#;

/// What outlives the process, and a clock that says when it ends.
struct Host {
    folder: PathBuf,
    moments: u32,
    end_at: u32,
}

impl Host {
    /// A moment at which the process may end.
    fn moment(&mut self) -> Result<()> {
        self.moments += 1;
        if self.moments == self.end_at { Err(Error::host("the process ends")) } else { Ok(()) }
    }
}

/// Pays a bill, or finds that it was paid.
fn pay(mut caller: Caller<'_, Host>, bill: i32, amount: i64) -> Result<i64> {
    let journal = caller.data().folder.join("journal");
    caller.data_mut().moment()?;
    let known = fs::read_to_string(&journal).unwrap_or_default();
    if !known.lines().any(|line| line.starts_with(&format!("{bill} "))) {
        let mut file = OpenOptions::new().create(true).append(true).open(&journal)?;
        file.write_all(format!("{bill} {amount}\n").as_bytes())?;
    }
    caller.data_mut().moment()?;
    // When it is resumed from here the call is made again, and finds the bill in the journal.
    let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
    let folder = caller.data().folder.clone();
    write(&checkpoint, &folder)?;
    caller.data_mut().moment()?;
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

/// Begins the workflow, or continues it.
fn process(engine: &Engine, module: &Module, host: Host) -> Result<i64> {
    let mut linker: Linker<Host> = Linker::new(engine);
    linker.func_wrap("host", "pay", pay)?;
    let file = fs::File::open(host.folder.join("checkpoint"));
    let mut store = Store::new(engine, host);
    match file {
        Ok(file) => {
            let checkpoint = Checkpoint::read(io::BufReader::new(file))?;
            let options = ResumeOptions::new().with_module(module);
            let resumed = checkpoint.resume(&mut store, &linker, &options)?;
            match resumed.run(&mut store)?[..] {
                [Val::I64(money)] => Ok(money),
                _ => Err(Error::host("the workflow gives an amount")),
            }
        }
        Err(_) => {
            let instance = linker.instantiate(&mut store, module)?;
            instance.typed_func::<(), i64>(&mut store, "run")?.call(&mut store, ())
        }
    }
}

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::new().engine(EngineKind::Interpreted))?;
    let module = Module::new(&engine, WORKFLOW)?;
    let folder = std::env::temp_dir().join(format!("wardian-durable-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut ends = 0;
    let money = loop {
        // The process ends after one to eight moments, and another one continues.
        let end_at = 1 + ends * 7 % 8;
        let host = Host { folder: folder.clone(), moments: 0, end_at };
        match process(&engine, &module, host) {
            Ok(money) => break money,
            Err(error) if error.to_string() == "the process ends" => ends += 1,
            Err(error) => return Err(error),
        }
    };
    let journal = fs::read_to_string(folder.join("journal"))?;
    fs::remove_dir_all(&folder)?;
    println!(
        "{money} is left after {} bills and {ends} ends of the process",
        journal.lines().count()
    );
    // Each bill was paid once, from what the ones before had left.
    let mut left = 1_000_000;
    for (bill, line) in journal.lines().enumerate() {
        assert_eq!(line, format!("{bill} {}", left / 50));
        left -= left / 50;
    }
    assert_eq!(money, left);
    assert_eq!(journal.lines().count(), 20);
    assert!(ends > 10, "{ends}");
    Ok(())
}
