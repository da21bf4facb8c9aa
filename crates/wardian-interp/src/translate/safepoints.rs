//! Where the collector finds references in interpreted frames, and where frames have their values.
//!
//! While a frame waits in a call, or when it was interrupted, its ip is behind an instruction that calls
//! something, or at one that calls a function or begins a loop. For those positions the translator knows
//! which locals and operands are references. It computes that only when asked, since most functions are never
//! on a stack during a collection.

use super::Body;
use super::control::Kind;
use super::stack::{Entry, Value};
use crate::frame_map::{Operand, Place, Point};
use wardian_vm::interpreted::FrameSlot;

impl Body<'_> {
    /// The ip of a frame may be where the next instruction begins.
    #[inline]
    pub(super) fn safepoint(&mut self) {
        if self.references.is_some() {
            self.note_references();
        }
    }

    #[cold]
    fn note_references(&mut self) {
        let Some(references) = &mut self.references else { return };
        let at = self.b.here();
        // What was noted before is what waits there; what is noted now is also the state in which it
        // continues.
        references.forget(at);
        // Other operands are in a local, or are no objects.
        let is_here = |entry: &&super::stack::Entry| entry.traced && entry.value == Value::Temp;
        references.push(at, self.b.stack.iter().filter(is_here).map(|entry| entry.slot));
    }

    /// A frame may be at the operator that is being translated, or behind it, when it is asked where its values
    /// are: the next instruction is its first, or comes after it. `callee` is the slot of an operand on top that
    /// was popped already.
    #[inline]
    pub(super) fn point(&mut self, after: bool, callee: Option<FrameSlot>) {
        if self.frame_maps.is_some() {
            self.note_point(after, callee);
        }
    }

    #[cold]
    fn note_point(&mut self, after: bool, callee: Option<FrameSlot>) {
        let Some(maps) = &mut self.frame_maps else { return };
        let (at, point) = (self.b.here(), Point { offset: self.position, after });
        let locals = &self.b.locals;
        let operand = |entry: &Entry| {
            let place = match entry.value {
                Value::Temp => Place::Slot(entry.slot),
                Value::Local(local, _) => Place::Slot(locals[local.index()].slot),
                Value::Const(bits) => Place::Const(bits),
            };
            Operand { place, wide: entry.wide }
        };
        // The exception that a `catch` has caught is the first thing on the operand stack of its block.
        let mut catches = self.b.frames.iter().filter(|frame| matches!(frame.kind, Kind::Catch));
        let mut next = catches.next();
        let stack = self.b.stack.enumerated().map(|(index, entry)| {
            let is_caught = next.is_some_and(|frame| frame.base == index);
            if is_caught {
                next = catches.next();
            }
            (operand(entry), is_caught)
        });
        let callee = callee.map(|slot| (Operand { place: Place::Slot(slot), wide: false }, false));
        maps.note(at, point, self.height, stack.chain(callee));
    }

    /// The locals that are references: they are so everywhere.
    pub(super) fn note_locals(&mut self) {
        if let Some(references) = &mut self.references {
            let locals = self.b.locals.iter().filter(|local| local.traced);
            references.set_locals(locals.map(|local| local.slot));
        }
    }
}
