//! Conditions: comparisons become part of the branch that asks for them, or are turned round.

use super::Body;
use super::stack::{Entry, Value};
use crate::op::{self, Opcode};
use crate::operand::{Branch, D, Far, S};
use crate::translation::CodeUnit;
use wardian_vm::interpreted::FrameSlot;

/// Each comparison with its negation, and the branches that do the same; `swapped` where the
/// negation takes its operands the other way round.
macro_rules! comparisons {
    ($then:ident) => {
        $then! {
            i32_eq i32_ne br_i32_eq br_i32_ne; i32_ne i32_eq br_i32_ne br_i32_eq;
            i64_eq i64_ne br_i64_eq br_i64_ne; i64_ne i64_eq br_i64_ne br_i64_eq;
            i32_any i32_none br_i32_any br_i32_none; i32_none i32_any br_i32_none br_i32_any;
            f32_eq f32_ne br_f32_eq br_f32_ne; f32_ne f32_eq br_f32_ne br_f32_eq;
            f64_eq f64_ne br_f64_eq br_f64_ne; f64_ne f64_eq br_f64_ne br_f64_eq;
            f32_lt f32_nlt br_f32_lt br_f32_nlt; f32_nlt f32_lt br_f32_nlt br_f32_lt;
            f64_lt f64_nlt br_f64_lt br_f64_nlt; f64_nlt f64_lt br_f64_nlt br_f64_lt;
            f32_le f32_nle br_f32_le br_f32_nle; f32_nle f32_le br_f32_nle br_f32_le;
            f64_le f64_nle br_f64_le br_f64_nle; f64_nle f64_le br_f64_nle br_f64_le;
            i32_any_imm i32_none_imm br_i32_any_imm br_i32_none_imm;
            i32_none_imm i32_any_imm br_i32_none_imm br_i32_any_imm;
            i32_eq_imm i32_ne_imm br_i32_eq_imm br_i32_ne_imm;
            i32_ne_imm i32_eq_imm br_i32_ne_imm br_i32_eq_imm;
            i32_lt_s_imm i32_ge_s_imm br_i32_lt_s_imm br_i32_ge_s_imm;
            i32_lt_u_imm i32_ge_u_imm br_i32_lt_u_imm br_i32_ge_u_imm;
            i32_gt_s_imm i32_le_s_imm br_i32_gt_s_imm br_i32_le_s_imm;
            i32_gt_u_imm i32_le_u_imm br_i32_gt_u_imm br_i32_le_u_imm;
            i32_le_s_imm i32_gt_s_imm br_i32_le_s_imm br_i32_gt_s_imm;
            i32_le_u_imm i32_gt_u_imm br_i32_le_u_imm br_i32_gt_u_imm;
            i32_ge_s_imm i32_lt_s_imm br_i32_ge_s_imm br_i32_lt_s_imm;
            i32_ge_u_imm i32_lt_u_imm br_i32_ge_u_imm br_i32_lt_u_imm;
            i64_eq_imm i64_ne_imm br_i64_eq_imm br_i64_ne_imm;
            i64_ne_imm i64_eq_imm br_i64_ne_imm br_i64_eq_imm;
            i64_lt_s_imm i64_ge_s_imm br_i64_lt_s_imm br_i64_ge_s_imm;
            i64_lt_u_imm i64_ge_u_imm br_i64_lt_u_imm br_i64_ge_u_imm;
            i64_gt_s_imm i64_le_s_imm br_i64_gt_s_imm br_i64_le_s_imm;
            i64_gt_u_imm i64_le_u_imm br_i64_gt_u_imm br_i64_le_u_imm;
            i64_le_s_imm i64_gt_s_imm br_i64_le_s_imm br_i64_gt_s_imm;
            i64_le_u_imm i64_gt_u_imm br_i64_le_u_imm br_i64_gt_u_imm;
            i64_ge_s_imm i64_lt_s_imm br_i64_ge_s_imm br_i64_lt_s_imm;
            i64_ge_u_imm i64_lt_u_imm br_i64_ge_u_imm br_i64_lt_u_imm;
            [swapped]
            i32_lt_s i32_le_s br_i32_lt_s br_i32_le_s; i32_le_s i32_lt_s br_i32_le_s br_i32_lt_s;
            i32_lt_u i32_le_u br_i32_lt_u br_i32_le_u; i32_le_u i32_lt_u br_i32_le_u br_i32_lt_u;
            i64_lt_s i64_le_s br_i64_lt_s br_i64_le_s; i64_le_s i64_lt_s br_i64_le_s br_i64_lt_s;
            i64_lt_u i64_le_u br_i64_lt_u br_i64_le_u; i64_le_u i64_lt_u br_i64_le_u br_i64_lt_u;
        }
    };
}

