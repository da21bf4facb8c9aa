//! Compiled code as data: what a compiler is asked for, and what it gives.
//!
//! ```text
//!   Tunables, ModuleOptions ──> a compiler ──> CompiledFunction ... ──> CompiledCode
//!                                              text and tables          text, and tables by offset in it
//! ```
//!
//! Nothing here generates code. A build without a compiler has these types, and no values of code.

mod code;
mod error;
mod frames;
mod handlers;
mod inlined;
mod maps;
mod settings;

pub use code::{CompiledCode, CompiledFunction, CompiledIndex, Location, Origin, TextOffset, Trap};
pub use error::{CodeFormatError, CompileError};
pub use frames::{CapturedFrame, CellIndex, FramePoint, FrameTable};
pub use handlers::{Call, CallHandlers, Handler, InstanceAt, Scope, handler_word};
pub use inlined::{INLINED, Inlined};
pub use maps::StackMap;
pub use settings::{
    CallerOf, Capture, MAX_UNCHECKED_FRAME, MemoryVariant, ModuleOptions, OptLevel, Tunables,
};
