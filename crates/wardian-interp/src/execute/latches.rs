//! Branches back to the beginning of a loop.
//!
//! They do what the loop's header does: see to interrupts, say where the frame is, count down. So the
//! header itself is executed only when the loop is entered.

use super::state::{State, handlers};
use crate::op::{self, Instruction};
use crate::operand::{Branch, D};
use std::sync::atomic::Ordering::Relaxed;
use wardian_vm::interpreted::{Function, header};

impl State {
    /// Goes to the instruction behind a header; to the header itself if there is more to do.
    #[inline(always)]
    unsafe fn back<const HOT: bool>(mut self, target: Branch) -> u64 {
        // SAFETY: the target is the header of a loop.
        unsafe {
            let header = self.ip.offset(target.0 as isize);
            self.ip = header;
            if self.interrupted() {
                return self.go();
            }
            let place = self.fp.offset(header::IP);
            if *place == header as u64 {
                // Volatile, so that the machine takes it from there: else it could not begin the next
                // turn before it has the offset, which it reads where this turn's instructions led. As
                // it foresees how the comparison ends, nothing has to wait.
                self.ip = place.read_volatile() as *const u16;
                return self.turn::<HOT>();
            }
            *place = header as u64;
            self.turn::<HOT>()
        }
    }

    /// Continues behind the header, at ip.
    #[inline(always)]
    unsafe fn turn<const HOT: bool>(mut self) -> u64 {
        // SAFETY: the header of a loop, of which the frame knows.
        unsafe {
            if HOT {
                let function = *self.fp.offset(header::FUNCTION) as *const Function;
                let left = (*function).countdown.load(Relaxed);
                if left <= 0 {
                    return self.go();
                }
                (*function).countdown.store(left - 1, Relaxed);
            }
            self.ip = self.ip.add(HEADER);
            self.go()
        }
    }
}

/// Units of a header, of either kind.
const HEADER: usize = <op::loop_header as Instruction>::UNITS;
const _: () = assert!(HEADER == op::loop_header_hot::UNITS);

macro_rules! branches {
    ($($name:ident $hot:ident |$s:ident, $i:ident| $condition:expr;)*) => { handlers! { $(
        fn $name($s, $i) { if $condition { $s.back::<false>($i.target) } else { $s.go() } }
        fn $hot($s, $i) { if $condition { $s.back::<true>($i.target) } else { $s.go() } }
    )* } };
}

macro_rules! comparisons {
    ($($name:ident $hot:ident $ty:ident |$a:ident, $b:ident| $condition:expr;)*) => { branches! { $(
        $name $hot |s, i| {
            let ($a, $b): ($ty, $ty) = (s.get(i.a), s.get(i.b));
            $condition
        };
    )* } };
}

macro_rules! comparisons_imm {
    ($($name:ident $hot:ident $ty:ident |$a:ident, $b:ident| $condition:expr;)*) => { branches! { $(
        $name $hot |s, i| {
            let ($a, $b): ($ty, $ty) = (s.get(i.a), i.b.0 as $ty);
            $condition
        };
    )* } };
}

/// Branches that add to their operand first.
macro_rules! increments {
    ($($name:ident $hot:ident |$s:ident, $i:ident, $a:ident| $condition:expr;)*) => { branches! { $(
        $name $hot |$s, $i| {
            let $a = $s.get::<u32>($i.a).wrapping_add($i.by.0 as u32);
            $s.set(D($i.a.0), $a);
            $condition
        };
    )* } };
}

branches! {
    br_back br_back_hot |s, i| true;
    br_if_back br_if_back_hot |s, i| s.get::<u64>(i.cond) != 0;
    br_unless_back br_unless_back_hot |s, i| s.get::<u64>(i.cond) == 0;
}

