//! Modules from seeds.

use crate::random::Random;
use arbitrary::{Arbitrary, Unstructured};
use wasm_smith::{Config, MemoryOffsetChoices, Module};

/// A valid module with everything that Wardian implements, and that ends soon without waiting.
pub(crate) fn module(seed: u64) -> Vec<u8> {
    let threads = seed.is_multiple_of(3);
    let bytes = generated(seed, threads);
    if threads && waits(&bytes) { generated(seed, false) } else { bytes }
}

/// A module whose contents are chosen by bytes instead, as a fuzzer makes them. None if there are too few.
#[allow(dead_code, reason = "the tests have seeds only; `fuzz` uses this")]
pub(crate) fn from_bytes(seed: u64, choices: &[u8]) -> Option<Vec<u8>> {
    let config = config(&mut Random::new(seed, "module"), seed.is_multiple_of(3));
    let module = Module::new(config, &mut Unstructured::new(choices)).ok()?.to_bytes();
    (!waits(&module)).then_some(module)
}

fn generated(seed: u64, threads: bool) -> Vec<u8> {
    let mut random = Random::new(seed, "module");
    // Few bytes, or what a configuration asks for in vain, give no module.
    loop {
        let size = 1 << (8 + random.below(6));
        let config = config(&mut random, threads);
        let bytes = random.bytes(size);
        if let Ok(module) = Module::new(config, &mut Unstructured::new(&bytes)) {
            return module.to_bytes();
        }
    }
}

fn config(random: &mut Random, threads: bool) -> Config {
    let choices = random.bytes(256);
    let chosen = Config::arbitrary(&mut Unstructured::new(&choices)).expect("enough bytes");
    let all_instructions = random.below(2) == 0;
    let (objects, exceptions) = (random.below(2) == 0, random.below(2) == 0);
    let instructions = Config::default().allowed_instructions;
    Config {
        allowed_instructions: if all_instructions {
            instructions
        } else {
            chosen.allowed_instructions
        },
        disallow_traps: random.below(3) != 0,
        export_everything: true,
        max_imports: 12,
        min_imports: random.below(10),
        min_types: 1,
        max_types: 1 + random.below(12),
        min_funcs: 1,
        max_funcs: 1 + random.below(12),
        min_globals: 0,
        max_globals: random.below(6),
        min_exports: 0,
        max_exports: 100,
        min_data_segments: 0,
        max_data_segments: random.below(6),
        min_element_segments: 0,
        max_element_segments: random.below(6),
        min_elements: 0,
        max_elements: 20,
        min_memories: 0,
        max_memories: random.below(4),
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        min_tables: 0,
        max_tables: random.below(4),
        max_table_elements: 200,
        min_tags: 0,
        max_tags: if exceptions { 4 } else { 0 },
        max_instructions: 20 + random.below(400),
        memory_offset_choices: MemoryOffsetChoices(80, 19, 1),
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        multi_value_enabled: true,
        simd_enabled: true,
        relaxed_simd_enabled: true,
        tail_call_enabled: true,
        memory64_enabled: true,
        custom_page_sizes_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        extended_const_enabled: true,
        threads_enabled: threads,
        gc_enabled: objects,
        exceptions_enabled: exceptions,
        wide_arithmetic_enabled: true,
        compact_imports_enabled: false,
        custom_descriptors_enabled: false,
        shared_everything_threads_enabled: false,
        acquire_release_atomics_enabled: false,
        multibyte_array_access_enabled: false,
        allow_start_export: true,
        allow_invalid_funcs: false,
        generate_custom_sections: false,
        ..Config::default()
    }
}

/// Whether a function waits for others, of which there are none. Malformed code does not.
pub(crate) fn waits(bytes: &[u8]) -> bool {
    use wasmparser::{Operator, Parser, Payload};
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let bodies = payloads.filter_map(|payload| match payload {
        Payload::CodeSectionEntry(body) => body.get_operators_reader().ok(),
        _ => None,
    });
    bodies.flat_map(|reader| reader.into_iter().map_while(Result::ok)).any(|operator| {
        matches!(
            operator,
            Operator::MemoryAtomicWait32 { .. } | Operator::MemoryAtomicWait64 { .. }
        )
    })
}
