//! CRIU, which writes a whole process down: beside the checkpoint of a store, a process that holds the same store.

use crate::children::CHILD;
use crate::engines::WARDIAN;
use crate::measure::Contender;
use crate::options::Result;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `criu dump` of a process with the same store, to files, on the wall clock.
pub(crate) const CRIU: &str = "criu dump";
/// What the process is asked to do.
pub(crate) const HOLD: &str = "hold";

/// The contender, where CRIU runs; elsewhere says why not.
pub(crate) fn contender(folder: &Path) -> Result<Option<Contender<'static>>> {
    if let Err(reason) = check() {
        eprintln!("criu: left out: {reason}");
        return Ok(None);
    }
    let (holder, folder) = (Holder::start()?, folder.to_owned());
    Ok(Some(Contender::timed(CRIU, move |units, _| {
        let mut time = Duration::ZERO;
        for _ in 0..units {
            time += holder.dump(&folder)?;
        }
        Ok((0, time))
    })))
}

/// Whether CRIU is there, and works with this kernel.
fn check() -> Result<()> {
    let output = Command::new("criu").arg("check").output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(said.lines().last().unwrap_or("`criu check` failed").into())
}

/// Does what the process is asked for: `hold` makes a store, which is kept until standard input ends.
pub(crate) fn hold<R>(hold: impl FnOnce() -> Result<R>) -> Result<()> {
    let held = hold()?;
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}

/// The process with the store.
struct Holder(Child);

impl Holder {
    fn start() -> Result<Holder> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([CHILD, WARDIAN, HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.as_mut() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let holder = Holder(child);
        if line.trim() == "ready" { Ok(holder) } else { Err("the process made no store".into()) }
    }

    /// Writes the process down, which runs on afterwards; the files are removed.
    fn dump(&self, folder: &Path) -> Result<Duration> {
        let images: PathBuf = folder.join("criu");
        std::fs::create_dir(&images)?;
        let start = Instant::now();
        let output = Command::new("criu")
            .args(["dump", "--shell-job", "--leave-running", "-t"])
            .arg(self.0.id().to_string())
            .arg("-D")
            .arg(&images)
            .output()?;
        let time = start.elapsed();
        std::fs::remove_dir_all(&images)?;
        if output.status.success() {
            Ok(time)
        } else {
            Err(format!("criu dump: {}", String::from_utf8_lossy(&output.stderr)).into())
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
