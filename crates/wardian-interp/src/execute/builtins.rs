//! What the runtime does for the guest, while the guest waits.

use super::state::{State, handlers};
use crate::op;
use crate::operand::{Far, U16, U32};
use std::sync::atomic::Ordering;
use wardian_types::{GuestAddr, TrapCode};
use wardian_vm::addr::{StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{exit, header};
use wardian_vm::layout::{Builtin, Refused, RefusedIn, VmMemory, refused};

pub(super) type Fn1 = unsafe extern "C" fn(VmCtxPtr, u64) -> u64;
pub(super) type Fn2 = unsafe extern "C" fn(VmCtxPtr, u64, u64) -> u64;
type Fn3 = unsafe extern "C" fn(VmCtxPtr, u64, u64, u64) -> u64;
type Fn4 = unsafe extern "C" fn(VmCtxPtr, u64, u64, u64, u64) -> u64;
type Fn5 = unsafe extern "C" fn(VmCtxPtr, u64, u64, u64, u64, u64) -> u64;

/// Bytes that are moved or filled without a look at the interrupt word.
const SHORT: u64 = 64 << 10;

impl State {
    /// Calls a builtin, whose address it gives to `f`; the frame can be seen while it runs.
    #[inline(always)]
    pub(super) unsafe fn ask(self, which: u16, top: Far, f: impl FnOnce(*const ()) -> u64) -> u64 {
        // SAFETY: the builtins of the store.
        unsafe {
            let store = self.store();
            *self.fp.offset(header::IP) = self.ip as u64;
            (*store).interp_sp = StackAddr::of(self.far(top));
            f(*(*store).builtins.add(usize::from(which)))
        }
    }

    /// Continues, unless the builtin ended the guest.
    #[inline(always)]
    unsafe fn after(self) -> u64 {
        // SAFETY: the store of the instance.
        unsafe {
            if (*self.store()).exit != 0 || self.interrupted() {
                return exit::ENDED;
            }
            self.back_from_host()
        }
    }

    #[inline(always)]
    pub(super) unsafe fn answer(self, d: Far, narrow: U16, result: u64) -> u64 {
        // SAFETY: a slot of the frame.
        unsafe {
            *self.far(d) = if narrow.0 != 0 { u64::from(result as u32) } else { result };
            self.after()
        }
    }

    #[inline(always)]
    unsafe fn is_within(&self, start: u64, len: u64) -> bool {
        start.checked_add(len).is_some_and(|end| end <= self.len as u64)
    }

    /// Traps because memory 0 does not have this range.
    #[inline(always)]
    unsafe fn refuse_range(&self, start: u64, size: u64) -> u64 {
        // SAFETY: the store of the instance.
        unsafe {
            let (ctx, start) =
                (RefusedIn::new(self.vmctx, refused::RANGE), GuestAddr::from_u64(start));
            (*self.store()).refused = Refused { ctx, start, size, memory: 0 };
            self.trap(TrapCode::MemoryOutOfBounds)
        }
    }
}

impl State {
    /// How many pages a memory has.
    #[inline(always)]
    pub(super) unsafe fn pages(&self, memory: U32, U16(shift): U16) -> u64 {
        // SAFETY: the instance points to the bounds there.
        unsafe {
            let memory: *const VmMemory = *self.instance(memory.in_instance());
            ((*memory).len.load(Ordering::SeqCst) as u64) >> (shift & 63)
        }
    }
}

handlers! {
    /// Growing by nothing asks for the size, and no more.
    fn memory_grow(s, i) {
        if *s.far(i.pages) != 0 {
            return s.instead(memory_grow_by);
        }
        *s.far(i.d) = s.pages(i.memory, i.shift);
        s.go()
    }

    #[cold]
    fn memory_grow_by: memory_grow(s, i) {
        let pages = *s.far(i.pages);
        let result = s.ask(Builtin::MemoryGrow as u16, i.top, |f| {
            let f: Fn2 = std::mem::transmute(f);
            f(s.vmctx, i.index.0.into(), pages)
        });
        s.answer(i.d, i.narrow, result)
    }

    fn builtin_i(s, op::builtin_i { which: U16(which), narrow, top, d, i }) {
        let result = s.ask(which, top, |f| {
            let f: Fn1 = std::mem::transmute(f);
            f(s.vmctx, i.0.into())
        });
        s.answer(d, narrow, result)
    }

    fn builtin_ir(s, op::builtin_ir { which: U16(which), narrow, top, d, i, a }) {
        let a = *s.far(a);
        let result = s.ask(which, top, |f| {
            let f: Fn2 = std::mem::transmute(f);
            f(s.vmctx, i.0.into(), a)
        });
        s.answer(d, narrow, result)
    }

    fn builtin_iirr(s, op::builtin_iirr { which: U16(which), narrow, top, d, i, j, a, b }) {
        let (a, b) = (*s.far(a), *s.far(b));
        let result = s.ask(which, top, |f| {
            let f: Fn4 = std::mem::transmute(f);
            f(s.vmctx, i.0.into(), j.0.into(), a, b)
        });
        s.answer(d, narrow, result)
    }

    fn builtin_r(s, op::builtin_r { which: U16(which), narrow, top, d, a }) {
        let a = *s.far(a);
        let result = s.ask(which, top, |f| {
            let f: Fn1 = std::mem::transmute(f);
            f(s.vmctx, a)
        });
        s.answer(d, narrow, result)
    }

    fn builtin_rrr(s, op::builtin_rrr { which: U16(which), narrow, top, d, a, b, c }) {
        let (a, b, c) = (*s.far(a), *s.far(b), *s.far(c));
        let result = s.ask(which, top, |f| {
            let f: Fn3 = std::mem::transmute(f);
            f(s.vmctx, a, b, c)
        });
        s.answer(d, narrow, result)
    }

    fn builtin_rrirr(s, op::builtin_rrirr { which: U16(which), narrow, top, d, a, b, i, c, e }) {
        let (a, b, c, e) = (*s.far(a), *s.far(b), *s.far(c), *s.far(e));
        let result = s.ask(which, top, |f| {
            let f: Fn5 = std::mem::transmute(f);
            f(s.vmctx, a, b, i.0.into(), c, e)
        });
        s.answer(d, narrow, result)
    }

    fn builtin_rrrrr(s, op::builtin_rrrrr { which: U16(which), narrow, top, d, a, b, c, e, f }) {
        let (a, b, c, e, f) = (*s.far(a), *s.far(b), *s.far(c), *s.far(e), *s.far(f));
        let result = s.ask(which, top, |address| {
            let builtin: Fn5 = std::mem::transmute(address);
            builtin(s.vmctx, a, b, c, e, f)
        });
        s.answer(d, narrow, result)
    }

    fn throw(s, op::throw { tag, top, first }) {
        let values = s.far(first) as u64;
        s.ask(Builtin::Throw as u16, top, |f| {
            let f: Fn2 = std::mem::transmute(f);
            f(s.vmctx, tag.0.into(), values)
        });
        exit::ENDED
    }

    fn throw_ref(s, op::throw_ref { top, exception }) {
        let exception = *s.far(exception);
        s.ask(Builtin::ThrowRef as u16, top, |f| {
            let f: Fn1 = std::mem::transmute(f);
            f(s.vmctx, exception)
        });
        exit::ENDED
    }

    fn builtin_irr(s, op::builtin_irr { which: U16(which), narrow, top, d, i, a, b }) {
        let (a, b) = (*s.far(a), *s.far(b));
        let result = s.ask(which, top, |f| {
            let f: Fn3 = std::mem::transmute(f);
            f(s.vmctx, i.0.into(), a, b)
        });
        s.answer(d, narrow, result)
    }

    fn builtin_irrr(s, op::builtin_irrr { which: U16(which), narrow, top, d, i, a, b, c }) {
        let (a, b, c) = (*s.far(a), *s.far(b), *s.far(c));
        let result = s.ask(which, top, |f| {
            let f: Fn4 = std::mem::transmute(f);
            f(s.vmctx, i.0.into(), a, b, c)
        });
        s.answer(d, narrow, result)
    }

    fn builtin_iirrr(s, op::builtin_iirrr { which: U16(which), narrow, top, d, i, j, a, b, c }) {
        let (a, b, c) = (*s.far(a), *s.far(b), *s.far(c));
        let result = s.ask(which, top, |f| {
            let f: Fn5 = std::mem::transmute(f);
            f(s.vmctx, i.0.into(), j.0.into(), a, b, c)
        });
        s.answer(d, narrow, result)
    }

    fn memory_copy_near(s, op::memory_copy_near { top, to, from, len }) {
        let (to, from, len) = (*s.far(to), *s.far(from), *s.far(len));
        if !s.is_within(to, len) {
            return s.refuse_range(to, len);
        }
        if !s.is_within(from, len) {
            return s.refuse_range(from, len);
        }
        if len <= SHORT {
            std::ptr::copy(s.base.add(from as usize), s.base.add(to as usize), len as usize);
            return s.go();
        }
        s.ask(Builtin::MemoryCopy as u16, top, |f| {
            let f: Fn5 = std::mem::transmute(f);
            f(s.vmctx, 0, 0, to, from, len)
        });
        s.after()
    }

    fn memory_fill_near(s, op::memory_fill_near { top, to, byte, len }) {
        let (to, byte, len) = (*s.far(to), *s.far(byte), *s.far(len));
        if !s.is_within(to, len) {
            return s.refuse_range(to, len);
        }
        if len <= SHORT {
            std::ptr::write_bytes(s.base.add(to as usize), byte as u8, len as usize);
            return s.go();
        }
        s.ask(Builtin::MemoryFill as u16, top, |f| {
            let f: Fn4 = std::mem::transmute(f);
            f(s.vmctx, 0, to, byte, len)
        });
        s.after()
    }
}
