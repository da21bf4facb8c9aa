//! Fields and elements that are read and written in one go.
//!
//! ```text
//!   read p.f; add to it; write p.f     ->  one instruction, which also leaves the sum
//!   write p.f; read p.f                ->  one instruction, which leaves what it has written
//!   read p.g; add it to p.f            ->  one instruction
//!   add two numbers; write p.f         ->  one instruction, which also leaves the sum
//! ```
//!
//! Whatever lies between may neither trap nor write to the object. The one that remains traps where the first access
//! would have.

use super::Body;
use super::fields::Stored;
use super::stack::{Entry, Value};
use crate::op::{self, HEAD, Opcode};
use crate::operand::{D, I32, S, U32};
use crate::translation::CodeUnit;
use wardian_vm::interpreted::FrameSlot;

/// What an access accesses.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Field { object: S, offset: U32 },
    Element { array: S, index: S },
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Field { object: a, offset: b }, Place::Field { object: c, offset: d }) => {
                a.0 == c.0 && b.0 == d.0
            }
            (Place::Element { array: a, index: b }, Place::Element { array: c, index: d }) => {
                a.0 == c.0 && b.0 == d.0
            }
            _ => false,
        }
    }
}

/// The right operand of an operation.
#[derive(Clone, Copy)]
enum Right {
    Slot(S),
    Number(I32),
}

/// An operation on a value of 32 or 64 bits.
#[derive(Clone, Copy)]
struct Operation {
    opcode: Opcode,
    stored: Stored,
    left: S,
    right: Right,
    commutes: bool,
}

/// The place that an instruction writes.
macro_rules! written {
    ($body:ident, $start:ident, $name:ident object offset, $stored:ident) => {{
        let op::$name { object, offset, .. } = $body.read($start);
        Some((Place::Field { object, offset }, Stored::$stored))
    }};
    ($body:ident, $start:ident, $name:ident array index, $stored:ident) => {{
        let op::$name { array, index, .. } = $body.read($start);
        Some((Place::Element { array, index }, Stored::$stored))
    }};
}

macro_rules! updates {
    ($($name:ident $stored:ident $commutes:literal $field:ident $element:ident $beside:ident
            $set_field:ident $set_element:ident;)*
        [imm] $($i_name:ident $i_stored:ident $i_field:ident $i_element:ident
            $i_set_field:ident $i_set_element:ident;)*) => {
        impl Body<'_> {
            /// The operation of the instruction that begins here, if there is a form for fields.
            fn operation(&self, start: CodeUnit, opcode: Opcode) -> Option<Operation> {
                let (stored, left, right, commutes) = match opcode {
                    $(Opcode::$name => {
                        let op::$name { a, b, .. } = self.read(start);
                        (Stored::$stored, a, Right::Slot(b), $commutes)
                    })*
                    $(Opcode::$i_name => {
                        let op::$i_name { a, b, .. } = self.read(start);
                        (Stored::$i_stored, a, Right::Number(b), false)
                    })*
                    _ => return None,
                };
                Some(Operation { opcode, stored, left, right, commutes })
            }

            fn append_update(&mut self, opcode: Opcode, place: Place, right: Right, d: D) {
                match (opcode, place, right) {
                    $((Opcode::$name, Place::Field { object, offset }, Right::Slot(by)) => {
                        self.append(op::$field { d, object, by, offset });
                    }
                    (Opcode::$name, Place::Element { array, index }, Right::Slot(by)) => {
                        self.append(op::$element { d, array, index, by });
                    })*
                    $((Opcode::$i_name, Place::Field { object, offset }, Right::Number(by)) => {
                        self.append(op::$i_field { d, object, by, offset });
                    }
                    (Opcode::$i_name, Place::Element { array, index }, Right::Number(by)) => {
                        self.append(op::$i_element { d, array, index, by });
                    })*
                    _ => unreachable!("only operations that were found come here"),
                }
            }

            /// Appends the update of a field by another one of the same object.
            fn append_beside(&mut self, opcode: Opcode, object: S, from: U32, offset: U32, d: D) {
                match opcode {
                    $(Opcode::$name => self.append(op::$beside { d, object, from, offset }),)*
                    _ => unreachable!("only operations that were found come here"),
                }
            }

            /// Appends an operation whose result is written.
            fn append_set(&mut self, Operation { opcode, left: a, right, .. }: Operation, place: Place, d: D) {
                match (opcode, place, right) {
                    $((Opcode::$name, Place::Field { object, offset }, Right::Slot(b)) => {
                        self.append(op::$set_field { d, a, b, object, offset });
                    }
                    (Opcode::$name, Place::Element { array, index }, Right::Slot(b)) => {
                        self.append(op::$set_element { d, a, b, array, index });
                    })*
                    $((Opcode::$i_name, Place::Field { object, offset }, Right::Number(b)) => {
                        self.append(op::$i_set_field { d, a, b, object, offset });
                    }
                    (Opcode::$i_name, Place::Element { array, index }, Right::Number(b)) => {
                        self.append(op::$i_set_element { d, a, b, array, index });
                    })*
                    _ => unreachable!("only operations that were found come here"),
                }
            }

            /// What the update or the operation that begins here has written.
            fn updated(&self, start: CodeUnit, opcode: Opcode) -> Option<(Place, Stored)> {
                match opcode {
                    $(Opcode::$field => written!(self, start, $field object offset, $stored),
                    Opcode::$beside => written!(self, start, $beside object offset, $stored),
                    Opcode::$set_field => written!(self, start, $set_field object offset, $stored),
                    Opcode::$element => written!(self, start, $element array index, $stored),
                    Opcode::$set_element => {
                        written!(self, start, $set_element array index, $stored)
                    })*
                    $(Opcode::$i_field => written!(self, start, $i_field object offset, $i_stored),
                    Opcode::$i_set_field => {
                        written!(self, start, $i_set_field object offset, $i_stored)
                    }
                    Opcode::$i_element => {
                        written!(self, start, $i_element array index, $i_stored)
                    }
                    Opcode::$i_set_element => {
                        written!(self, start, $i_set_element array index, $i_stored)
                    })*
                    _ => None,
                }
            }
        }
    };
}

