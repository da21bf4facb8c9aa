//! The operand stack as the translator knows it.

use super::emit::SCRATCH;
use super::{Body, Outcome};
use crate::op;
use crate::operand::{D, DW, I32, S, SW, U64, W};
use crate::translation::TranslateError;
use wardian_types::{FuncType, LocalIndex, OperandIndex, ValType};
use wardian_vm::interpreted::FrameSlot;

/// No entry.
const NONE: OperandIndex = OperandIndex::from_u32(u32::MAX);

/// Where an operand's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// In the operand's own slot.
    Temp,
    /// In a local that has not been written since; and the next operand below of which that is true.
    Local(LocalIndex, OperandIndex),
    /// Nowhere yet: these bits. Never a vector.
    Const(u64),
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    /// Its own slot.
    pub(super) slot: FrameSlot,
    /// Whether it takes two slots.
    pub(super) wide: bool,
    /// Whether it is a reference that the collector has to know.
    pub(super) traced: bool,
}

/// A local.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) slot: FrameSlot,
    pub(super) wide: bool,
    /// As of an [`Entry`].
    pub(super) traced: bool,
    /// The uppermost operand that stands for it.
    uses: OperandIndex,
}

impl Local {
    pub(super) fn new(slot: FrameSlot, ty: ValType) -> Local {
        Local { slot, wide: ty == ValType::V128, traced: ty.is_any_ref(), uses: NONE }
    }
}

