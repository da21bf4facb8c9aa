//! Modules that trap wherever code can trap, and the place that each engine tells of it: which operator
//! of which function, in all frames.
//!
//! Without fuel, whose counting keeps the optimiser from moving much. So everything that is generated
//! ends by itself: loops run a few times, and functions call only those behind them.

use crate::random::Random;
use libtest_mimic::Failed;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use wardian::{
    Config, Engine, EngineKind, Func, Instance, Module, Store, Val,
    cache::DiskCache,
    listener::{Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};

/// Calls from outside of each function.
const ROUNDS: usize = 12;

/// Listens, and does nothing.
struct Deaf;

impl FunctionListener for Deaf {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {}
}

/// A name, and what changes a configuration.
type Way = (&'static str, fn(&mut Config));

static ENGINES: LazyLock<Vec<(String, Engine)>> = LazyLock::new(|| {
    let mut ways: Vec<Way> = vec![("interpreted", |config| {
        config.engine(EngineKind::Interpreted);
    })];
    if cfg!(feature = "jit") {
        ways.push(("compiled", |config| {
            config.engine(EngineKind::Compiled);
        }));
        ways.push(("unoptimised", |config| {
            config.engine(EngineKind::Compiled).optimize(false);
        }));
        ways.push(("checks", |config| {
            config.engine(EngineKind::Compiled).signals(false);
        }));
        ways.push(("tiered, hot at once", |config| {
            config.engine(EngineKind::Tiered).hot_after(Some(0));
        }));
        ways.push(("tiered, hot after 2", |config| {
            config.engine(EngineKind::Tiered).hot_after(Some(2));
        }));
    }
    let mut engines = Vec::new();
    for (name, configure) in ways {
        for listened in [false, true] {
            let mut config = Config::new();
            config.background_compilation(false).compile_threads(1);
            configure(&mut config);
            if listened {
                config.function_listener_factory(FunctionFilter::all().listen(Deaf));
            }
            let name = if listened { format!("{name}, listened") } else { name.to_owned() };
            engines.push((name, Engine::new(&config).expect("the configuration works")));
        }
    }
    engines
});

/// Fails with the first difference between engines.
pub(crate) fn compare(seed: u64) -> Result<(), Failed> {
    let (text, functions) = module(seed);
    let bytes = wat::parse_str(&text).map_err(|e| format!("seed {seed}: {e}\n{text}"))?;
    crate::RAN[1].fetch_add(1, Ordering::Relaxed);
    let mut expected: Option<Vec<String>> = None;
    let folder = tempfile::tempdir()?;
    let again = started_again(folder.path());
    for (name, engine) in ENGINES.iter().chain(&again) {
        let lines = run(engine, seed, &bytes, functions);
        let Some(expected) = &expected else {
            expected = Some(lines);
            continue;
        };
        crate::RAN[2].fetch_add(lines.len() as u64, Ordering::Relaxed);
        if let Some(at) = (0..lines.len()).find(|i| lines[*i] != expected[*i]) {
            let path = std::env::temp_dir().join(format!("wardian-places-{seed}.wat"));
            std::fs::write(&path, &text).expect("the module can be kept");
            return Err(format!(
                "seed {seed}: engines differ.\ninterpreted:\n  {}\n{name}:\n  {}\nmodule: {}",
                expected[at],
                lines[at],
                path.display()
            )
            .into());
        }
    }
    Ok(())
}

/// Engines that begin with what the one before has kept in a cache, but for the first.
fn started_again(folder: &Path) -> Vec<(String, Engine)> {
    let hot_after = [3, 1, 3].into_iter().filter(|_| cfg!(feature = "jit"));
    let engine = |hot_after| {
        let mut config = Config::new();
        config.engine(EngineKind::Tiered).hot_after(Some(hot_after));
        config.background_compilation(false).compile_threads(1);
        let engine = Engine::new(&config).expect("the configuration works");
        let cache = DiskCache::new(folder.join("cache")).expect("the folder is our own");
        engine.set_cache(Some(Arc::new(cache)));
        (format!("tiered, hot after {hot_after}, with a cache"), engine)
    };
    hot_after.map(engine).collect()
}

fn run(engine: &Engine, seed: u64, bytes: &[u8], functions: usize) -> Vec<String> {
    let mut random = Random::new(seed, "arguments of traps");
    let module = Module::new(engine, bytes).expect("it is valid");
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
    let names: Vec<String> = (0..functions).map(|i| format!("f{i}")).collect();
    let called: Vec<Func> = names
        .iter()
        .map(|name| instance.get_func(&mut store, name).expect("it is exported"))
        .collect();
    let mut lines = Vec::new();
    for turn in 0..ROUNDS * functions {
        let (name, f) = (&names[turn % functions], called[turn % functions]);
        let arguments = [
            Val::I32(NUMBERS[random.below(NUMBERS.len())] as i32),
            Val::I64(NUMBERS[random.below(NUMBERS.len())]),
            Val::F64(FLOATS[random.below(FLOATS.len())].to_bits()),
        ];
        let mut results = [Val::I32(0)];
        let ended = match f.call(&mut store, &arguments, &mut results) {
            Ok(()) => format!("{results:?}"),
            Err(error) => {
                let place = error.backtrace().map(crate::heard::backtrace).unwrap_or_default();
                format!("{}{place}", crate::heard::kind(&error))
            }
        };
        lines.push(format!("{name} {arguments:?}: {ended}"));
    }
    lines
}

/// Zero, small ones, the borders of a memory of one page and of a table, and those that make
/// divisions overflow.
const NUMBERS: [i64; 14] = [
    0,
    1,
    2,
    3,
    5,
    -1,
    0xfffc,
    0xffff,
    0x1_0000,
    0x7fff_0000,
    i32::MIN as i64,
    i32::MAX as i64,
    i64::MIN,
    64,
];
const FLOATS: [f64; 7] = [0.0, -1.5, 3.0, 1e10, 1e30, f64::NAN, f64::NEG_INFINITY];

/// The text of a module, and how many functions it has.
fn module(seed: u64) -> (String, usize) {
    let mut random = Random::new(seed, "traps");
    let functions = 1 + random.below(4);
    let mut text = String::from(
        "(module (memory 1) (memory $wide i64 1 1) (global $g (mut i32) (i32.const 3))\n\
         (type $own (func (param i32 i64 f64) (result i32))) (type $other (func (param f32)))\n\
         (func $stranger (type $other))\n(table $t 8 funcref) (elem (table $t) (i32.const 1) func",
    );
    for i in 0..functions {
        let _ = write!(text, " $f{i}");
    }
    text += " $stranger)\n";
    for number in 0..functions {
        let mut body =
            Body { random: &mut random, text: String::new(), number, functions, loops: 0 };
        for _ in 0..2 + body.random.below(6) {
            body.statement(0);
        }
        let body = body.text;
        let _ = writeln!(
            text,
            "(func $f{number} (export \"f{number}\") (type $own) (param $x i32) (param $y i64) \
             (param $z f64) (result i32) (local $a i32) (local $b i64) (local $v v128) \
             (local $n0 i32) (local $n1 i32) (local $n2 i32)\n{body}\
             (i32.xor (local.get $a) (i32.wrap_i64 (local.get $b))))"
        );
    }
    (text + ")", functions)
}

struct Body<'a> {
    random: &'a mut Random,
    text: String,
    number: usize,
    functions: usize,
    loops: usize,
}

impl Body<'_> {
    fn say(&mut self, text: &str) {
        self.text += text;
        self.text.push('\n');
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.random.below(of.len())]
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..self.random.below(3) {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: usize) {
        match self.random.below(14) {
            0 | 1 if depth < 3 => self.branch(depth),
            2 if depth < 3 => self.repeat(depth),
            3 => self.store(),
            4 => self.change(),
            5 => self.vector(),
            6 => self.bulk(),
            7 => self.table(),
            8 => {
                let wide = self.wide(0);
                self.say(&format!("(local.set $b {wide})"));
            }
            9 => {
                let (target, value) = (self.pick(&["$a", "$x"]), self.number(0));
                self.say(&format!("(local.set {target} {value})"));
            }
            _ => {
                let value = self.number(0);
                self.say(&format!("(local.set $a (i32.add (local.get $a) {value}))"));
            }
        }
    }

    /// Branches, of which some lead to traps.
    fn branch(&mut self, depth: usize) {
        let condition = self.condition();
        match self.random.below(6) {
            0 => self.say(&format!("(if {condition} (then unreachable))")),
            1 => {
                self.say(&format!("(if {condition} (then"));
                self.statements(depth + 1);
                self.say(") (else unreachable))");
            }
            2 => {
                self.say(&format!("(block $out (block $bad (br_if $bad {condition})"));
                self.statements(depth + 1);
                self.say("(br $out)) unreachable)");
            }
            3 => {
                let index = self.number(1);
                self.say("(block $out (block $bad (block $fine");
                self.say(&format!("(br_table $bad $fine $bad $out {index})) "));
                self.statements(depth + 1);
                self.say("(br $out)) unreachable)");
            }
            4 => {
                self.say(&format!("(if {condition} (then"));
                self.statements(depth + 1);
                self.say(") (else");
                self.statements(depth + 1);
                self.say("))");
            }
            _ => {
                self.say(&format!("(block $out (br_if $out {condition})"));
                self.statements(depth + 1);
                self.say("unreachable)");
            }
        }
    }

    fn repeat(&mut self, depth: usize) {
        if self.loops == 3 {
            return;
        }
        let n = self.loops;
        self.loops += 1;
        self.say(&format!("(local.set $n{n} (i32.const 4)) (loop $l{n}"));
        self.statement(depth + 1);
        self.statements(depth + 1);
        self.say(&format!(
            "(br_if $l{n} (local.tee $n{n} (i32.sub (local.get $n{n}) (i32.const 1)))))"
        ));
    }

    fn condition(&mut self) -> String {
        let (x, y) = (self.number(1), self.number(2));
        let op = self.pick(&["eq", "ne", "lt_s", "gt_u"]);
        match self.random.below(4) {
            0 => x,
            1 => format!("(i32.eqz {x})"),
            2 => format!("(i32.{op} {x} (i32.const 3))"),
            _ => format!("(i32.{op} {x} {y})"),
        }
    }

    /// An address, and the offset that goes with it.
    fn address(&mut self) -> (&'static str, u32) {
        let address =
            self.pick(&["(local.get $x)", "(local.get $a)", "(i32.const 0xfffe)", "(i32.const 8)"]);
        (address, [0, 0, 0, 4, 0xfff8, 0x4000_0000][self.random.below(6)])
    }

    fn load(&mut self) -> String {
        let (at, offset) = self.address();
        if self.random.below(5) == 0 {
            return format!("(i32.load $wide offset={offset} (i64.extend_i32_u {at}))");
        }
        let op = self.pick(&["load", "load", "load", "load8_u", "load16_s"]);
        format!("(i32.{op} offset={offset} {at})")
    }

    /// An `i32`.
    fn number(&mut self, depth: usize) -> String {
        if depth > 3 {
            return self.pick(&["(local.get $x)", "(local.get $a)", "(i32.const 7)"]).to_owned();
        }
        match self.random.below(12) {
            0..=2 => self.load(),
            3 | 4 => {
                let op = self.pick(&["div_s", "div_u", "rem_s", "rem_u"]);
                let (x, y) = (self.number(depth + 2), self.number(depth + 2));
                format!("(i32.{op} {x} {y})")
            }
            5 => {
                let op = self.pick(&["i32.trunc_f64_s", "i32.trunc_f64_u"]);
                format!("({op} (local.get $z))")
            }
            6 | 7 => {
                let op = self.pick(&["add", "sub", "mul", "and", "xor", "lt_u", "eq", "shl"]);
                let (x, y) = (self.number(depth + 1), self.number(depth + 1));
                format!("(i32.{op} {x} {y})")
            }
            8 => format!("(i32.wrap_i64 {})", self.wide(depth + 1)),
            9 if self.number + 1 < self.functions => {
                let more = self.functions - self.number - 1;
                let callee = self.number + 1 + self.random.below(more);
                let x = self.number(depth + 2);
                format!("(call $f{callee} {x} (local.get $y) (local.get $z))")
            }
            10 => format!(
                "(select {} {} (local.get $x))",
                self.number(depth + 1),
                self.number(depth + 1)
            ),
            _ => self.pick(&["(local.get $x)", "(local.get $a)", "(global.get $g)"]).to_owned(),
        }
    }

    /// An `i64`.
    fn wide(&mut self, depth: usize) -> String {
        match self.random.below(6) {
            0 => {
                let op = self.pick(&["div_s", "div_u", "rem_s", "rem_u"]);
                format!("(i64.{op} (local.get $b) (local.get $y))")
            }
            1 => {
                let (at, offset) = self.address();
                let op = self.pick(&["load", "load32_u", "load8_s"]);
                format!("(i64.{op} offset={offset} {at})")
            }
            2 => "(i64.trunc_f64_s (local.get $z))".to_owned(),
            3 if depth < 3 => {
                let (x, y) = (self.wide(depth + 1), self.wide(depth + 1));
                format!("(i64.add {x} {y})")
            }
            4 if depth < 3 => format!("(i64.extend_i32_u {})", self.number(depth + 1)),
            _ => "(local.get $y)".to_owned(),
        }
    }

    /// Stores; some are overwritten at once, some store what was there.
    fn store(&mut self) {
        let (at, offset) = self.address();
        let value = self.number(1);
        let op = self.pick(&["store", "store", "store8", "store16"]);
        for _ in 0..1 + self.random.below(3) {
            self.say(&format!("(i32.{op} offset={offset} {at} {value})"));
            if self.random.below(2) == 0 {
                let other = self.pick(&["(local.get $x)", "(i32.const 5)", "(local.get $a)"]);
                self.say(&format!("(i32.{op} offset={offset} {at} {other})"));
            }
        }
    }

    /// Loads, changes and stores in one place.
    fn change(&mut self) {
        let (at, offset) = self.address();
        let op = self.pick(&["add", "sub", "and", "or", "xor"]);
        let value = self.number(3);
        self.say(&format!(
            "(i32.store offset={offset} {at} (i32.{op} (i32.load offset={offset} {at}) {value}))"
        ));
    }

    fn vector(&mut self) {
        let (at, offset) = self.address();
        let op = self.pick(&["i32x4.add", "i16x8.mul", "f32x4.mul", "v128.xor", "i8x16.min_u"]);
        let load = self.pick(&["load", "load32_splat", "load8x8_u", "load64_zero"]);
        self.say(&format!(
            "(local.set $v ({op} (local.get $v) (v128.{load} offset={offset} {at})))"
        ));
        if self.random.below(2) == 0 {
            self.say(&format!("(v128.store offset={offset} {at} (local.get $v))"));
        }
    }

    fn bulk(&mut self) {
        let ((to, _), (from, _)) = (self.address(), self.address());
        let length = self.pick(&["(i32.const 8)", "(i32.const 3)", "(local.get $x)"]);
        match self.random.below(2) {
            0 => self.say(&format!("(memory.copy {to} {from} {length})")),
            _ => self.say(&format!("(memory.fill {to} (local.get $a) {length})")),
        }
    }

    fn table(&mut self) {
        let index = self.number(2);
        match self.random.below(4) {
            0 => self.say(&format!("(drop (table.get $t {index}))")),
            1 => self.say(&format!("(table.set $t {index} (ref.null func))")),
            2 => self.say(&format!("(call_indirect $t (type $other) (f32.const 0) {index})")),
            // Only of what ends: the one function that calls nothing.
            _ => self.say(&format!(
                "(if (i32.eq (local.tee $a {index}) (i32.const {})) (then (local.set $a \
                 (call_indirect $t (type $own) (local.get $x) (local.get $y) (local.get $z) \
                 (i32.const {})))))",
                self.functions,
                if self.number + 1 < self.functions { self.functions } else { 0 }
            )),
        }
    }
}
