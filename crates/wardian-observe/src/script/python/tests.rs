//! CPython's structures in a synthetic image: its fields lie where the versions have them, but no CPython made them. Real
//! builds are too large for this repository.

use super::find;
use super::layout::{Layout, VERSIONS};
use crate::script::{Bytes, Interpreter, Search, image};
use crate::{GuestFrames, Profile, Profiler, ProfilerOptions, TrapReport};
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};
use wardian::{Config, Engine, EngineKind, Instance, Module, Store};

const ALL: [(u8, u8); 4] = [(3, 11), (3, 12), (3, 13), (3, 14)];
/// Where things lie in the image.
const RUNTIME: u32 = 0x800;
const THREAD: u32 = 0x1000;
const INTERPRETER: u32 = 0x2000;
const KIND: u32 = 0x3000;
const MAIN: u32 = 0x4000;
const SLOW: u32 = 0x5000;
const MAIN_FRAME: u32 = 0x6000;
const SLOW_FRAME: u32 = 0x6100;
const NONE: u32 = 0x6400;
const SIZE: usize = 1 << 16;

/// Numbers of the table of offsets: the head, the runtime's, the interpreter's, a thread's, a frame's, a code object's, an
/// object's and a type's.
#[rustfmt::skip]
const TABLE_13: &[u64] = &[
    0x030d_01f0, 0, 9000, 40, 1024, 8000, 20, 16, 60, 1, 2, 3, 4, 5, 6, 0,
    7, 8, 200, 0, 4, 8, 48, 92, 96, 140, 16, 44, 4, 0, 28, 40,
    38, 128, 80, 84, 88, 92, 44, 28, 72, 76, 124, 8, 4, 208, 12,
];
/// The one of a build of 3.14 for WebAssembly, but for the first offsets, so that the image stays small.
#[rustfmt::skip]
const TABLE_14: &[u64] = &[
    0x030e_00f0, 0, 9000, 40, 1024, 8000, 20, 16, 60, 68, 1, 2, 3, 4, 5, 6,
    0, 7, 8, 100, 0, 704, 0, 4, 8, 52, 92, 96, 144, 16, 44, 4,
    0, 28, 40, 38, 32, 0, 132, 80, 84, 88, 92, 44, 28, 72, 76, 128,
    0, 8, 4, 208, 12,
];

struct Image {
    memory: image::Image,
    layout: Layout,
}

impl Deref for Image {
    type Target = image::Image;

    fn deref(&self) -> &image::Image {
        &self.memory
    }
}

impl DerefMut for Image {
    fn deref_mut(&mut self) -> &mut image::Image {
        &mut self.memory
    }
}

impl Image {
    /// Two calls, each of its own run of the interpreter: `main`, and in it `Job.slow`.
    fn new(version: (u8, u8)) -> Image {
        let mut image =
            Image { memory: image::Image::empty(SIZE, 0x8000), layout: VERSIONS[1].layout };
        image.roots(version);
        image.put(KIND + 4, KIND);
        let name = image.text(b"code\0");
        image.put(KIND + 12, name);
        image.code(MAIN, "main", 3, &[0x80 | 13 << 3 | 1, 2, 0x80 | 15 << 3]);
        // Two instructions of the first line, then a loop on the second line behind it, then what goes back.
        let lines = [0x80 | 1, 0, 0x80 | 12 << 3 | 3, 4, 5, 0x80 | 14 << 3, 3, 0, 1, 1];
        image.code(SLOW, "Job.slow", 10, &lines);
        image.frame(MAIN_FRAME, MAIN, 0, 0);
        image.frame(SLOW_FRAME, SLOW, MAIN_FRAME, 6);
        image.place(0x100, b"Fatal Python error: ");
        image
    }

    /// The pointers that lead to the innermost frame.
    fn roots(&mut self, version: (u8, u8)) {
        if let Some(known) = VERSIONS.iter().find(|known| known.layout.version == version) {
            self.layout = known.layout;
            let current = THREAD + 0x200;
            self.put(THREAD + 8, INTERPRETER);
            self.put(INTERPRETER + known.head, THREAD);
            self.put(THREAD + known.path[0], current);
            self.put(current + known.path[1], SLOW_FRAME);
            return;
        }
        let table = if version == (3, 13) { TABLE_13 } else { TABLE_14 };
        self.place(RUNTIME, b"xdebugpy");
        for (number, at) in table.iter().zip((RUNTIME + 8..).step_by(8)) {
            self.place(at, &number.to_le_bytes());
        }
        self.layout.code.instructions = if version == (3, 13) { 124 } else { 128 };
        self.put(RUNTIME + 1024, INTERPRETER);
        self.put(INTERPRETER + 60, THREAD);
        self.put(THREAD + if version == (3, 13) { 48 } else { 52 }, SLOW_FRAME);
    }

