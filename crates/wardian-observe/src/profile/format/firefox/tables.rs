//! The Firefox Profiler's tables: objects of columns, in version 60 of its format, the first in which
//! threads share them. Its loader upgrades old versions.

use crate::Unit;
use serde::Serialize;
use std::collections::HashMap;

/// Numbers that JavaScript is to read.
pub(super) type Numbers = Vec<f64>;

/// What all threads share.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shared {
    #[serde(rename = "stackTable")]
    pub(super) stacks: Stacks,
    #[serde(rename = "frameTable")]
    pub(super) frames: Frames,
    #[serde(rename = "funcTable")]
    pub(super) functions: Functions,
    #[serde(rename = "resourceTable")]
    pub(super) resources: Resources,
    native_symbols: NativeSymbols,
    string_array: Vec<String>,
    pub(super) sources: Sources,
}

impl Shared {
    /// The index of a text.
    pub(super) fn string<'a>(&mut self, known: &mut HashMap<&'a str, u32>, text: &'a str) -> u32 {
        *known.entry(text).or_insert_with(|| {
            self.string_array.push(text.to_owned());
            self.string_array.len() as u32 - 1
        })
    }
}

#[derive(Default, Serialize)]
pub(super) struct Stacks {
    length: usize,
    prefix: Vec<Option<u32>>,
    frame: Vec<u32>,
}

impl Stacks {
    pub(super) fn push(&mut self, prefix: Option<u32>, frame: u32) -> u32 {
        self.prefix.push(prefix);
        self.frame.push(frame);
        self.length += 1;
        self.length as u32 - 1
    }
}

