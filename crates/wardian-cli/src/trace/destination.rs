//! Where a trace goes: standard error, or a file, whose contents stay until the first call is written.

use crate::outfile::{FileWriter, OutFile};
use crate::report::{self, Failure, Result};
use anyhow::Context;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use wardian_observe::{BackgroundWriter, TraceEnd};

/// The place for a trace.
pub(super) struct Destination {
    file: Option<Arc<OutFile>>,
    /// Whether there is a guest to trace.
    began: bool,
    /// How many bytes were written.
    progress: Arc<AtomicU64>,
}

/// What pipes and terminals are given at once, so that a slow reader is not taken for none.
const PIECE: usize = 4 << 10;

impl Destination {
    /// Opens the file; without one it is standard error.
    pub(super) fn prepare(path: Option<&Path>) -> Result<Destination> {
        let mut destination = Destination { file: None, began: false, progress: Arc::default() };
        let Some(path) = path else { return Ok(destination) };
        if path.as_os_str() == "-" {
            return Err(Failure::usage(
                "a trace cannot be written to standard output, which is the guest's; without -o it \
                 goes to standard error",
            ));
        }
        destination.file = Some(Arc::new(OutFile::open(path.to_owned())?));
        Ok(destination)
    }

    /// What a trace is written with.
    pub(super) fn writer(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        let progress = self.progress.clone();
        let Some(file) = &self.file else {
            return Ok(Box::new(Counted { to: io::stderr(), most: PIECE, progress }));
        };
        let most = if file.is_regular() { usize::MAX } else { PIECE };
        let writer =
            BackgroundWriter::new(Counted { to: FileWriter(file.clone()), most, progress });
        Ok(Box::new(writer.context("cannot write the trace")?))
    }

    /// Lets another thread do what ends with writing, and gives up when the reader reads nothing for
    /// so long.
    pub(super) fn patiently<T: Send + 'static>(
        &self,
        patience: Duration,
        write: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("last writes".into());
        // If nobody waits any more nobody is notified.
        thread.spawn(move || drop(done.send(write())))?;
        let mut seen = self.progress.load(Ordering::Relaxed);
        loop {
            match result.recv_timeout(patience) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("it panicked")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let before = std::mem::replace(&mut seen, self.progress.load(Ordering::Relaxed));
            if before == seen {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader does not read"));
            }
        }
    }

    /// Whether there is a guest from now on.
    pub(super) fn set_guest(&mut self, began: bool) {
        self.began = began;
    }

    pub(super) fn has_guest(&self) -> bool {
        self.began
    }

    /// Reports how it went.
    pub(super) fn finish(self, end: io::Result<TraceEnd>) -> anyhow::Result<()> {
        // An error of standard error cannot be reported.
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

/// Counts what is written, in pieces of `most` bytes.
struct Counted<W> {
    to: W,
    most: usize,
    progress: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(&bytes[..bytes.len().min(self.most)])?;
        self.progress.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Whether who reads standard error sees colours.
pub(super) fn stderr_has_color() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}
