//! Putting counters into modules.
//!
//! Only what has to change is written anew, everything else is copied byte by byte.

use super::CoverageMap;
use super::blocks::Block;
use super::branches::{self, Branch};
use wardian::{MemoryType, Module, inspect::ModuleInfo};
use wasm_encoder::{
    CodeSection, Encode, EntityType, ExportKind, Instruction, MemArg, MemArgTarget, RawSection,
};

const IMPORT: u8 = 2;
const MEMORY: u8 = 5;
const EXPORT: u8 = 7;
const CODE: u8 = 10;
/// Sections by their place in a module; those not listed come after exports. The tag section, 13, is
/// between memories and globals.
const ORDER: [u8; 8] = [1, IMPORT, 3, 4, MEMORY, 13, 6, EXPORT];

/// The memory that counters are in.
#[derive(Debug)]
pub(super) struct Counters {
    /// Its index, after all memories of the original module.
    pub(super) memory: u32,
    pub(super) ty: MemoryType,
    /// It is imported, and shared by all instances.
    pub(super) imported: bool,
    /// Threads count at the same time.
    pub(super) atomic: bool,
}

impl Counters {
    pub(super) fn new(module: &Module, blocks: usize) -> Counters {
        let memories = &module.info().memories;
        let pages = (blocks as u64 * 8).div_ceil(1 << 16).max(1);
        let atomic = memories.iter().any(|memory| memory.shared);
        let mut ty = MemoryType::new(pages, Some(pages));
        ty.shared = atomic;
        // A further import would move memories that the module defines itself.
        let imported = atomic && memories.len() == module.info().imported_memories as usize;
        Counters { memory: memories.len() as u32, ty, imported, atomic }
    }

    /// The operators that count the entry of a block.
    fn count(&self, counter: usize, code: &mut Vec<u8>) {
        let target = MemArgTarget::Memory(self.memory);
        let place = MemArg { offset: counter as u64 * 8, align: 3, target, ordering: None };
        let operators: &[Instruction<'_>] = match self.atomic {
            true => &[
                Instruction::I32Const(0),
                Instruction::I64Const(1),
                Instruction::I64AtomicRmwAdd(place),
                Instruction::Drop,
            ],
            false => &[
                Instruction::I32Const(0),
                Instruction::I32Const(0),
                Instruction::I64Load(place),
                Instruction::I64Const(1),
                Instruction::I64Add,
                Instruction::I64Store(place),
            ],
        };
        operators.iter().for_each(|operator| operator.encode(code));
    }

    fn encoded_type(&self) -> wasm_encoder::MemoryType {
        wasm_encoder::MemoryType {
            minimum: self.ty.min,
            maximum: self.ty.max,
            memory64: false,
            shared: self.ty.shared,
            page_size_log2: None,
        }
    }
}

/// The module with a counter at the beginning of each block, and those of branches.
pub(super) fn rewrite(
    module: &Module,
    blocks: &[Block],
    branches: &[Branch],
    counters: &Counters,
) -> Vec<u8> {
    let (info, bytes) = (module.info(), module.bytes());
    let mut out = wasm_encoder::Module::new();
    let mut missing = additions(info, counters);
    let mut customs = info.customs.iter();
    for section in &info.sections {
        let data = &bytes[section.range.clone()];
        if section.id == 0 {
            let name = customs.next().map_or("", |custom| &custom.name);
            if !is_about_code(name) {
                out.section(&RawSection { id: 0, data });
            }
            continue;
        }
        while let Some((id, item)) = missing.first().filter(|a| place(a.0) < place(section.id)) {
            out.section(&RawSection { id: *id, data: &with_one_more(&[0], item) });
            missing.remove(0);
        }
        match missing.iter().position(|(id, _)| *id == section.id) {
            Some(index) => {
                let (id, item) = missing.remove(index);
                out.section(&RawSection { id, data: &with_one_more(data, &item) });
            }
            None if section.id == CODE => {
                out.section(&code(module, blocks, branches, counters));
            }
            None => {
                out.section(&RawSection { id: section.id, data });
            }
        }
    }
    for (id, item) in missing {
        out.section(&RawSection { id, data: &with_one_more(&[0], &item) });
    }
    out.finish()
}

