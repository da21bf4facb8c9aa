//! A report in one file, for browsers.
//!
//! The page is `report.html` with its style and script put in, and the profile as JSON, from which the
//! script draws everything. Names come from guests: in the JSON nothing can end the element that it is
//! in, and the script only ever sets text.

use super::{Format, describe};
use crate::printable::escape_html;
use crate::profile::tree::CallTree;
use crate::sources::Sources;
use crate::{FunctionKind, Profile};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

const PAGE: &str = include_str!("html/report.html");
const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// Lines that are shown.
const MAX_LINES: usize = 300;
/// Lines of text shown before and after each of them.
const AROUND: u32 = 4;
/// Bytes of another format that the report still carries.
const MAX_DOWNLOAD: usize = 24 << 20;

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let title = escape_html(&format!("{} – profile", profile.meta().program));
    // `<` only occurs in strings, where it may be written so.
    let data = data(profile, value)?.to_string().replace('<', "\\u003c");
    let mut rest = PAGE;
    for (mark, text) in
        [("{{title}}", &*title), ("{{style}}", STYLE), ("{{data}}", &data), ("{{script}}", SCRIPT)]
    {
        let (before, after) = rest.split_once(mark).expect("the page has all marks in this order");
        writer.write_all(before.as_bytes())?;
        writer.write_all(text.as_bytes())?;
        rest = after;
    }
    writer.write_all(rest.as_bytes())
}

fn data(profile: &Profile, value: usize) -> io::Result<Value> {
    let meta = profile.meta();
    let start = meta.start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let types = profile.value_types();
    let types: Vec<Value> =
        types.iter().map(|t| json!({ "name": t.name, "unit": t.unit.name() })).collect();
    Ok(json!({
        "program": meta.program,
        "kind": profile.kind().to_string(),
        "engine": meta.engine,
        "start": start.as_millis() as u64,
        "seconds": meta.duration.as_secs_f64(),
        "counts": describe(profile),
        "notes": meta.notes,
        "types": types,
        "main": value,
        "functions": functions(profile),
        "tree": tree(profile),
        "lines": lines(profile, value),
        "downloads": downloads(profile, value)?,
    }))
}

fn functions(profile: &Profile) -> Vec<Value> {
    let modules: Vec<&str> = profile.modules().collect();
    let function = |f: &crate::Function| {
        let kind = match f.kind {
            FunctionKind::Guest => "guest",
            FunctionKind::Host => "host",
            FunctionKind::Other => "other",
        };
        json!({
            "name": f.name,
            "raw": f.system_name,
            "file": f.file.as_deref(),
            "line": f.line,
            "module": f.module.map(|m| modules[m]),
            "kind": kind,
        })
    };
    profile.functions().iter().map(function).collect()
}

/// The call tree by columns: parents (-1 for none), functions, and for each quantity the own values.
fn tree(profile: &Profile) -> Value {
    let tree = CallTree::new(profile);
    let parents: Vec<i64> = tree.nodes.iter().map(|n| n.parent.map_or(-1, |p| p as i64)).collect();
    let functions: Vec<usize> = tree.nodes.iter().map(|n| n.function).collect();
    let of = |value| tree.nodes.iter().map(|n| n.own[value]).collect::<Vec<u64>>();
    let own: Vec<_> = (0..profile.value_types().len()).map(of).collect();
    json!({ "parents": parents, "functions": functions, "own": own })
}

fn lines(profile: &Profile, value: usize) -> Vec<Value> {
    let mut lines = profile.summary().lines;
    lines.sort_by(|a, b| {
        b.own[value].cmp(&a.own[value]).then_with(|| (&a.file, a.line).cmp(&(&b.file, b.line)))
    });
    lines.truncate(MAX_LINES);
    let mut sources = Sources::default();
    let line = |line: crate::LineSummary| {
        let text = sources.line(&line.file, line.line);
        // Files may have become shorter since the program was compiled: what is there is shown.
        let first = line.line.saturating_sub(AROUND).max(1);
        let around =
            (first..=line.line.saturating_add(AROUND)).map(|n| sources.line(&line.file, n));
        let around: Vec<String> = around.map_while(|text| text).collect();
        json!({
            "file": &*line.file,
            "line": line.line,
            "function": line.function,
            "own": line.own,
            "first": first,
            "text": text,
            "around": if text.is_some() { around } else { Vec::new() },
        })
    };
    lines.into_iter().map(line).collect()
}

fn downloads(profile: &Profile, value: usize) -> io::Result<Vec<Value>> {
    let stem: String = profile.meta().program.chars().map(file_char).take(80).collect();
    let mut downloads = Vec::new();
    for (format, mime, what) in [
        (Format::Pprof, "application/gzip", "pprof: go tool pprof, Speedscope, Grafana"),
        (Format::Firefox, "application/json", "Firefox Profiler: profiler.firefox.com"),
        (Format::Folded, "text/plain;charset=utf-8", "Folded stacks: flamegraph.pl, Speedscope"),
        (Format::Svg, "image/svg+xml", "Flame graph"),
    ] {
        let mut bytes = Bounded::default();
        let written = profile.write_value(format, value, &mut bytes);
        if !bytes.is_full {
            written?;
        }
        let name = format!("{stem}.{}", format.extension());
        let size = (!bytes.is_full).then_some(bytes.bytes.len());
        let href =
            size.map(|_| format!("data:{mime};base64,{}", BASE64_STANDARD.encode(&bytes.bytes)));
        downloads.push(json!({ "name": name, "what": what, "bytes": size, "href": href }));
    }
    Ok(downloads)
}

/// Bytes of a download. Fails once they are more than a report carries, so that no time is lost with the
/// rest.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.is_full || self.bytes.len() + more.len() > MAX_DOWNLOAD {
            self.is_full = true;
            self.bytes = Vec::new();
            return Err(io::Error::other("too large for a report"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn file_char(c: char) -> char {
    if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }
}
