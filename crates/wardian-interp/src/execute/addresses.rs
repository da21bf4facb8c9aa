//! Accesses whose address is computed on the way: a slot and a number, or a slot and another one that is
//! shifted. The sum has 32 bits; the offset is added to it with more.

use super::memory::narrow;
use super::state::handlers;
use crate::operand::{I32, U16, U32};
use wardian_types::GuestAddr;

#[inline(always)]
fn plus(a: u32, by: I32, offset: U32) -> GuestAddr {
    narrow(a.wrapping_add(by.0 as u32), offset)
}

#[inline(always)]
fn index(a: u32, b: u32, shift: U16, offset: U32) -> GuestAddr {
    narrow(a.wrapping_add(b.wrapping_shl(u32::from(shift.0))), offset)
}

macro_rules! loads {
    ($($plus:ident $plus_acc:ident $index:ident $index_acc:ident $index_accb:ident
        $from:ty => $to:ty;)*) => { handlers! { $(
        fn $plus(s, i) {
            s.loaded(plus(s.get(i.a), i.by, i.offset), i.d, |value: $from| value as $to)
        }

        fn $plus_acc(s, i) {
            s.loaded(plus(s.acc as u32, i.by, i.offset), i.d, |value: $from| value as $to)
        }

        fn $index(s, i) {
            let address = index(s.get(i.a), s.get(i.b), i.shift, i.offset);
            s.loaded(address, i.d, |value: $from| value as $to)
        }

        fn $index_acc(s, i) {
            let address = index(s.acc as u32, s.get(i.b), i.shift, i.offset);
            s.loaded(address, i.d, |value: $from| value as $to)
        }

        fn $index_accb(s, i) {
            let address = index(s.get(i.a), s.acc as u32, i.shift, i.offset);
            s.loaded(address, i.d, |value: $from| value as $to)
        }
    )* } };
}

macro_rules! stores {
    ($($plus:ident $index:ident $ty:ty;)*) => { handlers! { $(
        fn $plus(s, i) {
            s.save(plus(s.get(i.a), i.by, i.offset), s.get::<u64>(i.value) as $ty)
        }

        fn $index(s, i) {
            let address = index(s.get(i.a), s.get(i.b), i.shift, i.offset);
            s.save(address, s.get::<u64>(i.value) as $ty)
        }
    )* } };
}

loads! {
    load8_u_plus load8_u_plus_acc load8_u_index load8_u_index_acc load8_u_index_accb
        u8 => u64;
    load16_u_plus load16_u_plus_acc load16_u_index load16_u_index_acc load16_u_index_accb
        u16 => u64;
    load32_plus load32_plus_acc load32_index load32_index_acc load32_index_accb
        u32 => u64;
    load64_plus load64_plus_acc load64_index load64_index_acc load64_index_accb
        u64 => u64;
    load8_s32_plus load8_s32_plus_acc load8_s32_index load8_s32_index_acc load8_s32_index_accb
        i8 => i32;
    load16_s32_plus load16_s32_plus_acc load16_s32_index load16_s32_index_acc load16_s32_index_accb
        i16 => i32;
    load8_s64_plus load8_s64_plus_acc load8_s64_index load8_s64_index_acc load8_s64_index_accb
        i8 => i64;
    load16_s64_plus load16_s64_plus_acc load16_s64_index load16_s64_index_acc load16_s64_index_accb
        i16 => i64;
    load32_s64_plus load32_s64_plus_acc load32_s64_index load32_s64_index_acc load32_s64_index_accb
        i32 => i64;
    load_f32_plus load_f32_plus_acc load_f32_index load_f32_index_acc load_f32_index_accb
        f32 => f32;
    load_f64_plus load_f64_plus_acc load_f64_index load_f64_index_acc load_f64_index_accb
        f64 => f64;
}

stores! {
    store8_plus store8_index u8;
    store16_plus store16_index u16;
    store32_plus store32_index u32;
    store64_plus store64_index u64;
}

macro_rules! vectors {
    ($($name:ident |$s:ident, $i:ident| $address:expr;)*) => { handlers! { $(
        fn $name($s, $i) {
            let address = $address;
            let value = match $s.load::<u128>(address) { Ok(value) => value, Err(at) => return $s.beyond(at) };
            $s.set_wide($i.d, value);
            $s.go()
        }
    )* } };
}

vectors! {
    v128_load_plus |s, i| plus(s.get(i.a), i.by, i.offset);
    v128_load_plus_acc |s, i| plus(s.acc as u32, i.by, i.offset);
    v128_load_index |s, i| index(s.get(i.a), s.get(i.b), i.shift, i.offset);
    v128_load_index_acc |s, i| index(s.acc as u32, s.get(i.b), i.shift, i.offset);
    v128_load_index_accb |s, i| index(s.get(i.a), s.acc as u32, i.shift, i.offset);
}

handlers! {
    fn v128_store_plus(s, i) {
        s.save(plus(s.get(i.a), i.by, i.offset), s.get_wide(i.value))
    }

    fn v128_store_index(s, i) {
        let address = index(s.get(i.a), s.get(i.b), i.shift, i.offset);
        s.save(address, s.get_wide(i.value))
    }
}