updates! {
    i32_add B32 true field_add32 element_add32 field_add32_field
        field_set_add32 element_set_add32;
    i32_sub B32 false field_sub32 element_sub32 field_sub32_field
        field_set_sub32 element_set_sub32;
    i32_and B32 true field_and32 element_and32 field_and32_field
        field_set_and32 element_set_and32;
    i32_or B32 true field_or32 element_or32 field_or32_field
        field_set_or32 element_set_or32;
    i32_xor B32 true field_xor32 element_xor32 field_xor32_field
        field_set_xor32 element_set_xor32;
    i64_add B64 true field_add64 element_add64 field_add64_field
        field_set_add64 element_set_add64;
    i64_sub B64 false field_sub64 element_sub64 field_sub64_field
        field_set_sub64 element_set_sub64;
    i64_and B64 true field_and64 element_and64 field_and64_field
        field_set_and64 element_set_and64;
    i64_or B64 true field_or64 element_or64 field_or64_field
        field_set_or64 element_set_or64;
    i64_xor B64 true field_xor64 element_xor64 field_xor64_field
        field_set_xor64 element_set_xor64;
    [imm]
    i32_add_imm B32 field_add32_imm element_add32_imm field_set_add32_imm element_set_add32_imm;
    i32_and_imm B32 field_and32_imm element_and32_imm field_set_and32_imm element_set_and32_imm;
    i32_or_imm B32 field_or32_imm element_or32_imm field_set_or32_imm element_set_or32_imm;
    i32_xor_imm B32 field_xor32_imm element_xor32_imm field_set_xor32_imm element_set_xor32_imm;
    i64_add_imm B64 field_add64_imm element_add64_imm field_set_add64_imm element_set_add64_imm;
    i64_and_imm B64 field_and64_imm element_and64_imm field_set_and64_imm element_set_and64_imm;
    i64_or_imm B64 field_or64_imm element_or64_imm field_set_or64_imm element_set_or64_imm;
    i64_xor_imm B64 field_xor64_imm element_xor64_imm field_set_xor64_imm element_set_xor64_imm;
}

macro_rules! tees {
    ($($field_set:ident $element_set:ident $stored:ident $signed:pat, $field_tee:ident $element_tee:ident;)*) => {
        impl Body<'_> {
            /// Makes the write that begins here one that leaves in a slot what a read would find.
            fn tee(&mut self, start: CodeUnit, place: Place, what: (Stored, bool), d: D) -> bool {
                let position = self.position_of(start);
                match (self.opcode_at(start), what) {
                    $((Opcode::$field_set, (Stored::$stored, $signed)) => {
                        let op::$field_set { object, value, offset } = self.read(start);
                        if place != (Place::Field { object, offset }) {
                            return false;
                        }
                        self.retract(start);
                        self.append_at(position, op::$field_tee { d, object, value, offset });
                    }
                    (Opcode::$element_set, (Stored::$stored, $signed)) => {
                        let op::$element_set { array, index, value } = self.read(start);
                        if place != (Place::Element { array, index }) {
                            return false;
                        }
                        self.retract(start);
                        self.append_at(position, op::$element_tee { d, array, index, value });
                    })*
                    _ => return false,
                }
                true
            }
        }
    };
}

