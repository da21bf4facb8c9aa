//! Function bodies to machine code, with the tables that traps and backtraces need, on Cranelift.
//!
//! ```text
//!   module bytes --(wasmparser)--> operators --(translate)--> Cranelift IR --> text
//!                                                                       traps: offset -> code
//!                                                                       locations: offset -> wasm
//! ```
//!
//! One function is compiled at a time and refers to nothing outside itself: calls, builtins and
//! memories are all reached through the instance that comes as first argument
//! ([`wardian_vm::layout`] says where things lie). So code can be cached, moved, replaced one
//! function at a time, and shared by all instances of a module.
//!
//! **Invariant:** compiled text has no relocations.
//!
//! **Boundary:** nothing here runs code, maps memory, or is unsafe.

mod cold;
mod compiler;
mod func;
mod lines;
mod listen;
mod parallel;
mod places;
mod settings;
mod slots;
mod trampoline;
mod translate;

pub use compiler::{ABI_REVISION, Compiler};
pub use wardian_vm::compiled::{
    Call, CallHandlers, CallerOf, Capture, CapturedFrame, CodeFormatError, CompileError,
    CompiledCode, CompiledFunction, CompiledIndex, FramePoint, FrameTable, Handler, Inlined,
    InstanceAt, Location, MAX_UNCHECKED_FRAME, MemoryVariant, ModuleOptions, OptLevel, Origin,
    Scope, StackMap, TextOffset, Trap, Tunables,
};
