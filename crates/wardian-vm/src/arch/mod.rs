//! What depends on the processor: one file each, all with the same verbs.
//!
//! Code is generated under Linux, and for x86-64 under Windows, whose convention the stubs know. Under other systems the
//! handlers would have to know the records of registers. Miri runs no machine code.
//!
//! | verb | does |
//! |---|---|
//! | `enter` | switches from the embedder's stack to the wasm stack and calls a trampoline there |
//! | `enter_segment` | the same, called by an interpreted frame, which the frames then lead to |
//! | `interpreted_entries`, `entry_offset`, `ENTRIES` | code by which compiled code calls interpreted functions |
//! | `resume` | switches back to a wasm stack that a host function left suspended |
//! | `write_landing` | writes a frame by which `resume` continues at any place of a function |
//! | `CALLEE_SAVED`, `saved_by_stub` | the callee-saved registers, and which values of the guest's a stub has saved |
//! | `host_stub` | address of the code by which a guest calls a host function |
//! | `host_entry` | the same, where the trampoline may be missing yet |
//! | `is_preparing` | whether an address lies in `host_entry` or its like for interpreted functions |
//! | `closed_stub` | guest calls a function of a closed instance |
//! | `returns_in_memory` | whether an address for results comes before the parameters |
//! | `direct_stub` | the same without a trampoline, for a few integer parameters, where possible |
//! | `builtin_stubs` | addresses of the code by which a guest calls the runtime |
//! | `Registers` | reads and redirects the registers of an interrupted thread |
//! | `return_address` | where the walk of frames begins when a fault hit a prologue |
//! | `publish_instructions` | makes new code visible to all cores |
//! | `COMPILED_CODE` | whether there is all of this; where it is false, guests are interpreted |
//! | `STORES_IN_PARTS` | whether a store whose end faults may have written its beginning |
//! | `unframed` | the same for a signal, where the function's beginning is not known |

#[cfg(all(target_arch = "aarch64", any(target_os = "linux", target_os = "android"), not(miri)))]
mod aarch64;
#[cfg(not(all(
    any(
        all(target_arch = "aarch64", any(target_os = "linux", target_os = "android")),
        all(target_arch = "x86_64", any(target_os = "linux", target_os = "android", windows)),
    ),
    not(miri)
)))]
mod interpreted_only;
#[cfg(not(all(
    any(target_arch = "aarch64", target_arch = "x86_64"),
    any(target_os = "linux", target_os = "android"),
    not(miri)
)))]
mod unread;
#[cfg(all(
    target_arch = "x86_64",
    any(target_os = "linux", target_os = "android", windows),
    not(miri)
))]
mod x86_64;

#[cfg(all(
    target_arch = "aarch64",
    any(target_os = "linux", target_os = "android"),
    not(miri)
))]
pub(crate) use aarch64::*;
#[cfg(not(all(
    any(
        all(target_arch = "aarch64", any(target_os = "linux", target_os = "android")),
        all(target_arch = "x86_64", any(target_os = "linux", target_os = "android", windows)),
    ),
    not(miri)
)))]
pub(crate) use interpreted_only::*;
#[cfg(all(
    target_arch = "x86_64",
    any(target_os = "linux", target_os = "android", windows),
    not(miri)
))]
pub(crate) use x86_64::*;

use crate::addr::{CodeAddr, StackAddr};

/// Where the return address is of a function that has no frame yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReturnAddress {
    /// In this word of the stack.
    #[allow(dead_code, reason = "for processors with compiled code")]
    At(StackAddr),
    /// It is this one.
    #[allow(dead_code, reason = "for processors with a link register")]
    Is(CodeAddr),
}

/// How an entry into guest code ended, as the assembly reports it.
pub mod status {
    /// The function returned.
    pub const RETURNED: u64 = 0;
    /// A host function or a builtin ended the guest, or a transition saw the interrupt word.
    pub const ENDED: u64 = 1;
    /// A signal handler found a trap.
    pub const TRAPPED: u64 = 2;
    /// A signal handler stopped the guest because it was asked to.
    pub const INTERRUPTED: u64 = 3;
    /// Compiled code has called a function that is interpreted: the store's `callee`.
    pub const INTERPRET: u64 = 4;
    /// An entry is to begin in the interpreter.
    pub const START: u64 = 5;
    /// An entry that has interpreted frames is to be resumed.
    pub const RESUME: u64 = 6;
    /// An exception is to be thrown where the entry, which was left, stands: it has interpreted frames.
    pub const THROW: u64 = 7;
    /// This and above: compiled code that an interpreted frame had called has returned; the status is
    /// that frame's address.
    pub const FRAMES: u64 = 4096;
}
