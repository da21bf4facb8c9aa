//! Accesses to fields of structs and elements of arrays.
//!
//! Registers are few where the others carry the state: what is written goes by way of `acc`, which need not be
//! kept.

use super::memory::kept;
use super::state::{State, Target, Word, handlers};
use crate::operand::{D, U32};
use wardian_types::{ArrayElementIndex, TrapCode};
use wardian_vm::heap::{FuncHandle, HeapRef, shape};

/// Lets the compiler compute an address once and before the access, so that it takes up one register.
#[inline(always)]
fn address(at: *mut u8) -> *mut u8 {
    kept(at as u64) as *mut u8
}

/// Where an access goes, or why it traps.
type At<T> = Result<*mut T, TrapCode>;

impl State {
    /// The address of a field.
    #[inline(always)]
    unsafe fn field_at<T>(&self, object: HeapRef, offset: U32) -> At<T> {
        if object.is_null() {
            return Err(TrapCode::NullStructReference);
        }
        // SAFETY: see `objects`.
        Ok(unsafe { address(self.object(object).add(offset.0 as usize)).cast() })
    }

    /// The address of an element.
    #[inline(always)]
    unsafe fn element_at<T>(&self, array: HeapRef, index: ArrayElementIndex) -> At<T> {
        if array.is_null() {
            return Err(TrapCode::NullArrayReference);
        }
        // SAFETY: see `objects`.
        unsafe {
            let array = address(self.object(array));
            if index.as_u32() >= *array.cast::<u32>().add(1) {
                return Err(TrapCode::ArrayOutOfBounds);
            }
            let elements = array.add(shape::first_element(size_of::<T>() as u32).as_u32() as usize);
            Ok(elements.cast::<T>().add(index.index()))
        }
    }

    /// Ends an instruction that reads.
    #[inline(always)]
    unsafe fn read<F: Copy, T>(
        mut self,
        at: At<F>,
        d: impl Target<T>,
        extend: impl FnOnce(&State, F) -> T,
    ) -> u64 {
        // SAFETY: the operands of the instruction.
        unsafe {
            match at {
                Ok(at) => {
                    let value = extend(&self, *at);
                    self.set(d, value);
                    self.go()
                }
                Err(code) => self.trap(code),
            }
        }
    }

    /// Ends an instruction that writes.
    #[inline(always)]
    unsafe fn write<T>(mut self, at: At<T>, value: T, acc: u64) -> u64 {
        // SAFETY: the operands of the instruction.
        unsafe {
            match at {
                Ok(at) => {
                    self.acc = acc;
                    *at = value;
                    self.go()
                }
                Err(code) => self.trap(code),
            }
        }
    }

    /// Ends an instruction that writes and leaves something in a slot.
    #[inline(always)]
    unsafe fn write_and_set<T, U: Word>(mut self, at: At<T>, value: T, d: D, left: U) -> u64 {
        // SAFETY: the operands of the instruction.
        unsafe {
            match at {
                Ok(at) => {
                    // The slot first: its number needs no register then while the object is written.
                    self.set(d, left);
                    *at = value;
                    self.go()
                }
                Err(code) => self.trap(code),
            }
        }
    }

    /// Ends an instruction that writes to an object what it makes of what is there, and leaves that.
    #[inline(always)]
    unsafe fn update<T: Word>(mut self, at: At<T>, d: D, f: impl FnOnce(T) -> T) -> u64 {
        // SAFETY: the operands of the instruction.
        unsafe {
            match at {
                Ok(at) => {
                    let value = f(*at);
                    *at = value;
                    self.set(d, value);
                    self.go()
                }
                Err(code) => self.trap(code),
            }
        }
    }
}

