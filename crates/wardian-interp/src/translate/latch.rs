//! Branches back to a loop: they do the header's work, and that of an increment before them.

use super::Body;
use crate::op::{self, Instruction, Opcode};
use crate::operand::{Branch, I32, S};
use crate::translation::CodeUnit;

/// Each branch with its two forms that go back to a loop, without and with a countdown.
macro_rules! backwards {
    ($($name:ident $back:ident $hot:ident;)*) => {
        fn backward(opcode: Opcode, hot: bool) -> Option<Opcode> {
            match (opcode, hot) {
                $(
                    (Opcode::$name, false) => Some(Opcode::$back),
                    (Opcode::$name, true) => Some(Opcode::$hot),
                )*
                _ => None,
            }
        }

        const _: () = {
            $(assert!(op::$name::UNITS == op::$back::UNITS);)*
            $(assert!(op::$name::UNITS == op::$hot::UNITS);)*
        };
    };
}

backwards! {
    br br_back br_back_hot;
    br_if br_if_back br_if_back_hot;
    br_unless br_unless_back br_unless_back_hot;
    br_i32_eq br_i32_eq_back br_i32_eq_back_hot;
    br_i32_ne br_i32_ne_back br_i32_ne_back_hot;
    br_i32_lt_s br_i32_lt_s_back br_i32_lt_s_back_hot;
    br_i32_lt_u br_i32_lt_u_back br_i32_lt_u_back_hot;
    br_i32_le_s br_i32_le_s_back br_i32_le_s_back_hot;
    br_i32_le_u br_i32_le_u_back br_i32_le_u_back_hot;
    br_i64_eq br_i64_eq_back br_i64_eq_back_hot;
    br_i64_ne br_i64_ne_back br_i64_ne_back_hot;
    br_i64_lt_s br_i64_lt_s_back br_i64_lt_s_back_hot;
    br_i64_lt_u br_i64_lt_u_back br_i64_lt_u_back_hot;
    br_i64_le_s br_i64_le_s_back br_i64_le_s_back_hot;
    br_i64_le_u br_i64_le_u_back br_i64_le_u_back_hot;
    br_i32_eq_imm br_i32_eq_imm_back br_i32_eq_imm_back_hot;
    br_i32_ne_imm br_i32_ne_imm_back br_i32_ne_imm_back_hot;
    br_i32_lt_s_imm br_i32_lt_s_imm_back br_i32_lt_s_imm_back_hot;
    br_i32_lt_u_imm br_i32_lt_u_imm_back br_i32_lt_u_imm_back_hot;
    br_i32_gt_s_imm br_i32_gt_s_imm_back br_i32_gt_s_imm_back_hot;
    br_i32_gt_u_imm br_i32_gt_u_imm_back br_i32_gt_u_imm_back_hot;
    br_i32_le_s_imm br_i32_le_s_imm_back br_i32_le_s_imm_back_hot;
    br_i32_le_u_imm br_i32_le_u_imm_back br_i32_le_u_imm_back_hot;
    br_i32_ge_s_imm br_i32_ge_s_imm_back br_i32_ge_s_imm_back_hot;
    br_i32_ge_u_imm br_i32_ge_u_imm_back br_i32_ge_u_imm_back_hot;
    br_i64_eq_imm br_i64_eq_imm_back br_i64_eq_imm_back_hot;
    br_i64_ne_imm br_i64_ne_imm_back br_i64_ne_imm_back_hot;
    br_i64_lt_s_imm br_i64_lt_s_imm_back br_i64_lt_s_imm_back_hot;
    br_i64_lt_u_imm br_i64_lt_u_imm_back br_i64_lt_u_imm_back_hot;
    br_i64_gt_s_imm br_i64_gt_s_imm_back br_i64_gt_s_imm_back_hot;
    br_i64_gt_u_imm br_i64_gt_u_imm_back br_i64_gt_u_imm_back_hot;
    br_i64_le_s_imm br_i64_le_s_imm_back br_i64_le_s_imm_back_hot;
    br_i64_le_u_imm br_i64_le_u_imm_back br_i64_le_u_imm_back_hot;
    br_i64_ge_s_imm br_i64_ge_s_imm_back br_i64_ge_s_imm_back_hot;
    br_i64_ge_u_imm br_i64_ge_u_imm_back br_i64_ge_u_imm_back_hot;
}

/// Comparisons that may follow an increment, with the instruction that does both.
macro_rules! increments {
    ($($name:ident $back:ident $hot:ident;)*) => {
        impl Body<'_> {
            fn increment(&mut self, opcode: Opcode, add: CodeUnit, slot: S, by: I32, hot: bool) -> bool {
                let target = Branch(0);
                match opcode {
                    $(Opcode::$name => {
                        let op::$name { a, b, .. } = self.read(self.begin);
                        if a.0 != slot.0 {
                            return false;
                        }
                        self.retract(add);
                        if hot {
                            self.append(op::$hot { a, by, b, target });
                        } else {
                            self.append(op::$back { a, by, b, target });
                        }
                    })*
                    Opcode::br_if => {
                        let op::br_if { cond: a, .. } = self.read(self.begin);
                        if a.0 != slot.0 {
                            return false;
                        }
                        self.retract(add);
                        if hot {
                            self.append(op::inc_br_if_back_hot { a, by, target });
                        } else {
                            self.append(op::inc_br_if_back { a, by, target });
                        }
                    }
                    _ => return false,
                }
                true
            }
        }
    };
}

increments! {
    br_i32_ne inc_br_ne_back inc_br_ne_back_hot;
    br_i32_lt_s inc_br_lt_s_back inc_br_lt_s_back_hot;
    br_i32_lt_u inc_br_lt_u_back inc_br_lt_u_back_hot;
    br_i32_ne_imm inc_br_ne_imm_back inc_br_ne_imm_back_hot;
    br_i32_lt_s_imm inc_br_lt_s_imm_back inc_br_lt_s_imm_back_hot;
    br_i32_lt_u_imm inc_br_lt_u_imm_back inc_br_lt_u_imm_back_hot;
}

impl Body<'_> {
    /// Makes the branch just appended one that goes back to a loop. Those for which there is no such
    /// form go to the header.
    pub(super) fn latch(&mut self) {
        let hot = self.env.options.tiering;
        let opcode = Opcode::ALL[usize::from(self.b.code[self.begin.index()])];
        if let Some((add, _)) = self.before
            && Opcode::ALL[usize::from(self.b.code[add.index()])] == Opcode::i32_add_imm
        {
            let op::i32_add_imm { d, a, b: by } = self.read(add);
            if d.0 == a.0 && self.increment(opcode, add, a, by, hot) {
                return;
            }
        }
        if let Some(opcode) = backward(opcode, hot) {
            self.b.code[self.begin.index()] = opcode as u16;
            // It would be that of the branch that is no more.
            self.variant = None;
        }
    }
}
