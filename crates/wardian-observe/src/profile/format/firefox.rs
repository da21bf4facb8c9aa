//! JSON of the Firefox Profiler.
//!
//! Samples come in the order of time, each store as a thread. Profiles without times have a sample for
//! each stack, one microsecond after the other, whose weight is its value.

use crate::profile::tree::CallTree;
use crate::{FunctionKind, Profile, Unit};
use fxprof_processed_profile::{
    CategoryColor, CategoryPairHandle, CpuDelta, Frame, FrameFlags, FrameInfo,
    Profile as FirefoxProfile, ReferenceTimestamp, SamplingInterval, StackHandle, ThreadHandle,
    Timestamp, WeightType,
};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let firefox = match profile.timeline().is_empty() {
        true => weighted(profile, value),
        false => timed(profile),
    };
    serde_json::to_writer(writer, &firefox).map_err(io::Error::from)
}

/// A thread, with the handles of stacks that it already has.
struct Thread {
    handle: ThreadHandle,
    stacks: Vec<Option<StackHandle>>,
}

struct Writer<'a> {
    profile: &'a Profile,
    tree: CallTree,
    firefox: FirefoxProfile,
    process: fxprof_processed_profile::ProcessHandle,
    guest: CategoryPairHandle,
    host: CategoryPairHandle,
}

impl<'a> Writer<'a> {
    fn new(profile: &'a Profile) -> Writer<'a> {
        let meta = profile.meta();
        let start = meta.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let interval = meta.interval.unwrap_or(Duration::from_micros(1));
        let interval = SamplingInterval::from_nanos(interval.as_nanos() as u64);
        let mut firefox = FirefoxProfile::new(
            "Wardian",
            ReferenceTimestamp::from_duration_since_unix_epoch(start),
            interval,
        );
        firefox.set_symbolicated(true);
        let guest = firefox.add_category("Guest", CategoryColor::Blue).into();
        let host = firefox.add_category("Host", CategoryColor::Orange).into();
        let process = firefox.add_process(&meta.program, 1, time(Duration::ZERO));
        Writer { profile, tree: CallTree::new(profile), firefox, process, guest, host }
    }

    fn thread(&mut self, number: u32) -> Thread {
        let start = time(Duration::ZERO);
        let handle = self.firefox.add_thread(self.process, number + 1, start, number == 0);
        let name = match number {
            0 => self.profile.meta().program.clone(),
            more => format!("{} ({})", self.profile.meta().program, more + 1),
        };
        self.firefox.set_thread_name(handle, &name);
        self.firefox.add_initial_visible_thread(handle);
        Thread { handle, stacks: vec![None; self.tree.nodes.len()] }
    }

    /// The stack of a node of the tree.
    fn stack(&mut self, thread: &mut Thread, node: usize) -> StackHandle {
        // Up to one that is known, and down again: stacks may be deep.
        let mut missing = Vec::new();
        let mut at = Some(node);
        let mut parent = None;
        while let Some(node) = at {
            if let Some(known) = thread.stacks[node] {
                parent = Some(known);
                break;
            }
            missing.push(node);
            at = self.tree.nodes[node].parent;
        }
        for node in missing.into_iter().rev() {
            let function = &self.profile.functions()[self.tree.nodes[node].function];
            let label = Frame::Label(self.firefox.intern_string(&function.name));
            let category_pair =
                if function.kind == FunctionKind::Host { self.host } else { self.guest };
            let info = FrameInfo { frame: label, category_pair, flags: FrameFlags::empty() };
            let frame = self.firefox.intern_frame(thread.handle, info);
            let stack = self.firefox.intern_stack(thread.handle, parent, frame);
            thread.stacks[node] = Some(stack);
            parent = Some(stack);
        }
        parent.expect("at least the node itself")
    }
}

/// Samples when they were taken.
fn timed(profile: &Profile) -> FirefoxProfile {
    let mut writer = Writer::new(profile);
    let mut threads: BTreeMap<u32, Thread> = BTreeMap::new();
    for sample in profile.timeline() {
        let thread = threads.entry(sample.store).or_insert_with(|| writer.thread(sample.store));
        let stack = sample.stack.map(|stack| {
            let node = writer.tree.of_stack[stack];
            writer.stack(thread, node)
        });
        let cpu = CpuDelta::from(sample.cpu);
        writer.firefox.add_sample(thread.handle, time(sample.time), stack, cpu, 1);
    }
    writer.firefox
}

/// Stacks by weight.
fn weighted(profile: &Profile, value: usize) -> FirefoxProfile {
    let mut writer = Writer::new(profile);
    let mut thread = writer.thread(0);
    let unit = profile.value_types()[value].unit;
    let total = profile.total(value);
    let weight_type = match unit {
        Unit::Bytes => WeightType::Bytes,
        _ => WeightType::Samples,
    };
    writer.firefox.set_thread_samples_weight_type(thread.handle, weight_type);
    // Weights have 32 bits: where that is too little all are made smaller alike.
    let scale = (total / (i32::MAX as u64 / 2)).max(1);
    for node in 0..writer.tree.nodes.len() {
        let own = writer.tree.nodes[node].own[value];
        if own > 0 {
            let stack = writer.stack(&mut thread, node);
            let at = time(Duration::from_micros(node as u64));
            let weight = own.div_ceil(scale) as i32;
            writer.firefox.add_sample(thread.handle, at, Some(stack), CpuDelta::ZERO, weight);
        }
    }
    writer.firefox
}

fn time(since_start: Duration) -> Timestamp {
    Timestamp::from_nanos_since_reference(since_start.as_nanos() as u64)
}