macro_rules! define {
    ($($name:ident $negated:ident $br:ident $br_negated:ident;)*
        [swapped] $($s_name:ident $s_negated:ident $s_br:ident $s_br_negated:ident;)*) => {
        impl Body<'_> {
            /// Makes the comparison that begins here a branch.
            fn fuse(&mut self, start: CodeUnit, opcode: Opcode, negate: bool) -> bool {
                let target = Branch(0);
                match opcode {
                    $(Opcode::$name => {
                        let op::$name { a, b, .. } = self.read(start);
                        self.retract(start);
                        if negate {
                            self.append(op::$br_negated { a, b, target });
                        } else {
                            self.append(op::$br { a, b, target });
                        }
                    })*
                    $(Opcode::$s_name => {
                        let op::$s_name { a, b, .. } = self.read(start);
                        self.retract(start);
                        if negate {
                            self.append(op::$s_br_negated { a: b, b: a, target });
                        } else {
                            self.append(op::$s_br { a, b, target });
                        }
                    })*
                    _ => return false,
                }
                true
            }

            /// Turns the comparison that begins here into its negation.
            fn negate(&mut self, start: CodeUnit, opcode: Opcode) -> bool {
                match opcode {
                    $(Opcode::$name => {
                        let op::$name { d, a, b } = self.read(start);
                        self.retract(start);
                        self.append(op::$negated { d, a, b });
                    })*
                    $(Opcode::$s_name => {
                        let op::$s_name { d, a, b } = self.read(start);
                        self.retract(start);
                        self.append(op::$s_negated { d, a: b, b: a });
                    })*
                    _ => return false,
                }
                true
            }
        }
    };
}

comparisons!(define);

impl Body<'_> {
    /// Appends a branch that is taken if the operand, which was popped, is not zero; or if it is.
    pub(super) fn branch_on(&mut self, condition: &Entry, negate: bool) {
        if condition.value == Value::Temp
            && let Some((start, opcode)) = self.last_defining(condition.slot)
            && self.fuse_last(start, opcode, negate)
        {
            return;
        }
        let slot = self.slot_of(condition);
        self.branch_on_slot(slot, negate);
    }

    /// The same for what lies in a slot, of which all 64 bits count.
    pub(super) fn branch_on_slot(&mut self, slot: FrameSlot, negate: bool) {
        let target = Branch(0);
        match (self.is_far(), negate) {
            (false, false) => self.append(op::br_if { cond: S(slot), target }),
            (false, true) => self.append(op::br_unless { cond: S(slot), target }),
            (true, false) => self.append(op::br_if_far { cond: Far(slot), target }),
            (true, true) => self.append(op::br_unless_far { cond: Far(slot), target }),
        }
    }

    fn fuse_last(&mut self, start: CodeUnit, opcode: Opcode, negate: bool) -> bool {
        match opcode {
            Opcode::i32_and => {
                let op::i32_and { d, a, b } = self.read(start);
                self.retract(start);
                self.append(op::i32_any { d, a, b });
                self.fuse(start, Opcode::i32_any, negate)
            }
            Opcode::i32_and_imm => {
                let op::i32_and_imm { d, a, b } = self.read(start);
                self.retract(start);
                self.append(op::i32_any_imm { d, a, b });
                self.fuse(start, Opcode::i32_any_imm, negate)
            }
            Opcode::i32_eq_imm => {
                let op::i32_eq_imm { a, b, .. } = self.read(start);
                self.fuse_with_zero(start, opcode, a, b.0, negate)
            }
            Opcode::i64_eq_imm => {
                let op::i64_eq_imm { a, b, .. } = self.read(start);
                self.fuse_with_zero(start, opcode, a, b.0, negate)
            }
            Opcode::ref_test_final => {
                let op::ref_test_final { a, ty, depth, what, .. } = self.read(start);
                self.retract(start);
                let target = Branch(0);
                match negate {
                    false => self.append(op::br_if_final { a, ty, depth, what, target }),
                    true => self.append(op::br_unless_final { a, ty, depth, what, target }),
                }
                true
            }
            Opcode::ref_test_open => {
                let op::ref_test_open { a, ty, depth, what, .. } = self.read(start);
                self.retract(start);
                let target = Branch(0);
                match negate {
                    false => self.append(op::br_if_open { a, ty, depth, what, target }),
                    true => self.append(op::br_unless_open { a, ty, depth, what, target }),
                }
                true
            }
            _ => self.fuse(start, opcode, negate),
        }
    }

    fn fuse_with_zero(&mut self, start: CodeUnit, op: Opcode, a: S, b: i32, negate: bool) -> bool {
        if b != 0 || self.is_far() {
            return self.fuse(start, op, negate);
        }
        self.retract(start);
        self.branch_on_slot(a.0, !negate);
        true
    }

    /// Pushes whether the topmost operand, of 32 bits or 64, is zero.
    pub(super) fn is_zero(&mut self, narrow: bool) -> super::Outcome {
        let entry = self.pop()?;
        if entry.value == Value::Temp
            && let Some((start, opcode)) = self.last_defining(entry.slot)
            && self.negate_last(start, opcode)
        {
            self.push_temp();
            return Ok(());
        }
        let a = S(self.slot_of(&entry));
        let d = D(self.push_temp());
        let b = crate::operand::I32(0);
        if narrow {
            self.emit(op::i32_eq_imm { d, a, b });
        } else {
            self.emit(op::i64_eq_imm { d, a, b });
        }
        Ok(())
    }

    fn negate_last(&mut self, start: CodeUnit, opcode: Opcode) -> bool {
        match opcode {
            Opcode::i32_and => {
                let op::i32_and { d, a, b } = self.read(start);
                self.retract(start);
                self.append(op::i32_none { d, a, b });
                true
            }
            Opcode::i32_and_imm => {
                let op::i32_and_imm { d, a, b } = self.read(start);
                self.retract(start);
                self.append(op::i32_none_imm { d, a, b });
                true
            }
            _ => self.negate(start, opcode),
        }
    }
}
