//! Structs, arrays, and integers of 31 bits.
//!
//! ```text
//!   a slot                                     an object, at heap base + offset
//!   0          null                            +0  number of its type
//!   ... xxx1   an integer of 31 bits           +4  length of an array, or what else it is
//!   ... x000   the offset of an object         +8  fields or elements
//! ```
//!
//! **Why accesses are sound.** Validation knows the types of references: a reference to a struct type is null or
//! an object of that type or of a subtype, which has the same fields at the same offsets. Arrays have as many
//! elements as their header says. And every offset of 32 bits lies in the heap's reservation.

use super::builtins::{Fn1, Fn2};
use super::state::{State, handlers};
use crate::cast;
use crate::op;
use crate::operand::{Far, U16, U32};
use wardian_types::TrapCode;
use wardian_vm::heap::{Displays, HeapWords, shape};
use wardian_vm::interpreted::frame;
use wardian_vm::layout::{Builtin, StoreCtx, VmFunc, instance};

impl State {
    #[inline(always)]
    unsafe fn heap(&self) -> *mut HeapWords {
        // SAFETY: the store of the instance.
        unsafe { &raw mut (*self.store()).heap }
    }

    /// The address of something in an object that a slot refers to.
    #[inline(always)]
    unsafe fn object<T>(&self, reference: u64, offset: u64) -> *mut T {
        // SAFETY: see above.
        unsafe { (*self.heap()).base.add(reference as u32 as usize + offset as usize).cast() }
    }

    /// The number of an object's type, and the second word of its header.
    #[inline(always)]
    unsafe fn header(&self, reference: u64) -> (u32, u32) {
        // SAFETY: see above.
        unsafe {
            let header: *const u32 = self.object(reference, 0);
            (*header, *header.add(1))
        }
    }

    /// The address of an element, or why there is none.
    #[inline(always)]
    unsafe fn element_of<T>(&self, array: u64, index: u32) -> Result<*mut T, TrapCode> {
        if array == 0 {
            return Err(TrapCode::NullArrayReference);
        }
        // SAFETY: see above.
        unsafe {
            if index >= self.header(array).1 {
                return Err(TrapCode::ArrayOutOfBounds);
            }
            let first = shape::first_element(size_of::<T>() as u32);
            Ok(self.object(array, u64::from(first) + u64::from(index) * size_of::<T>() as u64))
        }
    }

    /// The engine's number for a type of the module.
    #[inline(always)]
    unsafe fn type_number(&self, ty: U32) -> u32 {
        // SAFETY: the instance has a number for each type of its module.
        unsafe {
            let numbers: *const u32 = *self.instance(instance::SIGNATURES as u32);
            *numbers.add(ty.0 as usize)
        }
    }

    /// The function for a handle in an object: the address of its record.
    #[inline(always)]
    unsafe fn func_of_handle(&self, handle: u32) -> u64 {
        // SAFETY: the store has so many records; the first stands for null.
        unsafe {
            let store = self.store();
            if u64::from(handle) >= (*store).func_record_count {
                return 0;
            }
            *(*store).func_records.add(handle as usize) as u64
        }
    }

    /// The handle by which objects hold a function.
    #[inline(always)]
    unsafe fn handle_of_func(&self, func: u64) -> u32 {
        match func as *const VmFunc {
            func if func.is_null() => 0,
            // SAFETY: a reference to a function.
            func => unsafe { (*func).index + 1 },
        }
    }

    /// Whether a reference is of a type: see [`cast`].
    #[inline(always)]
    unsafe fn is_of(&self, word: u64, top: Far, ty: U32, depth: U16, U16(what): U16) -> bool {
        if word == 0 {
            return what & cast::NULLABLE != 0;
        }
        let is_i31 = word & 1 != 0;
        // SAFETY: what is neither null nor an integer is an object or, where the type is one of functions, a
        // function.
        unsafe {
            match what >> 1 {
                cast::ALL => true,
                cast::I31 => is_i31,
                cast::EQ => is_i31 || self.header(word).1 != shape::EXTERN_BOX,
                cast::STRUCT => !is_i31 && self.header(word).1 == shape::STRUCT,
                cast::ARRAY => !is_i31 && self.header(word).1 < shape::FIRST_KIND,
                cast::FINAL => !is_i31 && self.header(word).0 == self.type_number(ty),
                cast::OPEN if is_i31 => false,
                cast::OPEN => {
                    let (found, wanted) = (self.header(word).0, self.type_number(ty));
                    let depth = usize::from(depth.0);
                    if found == wanted {
                        return true;
                    }
                    if found >= Displays::TYPES || depth >= Displays::DEPTH {
                        return self.ask_whether(word, top, ty);
                    }
                    let row = (*self.store()).displays + ((found as usize) << Displays::ROW_LOG2);
                    *(row as *const u32).add(depth) == wanted.wrapping_add(1)
                }
                cast::FUNC => {
                    let func = word as *const VmFunc;
                    (*func).sig == self.type_number(ty) || self.ask_whether(word, top, ty)
                }
                _ => false,
            }
        }
    }