tees! {
    field_set8 element_set8 B8 true, field_tee8_s element_tee8_s;
    field_set8 element_set8 B8 false, field_tee8_u element_tee8_u;
    field_set16 element_set16 B16 true, field_tee16_s element_tee16_s;
    field_set16 element_set16 B16 false, field_tee16_u element_tee16_u;
    field_set32 element_set32 B32 _, field_tee32 element_tee32;
    field_set64 element_set64 B64 _, field_tee64 element_tee64;
}

impl Body<'_> {
    /// Makes one instruction of the write of a value, which was popped, and of those that have made the value. That
    /// may also go to slot `d`, which is free.
    pub(super) fn update(
        &mut self,
        place: Place,
        stored: Stored,
        value: &Entry,
        d: FrameSlot,
    ) -> bool {
        if value.value != Value::Temp || self.is_far() {
            return false;
        }
        let Some((start, opcode)) = self.last_defining(value.slot) else { return false };
        let Some(operation) = self.operation(start, opcode) else { return false };
        if stored != operation.stored {
            return false;
        }
        if !self.update_what_was_read(place, start, &operation, d) {
            self.retract(start);
            self.append_set(operation, place, D(d));
        }
        true
    }

    /// Makes one instruction of the operation that begins at `start`, of the read of one of its operands from the
    /// place, and of the write.
    fn update_what_was_read(
        &mut self,
        place: Place,
        start: CodeUnit,
        operation: &Operation,
        d: FrameSlot,
    ) -> bool {
        let Some((before, _)) = self.before else { return false };
        if let Some(right) = self.other_operand(before, place, operation, d) {
            let first = self.before_that.map(|(first, _)| first);
            let beside = first.and_then(|first| self.beside(first, place, right, operation, d));
            let position =
                self.position_of(if beside.is_some() { first.unwrap_or(before) } else { before });
            self.retract(start);
            self.retract(before);
            if let (Some(first), Some(_)) = (first, &beside) {
                self.retract(first);
            }
            self.at_position(position, |body| match beside {
                Some((object, from, offset)) => {
                    body.append_beside(operation.opcode, object, from, offset, D(d));
                }
                None => body.append_update(operation.opcode, place, right, D(d)),
            });
            return true;
        }
        // Or the other operand was made in between.
        let Some((first, _)) = self.before_that else { return false };
        let Some(right @ Right::Slot(made)) = self.other_operand(first, place, operation, d) else {
            return false;
        };
        if !self.may_come_first(before, start, made, place, d) {
            return false;
        }
        let position = self.position_of(first);
        let beside = self.beside(before, place, right, operation, d);
        let mut units = [0; 16 + HEAD];
        let len = start.index() - before.index();
        units[..len].copy_from_slice(&self.b.code[before.index()..start.index()]);
        self.retract(start);
        let left = self.left;
        self.retract(before);
        self.retract(first);
        self.at_position(position, |body| match beside {
            Some((object, from, offset)) => {
                body.append_beside(operation.opcode, object, from, offset, D(d));
            }
            None => {
                body.put_back(&units[..len], left);
                body.append_update(operation.opcode, place, right, D(d));
            }
        });
        true
    }

    /// The object, the field that the instruction that begins here reads, and the field of the place: if an operand
    /// is read from the object whose field is updated, into a slot that nobody else reads.
    fn beside(
        &self,
        start: CodeUnit,
        place: Place,
        operand: Right,
        operation: &Operation,
        free: FrameSlot,
    ) -> Option<(S, U32, U32)> {
        let (Right::Slot(made), Place::Field { object, offset }) = (operand, place) else {
            return None;
        };
        let (Place::Field { object: other, offset: from }, stored, d) = self.reads(start)? else {
            return None;
        };
        let is_meant = d == made.0 && d >= free && !place.names(d) && other.0 == object.0;
        (is_meant && stored == operation.stored).then_some((object, from, offset))
    }

    /// The other operand of an operation, if one was read at this place by the instruction that begins here, into a
    /// slot that nobody else reads.
    fn other_operand(
        &self,
        start: CodeUnit,
        place: Place,
        operation: &Operation,
        free: FrameSlot,
    ) -> Option<Right> {
        let (found, stored, d) = self.reads(start)?;
        if found != place || stored != operation.stored || d < free || place.names(d) {
            return None;
        }
        match operation.right {
            Right::Slot(b) if b.0 == operation.left.0 => None,
            right if operation.left.0 == d => Some(right),
            Right::Slot(b) if b.0 == d && operation.commutes => Some(Right::Slot(operation.left)),
            _ => None,
        }
    }

    /// What the instruction that begins here reads from an object as a whole number, and where it leaves it.
    fn reads(&self, start: CodeUnit) -> Option<(Place, Stored, FrameSlot)> {
        Some(match self.opcode_at(start) {
            Opcode::field_get32 => {
                let op::field_get32 { d, object, offset } = self.read(start);
                (Place::Field { object, offset }, Stored::B32, d.0)
            }
            Opcode::field_get64 => {
                let op::field_get64 { d, object, offset } = self.read(start);
                (Place::Field { object, offset }, Stored::B64, d.0)
            }
            Opcode::element_get32 => {
                let op::element_get32 { d, array, index } = self.read(start);
                (Place::Element { array, index }, Stored::B32, d.0)
            }
            Opcode::element_get64 => {
                let op::element_get64 { d, array, index } = self.read(start);
                (Place::Element { array, index }, Stored::B64, d.0)
            }
            _ => return None,
        })
    }

    /// Whether the instruction between these positions, which makes an operand, can as well be executed before the
    /// read at the place: either it cannot trap, or it reads the same object, so that it traps if that does.
    fn may_come_first(
        &self,
        start: CodeUnit,
        end: CodeUnit,
        made: S,
        place: Place,
        free: FrameSlot,
    ) -> bool {
        let d = self.defined(start);
        if d != made.0 || d < free || place.names(d) || end.index() - start.index() > 16 + HEAD {
            return false;
        }
        match (self.reads(start), place) {
            (Some((Place::Field { object: other, .. }, ..)), Place::Field { object, .. }) => {
                other.0 == object.0
            }
            _ => never_traps(self.opcode_at(start)),
        }
    }

    /// Whether this is what was written last, so that nothing has to be read. It is in slot `d` then.
    pub(super) fn just_written(
        &mut self,
        place: Place,
        stored: Stored,
        signed: bool,
        d: FrameSlot,
    ) -> bool {
        if self.is_far() {
            return false;
        }
        let Some((start, end)) = self.written.take() else { return false };
        if end != self.b.here() {
            return false;
        }
        if self.updated(start, self.opcode_at(start)) == Some((place, stored)) {
            // The slot that it has named so far is one that nobody reads.
            self.redefine(start, d);
            return true;
        }
        self.tee(start, place, (stored, signed), D(d))
    }

    /// The instruction appended last is a write to an object.
    pub(super) fn note_write(&mut self) {
        self.written = Some((self.begin, self.b.here()));
    }
}

