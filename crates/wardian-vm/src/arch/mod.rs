//! What depends on the processor: one file each, all with the same verbs.
//!
//! | verb | does |
//! |---|---|
//! | `enter` | switches from the embedder's stack to the wasm stack and calls a trampoline there |
//! | `resume` | switches back to a wasm stack that a host function left suspended |
//! | `host_stub` | address of the code by which a guest calls a host function |
//! | `direct_stub` | the same without a trampoline, for a few integer parameters, where possible |
//! | `builtin_stubs` | addresses of the code by which a guest calls the runtime |
//! | `Registers` | reads and redirects the registers of an interrupted thread |
//! | `return_address` | where the walk of frames begins when a fault hit a prologue |
//! | `unframed` | the same for a signal, where the function's beginning is not known |

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

/// How an entry into guest code ended, as the assembly reports it.
pub(crate) mod status {
    /// The function returned.
    pub(crate) const RETURNED: u64 = 0;
    /// A host function or a builtin ended the guest, or a transition saw the interrupt word.
    pub(crate) const ENDED: u64 = 1;
    /// A signal handler found a trap.
    pub(crate) const TRAPPED: u64 = 2;
    /// A signal handler stopped the guest because it was asked to.
    pub(crate) const INTERRUPTED: u64 = 3;
}
