//! JSON of the Firefox Profiler.
//!
//! Its tables are those of a [`Profile`] in other words: frames are the lines of places, and an inlined
//! call is a stack of its own. Threads are stores, and samples lie where they were taken. A profile
//! without times has a thread for each quantity of the unit that is asked for: on an axis of that unit
//! each stack is as long as what was measured in it, callees behind their callers.

mod tables;

use super::describe;
use crate::{FunctionKind, Line, Profile, Unit};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};
use tables::{Category, Extra, Meta, Numbers, Process, Row, Samples, Shared, Thread, Units};

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let stacks = Stacks::new(profile);
    let threads = match profile.timeline().is_empty() {
        true => stacks.weighted(value),
        false => stacks.timed(),
    };
    let unit = profile.value_types()[value].unit;
    let meta = meta(profile, unit, threads.len());
    let Stacks { shared, libs, .. } = stacks;
    let file = File { meta, libs, pages: [], shared, threads };
    serde_json::to_writer(writer, &file).map_err(io::Error::from)
}

#[derive(Serialize)]
struct File {
    meta: Meta,
    libs: Vec<tables::Lib>,
    pages: [(); 0],
    shared: Shared,
    threads: Vec<Thread>,
}

const GUEST: u8 = 1;
const HOST: u8 = 2;
const CATEGORIES: [Category; 3] = [
    // The format wants a grey one, for everything that has no other.
    Category::new("Other", "grey"),
    Category::new("Guest", "blue"),
    Category::new("Host", "orange"),
];

fn meta(profile: &Profile, unit: Unit, threads: usize) -> Meta {
    let meta = profile.meta();
    let start = meta.start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let timed = !profile.timeline().is_empty();
    let time = if !timed && unit == Unit::Bytes { "bytes" } else { "ms" };
    let mut facts = vec![
        ("Program", meta.program.clone()),
        ("Engine", meta.engine.clone()),
        ("Kind", format!("{} profile", profile.kind())),
        ("Counts", describe(profile)),
    ];
    facts.extend(meta.notes.iter().map(|note| ("Note", note.clone())));
    facts.retain(|(_, text)| !text.is_empty());
    let mut written = Meta::new(&CATEGORIES, Units::of_time(time), Extra::new("Wardian", facts));
    written.interval = meta.interval.filter(|_| timed).map_or(1.0, millis);
    written.start_time = millis(start);
    written.initial_visible_threads = (0..threads).collect();
    written.initial_selected_threads = (0..threads.min(1)).collect();
    written
}

/// What threads have in common, and how to find in it what samples refer to.
struct Stacks<'a> {
    profile: &'a Profile,
    shared: Shared,
    libs: Vec<tables::Lib>,
    /// The row of each stack's innermost frame.
    top: Vec<u32>,
}

