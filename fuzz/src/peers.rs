//! Generated modules on Wardian, wasmtime and wasmi: results, traps and their places, memories, globals and
//! tables.
//!
//! Modules import nothing, end by a fuel of their own, and have canonical NaNs. What a peer refuses is not
//! compared with it; how deep a stack is, is everybody's own.

mod ours;
mod wasmi;
mod wasmtime;

use crate::outcome::note;
use crate::random::Random;
use arbitrary::Unstructured;
use wasm_smith::{Config, MemoryOffsetChoices, Module};

/// Calls of each function.
const ROUNDS: usize = 3;
/// What a guest may burn: function entries and loop headers.
const FUEL: u32 = 2_000;

/// What a run did: a line for each call and each item of state at the end.
type Lines = Vec<String>;

/// A value of one of the number types, by its bits.
#[derive(Clone, Copy, Debug)]
enum Number {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
}

pub(crate) fn run(data: &[u8]) {
    let (seed, rest) = data.split_at(data.len().min(8));
    let seed = seed.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let Some(bytes) = module(seed, rest) else { return note("too few bytes") };
    let ours = match ours::run(&bytes, seed) {
        Ok(all) => all,
        Err(error) => {
            // Too large, for example: then there is nothing to compare.
            return crate::outcome::note_error("not run", &error);
        }
    };
    let first = ("interpreted", &ours[0].1);
    for (name, lines) in &ours[1..] {
        must(&bytes, same(first, (name, lines), Place::Offset));
    }
    let compared = match wasmtime::run(&bytes, seed) {
        Ok(lines) => {
            must(&bytes, same(first, ("wasmtime", &lines), Place::Function));
            Ok(())
        }
        Err(error) => {
            crate::outcome::note_error("wasmtime", &error);
            Err(error)
        }
    };
    match on_large_stack(|| wasmi::run(&bytes, seed)) {
        // It tells no places. Where two runtimes agree against it, it is taken to be wrong.
        Ok(lines) => match (same(first, ("wasmi", &lines), Place::Nothing), compared) {
            (Err(_), Ok(())) => note("wasmi alone differs"),
            (Err(text), Err(error)) => must(&bytes, Err(format!("{text}\nno wasmtime: {error}"))),
            (Ok(()), _) => {}
        },
        Err(error) => crate::outcome::note_error("wasmi", &error),
    }
}

/// Does something on a stack of a gigabyte: wasmi's handlers call each other where the compiler makes no jump
/// of that, which depends on how it is built.
fn on_large_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(1 << 30).spawn_scoped(scope, work);
        let done = thread.expect("a thread can be started").join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn must(bytes: &[u8], done: Result<(), String>) {
    let Err(difference) = done else { return };
    let path = std::env::temp_dir().join("wardian-peers.wasm");
    std::fs::write(&path, bytes).expect("the module can be kept");
    panic!("{difference}\nmodule: {}", path.display());
}

/// How much of a trap's place is to be the same.
#[derive(Clone, Copy)]
enum Place {
    Offset,
    /// Wasmtime moves a load into the operator that uses it, and a trap into the branch that leads to it,
    /// and then tells that one's offset.
    Function,
    Nothing,
}

impl Place {
    fn of(self, line: &str) -> &str {
        match self {
            Place::Offset => line,
            // Also where wasmtime does not know the offset, which happens.
            Place::Function => {
                match line.rfind(" @").and_then(|at| Some(at + line[at..].find(':')?)) {
                    Some(colon) => &line[..colon],
                    None => line,
                }
            }
            Place::Nothing => line.split(" @").next().unwrap_or_default(),
        }
    }
}

/// The same lines.
fn same((one, a): (&str, &Lines), (other, b): (&str, &Lines), place: Place) -> Result<(), String> {
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        if x.contains("StackOverflow") || y.contains("StackOverflow") {
            note("overflowed");
            return Ok(());
        }
        if x != y && place.of(x) == place.of(y) {
            note(format!("{other} tells another place"));
        } else if x != y {
            return Err(format!("line {i}\n{one}:\n  {x}\n{other}:\n  {y}"));
        }
    }
    if a.len() != b.len() {
        return Err(format!("{one} has {} lines, {other} {}", a.len(), b.len()));
    }
    note(format!("{other} agrees on {:?} lines", a.len().checked_ilog2()));
    Ok(())
}

/// A module that imports nothing and ends.
fn module(seed: u64, choices: &[u8]) -> Option<Vec<u8>> {
    let mut random = Random::new(seed, "peers");
    let more;
    let choices = if choices.len() > 64 {
        choices
    } else {
        let length = 1 << (9 + random.below(4));
        more = random.bytes(length);
        &more
    };
    let config = config(&mut random);
    let mut module = Module::new(config, &mut Unstructured::new(choices)).ok()?;
    module.ensure_termination(FUEL).ok()?;
    Some(module.to_bytes())
}

fn config(random: &mut Random) -> Config {
    let (exceptions, objects) = (random.below(2) == 0, random.below(2) == 0);
    Config {
        disallow_traps: random.below(2) == 0,
        export_everything: true,
        max_imports: 0,
        min_types: 1,
        max_types: 6,
        min_funcs: 1,
        max_funcs: 1 + random.below(8),
        max_globals: random.below(6),
        max_data_segments: random.below(4),
        max_element_segments: random.below(4),
        max_elements: 12,
        max_memories: random.below(3),
        max_memory32_bytes: 1 << 18,
        max_memory64_bytes: 1 << 18,
        max_tables: random.below(3),
        max_table_elements: 60,
        max_tags: if exceptions { 3 } else { 0 },
        max_instructions: 20 + random.below(300),
        memory_offset_choices: MemoryOffsetChoices(80, 19, 1),
        memory_max_size_required: true,
        table_max_size_required: true,
        canonicalize_nans: true,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        multi_value_enabled: true,
        simd_enabled: true,
        relaxed_simd_enabled: false,
        tail_call_enabled: true,
        memory64_enabled: true,
        custom_page_sizes_enabled: random.below(4) == 0,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        extended_const_enabled: true,
        threads_enabled: false,
        gc_enabled: objects,
        exceptions_enabled: exceptions,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        custom_descriptors_enabled: false,
        shared_everything_threads_enabled: false,
        acquire_release_atomics_enabled: false,
        multibyte_array_access_enabled: false,
        allow_start_export: false,
        allow_invalid_funcs: false,
        generate_custom_sections: false,
        ..Config::default()
    }
}

/// The arguments of a call: the same in all runtimes. References are null.
struct Arguments(Random);

impl Arguments {
    fn new(seed: u64) -> Arguments {
        Arguments(Random::new(seed, "arguments"))
    }

    fn next(&mut self, ty: wardian::ValType) -> Option<Number> {
        use wardian::ValType;
        let bits = self.0.bits(ty);
        Some(match ty {
            ValType::I32 => Number::I32(bits as i32),
            ValType::I64 => Number::I64(bits as i64),
            ValType::F32 => Number::F32(bits as u32),
            ValType::F64 => Number::F64(bits as u64),
            ValType::V128 => Number::V128(bits),
            ValType::Ref(_) => return None,
        })
    }
}

/// Bytes as a number.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

/// The names of exports in the order of the module, which not every peer keeps.
fn exports(bytes: &[u8]) -> Vec<String> {
    let payloads = wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let sections = payloads.filter_map(|payload| match payload {
        wasmparser::Payload::ExportSection(section) => Some(section),
        _ => None,
    });
    let exports = sections.flat_map(|section| section.into_iter().map_while(Result::ok));
    exports.map(|export| export.name.to_owned()).collect()
}
