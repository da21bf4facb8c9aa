//! Appending instructions, and what is done where a slot is out of their reach.
//!
//! ```text
//!   far_source -> scratch 0     copies with slots of 32 bits
//!   window +n                   fp moves to the scratch slots above the operand stack
//!   the instruction             all its slots are among the first of those
//!   window -n
//!   scratch 1 -> far_target
//! ```
//!
//! The current frame is known from the store while fp is moved, so a trap in between is reported
//! well. Only instructions that always continue with the next one, or trap, are run in a window.

use super::Body;
use crate::op::{self, HEAD, Instruction, Opcode};
use crate::operand::{Branch, D, Far, I32, Operand, Register, U32, Use};
use crate::translation::CodeUnit;
use wardian_types::CodeOffset;
use wardian_vm::interpreted::FrameSlot;

/// Slots above the operand stack that every frame has: what an instruction needs in a window.
pub(super) const SCRATCH: i32 = 8;

/// The first slot that no instruction can name; some are left for pairs.
const REACH: FrameSlot = FrameSlot::from_i32(i16::MAX as i32 - 2);

/// Branches that wait for the place they go to: a list through the places where their offsets will
/// stand. The beginning of the code, where no offset can stand, ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain(CodeUnit);

impl Chain {
    pub(super) fn is_empty(self) -> bool {
        self.0 == CodeUnit::FIRST
    }
}

impl Default for Chain {
    fn default() -> Chain {
        Chain(CodeUnit::FIRST)
    }
}

