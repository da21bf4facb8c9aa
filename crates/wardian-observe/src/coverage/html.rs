//! A page for browsers: functions, and the lines of each file.
//!
//! Its script, which searches and sorts, is our own; all that comes from the guest is escaped.

use super::report::{CoverageReport, FileCoverage, FunctionCoverage, Share};
use crate::printable::{escape_html, printable};
use crate::sources::Sources;
use std::cmp::Reverse;
use std::io::{self, Write};

const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// Lines shown around those that there is code for.
const AROUND: u32 = 3;

pub(super) fn write(report: &CoverageReport, writer: &mut impl Write) -> io::Result<()> {
    let title = escape(&report.program);
    writeln!(writer, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(
        writer,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'; script-src 'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} – coverage</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>"
    )?;
    writeln!(writer, "<ul class=\"facts\">")?;
    for (what, share) in [
        ("lines", report.lines_hit()),
        ("functions", report.functions_hit()),
        ("blocks", report.blocks_hit()),
    ] {
        if share.all > 0 {
            writeln!(writer, "<li>{what} {}</li>", bar(share))?;
        }
    }
    writeln!(writer, "</ul>")?;
    writeln!(
        writer,
        "<p class=\"tools\"><input id=\"search\" type=\"search\" placeholder=\"Search files and functions\" \
         aria-label=\"Search\"> <label><input id=\"missed\" type=\"checkbox\"> only what was not executed \
         completely</label></p>"
    )?;
    write_files(report, writer)?;
    write_functions(report, writer)?;
    writeln!(writer, "<script>\n{SCRIPT}</script>\n</body>\n</html>")
}

fn write_files(report: &CoverageReport, writer: &mut impl Write) -> io::Result<()> {
    if report.files.is_empty() {
        return writeln!(
            writer,
            "<p>The module has no debug information, so there are no source lines.</p>"
        );
    }
    writeln!(writer, "<h2>Files</h2>")?;
    let mut sources = Sources::default();
    let (own, libraries): (Vec<_>, Vec<_>) = report.files.iter().partition(|f| !f.is_library());
    own.iter().try_for_each(|file| write_file(file, &mut sources, writer))?;
    if !libraries.is_empty() {
        let sum = libraries.iter().fold(Share::default(), |sum, f| sum.plus(f.lines_hit()));
        let count = libraries.len();
        writeln!(
            writer,
            "<details class=\"libraries\"><summary>{} {count} of libraries</summary>",
            bar(sum)
        )?;
        libraries.iter().try_for_each(|file| write_file(file, &mut sources, writer))?;
        writeln!(writer, "</details>")?;
    }
    Ok(())
}

fn write_file(
    file: &FileCoverage,
    sources: &mut Sources,
    writer: &mut impl Write,
) -> io::Result<()> {
    writeln!(
        writer,
        "<details class=\"file\"><summary>{} <code>{}</code></summary>",
        bar(file.lines_hit()),
        escape(&file.path)
    )?;
    let has_text = file.lines.keys().any(|line| sources.line(&file.path, *line).is_some());
    match has_text {
        true => write_lines(file, sources, writer)?,
        false => write_ranges(file, writer)?,
    }
    writeln!(writer, "</details>")
}

fn write_lines(
    file: &FileCoverage,
    sources: &mut Sources,
    writer: &mut impl Write,
) -> io::Result<()> {
    writeln!(writer, "<table class=\"lines\">")?;
    let mut shown = 0;
    for line in file.lines.keys() {
        let last = line.saturating_add(AROUND);
        for number in line.saturating_sub(AROUND).max(shown + 1)..=last {
            let count = file.lines.get(&number);
            let text = sources.line(&file.path, number);
            // Lines that there is no code for are there to be read, if they can be.
            if count.is_none() && text.is_none() {
                continue;
            }
            let class = match count {
                None => "",
                Some(0) => " class=\"missed\"",
                Some(_) => " class=\"hit\"",
            };
            let gap = if number > shown + 1 { "<tr class=\"gap\"></tr>" } else { "" };
            let count = count.map(u64::to_string).unwrap_or_default();
            let text = escape(&text.unwrap_or_default());
            writeln!(
                writer,
                "{gap}<tr{class}><td>{number}</td><td>{count}</td><td><code>{text}</code></td></tr>"
            )?;
            shown = number;
        }
    }
    writeln!(writer, "</table>")
}

/// The lines of a file that is not there: no text can be shown beside their numbers, so they are shown
/// together.
fn write_ranges(file: &FileCoverage, writer: &mut impl Write) -> io::Result<()> {
    // Lines without code between others of their kind separate nothing.
    let mut ranges: Vec<(bool, u32, u32)> = Vec::new();
    for (line, count) in &file.lines {
        match ranges.last_mut() {
            Some((hit, _, last)) if *hit == (*count > 0) => *last = *line,
            _ => ranges.push((*count > 0, *line, *line)),
        }
    }
    let show = |(_, first, last): &(bool, u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}–{last}"),
    };
    for (wanted, what, class) in [(false, "not executed", "missed"), (true, "executed", "hit")] {
        let found: Vec<String> = ranges.iter().filter(|r| r.0 == wanted).map(show).collect();
        if !found.is_empty() {
            let found = found.join(", ");
            writeln!(writer, "<p class=\"{class}\"><b>{what}</b> lines {found}</p>")?;
        }
    }
    Ok(())
}

fn write_functions(report: &CoverageReport, writer: &mut impl Write) -> io::Result<()> {
    writeln!(
        writer,
        "<h2>Functions</h2>\n<table class=\"functions\">\n<thead><tr><th>calls</th><th>blocks</th>\
         <th>bytes</th><th>function</th></tr></thead>\n<tbody>"
    )?;
    let mut functions: Vec<&FunctionCoverage> = report.functions.iter().collect();
    functions.sort_by_key(|f| (Reverse(f.calls > 0), Reverse(f.bytes.all - f.bytes.hit), f.index));
    for function in functions {
        let class = if function.calls == 0 { "missed" } else { "hit" };
        let place = match &function.place {
            Some((path, line)) => format!(" <small>{}:{line}</small>", escape(path)),
            None => String::new(),
        };
        writeln!(
            writer,
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code>{place}</td></tr>",
            function.calls,
            bar(function.blocks),
            bar(function.bytes),
            escape(&function.name)
        )?;
    }
    writeln!(writer, "</tbody>\n</table>")
}

fn bar(share: Share) -> String {
    format!(
        "<meter max=\"{}\" value=\"{}\"></meter> <b>{:.1}%</b> <small>{}/{}</small>",
        share.all.max(1),
        share.hit,
        share.percent(),
        share.hit,
        share.all
    )
}

fn escape(text: &str) -> String {
    // Tabs are part of source lines.
    let parts: Vec<String> = text.split('\t').map(printable).collect();
    escape_html(&parts.join("\t"))
}
