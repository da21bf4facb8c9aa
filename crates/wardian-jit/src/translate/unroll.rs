//! Unrolling of small loops: the body is translated several times. Where loops poll, only the first copy does.
//!
//! ```text
//!   header ── poll ── copy ── next ──> copy ── next ──> copy ── next ──> header
//!                       └─ leave ──> exit <── leave ─┘ <── leave ─┘
//! ```
//!
//! Each copy keeps the loop's own conditions, so no trip count has to be known. What an iteration leaves in locals,
//! globals and memory stays in registers for the next one. All copies have the same code offsets.

use super::capture::Homes;
use super::control::{Kind, Shape};
use super::state::{Outcome, Translator};
use cranelift_codegen::ir::Block;
use wardian_module::operators::{Control, Group};
use wardian_vm::compiled::OptLevel;
use wasmparser::OperatorsReader;

/// The operators that all copies of a body may have together.
const MOST_OPERATORS: u32 = 60;
/// The copies that a body may have.
const MOST_COPIES: u32 = 4;

/// A loop that is open.
pub(super) struct Copies {
    header: Block,
    /// Where branches to the loop lead: the header, or the next copy of the body.
    next: Block,
    next_used: bool,
    /// The copies that are still to be translated behind this one.
    left: u32,
    /// The cells that are up to date where each copy begins.
    homes: Homes,
}

impl Copies {
    /// The block that a branch to the loop leads to.
    pub(super) fn target(&mut self) -> Block {
        self.next_used = true;
        self.next
    }

    /// The header, which no other branch will lead to.
    pub(super) fn header(&self) -> Block {
        self.header
    }
}

impl Translator<'_, '_> {
    /// The loop begins whose header is the current block.
    pub(super) fn begin_copies(&mut self, header: Block, shape: &Shape) -> Copies {
        let left = std::mem::take(&mut self.more_copies);
        let homes = self.homes();
        let next = if left == 0 { header } else { self.loop_header(shape) };
        Copies { header, next, next_used: false, left, homes }
    }

    /// The body of a loop ends: begins its next copy, if there is one. Returns whether there is.
    pub(super) fn begin_next_copy(&mut self) -> Outcome<bool> {
        let Kind::Loop(copies) = &mut self.top()?.kind else { return Ok(false) };
        if copies.left == 0 {
            return Ok(false);
        }
        let (begin, homes) = (copies.next, copies.homes);
        if !copies.next_used {
            copies.left = 0;
            self.b.seal_block(begin);
            return Ok(false);
        }
        copies.left -= 1;
        (copies.next, copies.next_used) = (copies.header, false);
        let last = copies.left == 0;
        self.fall_out()?;
        let frame = self.top()?;
        let (height, shape) = (frame.height, frame.shape.clone());
        if !last {
            let next = self.loop_header(&shape);
            if let Kind::Loop(copies) = &mut self.top()?.kind {
                copies.next = next;
            }
        }
        self.enter(begin);
        self.stack.truncate(height);
        self.stack.extend(self.b.block_params(begin).iter().copied());
        self.set_homes(homes);
        self.reachable = true;
        self.repeats = true;
        Ok(true)
    }

    /// How many copies follow the first one of the loop whose body is about to be read.
    pub(super) fn copies_to_add(&self, body: &OperatorsReader<'_>) -> u32 {
        let tunables = self.env.tunables;
        // Where fuel is counted, each iteration asks for it.
        if !tunables.unrolling || tunables.fuel || tunables.opt_level != OptLevel::Speed {
            return 0;
        }
        let operators = operators_of_small_loop(body.clone());
        operators.map_or(0, |operators| (MOST_OPERATORS / operators).clamp(1, MOST_COPIES) - 1)
    }
}

/// How many operators a loop has, if there are few, and neither loops nor calls among them, nor anything else where a
/// frame may be captured: of such a place there is one in the tables for each code offset.
fn operators_of_small_loop(mut body: OperatorsReader<'_>) -> Option<u32> {
    let mut depth = 1;
    for operators in 1..=MOST_OPERATORS / 2 {
        match Group::from(body.read().ok()?) {
            Group::Control(Control::Block { .. } | Control::If { .. }) => depth += 1,
            Group::Control(Control::Loop { .. }) => return None,
            Group::Control(Control::End) => depth -= 1,
            Group::Call(_) | Group::Exception(_) | Group::Atomic(_) => return None,
            _ => {}
        }
        if depth == 0 {
            return Some(operators);
        }
    }
    None
}
