//! A summary for terminals.

use super::report::{CoverageReport, Share};
use crate::printable::{printable, shorten};
use std::cmp::Reverse;
use std::fmt::Write;

/// A row: what was executed of it, and its name.
type Row<'a> = (Share, u64, &'a str);

pub(super) fn table(report: &CoverageReport, top: usize, width: usize) -> String {
    let mut text = format!("coverage of {}: ", printable(&report.program));
    let mut parts = vec![part(report.functions_hit(), "functions")];
    parts.push(part(report.blocks_hit(), "blocks"));
    if !report.files.is_empty() {
        parts.push(part(report.lines_hit(), "lines"));
    }
    let branches = report.branches_hit();
    parts.extend((branches.all > 0).then(|| part(branches, "outcomes of branches")));
    text.push_str(&parts.join(", "));
    text.push('\n');
    let (head, mut rows): (_, Vec<Row<'_>>) = match report.files.is_empty() {
        false => {
            // Whoever asks wants to know of files that they wrote.
            let own = report.files.iter().filter(|f| !f.is_library());
            let rows: Vec<Row<'_>> = own.map(|f| (f.lines_hit(), 0, &*f.path)).collect();
            (("lines", "file"), rows)
        }
        true => {
            let rows = report.functions.iter().map(|f| (f.blocks, f.calls, &*f.name));
            (("blocks", "function"), rows.collect())
        }
    };
    rows.sort_by_key(|(share, calls, name)| (Reverse(share.all - share.hit), *calls, *name));
    let _ = writeln!(text, "{:>13} {:>7}  {}", head.0, "%", head.1);
    for (share, _, name) in rows.iter().take(top) {
        let part = format!("{}/{}", share.hit, share.all);
        let name = shorten(&printable(name), width.max(40) - 23);
        let _ = writeln!(text, "{part:>13} {:>6.1}%  {name}", share.percent());
    }
    if rows.len() > top {
        let _ = writeln!(text, "... and {} more", rows.len() - top);
    }
    let libraries = report.files.iter().filter(|f| f.is_library());
    let (count, sum) = libraries
        .fold((0, Share::default()), |(count, sum), file| (count + 1, sum.plus(file.lines_hit())));
    if count > 0 {
        let (s, part) = (if count == 1 { "" } else { "s" }, format!("{}/{}", sum.hit, sum.all));
        let _ = writeln!(text, "{part:>13} {:>6.1}%  {count} file{s} of libraries", sum.percent());
    }
    text
}

fn part(share: Share, what: &str) -> String {
    format!("{} of {} {what} ({:.1}%)", share.hit, share.all, share.percent())
}
