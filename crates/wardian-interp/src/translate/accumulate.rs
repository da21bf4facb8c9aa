//! Operands that are still in a register.
//!
//! An instruction that reads what the one before it wrote becomes, once the next is appended, its variant
//! that takes the operand from the register. Until then it stays as it is, for those who make one of two
//! instructions. The variants are encoded alike, so only the opcode changes.

use super::Body;
use crate::op::{self, HEAD, Instruction, Opcode};
use crate::operand::Register;
use crate::translation::CodeUnit;
use wardian_vm::interpreted::FrameSlot;

/// `name register: variant for a`, where that operand only can be taken; where operands may be exchanged;
/// where there is a variant for b; for the operand that is named; branches whose operands may be exchanged;
/// accesses to elements, by the array or the index; and where b may be exchanged for c.
macro_rules! variants {
    ($($name:ident $register:ident: $a:ident;)*
        [commutes] $($c_name:ident $c_register:ident: $c_a:ident;)*
        [both] $($b_name:ident $b_register:ident: $b_a:ident $b_b:ident;)*
        [named] $($n_name:ident $n_register:ident: $n_field:ident $n_a:ident;)*
        [branch] $($e_name:ident $e_register:ident: $e_a:ident;)*
        [element] $($i_name:ident $i_register:ident: $i_a:ident $i_b:ident;)*
        [product] $($p_name:ident $p_register:ident: $p_a:ident $p_b:ident;)*) => {
        impl Body<'_> {
            /// Notes the variant of the instruction that begins here, if it reads that slot.
            #[inline]
            pub(super) fn accumulate<I: Instruction>(
                &mut self,
                start: CodeUnit,
                slot: FrameSlot,
                register: Register,
            ) {
                let variant = match I::OPCODE {
                    $(Opcode::$name if register == Register::$register => {
                        let op::$name { a, .. } = self.read(start);
                        (a.0 == slot).then_some(Opcode::$a)
                    })*
                    $(Opcode::$c_name if register == Register::$c_register => {
                        let op::$c_name { a, b, .. } = self.read(start);
                        if b.0 == slot {
                            self.b.code.swap(start.index() + HEAD + 1, start.index() + HEAD + 2);
                        }
                        (a.0 == slot || b.0 == slot).then_some(Opcode::$c_a)
                    })*
                    $(Opcode::$b_name if register == Register::$b_register => {
                        let op::$b_name { a, b, .. } = self.read(start);
                        if a.0 == slot {
                            Some(Opcode::$b_a)
                        } else {
                            (b.0 == slot).then_some(Opcode::$b_b)
                        }
                    })*
                    $(Opcode::$n_name if register == Register::$n_register => {
                        let op::$n_name { $n_field, .. } = self.read(start);
                        ($n_field.0 == slot).then_some(Opcode::$n_a)
                    })*
                    $(Opcode::$e_name if register == Register::$e_register => {
                        let op::$e_name { a, b, .. } = self.read(start);
                        if b.0 == slot {
                            self.b.code.swap(start.index() + HEAD, start.index() + HEAD + 1);
                        }
                        (a.0 == slot || b.0 == slot).then_some(Opcode::$e_a)
                    })*
                    $(Opcode::$i_name if register == Register::$i_register => {
                        let op::$i_name { array, index, .. } = self.read(start);
                        if array.0 == slot {
                            Some(Opcode::$i_a)
                        } else {
                            (index.0 == slot).then_some(Opcode::$i_b)
                        }
                    })*
                    $(Opcode::$p_name if register == Register::$p_register => {
                        let op::$p_name { a, b, c, .. } = self.read(start);
                        if a.0 == slot {
                            Some(Opcode::$p_a)
                        } else {
                            if c.0 == slot {
                                self.b.code.swap(start.index() + HEAD + 2, start.index() + HEAD + 3);
                            }
                            (b.0 == slot || c.0 == slot).then_some(Opcode::$p_b)
                        }
                    })*
                    _ => None,
                };
                self.variant = variant.map(|variant| (start, variant));
            }
        }

        const _: () = {
            $(assert!(op::$name::UNITS == op::$a::UNITS);)*
            $(assert!(op::$c_name::UNITS == op::$c_a::UNITS);)*
            $(assert!(op::$b_name::UNITS == op::$b_a::UNITS);)*
            $(assert!(op::$b_name::UNITS == op::$b_b::UNITS);)*
            $(assert!(op::$n_name::UNITS == op::$n_a::UNITS);)*
            $(assert!(op::$e_name::UNITS == op::$e_a::UNITS);)*
            $(assert!(op::$i_name::UNITS == op::$i_a::UNITS);)*
            $(assert!(op::$i_name::UNITS == op::$i_b::UNITS);)*
            $(assert!(op::$p_name::UNITS == op::$p_a::UNITS);)*
            $(assert!(op::$p_name::UNITS == op::$p_b::UNITS);)*
        };
    };
}

