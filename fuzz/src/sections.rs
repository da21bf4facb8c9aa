//! Custom sections of real modules, changed, and everything that reads them: names, debug information,
//! backtraces, profiles, coverage.

use crate::input::Input;
use crate::outcome::{note, note_error};
use crate::seeds;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use wardian::{
    Config, Engine, EngineKind, Instance, InstantiateOptions, Linker, Module, Store,
    resolver::TrapStubs,
};
use wardian_observe::{CoreDump, CoverageMap, Format, Profiler, ProfilerOptions, TrapReport};

/// More than any module of this size may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of code of a module that is small.
const SMALL: usize = 6 << 10;
/// How much is read of a text that is to be shown.
const SHOWN: usize = 4 << 20;

const NAMES: [&str; 20] = [
    "name",
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_str",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_line_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_loc",
    ".debug_aranges",
    ".debug_types",
    "producers",
    "target_features",
    "sourceMappingURL",
    "external_debug_info",
    "metadata.code.branch_hint",
    "linking",
    "dylink.0",
];

/// Functions that call each other and trap, when asked to.
const TRAPS: &str = r#"(module $m
    (memory (export "memory") 1) (global $g (export "g") (mut i32) (i32.const 3))
    (func $leaf (param i32) (result i32)
      (if (i32.eqz (local.get 0)) (then unreachable)) (i32.load (local.get 0)))
    (func $mid (param i32) (result i32) (i32.add (call $leaf (local.get 0)) (global.get $g)))
    (func $run (export "trap or not") (param i32) (result i32)
      (i32.mul (call $mid (local.get 0)) (call $mid (i32.const 8)))))"#;

/// A module without its custom sections, and these.
struct Base {
    code: Vec<u8>,
    customs: Vec<(String, Vec<u8>)>,
}

static BASES: LazyLock<Vec<Base>> = LazyLock::new(|| {
    let mut modules = vec![wat::parse_str(TRAPS).expect("the text is a module")];
    modules.extend(seeds::guests().into_iter().filter(|g| g.starts_with(b"\0asm")));
    modules.iter().map(|bytes| base(bytes)).collect()
});

