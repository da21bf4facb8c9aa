//! Where coverage goes.

use crate::args::CoverageArgs;
use crate::outfile::{OutFile, columns};
use crate::report::{self, Failure, Result};
use anyhow::anyhow;
use std::io::Write;
use std::path::{Path, PathBuf};
use wardian::inspect::DebugInfo;
use wardian_observe::CoverageReport;

/// Rows of the table.
const ROWS: usize = 20;

/// The files, and a table on standard error.
pub(super) struct Outputs {
    files: Vec<(OutFile, Format)>,
}

#[derive(Clone, Copy)]
enum Format {
    Lcov,
    Html,
}

impl Outputs {
    /// Opens the files that the command line names.
    pub(super) fn prepare(args: &CoverageArgs) -> Result<Outputs> {
        let mut outputs = Outputs { files: Vec::new() };
        for path in &args.outputs {
            let format = format(path)?;
            outputs.files.push((OutFile::open(path.clone())?, format));
        }
        Ok(outputs)
    }

    /// Writes all of them, even if one cannot be written.
    pub(super) fn write(mut self, coverage: &CoverageReport) -> anyhow::Result<()> {
        // Nobody may be there to read it, which is no problem of the guest's.
        let table = coverage.table(ROWS, columns());
        let _ = std::io::stderr().lock().write_all(table.as_bytes());
        match coverage.debug_info {
            DebugInfo::TooComplex => report::note(&DebugInfo::TooComplex.to_string()),
            DebugInfo::AtCalls => report::note(
                "no coverage of lines: modules of Go say which line a call is on, not which lines other code \
                 is of; coverage is by function",
            ),
            _ => {}
        }
        let mut problems = Vec::new();
        for (file, format) in std::mem::take(&mut self.files) {
            let written = match format {
                Format::Lcov => write_lcov(coverage, &file),
                Format::Html => file.replace("coverage", |writer| coverage.write_html(writer)),
            };
            match written {
                Ok(()) => report::note(&format!("coverage written to {}", file.path().display())),
                Err(problem) => problems.push(report::in_line(&problem)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(anyhow!("{}", problems.join("\n"))) }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        // No guest has run: nothing is left behind.
        self.files.iter().for_each(|(file, _)| file.discard());
    }
}

/// Writes the file, and beside it the listing that stands for source files if there are none.
fn write_lcov(coverage: &CoverageReport, file: &OutFile) -> anyhow::Result<()> {
    let mut listing = file.path().as_os_str().to_owned();
    listing.push(".functions.txt");
    let listing = PathBuf::from(listing);
    // Readers of the format take a relative path to be one below their own folder.
    let absolute = std::path::absolute(&listing).unwrap_or_else(|_| listing.clone());
    let mut left_out = 0;
    file.replace("coverage", |writer| {
        left_out = coverage.write_lcov(writer, &absolute.to_string_lossy())?;
        Ok(())
    })?;
    if let Some(text) = coverage.listing() {
        let out = OutFile::open(listing.clone())?;
        out.replace("functions", |writer| writer.write_all(text.as_bytes()))?;
        report::note(&format!(
            "there are no source files to show: the functions are listed in {}, which the coverage refers to",
            listing.display()
        ));
    } else if left_out > 0 {
        let (s, are) = if left_out == 1 { ("", "is") } else { ("s", "are") };
        report::note(&format!("{left_out} source file{s} that {are} not here {are} left out"));
    }
    Ok(())
}

fn format(path: &Path) -> Result<Format> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("info" | "lcov") => Ok(Format::Lcov),
        Some("html" | "htm") => Ok(Format::Html),
        _ => Err(Failure::usage(format!(
            "the ending of {} stands for no format of coverage; there are lcov (.info, .lcov) and \
             HTML (.html)",
            path.display()
        ))),
    }
}
