//! Where a trace goes: standard error, or a file, whose contents stay until the first call is written.

use crate::outfile::OutFile;
use crate::report::{self, Failure, Result};
use anyhow::Context;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use wardian_observe::{BackgroundWriter, TraceEnd};

/// The place for a trace.
pub(super) struct Destination {
    file: Option<Arc<OutFile>>,
    /// Whether there is a guest to trace.
    began: bool,
}

/// Writes to a file that others have, too.
struct FileWriter(Arc<OutFile>);

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
        let file = Arc::new(OutFile::open(path.to_owned())?);
        Ok(Destination { file: Some(file), began: false })
    }

    /// What a trace is written with.
    pub(super) fn writer(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        let Some(file) = &self.file else { return Ok(Box::new(io::stderr())) };
        let writer = BackgroundWriter::new(FileWriter(file.clone()));
        Ok(Box::new(writer.context("cannot write the trace")?))
    }

    /// Whether there is a guest from now on.
    pub(super) fn set_guest(&mut self, began: bool) {
        self.began = began;
    }

    pub(super) fn has_guest(&self) -> bool {
        self.began
    }

    /// Tells how it went.
    pub(super) fn finish(self, end: io::Result<TraceEnd>) -> anyhow::Result<()> {
        // Of standard error nobody can be told.
        let Some(file) = &self.file else { return Ok(()) };
        let path = file.path().display();
        // An empty trace replaces the old one as well.
        let end = end.and_then(|end| file.truncate().map(|()| end));
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
        if let (false, Some(file)) = (self.began, &self.file) {
            // No guest has run: nothing is left behind.
            file.discard();
        }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nothing is no reason to change a file.
        if bytes.is_empty() { Ok(0) } else { (&*self.0).write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

/// Whether who reads standard error sees colours.
pub(super) fn stderr_has_color() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}
