//! Files for what is found out about a run.
//!
//! That a file can be written is found out before the guest runs, for afterwards what was found would be
//! lost; what is in it stays until there is something to replace it.

use anyhow::Context;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Columns where the width of the terminal is not known.
const COLUMNS: usize = 120;

/// A file that is open, and not changed yet.
pub(crate) struct OutFile {
    path: PathBuf,
    file: File,
    /// It was not there before.
    created: bool,
}

impl OutFile {
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<OutFile> {
        let created = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(OutFile { path, file, created })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what is in it; `what` it is called in messages.
    pub(crate) fn write(
        &self,
        what: &str,
        contents: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let context = || format!("cannot write the {what} to {}", self.path.display());
        // Pipes and devices have nothing to be cut off.
        if self.file.metadata().is_ok_and(|meta| meta.is_file()) {
            self.file.set_len(0).with_context(context)?;
        }
        let mut writer = BufWriter::new(&self.file);
        contents(&mut writer).and_then(|()| writer.flush()).with_context(context)
    }

    /// Leaves nothing behind that was not there before.
    pub(crate) fn discard(&self) {
        if self.created {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// How wide tables may be.
pub(crate) fn columns() -> usize {
    let stderr = io::stderr();
    if !stderr.is_terminal() {
        return COLUMNS;
    }
    let size = rustix::termios::tcgetwinsize(&stderr);
    size.map_or(COLUMNS, |size| usize::from(size.ws_col)).max(60)
}
