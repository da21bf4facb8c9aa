//! Register bytecode: what validated WebAssembly is translated to in one pass, and its executor.
//!
//! [`Translator`] makes a [`Translation`] of a function's body, [`execute`] runs it. What they share with
//! compiled code and with the runtime (frames, targets of calls, exits) is in
//! [`wardian_vm::interpreted`].

mod call_targets;
mod cast;
mod display;
#[allow(unsafe_code, reason = "it follows the addresses that the runtime hands it")]
mod execute;
mod frame_map;
mod op;
mod operand;
#[cfg_attr(
    target_arch = "x86_64",
    allow(
        dead_code,
        unused_imports,
        reason = "most of it is done by the machine's own instructions"
    )
)]
mod simd;
mod table;
mod translate;
mod translation;

pub use call_targets::CallTargets;
pub use display::disassemble;
pub use execute::execute;
pub use frame_map::{FrameMap, Operand, Place, Point, Wanted};
pub use translate::Translator;
pub use translation::{CodeUnit, Env, Handler, Options, References, TranslateError, Translation};