impl Place {
    /// Whether this slot says where it is.
    fn names(self, slot: FrameSlot) -> bool {
        match self {
            Place::Field { object, .. } => object.0 == slot,
            Place::Element { array, index } => array.0 == slot || index.0 == slot,
        }
    }
}

/// Whether an instruction only computes.
fn never_traps(opcode: Opcode) -> bool {
    use Opcode::*;
    matches!(
        opcode,
        i32_add
            | i32_sub
            | i32_mul
            | i32_and
            | i32_or
            | i32_xor
            | i32_shl
            | i32_shr_s
            | i32_shr_u
            | i64_add
            | i64_sub
            | i64_mul
            | i64_and
            | i64_or
            | i64_xor
            | i64_shl
            | i64_shr_s
            | i64_shr_u
            | i32_add_imm
            | i32_mul_imm
            | i32_and_imm
            | i32_or_imm
            | i32_xor_imm
            | i32_shl_imm
            | i32_shr_s_imm
            | i32_shr_u_imm
            | i64_add_imm
            | i64_mul_imm
            | i64_and_imm
            | i64_or_imm
            | i64_xor_imm
            | i64_shl_imm
            | i64_shr_s_imm
            | i64_shr_u_imm
            | i32_wrap_i64
            | i64_extend_i32_s
            | i32_add_shl
            | i64_add_shl
            | copy
            | global_get32
            | global_get64
    )
}
