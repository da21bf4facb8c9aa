//! The registers of an interrupted thread, on x86-64 under Unix systems.

use super::exit;
use crate::addr::{CodeAddr, StackAddr};
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

    fn get(&self, register: libc::c_int) -> usize {
        self.0.uc_mcontext.gregs[register as usize] as usize
    }

    pub(crate) fn pc(&self) -> CodeAddr {
        CodeAddr::from_usize(self.get(libc::REG_RIP))
    }

    pub(crate) fn sp(&self) -> StackAddr {
        StackAddr::from_usize(self.get(libc::REG_RSP))
    }

    pub(crate) fn fp(&self) -> StackAddr {
        StackAddr::from_usize(self.get(libc::REG_RBP))
    }

    /// The link register, which this processor does not have.
    pub(crate) fn link(&self) -> CodeAddr {
        CodeAddr::NULL
    }

    /// Whether the thread was on its alternate stack for signals: in another handler.
    pub(crate) fn on_signal_stack(&self) -> bool {
        let stack = &self.0.uc_stack;
        self.sp().bytes_from(StackAddr::of(stack.ss_sp)) < stack.ss_size
    }

    /// The return address of the function that was interrupted, if the frame pointer is its caller's because
    /// its own frame is not yet made or already gone. The instructions `push rbp; mov rbp, rsp` and `ret`
    /// show that.
    ///
    /// # Safety
    ///
    /// The thread was interrupted in compiled code or a stub, and `sp` and the word above it can be
    /// read.
    pub(crate) unsafe fn unframed(&self) -> Option<CodeAddr> {
        let (pc, sp) = (self.pc(), self.sp());
        // SAFETY: instructions that are about to run can be read; a byte is only looked at after those before
        // it have shown that the instruction, or its neighbour, is that long.
        unsafe {
            let is = |at: CodeAddr, bytes: &[u8]| {
                (at.as_usize()..).zip(bytes).all(|(at, byte)| *(at as *const u8) == *byte)
            };
            let slot = if is(pc, &[0xc3]) || is(pc, &[0x55, 0x48, 0x89, 0xe5]) {
                sp
            } else if is(pc, &[0x48, 0x89, 0xe5]) && is(pc.before(), &[0x55]) {
                sp.above(8)
            } else {
                return None;
            };
            Some(*slot.as_ptr())
        }
    }

    /// Makes the thread leave guest code with `status` when the handler returns.
    #[inline(never)]
    pub(crate) fn leave(&mut self, store: *mut StoreCtx, status: u64) {
        let registers = &mut self.0.uc_mcontext.gregs;
        registers[libc::REG_RIP as usize] = exit as *const () as i64;
        registers[libc::REG_RBX as usize] = store as i64;
        registers[libc::REG_RAX as usize] = status as i64;
    }
}
