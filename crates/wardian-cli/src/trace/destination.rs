//! Where a trace goes: standard error, or a file.
//!
//! That a file can be written is found out before the guest runs; what is in it stays until then.

use crate::report::{self, Failure, Result};
use anyhow::Context;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wardian_observe::{BackgroundWriter, TraceEnd};

/// The place for a trace.
pub(super) struct Destination {
    file: Option<OutputFile>,
    /// Whether there is a guest to trace.
    began: bool,
}

struct OutputFile {
    path: PathBuf,
    file: File,
    /// It was not there before.
    created: bool,
}

impl Destination {
    /// Opens the file; without one it is standard error.
    pub(super) fn prepare(path: Option<&Path>) -> Result<Destination> {
        let Some(path) = path else { return Ok(Destination { file: None, began: false }) };
        if path.as_os_str() == "-" {
            return Err(Failure::usage(
                "a trace cannot be written to standard output, which is the guest's; without -o it \
                 goes to standard error",
            ));
        }
        let created = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let file = Some(OutputFile { path: path.to_owned(), file, created });
        Ok(Destination { file, began: false })
    }

    /// What a trace is written with.
    pub(super) fn writer(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        let Some(output) = &self.file else { return Ok(Box::new(io::stderr())) };
        let file = output.file.try_clone();
        let writer = file.and_then(BackgroundWriter::new).context("cannot write the trace")?;
        Ok(Box::new(writer))
    }

    /// From now on there is a guest: what the file held goes.
    pub(super) fn guest_begins(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.began, true) {
            return Ok(());
        }
        match &self.file {
            // Pipes and devices have nothing to be cut off.
            Some(output) if output.file.metadata()?.is_file() => output.file.set_len(0),
            _ => Ok(()),
        }
    }

    pub(super) fn has_guest(&self) -> bool {
        self.began
    }

    /// Tells how it went.
    pub(super) fn finish(self, end: io::Result<TraceEnd>) -> anyhow::Result<()> {
        // Of standard error nobody can be told.
        let Some(output) = &self.file else { return Ok(()) };
        let path = output.path.display();
        let end = end.with_context(|| format!("cannot write the trace to {path}"))?;
        if end.dropped > 0 {
            let (calls, dropped) = (end.calls, end.dropped);
            report::warning(&format!(
                "of {calls} calls {dropped} are not in {path}, for its limit was reached (see --limit)"
            ));
        }
        Ok(())
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        // No guest has run: nothing is left behind.
        if let Some(output) = self.file.as_ref().filter(|output| output.created && !self.began) {
            let _ = fs::remove_file(&output.path);
        }
    }
}

/// Whether who reads standard error sees colours.
pub(super) fn stderr_has_color() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}
