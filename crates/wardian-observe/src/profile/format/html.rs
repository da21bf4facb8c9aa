//! A report in one file, for browsers.
//!
//! The page is `report.html` with its style and script put in, and the profile as JSON, from which the
//! script draws everything. Names come from guests: in the JSON nothing can end the element that it is
//! in, and the script only ever sets text.
//!
//! What is large is compressed, and unpacked by the browser. A report has at most three times the bytes of the pprof file and
//! 200 KiB: other formats are part of it as far as they fit.

use super::{Format, describe};
use crate::printable::escape_html;
use crate::profile::tree::CallTree;
use crate::sources::Sources;
use crate::{FunctionKind, Profile};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
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
/// Bytes of another format before it is compressed, so that no time is lost with what does not fit.
const MAX_DOWNLOAD: usize = 64 << 20;
/// Bytes of a report beside three times those of the pprof file, and of what is around the data.
const BESIDE: usize = 200 << 10;
const PAGE_SIZE: usize = PAGE.len() + STYLE.len() + SCRIPT.len();

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let title = escape_html(&format!("{} – profile", profile.meta().program));
    // `<` only occurs in strings, where it may be written so.
    let packed = json!({
        "functions": functions(profile),
        "tree": tree(profile),
        "lines": lines(profile, value),
    });
    let packed = BASE64_STANDARD.encode(compressed(packed.to_string().as_bytes())?);
    let mut pprof = Vec::new();
    profile.write_value(Format::Pprof, value, &mut pprof)?;
    let room = (3 * pprof.len() + BESIDE).saturating_sub(PAGE_SIZE + packed.len());
    let mut data = data(profile, value);
    data["downloads"] = downloads(profile, value, &pprof, room)?.into();
    let data = data.to_string().replace('<', "\\u003c");
    let mut rest = PAGE;
    for (mark, text) in [
        ("{{title}}", &*title),
        ("{{style}}", STYLE),
        ("{{data}}", &data),
        ("{{packed}}", &packed),
        ("{{script}}", SCRIPT),
    ] {
        let (before, after) = rest.split_once(mark).expect("the page has all marks in this order");
        writer.write_all(before.as_bytes())?;
        writer.write_all(text.as_bytes())?;
        rest = after;
    }
    writer.write_all(rest.as_bytes())
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// What the page shows above everything else.
fn data(profile: &Profile, value: usize) -> Value {
    let meta = profile.meta();
    let start = meta.start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let types = profile.value_types();
    let types: Vec<Value> =
        types.iter().map(|t| json!({ "name": t.name, "unit": t.unit.name() })).collect();
    json!({
        "program": meta.program,
        "kind": profile.kind().to_string(),
        "engine": meta.engine,
        "start": start.as_millis() as u64,
        "seconds": meta.duration.as_secs_f64(),
        "counts": describe(profile),
        "notes": meta.notes,
        "types": types,
        "main": value,
    })
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

/// The other formats: what is small enough for the room that is left is part of the report, and the page makes folded stacks
/// by itself.
fn downloads(
    profile: &Profile,
    value: usize,
    pprof: &[u8],
    mut room: usize,
) -> io::Result<Vec<Value>> {
    let stem: String = profile.meta().program.chars().map(file_char).take(80).collect();
    let name = |format: Format| format!("{stem}.{}", format.extension());
    // Facts and names of the page, and of the downloads.
    room = room.saturating_sub(4096);
    let mut fitting = |bytes: &[u8]| {
        let text = Some(BASE64_STANDARD.encode(bytes)).filter(|text| text.len() <= room);
        room -= text.as_ref().map_or(0, String::len);
        text
    };
    let otherwise =
        |format: Format| format!("wardian profile -o FILE.{} writes it", format.extension());
    let href =
        |text: Option<String>| text.map(|text| format!("data:application/gzip;base64,{text}"));
    let mut downloads = vec![
        json!({
            "name": name(Format::Pprof),
            "what": "pprof: go tool pprof, Speedscope, Grafana",
            "bytes": pprof.len(),
            "href": href(fitting(pprof)),
            "otherwise": otherwise(Format::Pprof),
        }),
        json!({
            "name": name(Format::Folded),
            "what": "Folded stacks: flamegraph.pl, Speedscope",
            "bytes": null,
            "made": true,
        }),
    ];
    let packed = bounded(profile, value, Format::Firefox)?.map(|b| compressed(&b)).transpose()?;
    downloads.push(json!({
        "name": format!("{}.gz", name(Format::Firefox)),
        "what": "Firefox Profiler: profiler.firefox.com",
        "bytes": packed.as_ref().map(Vec::len),
        "href": href(packed.and_then(|packed| fitting(&packed))),
        "otherwise": otherwise(Format::Firefox),
    }));
    let picture = bounded(profile, value, Format::Svg)?;
    let packed = picture.as_ref().map(|bytes| compressed(bytes)).transpose()?;
    downloads.push(json!({
        "name": name(Format::Svg),
        "what": "Flame graph",
        "mime": "image/svg+xml",
        "bytes": picture.map(|bytes| bytes.len()),
        "packed": packed.and_then(|packed| fitting(&packed)),
        "otherwise": otherwise(Format::Svg),
    }));
    Ok(downloads)
}

/// A profile in another format, unless it is far too large for a report.
fn bounded(profile: &Profile, value: usize, format: Format) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Bounded::default();
    let written = profile.write_value(format, value, &mut bytes);
    if bytes.is_full {
        return Ok(None);
    }
    written.map(|()| Some(bytes.bytes))
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
