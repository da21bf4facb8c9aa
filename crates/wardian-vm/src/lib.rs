//! The unsafe heart of Wardian: instance layout, memories, wasm stacks, the switch between stacks,
//! signals, code memory.
//!
//! | module | subject |
//! |---|---|
//! | [`layout`] | where compiled code finds things |
//! | [`addr`] | addresses as types of their own |
//! | [`activation`] | entering guest code and leaving it |
//! | [`frames`] | walking a guest's frames |
//! | [`unwind`] | unwinding a guest to where an exception is caught |
//! | [`stack`] | stacks for guests |
//! | [`memory`] | linear memories: guarded, checked, shared; images; reuse |
//! | [`heap`] | objects of guests, and their collection |
//! | [`code_memory`] | memory for compiled code |
//! | [`debugger`] | object files by which debuggers know compiled code |
//! | [`interrupt`] | stopping a guest from outside |
//! | [`signals`] | traps that the processor finds |
//! | [`samples`] | samples of a running guest |
//! | [`park`] | waiting on an address |
//! | [`probe`] | what the system gives |
//! | [`torture`] | faults on purpose, for tests |
//!
//! Nothing here knows modules or the embedding API; what is unsafe to call says what it needs.
#![allow(unsafe_code, reason = "this crate is one of the places where unsafe code lives")]

pub mod activation;
pub mod addr;
mod arch;
pub mod background;
mod callee_saved;
pub mod code_memory;
pub mod compiled;
pub mod contain;
pub mod debugger;
mod entries;
pub mod frames;
#[cfg(all(test, not(miri)))]
mod guard_tests;
pub mod heap;
pub mod interpreted;
pub mod interrupt;
pub mod layout;
mod mapping;
pub mod memory;
pub mod object;
pub mod park;
pub mod probe;
pub mod samples;
pub mod segment;
pub mod stack;
mod sync;
mod system;
pub mod table;
pub mod torture;
pub mod unwind;
mod watchdog;
mod zeroed;

pub use entries::{
    EntryKind, interpreted_entry, is_entry_glue, make_interpreted_entries, make_interpreted_entry,
};
pub use system::{WakeFd, map_executable, private_file, signals, thread_nanoseconds};
pub use zeroed::Zeroed;

use addr::CodeAddr;

/// Address of the code by which a guest calls a host function: goes into every
/// [`layout::HostFunc`].
pub fn host_stub() -> CodeAddr {
    arch::host_stub()
}

/// Address of code by which a guest calls host functions of this signature, which may have no trampoline
/// yet.
pub fn host_entry(ty: &wardian_types::FuncType) -> CodeAddr {
    arch::host_entry(returns_in_memory(ty))
}

/// Whether guests can be compiled for this processor; elsewhere they are interpreted, and nothing here that takes the
/// address of code may be called.
pub const COMPILED_CODE: bool = arch::COMPILED_CODE;

/// Whether a store that begins in a page that may be written and ends in one that may not can have written its
/// beginning when it faults.
pub const STORES_IN_PARTS: bool = arch::STORES_IN_PARTS;

/// Whether compiled functions of this signature get an address for their results before all parameters, so
/// that code that is called in place of a function has to look for its context elsewhere.
pub fn returns_in_memory(ty: &wardian_types::FuncType) -> bool {
    arch::returns_in_memory(ty.results())
}

/// Address of the code by which a guest calls functions of this signature in closed instances.
pub fn closed_stub(ty: &wardian_types::FuncType) -> CodeAddr {
    arch::closed_stub(returns_in_memory(ty))
}

/// Address of code by which a guest calls host functions of this signature without a trampoline, if
/// there is such code on this machine.
pub fn direct_host_stub(ty: &wardian_types::FuncType) -> Option<CodeAddr> {
    use wardian_types::ValType;
    let is_integer = |t: &ValType| matches!(t, ValType::I32 | ValType::I64 | ValType::Ref(_));
    let fits = ty.params().iter().all(is_integer)
        && ty.results().len() <= 1
        && !ty.results().contains(&ValType::V128);
    if fits { arch::direct_stub(ty.params().len()) } else { None }
}

/// Addresses of the code by which a guest calls each builtin, for [`layout::instance::BUILTINS`].
pub fn builtin_stubs() -> &'static [CodeAddr; layout::Builtin::COUNT] {
    static STUBS: std::sync::OnceLock<[CodeAddr; layout::Builtin::COUNT]> =
        std::sync::OnceLock::new();
    STUBS.get_or_init(arch::builtin_stubs)
}
