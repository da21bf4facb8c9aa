//! The registers of an interrupted thread, where nobody reads them: guests are interpreted, or no signal interrupts them.

use crate::addr::{CodeAddr, StackAddr};
use crate::layout::StoreCtx;

/// The registers of a thread that a signal interrupted. All of them read as zero, which is no address of code and not on
/// a wasm stack.
#[allow(dead_code, reason = "there may be no signals")]
pub(crate) struct Registers<'a>(std::marker::PhantomData<&'a mut std::ffi::c_void>);

#[allow(dead_code, reason = "as above")]
impl Registers<'_> {
    /// # Safety
    ///
    /// None: the context is not looked at.
    pub(crate) unsafe fn new(_context: *mut std::ffi::c_void) -> Self {
        Registers(std::marker::PhantomData)
    }

    pub(crate) fn pc(&self) -> CodeAddr {
        CodeAddr::NULL
    }

    pub(crate) fn sp(&self) -> StackAddr {
        StackAddr::NULL
    }

    pub(crate) fn fp(&self) -> StackAddr {
        StackAddr::NULL
    }

    pub(crate) fn link(&self) -> CodeAddr {
        CodeAddr::NULL
    }

    pub(crate) fn on_signal_stack(&self) -> bool {
        false
    }

    /// # Safety
    ///
    /// None: there is no such function.
    pub(crate) unsafe fn unframed(&self) -> Option<CodeAddr> {
        None
    }

    /// Never called: no handler finds a guest at an instruction of its own.
    pub(crate) fn leave(&mut self, _store: *mut StoreCtx, _status: u64) {
        // A panic would be allowed to unwind into a handler's caller.
        let why =
            "wardian: a guest was to be left by a signal, but there are none; this is a bug\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
        std::process::abort()
    }
}