    /// Whether a reference that is not null is to something of a type, as the runtime says.
    #[inline(always)]
    pub(super) unsafe fn ask_whether(&self, word: u64, top: Far, ty: U32) -> bool {
        // SAFETY: the state of a frame.
        unsafe { whether(self.vmctx, self.fp, self.ip, self.far(top), word, ty.0) }
    }
}

/// See [`State::ask_whether`]. A function that is given parts of the state and no pointer to it, so that handlers
/// can still end with a jump.
///
/// # Safety
///
/// `fp` is the frame that the instance at `vmctx` is executing, it goes on at `ip`, and from `top` on its slots
/// are free. The reference is not null, and is one that casts to the type may be given.
#[cold]
#[inline(never)]
unsafe fn whether(
    vmctx: usize,
    fp: *mut u64,
    ip: *const u16,
    top: *mut u64,
    word: u64,
    ty: u32,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let store = *((vmctx + instance::STORE as usize) as *const *mut StoreCtx);
        *fp.offset(frame::IP) = ip as u64;
        (*store).interp_sp = top as usize;
        let address = *(*store).builtins.add(Builtin::RefTest as usize);
        let builtin: Fn2 = std::mem::transmute(address);
        let is = builtin(vmctx, word, ty.into());
        (*store).interp_sp = 0;
        is != 0
    }
}

handlers! {
    fn struct_new(s, op::struct_new { d, ty, size, .. }) {
        let heap = s.heap();
        let (at, end) = ((*heap).next, (*heap).next.wrapping_add(u64::from(size.0)));
        if end > (*heap).limit {
            return s.instead(struct_new_slow);
        }
        (*heap).next = end;
        let header: *mut u32 = s.object(at, 0);
        *header = s.type_number(ty);
        *header.add(1) = shape::STRUCT;
        *s.far(d) = at;
        s.go()
    }

    #[cold]
    fn struct_new_slow: struct_new(s, op::struct_new { top, d, ty, .. }) {
        let result = s.ask(Builtin::StructNew as u16, top, |f| {
            let f: Fn1 = std::mem::transmute(f);
            f(s.vmctx, ty.0.into())
        });
        s.answer(d, U16(1), result)
    }

    fn array_len(s, i) {
        let array: u64 = s.get(i.a);
        if array == 0 {
            return s.trap(TrapCode::NullArrayReference);
        }
        s.set(i.d, s.header(array).1);
        s.go()
    }

    /// Traps unless the array has these elements.
    fn array_range(s, i) {
        let (array, index, len): (u64, u32, u32) = (s.get(i.array), s.get(i.index), s.get(i.len));
        if array == 0 {
            return s.trap(TrapCode::NullArrayReference);
        }
        if u64::from(index) + u64::from(len) > u64::from(s.header(array).1) {
            return s.trap(TrapCode::ArrayOutOfBounds);
        }
        s.go()
    }

    fn trap_if_null(s, op::trap_if_null { a, code: U16(code) }) {
        if *s.far(a) == 0 {
            return s.trap(TrapCode::from_u8(code as u8).unwrap_or(TrapCode::NullReference));
        }
        s.go()
    }

    fn ref_i31(s, i) {
        s.set(i.d, s.get::<u32>(i.a) << 1 | 1);
        s.go()
    }

    fn i31_get_s(s, i) {
        let word: i32 = s.get(i.a);
        if word == 0 {
            return s.trap(TrapCode::NullI31Reference);
        }
        s.set(i.d, word >> 1);
        s.go()
    }

    fn i31_get_u(s, i) {
        let word: u32 = s.get(i.a);
        if word == 0 {
            return s.trap(TrapCode::NullI31Reference);
        }
        s.set(i.d, word >> 1);
        s.go()
    }

    fn ref_test(s, op::ref_test { top, d, a, ty, depth, what }) {
        let is = s.is_of(*s.far(a), top, ty, depth, what);
        *s.far(d) = u64::from(is);
        s.go()
    }

    fn ref_cast(s, op::ref_cast { top, a, ty, depth, what }) {
        if !s.is_of(*s.far(a), top, ty, depth, what) {
            return s.trap(TrapCode::CastFailure);
        }
        s.go()
    }

    fn field_get128(s, i) {
        let object: u64 = s.get(i.object);
        if object == 0 {
            return s.trap(TrapCode::NullStructReference);
        }
        let at: *const u128 = s.object(object, i.offset.0.into());
        s.set_wide(i.d, at.read_unaligned());
        s.go()
    }

    fn field_set128(s, i) {
        let object: u64 = s.get(i.object);
        if object == 0 {
            return s.trap(TrapCode::NullStructReference);
        }
        let at: *mut u128 = s.object(object, i.offset.0.into());
        at.write_unaligned(s.get_wide(i.value));
        s.go()
    }

    fn element_get128(s, i) {
        match s.element_of::<u128>(s.get(i.array), s.get(i.index)) {
            Ok(at) => s.set_wide(i.d, at.read_unaligned()),
            Err(code) => return s.trap(code),
        }
        s.go()
    }

    fn element_set128(s, i) {
        match s.element_of::<u128>(s.get(i.array), s.get(i.index)) {
            Ok(at) => at.write_unaligned(s.get_wide(i.value)),
            Err(code) => return s.trap(code),
        }
        s.go()
    }
}