/// What is added to which section, in their order.
fn additions(info: &ModuleInfo, counters: &Counters) -> Vec<(u8, Vec<u8>)> {
    let mut memory = Vec::new();
    let section = if counters.imported {
        CoverageMap::IMPORT.0.encode(&mut memory);
        CoverageMap::IMPORT.1.encode(&mut memory);
        EntityType::Memory(counters.encoded_type()).encode(&mut memory);
        IMPORT
    } else {
        counters.encoded_type().encode(&mut memory);
        MEMORY
    };
    let mut name = CoverageMap::IMPORT.0.to_owned();
    while info.exports.iter().any(|export| export.name == name) {
        name.push('\'');
    }
    let mut export = Vec::new();
    name.as_str().encode(&mut export);
    ExportKind::Memory.encode(&mut export);
    counters.memory.encode(&mut export);
    vec![(section, memory), (EXPORT, export)]
}

fn place(id: u8) -> usize {
    ORDER.iter().position(|other| *other == id).unwrap_or(ORDER.len())
}

/// A section that is a list, with another item at its end.
fn with_one_more(section: &[u8], item: &[u8]) -> Vec<u8> {
    let mut reader = wasmparser::BinaryReader::new(section, 0);
    let count = reader.read_var_u32().expect("the module is valid");
    let mut data = Vec::with_capacity(section.len() + item.len() + 1);
    (count + 1).encode(&mut data);
    data.extend_from_slice(&section[reader.original_position() as usize..]);
    data.extend_from_slice(item);
    data
}

/// Custom sections that are wrong once code has moved.
fn is_about_code(name: &str) -> bool {
    let starts = [".debug_", "reloc.", "metadata.code."];
    let names = ["linking", "external_debug_info", "sourceMappingURL"];
    starts.iter().any(|start| name.starts_with(start)) || names.contains(&name)
}

fn code(
    module: &Module,
    blocks: &[Block],
    branches: &[Branch],
    counters: &Counters,
) -> CodeSection {
    let info = module.info();
    let all = &module.bytes()[info.code_section..];
    let mut section = CodeSection::new();
    let (mut next, mut next_branch) = (0, 0);
    for (func, range) in info.bodies.iter().enumerate() {
        let range = range.start - info.code_section..range.end - info.code_section;
        let mut body = Vec::with_capacity(range.len() * 2);
        let mut copied = range.start;
        let mut local = 0;
        if branches.get(next_branch).is_some_and(|branch| branch.func as usize == func) {
            let (index, locals, end) = branches::locals(module, func);
            body.extend_from_slice(&locals);
            (local, copied) = (index, end as usize);
        }
        loop {
            let block = blocks.get(next).filter(|block| block.func as usize == func);
            let branch = branches.get(next_branch).filter(|b| b.func as usize == func);
            // Of both at one operator the block is first: its counter leaves the stack as it is.
            let is_block = match (block, branch) {
                (Some(block), Some(branch)) => block.start <= branch.offset,
                (block, _) => block.is_some(),
            };
            if let (true, Some(block)) = (is_block, block) {
                body.extend_from_slice(&all[copied..block.start as usize]);
                counters.count(next, &mut body);
                copied = block.start as usize;
                next += 1;
            } else if let Some(branch) = branch {
                body.extend_from_slice(&all[copied..branch.offset as usize]);
                branches::count(branch, counters, local, &mut body);
                copied = branch.offset as usize;
                next_branch += 1;
            } else {
                break;
            }
        }
        body.extend_from_slice(&all[copied..range.end]);
        section.raw(&body);
    }
    section
}
