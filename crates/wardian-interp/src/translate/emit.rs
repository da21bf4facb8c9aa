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
use crate::operand::{Branch, Far, I32, Register, U32, Use};
use crate::translation::CodeUnit;
use wardian_types::CodeOffset;

/// Slots above the operand stack that every frame has: what an instruction needs in a window.
pub(super) const SCRATCH: i32 = 8;

/// The first slot that no instruction can name; some are left for pairs.
const REACH: i32 = i16::MAX as i32 - 2;

/// Branches that wait for the place they go to: a list through the places where their offsets will
/// stand. Zero ends it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain(u32);

impl Chain {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
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
    fn left_in_register(&self, start: CodeUnit) -> Option<(i32, Register)> {
        let (last, end) = self.last?;
        let register = self.left?;
        (end == start).then(|| (i32::from(self.b.code[last.index() + HEAD] as i16), register))
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
        let mut reads = [(0, 0, 0); SCRATCH as usize];
        let mut writes = [(0, 0, 0); SCRATCH as usize];
        let (mut read_count, mut write_count) = (0, 0);
        instruction.visit(&mut |slot, usage, width| {
            let copy = (*slot, base + next, width);
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
            *slot = next;
            next += width;
        });
        for (slot, scratch, width) in &reads[..read_count] {
            self.copy_far(*scratch, *slot, *width);
        }
        self.append(op::window { by: I32(base) });
        self.append(instruction);
        self.append(op::window { by: I32(-base) });
        for (slot, scratch, width) in &writes[..write_count] {
            self.copy_far(*slot, *scratch, *width);
        }
    }

    pub(super) fn copy_far(&mut self, to: i32, from: i32, count: i32) {
        self.append(op::copy_many { d: Far(to), a: Far(from), count: U32(count as u32) });
    }

    /// The last instruction, if it left its result in this slot.
    pub(super) fn last_defining(&self, slot: i32) -> Option<(CodeUnit, Opcode)> {
        let (start, end) = self.last?;
        let defines =
            end == self.b.here() && i32::from(self.b.code[start.index() + HEAD] as i16) == slot;
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
        let at = self.b.code.len() - 2;
        self.set_offset(at, chain.0 as i32);
        chain.0 = at as u32;
    }

    /// The branch just appended goes back to the header of a loop.
    pub(super) fn link_back(&mut self, place: CodeUnit) {
        self.latch();
        let end = self.b.code.len();
        self.set_offset(end - 2, (i64::from(place.as_u32()) - end as i64) as i32);
    }

    /// The branches of a list come here.
    pub(super) fn bind(&mut self, chain: Chain) {
        let mut at = chain.0 as usize;
        while at != 0 {
            let offset = (self.b.code.len() - (at + 2)) as i32;
            let units = [self.b.code[at], self.b.code[at + 1]];
            let next = u32::from(units[0]) | u32::from(units[1]) << 16;
            self.set_offset(at, offset);
            at = next as usize;
            self.separate();
        }
    }

    fn set_offset(&mut self, at: usize, offset: i32) {
        self.b.code[at] = offset as u16;
        self.b.code[at + 1] = (offset >> 16) as u16;
    }
}