macro_rules! gets {
    ($($field:ident $field_acc:ident $element:ident $element_acc:ident $element_accb:ident $plus:ident
        |$s:ident, $value:ident: $ty:ty| $result:expr;)*) => { handlers! { $(
        fn $field(s, i) {
            s.read(s.field_at(s.get(i.object), i.offset), i.d, |$s, $value: $ty| $result)
        }

        fn $field_acc(s, i) {
            s.read(s.field_at(HeapRef::in_low_half(s.acc), i.offset), i.d, |$s, $value: $ty| $result)
        }

        fn $element(s, i) {
            s.read(s.element_at(s.get(i.array), s.get(i.index)), i.d, |$s, $value: $ty| $result)
        }

        fn $element_acc(s, i) {
            s.read(s.element_at(HeapRef::in_low_half(s.acc), s.get(i.index)), i.d, |$s, $value: $ty| $result)
        }

        fn $element_accb(s, i) {
            s.read(s.element_at(s.get(i.array), ArrayElementIndex::from_u32(s.acc as u32)), i.d, |$s, $value: $ty| $result)
        }

        fn $plus(s, i) {
            let index = s.get::<u32>(i.index).wrapping_add(i.by.0 as u32);
            s.read(s.element_at(s.get(i.array), ArrayElementIndex::from_u32(index)), i.d, |$s, $value: $ty| $result)
        }
    )* } };
}

gets! {
    field_get8_s field_get8_s_acc element_get8_s element_get8_s_acc element_get8_s_accb
        element_get8_s_plus |_s, value: i8| i32::from(value);
    field_get8_u field_get8_u_acc element_get8_u element_get8_u_acc element_get8_u_accb
        element_get8_u_plus |_s, value: u8| u32::from(value);
    field_get16_s field_get16_s_acc element_get16_s element_get16_s_acc element_get16_s_accb
        element_get16_s_plus |_s, value: i16| i32::from(value);
    field_get16_u field_get16_u_acc element_get16_u element_get16_u_acc element_get16_u_accb
        element_get16_u_plus |_s, value: u16| u32::from(value);
    field_get32 field_get32_acc element_get32 element_get32_acc element_get32_accb
        element_get32_plus |_s, value: u32| value;
    field_get64 field_get64_acc element_get64 element_get64_acc element_get64_accb
        element_get64_plus |_s, value: u64| value;
    field_get_f32 field_get_f32_acc element_get_f32 element_get_f32_acc element_get_f32_accb
        element_get_f32_plus |_s, value: f32| value;
    field_get_f64 field_get_f64_acc element_get_f64 element_get_f64_acc element_get_f64_accb
        element_get_f64_plus |_s, value: f64| value;
    field_get_func field_get_func_acc element_get_func element_get_func_acc element_get_func_accb
        element_get_func_plus |s, value: FuncHandle| s.func_of_handle(value);
}

macro_rules! sets {
    ($($field:ident $field_acc:ident $field_imm:ident $field_init:ident $field_init_imm:ident
        $element:ident $element_acc:ident $element_imm:ident $ty:ty;)*) => { handlers! { $(
        fn $field(s, i) {
            let value: u64 = s.get(i.value);
            s.write(s.field_at(s.get(i.object), i.offset), value as $ty, value)
        }

        fn $field_acc(s, i) {
            s.write(s.field_at(s.get(i.object), i.offset), s.acc as $ty, s.acc)
        }

        fn $field_imm(s, i) {
            s.write(s.field_at(s.get(i.object), i.offset), i.value.0 as $ty, s.acc)
        }

        fn $field_init(s, i) {
            let object: HeapRef = s.get(i.object);
            s.write_and_set(s.field_at(object, i.offset), s.get::<u64>(i.value) as $ty, i.d, object)
        }

        fn $field_init_imm(s, i) {
            let object: HeapRef = s.get(i.object);
            s.write_and_set(s.field_at(object, i.offset), i.value.0 as $ty, i.d, object)
        }

        fn $element(s, i) {
            let value: u64 = s.get(i.value);
            s.write(s.element_at(s.get(i.array), s.get(i.index)), value as $ty, value)
        }

        fn $element_acc(s, i) {
            s.write(s.element_at(s.get(i.array), s.get(i.index)), s.acc as $ty, s.acc)
        }

        fn $element_imm(s, i) {
            s.write(s.element_at(s.get(i.array), s.get(i.index)), i.value.0 as $ty, s.acc)
        }
    )* } };
}

