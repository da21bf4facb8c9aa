//! The compiler's front door.

use crate::func::Worker;
use crate::lines::LINE;
use crate::listen::{self, Wrapping};
use crate::settings;
use crate::translate::Env;
use crate::{parallel, trampoline};
use cranelift_codegen::isa::OwnedTargetIsa;
use std::fmt::Write as _;
use std::sync::Arc;
use wardian_module::ModuleInfo;
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncType};
use wardian_vm::compiled::{
    CallerOf, CompileError, CompiledCode, CompiledFunction, MemoryVariant, ModuleOptions, Tunables,
};
use wardian_vm::layout::InstanceLayout;

/// Counts up when the contract between compiled code and runtime changes.
pub const ABI_REVISION: u32 = 9;

/// Turns function bodies into machine code. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Compiler {
    shared: Arc<Shared>,
}

struct Shared {
    isa: OwnedTargetIsa,
    tunables: Tunables,
    fuses: bool,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("tunables", &self.shared.tunables).finish_non_exhaustive()
    }
}

impl Compiler {
    /// A compiler for this machine.
    pub fn new(tunables: Tunables) -> Result<Compiler, CompileError> {
        let isa = settings::isa(&tunables)?;
        let fuses = !tunables.deterministic_simd && settings::has_fma(&isa);
        Ok(Compiler { shared: Arc::new(Shared { isa, tunables, fuses }) })
    }

    /// What it was made with.
    pub fn tunables(&self) -> &Tunables {
        &self.shared.tunables
    }

    /// Everything that the produced code depends on, besides the module and its options: code may
    /// be reused exactly where this is the same.
    pub fn fingerprint(&self) -> String {
        let Shared { isa, tunables, .. } = &*self.shared;
        let mut s = format!(
            "wardian-jit {} abi {ABI_REVISION} cranelift {} {} {tunables:?}",
            env!("CARGO_PKG_VERSION"),
            cranelift_codegen::VERSION,
            isa.triple(),
        );
        for flag in isa.flags().iter().chain(isa.isa_flags()) {
            let _ = write!(s, " {}={}", flag.name, flag.value_string());
        }
        s
    }

    /// The alignment in bytes that the text of a module needs.
    pub fn text_alignment(&self) -> u32 {
        let alignment = self.shared.isa.function_alignment();
        alignment.minimum.max(alignment.preferred).max(LINE)
    }

    /// Compiles all functions of a module. Their bodies must have been validated.
    pub fn compile_module(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        options: &ModuleOptions<'_>,
    ) -> Result<CompiledCode, CompileError> {
        let env = Env { expected: options.expected, ..self.env(info, bytes, options.variant) };
        let functions = parallel::compile_all(&*self.shared.isa, &env, options)?;
        CompiledCode::assemble(functions, self.text_alignment())
    }

    /// Compiles one function, by its position among those that the module defines, to the bytes that
    /// [`Compiler::compile_module`] gives it if the same is `expected` of its calls through tables and references: their code
    /// offsets, in order, and the positions of the functions that they are expected to call, the most frequent of a call
    /// first.
    pub fn compile_function(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        defined: DefinedFuncIndex,
        variant: MemoryVariant,
        expected: &[(CodeOffset, DefinedFuncIndex)],
    ) -> Result<CompiledFunction, CompileError> {
        let env = Env { expected, ..self.env(info, bytes, variant) };
        self.compile_in(&mut Worker::new(), &env, defined, None)
    }

    /// Compiles some functions, one behind the other: the first of `functions` is the first of the code. For work beside that of others it uses
    /// no thread but the caller's.
    pub fn compile_some(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        functions: &[DefinedFuncIndex],
        variant: MemoryVariant,
    ) -> Result<CompiledCode, CompileError> {
        let (env, mut worker) = (self.env(info, bytes, variant), Worker::new());
        let compile =
            |defined: &DefinedFuncIndex| self.compile_in(&mut worker, &env, *defined, None);
        self.assemble(functions.iter().map(compile).collect::<Result<_, _>>()?)
    }

