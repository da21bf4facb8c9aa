//! Branches, and what is done where functions and loops begin.

use super::state::{State, handlers};
use crate::op::{self, Instruction};
use crate::operand::{U16, U32};
use std::sync::atomic::Ordering::Relaxed;
use wardian_types::TrapCode;
use wardian_vm::addr::{CodeAddr, StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{Function, Service, exit, header};
use wardian_vm::layout::Builtin;

/// Units of an entry in a table of branches.
const BR: usize = <op::br as Instruction>::UNITS;

type Hot = unsafe extern "C" fn(VmCtxPtr, usize, u64) -> u64;
type OutOfFuel = unsafe extern "C" fn(VmCtxPtr) -> u64;

impl State {
    /// Goes where an entry of the table says that follows.
    #[inline(always)]
    unsafe fn table(mut self, index: u32, count: U32) -> u64 {
        // SAFETY: so many branches follow, and one more.
        unsafe {
            let entry = self.ip.add(index.min(count.0) as usize * BR);
            let offset = entry.add(op::HEAD).cast::<i32>().read_unaligned();
            self.ip = entry.add(BR).offset(offset as isize);
            self.go()
        }
    }
}

handlers! {
    fn br(s, i) { s.branch(i.target) }
    fn br_if(s, i) { if s.get::<u64>(i.cond) != 0 { s.branch(i.target) } else { s.go() } }
    fn br_unless(s, i) { if s.get::<u64>(i.cond) == 0 { s.branch(i.target) } else { s.go() } }
    fn br_if_acc(s, i) { if s.acc != 0 { s.branch(i.target) } else { s.go() } }
    fn br_unless_acc(s, i) { if s.acc == 0 { s.branch(i.target) } else { s.go() } }
    fn br_if_far(s, i) { if *s.far(i.cond) != 0 { s.branch(i.target) } else { s.go() } }
    fn br_unless_far(s, i) { if *s.far(i.cond) == 0 { s.branch(i.target) } else { s.go() } }

    fn br_table(s, i) { s.table(*s.far(i.index) as u32, i.count) }
    fn br_table_acc(s, i) { s.table(s.acc as u32, i.count) }
    fn br_table_plus(s, i) { s.table((*s.far(i.index) as u32).wrapping_add(i.by.0 as u32), i.count) }
    fn br_table_plus_acc(s, i) { s.table((s.acc as u32).wrapping_add(i.by.0 as u32), i.count) }

    fn enter(s, op::enter { first, count }) {
        let locals = s.far(first);
        for slot in 0..count.0 as usize {
            // Volatile, because a call of `memset` would cost more than most functions have to clear.
            locals.add(slot).write_volatile(0);
        }
        s.go()
    }

    fn enter_hot(s, op::enter_hot { first, count }) {
        let locals = s.far(first);
        for slot in 0..count.0 as usize {
            locals.add(slot).write_volatile(0);
        }
        let function = *s.fp.offset(header::FUNCTION) as *const Function;
        let left = (*function).countdown.load(Relaxed).wrapping_sub(1);
        (*function).countdown.store(left, Relaxed);
        if left < 0 {
            return s.instead(enter_below_zero);
        }
        s.go()
    }

    fn loop_header(s, _) {
        if s.interrupted() {
            return s.ended_at(s.at);
        }
        *s.fp.offset(header::IP) = s.at as u64;
        s.go()
    }

    fn loop_header_hot(s, _) {
        if s.interrupted() {
            return s.ended_at(s.at);
        }
        *s.fp.offset(header::IP) = s.at as u64;
        let function = *s.fp.offset(header::FUNCTION) as *const Function;
        let left = (*function).countdown.load(Relaxed).wrapping_sub(1);
        (*function).countdown.store(left, Relaxed);
        if left < 0 {
            return s.instead(loop_below_zero);
        }
        s.go()
    }

    fn charge(s, i) {
        let store = s.store();
        (*store).fuel = (*store).fuel.wrapping_sub(i64::from(i.fuel.0));
        s.go()
    }

    fn check_fuel(s, _) {
        if (*s.store()).fuel < 0 {
            return s.instead(out_of_fuel);
        }
        s.go()
    }

    fn trap(s, op::trap { code: U16(code) }) {
        s.trap(TrapCode::from_u8(code as u8).unwrap_or(TrapCode::Unreachable))
    }

    #[cold]
    fn enter_below_zero: enter_hot(s, _) {
        hot!(s, 0_u32)
    }

    #[cold]
    fn loop_below_zero: loop_header_hot(s, op::loop_header_hot { header: U32(header) }) {
        hot!(s, header)
    }

    #[cold]
    fn out_of_fuel: check_fuel(s, op::check_fuel { top }) {
        let store = s.store();
        // Behind the instruction, as for a call: what is before it belongs to another function.
        *s.fp.offset(header::IP) = s.ip as u64;
        (*store).interp_sp = StackAddr::of(s.far(top));
        let builtin: OutOfFuel = std::mem::transmute(s.builtin(Builtin::OutOfFuel));
        builtin(s.vmctx);
        if (*store).exit != 0 || s.interrupted() {
            return exit::ENDED;
        }
        s.back_from_host()
    }
}

/// Asks the runtime whether to go on in compiled code.
macro_rules! hot {
    ($s:ident, $header:expr) => {{
        let store = $s.store();
        *$s.fp.offset(header::IP) = $s.at as u64;
        let function = *$s.fp.offset(header::FUNCTION) as *const Function;
        (*store).interp_sp = StackAddr::of($s.fp.add((*function).frame_slots as usize));
        let service: Hot = std::mem::transmute($s.service(Service::Hot));
        match service($s.vmctx, $s.fp as usize, u64::from($header)) {
            0 => $s.back_from_host(),
            code => {
                (*store).call.code = CodeAddr::from_usize(code as usize);
                exit::ENTER_LOOP
            }
        }
    }};
}
use hot;

macro_rules! branches {
    ($($name:ident $($acc:ident $($accb:ident)?)? = $ty:ident |$a:ident, $b:ident| $condition:expr;)*) => {
        handlers! { $(
            fn $name(s, i) {
                let ($a, $b): ($ty, $ty) = (s.get(i.a), s.get(i.b));
                if $condition { s.branch(i.target) } else { s.go() }
            }

            $(
                fn $acc(s, i) {
                    let ($a, $b): ($ty, $ty) = (s.acc as $ty, s.get(i.b));
                    if $condition { s.branch(i.target) } else { s.go() }
                }

                $(fn $accb(s, i) {
                    let ($a, $b): ($ty, $ty) = (s.get(i.a), s.acc as $ty);
                    if $condition { s.branch(i.target) } else { s.go() }
                })?
            )?
        )* }
    };
}

macro_rules! branches_imm {
    ($($name:ident $($acc:ident)? = $ty:ident |$a:ident, $b:ident| $condition:expr;)*) => { handlers! { $(
        $(fn $acc(s, i) {
            let ($a, $b): ($ty, $ty) = (s.acc as $ty, i.b.0 as $ty);
            if $condition { s.branch(i.target) } else { s.go() }
        })?

        fn $name(s, i) {
            let ($a, $b): ($ty, $ty) = (s.get(i.a), i.b.0 as $ty);
            if $condition { s.branch(i.target) } else { s.go() }
        }
    )* } };
}

branches! {
    br_i32_eq br_i32_eq_acc = u32 |a, b| a == b;
    br_i32_ne br_i32_ne_acc = u32 |a, b| a != b;
    br_i32_lt_s br_i32_lt_s_acc br_i32_lt_s_accb = i32 |a, b| a < b;
    br_i32_lt_u br_i32_lt_u_acc br_i32_lt_u_accb = u32 |a, b| a < b;
    br_i32_le_s br_i32_le_s_acc br_i32_le_s_accb = i32 |a, b| a <= b;
    br_i32_le_u br_i32_le_u_acc br_i32_le_u_accb = u32 |a, b| a <= b;
    br_i32_any = u32 |a, b| a & b != 0;
    br_i32_none = u32 |a, b| a & b == 0;
    br_i64_eq br_i64_eq_acc = u64 |a, b| a == b;
    br_i64_ne br_i64_ne_acc = u64 |a, b| a != b;
    br_i64_lt_s br_i64_lt_s_acc br_i64_lt_s_accb = i64 |a, b| a < b;
    br_i64_lt_u br_i64_lt_u_acc br_i64_lt_u_accb = u64 |a, b| a < b;
    br_i64_le_s br_i64_le_s_acc br_i64_le_s_accb = i64 |a, b| a <= b;
    br_i64_le_u br_i64_le_u_acc br_i64_le_u_accb = u64 |a, b| a <= b;
    br_f32_eq = f32 |a, b| a == b;
    br_f32_ne = f32 |a, b| a != b;
    br_f32_lt = f32 |a, b| a < b;
    br_f32_le = f32 |a, b| a <= b;
    br_f32_nlt = f32 |a, b| !matches!(a.partial_cmp(&b), Some(std::cmp::Ordering::Less));
    br_f32_nle = f32 |a, b| matches!(a.partial_cmp(&b), None | Some(std::cmp::Ordering::Greater));
    br_f64_eq = f64 |a, b| a == b;
    br_f64_ne = f64 |a, b| a != b;
    br_f64_lt = f64 |a, b| a < b;
    br_f64_le = f64 |a, b| a <= b;
    br_f64_nlt = f64 |a, b| !matches!(a.partial_cmp(&b), Some(std::cmp::Ordering::Less));
    br_f64_nle = f64 |a, b| matches!(a.partial_cmp(&b), None | Some(std::cmp::Ordering::Greater));
}

branches_imm! {
    br_i32_eq_imm br_i32_eq_imm_acc = u32 |a, b| a == b;
    br_i32_ne_imm br_i32_ne_imm_acc = u32 |a, b| a != b;
    br_i32_lt_s_imm br_i32_lt_s_imm_acc = i32 |a, b| a < b;
    br_i32_lt_u_imm br_i32_lt_u_imm_acc = u32 |a, b| a < b;
    br_i32_gt_s_imm br_i32_gt_s_imm_acc = i32 |a, b| a > b;
    br_i32_gt_u_imm br_i32_gt_u_imm_acc = u32 |a, b| a > b;
    br_i32_le_s_imm br_i32_le_s_imm_acc = i32 |a, b| a <= b;
    br_i32_le_u_imm br_i32_le_u_imm_acc = u32 |a, b| a <= b;
    br_i32_ge_s_imm br_i32_ge_s_imm_acc = i32 |a, b| a >= b;
    br_i32_ge_u_imm br_i32_ge_u_imm_acc = u32 |a, b| a >= b;
    br_i32_any_imm br_i32_any_imm_acc = u32 |a, b| a & b != 0;
    br_i32_none_imm br_i32_none_imm_acc = u32 |a, b| a & b == 0;
    br_i64_eq_imm br_i64_eq_imm_acc = u64 |a, b| a == b;
    br_i64_ne_imm br_i64_ne_imm_acc = u64 |a, b| a != b;
    br_i64_lt_s_imm br_i64_lt_s_imm_acc = i64 |a, b| a < b;
    br_i64_lt_u_imm br_i64_lt_u_imm_acc = u64 |a, b| a < b;
    br_i64_gt_s_imm br_i64_gt_s_imm_acc = i64 |a, b| a > b;
    br_i64_gt_u_imm br_i64_gt_u_imm_acc = u64 |a, b| a > b;
    br_i64_le_s_imm br_i64_le_s_imm_acc = i64 |a, b| a <= b;
    br_i64_le_u_imm br_i64_le_u_imm_acc = u64 |a, b| a <= b;
    br_i64_ge_s_imm br_i64_ge_s_imm_acc = i64 |a, b| a >= b;
    br_i64_ge_u_imm br_i64_ge_u_imm_acc = u64 |a, b| a >= b;
}