sets! {
    field_set8 field_set8_acc field_set8_imm field_init8 field_init8_imm
        element_set8 element_set8_acc element_set8_imm u8;
    field_set16 field_set16_acc field_set16_imm field_init16 field_init16_imm
        element_set16 element_set16_acc element_set16_imm u16;
    field_set32 field_set32_acc field_set32_imm field_init32 field_init32_imm
        element_set32 element_set32_acc element_set32_imm u32;
    field_set64 field_set64_acc field_set64_imm field_init64 field_init64_imm
        element_set64 element_set64_acc element_set64_imm u64;
}

macro_rules! tees {
    ($($field:ident $field_acc:ident $element:ident $element_acc:ident $ty:ident $wide:ident;)*) => {
        handlers! { $(
            fn $field(s, i) {
                let value = s.get::<u64>(i.value) as $ty;
                s.write_and_set(s.field_at(s.get(i.object), i.offset), value, i.d, $wide::from(value))
            }

            fn $field_acc(s, i) {
                let value = s.acc as $ty;
                s.write_and_set(s.field_at(s.get(i.object), i.offset), value, i.d, $wide::from(value))
            }

            fn $element(s, i) {
                let value = s.get::<u64>(i.value) as $ty;
                let at = s.element_at(s.get(i.array), s.get(i.index));
                s.write_and_set(at, value, i.d, $wide::from(value))
            }

            fn $element_acc(s, i) {
                let value = s.acc as $ty;
                let at = s.element_at(s.get(i.array), s.get(i.index));
                s.write_and_set(at, value, i.d, $wide::from(value))
            }
        )* }
    };
}

tees! {
    field_tee8_s field_tee8_s_acc element_tee8_s element_tee8_s_acc i8 i32;
    field_tee8_u field_tee8_u_acc element_tee8_u element_tee8_u_acc u8 u32;
    field_tee16_s field_tee16_s_acc element_tee16_s element_tee16_s_acc i16 i32;
    field_tee16_u field_tee16_u_acc element_tee16_u element_tee16_u_acc u16 u32;
    field_tee32 field_tee32_acc element_tee32 element_tee32_acc u32 u32;
    field_tee64 field_tee64_acc element_tee64 element_tee64_acc u64 u64;
}

/// `fields, elements: by a slot, by the register; type |old, by| new;`
macro_rules! updates {
    ($($field:ident $field_acc:ident $element:ident $element_acc:ident $ty:ident
        |$old:ident, $by:ident| $new:expr;)*) => { handlers! { $(
        fn $field(s, i) {
            let $by: $ty = s.get(i.by);
            s.update(s.field_at(s.get(i.object), i.offset), i.d, |$old: $ty| $new)
        }

        fn $field_acc(s, i) {
            let $by = s.acc as $ty;
            s.update(s.field_at(s.get(i.object), i.offset), i.d, |$old: $ty| $new)
        }

        fn $element(s, i) {
            let $by: $ty = s.get(i.by);
            s.update(s.element_at(s.get(i.array), s.get(i.index)), i.d, |$old: $ty| $new)
        }

        fn $element_acc(s, i) {
            let $by = s.acc as $ty;
            s.update(s.element_at(s.get(i.array), s.get(i.index)), i.d, |$old: $ty| $new)
        }
    )* } };
}

updates! {
    field_add32 field_add32_acc element_add32 element_add32_acc u32 |a, b| a.wrapping_add(b);
    field_sub32 field_sub32_acc element_sub32 element_sub32_acc u32 |a, b| a.wrapping_sub(b);
    field_and32 field_and32_acc element_and32 element_and32_acc u32 |a, b| a & b;
    field_or32 field_or32_acc element_or32 element_or32_acc u32 |a, b| a | b;
    field_xor32 field_xor32_acc element_xor32 element_xor32_acc u32 |a, b| a ^ b;
    field_add64 field_add64_acc element_add64 element_add64_acc u64 |a, b| a.wrapping_add(b);
    field_sub64 field_sub64_acc element_sub64 element_sub64_acc u64 |a, b| a.wrapping_sub(b);
    field_and64 field_and64_acc element_and64 element_and64_acc u64 |a, b| a & b;
    field_or64 field_or64_acc element_or64 element_or64_acc u64 |a, b| a | b;
    field_xor64 field_xor64_acc element_xor64 element_xor64_acc u64 |a, b| a ^ b;
}

