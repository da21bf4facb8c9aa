//! All ratios in short, and those in which Wardian is behind.

use crate::drivers::{NATIVE, V8, WAMR, WASM3};
use crate::engines::{POOLING, WASMI, WASMTIME, WASMTIME_COPYING};
use crate::measure::{Row, geometric_mean};
use crate::report::{Group, engines, pairs};
use std::fmt::Write as _;

/// Other engines; the rest of the columns is Wardian in other ways.
const OTHERS: [&str; 11] = [
    WASMTIME,
    WASMTIME_COPYING,
    POOLING,
    WASMI,
    V8,
    NATIVE,
    WASM3,
    WAMR,
    // By their commands only.
    "wasmi lazy",
    "wazero",
    "wazero interp",
];

/// Ratios of one table to one engine.
struct Compared<'a> {
    title: String,
    one: &'static str,
    other: &'static str,
    /// By ratio, the best first.
    rows: Vec<(&'a Row, f64)>,
}

fn compared(groups: &[Group]) -> Vec<Compared<'_>> {
    let mut all = Vec::new();
    for group in groups {
        for (part, rows) in group.parts() {
            let title = match part {
                "" => group.name.to_owned(),
                part => format!("{}, {part}", group.name),
            };
            for (one, other) in pairs(&engines(&rows)) {
                // Of rates more is better; the times beside them say the same. Reserved address space costs
                // nothing.
                let mut ratios: Vec<(&Row, f64)> = rows
                    .iter()
                    .filter(|r| !r.name.contains("MB/s") && !r.name.starts_with("virtual"))
                    .filter_map(|r| Some((*r, r.between(one, other)?)))
                    .collect();
                ratios.sort_by(|a, b| a.1.total_cmp(&b.1));
                if !ratios.is_empty() && OTHERS.contains(&other) {
                    all.push(Compared { title: title.clone(), one, other, rows: ratios });
                }
            }
        }
    }
    all
}

/// A line for each table and engine.
pub(crate) fn all(groups: &[Group]) -> String {
    let mut out = String::from(
        "## In short\n\nRatios, below 1 if Wardian needs less. A mean over rows of several kinds says little: \
         the least and the greatest are beside it.\n\n\
         | group | of | to | rows | geometric mean | least | greatest |\n|---|---|---|---:|---:|---:|---:|\n",
    );
    for Compared { title, one, other, rows } in compared(groups) {
        let mean = geometric_mean(rows.iter().map(|r| r.1)).unwrap_or_default();
        let (least, greatest) = (rows[0].1, rows[rows.len() - 1].1);
        let count = rows.len();
        let _ = writeln!(
            out,
            "| {title} | {one} | {other} | {count} | {mean:.2} | {least:.2} | {greatest:.2} |"
        );
    }
    out.push('\n');
    out
}

/// So many rows are named of each table.
const NAMED: usize = 5;

/// Where another engine is ahead by more than the spread.
pub(crate) fn behind(groups: &[Group]) -> String {
    let mut out = String::from(
        "## Where Wardian is behind\n\nRows in which the ratio is above 1 by more than its spread (in three of \
         four rounds at least), the worst first.\n\n",
    );
    let mut any = false;
    for Compared { title, one, other, rows } in compared(groups) {
        let worse: Vec<&(&Row, f64)> = rows
            .iter()
            .rev()
            .filter(|(row, ratio)| *ratio > 1.0 && surely(row, one, other))
            .collect();
        if worse.is_empty() {
            continue;
        }
        any = true;
        let named: Vec<String> = worse
            .iter()
            .take(NAMED)
            .map(|(row, ratio)| format!("{} {ratio:.2}", super::tables::name(row)))
            .collect();
        let more = if worse.len() > NAMED { ", …" } else { "" };
        let _ = writeln!(
            out,
            "- {title}, {one} / {other}, {} of {} rows: {}{more}",
            worse.len(),
            rows.len(),
            named.join(", ")
        );
    }
    if !any {
        out.push_str("None.\n");
    }
    out.push('\n');
    out
}

/// Where there were too few rounds to tell, the ratio counts.
fn surely(row: &Row, one: &str, other: &str) -> bool {
    row.spread(one, other).is_none_or(|(low, _)| low > 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::WARDIAN;
    use crate::measure::Figure;

    fn row(name: &str, ours: [f64; 3], theirs: [f64; 3]) -> Row {
        let figures = vec![Figure::of(WARDIAN, ours.into()), Figure::of(WASMTIME, theirs.into())];
        Row::new(name, figures)
    }

    /// What is behind is said, what only may be is not, and rates are not taken for times.
    #[test]
    fn what_is_behind() {
        let rows = vec![
            row("ahead", [1.0; 3], [2.0; 3]),
            row("behind", [3.0; 3], [2.0; 3]),
            row("unsure", [1.0, 2.1, 3.0], [2.0, 1.9, 2.5]),
            row("rate, MB/s", [9.0; 3], [1.0; 3]),
        ];
        let groups = [Group { name: "cpu", rows, targets: &[] }];
        let text = behind(&groups);
        assert!(text.contains("- cpu, wardian / wasmtime, 1 of 3 rows: behind 1.50\n"), "{text}");
        assert!(all(&groups).contains("| cpu | wardian | wasmtime | 3 |"), "{}", all(&groups));
    }
}