impl Body<'_> {
    #[inline]
    fn push(&mut self, value: Value, wide: bool) -> FrameSlot {
        let slot = self.height;
        self.b.stack.push(Entry { value, slot, wide, traced: false });
        self.height = self.height.add(1 + i32::from(wide));
        self.max_height = self.max_height.max(self.height);
        slot
    }

    /// Pushes a result that the next instruction leaves in this slot.
    #[inline]
    pub(super) fn push_temp(&mut self) -> FrameSlot {
        self.push(Value::Temp, false)
    }

    pub(super) fn push_wide(&mut self) -> FrameSlot {
        self.push(Value::Temp, true)
    }

    #[inline]
    pub(super) fn push_const(&mut self, bits: u64) {
        self.push(Value::Const(bits), false);
    }

    /// Pushes results that lie in their own slots.
    pub(super) fn push_types(&mut self, types: &[ValType]) {
        for ty in types {
            self.push_value(*ty);
        }
    }

    /// Pushes a result of a type that lies in its own slot.
    pub(super) fn push_value(&mut self, ty: ValType) -> FrameSlot {
        let slot = self.push(Value::Temp, ty == ValType::V128);
        if ty.is_any_ref() {
            self.mark_reference();
        }
        slot
    }

    /// Pushes a reference that the next instruction leaves in this slot and that the collector has to know.
    pub(super) fn push_reference(&mut self) -> FrameSlot {
        self.push_value(ValType::ANYREF)
    }

    /// The topmost operand is a reference that the collector has to know.
    pub(super) fn mark_reference(&mut self) {
        if let Some(top) = self.b.stack.last_mut() {
            top.traced = true;
        }
    }

    #[inline]
    pub(super) fn push_local(&mut self, index: LocalIndex) -> Outcome {
        let position = self.b.stack.next_index();
        let local = self.local(index)?;
        let (below, wide, traced) = (local.uses, local.wide, local.traced);
        local.uses = position;
        self.push(Value::Local(index, below), wide);
        if traced {
            self.mark_reference();
        }
        Ok(())
    }

    #[inline]
    pub(super) fn local(&mut self, index: LocalIndex) -> Outcome<&mut Local> {
        let local = self.b.locals.get_mut(index.index());
        local.ok_or_else(|| TranslateError::new("there is no such local"))
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Outcome<Entry> {
        let Some(entry) = self.b.stack.pop() else {
            return Err(TranslateError::new("the operand stack is empty"));
        };
        if let Value::Local(index, below) = entry.value {
            self.b.locals[index.index()].uses = below;
        }
        self.height = entry.slot;
        self.flushed = self.flushed.min(self.b.stack.next_index());
        Ok(entry)
    }

    /// Drops an operand and all above it, with what notes there are of them.
    pub(super) fn truncate(&mut self, first: OperandIndex) {
        while self.b.stack.next_index() > first {
            let _ = self.pop();
        }
    }

    /// A slot where the value of an operand that was popped can be read.
    #[inline]
    pub(super) fn slot_of(&mut self, entry: &Entry) -> FrameSlot {
        match entry.value {
            Value::Temp => entry.slot,
            Value::Local(index, _) => self.b.locals[index.index()].slot,
            Value::Const(bits) => {
                self.constant(entry.slot, bits);
                entry.slot
            }
        }
    }

    /// The same, unless it is a constant, which has none yet.
    pub(super) fn slot_if_any(&self, entry: &Entry) -> Option<FrameSlot> {
        match entry.value {
            Value::Temp => Some(entry.slot),
            Value::Local(index, _) => Some(self.b.locals[index.index()].slot),
            Value::Const(_) => None,
        }
    }

    /// Pushes an operand that was popped just now, and whose value still is where [`Self::slot_of`] has found it.
    pub(super) fn push_again(&mut self, entry: &Entry) -> Outcome {
        match entry.value {
            Value::Local(index, _) => return self.push_local(index),
            _ if entry.wide => self.push_wide(),
            _ => self.push_temp(),
        };
        if entry.traced {
            self.mark_reference();
        }
        Ok(())
    }

    /// A slot where the value of the topmost operand can be read.
    pub(super) fn top_slot(&mut self) -> Outcome<FrameSlot> {
        let entry = self.pop()?;
        let slot = self.slot_of(&entry);
        self.push_again(&entry)?;
        Ok(slot)
    }

    #[inline]
    pub(super) fn pop_slot(&mut self) -> Outcome<S> {
        let entry = self.pop()?;
        Ok(S(self.slot_of(&entry)))
    }

    #[inline]
    pub(super) fn pop_wide(&mut self) -> Outcome<SW> {
        let entry = self.pop()?;
        Ok(SW(self.slot_of(&entry)))
    }

    /// Pops an operand of which an instruction may be named by a far slot.
    pub(super) fn pop_far(&mut self) -> Outcome<crate::operand::Far> {
        let entry = self.pop()?;
        Ok(crate::operand::Far(self.slot_of(&entry)))
    }

    /// Sets a slot to a constant.
    pub(super) fn constant(&mut self, slot: FrameSlot, bits: u64) {
        if let Ok(value) = u32::try_from(bits) {
            self.emit(op::const32 { d: D(slot), value: I32(value as i32) });
        } else if let Ok(value) = i32::try_from(bits as i64) {
            self.emit(op::const32_s { d: D(slot), value: I32(value) });
        } else {
            self.emit(op::const64 { d: D(slot), value: U64(bits) });
        }
    }

    pub(super) fn copy(&mut self, to: FrameSlot, from: FrameSlot, wide: bool) {
        if to == from {
            return;
        }
        if self.is_far() {
            self.copy_far(to, from, 1 + i32::from(wide));
        } else if wide {
            self.append(op::copy_wide { d: DW(to), a: SW(from) });
        } else if let Some(start) = self.last_copy() {
            let op::copy { d, a } = self.read(start);
            self.retract(start);
            self.append(op::copy_two { d: W(d.0), a, e: W(to), b: S(from) });
        } else {
            self.append(op::copy { d: D(to), a: S(from) });
        }
    }

    /// Brings an operand's value into a slot.
    pub(super) fn move_to(&mut self, slot: FrameSlot, entry: &Entry) {
        match entry.value {
            Value::Temp => self.copy(slot, entry.slot, entry.wide),
            Value::Local(index, _) => {
                self.copy(slot, self.b.locals[index.index()].slot, entry.wide);
            }
            Value::Const(bits) => self.constant(slot, bits),
        }
    }

    /// Whether all operands lie in their own slots.
    pub(super) fn is_flushed(&self) -> bool {
        self.b.stack[self.flushed..].iter().all(|e| e.value == Value::Temp)
    }

    /// Brings all operands into their own slots.
    pub(super) fn flush(&mut self) {
        self.flush_from(self.flushed);
        self.flushed = self.b.stack.next_index();
    }

    /// Brings an operand and all above it into their own slots.
    pub(super) fn flush_from(&mut self, first: OperandIndex) {
        // From the top, so that each is the uppermost that stands for its local.
        let operands = first..self.b.stack.next_index();
        for i in OperandIndex::range(operands.clone()).rev() {
            if let Value::Local(index, below) = self.b.stack[i].value {
                self.b.locals[index.index()].uses = below;
            }
        }
        for i in OperandIndex::range(operands) {
            let entry = self.b.stack[i];
            if entry.value != Value::Temp {
                self.move_to(entry.slot, &entry);
                self.b.stack[i].value = Value::Temp;
            }
        }
    }

    pub(super) fn is_pending(&self, local: LocalIndex) -> bool {
        self.b.locals[local.index()].uses != NONE
    }

    /// Saves the value of a local that is about to be written for the operands that stand for it.
    pub(super) fn save(&mut self, local: LocalIndex) {
        let Local { slot, wide, uses, .. } = self.b.locals[local.index()];
        let mut at = uses;
        while at != NONE {
            let entry = &mut self.b.stack[at];
            let Value::Local(_, below) = entry.value else { break };
            entry.value = Value::Temp;
            let to = entry.slot;
            self.copy(to, slot, wide);
            at = below;
        }
        self.b.locals[local.index()].uses = NONE;
    }

    /// The lowest of the `count` topmost operands.
    pub(super) fn below(&self, count: usize) -> Outcome<OperandIndex> {
        let lowest = self.b.stack.len().checked_sub(count);
        lowest
            .map(OperandIndex::from_usize)
            .ok_or_else(|| TranslateError::new("the operand stack is too low"))
    }

    /// The first slot of an operand, or the first that is free if there is no such operand.
    pub(super) fn slot_at(&self, operand: OperandIndex) -> FrameSlot {
        self.b.stack.get(operand).map_or(self.height, |e| e.slot)
    }

    /// Sees to it that so many slots from the height on are within the frame.
    pub(super) fn reserve(&mut self, slots: i32) {
        self.max_height = self.max_height.max(self.height.add(slots));
    }

    /// Brings the arguments of a call into their own slots and pops them. Tells the first slot. `callee` is the
    /// slot of the operand that says what is called.
    pub(super) fn take_args(
        &mut self,
        ty: &FuncType,
        callee: Option<FrameSlot>,
    ) -> Outcome<FrameSlot> {
        let start = self.below(ty.params().len())?;
        self.flush_from(start);
        // The call may have to wait with its arguments.
        self.safepoint();
        self.point(false, callee);
        let first = self.slot_at(start);
        self.truncate(start);
        self.reserve(ty.buffer_slots() as i32 + SCRATCH);
        Ok(first)
    }
}