macro_rules! reads {
    ($($field:ident $element:ident |$s:ident, $value:ident: $ty:ty| $result:expr;)*) => { handlers! { $(
        fn $field($s, i) {
            let object: u64 = $s.get(i.object);
            if object == 0 {
                return $s.trap(TrapCode::NullStructReference);
            }
            let $value = *$s.object::<$ty>(object, i.offset.0.into());
            $s.set(i.d, $result);
            $s.go()
        }

        fn $element($s, i) {
            let $value = match $s.element_of::<$ty>($s.get(i.array), $s.get(i.index)) {
                Ok(at) => *at,
                Err(code) => return $s.trap(code),
            };
            $s.set(i.d, $result);
            $s.go()
        }
    )* } };
}

macro_rules! writes {
    ($($field:ident $element:ident $ty:ty: |$s:ident, $value:ident| $stored:expr;)*) => { handlers! { $(
        fn $field($s, i) {
            let object: u64 = $s.get(i.object);
            if object == 0 {
                return $s.trap(TrapCode::NullStructReference);
            }
            let $value: u64 = $s.get(i.value);
            *$s.object::<$ty>(object, i.offset.0.into()) = $stored;
            $s.go()
        }

        fn $element($s, i) {
            let at = match $s.element_of::<$ty>($s.get(i.array), $s.get(i.index)) {
                Ok(at) => at,
                Err(code) => return $s.trap(code),
            };
            let $value: u64 = $s.get(i.value);
            *at = $stored;
            $s.go()
        }
    )* } };
}

reads! {
    field_get8_s element_get8_s |s, value: i8| i32::from(value);
    field_get8_u element_get8_u |s, value: u8| u32::from(value);
    field_get16_s element_get16_s |s, value: i16| i32::from(value);
    field_get16_u element_get16_u |s, value: u16| u32::from(value);
    field_get32 element_get32 |s, value: u32| value;
    field_get64 element_get64 |s, value: u64| value;
    field_get_func element_get_func |s, value: u32| s.func_of_handle(value);
}

writes! {
    field_set8 element_set8 u8: |s, value| value as u8;
    field_set16 element_set16 u16: |s, value| value as u16;
    field_set32 element_set32 u32: |s, value| value as u32;
    field_set64 element_set64 u64: |s, value| value;
    field_set_func element_set_func u32: |s, value| s.handle_of_func(value);
}