    /// Compiles a function so that it begins at the header of one of its loops, which is given by the
    /// code offset of the `loop` operator, with the state of an interpreted frame that stands there.
    ///
    /// The code is called in the Tail convention with the instance's context and the address of the
    /// frame, and gives the function's results: see [`wardian_vm::interpreted`]. It reads all of the
    /// frame that it needs before it does anything else. `expected` is as for [`Compiler::compile_function`].
    pub fn compile_loop(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        defined: DefinedFuncIndex,
        loop_offset: CodeOffset,
        variant: MemoryVariant,
        expected: &[(CodeOffset, DefinedFuncIndex)],
    ) -> Result<CompiledFunction, CompileError> {
        let env = Env { expected, ..self.env(info, bytes, variant) };
        self.compile_in(&mut Worker::new(), &env, defined, Some(loop_offset))
    }

    fn compile_in(
        &self,
        worker: &mut Worker,
        env: &Env<'_>,
        defined: DefinedFuncIndex,
        loop_entry: Option<CodeOffset>,
    ) -> Result<CompiledFunction, CompileError> {
        worker.body(&*self.shared.isa, env, defined, loop_entry).map_err(|reason| {
            CompileError::Function { index: env.info.func_index(defined), reason }
        })
    }

    /// What calls of a function go through while somebody listens to it.
    pub fn listener_wrapper(
        &self,
        info: &ModuleInfo,
        defined: DefinedFuncIndex,
        caller: CallerOf,
        tail_calls: bool,
    ) -> Result<CompiledFunction, CompileError> {
        let index = info.func_index(defined);
        let wrapping = if tail_calls { Wrapping::Ahead } else { Wrapping::Around };
        let (worker, ty) = (&mut Worker::new(), info.func_type(index));
        listen::wrapper(worker, &*self.shared.isa, ty, defined, caller, wrapping)
            .map_err(|reason| CompileError::Function { index, reason })
    }

    /// [`Compiler::compile_function`] for a function that notifies listeners at its end.
    pub fn compile_notifying(
        &self,
        info: &ModuleInfo,
        bytes: &[u8],
        defined: DefinedFuncIndex,
        variant: MemoryVariant,
    ) -> Result<CompiledFunction, CompileError> {
        let env = Env { tells: true, ..self.env(info, bytes, variant) };
        self.compile_in(&mut Worker::new(), &env, defined, None)
    }

    /// Lays functions out one behind the other.
    pub fn assemble(&self, functions: Vec<CompiledFunction>) -> Result<CompiledCode, CompileError> {
        CompiledCode::assemble(functions, self.text_alignment())
    }

    /// Compiles what importers call to reach a function of a type that wants to know who calls.
    pub fn noting_trampoline(&self, ty: &FuncType) -> Result<CompiledFunction, CompileError> {
        listen::noting(&mut Worker::new(), &*self.shared.isa, ty)
            .map_err(|reason| CompileError::Trampoline { signature: ty.to_string(), reason })
    }

    /// Compiles what calls guest functions of a type with arguments in slots.
    pub fn entry_trampoline(&self, ty: &FuncType) -> Result<CompiledFunction, CompileError> {
        trampoline::entry(&mut Worker::new(), &*self.shared.isa, ty)
            .map_err(|reason| CompileError::Trampoline { signature: ty.to_string(), reason })
    }

    /// Compiles what guests call to reach host functions of a type.
    pub fn host_trampoline(&self, ty: &FuncType) -> Result<CompiledFunction, CompileError> {
        trampoline::host(&mut Worker::new(), &*self.shared.isa, ty)
            .map_err(|reason| CompileError::Trampoline { signature: ty.to_string(), reason })
    }

    fn env<'a>(&'a self, info: &'a ModuleInfo, bytes: &'a [u8], variant: MemoryVariant) -> Env<'a> {
        Env {
            info,
            bytes,
            expected: &[],
            layout: InstanceLayout::new(info.counts()),
            tunables: &self.shared.tunables,
            variant,
            has_objects: info.types.iter().any(|ty| ty.func().is_none()),
            fuses: self.shared.fuses,
            tells: false,
        }
    }
}
