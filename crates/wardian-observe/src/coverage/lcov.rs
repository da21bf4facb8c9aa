//! lcov's tracefiles: records in lines of text, a group for each source file.

use super::report::{CoverageReport, FileCoverage, FunctionCoverage};
use crate::printable::printable;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Functions by name: the line, and how often they were called.
type Functions = BTreeMap<String, (u32, u64)>;

pub(super) fn write(report: &CoverageReport, writer: &mut impl Write) -> io::Result<()> {
    let mut functions: BTreeMap<&str, Functions> = BTreeMap::new();
    for function in &report.functions {
        // Without debug information a function's index takes the place of its line.
        let (path, line) = match &function.place {
            Some((path, line)) => (&**path, *line),
            None => (&*report.program, function.index + 1),
        };
        add(functions.entry(path).or_default(), function, line);
    }
    let test: String = report.program.chars().map(test_char).collect();
    let lines = |path: &str| report.files.iter().find(|file| *file.path == *path);
    let mut paths: Vec<&str> = report.files.iter().map(|file| &*file.path).collect();
    paths.extend(functions.keys().filter(|path| lines(path).is_none()));
    for path in paths {
        writeln!(writer, "TN:{test}")?;
        writeln!(writer, "SF:{}", printable(path))?;
        write_functions(functions.get(path).unwrap_or(&Functions::new()), writer)?;
        if let Some(file) = lines(path) {
            write_lines(file, writer)?;
        }
        writeln!(writer, "end_of_record")?;
    }
    Ok(())
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
