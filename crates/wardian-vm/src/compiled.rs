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
mod source_loc;

pub use code::{CompiledCode, CompiledFunction, Location, Origin, Trap};
pub use error::{CodeFormatError, CompileError};
pub use frames::{CapturedFrame, CellIndex, CellOffset, FramePoint, FrameTable};
pub use handlers::{
    Call, CallHandlers, Handler, HandlerNumber, InstanceAt, Scope, ScopeIndex, handler_word,
};
pub use inlined::Inlined;
pub use maps::{SpOffset, StackMap};
pub use settings::{
    CallerOf, Capture, MAX_UNCHECKED_FRAME, MemoryVariant, ModuleOptions, OptLevel, Tunables,
};
pub use source_loc::SourceLoc;
use wardian_types::DefinedFuncIndex;

wardian_types::index_types! {
    /// A place in a text of machine code: bytes from where it begins.
    pub struct TextOffset;

    /// A function of compiled code: which one it is there. Code may have only some of a module's functions.
    pub struct CompiledIndex;
}

impl TextOffset {
    /// The place in the text of a module, of a place in the text of a function that begins at `start` there.
    const fn within(self, start: TextOffset) -> TextOffset {
        TextOffset(start.0 + self.0)
    }
}

impl CompiledIndex {
    /// The function in code that has all functions of its module.
    pub const fn of_whole(defined: DefinedFuncIndex) -> CompiledIndex {
        CompiledIndex(defined.as_u32())
    }

    /// The module's function, of code that has all functions of its module.
    pub const fn in_whole(self) -> DefinedFuncIndex {
        DefinedFuncIndex::from_u32(self.0)
    }
}
