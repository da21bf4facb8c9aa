//! Small loops that poll are translated several times, one round behind the other, so that they poll once in a while.
//!
//! ```text
//!   header ── poll ── round ── next ──> round ── next ──> round ── next ──> header
//!                       └─ leave ──> exit <── leave ─┘ <── leave ─┘
//! ```
//!
//! Each round has its own condition, so nothing needs to be known of how often the loop runs. What a round leaves in
//! locals, globals and memory stays in registers for the next one. All rounds have the same code offsets.

use super::capture::Homes;
use super::control::{Kind, Shape};
use super::state::{Outcome, Translator};
use crate::settings::{Capture, OptLevel};
use cranelift_codegen::ir::Block;
use wardian_module::operators::{Control, Group};
use wasmparser::OperatorsReader;

/// The operators that all rounds of a loop may have together.
const MOST_OPERATORS: u32 = 60;
/// The rounds that a loop may have.
const MOST_ROUNDS: u32 = 4;

/// A loop that is open.
pub(super) struct Rounds {
    header: Block,
    /// Where branches to the loop lead: the header, or the next round.
    next: Block,
    next_used: bool,
    /// The rounds that are still to be translated behind this one.
    left: u32,
    /// The cells that are up to date where each round begins.
    homes: Homes,
}

impl Rounds {
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
    pub(super) fn begin_rounds(&mut self, header: Block, shape: &Shape) -> Rounds {
        let left = std::mem::take(&mut self.more_rounds);
        let homes = self.homes();
        let next = if left == 0 { header } else { self.loop_header(shape) };
        Rounds { header, next, next_used: false, left, homes }
    }

    /// The body of a loop ends: begins its next round, if there is one. Returns whether there is.
    pub(super) fn begin_next_round(&mut self) -> Outcome<bool> {
        let Kind::Loop(rounds) = &mut self.top()?.kind else { return Ok(false) };
        if rounds.left == 0 {
            return Ok(false);
        }
        let (begin, homes) = (rounds.next, rounds.homes);
        if !rounds.next_used {
            rounds.left = 0;
            self.b.seal_block(begin);
            return Ok(false);
        }
        rounds.left -= 1;
        (rounds.next, rounds.next_used) = (rounds.header, false);
        let last = rounds.left == 0;
        self.fall_out()?;
        let frame = self.top()?;
        let (height, shape) = (frame.height, frame.shape.clone());
        if !last {
            let next = self.loop_header(&shape);
            if let Kind::Loop(rounds) = &mut self.top()?.kind {
                rounds.next = next;
            }
        }
        self.enter(begin);
        self.stack.truncate(height);
        self.stack.extend_from_slice(self.b.block_params(begin));
        self.set_homes(homes);
        self.reachable = true;
        self.repeats = true;
        Ok(true)
    }

    /// How many rounds follow the first one of the loop whose body is about to be read.
    pub(super) fn rounds_to_add(&self, body: &OperatorsReader<'_>) -> u32 {
        let tunables = self.env.tunables;
        let polls = tunables.capture == Capture::CallsAndLoops;
        // Where fuel is counted, it is asked for in each round.
        if !polls || tunables.fuel || tunables.opt_level != OptLevel::Speed {
            return 0;
        }
        let operators = operators_of_small_loop(body.clone());
        operators.map_or(0, |operators| (MOST_OPERATORS / operators).clamp(1, MOST_ROUNDS) - 1)
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