    fn text(&mut self, bytes: &[u8]) -> u32 {
        let at = self.room(bytes.len() as u32);
        self.place(at, bytes);
        at
    }

    /// A string object, as wide as its characters need.
    fn string(&mut self, text: &str) -> u32 {
        let at = self.room(64 + 4 * text.len() as u32);
        let largest = text.chars().max().map_or(0, u32::from);
        let (kind, header) = match largest {
            0..0x80 => (1, self.layout.text.0),
            0x80..0x100 => (1, self.layout.text.1),
            0x100..0x1_0000 => (2, self.layout.text.1),
            _ => (4, self.layout.text.1),
        };
        self.put(at + 8, text.chars().count() as u32);
        self.put(at + 16, kind << 2 | 1 << 5 | u32::from(largest < 0x80) << 6);
        for (number, character) in text.chars().enumerate() {
            let bytes = u32::from(character).to_le_bytes();
            self.place(at + header + kind * number as u32, &bytes[..kind as usize]);
        }
        at
    }

    fn code(&mut self, at: u32, name: &str, line: u32, table: &[u8]) {
        let fields = self.layout.code;
        self.put(at + 4, KIND);
        self.put(at + 8, 16);
        self.put(at + fields.first_line, line);
        let last = self.string(name.rsplit('.').next().unwrap());
        let (name, file) = (self.string(name), self.string("/app/jöb.py"));
        self.put(at + fields.name, last);
        self.put(at + fields.qualified_name, name);
        self.put(at + fields.filename, file);
        let lines = self.room(16 + table.len() as u32);
        self.put(lines + 8, table.len() as u32);
        self.place(lines + 16, table);
        self.put(at + fields.line_table, lines);
    }

    /// A frame that begins a run, followed by the border if there are such.
    fn frame(&mut self, at: u32, code: u32, previous: u32, instruction: u32) {
        let (fields, start) = (self.layout.frame, code + self.layout.code.instructions);
        self.put(at + fields.code, code);
        self.put(at + fields.instruction, start + instruction);
        if fields.entry_is_call {
            self.put(at + fields.previous, previous);
            self.place(at + fields.entry, &[1]);
            return;
        }
        let border = at + 0x80;
        self.put(at + fields.previous, border);
        self.put(border + fields.previous, previous);
        self.put(border + fields.code, NONE);
        self.place(border + fields.entry, &[3]);
    }
}