/// A frame.
pub(super) struct Row {
    pub(super) address: Option<u32>,
    pub(super) depth: u32,
    pub(super) category: u8,
    pub(super) function: u32,
    pub(super) line: Option<u32>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frames {
    pub(super) length: usize,
    /// -1 for none.
    address: Vec<i64>,
    inline_depth: Vec<u32>,
    category: Vec<u8>,
    subcategory: Vec<u8>,
    func: Vec<u32>,
    native_symbol: Vec<Option<u32>>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<Option<u32>>,
    line: Vec<Option<u32>>,
    column: Vec<Option<u32>>,
}

impl Frames {
    pub(super) fn push(&mut self, row: Row) {
        self.length += 1;
        self.address.push(row.address.map_or(-1, i64::from));
        self.inline_depth.push(row.depth);
        self.category.push(row.category);
        self.subcategory.push(0);
        self.func.push(row.function);
        self.native_symbol.push(None);
        self.inner_window_id.push(None);
        self.line.push(row.line);
        self.column.push(None);
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Functions {
    length: usize,
    name: Vec<u32>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    /// -1 for none.
    resource: Vec<i64>,
    source: Vec<Option<u32>>,
    line_number: Vec<Option<u32>>,
    column_number: Vec<Option<u32>>,
}

impl Functions {
    pub(super) fn push(
        &mut self,
        name: u32,
        resource: Option<u32>,
        source: Option<u32>,
        line: Option<u32>,
    ) {
        self.length += 1;
        self.name.push(name);
        self.is_js.push(false);
        self.relevant_for_js.push(false);
        self.resource.push(resource.map_or(-1, i64::from));
        self.source.push(source);
        self.line_number.push(line.filter(|_| source.is_some()));
        self.column_number.push(None);
    }
}

#[derive(Default, Serialize)]
pub(super) struct Resources {
    length: usize,
    lib: Vec<u32>,
    name: Vec<u32>,
    host: Vec<Option<u32>>,
    r#type: Vec<u8>,
}

impl Resources {
    pub(super) fn push(&mut self, lib: u32, name: u32) {
        const LIBRARY: u8 = 1;
        self.length += 1;
        self.lib.push(lib);
        self.name.push(name);
        self.host.push(None);
        self.r#type.push(LIBRARY);
    }
}

/// What is looked up in symbol files, of which there are none.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct NativeSymbols {
    length: usize,
    lib_index: [(); 0],
    address: [(); 0],
    name: [(); 0],
    function_size: [(); 0],
}

#[derive(Default, Serialize)]
pub(super) struct Sources {
    length: usize,
    id: Vec<Option<u32>>,
    filename: Vec<u32>,
}

impl Sources {
    pub(super) fn push(&mut self, name: u32) -> u32 {
        self.length += 1;
        self.id.push(None);
        self.filename.push(name);
        self.length as u32 - 1
    }
}

/// A module of a guest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lib {
    arch: &'static str,
    name: String,
    path: String,
    debug_name: String,
    debug_path: String,
    breakpad_id: &'static str,
    code_id: Option<String>,
}

impl Lib {
    pub(super) fn new(name: &str) -> Lib {
        Lib {
            arch: "wasm",
            name: name.to_owned(),
            path: name.to_owned(),
            debug_name: name.to_owned(),
            debug_path: name.to_owned(),
            breakpad_id: "",
            code_id: None,
        }
    }
}

/// What kinds of code there are.
#[derive(Serialize)]
pub(super) struct Category {
    name: &'static str,
    color: &'static str,
    subcategories: [&'static str; 1],
}

impl Category {
    pub(super) const fn new(name: &'static str, color: &'static str) -> Category {
        Category { name, color, subcategories: ["Other"] }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) interval: f64,
    pub(super) start_time: f64,
    process_type: u8,
    product: &'static str,
    stackwalk: u8,
    version: u32,
    preprocessed_profile_version: u32,
    symbolicated: bool,
    symbolication_not_supported: bool,
    uses_only_one_stack_type: bool,
    source_code_is_not_on_searchfox: bool,
    keep_profile_thread_order: bool,
    categories: &'static [Category],
    marker_schema: [(); 0],
    sample_units: Units,
    extra: [Extra; 1],
    pub(super) initial_visible_threads: Vec<usize>,
    pub(super) initial_selected_threads: Vec<usize>,
}

impl Meta {
    pub(super) fn new(categories: &'static [Category], sample_units: Units, extra: Extra) -> Meta {
        Meta {
            interval: 1.0,
            start_time: 0.0,
            process_type: 0,
            product: "Wardian",
            stackwalk: 1,
            // Of what Firefox itself writes; nobody reads it here.
            version: 32,
            preprocessed_profile_version: 60,
            symbolicated: true,
            symbolication_not_supported: true,
            uses_only_one_stack_type: true,
            source_code_is_not_on_searchfox: true,
            keep_profile_thread_order: true,
            categories,
            marker_schema: [],
            sample_units,
            extra: [extra],
            initial_visible_threads: Vec::new(),
            initial_selected_threads: Vec::new(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Units {
    time: &'static str,
    event_delay: &'static str,
    #[serde(rename = "threadCPUDelta")]
    cpu_delta: &'static str,
}

impl Units {
    pub(super) fn of_time(time: &'static str) -> Units {
        Units { time, event_delay: "ms", cpu_delta: "ns" }
    }
}

/// Facts for people.
#[derive(Serialize)]
pub(super) struct Extra {
    label: &'static str,
    entries: Vec<Fact>,
}

#[derive(Serialize)]
struct Fact {
    label: &'static str,
    format: &'static str,
    value: String,
}

impl Extra {
    pub(super) fn new(label: &'static str, facts: Vec<(&'static str, String)>) -> Extra {
        let fact = |(label, value)| Fact { label, format: "string", value };
        Extra { label, entries: facts.into_iter().map(fact).collect() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Thread {
    name: String,
    process_name: String,
    process_type: &'static str,
    pid: String,
    tid: u32,
    is_main_thread: bool,
    process_startup_time: f64,
    process_shutdown_time: Option<f64>,
    register_time: f64,
    unregister_time: Option<f64>,
    paused_ranges: [(); 0],
    samples: Samples,
    markers: Markers,
}

/// What a thread is of.
pub(super) struct Process {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) is_main: bool,
}

impl Thread {
    pub(super) fn new(process: Process, name: String, tid: u32, samples: Samples) -> Thread {
        Thread {
            name,
            process_name: process.name,
            process_type: "default",
            pid: process.pid.to_string(),
            tid,
            is_main_thread: process.is_main,
            process_startup_time: 0.0,
            process_shutdown_time: None,
            register_time: 0.0,
            unregister_time: None,
            paused_ranges: [],
            samples,
            markers: Markers::default(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Samples {
    length: usize,
    stack: Vec<Option<u32>>,
    time: Numbers,
    /// One for each sample if it is missing.
    pub(super) weight: Option<Numbers>,
    weight_type: &'static str,
    #[serde(rename = "threadCPUDelta", skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<Vec<u64>>,
}

impl Samples {
    pub(super) fn of_unit(unit: Unit) -> Samples {
        let weight_type = match unit {
            Unit::Bytes => "bytes",
            Unit::Nanoseconds => "tracing-ms",
            Unit::Count => "samples",
        };
        let (stack, time) = (Vec::new(), Vec::new());
        Samples { length: 0, stack, time, weight: None, weight_type, cpu: None }
    }

    pub(super) fn push(&mut self, stack: Option<u32>, time: f64) {
        self.length += 1;
        self.stack.push(stack);
        self.time.push(time);
    }
}

/// Events, of which there are none.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Markers {
    length: usize,
    data: [(); 0],
    name: [(); 0],
    start_time: [(); 0],
    end_time: [(); 0],
    phase: [(); 0],
    category: [(); 0],
}
