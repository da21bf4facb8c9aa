//! Files for what is found out about a run.
//!
//! That a file can be written is found out before the guest runs, for afterwards what was found would be
//! lost; what is in it stays until there is something to replace it. If nothing is, nothing is left behind.

use anyhow::Context;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Columns where the width of the terminal is not known.
const COLUMNS: usize = 120;
/// What is gathered before it is written. Writers that fail earlier leave the file as it was.
const BUFFER: usize = 64 << 10;

/// A file that is open, and not changed before something is written.
#[derive(Debug)]
pub(crate) struct OutFile {
    path: PathBuf,
    file: File,
    /// What was not there before.
    created: Option<PathBuf>,
    /// Whether what was in it is gone.
    truncated: Mutex<bool>,
}

impl OutFile {
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<OutFile> {
        let opened = open(&path).with_context(|| format!("cannot write {}", path.display()));
        opened.map(|(file, created)| OutFile { path, file, created, truncated: Mutex::new(false) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what is in it; `what` it is called in messages.
    pub(crate) fn replace(
        &self,
        what: &str,
        contents: impl FnOnce(&mut BufWriter<&OutFile>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut writer = BufWriter::with_capacity(BUFFER, self);
        let written = match contents(&mut writer) {
            Ok(()) => self.truncate().and_then(|()| writer.flush()),
            Err(error) => {
                // A part is of no use, least of all in place of what was there.
                let _ = writer.into_parts();
                Err(error)
            }
        };
        written.with_context(|| format!("cannot write the {what} to {}", self.path.display()))
    }

    /// What was in it goes, if it has not gone yet.
    pub(crate) fn truncate(&self) -> io::Result<()> {
        let mut truncated = self.truncated.lock().unwrap_or_else(|e| e.into_inner());
        // Pipes and devices have nothing to be cut off.
        if !*truncated && self.is_regular() {
            self.file.set_len(0)?;
        }
        *truncated = true;
        Ok(())
    }

    /// Whether it is neither a pipe nor a device.
    pub(crate) fn is_regular(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.is_file())
    }

    /// Whether it was not there before.
    pub(crate) fn is_new(&self) -> bool {
        self.created.is_some()
    }

    /// Leaves nothing behind that was not there before, unless something was written.
    pub(crate) fn discard(&self) {
        let truncated = self.truncated.lock().unwrap_or_else(|e| e.into_inner());
        if let (false, Some(created)) = (*truncated, &self.created) {
            let _ = fs::remove_file(created);
        }
    }
}

impl Write for &OutFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.truncate()?;
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.file).flush()
    }
}

/// Writes to a file that others have, too.
pub(crate) struct FileWriter(pub(crate) Arc<OutFile>);

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

/// Opens the file, and says which one was made for that.
fn open(path: &Path) -> io::Result<(File, Option<PathBuf>)> {
    let write = |options: &mut OpenOptions| options.write(true).open(path);
    match write(OpenOptions::new().create_new(true)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made.map(|file| (file, Some(path.to_owned()))),
    }
    match write(&mut OpenOptions::new()) {
        // A link to nothing: the link stays whatever happens, what it leads to is made.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = write(OpenOptions::new().create(true).truncate(false))?;
            Ok((file, fs::canonicalize(path).ok()))
        }
        opened => opened.map(|file| (file, None)),
    }
}

/// How wide tables may be.
pub(crate) fn columns() -> usize {
    let stderr = io::stderr();
    if !stderr.is_terminal() {
        return COLUMNS;
    }
    let size = crate::host::terminal_size(&stderr);
    size.map_or(COLUMNS, |(columns, _)| usize::from(columns)).max(60)
}