fn found(memory: &dyn Bytes) -> super::Python {
    match find(memory, &mut Vec::new()) {
        Search::Found(python) => python,
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_of_each_version_are_read() {
    for version in ALL {
        let image = Image::new(version).memory.bytes;
        let python = found(&image);
        assert_eq!(python.name(), format!("CPython {}.{}", version.0, version.1));
        let links = python.links(&image);
        let codes: Vec<_> = links.iter().filter_map(|l| python.code(&image, l.0)).collect();
        let names: Vec<_> = codes.iter().map(|code| &*code.function.name).collect();
        assert_eq!(names, ["Job.slow", "main"], "{version:?}");
        assert_eq!(codes[0].function.display_name(), "Job.slow (jöb.py)");
        assert_eq!((&*codes[0].function.file, codes[0].function.line), ("/app/jöb.py", 10));
        assert_eq!(codes[0].line(links[0].1), Some(12));
        let start = codes[0].instructions.0;
        let lines = [0, 2, 4, 10, 12].map(|offset| codes[0].line(start + offset));
        assert_eq!(lines, [Some(10), Some(10), Some(12), Some(12), Some(11)]);
        assert_eq!(
            (codes[0].line(start - 2), codes[1].line(codes[1].instructions.0 + 4)),
            (None, None)
        );
        assert!(python.chain().is_some());
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut newer = Image::new((3, 14));
    newer.place(RUNTIME + 8, &0x0310_00f0_u64.to_le_bytes());
    let mut threaded = Image::new((3, 14));
    threaded.place(RUNTIME + 16, &1u64.to_le_bytes());
    let mut other = Image::new((3, 14));
    other.place(RUNTIME + 8 * 24, &5u64.to_le_bytes());
    for (image, expected) in
        [(newer, "CPython 3.16"), (threaded, "global lock"), (other, "no sense")]
    {
        let search = find(&image.memory.bytes, &mut Vec::new());
        assert!(matches!(&search, Search::Unknown(why) if why.contains(expected)), "{search:?}");
    }
    // Nothing has been called yet.
    for version in ALL {
        let mut early = Image::new(version);
        early.place(SLOW_FRAME, &[0; 0x80]);
        assert!(matches!(find(&early.bytes, &mut Vec::new()), Search::NotYet));
    }
}

#[test]
fn hostile_memory_is_read_within_bounds() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state = state.wrapping_mul(0xd129_0d3b_47aa_3a2d).wrapping_add(1);
        (state >> 33) as u32
    };
    let wild = [0, 1, 3, u32::MAX, u32::MAX - 3, 1 << 31, SIZE as u32 - 2, SIZE as u32, THREAD];
    let mut read = 0;
    for round in 0..2000u32 {
        let image = Image::new(ALL[round as usize % 4]);
        let python = found(&image.memory.bytes);
        let mut bytes = image.memory.bytes;
        for _ in 0..1 + random() % 64 {
            let number = match random() % 3 {
                0 => random(),
                1 => random() % SIZE as u32,
                _ => wild[random() as usize % wild.len()],
            };
            let at = (random() as usize % SIZE) & !3;
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        if random() % 4 == 0 {
            bytes.truncate(random() as usize % SIZE);
        }
        find(&bytes, &mut Vec::new());
        let links = python.links(&bytes);
        assert!(links.len() <= 64);
        for (code, instruction, _) in links {
            for code in [code, random()] {
                let Some(code) = python.code(&bytes, code) else { continue };
                read += 1;
                assert!(code.function.name.chars().count() <= 1024);
                code.line(instruction);
            }
        }
    }
    assert!(read > 1000, "{read}");
    // A ring of frames ends.
    let mut ring = Image::new((3, 11));
    let previous = ring.layout.frame.previous;
    ring.put(MAIN_FRAME + previous, SLOW_FRAME);
    assert_eq!(found(&ring.bytes).links(&ring.bytes).len(), 64);
}

/// A guest with this memory, whose functions are called as those of CPython that runs two calls.
fn guest(engine: &Engine, image: &[u8], evaluator: &str) -> Module {
    let data: String = image.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = format!(
        r#"(module $python (memory (export "memory") 2) (data (i32.const 0) "{data}")
          (global $depth (mut i32) (i32.const 0))
          (func $run (export "run") (param i32) (global.set $depth (i32.const 2)) (call $eval (local.get 0)))
          (func $eval {evaluator} (param i32)
            (global.set $depth (i32.sub (global.get $depth) (i32.const 1)))
            (if (global.get $depth) (then (call $builtin (local.get 0)) (return)))
            (if (i32.eqz (local.get 0)) (then (unreachable)))
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
          (func $builtin (param i32) (call $eval (local.get 0))))"#
    );
    Module::new(engine, text).expect("it is valid")
}

/// Profiles the guest until a function was seen.
fn profile(
    kind: EngineKind,
    image: &[u8],
    evaluator: &str,
    how: GuestFrames,
    until: &str,
) -> Profile {
    let engine = Engine::new(Config::new().engine(kind)).expect("the configuration works");
    let module = guest(&engine, image, evaluator);
    let mut store = Store::new(&engine, ());
    let options = ProfilerOptions::sampling().with_interval(Duration::from_micros(300));
    let profiler = Profiler::new(options.with_guest_frames(how));
    profiler.watch_store(&mut store).expect("it is sampled");
    let instance = Instance::new(&mut store, &module, &[]).expect("it has no imports");
    let run = instance.typed_func::<i32, ()>(&mut store, "run").expect("it is exported");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(50) {
        run.call(&mut store, 10_000_000).expect("it returns");
        let profile = profiler.profile();
        if profile.summary().function(until).is_some_and(|f| f.total[0] >= 20) {
            return profile;
        }
    }
    panic!("{until} is not in\n{}", profiler.profile().table(20, 100, 0));
}

fn engines() -> Vec<EngineKind> {
    match cfg!(feature = "jit") {
        true => vec![EngineKind::Compiled, EngineKind::Tiered, EngineKind::Interpreted],
        false => vec![EngineKind::Interpreted],
    }
}

/// The functions of the most frequent stack with this one, the outermost first.
fn stack(profile: &Profile, name: &str) -> Vec<String> {
    let function = |location: usize| {
        let location = &profile.locations()[location];
        profile.functions()[location.lines[0].function].name.clone()
    };
    let stacks = profile.stacks().iter().filter(|stack| function(stack.location) == name);
    let mut at = stacks.max_by_key(|stack| profile.values(stack)[0]);
    let mut names = Vec::new();
    while let Some(stack) = at {
        names.insert(0, function(stack.location));
        at = stack.parent.map(|parent| &profile.stacks()[parent]);
    }
    names
}

const EVALUATOR: &str = "_PyEval_EvalFrameDefault";

#[test]
fn profiles_show_calls_of_the_program_where_they_belong() {
    for (kind, version) in engines().into_iter().cycle().zip(ALL.into_iter().chain(ALL)).take(6) {
        let image = Image::new(version).memory.bytes;
        let module = format!("(@name \"{EVALUATOR}\")");
        let slow = "Job.slow (jöb.py)";
        let seen = profile(kind, &image, &module, GuestFrames::Mixed, slow);
        let expected = ["run", EVALUATOR, "main (jöb.py)", "builtin", EVALUATOR, slow];
        assert_eq!(stack(&seen, slow), expected, "{kind:?} {version:?}");
        let lines = seen.summary().lines;
        let hot = lines.iter().max_by_key(|line| line.own[0]).expect("there are lines");
        assert_eq!((&*hot.file, hot.line), ("/app/jöb.py", 12));
        let only = profile(kind, &image, &module, GuestFrames::Only, slow);
        assert_eq!(stack(&only, slow), ["main (jöb.py)", slow]);
        let off = profile(kind, &image, &module, GuestFrames::Off, EVALUATOR);
        assert!(off.summary().function(slow).is_none());
    }
}

#[test]
fn a_profile_of_an_unknown_version_says_so_once() {
    let mut image = Image::new((3, 14));
    image.place(RUNTIME + 8, &0x0310_00f0_u64.to_le_bytes());
    let seen = profile(engines()[0], &image.memory.bytes, "", GuestFrames::Mixed, "eval");
    let notes = &seen.meta().notes;
    assert_eq!(notes.iter().filter(|note| note.contains("CPython 3.16")).count(), 1, "{notes:?}");
}

#[test]
fn reports_of_traps_show_calls_of_the_program() {
    for (kind, version) in engines().into_iter().cycle().zip(ALL) {
        let engine = Engine::new(Config::new().engine(kind)).expect("the configuration works");
        let image = Image::new(version).memory.bytes;
        let module = guest(&engine, &image, &format!("(@name \"{EVALUATOR}\")"));
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("it has no imports");
        let run = instance.typed_func::<i32, ()>(&mut store, "run").expect("it is exported");
        let error = run.call(&mut store, 0).unwrap_err();
        let report = || TrapReport::new(&error).with_memory_of(instance.internal(&store));
        let names = |text: &str| -> Vec<String> {
            let numbered = text.lines().filter_map(|line| line.split_once(": "));
            let numbered = numbered.filter(|(number, _)| number.trim().parse::<u32>().is_ok());
            numbered.map(|(_, name)| name.split(['(', ' ']).next().unwrap_or("").into()).collect()
        };
        let full = report().to_string();
        let mixed = ["Job.slow", EVALUATOR, "builtin", "main", EVALUATOR, "run"];
        assert_eq!(names(&full), mixed, "{kind:?} {version:?}: {full}");
        assert!(full.contains("Job.slow\n        at /app/jöb.py:12"), "{full}");
        let short = report().short("").to_string();
        assert!(short.contains("in Job.slow at /app/jöb.py:12"), "{short}");
        let only = report().with_guest_frames(GuestFrames::Only).to_string();
        assert_eq!(names(&only), ["Job.slow", "main"], "{only}");
        let off = report().with_guest_frames(GuestFrames::Off).to_string();
        assert_eq!(names(&off), [EVALUATOR, "builtin", EVALUATOR, "run"], "{off}");
    }
}
