//! pprof's format: a gzipped protocol buffer.
//!
//! The messages follow the field numbers of `profile.proto`; fields that are never written are left out. Each
//! module is a mapping, at an address of its own, so that a location's address determines module and code
//! offset.

use crate::{Function, Location, Profile, ValueType};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

/// The number of the field with samples.
const SAMPLE: u32 = 2;
/// Addresses of a module.
const SPAN: u64 = 1 << 32;

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let mut encoder = GzEncoder::new(writer, Compression::default());
    write_samples(profile, &mut encoder)?;
    encoder.write_all(&message(profile, value).encode_to_vec())?;
    encoder.finish().map(drop)
}

/// Writes the samples one by one, for all together can be far larger than the profile. Fields of a message
/// may come in any order.
fn write_samples(profile: &Profile, writer: &mut impl Write) -> io::Result<()> {
    let (mut sample, mut bytes) = (PprofSample::default(), Vec::new());
    for stack in profile.stacks() {
        let values = profile.values(stack);
        if values.iter().all(|value| *value == 0) {
            continue;
        }
        sample.location_id.clear();
        let mut at = Some(stack);
        while let Some(stack) = at {
            sample.location_id.push(stack.location as u64 + 1);
            at = stack.parent.map(|parent| &profile.stacks()[parent]);
        }
        sample.value.clear();
        sample.value.extend(values.iter().map(|v| i64::try_from(*v).unwrap_or(i64::MAX)));
        bytes.clear();
        prost::encoding::message::encode(SAMPLE, &sample, &mut bytes);
        writer.write_all(&bytes)?;
    }
    Ok(())
}

/// A profile as a message.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PprofProfile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<PprofValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sample: Vec<PprofSample>,
    #[prost(message, repeated, tag = "3")]
    pub(super) mapping: Vec<PprofMapping>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<PprofLocation>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<PprofFunction>,
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(super) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(super) period_type: Option<PprofValueType>,
    #[prost(int64, tag = "12")]
    pub(super) period: i64,
    #[prost(int64, repeated, tag = "13")]
    pub(super) comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    pub(super) default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct PprofValueType {
    #[prost(int64, tag = "1")]
    pub(super) r#type: i64,
    #[prost(int64, tag = "2")]
    pub(super) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PprofSample {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PprofMapping {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) memory_start: u64,
    #[prost(uint64, tag = "3")]
    pub(super) memory_limit: u64,
    #[prost(int64, tag = "5")]
    pub(super) filename: i64,
    #[prost(bool, tag = "7")]
    pub(super) has_functions: bool,
    #[prost(bool, tag = "8")]
    pub(super) has_filenames: bool,
    #[prost(bool, tag = "9")]
    pub(super) has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    pub(super) has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PprofLocation {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub(super) address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<PprofLine>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PprofLine {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(super) line: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PprofFunction {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "3")]
    pub(super) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(super) filename: i64,
    #[prost(int64, tag = "5")]
    pub(super) start_line: i64,
}

/// Strings that are referred to by number; the first is empty.
struct Strings {
    table: Vec<String>,
    known: HashMap<String, i64>,
}

impl Strings {
    fn new() -> Strings {
        Strings { table: vec![String::new()], known: HashMap::from([(String::new(), 0)]) }
    }

    fn index(&mut self, text: &str) -> i64 {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let index = self.table.len() as i64;
        self.table.push(text.to_owned());
        self.known.insert(text.to_owned(), index);
        index
    }
}

fn message(profile: &Profile, value: usize) -> PprofProfile {
    let strings = &mut Strings::new();
    let meta = profile.meta();
    let types = profile.value_types();
    let start = meta.start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut comments = vec![format!("{}, {}", meta.program, meta.engine), super::describe(profile)];
    comments.extend(meta.notes.iter().cloned());
    comments.retain(|c| !c.is_empty());
    PprofProfile {
        sample_type: types.iter().map(|ty| value_type(ty, strings)).collect(),
        // They are written apart.
        sample: Vec::new(),
        mapping: mappings(profile, strings),
        location: profile.locations().iter().enumerate().map(location).collect(),
        function: functions(profile.functions(), strings),
        time_nanos: nanoseconds(start.as_nanos()),
        duration_nanos: nanoseconds(meta.duration.as_nanos()),
        period_type: meta.interval.map(|_| value_type(&types[1], strings)),
        period: meta.interval.map_or(0, |i| nanoseconds(i.as_nanos())),
        comment: comments.iter().map(|c| strings.index(c)).collect(),
        default_sample_type: strings.index(types[value].name),
        string_table: std::mem::take(&mut strings.table),
    }
}

fn nanoseconds(of: u128) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

fn value_type(ty: &ValueType, strings: &mut Strings) -> PprofValueType {
    PprofValueType { r#type: strings.index(ty.name), unit: strings.index(ty.unit.name()) }
}

fn mappings(profile: &Profile, strings: &mut Strings) -> Vec<PprofMapping> {
    let has_lines = |module| {
        let of = profile.locations().iter().filter(|l| l.module == Some(module));
        of.flat_map(|l| &l.lines).any(|line| line.line.is_some())
    };
    let mapping = |(module, name)| PprofMapping {
        id: module as u64 + 1,
        memory_start: (module as u64 + 1) * SPAN,
        memory_limit: (module as u64 + 2) * SPAN,
        filename: strings.index(name),
        has_functions: true,
        has_filenames: has_lines(module),
        has_line_numbers: has_lines(module),
        has_inline_frames: has_lines(module),
    };
    profile.modules().enumerate().map(mapping).collect()
}

fn location((index, location): (usize, &Location)) -> PprofLocation {
    let mapping_id = location.module.map_or(0, |module| module as u64 + 1);
    let line = |line: &crate::Line| PprofLine {
        function_id: line.function as u64 + 1,
        line: line.line.map_or(0, i64::from),
    };
    PprofLocation {
        id: index as u64 + 1,
        mapping_id,
        address: location.offset.map_or(0, |offset| mapping_id * SPAN + u64::from(offset)),
        line: location.lines.iter().map(line).collect(),
    }
}

fn functions(functions: &[Function], strings: &mut Strings) -> Vec<PprofFunction> {
    let function = |(index, function): (usize, &Function)| PprofFunction {
        id: index as u64 + 1,
        name: strings.index(&function.name),
        system_name: strings.index(&function.system_name),
        filename: strings.index(function.file.as_deref().unwrap_or_default()),
        start_line: function.line.map_or(0, i64::from),
    };
    functions.iter().enumerate().map(function).collect()
}