fn base(bytes: &[u8]) -> Base {
    use wasmparser::{Parser, Payload};
    let (mut code, mut customs) = (bytes[..8].to_vec(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.expect("it is a module");
        if let Payload::CustomSection(section) = &payload {
            customs.push((section.name().to_owned(), section.data().to_vec()));
        } else if let Some((id, range)) = payload.as_section() {
            code.push(id);
            code.extend(leb(range.end as usize - range.start as usize));
            code.extend(&bytes[range.start as usize..range.end as usize]);
        }
    }
    Base { code, customs }
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (bytes, small) = module(&mut input);
    // A large module is not compiled, so that many inputs are run.
    let kind = if small { input.pick(&KINDS) } else { EngineKind::Interpreted };
    let start = Instant::now();
    let engine = engine(kind);
    let module = match Module::new(&engine, &bytes) {
        Ok(module) => module,
        Err(error) => return note_error("refused", &error),
    };
    ask(&module);
    let within = |what: &str| {
        let took = start.elapsed();
        assert!(took < PATIENCE, "{what} of {} bytes took {took:?}", bytes.len());
    };
    within("asking for places and names");
    trap(&engine, &module);
    within("a trap");
    profile(&engine, &module);
    within("a profile");
    cover(&engine, &module);
    within("coverage");
}

const KINDS: [EngineKind; 3] = [EngineKind::Interpreted, EngineKind::Tiered, EngineKind::Compiled];

fn engine(kind: EngineKind) -> Engine {
    static ENGINES: LazyLock<[Engine; 3]> = LazyLock::new(|| {
        KINDS.map(|kind| {
            let mut config = Config::new();
            config.engine(kind).hot_after(Some(1)).compile_threads(1);
            config.background_compilation(false);
            Engine::new(&config).expect("the configuration works")
        })
    });
    ENGINES[KINDS.iter().position(|k| *k == kind).expect("it is one of them")].clone()
}

/// A base with sections that are changed, left out, doubled, or made of bytes; and whether it is small.
fn module(input: &mut Input<'_>) -> (Vec<u8>, bool) {
    let bases = &*BASES;
    let few: Vec<usize> = (0..bases.len()).filter(|i| bases[*i].code.len() < SMALL).collect();
    let at = match input.below(12) {
        0 => input.below(bases.len()),
        1..=5 => few[input.below(few.len())],
        _ => 0,
    };
    let mut customs = bases[at].customs.clone();
    if at == 0 && bases.len() > 1 && input.flag() {
        // The small module with another's sections: their offsets lie in other code.
        customs.clone_from(&bases[1 + input.below(bases.len() - 1)].customs);
    }
    let actions = input.below(12);
    for _ in 0..actions {
        if customs.is_empty() || input.below(8) == 0 {
            let length = input.below(512);
            customs.push((input.pick(&NAMES).to_owned(), input.take(length).to_vec()));
        } else {
            let of = input.below(customs.len());
            change(&mut customs, of, input);
        }
    }
    let mut bytes = bases[at].code.clone();
    for (name, content) in customs {
        let name = [leb(name.len()), name.into_bytes()].concat();
        bytes.push(0);
        bytes.extend(leb(name.len() + content.len()));
        bytes.extend(name);
        bytes.extend(content);
    }
    (bytes, few.contains(&at))
}

fn change(customs: &mut Vec<(String, Vec<u8>)>, of: usize, input: &mut Input<'_>) {
    let action = input.below(10);
    let content = &mut customs[of].1;
    let at = if content.is_empty() { 0 } else { input.number() as usize % content.len() };
    match action {
        0 => drop(customs.remove(of)),
        1 => customs[of].0 = input.pick(&NAMES).to_owned(),
        2 => content.truncate(at),
        3 => {
            let end = (at + input.below(4096)).min(content.len());
            let copied = content[at..end].to_vec();
            content.extend(copied);
        }
        4 => {
            let length = input.below(64);
            let bytes = input.take(length).to_vec();
            content.splice(at..at, bytes);
        }
        5 => {
            let copied = customs[of].clone();
            customs.push(copied);
        }
        _ if !content.is_empty() => {
            for _ in 0..=input.below(8) {
                let near = (at + input.below(64)) % content.len();
                content[near] = input.byte();
            }
        }
        _ => {}
    }
}

fn ask(module: &Module) {
    note(format!("{:?}", module.debug_info()));
    let info = module.info();
    let mut lines = 0;
    let end = info.bodies.last().map_or(0, |body| body.end - info.code_section) as u32;
    for step in 0..64 {
        lines += module.source_locations(end / 64 * step + step % 7).len();
    }
    note(format!("lines {:?}", lines.checked_ilog2()));
    for index in 0..info.functions.len().min(500) as u32 {
        if let Some(name) = module.func_name(index) {
            assert!(
                wardian::inspect::demangle(name).len() < SHOWN,
                "the name of function {index} is endless"
            );
        }
    }
    let _ = module.name();
}

/// Imports are stubs; a program that has no `run` is not run.
fn instance(store: &mut Store<()>, module: &Module) -> Option<Instance> {
    let options = InstantiateOptions::new().with_import_resolver(TrapStubs::with_zeroes());
    match Linker::new(store.engine()).instantiate_with(store, module, &options) {
        Ok(instance) => Some(instance),
        Err(error) => {
            note_error("not instantiated", &error);
            None
        }
    }
}

fn trap(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ());
    let Some(instance) = instance(&mut store, module) else { return };
    let Ok(run) = instance.typed_func::<i32, i32>(&mut store, "trap or not") else { return };
    for argument in [4, 4, 0, 0x20000] {
        if let Err(error) = run.call(&mut store, argument) {
            let shown = error.to_string() + &TrapReport::new(&error).to_string();
            assert!(shown.len() < SHOWN, "the report of the trap has {} bytes", shown.len());
            let trace = error.backtrace().expect("a trap has one");
            assert_eq!(trace.frames().len(), 3, "{shown}");
            for frame in trace.frames() {
                note(format!("inlined {}", frame.source_locations().len().min(8)));
            }
            let mut dump = CoreDump::new("fuzz");
            dump.add_instance(instance.internal(&store));
            dump.add_thread("main", trace);
            let mut bytes = Vec::new();
            dump.write(&mut bytes).expect("memory takes all");
        }
    }
}

fn profile(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ());
    let profiler = Profiler::new(ProfilerOptions::exact());
    let Some(instance) = instance(&mut store, module) else { return };
    profiler.watch(&mut store, instance).expect("it can be watched");
    if let Ok(run) = instance.typed_func::<i32, i32>(&mut store, "trap or not") {
        run.call(&mut store, 4).expect("it does not trap");
        run.call(&mut store, 0).expect_err("it traps");
    }
    drop(store);
    let profile = profiler.finish();
    let _ = profile.summary();
    for format in [Format::Pprof, Format::Folded] {
        profile.write(format, std::io::sink()).expect("a sink takes all");
    }
}

fn cover(engine: &Engine, module: &Module) {
    let (bytes, map) = CoverageMap::instrument(module).expect("it is valid");
    let counted = match Module::new(engine, bytes) {
        Ok(module) => module,
        Err(error) => panic!("the instrumented module is refused: {error}"),
    };
    let mut store = Store::new(engine, ());
    let Some(instance) = instance(&mut store, &counted) else { return };
    if let Ok(run) = instance.typed_func::<i32, i32>(&mut store, "trap or not") {
        run.call(&mut store, 4).expect("it does not trap");
    }
    let counts = map.counts(&instance.internal(&store)).expect("it is an instance of that module");
    let report = map.report(&counts, "fuzz");
    report.write_lcov(&mut std::io::sink(), "listing").expect("a sink takes all");
    report.write_html(&mut std::io::sink()).expect("a sink takes all");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut found = seeds::few();
    found.extend((0..64u8).map(|i| {
        let bytes = (0..=200u8).map(|b| b.wrapping_mul(i | 1) ^ i.rotate_left(4));
        [i & 1, i >> 1, i & 2].into_iter().chain(bytes).collect()
    }));
    found
}
