//! Branches: operators that choose how control or a value continues.
//!
//! Each has a counter for each outcome, which counts right before the operator, so that the counts are exact whatever
//! happens later. Outcomes of `br_if`, `if` and `select` are that the condition is zero, and that it is not; those of
//! `br_table` its targets, the default one last.

use super::blocks::{self, Block};
use super::rewrite::Counters;
use wardian::{Module, inspect::DefinedFuncIndex};
use wasm_encoder::{Encode, Instruction, MemArg, MemArgTarget, ValType};
use wasmparser::Operator;

/// An operator that chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    /// The function, counted from the first that the module defines.
    pub(super) func: u32,
    /// Its offset in the code section.
    pub(super) offset: u32,
    /// How many outcomes it has.
    pub(super) outcomes: u32,
    /// The counter of its first outcome.
    pub(super) counter: usize,
}

/// The operators that choose and can be reached, in the order of their offsets; their counters come after so many.
pub(super) fn of(module: &Module, blocks: &[Block]) -> Vec<Branch> {
    let (mut branches, mut counter, mut at) = (Vec::new(), blocks.len(), 0);
    for func in 0..module.info().bodies.len() {
        blocks::operators(&blocks::body(module, func), |operator, offset, _| {
            let outcomes = match operator {
                Operator::If { .. }
                | Operator::BrIf { .. }
                | Operator::Select
                | Operator::TypedSelect { .. }
                | Operator::TypedSelectMulti { .. } => 2,
                Operator::BrTable { targets } => targets.len() + 1,
                _ => return,
            };
            while blocks.get(at).is_some_and(|block| block.end <= offset) {
                at += 1;
            }
            if blocks.get(at).is_some_and(|block| block.start <= offset) {
                branches.push(Branch { func: func as u32, offset, outcomes, counter });
                counter += outcomes as usize;
            }
        });
    }
    branches
}

/// How many counters branches have.
pub(super) fn counters(branches: &[Branch]) -> usize {
    branches.iter().map(|branch| branch.outcomes as usize).sum()
}

/// The operators that count which outcome a branch has; its condition or index is on the stack, and stays there. They use two
/// locals of type `i32`, the first of which is `local`.
pub(super) fn count(branch: &Branch, counters: &Counters, local: u32, code: &mut Vec<u8>) {
    let target = MemArgTarget::Memory(counters.memory);
    let offset = branch.counter as u64 * 8;
    let place = MemArg { offset, align: 3, target, ordering: None };
    let (chosen, address) = (local, local + 1);
    let last = i32::try_from(branch.outcomes - 1).unwrap_or(i32::MAX);
    let mut all = vec![
        Instruction::LocalSet(chosen),
        // The number of the outcome: what is above the last is the last.
        Instruction::LocalGet(chosen),
        Instruction::I32Const(last),
        Instruction::LocalGet(chosen),
        Instruction::I32Const(last),
        Instruction::I32LtU,
        Instruction::Select,
        Instruction::I32Const(3),
        Instruction::I32Shl,
    ];
    match counters.atomic {
        true => all.extend([
            Instruction::I64Const(1),
            Instruction::I64AtomicRmwAdd(place),
            Instruction::Drop,
        ]),
        false => all.extend([
            Instruction::LocalTee(address),
            Instruction::LocalGet(address),
            Instruction::I64Load(place),
            Instruction::I64Const(1),
            Instruction::I64Add,
            Instruction::I64Store(place),
        ]),
    }
    all.push(Instruction::LocalGet(chosen));
    all.iter().for_each(|operator| operator.encode(code));
}

/// The beginning of a function's body, its locals, with two more of type `i32`: the index of the first of them, and the
/// bytes. Also where the operators begin.
pub(super) fn locals(module: &Module, func: usize) -> (u32, Vec<u8>, u32) {
    let body = blocks::body(module, func);
    let info = module.info();
    let params = info.defined_type(DefinedFuncIndex::from_usize(func)).params().len();
    let mut reader = body.get_locals_reader().expect("the module is valid");
    let groups = reader.get_count();
    let first = reader.original_position() as u32;
    let mut index = params as u32;
    for _ in 0..groups {
        index += reader.read().expect("the module is valid").0;
    }
    let end = reader.original_position() as u32;
    let mut bytes = Vec::new();
    (groups + 1).encode(&mut bytes);
    let all = &module.bytes()[info.code_section..];
    bytes.extend_from_slice(&all[first as usize..end as usize]);
    2u32.encode(&mut bytes);
    ValType::I32.encode(&mut bytes);
    (index, bytes, end)
}