variants! {
    i32_sub Word: i32_sub_acc;
    i32_shl Word: i32_shl_acc;
    i32_shr_s Word: i32_shr_s_acc;
    i32_shr_u Word: i32_shr_u_acc;
    i32_rotl Word: i32_rotl_acc;
    i32_rotr Word: i32_rotr_acc;
    i32_add_imm Word: i32_add_imm_acc;
    i32_mul_imm Word: i32_mul_imm_acc;
    i32_and_imm Word: i32_and_imm_acc;
    i32_or_imm Word: i32_or_imm_acc;
    i32_xor_imm Word: i32_xor_imm_acc;
    i32_shl_imm Word: i32_shl_imm_acc;
    i32_shr_s_imm Word: i32_shr_s_imm_acc;
    i32_shr_u_imm Word: i32_shr_u_imm_acc;
    i32_rotl_imm Word: i32_rotl_imm_acc;
    i64_sub Word: i64_sub_acc;
    i64_shl Word: i64_shl_acc;
    i64_shr_s Word: i64_shr_s_acc;
    i64_shr_u Word: i64_shr_u_acc;
    i64_rotl Word: i64_rotl_acc;
    i64_rotr Word: i64_rotr_acc;
    i64_add_imm Word: i64_add_imm_acc;
    i64_mul_imm Word: i64_mul_imm_acc;
    i64_and_imm Word: i64_and_imm_acc;
    i64_or_imm Word: i64_or_imm_acc;
    i64_xor_imm Word: i64_xor_imm_acc;
    i64_shl_imm Word: i64_shl_imm_acc;
    i64_shr_s_imm Word: i64_shr_s_imm_acc;
    i64_shr_u_imm Word: i64_shr_u_imm_acc;
    i64_rotl_imm Word: i64_rotl_imm_acc;
    i32_wrap_i64 Word: i32_wrap_i64_acc;
    i64_extend_i32_s Word: i64_extend_i32_s_acc;
    load8_u Word: load8_u_acc;
    load16_u Word: load16_u_acc;
    load32 Word: load32_acc;
    load64 Word: load64_acc;
    load8_s32 Word: load8_s32_acc;
    load16_s32 Word: load16_s32_acc;
    load8_s64 Word: load8_s64_acc;
    load16_s64 Word: load16_s64_acc;
    load32_s64 Word: load32_s64_acc;
    load_f32 Word: load_f32_acc;
    load_f64 Word: load_f64_acc;
    load8_u_plus Word: load8_u_plus_acc;
    load16_u_plus Word: load16_u_plus_acc;
    load32_plus Word: load32_plus_acc;
    load64_plus Word: load64_plus_acc;
    load8_s32_plus Word: load8_s32_plus_acc;
    load16_s32_plus Word: load16_s32_plus_acc;
    load8_s64_plus Word: load8_s64_plus_acc;
    load16_s64_plus Word: load16_s64_plus_acc;
    load32_s64_plus Word: load32_s64_plus_acc;
    load_f32_plus Word: load_f32_plus_acc;
    load_f64_plus Word: load_f64_plus_acc;
    v128_load_plus Word: v128_load_plus_acc;
    i64_add_const Word: i64_add_const_acc;
    i64_mul_const Word: i64_mul_const_acc;
    i64_and_const Word: i64_and_const_acc;
    i64_xor_const Word: i64_xor_const_acc;
    i32_bits Word: i32_bits_acc;
    i64_bits Word: i64_bits_acc;
    f64_add_imm Double: f64_add_imm_acc;
    f64_sub_imm Double: f64_sub_imm_acc;
    f64_mul_imm Double: f64_mul_imm_acc;
    f64_div_imm Double: f64_div_imm_acc;
    f32_sqrt Single: f32_sqrt_acc;
    f64_sqrt Double: f64_sqrt_acc;
    i32_div_s Word: i32_div_s_acc;
    i32_div_u Word: i32_div_u_acc;
    i32_rem_s Word: i32_rem_s_acc;
    i32_rem_u Word: i32_rem_u_acc;
    i64_div_s Word: i64_div_s_acc;
    i64_div_u Word: i64_div_u_acc;
    i64_rem_s Word: i64_rem_s_acc;
    i64_rem_u Word: i64_rem_u_acc;
    i32_div_s_imm Word: i32_div_s_imm_acc;
    i32_div_u_imm Word: i32_div_u_imm_acc;
    i32_rem_s_imm Word: i32_rem_s_imm_acc;
    i32_rem_u_imm Word: i32_rem_u_imm_acc;
    i64_div_s_imm Word: i64_div_s_imm_acc;
    i64_div_u_imm Word: i64_div_u_imm_acc;
    i64_rem_s_imm Word: i64_rem_s_imm_acc;
    i64_rem_u_imm Word: i64_rem_u_imm_acc;
    i32_trunc_f32_s Single: i32_trunc_f32_s_acc;
    i32_trunc_f32_u Single: i32_trunc_f32_u_acc;
    i64_trunc_f32_s Single: i64_trunc_f32_s_acc;
    i64_trunc_f32_u Single: i64_trunc_f32_u_acc;
    i32_trunc_sat_f32_s Single: i32_trunc_sat_f32_s_acc;
    i32_trunc_sat_f32_u Single: i32_trunc_sat_f32_u_acc;
    i64_trunc_sat_f32_s Single: i64_trunc_sat_f32_s_acc;
    i64_trunc_sat_f32_u Single: i64_trunc_sat_f32_u_acc;
    i32_trunc_f64_s Double: i32_trunc_f64_s_acc;
    i32_trunc_f64_u Double: i32_trunc_f64_u_acc;
    i64_trunc_f64_s Double: i64_trunc_f64_s_acc;
    i64_trunc_f64_u Double: i64_trunc_f64_u_acc;
    i32_trunc_sat_f64_s Double: i32_trunc_sat_f64_s_acc;
    i32_trunc_sat_f64_u Double: i32_trunc_sat_f64_u_acc;
    i64_trunc_sat_f64_s Double: i64_trunc_sat_f64_s_acc;
    i64_trunc_sat_f64_u Double: i64_trunc_sat_f64_u_acc;
    f32_convert_i32_s Word: f32_convert_i32_s_acc;
    f32_convert_i32_u Word: f32_convert_i32_u_acc;
    f32_convert_i64_s Word: f32_convert_i64_s_acc;
    f32_convert_i64_u Word: f32_convert_i64_u_acc;
    f64_convert_i32_s Word: f64_convert_i32_s_acc;
    f64_convert_i32_u Word: f64_convert_i32_u_acc;
    f64_convert_i64_s Word: f64_convert_i64_s_acc;
    f64_convert_i64_u Word: f64_convert_i64_u_acc;
    f32_abs Single: f32_abs_acc;
    f32_neg Single: f32_neg_acc;
    f64_promote_f32 Single: f64_promote_f32_acc;
    f64_abs Double: f64_abs_acc;
    f64_neg Double: f64_neg_acc;
    f32_demote_f64 Double: f32_demote_f64_acc;
    field_set_sub32 Word: field_set_sub32_acc;
    field_set_sub64 Word: field_set_sub64_acc;
    field_set_add32_imm Word: field_set_add32_imm_acc;
    field_set_and32_imm Word: field_set_and32_imm_acc;
    field_set_or32_imm Word: field_set_or32_imm_acc;
    field_set_xor32_imm Word: field_set_xor32_imm_acc;
    field_set_add64_imm Word: field_set_add64_imm_acc;
    field_set_and64_imm Word: field_set_and64_imm_acc;
    field_set_or64_imm Word: field_set_or64_imm_acc;
    field_set_xor64_imm Word: field_set_xor64_imm_acc;
    element_set_sub32 Word: element_set_sub32_acc;
    element_set_sub64 Word: element_set_sub64_acc;
    element_set_add32_imm Word: element_set_add32_imm_acc;
    element_set_and32_imm Word: element_set_and32_imm_acc;
    element_set_or32_imm Word: element_set_or32_imm_acc;
    element_set_xor32_imm Word: element_set_xor32_imm_acc;
    element_set_add64_imm Word: element_set_add64_imm_acc;
    element_set_and64_imm Word: element_set_and64_imm_acc;
    element_set_or64_imm Word: element_set_or64_imm_acc;
    element_set_xor64_imm Word: element_set_xor64_imm_acc;
    [commutes]
    field_set_add32 Word: field_set_add32_acc;
    field_set_and32 Word: field_set_and32_acc;
    field_set_or32 Word: field_set_or32_acc;
    field_set_xor32 Word: field_set_xor32_acc;
    field_set_add64 Word: field_set_add64_acc;
    field_set_and64 Word: field_set_and64_acc;
    field_set_or64 Word: field_set_or64_acc;
    field_set_xor64 Word: field_set_xor64_acc;
    element_set_add32 Word: element_set_add32_acc;
    element_set_and32 Word: element_set_and32_acc;
    element_set_or32 Word: element_set_or32_acc;
    element_set_xor32 Word: element_set_xor32_acc;
    element_set_add64 Word: element_set_add64_acc;
    element_set_and64 Word: element_set_and64_acc;
    element_set_or64 Word: element_set_or64_acc;
    element_set_xor64 Word: element_set_xor64_acc;
    i32_add Word: i32_add_acc;
    i32_mul Word: i32_mul_acc;
    i32_and Word: i32_and_acc;
    i32_or Word: i32_or_acc;
    i32_xor Word: i32_xor_acc;
    i64_add Word: i64_add_acc;
    i64_mul Word: i64_mul_acc;
    i64_and Word: i64_and_acc;
    i64_or Word: i64_or_acc;
    i64_xor Word: i64_xor_acc;
    f32_add Single: f32_add_acc;
    f32_mul Single: f32_mul_acc;
    f64_add Double: f64_add_acc;
    f64_mul Double: f64_mul_acc;
    [both]
    f32_sub Single: f32_sub_acc f32_sub_accb;
    f32_div Single: f32_div_acc f32_div_accb;
    f64_sub Double: f64_sub_acc f64_sub_accb;
    f64_div Double: f64_div_acc f64_div_accb;
    i32_add_shl Word: i32_add_shl_acc i32_add_shl_accb;
    i64_add_shl Word: i64_add_shl_acc i64_add_shl_accb;
    i32_or_shl Word: i32_or_shl_acc i32_or_shl_accb;
    i32_xor_shl Word: i32_xor_shl_acc i32_xor_shl_accb;
    i32_xor_shr_u Word: i32_xor_shr_u_acc i32_xor_shr_u_accb;
    i32_xor_rotl Word: i32_xor_rotl_acc i32_xor_rotl_accb;
    i64_or_shl Word: i64_or_shl_acc i64_or_shl_accb;
    i64_xor_shl Word: i64_xor_shl_acc i64_xor_shl_accb;
    i64_xor_shr_u Word: i64_xor_shr_u_acc i64_xor_shr_u_accb;
    i64_xor_rotl Word: i64_xor_rotl_acc i64_xor_rotl_accb;
    load8_u_index Word: load8_u_index_acc load8_u_index_accb;
    load16_u_index Word: load16_u_index_acc load16_u_index_accb;
    load32_index Word: load32_index_acc load32_index_accb;
    load64_index Word: load64_index_acc load64_index_accb;
    load8_s32_index Word: load8_s32_index_acc load8_s32_index_accb;
    load16_s32_index Word: load16_s32_index_acc load16_s32_index_accb;
    load8_s64_index Word: load8_s64_index_acc load8_s64_index_accb;
    load16_s64_index Word: load16_s64_index_acc load16_s64_index_accb;
    load32_s64_index Word: load32_s64_index_acc load32_s64_index_accb;
    load_f32_index Word: load_f32_index_acc load_f32_index_accb;
    load_f64_index Word: load_f64_index_acc load_f64_index_accb;
    v128_load_index Word: v128_load_index_acc v128_load_index_accb;
    br_i32_lt_s Word: br_i32_lt_s_acc br_i32_lt_s_accb;
    br_i32_lt_u Word: br_i32_lt_u_acc br_i32_lt_u_accb;
    br_i32_le_s Word: br_i32_le_s_acc br_i32_le_s_accb;
    br_i32_le_u Word: br_i32_le_u_acc br_i32_le_u_accb;
    br_i64_lt_s Word: br_i64_lt_s_acc br_i64_lt_s_accb;
    br_i64_lt_u Word: br_i64_lt_u_acc br_i64_lt_u_accb;
    br_i64_le_s Word: br_i64_le_s_acc br_i64_le_s_accb;
    br_i64_le_u Word: br_i64_le_u_acc br_i64_le_u_accb;
    [named]
    store8 Word: value store8_acc;
    store16 Word: value store16_acc;
    store32 Word: value store32_acc;
    store64 Word: value store64_acc;
    store32 Single: value store32_single;
    store64 Double: value store64_double;
    select Word: cond select_acc;
    global_set32 Word: value global_set32_acc;
    global_set64 Word: value global_set64_acc;
    br_if Word: cond br_if_acc;
    br_unless Word: cond br_unless_acc;
    br_table Word: index br_table_acc;
    br_table_plus Word: index br_table_plus_acc;
    br_i32_eq_imm Word: a br_i32_eq_imm_acc;
    br_i32_ne_imm Word: a br_i32_ne_imm_acc;
    br_i32_lt_s_imm Word: a br_i32_lt_s_imm_acc;
    br_i32_lt_u_imm Word: a br_i32_lt_u_imm_acc;
    br_i32_gt_s_imm Word: a br_i32_gt_s_imm_acc;
    br_i32_gt_u_imm Word: a br_i32_gt_u_imm_acc;
    br_i32_le_s_imm Word: a br_i32_le_s_imm_acc;
    br_i32_le_u_imm Word: a br_i32_le_u_imm_acc;
    br_i32_ge_s_imm Word: a br_i32_ge_s_imm_acc;
    br_i32_ge_u_imm Word: a br_i32_ge_u_imm_acc;
    br_i32_any_imm Word: a br_i32_any_imm_acc;
    br_i32_none_imm Word: a br_i32_none_imm_acc;
    br_i64_eq_imm Word: a br_i64_eq_imm_acc;
    br_i64_ne_imm Word: a br_i64_ne_imm_acc;
    br_i64_lt_s_imm Word: a br_i64_lt_s_imm_acc;
    br_i64_lt_u_imm Word: a br_i64_lt_u_imm_acc;
    br_i64_gt_s_imm Word: a br_i64_gt_s_imm_acc;
    br_i64_gt_u_imm Word: a br_i64_gt_u_imm_acc;
    br_i64_le_s_imm Word: a br_i64_le_s_imm_acc;
    br_i64_le_u_imm Word: a br_i64_le_u_imm_acc;
    br_i64_ge_s_imm Word: a br_i64_ge_s_imm_acc;
    br_i64_ge_u_imm Word: a br_i64_ge_u_imm_acc;
    field_get8_s Word: object field_get8_s_acc;
    field_get8_u Word: object field_get8_u_acc;
    field_get16_s Word: object field_get16_s_acc;
    field_get16_u Word: object field_get16_u_acc;
    field_get32 Word: object field_get32_acc;
    field_get64 Word: object field_get64_acc;
    field_get_func Word: object field_get_func_acc;
    field_get_f32 Word: object field_get_f32_acc;
    field_get_f64 Word: object field_get_f64_acc;
    field_set8 Word: value field_set8_acc;
    field_set16 Word: value field_set16_acc;
    field_set32 Word: value field_set32_acc;
    field_set64 Word: value field_set64_acc;
    field_set32 Single: value field_set32_single;
    field_set64 Double: value field_set64_double;
    field_tee8_s Word: value field_tee8_s_acc;
    field_tee8_u Word: value field_tee8_u_acc;
    field_tee16_s Word: value field_tee16_s_acc;
    field_tee16_u Word: value field_tee16_u_acc;
    field_tee32 Word: value field_tee32_acc;
    field_tee64 Word: value field_tee64_acc;
    field_add32 Word: by field_add32_acc;
    field_add64 Word: by field_add64_acc;
    field_sub32 Word: by field_sub32_acc;
    field_sub64 Word: by field_sub64_acc;
    field_and32 Word: by field_and32_acc;
    field_and64 Word: by field_and64_acc;
    field_or32 Word: by field_or32_acc;
    field_or64 Word: by field_or64_acc;
    field_xor32 Word: by field_xor32_acc;
    field_xor64 Word: by field_xor64_acc;
    element_set8 Word: value element_set8_acc;
    element_set16 Word: value element_set16_acc;
    element_set32 Word: value element_set32_acc;
    element_set64 Word: value element_set64_acc;
    element_set32 Single: value element_set32_single;
    element_set64 Double: value element_set64_double;
    element_tee8_s Word: value element_tee8_s_acc;
    element_tee8_u Word: value element_tee8_u_acc;
    element_tee16_s Word: value element_tee16_s_acc;
    element_tee16_u Word: value element_tee16_u_acc;
    element_tee32 Word: value element_tee32_acc;
    element_tee64 Word: value element_tee64_acc;
    element_add32 Word: by element_add32_acc;
    element_add64 Word: by element_add64_acc;
    element_sub32 Word: by element_sub32_acc;
    element_sub64 Word: by element_sub64_acc;
    element_and32 Word: by element_and32_acc;
    element_and64 Word: by element_and64_acc;
    element_or32 Word: by element_or32_acc;
    element_or64 Word: by element_or64_acc;
    element_xor32 Word: by element_xor32_acc;
    element_xor64 Word: by element_xor64_acc;
    [branch]
    br_i32_eq Word: br_i32_eq_acc;
    br_i32_ne Word: br_i32_ne_acc;
    br_i64_eq Word: br_i64_eq_acc;
    br_i64_ne Word: br_i64_ne_acc;
    [element]
    element_get8_s Word: element_get8_s_acc element_get8_s_accb;
    element_get8_u Word: element_get8_u_acc element_get8_u_accb;
    element_get16_s Word: element_get16_s_acc element_get16_s_accb;
    element_get16_u Word: element_get16_u_acc element_get16_u_accb;
    element_get32 Word: element_get32_acc element_get32_accb;
    element_get64 Word: element_get64_acc element_get64_accb;
    element_get_func Word: element_get_func_acc element_get_func_accb;
    element_get_f32 Word: element_get_f32_acc element_get_f32_accb;
    element_get_f64 Word: element_get_f64_acc element_get_f64_accb;
    [product]
    f32_add_mul Single: f32_add_mul_acc f32_add_mul_accb;
    f32_sub_mul Single: f32_sub_mul_acc f32_sub_mul_accb;
    f32_mul_sub Single: f32_mul_sub_acc f32_mul_sub_accb;
    f64_add_mul Double: f64_add_mul_acc f64_add_mul_accb;
    f64_sub_mul Double: f64_sub_mul_acc f64_sub_mul_accb;
    f64_mul_sub Double: f64_mul_sub_acc f64_mul_sub_accb;
}

impl Body<'_> {
    /// The last instruction stays: it becomes the variant that was noted.
    #[inline]
    pub(super) fn accept(&mut self) {
        if let Some((start, variant)) = self.variant.take() {
            self.b.code[start.index()] = variant as u16;
        }
    }
}
