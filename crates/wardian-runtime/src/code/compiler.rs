//! What the runtime asks of a compiler. A build may have none.

use wardian_module::ModuleInfo;
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncType};
use wardian_vm::compiled::{
    CallerOf, CompileError, CompiledCode, CompiledFunction, MemoryVariant, ModuleOptions, Tunables,
};

type Compiled<T = CompiledFunction> = Result<T, CompileError>;

/// Defines the interface once: the trait, and that the compiler of `wardian-jit` has these methods.
macro_rules! interface {
    ($(
        $(#[$doc:meta])*
        fn $name:ident(&self $(, $arg:ident: $ty:ty)* $(,)?) -> $result:ty;
    )*) => {
        /// Turns function bodies, which have been validated, into machine code.
        ///
        /// # Errors
        ///
        /// All that compile fail where a function exceeds a limit of the compiler.
        pub trait Compiler: Send + Sync {
            $( $(#[$doc])* fn $name(&self $(, $arg: $ty)*) -> $result; )*
        }

        #[cfg(feature = "jit")]
        impl Compiler for wardian_jit::Compiler {
            $( fn $name(&self $(, $arg: $ty)*) -> $result {
                wardian_jit::Compiler::$name(self $(, $arg)*)
            } )*
        }
    };
}

interface! {
    /// Everything that the code depends on, besides the module and its options: code may be reused exactly where
    /// this is the same.
    fn fingerprint(&self) -> String;

    /// All functions of a module.
    fn compile_module(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        options: &ModuleOptions<'_>,
    ) -> Compiled<CompiledCode>;

    /// One function, to the bytes that [`Compiler::compile_module`] gives it if the same is `expected` of its calls through
    /// tables: their code offsets, in order, and the functions that they are expected to call, the most frequent of a call
    /// first.
    fn compile_function(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        defined: DefinedFuncIndex,
        variant: MemoryVariant,
        expected: &[(CodeOffset, DefinedFuncIndex)],
    ) -> Compiled;

    /// One function, which notifies listeners at its end.
    fn compile_notifying(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        defined: DefinedFuncIndex,
        variant: MemoryVariant,
    ) -> Compiled;

    /// One function, so that it begins at the header of a loop with the frame of an interpreted one that stands
    /// there.
    fn compile_loop(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        defined: DefinedFuncIndex,
        header: CodeOffset,
        variant: MemoryVariant,
        expected: &[(CodeOffset, DefinedFuncIndex)],
    ) -> Compiled;

    /// What calls of a function go through while somebody listens to it.
    fn listener_wrapper(
        &self,
        info: &ModuleInfo,
        defined: DefinedFuncIndex,
        caller: CallerOf,
        tail_calls: bool,
    ) -> Compiled;

    /// What importers call to reach a function of a type that wants to know who calls.
    fn noting_trampoline(&self, ty: &FuncType) -> Compiled;

    /// What calls guest functions of a type with arguments in slots.
    fn entry_trampoline(&self, ty: &FuncType) -> Compiled;

    /// What guests call to reach host functions of a type.
    fn host_trampoline(&self, ty: &FuncType) -> Compiled;

    /// Lays functions out one behind the other.
    fn assemble(&self, functions: Vec<CompiledFunction>) -> Compiled<CompiledCode>;
}

/// The compiler of this build.
///
/// # Errors
///
/// It has none, or none for this processor.
#[cfg(feature = "jit")]
pub fn new(tunables: Tunables) -> Compiled<Box<dyn Compiler>> {
    Ok(Box::new(wardian_jit::Compiler::new(tunables)?))
}

/// The compiler of this build.
///
/// # Errors
///
/// It has none.
#[cfg(not(feature = "jit"))]
pub fn new(_: Tunables) -> Compiled<Box<dyn Compiler>> {
    Err(CompileError::Absent)
}