macro_rules! updates_imm {
    ($($field:ident $element:ident $ty:ident |$old:ident, $by:ident| $new:expr;)*) => { handlers! { $(
        fn $field(s, i) {
            let $by = i.by.0 as $ty;
            s.update(s.field_at(s.get(i.object), i.offset), i.d, |$old: $ty| $new)
        }

        fn $element(s, i) {
            let $by = i.by.0 as $ty;
            s.update(s.element_at(s.get(i.array), s.get(i.index)), i.d, |$old: $ty| $new)
        }
    )* } };
}

updates_imm! {
    field_add32_imm element_add32_imm u32 |a, b| a.wrapping_add(b);
    field_and32_imm element_and32_imm u32 |a, b| a & b;
    field_or32_imm element_or32_imm u32 |a, b| a | b;
    field_xor32_imm element_xor32_imm u32 |a, b| a ^ b;
    field_add64_imm element_add64_imm u64 |a, b| a.wrapping_add(b);
    field_and64_imm element_and64_imm u64 |a, b| a & b;
    field_or64_imm element_or64_imm u64 |a, b| a | b;
    field_xor64_imm element_xor64_imm u64 |a, b| a ^ b;
}

/// Updates of a field by another one of the same object.
macro_rules! besides {
    ($($name:ident $ty:ident |$old:ident, $by:ident| $new:expr;)*) => { handlers! { $(
        fn $name(s, i) {
            match s.field_at::<u8>(s.get(i.object), U32(0)) {
                Ok(object) => {
                    let $by: $ty = *object.add(i.from.0 as usize).cast();
                    s.update(Ok(object.add(i.offset.0 as usize).cast()), i.d, |$old: $ty| $new)
                }
                Err(code) => s.trap(code),
            }
        }
    )* } };
}

besides! {
    field_add32_field u32 |a, b| a.wrapping_add(b);
    field_sub32_field u32 |a, b| a.wrapping_sub(b);
    field_and32_field u32 |a, b| a & b;
    field_or32_field u32 |a, b| a | b;
    field_xor32_field u32 |a, b| a ^ b;
    field_add64_field u64 |a, b| a.wrapping_add(b);
    field_sub64_field u64 |a, b| a.wrapping_sub(b);
    field_and64_field u64 |a, b| a & b;
    field_or64_field u64 |a, b| a | b;
    field_xor64_field u64 |a, b| a ^ b;
}

/// `fields, elements: of a slot and an operand, of the register and an operand; type |a, b| what is written;`
macro_rules! operations {
    ($($field:ident $field_acc:ident $element:ident $element_acc:ident $ty:ident
        |$a:ident, $b:ident| $result:expr;)*) => { handlers! { $(
        fn $field(s, i) {
            let ($a, $b): ($ty, $ty) = (s.get(i.a), s.operand(i.b));
            let value = $result;
            s.write_and_set(s.field_at(s.get(i.object), i.offset), value, i.d, value)
        }

        fn $field_acc(s, i) {
            let ($a, $b): ($ty, $ty) = (s.acc as $ty, s.operand(i.b));
            let value = $result;
            s.write_and_set(s.field_at(s.get(i.object), i.offset), value, i.d, value)
        }

        fn $element(s, i) {
            let ($a, $b): ($ty, $ty) = (s.get(i.a), s.operand(i.b));
            let value = $result;
            s.write_and_set(s.element_at(s.get(i.array), s.get(i.index)), value, i.d, value)
        }

        fn $element_acc(s, i) {
            let ($a, $b): ($ty, $ty) = (s.acc as $ty, s.operand(i.b));
            let value = $result;
            s.write_and_set(s.element_at(s.get(i.array), s.get(i.index)), value, i.d, value)
        }
    )* } };
}

