//! The frames of the entry that is run: small steps on them.

use super::{Call, Ended, Next, Run};
use crate::Error;
use crate::listen::hook::Hook;
use crate::store::inner::StoreInner;
use std::sync::atomic::{Ordering, compiler_fence};
use wardian_vm::activation::{Activation, WasmSp, status};
use wardian_vm::addr::{StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{Boundary, CallerLink, Function, frame};

impl Run {
    /// What of a frame is needed when it has returned, taken before its results overwrite it.
    pub(super) unsafe fn ended(self, fp: *mut usize) -> Ended {
        // SAFETY: see [`Run`].
        unsafe {
            let previous = CallerLink::from_word(*fp.offset(frame::PREVIOUS));
            let vmctx = *fp.offset(frame::VMCTX);
            match *fp.offset(frame::FUNCTION) {
                moved if moved & 1 != 0 => {
                    let (place, result_slots) = (vmctx as *mut u64, moved >> 1);
                    Ended { previous, place, result_slots, function: None, vmctx: VmCtxPtr::NULL }
                }
                function => {
                    let function = function as *const Function;
                    let result_slots = (*function).result_slots as usize;
                    let place = self.results_of(fp);
                    let vmctx = VmCtxPtr::from_usize(vmctx);
                    Ended { previous, place, result_slots, function: Some(function), vmctx }
                }
            }
        }
    }

    /// Where the results of a frame go: where its parameters began.
    pub(super) unsafe fn results_of(self, fp: *mut usize) -> *mut u64 {
        // SAFETY: see [`Run`].
        unsafe {
            match *fp.offset(frame::FUNCTION) {
                moved if moved & 1 != 0 => *fp.offset(frame::VMCTX) as *mut u64,
                function => {
                    let params = (*(function as *const Function)).param_slots as usize;
                    fp.cast::<u64>().sub(params)
                }
            }
        }
    }

    /// Whether a call must be interpreted although there is compiled code: tail calls that go back and
    /// forth between the two would otherwise leave a compiled frame behind each time.
    pub(super) unsafe fn must_interpret(self, call: &Call) -> bool {
        // SAFETY: see [`Run`].
        unsafe {
            call.is_tail
                && call.previous.is_boundary()
                && !(*call.previous.address().as_ptr::<Boundary>()).wasm_sp.is_none()
        }
    }

    /// What listens to a function of the instance at `vmctx`.
    pub(super) unsafe fn hook_of(
        self,
        vmctx: VmCtxPtr,
        function: *const Function,
    ) -> Option<*mut Hook> {
        // SAFETY: see [`Run`].
        unsafe {
            let inner = self.inner();
            let instance = (*inner).instance_at(vmctx)?;
            (*inner).hook(instance, (*function).defined)
        }
    }

    /// Ends the entry because of an error in a call that has no frame yet.
    pub(super) unsafe fn failed(self, error: Error) -> Next {
        // SAFETY: see [`Run`].
        unsafe {
            (*self.inner()).fail(error);
            Next::End(status::ENDED)
        }
    }

    /// Ends the entry while the frame at `fp` is innermost.
    pub(super) unsafe fn ended_in(self, fp: *mut usize) -> Next {
        // SAFETY: see [`Run`].
        unsafe { self.free_above(fp) };
        Next::End(status::ENDED)
    }

    /// Makes an interpreted frame the innermost of all.
    pub(super) unsafe fn stand_in(self, fp: *mut usize) {
        // SAFETY: see [`Run`].
        unsafe {
            // A handler that takes a sample must find the frame complete.
            compiler_fence(Ordering::SeqCst);
            (*self.ctx).interp_fp = StackAddr::of(fp);
            (*self.ctx).wasm_sp = WasmSp::interpreted((*self.ctx).wasm_sp.aligned());
        }
    }

    /// Makes who called a frame, by its word `previous`, the innermost of all.
    pub(super) unsafe fn stand_in_caller(self, previous: CallerLink) {
        // SAFETY: see [`Run`].
        unsafe {
            let outer = previous.address();
            if !previous.is_boundary() {
                return self.stand_in(outer.as_ptr());
            }
            match (*outer.as_ptr::<Boundary>()).wasm_sp {
                WasmSp::NONE => (*self.ctx).interp_fp = StackAddr::NULL,
                caller => (*self.ctx).wasm_sp = caller,
            }
        }
    }

    /// Notes that the slots above a frame are free.
    pub(super) unsafe fn free_above(self, fp: *mut usize) {
        // SAFETY: see [`Run`].
        unsafe {
            let slots = match *fp.offset(frame::FUNCTION) {
                moved if moved & 1 != 0 => frame::HEADER,
                function => (*(function as *const Function)).frame_slots as usize,
            };
            (*self.ctx).interp_sp = StackAddr::of(fp.cast::<u64>().add(slots));
        }
    }

    /// Whether frames may have the slots below `end`.
    pub(super) unsafe fn has_room(self, end: *mut u64) -> bool {
        // SAFETY: see [`Run`].
        StackAddr::of(end) <= unsafe { (*self.ctx).interp_limit }
    }

    pub(super) unsafe fn fp(self) -> *mut usize {
        // SAFETY: see [`Run`].
        unsafe { (*self.ctx).interp_fp.as_ptr() }
    }

    pub(super) unsafe fn activation<'a>(self) -> &'a Activation {
        // SAFETY: see [`Run`]: an entry is open, and it is the innermost.
        unsafe { &*(*self.ctx).activation }
    }

    /// The store. Not a reference: what is called from here makes its own.
    pub(super) unsafe fn inner(self) -> *mut StoreInner {
        // SAFETY: while a guest runs `owner` is its store; `inner` is the first field, whatever `T` is.
        unsafe { (*self.ctx).owner.as_ptr::<StoreInner>() }
    }
}

/// The instance of an interpreted frame.
///
/// # Safety
///
/// It is one that is not the stand-in for a call.
#[inline]
pub(super) unsafe fn vmctx_of(fp: *const usize) -> VmCtxPtr {
    // SAFETY: the caller's promise.
    VmCtxPtr::from_usize(unsafe { *fp.offset(frame::VMCTX) })
}
