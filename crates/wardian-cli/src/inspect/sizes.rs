//! What a module's file consists of, and where that comes from.

mod retained;

use std::cmp::Reverse;
use std::collections::HashMap;
use wardian_module::{ConstOp, Module, SegmentMode};

/// A part of the file.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) bytes: usize,
    /// Of a function: its size, and that of all functions that nobody could call without it.
    pub(super) retained: Option<usize>,
}

impl Part {
    fn new(name: impl Into<String>, bytes: usize) -> Part {
        Part { name: name.into(), bytes, retained: None }
    }
}

/// A file by where its bytes come from, the largest part first.
pub(super) struct Sizes {
    /// All of it: the sum is the file's size.
    pub(super) sections: Vec<Part>,
    /// The bodies of the functions.
    pub(super) functions: Vec<Part>,
    /// The same bytes by the innermost inlined function's file; empty without debug information.
    pub(super) files: Vec<Part>,
    /// The contents of data segments.
    pub(super) data: Vec<Part>,
}

impl Sizes {
    pub(super) fn of(module: &Module) -> Sizes {
        Sizes {
            sections: sorted(sections(module)),
            functions: sorted(functions(module)),
            files: files(module),
            data: sorted(data(module)),
        }
    }
}

/// Sections with what stands before them: their numbers and sizes, and the names of custom ones.
fn sections(module: &Module) -> Vec<Part> {
    let mut end = module.bytes().len().min(8);
    let mut parts = vec![Part::new("(magic number and version)", end)];
    for section in super::sections(module) {
        let next = section.offset + section.size;
        let name = section.name.map(|n| format!(" {n}")).unwrap_or_default();
        parts.push(Part::new(format!("{}{name}", section.kind), next.saturating_sub(end)));
        end = next;
    }
    parts
}

fn functions(module: &Module) -> Vec<Part> {
    let info = module.info();
    let retained = retained::sizes(module);
    let bodies = info.bodies.enumerated().zip(retained);
    let function = |((defined, body), retained): ((_, &std::ops::Range<usize>), usize)| Part {
        name: module.display_name(info.func_index(defined)),
        bytes: body.len(),
        retained: Some(retained),
    };
    bodies.map(function).collect()
}

fn files(module: &Module) -> Vec<Part> {
    let info = module.info();
    let mut files: HashMap<String, usize> = HashMap::new();
    let mut known = 0;
    for offsets in info.bodies.indices().filter_map(|defined| info.body_offsets(defined)) {
        module.source_files(offsets, &mut |file, bytes| {
            known += bytes as usize;
            match files.get_mut(file) {
                Some(sum) => *sum += bytes as usize,
                None => _ = files.insert(file.to_owned(), bytes as usize),
            }
        });
    }
    if files.is_empty() {
        return Vec::new();
    }
    let code: usize = info.bodies.iter().map(ExactSizeIterator::len).sum();
    let unknown = Part::new("(unknown)", code.saturating_sub(known));
    sorted(files.into_iter().map(|(name, bytes)| Part::new(name, bytes)).chain([unknown]).collect())
}

fn data(module: &Module) -> Vec<Part> {
    let part = |(index, segment): (usize, &wardian_module::DataSegment)| {
        let place = match &segment.mode {
            SegmentMode::Active { index, offset } => match offset.ops[..] {
                [ConstOp::I32(at)] => format!(" at {:#x} of memory {index}", at.cast_unsigned()),
                [ConstOp::I64(at)] => format!(" at {:#x} of memory {index}", at.cast_unsigned()),
                _ => format!(" of memory {index}"),
            },
            _ => ", used on demand".to_owned(),
        };
        Part::new(format!("segment {index}{place}"), segment.range.len())
    };
    module.info().data.iter().enumerate().map(part).collect()
}

fn sorted(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by(|a, b| (Reverse(a.bytes), &a.name).cmp(&(Reverse(b.bytes), &b.name)));
    parts
}
