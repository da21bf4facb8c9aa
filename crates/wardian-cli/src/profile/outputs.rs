//! Where profiles go.

use crate::args::ProfileArgs;
use crate::outfile::{OutFile, columns};
use crate::report::{self, Failure, Result};
use anyhow::anyhow;
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use wardian_observe::{Format, Profile};

/// Rows of a table.
const ROWS: usize = 30;

/// All places for one profile.
pub(super) struct Outputs {
    files: Vec<OutputFile>,
    /// A table on standard error.
    table: bool,
    /// Whether there is a guest to make a profile of.
    began: bool,
}

struct OutputFile {
    file: OutFile,
    format: Format,
}

impl Outputs {
    /// Opens the files that the command line names.
    pub(super) fn prepare(args: &ProfileArgs) -> Result<Outputs> {
        let mut outputs = Outputs { files: Vec::new(), table: false, began: false };
        if args.outputs.is_empty() {
            match args.format {
                None | Some(Format::Table) => outputs.table = true,
                Some(format) => outputs.files.push(OutputFile::open(named(args, format), format)?),
            }
        }
        for path in &args.outputs {
            if path.as_os_str() == "-" {
                return Err(Failure::usage(
                    "a profile cannot be written to standard output, which is the guest's",
                ));
            }
            let format = match args.format {
                Some(format) => format,
                None => Format::of_path(path).map_err(Failure::usage)?,
            };
            outputs.files.push(OutputFile::open(path.clone(), format)?);
        }
        Ok(outputs)
    }

    /// Whether there is a guest from now on.
    pub(super) fn set_guest(&mut self, began: bool) {
        self.began = began;
    }

    /// Writes the profile to all of them. If a file cannot be written the others are nevertheless, and
    /// a table is shown in its place.
    pub(super) fn write(mut self, profile: &Profile, value: usize) -> anyhow::Result<()> {
        if !self.began {
            return Ok(());
        }
        let mut problems = Vec::new();
        for output in std::mem::take(&mut self.files) {
            if let Err(problem) = output.write(profile, value) {
                problems.push(report::in_line(&problem));
            }
        }
        if self.table || !problems.is_empty() {
            let table = profile.table(ROWS, columns(), value);
            // Nobody may be there to read it, which is no problem of the guest's.
            let _ = std::io::stderr().lock().write_all(table.as_bytes());
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(anyhow!("{}", problems.join("\n"))),
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        // No guest has run: nothing is left behind.
        self.files.iter().for_each(|output| output.file.discard());
    }
}

impl OutputFile {
    fn open(path: PathBuf, format: Format) -> anyhow::Result<OutputFile> {
        Ok(OutputFile { file: OutFile::open(path)?, format })
    }

    fn write(self, profile: &Profile, value: usize) -> anyhow::Result<()> {
        self.file.replace("profile", |writer| profile.write_value(self.format, value, writer))?;
        let path = self.file.path().display();
        report::note(&format!("{} profile written to {path}", profile.kind()));
        Ok(())
    }
}

/// The file for a format if none is named: `fern.profile.svg`.
fn named(args: &ProfileArgs, format: Format) -> PathBuf {
    let file = args.run.file();
    let stem = match file.as_os_str() == "-" {
        true => OsStr::new("guest"),
        false => file.file_stem().unwrap_or(file.as_os_str()),
    };
    let mut name = stem.to_owned();
    name.push(format!(".profile.{}", format.extension()));
    name.into()
}
