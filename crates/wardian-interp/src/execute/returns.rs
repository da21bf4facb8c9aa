//! Returns: results go to where the first parameter was, and the caller is resumed.
//!
//! ```text
//!   | parameters | previous | ip | function | vmctx | … results |
//!   | results ………                 the header may be overwritten: it is read before
//! ```

use super::state::{State, handlers};
use crate::op;
use crate::operand::{Far, U32};
use wardian_vm::addr::{CodeAddr, SlotsPtr, StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{CallerLink, exit, header};

impl State {
    /// Resumes the caller, whose instance is the same.
    #[inline(always)]
    unsafe fn leave(mut self, caller: StackAddr) -> u64 {
        // SAFETY: it is the caller's frame.
        unsafe {
            self.fp = caller.as_ptr();
            self.ip = *self.fp.offset(header::IP) as *const u16;
            (*self.store()).interp_fp = caller;
            self.go()
        }
    }

    /// Resumes where the flags say, after `put` put the results in place.
    #[inline(always)]
    unsafe fn leave_flagged(mut self, to: Far, put: impl FnOnce(*mut u64)) -> u64 {
        // SAFETY: the frame's header is whole until the results are put.
        unsafe {
            let store = self.store();
            let previous = self.previous();
            let to = self.far(to);
            if previous.is_boundary() || previous.is_listened() {
                // The results may overwrite the header, so the runtime finds what it said here.
                *self.fp.offset(header::IP) = self.at as u64;
                (*store).call.target = previous.as_word() as u64;
                (*store).call.ctx = self.vmctx;
                let function = *self.fp.offset(header::FUNCTION) as usize;
                (*store).call.code = CodeAddr::from_usize(function);
                (*store).call.slots = SlotsPtr::of(to);
                put(to);
                return exit::RETURN;
            }
            put(to);
            self.fp = previous.address().as_ptr();
            self.ip = *self.fp.offset(header::IP) as *const u16;
            self.vmctx = VmCtxPtr::from_usize(*self.fp.offset(header::VMCTX) as usize);
            (*store).interp_fp = previous.address();
            self.with_memory0().go()
        }
    }

    /// Who called the frame.
    #[inline(always)]
    pub(super) unsafe fn previous(&self) -> CallerLink {
        // SAFETY: the header of the frame.
        CallerLink::from_word(unsafe { *self.fp.offset(header::PREVIOUS) } as usize)
    }
}

/// Copies results upwards: they are above their destination.
#[inline(always)]
unsafe fn put_many(to: *mut u64, from: *mut u64, count: u32) {
    for slot in 0..count as usize {
        // SAFETY: the caller's promise.
        unsafe { to.add(slot).write_volatile(*from.add(slot)) };
    }
}

handlers! {
    fn return_none(s, _) {
        let Some(caller) = s.previous().plain() else {
            return s.instead(return_none_flagged);
        };
        s.leave(caller)
    }

    fn return_one(s, op::return_one { to, value }) {
        let Some(caller) = s.previous().plain() else {
            return s.instead(return_one_flagged);
        };
        *s.far(to) = s.get(value);
        s.leave(caller)
    }

    fn return_const(s, op::return_const { to, value }) {
        let Some(caller) = s.previous().plain() else {
            return s.instead(return_const_flagged);
        };
        *s.far(to) = value.0;
        s.leave(caller)
    }

    fn return_many(s, op::return_many { to, from, count: U32(count) }) {
        let Some(caller) = s.previous().plain() else {
            return s.instead(return_many_flagged);
        };
        put_many(s.far(to), s.far(from), count);
        s.leave(caller)
    }

    #[cold]
    fn return_none_flagged: return_none(s, op::return_none { to }) {
        s.leave_flagged(to, |_| {})
    }

    #[cold]
    fn return_one_flagged: return_one(s, op::return_one { to, value }) {
        let value = s.get(value);
        s.leave_flagged(to, |to| *to = value)
    }

    #[cold]
    fn return_const_flagged: return_const(s, op::return_const { to, value }) {
        s.leave_flagged(to, |to| *to = value.0)
    }

    #[cold]
    fn return_many_flagged: return_many(s, op::return_many { to, from, count: U32(count) }) {
        let from = s.far(from);
        s.leave_flagged(to, |to| put_many(to, from, count))
    }
}
