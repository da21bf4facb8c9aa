//! Why code could not be produced.

use wardian_types::FuncIndex;

/// Why a module, function or trampoline could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// There is no compiler.
    #[error("this build of Wardian has no compiled engine")]
    Absent,
    /// This machine cannot run the code that Wardian produces.
    #[error("cannot compile for this machine: {0}")]
    Unsupported(String),
    /// One function cannot be compiled: it exceeds a limit of this compiler, or it is not valid.
    #[error("cannot compile function {index}: {reason}")]
    Function {
        /// The function.
        index: FuncIndex,
        /// What is wrong with it.
        reason: String,
    },
    /// A trampoline cannot be compiled.
    #[error("cannot compile a trampoline for {signature}: {reason}")]
    Trampoline {
        /// The signature it is for.
        signature: String,
        /// What went wrong.
        reason: String,
    },
    /// The code of the module does not fit the 4 GiB that its tables can address.
    #[error("the machine code of the module exceeds 4 GiB")]
    TooLarge,
    /// The caller asked to stop.
    #[error("compilation was cancelled")]
    Cancelled,
}

/// Serialised code that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the compiled code of a module: {0}")]
pub struct CodeFormatError(pub(crate) &'static str);
