//! Structs, arrays, and integers of 31 bits: what they are made of. Accesses are in `fields`, tests in `casts`.
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
use crate::op;
use crate::operand::{U16, U32};
use wardian_types::{TrapCode, TypeNumber};
use wardian_vm::addr::CtxOffset;
use wardian_vm::heap::{FuncHandle, HeapRef, HeapWords, shape};
use wardian_vm::layout::{Builtin, VmFunc, instance};

impl State {
    #[inline(always)]
    unsafe fn heap(&self) -> *mut HeapWords {
        // SAFETY: the store of the instance.
        unsafe { &raw mut (*self.store()).heap }
    }

    /// An object, in an instance whose module has types of objects: so there is a heap.
    #[inline(always)]
    pub(super) unsafe fn object(&self, reference: HeapRef) -> *mut u8 {
        // SAFETY: see above.
        unsafe {
            let heap: *mut u8 = *self.instance(CtxOffset::of(instance::HEAP));
            heap.add(reference.bytes_from_base())
        }
    }

    /// An object, in any instance: one of the host's may be given to a module without such types.
    #[inline(always)]
    pub(super) unsafe fn any_object(&self, reference: HeapRef) -> *mut u8 {
        // SAFETY: see above.
        unsafe { (*self.heap()).base.add(reference.bytes_from_base()) }
    }

    /// The engine's number for a type of the module.
    #[inline(always)]
    pub(super) unsafe fn type_number(&self, ty: U32) -> TypeNumber {
        // SAFETY: the instance has a number for each type of its module.
        unsafe {
            let numbers: *const TypeNumber = *self.instance(CtxOffset::of(instance::SIGNATURES));
            *numbers.add(ty.0 as usize)
        }
    }

    /// The function for a handle in an object: the address of its record.
    #[inline(always)]
    pub(super) unsafe fn func_of_handle(&self, handle: FuncHandle) -> u64 {
        // SAFETY: the store has so many records; the first stands for null.
        unsafe {
            let store = self.store();
            if handle.record() as u64 >= (*store).func_record_count {
                return 0;
            }
            (*(*store).func_records.add(handle.record())).as_word()
        }
    }

    /// The handle by which objects hold a function.
    #[inline(always)]
    pub(super) unsafe fn handle_of_func(&self, func: u64) -> FuncHandle {
        match func as *const VmFunc {
            func if func.is_null() => FuncHandle::NULL,
            // SAFETY: a reference to a function.
            func => FuncHandle::of(unsafe { (*func).index }),
        }
    }

    /// Makes an object of `size` bytes, which the window has; the rest of it is zero.
    #[inline(always)]
    unsafe fn make(&mut self, end: u64, ty: U32, length: u32) -> u64 {
        // SAFETY: the bytes from `next` to `end` are of the window, and the heap is accessible there.
        unsafe {
            let heap = self.heap();
            let at = (*heap).next;
            (*heap).next = end;
            let header: *mut u32 = self.object(HeapRef::in_low_half(at)).cast();
            *header = self.type_number(ty).as_u32();
            *header.add(1) = length;
            at
        }
    }
}

handlers! {
    fn struct_new(s, op::struct_new { d, ty, size, .. }) {
        let end = (*s.heap()).next.wrapping_add(u64::from(size.0));
        if end > (*s.heap()).limit {
            return s.instead(struct_new_slow);
        }
        *s.far(d) = s.make(end, ty, shape::STRUCT);
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

    fn array_new(s, op::array_new { d, ty, len, log2, .. }) {
        let len = *s.far(len) as u32;
        let end = (*s.heap()).next.wrapping_add(shape::array_size(1 << (log2.0 & 7), len));
        if end > (*s.heap()).limit {
            return s.instead(array_new_slow);
        }
        *s.far(d) = s.make(end, ty, len);
        s.go()
    }

    #[cold]
    fn array_new_slow: array_new(s, op::array_new { top, d, ty, len, .. }) {
        let len = *s.far(len);
        let result = s.ask(Builtin::ArrayNew as u16, top, |f| {
            let f: Fn2 = std::mem::transmute(f);
            f(s.vmctx, ty.0.into(), len)
        });
        s.answer(d, U16(1), result)
    }

    fn array_len(s, i) {
        let array: HeapRef = s.get(i.a);
        if array.is_null() {
            return s.trap(TrapCode::NullArrayReference);
        }
        s.set(i.d, *s.any_object(array).cast::<u32>().add(1));
        s.go()
    }

    /// Traps unless the array has these elements.
    fn array_range(s, i) {
        let (index, len): (u32, u32) = (s.get(i.index), s.get(i.len));
        let array: HeapRef = s.get(i.array);
        if array.is_null() {
            return s.trap(TrapCode::NullArrayReference);
        }
        let length = *s.any_object(array).cast::<u32>().add(1);
        if u64::from(index) + u64::from(len) > u64::from(length) {
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
}