operations! {
    field_set_add32 field_set_add32_acc element_set_add32 element_set_add32_acc u32 |a, b| a.wrapping_add(b);
    field_set_sub32 field_set_sub32_acc element_set_sub32 element_set_sub32_acc u32 |a, b| a.wrapping_sub(b);
    field_set_and32 field_set_and32_acc element_set_and32 element_set_and32_acc u32 |a, b| a & b;
    field_set_or32 field_set_or32_acc element_set_or32 element_set_or32_acc u32 |a, b| a | b;
    field_set_xor32 field_set_xor32_acc element_set_xor32 element_set_xor32_acc u32 |a, b| a ^ b;
    field_set_add64 field_set_add64_acc element_set_add64 element_set_add64_acc u64 |a, b| a.wrapping_add(b);
    field_set_sub64 field_set_sub64_acc element_set_sub64 element_set_sub64_acc u64 |a, b| a.wrapping_sub(b);
    field_set_and64 field_set_and64_acc element_set_and64 element_set_and64_acc u64 |a, b| a & b;
    field_set_or64 field_set_or64_acc element_set_or64 element_set_or64_acc u64 |a, b| a | b;
    field_set_xor64 field_set_xor64_acc element_set_xor64 element_set_xor64_acc u64 |a, b| a ^ b;
    field_set_add32_imm field_set_add32_imm_acc element_set_add32_imm element_set_add32_imm_acc u32 |a, b| a.wrapping_add(b);
    field_set_and32_imm field_set_and32_imm_acc element_set_and32_imm element_set_and32_imm_acc u32 |a, b| a & b;
    field_set_or32_imm field_set_or32_imm_acc element_set_or32_imm element_set_or32_imm_acc u32 |a, b| a | b;
    field_set_xor32_imm field_set_xor32_imm_acc element_set_xor32_imm element_set_xor32_imm_acc u32 |a, b| a ^ b;
    field_set_add64_imm field_set_add64_imm_acc element_set_add64_imm element_set_add64_imm_acc u64 |a, b| a.wrapping_add(b);
    field_set_and64_imm field_set_and64_imm_acc element_set_and64_imm element_set_and64_imm_acc u64 |a, b| a & b;
    field_set_or64_imm field_set_or64_imm_acc element_set_or64_imm element_set_or64_imm_acc u64 |a, b| a | b;
    field_set_xor64_imm field_set_xor64_imm_acc element_set_xor64_imm element_set_xor64_imm_acc u64 |a, b| a ^ b;
}

handlers! {
    fn field_set32_single(s, i) {
        s.write(s.field_at(s.get(i.object), i.offset), s.single, s.acc)
    }

    fn field_set64_double(s, i) {
        s.write(s.field_at(s.get(i.object), i.offset), s.double, s.acc)
    }

    fn element_set32_single(s, i) {
        s.write(s.element_at(s.get(i.array), s.get(i.index)), s.single, s.acc)
    }

    fn element_set64_double(s, i) {
        s.write(s.element_at(s.get(i.array), s.get(i.index)), s.double, s.acc)
    }

    fn field_set_func(s, i) {
        let handle = s.handle_of_func(s.get(i.value));
        s.write(s.field_at(s.get(i.object), i.offset), handle, s.acc)
    }

    fn element_set_func(s, i) {
        let handle = s.handle_of_func(s.get(i.value));
        s.write(s.element_at(s.get(i.array), s.get(i.index)), handle, s.acc)
    }

    fn field_get128(s, i) {
        match s.field_at::<u128>(s.get(i.object), i.offset) {
            Ok(at) => s.set_wide(i.d, at.read_unaligned()),
            Err(code) => return s.trap(code),
        }
        s.go()
    }

    fn field_set128(s, i) {
        match s.field_at::<u128>(s.get(i.object), i.offset) {
            Ok(at) => at.write_unaligned(s.get_wide(i.value)),
            Err(code) => return s.trap(code),
        }
        s.go()
    }

    fn element_get128(s, i) {
        match s.element_at::<u128>(s.get(i.array), s.get(i.index)) {
            Ok(at) => s.set_wide(i.d, at.read_unaligned()),
            Err(code) => return s.trap(code),
        }
        s.go()
    }

    fn element_set128(s, i) {
        match s.element_at::<u128>(s.get(i.array), s.get(i.index)) {
            Ok(at) => at.write_unaligned(s.get_wide(i.value)),
            Err(code) => return s.trap(code),
        }
        s.go()
    }
}