comparisons! {
    br_i32_eq_back br_i32_eq_back_hot u32 |a, b| a == b;
    br_i32_ne_back br_i32_ne_back_hot u32 |a, b| a != b;
    br_i32_lt_s_back br_i32_lt_s_back_hot i32 |a, b| a < b;
    br_i32_lt_u_back br_i32_lt_u_back_hot u32 |a, b| a < b;
    br_i32_le_s_back br_i32_le_s_back_hot i32 |a, b| a <= b;
    br_i32_le_u_back br_i32_le_u_back_hot u32 |a, b| a <= b;
    br_i64_eq_back br_i64_eq_back_hot u64 |a, b| a == b;
    br_i64_ne_back br_i64_ne_back_hot u64 |a, b| a != b;
    br_i64_lt_s_back br_i64_lt_s_back_hot i64 |a, b| a < b;
    br_i64_lt_u_back br_i64_lt_u_back_hot u64 |a, b| a < b;
    br_i64_le_s_back br_i64_le_s_back_hot i64 |a, b| a <= b;
    br_i64_le_u_back br_i64_le_u_back_hot u64 |a, b| a <= b;
}

comparisons_imm! {
    br_i32_eq_imm_back br_i32_eq_imm_back_hot u32 |a, b| a == b;
    br_i32_ne_imm_back br_i32_ne_imm_back_hot u32 |a, b| a != b;
    br_i32_lt_s_imm_back br_i32_lt_s_imm_back_hot i32 |a, b| a < b;
    br_i32_lt_u_imm_back br_i32_lt_u_imm_back_hot u32 |a, b| a < b;
    br_i32_gt_s_imm_back br_i32_gt_s_imm_back_hot i32 |a, b| a > b;
    br_i32_gt_u_imm_back br_i32_gt_u_imm_back_hot u32 |a, b| a > b;
    br_i32_le_s_imm_back br_i32_le_s_imm_back_hot i32 |a, b| a <= b;
    br_i32_le_u_imm_back br_i32_le_u_imm_back_hot u32 |a, b| a <= b;
    br_i32_ge_s_imm_back br_i32_ge_s_imm_back_hot i32 |a, b| a >= b;
    br_i32_ge_u_imm_back br_i32_ge_u_imm_back_hot u32 |a, b| a >= b;
    br_i64_eq_imm_back br_i64_eq_imm_back_hot u64 |a, b| a == b;
    br_i64_ne_imm_back br_i64_ne_imm_back_hot u64 |a, b| a != b;
    br_i64_lt_s_imm_back br_i64_lt_s_imm_back_hot i64 |a, b| a < b;
    br_i64_lt_u_imm_back br_i64_lt_u_imm_back_hot u64 |a, b| a < b;
    br_i64_gt_s_imm_back br_i64_gt_s_imm_back_hot i64 |a, b| a > b;
    br_i64_gt_u_imm_back br_i64_gt_u_imm_back_hot u64 |a, b| a > b;
    br_i64_le_s_imm_back br_i64_le_s_imm_back_hot i64 |a, b| a <= b;
    br_i64_le_u_imm_back br_i64_le_u_imm_back_hot u64 |a, b| a <= b;
    br_i64_ge_s_imm_back br_i64_ge_s_imm_back_hot i64 |a, b| a >= b;
    br_i64_ge_u_imm_back br_i64_ge_u_imm_back_hot u64 |a, b| a >= b;
}

increments! {
    inc_br_if_back inc_br_if_back_hot |s, i, a| a != 0;
    inc_br_ne_back inc_br_ne_back_hot |s, i, a| a != s.get::<u32>(i.b);
    inc_br_lt_s_back inc_br_lt_s_back_hot |s, i, a| (a as i32) < s.get::<i32>(i.b);
    inc_br_lt_u_back inc_br_lt_u_back_hot |s, i, a| a < s.get::<u32>(i.b);
    inc_br_ne_imm_back inc_br_ne_imm_back_hot |s, i, a| a != i.b.0 as u32;
    inc_br_lt_s_imm_back inc_br_lt_s_imm_back_hot |s, i, a| (a as i32) < i.b.0;
    inc_br_lt_u_imm_back inc_br_lt_u_imm_back_hot |s, i, a| a < i.b.0 as u32;
}