impl<'a> Stacks<'a> {
    fn new(profile: &'a Profile) -> Stacks<'a> {
        let shared = Shared::default();
        let mut stacks = Stacks { profile, shared, libs: Vec::new(), top: Vec::new() };
        stacks.functions();
        let first_frames = stacks.frames();
        stacks.stacks(&first_frames);
        stacks
    }

    fn functions(&mut self) {
        let mut strings = HashMap::new();
        let mut sources = HashMap::new();
        let shared = &mut self.shared;
        for module in self.profile.modules() {
            let name = shared.string(&mut strings, module);
            shared.resources.push(self.libs.len() as u32, name);
            self.libs.push(tables::Lib::new(module));
        }
        for function in self.profile.functions() {
            let name = shared.string(&mut strings, &function.name);
            let file = function.file.as_deref();
            let source = file.map(|file| {
                let text = shared.string(&mut strings, file);
                *sources.entry(text).or_insert_with(|| shared.sources.push(text))
            });
            let module = function.module.map(|module| module as u32);
            shared.functions.push(name, module, source, function.line);
        }
    }

    /// Adds the frames of each place, from the outermost function to the inlined ones, and returns the first
    /// of each.
    fn frames(&mut self) -> Vec<u32> {
        let mut first = Vec::with_capacity(self.profile.locations().len());
        for location in self.profile.locations() {
            first.push(self.shared.frames.length as u32);
            for (depth, line) in location.lines.iter().rev().enumerate() {
                let category = match self.profile.functions()[line.function].kind {
                    FunctionKind::Guest => GUEST,
                    FunctionKind::Host => HOST,
                    FunctionKind::Other => 0,
                };
                self.shared.frames.push(Row {
                    address: location.offset,
                    depth: depth as u32,
                    category,
                    function: line.function as u32,
                    line: self.line(line),
                });
            }
        }
        first
    }

    /// The line of a frame. The format knows the file by the function alone, so a line in another file cannot
    /// be given.
    fn line(&self, line: &Line) -> Option<u32> {
        let function = &self.profile.functions()[line.function];
        line.line.filter(|_| line.file == function.file)
    }

    fn stacks(&mut self, first_frames: &[u32]) {
        for stack in self.profile.stacks() {
            let mut row = stack.parent.map(|parent| self.top[parent]);
            let frame = first_frames[stack.location];
            let count = self.profile.locations()[stack.location].lines.len() as u32;
            for frame in frame..frame + count {
                row = Some(self.shared.stacks.push(row, frame));
            }
            self.top.push(row.expect("a place has a function"));
        }
    }

    /// Samples when they were taken.
    fn timed(&self) -> Vec<Thread> {
        let mut stores: BTreeMap<u32, Samples> = BTreeMap::new();
        let timeline = self.profile.timeline();
        // If all stand for the same time each is simply one.
        let differ = timeline.iter().any(|sample| sample.wall != timeline[0].wall);
        let unit = if differ { Unit::Nanoseconds } else { Unit::Count };
        for sample in timeline {
            let samples = stores.entry(sample.store).or_insert_with(|| Samples::of_unit(unit));
            let stack = sample.stack.map(|stack| self.top[stack]);
            samples.push(stack, millis(sample.time));
            if differ {
                samples.weight.get_or_insert_default().push(millis(sample.wall));
            }
            samples.cpu.get_or_insert_default().push(sample.cpu.as_nanos() as u64);
        }
        let program = &self.profile.meta().program;
        let name = |store: u32| match store {
            0 => program.clone(),
            more => format!("{program} ({})", more + 1),
        };
        let thread = |(place, (store, samples)): (usize, (u32, Samples))| {
            let process = Process { name: program.clone(), pid: 1, is_main: place == 0 };
            Thread::new(process, name(store), store + 1, samples)
        };
        stores.into_iter().enumerate().map(thread).collect()
    }

    /// A process for each quantity, so that it is seen at once: the one that is asked for first, and
    /// others of its unit, of which something was measured.
    fn weighted(&self, value: usize) -> Vec<Thread> {
        let types = self.profile.value_types();
        let fits = |other: &usize| {
            *other != value
                && types[*other].unit == types[value].unit
                && self.profile.total(*other) > 0
        };
        let others = (0..types.len()).filter(fits);
        let order = self.by_caller();
        let mut threads = Vec::new();
        for value in [value].into_iter().chain(others) {
            let pid = threads.len() as u32 + 1;
            let name = types[value].name.to_owned();
            let of = format!("{}: {name}", self.profile.meta().program);
            let process = Process { name: of, pid, is_main: true };
            threads.push(Thread::new(process, name, pid, self.by_weight(value, &order)));
        }
        threads
    }

    fn by_weight(&self, value: usize, order: &[usize]) -> Samples {
        let unit = self.profile.value_types()[value].unit;
        let mut samples = Samples::of_unit(unit);
        let mut weights = Numbers::new();
        let amount = |measured: u64| match unit {
            Unit::Nanoseconds => millis(Duration::from_nanos(measured)),
            Unit::Bytes | Unit::Count => measured as f64,
        };
        let mut before = 0;
        for &at in order {
            let own = self.profile.stacks()[at].values[value];
            if own > 0 {
                samples.push(Some(self.top[at]), amount(before));
                weights.push(amount(own));
                before += own;
            }
        }
        if before > 0 {
            // A sample ends where the next one begins.
            samples.push(None, amount(before));
            weights.push(0.0);
        }
        samples.weight = Some(weights);
        samples
    }

    /// The stacks so that those with the same outer frames lie together.
    fn by_caller(&self) -> Vec<usize> {
        let stacks = self.profile.stacks();
        let mut children = vec![Vec::new(); stacks.len()];
        let mut work = Vec::new();
        // Backwards, since what is put on the pile last comes first.
        for (at, stack) in stacks.iter().enumerate().rev() {
            match stack.parent {
                Some(parent) => children[parent].push(at),
                None => work.push(at),
            }
        }
        let mut order = Vec::with_capacity(stacks.len());
        while let Some(at) = work.pop() {
            order.push(at);
            work.append(&mut children[at]);
        }
        order
    }
}

fn millis(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}
