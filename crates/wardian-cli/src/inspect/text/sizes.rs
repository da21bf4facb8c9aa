//! What a file consists of, as tables.

use super::super::sizes::{Part, Sizes};
use std::fmt::Write;
use wardian_observe::{printable, shorten};

/// More parts than these are summed up.
const PARTS: usize = 50;

pub(super) fn render(out: &mut String, sizes: &Sizes) -> std::fmt::Result {
    let file = sum(&sizes.sections);
    parts(out, "the file by section", &sizes.sections, file)?;
    parts(out, "functions by size", &sizes.functions, file)?;
    retained(out, &sizes.functions, file)?;
    parts(out, "source files by size", &sizes.files, file)?;
    parts(out, "data by size", &sizes.data, file)
}

/// A name in a line.
fn shown(name: &str) -> String {
    shorten(&printable(name), 160)
}

fn sum(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.bytes).sum()
}

fn percent(bytes: usize, file: usize) -> f64 {
    bytes as f64 * 100.0 / file.max(1) as f64
}

/// A table whose percentages are of the whole file.
fn parts(out: &mut String, title: &str, parts: &[Part], file: usize) -> std::fmt::Result {
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}\n  {:>10} {:>7} {:>7}", "bytes", "%", "sum %")?;
    let mut row = |bytes: usize, sum: usize, name: &str| {
        let (own, sum) = (percent(bytes, file), percent(sum, file));
        writeln!(out, "  {bytes:>10} {own:>6.1}% {sum:>6.1}%  {name}")
    };
    let (all, mut above) = (sum(parts), 0);
    for Part { name, bytes, .. } in parts.iter().take(PARTS) {
        above += bytes;
        row(*bytes, above, &shown(name))?;
    }
    if parts.len() > PARTS {
        row(all - above, all, &format!("... and {} more", parts.len() - PARTS))?;
    }
    row(all, all, "all of them")
}

/// The functions for whose sake most of the code is there.
fn retained(out: &mut String, functions: &[Part], file: usize) -> std::fmt::Result {
    const SHOWN: usize = 20;
    let mut all: Vec<(usize, &str)> =
        functions.iter().map(|f| (f.retained.unwrap_or_default(), f.name.as_str())).collect();
    all.sort_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nfunctions with all that is only called for them\n  {:>10} {:>7}",
        "bytes", "%"
    )?;
    for (bytes, name) in all.iter().take(SHOWN) {
        writeln!(out, "  {bytes:>10} {:>6.1}%  {}", percent(*bytes, file), shown(name))?;
    }
    let unused: Vec<&Part> = functions.iter().filter(|f| f.retained == Some(0)).collect();
    let bytes: usize = unused.iter().map(|f| f.bytes).sum();
    if bytes > 0 {
        let (share, count) = (percent(bytes, file), unused.len());
        writeln!(out, "  {bytes:>10} {share:>6.1}%  in {count} functions that nothing calls")?;
    }
    Ok(())
}
