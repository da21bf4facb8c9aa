//! lcov's tracefiles: records in lines of text, a group for each source file.

use super::report::{BranchCoverage, CoverageReport, FileCoverage, FunctionCoverage, Share};
use crate::printable::printable;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

/// Functions by name: the line, and how often they were called.
type Functions = BTreeMap<String, (u32, u64)>;

/// Gives how many source files are left out.
pub(super) fn write(
    report: &CoverageReport,
    writer: &mut impl Write,
    listing: &str,
) -> io::Result<usize> {
    if report.files.is_empty() && report.functions.is_empty() {
        // Readers take a file without records to be broken.
        let problem = "no file and no function is left to be written";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let test: String = report.program.chars().map(test_char).collect();
    let there = there(report);
    if there.is_empty() {
        write_listing(report, &test, listing, writer)?;
        return Ok(report.files.len());
    }
    let mut functions: BTreeMap<&str, Functions> = BTreeMap::new();
    for function in &report.functions {
        if let Some((path, line)) = &function.place {
            add(functions.entry(path).or_default(), function, *line);
        }
    }
    let files = report.files.iter().filter(|file| there.contains(&*file.path));
    for file in files {
        writeln!(writer, "TN:{test}")?;
        writeln!(writer, "SF:{}", printable(&file.path))?;
        write_functions(functions.get(&*file.path).unwrap_or(&Functions::new()), writer)?;
        write_branches(&file.branches, file.branches_hit(), writer)?;
        write_lines(file, writer)?;
        writeln!(writer, "end_of_record")?;
    }
    Ok(report.files.len() - there.len())
}

/// Paths of the source files that can be read.
fn there(report: &CoverageReport) -> HashSet<&str> {
    let paths = report.files.iter().map(|file| &*file.path);
    paths.filter(|path| Path::new(path).is_file()).collect()
}

pub(super) fn listing(report: &CoverageReport) -> Option<String> {
    let line = |function: &FunctionCoverage| {
        format!("{:>12} calls  {}\n", function.calls, printable(&function.name))
    };
    there(report).is_empty().then(|| report.functions.iter().map(line).collect())
}

/// All functions as lines of the listing, so that a report has something to show. A line is its function's.
fn write_listing(
    report: &CoverageReport,
    test: &str,
    listing: &str,
    writer: &mut impl Write,
) -> io::Result<()> {
    writeln!(writer, "TN:{test}\nSF:{}", printable(listing))?;
    let mut functions = Functions::new();
    for (line, function) in (1..).zip(&report.functions) {
        add(&mut functions, function, line);
    }
    write_functions(&functions, writer)?;
    let of = |(line, function): (u32, &FunctionCoverage)| {
        let branch = move |outcomes: &Vec<u64>| BranchCoverage { line, outcomes: outcomes.clone() };
        function.branches.iter().map(branch).collect::<Vec<_>>()
    };
    let branches: Vec<_> = (1u32..).zip(&report.functions).flat_map(of).collect();
    write_branches(&branches, report.branches_hit(), writer)?;
    let mut hit = 0;
    for (line, function) in (1u32..).zip(&report.functions) {
        hit += usize::from(function.calls > 0);
        writeln!(writer, "DA:{line},{}", function.calls)?;
    }
    writeln!(writer, "LF:{}\nLH:{hit}\nend_of_record", report.functions.len())
}

/// Functions of one name, as generic ones have, are one.
fn add(functions: &mut Functions, function: &FunctionCoverage, line: u32) {
    let (first, calls) = functions.entry(printable(&function.name)).or_insert((line, 0));
    *first = line.min(*first);
    *calls = calls.saturating_add(function.calls);
}

fn write_functions(functions: &Functions, writer: &mut impl Write) -> io::Result<()> {
    for (name, (line, _)) in functions {
        writeln!(writer, "FN:{line},{name}")?;
    }
    for (name, (_, calls)) in functions {
        writeln!(writer, "FNDA:{calls},{name}")?;
    }
    let hit = functions.values().filter(|(_, calls)| *calls > 0).count();
    writeln!(writer, "FNF:{}\nFNH:{hit}", functions.len())
}

/// Of a line's branches each has a number, and each of its outcomes; those of one that was never reached are `-`.
fn write_branches(
    branches: &[BranchCoverage],
    hit: Share,
    writer: &mut impl Write,
) -> io::Result<()> {
    let mut number = (0, 0);
    for branch in branches {
        number =
            if number.0 == branch.line { (branch.line, number.1 + 1) } else { (branch.line, 0) };
        let is_reached = branch.outcomes.iter().any(|count| *count > 0);
        for (outcome, count) in branch.outcomes.iter().enumerate() {
            write!(writer, "BRDA:{},{},{outcome},", branch.line, number.1)?;
            match is_reached {
                true => writeln!(writer, "{count}")?,
                false => writeln!(writer, "-")?,
            }
        }
    }
    match branches.is_empty() {
        true => Ok(()),
        false => writeln!(writer, "BRF:{}\nBRH:{}", hit.all, hit.hit),
    }
}

fn write_lines(file: &FileCoverage, writer: &mut impl Write) -> io::Result<()> {
    for (line, count) in &file.lines {
        writeln!(writer, "DA:{line},{count}")?;
    }
    let hit = file.lines_hit();
    writeln!(writer, "LF:{}\nLH:{}", hit.all, hit.hit)
}

/// Names of tests are words.
fn test_char(c: char) -> char {
    if c.is_ascii_alphanumeric() { c } else { '_' }
}
