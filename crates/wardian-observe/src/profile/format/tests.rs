//! All formats read back, whatever names guests choose.

use super::pprof::PprofProfile;
use super::{Format, UnknownFormat};
use crate::profile::kind::{MAX_VALUES, ProfileKind};
use crate::profile::model::{
    Function, FunctionKind, Line, Location, Meta, Profile, Stack, TimelineSample,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use prost::Message;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Would do something if it were taken for more than a name.
const HOSTILE: &str = "</script><script>alert(1)</script>\"&;\u{0}\u{1b}[2J {{data}}";

/// `main` calls a function with inlined one, which calls a host function.
pub(super) fn profile(kind: ProfileKind, name: &str) -> Profile {
    let file: Option<Arc<str>> = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs").into());
    let function = |name: &str, kind| Function {
        name: name.to_owned(),
        system_name: format!("raw {name}"),
        module: (kind == FunctionKind::Guest).then_some(0),
        file: file.clone().filter(|_| kind == FunctionKind::Guest),
        line: Some(3),
        kind,
    };
    let line = |function, line| Line { function, file: file.clone(), line: Some(line) };
    let lines = |lines: Vec<Line>| Location { module: Some(0), offset: Some(77), lines };
    let host = Line { function: 3, file: None, line: None };
    let stack = |parent, location, first: u64| {
        let values: [u64; MAX_VALUES] = [first, first * 1000, first, 0, 0];
        Stack { parent, location, values }
    };
    let sample = |ms, stack| TimelineSample {
        time: Duration::from_millis(ms),
        wall: Duration::from_millis(1),
        cpu: Duration::from_micros(ms),
        stack,
        store: (ms % 2) as u32,
    };
    Profile {
        kind,
        meta: meta(name),
        modules: vec![name.into()],
        functions: vec![
            function("main", FunctionKind::Guest),
            function(name, FunctionKind::Guest),
            function("inlined", FunctionKind::Guest),
            function("[host] wasi:fd_read", FunctionKind::Host),
        ],
        locations: vec![
            lines(vec![line(0, 4)]),
            lines(vec![line(2, 1), line(1, 2)]),
            Location { module: None, offset: None, lines: vec![host] },
        ],
        stacks: vec![stack(None, 0, 1), stack(Some(0), 1, 5), stack(Some(1), 2, 2)],
        timeline: match kind {
            ProfileKind::Sampling => vec![sample(1, Some(1)), sample(2, None), sample(3, Some(2))],
            _ => Vec::new(),
        },
    }
}

pub(super) fn meta(name: &str) -> Meta {
    Meta {
        program: name.to_owned(),
        engine: "tiered".into(),
        start: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        duration: Duration::from_secs(2),
        interval: Some(Duration::from_millis(1)),
        samples: 8,
        dropped: 3,
        missed: 4,
        truncated: 5,
        overflow: 6,
        notes: vec![format!("A note about {name}.")],
    }
}

pub(super) fn written(profile: &Profile, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    profile.write(format, &mut bytes).expect("memory takes all");
    bytes
}

fn text(profile: &Profile, format: Format) -> String {
    String::from_utf8(written(profile, format)).expect("it is text")
}

const KINDS: [ProfileKind; 3] = [ProfileKind::Sampling, ProfileKind::Exact, ProfileKind::Memory];

#[test]
fn pprof_reads_back() {
    for kind in KINDS {
        let profile = profile(kind, HOSTILE);
        let mut bytes = Vec::new();
        let compressed = written(&profile, Format::Pprof);
        GzDecoder::new(&compressed[..]).read_to_end(&mut bytes).expect("it is gzip");
        let read = PprofProfile::decode(&bytes[..]).expect("it is a profile");
        let string = |index: i64| read.string_table[index as usize].as_str();
        let types: Vec<_> = read.sample_type.iter().map(|t| string(t.r#type)).collect();
        let expected: Vec<_> = kind.value_types().iter().map(|t| t.name).collect();
        assert_eq!(types, expected);
        assert_eq!(string(0), "");
        assert_eq!(string(read.sample_type[1].unit), kind.value_types()[1].unit.name());
        assert_eq!(read.sample.len(), 3);
        assert_eq!(read.sample[2].location_id, [3, 2, 1], "the innermost first");
        assert_eq!(read.sample[1].value[..2], [5, 5000]);
        assert_eq!(read.sample[1].value.len(), types.len());
        let inlined: Vec<_> =
            read.location[1].line.iter().map(|l| (l.function_id, l.line)).collect();
        assert_eq!(inlined, [(3, 1), (2, 2)]);
        let mapping = &read.mapping[0];
        assert_eq!(read.location[1].address, mapping.memory_start + 77);
        assert_eq!(string(mapping.filename), HOSTILE);
        assert_eq!((read.location[1].mapping_id, read.location[2].mapping_id), (1, 0));
        assert_eq!(string(read.function[1].name), HOSTILE);
        assert_eq!(string(read.function[0].system_name), "raw main");
        assert_eq!((read.duration_nanos, read.period), (2_000_000_000, 1_000_000));
        assert!(read.comment.iter().any(|c| string(*c).contains("3 dropped, 4 missed")));
    }
}

/// A column of one of the tables that threads share.
fn column<'a>(json: &'a Value, table: &str, name: &str) -> &'a Value {
    let column = &json["shared"][table][name];
    let length = column.as_array().map(|column| column.len() as u64);
    assert_eq!(length, json["shared"][table]["length"].as_u64(), "{table}.{name}");
    column
}

#[test]
fn firefox_reads_back() {
    let profile = profile(ProfileKind::Sampling, HOSTILE);
    let json: Value = serde_json::from_str(&text(&profile, Format::Firefox)).expect("it is JSON");
    let threads = json["threads"].as_array().expect("threads");
    assert_eq!(threads.len(), 2, "one for each store");
    assert_eq!(threads[1]["samples"]["time"], json!([1.0, 3.0]));
    assert_eq!(threads[1]["samples"]["stack"], json!([2, 3]));
    assert_eq!(threads[0]["samples"]["stack"], json!([null]));
    assert_eq!(json["shared"]["stringArray"][0], HOSTILE, "a module of this name comes first");
    assert_eq!(column(&json, "funcTable", "name"), &json!([1, 0, 3, 4]));
    // `main`, what it calls with what is inlined there, and the host.
    assert_eq!(column(&json, "stackTable", "prefix"), &json!([null, 0, 1, 2]));
    assert_eq!(column(&json, "stackTable", "frame"), &json!([0, 1, 2, 3]));
    assert_eq!(column(&json, "frameTable", "func"), &json!([0, 1, 2, 3]));
    assert_eq!(column(&json, "frameTable", "inlineDepth"), &json!([0, 0, 1, 0]));
    assert_eq!(column(&json, "frameTable", "line"), &json!([4, 2, 1, null]));
    assert_eq!(column(&json, "frameTable", "address"), &json!([77, 77, 77, -1]));
    assert_eq!(column(&json, "frameTable", "category"), &json!([1, 1, 1, 2]));
    assert_eq!(column(&json, "funcTable", "resource"), &json!([0, 0, 0, -1]));
    assert_eq!(column(&json, "funcTable", "source"), &json!([0, 0, 0, null]));
    assert_eq!(column(&json, "funcTable", "lineNumber"), &json!([3, 3, 3, null]));
}

#[test]
fn firefox_weighs_samples_that_stand_for_different_times() {
    let mut profile = profile(ProfileKind::Sampling, "x");
    let json: Value = serde_json::from_str(&text(&profile, Format::Firefox)).expect("it is JSON");
    assert_eq!(json["threads"][0]["samples"]["weight"], Value::Null);
    profile.timeline[0].wall = Duration::from_micros(100);
    let json: Value = serde_json::from_str(&text(&profile, Format::Firefox)).expect("it is JSON");
    let samples = json["threads"].as_array().expect("threads").iter().map(|t| &t["samples"]);
    let mut weights: Vec<&Value> =
        samples.clone().flat_map(|s| s["weight"].as_array().expect("weights")).collect();
    weights.sort_by(|a, b| a.as_f64().partial_cmp(&b.as_f64()).expect("numbers"));
    assert_eq!(weights, [&json!(0.1), &json!(1.0), &json!(1.0)]);
    assert!(samples.clone().all(|samples| samples["weightType"] == "tracing-ms"));
}

#[test]
fn firefox_shows_weights_without_times() {
    let of = |kind, value| -> Value {
        let mut bytes = Vec::new();
        let profile = profile(kind, "x");
        profile.write_value(Format::Firefox, value, &mut bytes).expect("memory takes all");
        serde_json::from_slice(&bytes).expect("it is JSON")
    };
    for (kind, value, unit, weights, times) in [
        (ProfileKind::Exact, 0, "samples", [1.0, 5.0, 2.0, 0.0], [0.0, 1.0, 6.0, 8.0]),
        (
            ProfileKind::Exact,
            1,
            "tracing-ms",
            [0.001, 0.005, 0.002, 0.0],
            [0.0, 0.001, 0.006, 0.008],
        ),
        (ProfileKind::Memory, 1, "bytes", [1e3, 5e3, 2e3, 0.0], [0.0, 1e3, 6e3, 8e3]),
    ] {
        let json = of(kind, value);
        let samples = &json["threads"][0]["samples"];
        assert_eq!(samples["weightType"], unit);
        assert_eq!(samples["weight"], json!(weights), "{unit}");
        assert_eq!(samples["time"], json!(times), "{unit}");
        assert_eq!(samples["stack"], json!([0, 2, 3, null]), "{unit}");
    }
    let names = |json: Value| {
        let threads = json["threads"].as_array().expect("threads").clone();
        threads
            .iter()
            .map(|t| t["name"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    // Beside the one that is asked for those of the same unit, of which something was measured.
    assert_eq!(names(of(ProfileKind::Memory, 0)), ["alloc_objects", "inuse_objects"]);
    assert_eq!(names(of(ProfileKind::Memory, 4)), ["grown_space", "alloc_space"]);
}

#[test]
fn folded_stacks_have_a_line_each() {
    let text = text(&profile(ProfileKind::Sampling, HOSTILE), Format::Folded);
    let name = "</script><script>alert(1)</script>\"&:  [2J {{data}}";
    let expected = [
        "main 1000".to_owned(),
        format!("main;{name};inlined 5000"),
        format!("main;{name};inlined;[host] wasi:fd_read 2000"),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn flame_graphs_are_escaped() {
    for kind in KINDS {
        let text = text(&profile(kind, HOSTILE), Format::Svg);
        assert!(text.contains("<svg") && text.trim_end().ends_with("</svg>"));
        assert!(!text.contains("<script>alert") && text.contains("&lt;script&gt;alert"));
        assert!(text.contains("3 dropped"), "what is missing is said");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{0}'), "XML cannot hold them");
    }
    let mut empty = profile(ProfileKind::Exact, "x");
    empty.stacks.clear();
    assert!(self::text(&empty, Format::Svg).contains("no calls were recorded"));
}

#[test]
fn reports_hold_everything_and_no_more_code_than_their_own() {
    let scripts =
        text(&profile(ProfileKind::Sampling, "plain"), Format::Html).matches("<script").count();
    for kind in KINDS {
        let text = text(&profile(kind, HOSTILE), Format::Html);
        assert_eq!(text.matches("<script").count(), scripts, "names make no elements");
        assert!(!text.contains("alert(1)</script>"));
        // Nothing is fetched: no address but names of XML's.
        for place in ["src=", "<link", "@import", "url(", "fetch(", "XMLHttp"] {
            assert!(!text.contains(place), "{place}");
        }
        let data = report_data(&text);
        assert_eq!(data["program"], HOSTILE);
        assert_eq!(data["functions"][1]["name"], HOSTILE);
        assert_eq!(data["tree"]["parents"], json!([-1, 0, 1, 2]));
        assert_eq!(data["tree"]["own"][1], json!([1000, 0, 5000, 2000]));
        let first = &data["lines"][0];
        assert_eq!((&first["line"], &first["own"][0]), (&Value::from(1), &Value::from(5)));
        let source = first["text"].as_str().expect("the file is there");
        assert!(source.starts_with("//! Observers"), "{source}");
        let downloads = data["downloads"].as_array().expect("downloads");
        let is_there =
            |d: &Value| d["href"].is_string() || d["packed"].is_string() || d["made"] == true;
        assert!(downloads.len() == 4 && downloads.iter().all(is_there));
    }
}

#[test]
fn deep_stacks_do_not_swell_reports_and_graphs() {
    let mut deep = profile(ProfileKind::Exact, &"long".repeat(25));
    // Each of these has a line, which is as long as the stack is deep: 200 MB in all.
    let stack = |parent: usize| Stack {
        parent: parent.checked_sub(1),
        location: 1,
        values: [1; MAX_VALUES],
    };
    deep.stacks = (0..2000).map(stack).collect();
    let graph = text(&deep, Format::Svg);
    assert!(graph.len() < 16 << 20 && graph.trim_end().ends_with("</svg>"), "{}", graph.len());
    let report = text(&deep, Format::Html);
    assert_eq!(report_data(&report)["tree"]["parents"].as_array().map(Vec::len), Some(4000));
    let folded = text(&deep, Format::Folded);
    assert!(folded.len() < 80 << 20 && folded.lines().count() > 100, "{}", folded.len());
    // All that was measured is in it.
    let sum: u64 =
        folded.lines().map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 2000);
}

#[test]
fn reports_are_at_most_three_times_as_large_as_what_they_show() {
    let mut large = profile(ProfileKind::Sampling, "large");
    // A tree as a program makes it that calls many functions in many ways.
    let name = |n: usize| format!("crate::module_{}::Type{}::method_{n}", n % 17, n % 131);
    let function = |n: usize| Function { name: name(n), ..large.functions[0].clone() };
    large.functions = (0..3000).map(function).collect();
    let file: Option<Arc<str>> = Some("src/lib.rs".into());
    let line = |n: usize| Line { function: n, file: file.clone(), line: Some(n as u32 % 900 + 1) };
    let location =
        |n| Location { module: Some(0), offset: Some(n as u32 * 37), lines: vec![line(n)] };
    large.locations = (0..3000).map(location).collect();
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below
    };
    large.stacks = Vec::new();
    for at in 0..20_000usize {
        let parent = at.checked_sub(1).map(|last| last - next(last.min(9) + 1));
        let count = next(7) as u64;
        let values = [count, count * 1_000_000, count * 900_000 + next(90_000) as u64, 0, 0];
        large.stacks.push(Stack { parent, location: next(3000), values });
    }
    let sample = |n: usize| TimelineSample {
        time: Duration::from_micros(1000 * n as u64 + next(300) as u64),
        wall: Duration::from_millis(1),
        cpu: Duration::from_micros(900 + next(90) as u64),
        stack: Some(next(20_000)),
        store: 0,
    };
    large.timeline = (0..60_000).map(sample).collect();
    for profile in [&large, &profile(ProfileKind::Sampling, "small")] {
        let (pprof, report) = (written(profile, Format::Pprof).len(), text(profile, Format::Html));
        assert!(report.len() <= 3 * pprof + (200 << 10), "{} for {pprof}", report.len());
        assert!(report_data(&report)["downloads"][0]["href"].is_string());
    }
}

/// What the page reads: as it is, and compressed.
pub(super) fn report_data(page: &str) -> Value {
    let part = |id: &str| {
        let (_, rest) = page.split_once(&format!("id=\"{id}\">")).expect("it is there");
        rest.split_once("</script>").expect("it ends").0
    };
    let mut data: Value = serde_json::from_str(part("data")).expect("it is JSON");
    let packed = BASE64_STANDARD.decode(part("packed")).expect("it is base64");
    let packed: Value =
        serde_json::from_reader(GzDecoder::new(&packed[..])).expect("it is compressed JSON");
    data.as_object_mut().expect("it is one").extend(packed.as_object().expect("as well").clone());
    data
}

#[test]
fn tables_fit_and_say_what_is_missing() {
    let profile = profile(ProfileKind::Sampling, &"long".repeat(100));
    for (width, most) in [(80, 80), (120, 120), (0, 80)] {
        let table = profile.table(2, width, 1);
        let rows: Vec<_> = table.lines().skip(1).take(3).collect();
        assert!(rows.iter().all(|row| row.chars().count() <= most), "{table}");
        assert!(table.contains("8 samples, 3 dropped, 4 missed"), "{table}");
        assert!(table.contains("... and 2 more functions"), "{table}");
        assert!(rows[0].contains("self%") && rows[1].contains("62.5%"), "{table}");
    }
    let mut empty = profile.clone();
    empty.stacks.clear();
    empty.meta.samples = 0;
    let table = empty.table(2, 80, 1);
    assert!(table.contains("nothing was seen") && table.contains("no samples"), "{table}");
}

#[test]
fn formats_are_known_by_endings_and_names() {
    for (path, format) in [
        ("a.pb.gz", Format::Pprof),
        ("x/y.z.PPROF", Format::Pprof),
        ("a.json", Format::Firefox),
        ("a.txt", Format::Folded),
        ("a.folded", Format::Folded),
        ("a.svg", Format::Svg),
        ("a.htm", Format::Html),
    ] {
        assert_eq!(Format::of_path(path), Ok(format), "{path}");
    }
    for path in ["a", "svg", ".gz", "a.pb", "a.svg.gz", ""] {
        let error: UnknownFormat = Format::of_path(path).unwrap_err();
        assert!(error.to_string().contains("folded (.folded, .txt)"), "{error}");
    }
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
        assert_eq!(Format::of_path(format!("a.{}", format.extension())), Ok(format));
    }
    let profile = profile(ProfileKind::Exact, "x");
    assert!(profile.write_value(Format::Svg, 2, Vec::new()).is_err(), "there are two values");
}
