//! The registers of an interrupted thread, and where a function stands that has no frame yet, on 64-bit ARM.

use super::exit;
use crate::addr::{CodeAddr, StackAddr};
use crate::arch::ReturnAddress;
use crate::layout::StoreCtx;

/// The registers of a thread that a signal interrupted.
pub(crate) struct Registers<'a>(&'a mut libc::ucontext_t);

impl<'a> Registers<'a> {
    /// # Safety
    ///
    /// `context` is the third argument of a signal handler that is still running.
    pub(crate) unsafe fn new(context: *mut libc::c_void) -> Registers<'a> {
        // SAFETY: the system passes a `ucontext_t` that only this handler uses.
        Registers(unsafe { &mut *context.cast::<libc::ucontext_t>() })
    }

    pub(crate) fn pc(&self) -> CodeAddr {
        CodeAddr::from_usize(self.0.uc_mcontext.pc as usize)
    }

    pub(crate) fn sp(&self) -> StackAddr {
        StackAddr::from_usize(self.0.uc_mcontext.sp as usize)
    }

    pub(crate) fn fp(&self) -> StackAddr {
        StackAddr::from_usize(self.0.uc_mcontext.regs[29] as usize)
    }

    /// As on x86-64.
    pub(crate) fn on_signal_stack(&self) -> bool {
        let stack = &self.0.uc_stack;
        self.sp().bytes_from(StackAddr::of(stack.ss_sp)) < stack.ss_size
    }

    /// The link register: where the interrupted function returns to, as long as it has called nothing.
    pub(crate) fn link(&self) -> CodeAddr {
        CodeAddr::from_usize(self.0.uc_mcontext.regs[30] as usize)
    }

    /// As on x86-64, recognised by `stp x29, x30, [sp, #-n]!; mov x29, sp` and `ret`. Functions store the record
    /// alone, stubs make their whole frame with that instruction; the record is lowest in both.
    ///
    /// # Safety
    ///
    /// As on x86-64.
    pub(crate) unsafe fn unframed(&self) -> Option<CodeAddr> {
        // SAFETY: the instruction that is about to run can be read; the caller's promise.
        unsafe {
            match *(self.pc().as_usize() as *const u32) {
                RETURN => Some(self.link()),
                word if word & !STORED_SIZE == STORE_RECORD => Some(self.link()),
                SET_FRAME => Some(*self.sp().above(8).as_ptr()),
                _ => None,
            }
        }
    }

    /// Makes the thread leave guest code with `status` when the handler returns.
    #[inline(never)]
    pub(crate) fn leave(&mut self, store: *mut StoreCtx, status: u64) {
        self.0.uc_mcontext.pc = exit as *const () as u64;
        self.0.uc_mcontext.regs[19] = store as u64;
        self.0.uc_mcontext.regs[0] = status;
    }
}

/// `ret`
const RETURN: u32 = 0xd65f_03c0;
/// `stp x29, x30, [sp, #0]!`, and the bits of the number there.
const STORE_RECORD: u32 = 0xa980_7bfd;
const STORED_SIZE: u32 = 0x7f << 15;
/// `mov x29, sp`
const SET_FRAME: u32 = 0x9100_03fd;

/// As on x86-64. Before `stp x29, x30` has run the return address is only in the link register; afterwards the
/// record is there, and `x29` follows in the next instruction. An overflow of the stack is mostly found by the first.
pub(crate) fn return_address(
    offset: usize,
    sp: StackAddr,
    link: CodeAddr,
) -> Option<ReturnAddress> {
    match offset {
        0 => Some(ReturnAddress::Is(link)),
        4 => Some(ReturnAddress::At(sp.above(8))),
        _ => None,
    }
}
