//! All formats in full, of profiles without chance in them: one that is made up, with samples and inlined
//! calls, and an exact one of a guest with debug information, whose times are set.

#[path = "../../../../../tests/golden/check.rs"]
mod check;

use super::Format;
use super::pprof::PprofProfile;
use super::tests::{meta, profile, report_data, written};
use crate::{Profile, ProfileKind, Profiler, ProfilerOptions};
use flate2::read::GzDecoder;
use prost::Message;
use serde_json::Value;
use std::io::Read;
use wardian::{Engine, Instance, Module, Store};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

#[test]
fn outputs_are_the_same_as_ever() {
    let mut made_up = profile(ProfileKind::Sampling, "fern::leaf<T>");
    place_files(&mut made_up);
    let mut memory = profile(ProfileKind::Memory, "fern::leaf<T>");
    place_files(&mut memory);
    for (name, profile) in [("sampling", made_up), ("memory", memory), ("exact", exact())] {
        for format in Format::ALL {
            // What these two are made of is in the others.
            if name == "memory" && matches!(format, Format::Html | Format::Svg) {
                continue;
            }
            let (text, ending) = text(&profile, format);
            check::check(FOLDER, &format!("{name}.{ending}"), &text);
        }
    }
}

/// Other tests want a file that is there, whose path is another one everywhere.
fn place_files(profile: &mut Profile) {
    let file = || Some("src/leaf.rs".into());
    profile.functions.iter_mut().filter(|f| f.file.is_some()).for_each(|f| f.file = file());
    let lines = profile.locations.iter_mut().flat_map(|location| &mut location.lines);
    lines.filter(|line| line.file.is_some()).for_each(|line| line.file = file());
}

fn exact() -> Profile {
    let engine = Engine::default();
    let guest = include_bytes!("../../../../../tests/programs/hot.wasm");
    let module = Module::new(&engine, guest).expect("it is valid");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
    let run = instance.typed_func::<i32, i32>(&mut store, "run").expect("it has this function");
    let profiler = Profiler::new(ProfilerOptions::exact());
    profiler.watch(&mut store, instance).expect("it can be watched");
    run.call(&mut store, 8).expect("it does not trap");
    let mut profile = profiler.finish();
    profile.meta = meta("hot.wasm");
    profile.meta.interval = None;
    for (stack, time) in profile.stacks.iter_mut().zip(1..) {
        stack.values[1] = 1_000_000 * time;
    }
    profile
}

/// A format as text that can be read and compared.
fn text(profile: &Profile, format: Format) -> (String, &'static str) {
    let bytes = written(profile, format);
    match format {
        Format::Pprof => {
            let mut message = Vec::new();
            GzDecoder::new(&bytes[..]).read_to_end(&mut message).expect("it is gzip");
            let profile = PprofProfile::decode(&message[..]).expect("it is a profile");
            (format!("{profile:#?}\n"), "pprof.txt")
        }
        Format::Firefox => (pretty(&String::from_utf8_lossy(&bytes)), "firefox.json"),
        Format::Html => (report(&String::from_utf8_lossy(&bytes)), "html"),
        // The script and the style are those of inferno.
        Format::Svg => {
            let text = String::from_utf8_lossy(&bytes);
            (without(&without(&text, "<script", "</script>"), "<style", "</style>"), "svg")
        }
        Format::Folded => (String::from_utf8_lossy(&bytes).into_owned(), "folded.txt"),
        Format::Table => (String::from_utf8_lossy(&bytes).into_owned(), "table.txt"),
    }
}

fn pretty(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("it is JSON");
    format!("{value:#}\n")
}

/// A report without what is files here anyway, and with its data on several lines.
fn report(page: &str) -> String {
    let page = without(&without(page, "<style>", "</style>"), "<script>", "</script>");
    let mut data = report_data(&page);
    let (begin, end) = ("id=\"data\">", "</script>");
    let (before, rest) = page.split_once(begin).expect("it has data");
    let (_, after) = rest.split_once("id=\"packed\">").expect("more is compressed");
    let (_, after) = after.split_once(end).expect("it ends");
    for download in data["downloads"].as_array_mut().expect("it has some") {
        let href = download["href"].as_str().unwrap_or_default();
        let kind = href.split(',').next().unwrap_or_default().to_owned();
        // How well it is compressed is up to the library.
        (download["href"], download["bytes"]) = (Value::from(kind), Value::Null);
        if download["packed"].is_string() {
            download["packed"] = Value::from("…");
        }
    }
    format!("{before}{begin}\n{data:#}\n{end}{after}")
}

/// The text without what is between these.
fn without(text: &str, begin: &str, end: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        let (_, after) = after.split_once(end).expect("what begins ends");
        left += &format!("{before}{begin}…{end}");
        rest = after;
    }
    left + rest
}
