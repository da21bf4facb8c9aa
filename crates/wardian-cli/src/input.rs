//! Reading modules.

use anyhow::{Context, anyhow, bail};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a file, or of standard input, with the name for messages.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Input {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Input> {
        let stdin = path.as_os_str() == "-";
        let name = if stdin { "standard input".into() } else { path.display().to_string() };
        let bytes = if stdin { read_stdin().map_err(Into::into) } else { read_file(path) };
        Input::of(name, bytes)
    }

    /// Reads what is neither a file nor standard input.
    pub(crate) fn read_from(
        name: String,
        open: impl FnOnce() -> anyhow::Result<Box<dyn Read>>,
    ) -> anyhow::Result<Input> {
        let mut bytes = Vec::new();
        let read = open().and_then(|mut reader| Ok(reader.read_to_end(&mut bytes)?));
        Input::of(name, read.map(|_| bytes))
    }

    fn of(name: String, bytes: anyhow::Result<Vec<u8>>) -> anyhow::Result<Input> {
        let bytes = bytes.with_context(|| format!("cannot read {name}"))?;
        if bytes.is_empty() {
            bail!("{name} is empty");
        }
        Ok(Input { name, bytes })
    }

    /// Reads a module that is not an artifact.
    pub(crate) fn read_module(path: &Path) -> anyhow::Result<Input> {
        let input = Input::read(path)?;
        input.no_artifact()?;
        Ok(input)
    }

    /// An error if it is an artifact.
    pub(crate) fn no_artifact(&self) -> anyhow::Result<()> {
        if wardian::cache::is_artifact(&self.bytes) {
            bail!("{} is a precompiled module; the module it was made from is needed", self.name);
        }
        Ok(())
    }

    /// An error if it is a checkpoint.
    pub(crate) fn no_checkpoint(&self) -> anyhow::Result<()> {
        if crate::checkpoint::is_checkpoint(&self.bytes) {
            bail!("{} is a checkpoint, not a module: `wardian resume` continues it", self.name);
        }
        Ok(())
    }

    /// What is wrong if there can be no module of the contents.
    pub(crate) fn unusable(&self, error: wardian::Error) -> anyhow::Error {
        match error.kind() {
            wardian::ErrorKind::Decode(error) => self.invalid(error),
            _ => anyhow::Error::new(error).context(format!("{} cannot be used", self.name)),
        }
    }

    /// An error about the contents.
    pub(crate) fn invalid(&self, error: impl std::fmt::Display) -> anyhow::Error {
        anyhow!("{} is not a module that can be run: {error}", self.name)
    }
}

fn read_stdin() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        bail!("it is a directory, not a file");
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