impl Body<'_> {
    /// Appends an instruction.
    #[inline]
    pub(super) fn emit<I: Instruction>(&mut self, instruction: I) {
        if self.max_height >= REACH {
            return self.emit_far(instruction);
        }
        self.append(instruction);
    }

    #[inline]
    pub(super) fn append<I: Instruction>(&mut self, instruction: I) {
        let start = self.b.here();
        if self.locating {
            self.b.locations.push((start, self.position));
        }
        self.accept();
        let left = self.left_in_register(start);
        self.begin = start;
        let before = self.last.filter(|last| last.1 == start).map(|last| (last.0, self.left));
        self.before_that = before.and(self.before);
        self.before = before;
        instruction.put(&mut self.b.code);
        self.last = I::DEFINES.then_some((start, self.b.here()));
        self.left = I::REGISTER;
        if let Some((slot, register)) = left {
            self.accumulate::<I>(start, slot, register);
        }
    }

    /// Which slot's value the last instruction left in a register, for one that begins here.
    #[inline]
    fn left_in_register(&self, start: CodeUnit) -> Option<(FrameSlot, Register)> {
        let (last, end) = self.last?;
        let register = self.left?;
        (end == start).then(|| (self.defined(last), register))
    }

    /// The slot of the first operand of the instruction that begins here.
    pub(super) fn defined(&self, start: CodeUnit) -> FrameSlot {
        D::get(&self.b.code[start.index() + HEAD..]).0
    }

    /// Makes this slot the first operand of the instruction that begins here.
    pub(super) fn redefine(&mut self, start: CodeUnit, slot: FrameSlot) {
        D(slot).put(&mut self.b.code[start.index() + HEAD..]);
    }

    /// Whether some slots cannot be named.
    pub(super) fn is_far(&self) -> bool {
        self.max_height >= REACH
    }

    #[cold]
    fn emit_far<I: Instruction>(&mut self, mut instruction: I) {
        let mut is_far = false;
        instruction.visit(&mut |slot, _, _| is_far |= *slot >= REACH);
        if !is_far {
            return self.append(instruction);
        }
        let base = self.max_height;
        let mut next = 0;
        let mut reads = [(FrameSlot::default(), FrameSlot::default(), 0); SCRATCH as usize];
        let mut writes = [(FrameSlot::default(), FrameSlot::default(), 0); SCRATCH as usize];
        let (mut read_count, mut write_count) = (0, 0);
        instruction.visit(&mut |slot, usage, width| {
            let copy = (*slot, base.add(next), width);
            match usage {
                Use::Read => {
                    reads[read_count] = copy;
                    read_count += 1;
                }
                Use::Write => {
                    writes[write_count] = copy;
                    write_count += 1;
                }
            }
            *slot = FrameSlot::from_i32(next);
            next += width;
        });
        for (slot, scratch, width) in &reads[..read_count] {
            self.copy_far(*scratch, *slot, *width);
        }
        self.append(op::window { by: I32(base.as_i32()) });
        self.append(instruction);
        self.append(op::window { by: I32(-base.as_i32()) });
        for (slot, scratch, width) in &writes[..write_count] {
            self.copy_far(*slot, *scratch, *width);
        }
    }

    pub(super) fn copy_far(&mut self, to: FrameSlot, from: FrameSlot, count: i32) {
        self.append(op::copy_many { d: Far(to), a: Far(from), count: U32(count as u32) });
    }

    /// The last instruction, if it left its result in this slot.
    pub(super) fn last_defining(&self, slot: FrameSlot) -> Option<(CodeUnit, Opcode)> {
        let (start, end) = self.last?;
        let defines = end == self.b.here() && self.defined(start) == slot;
        defines.then(|| (start, Opcode::ALL[usize::from(self.b.code[start.index()])]))
    }

    /// Where the last instruction begins, if it is a copy and nothing jumps behind it.
    pub(super) fn last_copy(&self) -> Option<CodeUnit> {
        let (start, end) = self.last?;
        let is_copy = end == self.b.here() && self.b.code[start.index()] == Opcode::copy as u16;
        is_copy.then_some(start)
    }

    /// The instruction that begins here; if it is the last, before it becomes the variant that was noted.
    pub(super) fn opcode_at(&self, start: CodeUnit) -> Opcode {
        Opcode::ALL[usize::from(self.b.code[start.index()])]
    }

    /// Reads back the instruction that begins here.
    pub(super) fn read<I: Instruction>(&self, start: CodeUnit) -> I {
        I::get(&self.b.code[start.index()..])
    }

    /// Takes back the last instruction.
    pub(super) fn retract(&mut self, start: CodeUnit) {
        self.b.code.truncate(start.index());
        while self.b.locations.last().is_some_and(|l| l.0 >= start) {
            self.b.locations.pop();
        }
        self.last = None;
        self.variant = None;
        if start == self.begin
            && let Some((before, left)) = self.before.take()
        {
            self.last = Some((before, start));
            self.left = left;
            self.begin = before;
            self.before = self.before_that.take();
        }
    }

    /// Something may jump here: what comes does not become one instruction with what was before.
    pub(super) fn separate(&mut self) {
        self.last = None;
        self.written = None;
    }

    /// Where the instruction that begins here comes from, if somebody asks.
    pub(super) fn position_of(&self, start: CodeUnit) -> CodeOffset {
        let found = self.b.locations.iter().rev().find(|location| location.0 == start);
        found.map_or(self.position, |location| location.1)
    }

    /// Appends what comes from an earlier operator.
    pub(super) fn at_position(&mut self, position: CodeOffset, f: impl FnOnce(&mut Self)) {
        let now = std::mem::replace(&mut self.position, position);
        f(self);
        self.position = now;
    }

    pub(super) fn append_at<I: Instruction>(&mut self, position: CodeOffset, instruction: I) {
        self.at_position(position, |body| body.append(instruction));
    }

    /// Appends an instruction that was taken back, which defines its first operand.
    pub(super) fn put_back(&mut self, units: &[u16], left: Option<Register>) {
        let start = self.b.here();
        if self.locating {
            self.b.locations.push((start, self.position));
        }
        self.accept();
        self.b.code.extend_from_slice(units);
        self.begin = start;
        self.before = None;
        self.last = Some((start, self.b.here()));
        self.left = left;
    }

    /// Appends other instructions before the last one, which defines this slot.
    pub(super) fn before_last(&mut self, start: CodeUnit, f: impl FnOnce(&mut Self)) -> CodeUnit {
        let mut units = [0; 16 + HEAD];
        let len = self.b.code.len() - start.index();
        units[..len].copy_from_slice(&self.b.code[start.index()..]);
        let position = self.position_of(start);
        let left = self.left;
        self.retract(start);
        self.last = None;
        f(self);
        let start = self.b.here();
        self.at_position(position, |body| body.put_back(&units[..len], left));
        start
    }

    /// Appends a jump to a place to come.
    pub(super) fn jump(&mut self, chain: &mut Chain) {
        self.append(op::br { target: Branch(0) });
        self.link(chain);
    }

    /// Puts the branch just appended on the list.
    pub(super) fn link(&mut self, chain: &mut Chain) {
        let at = self.last_target();
        Branch(chain.0.as_u32() as i32).put(&mut self.b.code[at.index()..]);
        chain.0 = at;
    }

    /// The branch just appended goes back to the header of a loop.
    pub(super) fn link_back(&mut self, place: CodeUnit) {
        self.latch();
        self.set_target(self.last_target(), place);
    }

    /// The branches of a list come here.
    pub(super) fn bind(&mut self, chain: Chain) {
        let mut rest = chain;
        while !rest.is_empty() {
            let at = rest.0;
            let Branch(next) = Branch::get(&self.b.code[at.index()..]);
            rest = Chain(CodeUnit::from_u32(next as u32));
            self.set_target(at, self.b.here());
            self.separate();
        }
    }

    /// Where the branch just appended has its offset.
    fn last_target(&self) -> CodeUnit {
        CodeUnit::from_usize(self.b.code.len() - Branch::UNITS)
    }

    /// The branch whose offset stands at `at` goes to `place`.
    fn set_target(&mut self, at: CodeUnit, place: CodeUnit) {
        let end = at.index() + Branch::UNITS;
        let offset = place.index() as i64 - end as i64;
        Branch(offset as i32).put(&mut self.b.code[at.index()..]);
    }
}
