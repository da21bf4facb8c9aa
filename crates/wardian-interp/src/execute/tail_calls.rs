//! Tail calls: the arguments are moved down to where the parameters lay, and the new frame takes the
//! place of the old.
//!
//! ```text
//!   before   | parameters | previous … | locals, operand stack | arguments |
//!   after    | arguments … | previous … | locals, operand stack
//!              going upwards: an argument is read before what lies below it is overwritten
//! ```

use super::calls::{Callee, interpreted, pending, word};
use super::state::{State, handlers};
use crate::op;
use crate::operand::{Far, U32};
use wardian_vm::interpreted::{exit, header};

impl State {
    #[inline(always)]
    unsafe fn tail_call(self, callee: Callee, own: U32, first: Far, args: U32) -> u64 {
        // SAFETY: the operands of the instruction; the frame ends, so that all of it may be
        // overwritten but `previous`, which is read before.
        unsafe {
            let previous = self.previous();
            let from = self.far(first);
            if let Some(function) = interpreted(callee.word)
                && !previous.is_listened()
            {
                let to = self.fp.sub(own.0 as usize);
                let fp = to.add(args.0 as usize);
                if !self.may_enter(function, fp) {
                    return self.refuse(function, fp);
                }
                for slot in 0..args.0 as usize {
                    to.add(slot).write_volatile(*from.add(slot));
                }
                return self.enter_with(function, callee.ctx, fp, previous);
            }
            if callee.word == 0 {
                *self.fp.offset(header::IP) = self.at as u64;
                return exit::ENDED;
            }
            let store = self.store();
            if callee.notes {
                (*store).indirect_caller = self.vmctx;
            }
            *self.fp.offset(header::IP) = self.ip as u64;
            (*store).call = pending(callee, from, args.0, 1);
            exit::CALL
        }
    }
}

handlers! {
    fn return_call(s, op::return_call { target, own, first, args, .. }) {
        let previous = s.previous();
        let Some(function) = interpreted(word(s.instance(target.in_instance()))) else {
            return s.instead(return_call_other);
        };
        let to = s.fp.sub(own.0 as usize);
        let fp = to.add(args.0 as usize);
        if previous.is_listened() || !s.may_enter(function, fp) {
            return s.instead(return_call_other);
        }
        let from = s.far(first);
        for slot in 0..args.0 as usize {
            to.add(slot).write_volatile(*from.add(slot));
        }
        s.enter(function, fp, previous)
    }

    #[cold]
    fn return_call_other: return_call(s, op::return_call { target, defined, own, first, args }) {
        s.tail_call(s.own(target, defined), own, first, args)
    }

    fn return_call_import(s, op::return_call_import { import, index, own, first, args }) {
        s.tail_call(s.import(import, index), own, first, args)
    }

    fn return_call_indirect(s, op::return_call_indirect { index, table, ty, own, first, args }) {
        let top = Far(first.0.add(args.0 as i32));
        match s.element_of_subtype(index, table, ty, top) {
            Ok(func) => s.tail_call(s.referred(func), own, first, args),
            Err(code) => s.trap(code),
        }
    }

    fn return_call_ref(s, op::return_call_ref { func, own, first, args }) {
        match s.reference(func) {
            Ok(func) => s.tail_call(s.referred(func), own, first, args),
            Err(code) => s.trap(code),
        }
    }
}
