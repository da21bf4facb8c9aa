//! Which functions and source files the code of a module comes from.

use std::cmp::Reverse;
use std::collections::HashMap;
use wardian_module::Module;
use wasmparser::{BinaryReader, FunctionBody};

/// A part of the code.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) bytes: usize,
}

/// The code of a module by where it comes from, the largest part first.
pub(super) struct Sizes {
    pub(super) functions: Vec<Part>,
    /// By the innermost inlined function's file; empty without debug information.
    pub(super) files: Vec<Part>,
}

impl Sizes {
    pub(super) fn of(module: &Module) -> Sizes {
        let info = module.info();
        let bodies = (info.imported_functions..).zip(&info.bodies);
        let function = |(index, body): (u32, &std::ops::Range<usize>)| {
            let name = module.func_name(index).map(wardian_module::demangle);
            Part { name: name.unwrap_or_else(|| format!("<function {index}>")), bytes: body.len() }
        };
        Sizes { functions: sorted(bodies.map(function)), files: files(module) }
    }
}

fn files(module: &Module) -> Vec<Part> {
    let info = module.info();
    if module.custom_section(".debug_line").is_none() {
        return Vec::new();
    }
    let mut files: HashMap<String, usize> = HashMap::new();
    for body in &info.bodies {
        let offset = (body.start - info.code_section) as u64;
        let body = FunctionBody::new(BinaryReader::new(&module.bytes()[body.clone()], offset));
        let Ok(mut reader) = body.get_operators_reader() else { continue };
        while let Ok((_, offset)) = reader.read_with_offset() {
            let bytes = (reader.original_position() - offset) as usize;
            let file = module.source_locations(offset as u32).into_iter().next().map(|at| at.file);
            *files.entry(file.unwrap_or_else(|| "(unknown)".into())).or_default() += bytes;
            if reader.eof() {
                break;
            }
        }
    }
    sorted(files.into_iter().map(|(name, bytes)| Part { name, bytes }))
}

fn sorted(parts: impl Iterator<Item = Part>) -> Vec<Part> {
    let mut parts: Vec<Part> = parts.collect();
    parts.sort_by(|a, b| (Reverse(a.bytes), &a.name).cmp(&(Reverse(b.bytes), &b.name)));
    parts
}
