//! What the translator takes and gives.

use std::fmt;
use std::sync::atomic::AtomicI32;
use wardian_module::ModuleInfo;
use wardian_vm::interpreted::Function;
use wardian_vm::layout::InstanceLayout;

/// What translated code does besides what WebAssembly says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether functions and loops count down, so that the runtime can compile what is hot.
    pub tiering: bool,
    /// Whether fuel is counted.
    pub fuel: bool,
    /// Whether every NaN that arithmetic makes has the same bits.
    pub canonical_nans: bool,
}

/// The module to which a function belongs.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// Its declarations.
    pub info: &'a ModuleInfo,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where its instances have what code uses.
    pub layout: InstanceLayout,
    /// What code is to do.
    pub options: Options,
}

/// Why a function cannot be translated. A valid module has no reason but its size.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a function cannot be translated: {0}")]
pub struct TranslateError(pub(crate) String);

impl TranslateError {
    #[cold]
    pub(crate) fn new(reason: impl Into<String>) -> TranslateError {
        TranslateError(reason.into())
    }
}

impl From<wasmparser::BinaryReaderError> for TranslateError {
    fn from(error: wasmparser::BinaryReaderError) -> TranslateError {
        TranslateError(error.to_string())
    }
}

/// A translated function: its code, and the record by which it is called. Neither moves as long as
/// this lives.
#[derive(Debug)]
pub struct Translation {
    code: Box<[u16]>,
    function: Box<Function>,
}

impl Translation {
    pub(crate) fn new(code: &[u16], function: Function) -> Translation {
        let mut code: Box<[u16]> = code.into();
        crate::execute::link(&mut code);
        let function = Box::new(Function { entry: code.as_ptr(), ..function });
        Translation { code, function }
    }

    /// The record by which it is called.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// Its code, in units.
    pub fn code(&self) -> &[u16] {
        &self.code
    }

    /// The countdown, which starts at the greatest number.
    pub fn countdown(&self) -> &AtomicI32 {
        &self.function.countdown
    }
}

impl fmt::Display for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::display::write(self.code(), f)
    }
}
