//! What a translation knows about the module and the machine.

use cranelift_codegen::ir::{AbiParam, Signature, Type, types};
use cranelift_codegen::isa::CallConv;
use wardian_module::ModuleInfo;
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncType, MemoryIndex, ValType};
use wardian_vm::compiled::{MemoryVariant, Tunables};
use wardian_vm::layout::InstanceLayout;
use wardian_vm::unwind::CALLEE_SAVED;

/// The constant surroundings of all functions of a module.
pub(crate) struct Env<'a> {
    pub(crate) info: &'a ModuleInfo,
    /// The module.
    pub(crate) bytes: &'a [u8],
    /// What calls through tables and references are expected to call, of one function or of all: their code offsets, in order,
    /// and the positions of these functions among those that the module defines, the most frequent of a call first.
    pub(crate) expected: &'a [(CodeOffset, DefinedFuncIndex)],
    pub(crate) layout: InstanceLayout,
    pub(crate) tunables: &'a Tunables,
    pub(crate) variant: MemoryVariant,
    /// Whether the module has types of structs or arrays: then the store has a heap before its code runs.
    pub(crate) has_objects: bool,
    /// Whether fused multiplication and addition is an instruction.
    pub(crate) fuses: bool,
    /// Whether functions notify listeners at their end.
    pub(crate) tells: bool,
}

/// How accesses to a memory are kept within its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MemoryStyle {
    /// By inaccessible pages: this many bytes after 4 GiB.
    Guarded {
        /// Bytes after the 4 GiB.
        guard_size: u64,
    },
    /// By comparing with the length.
    Checked,
}

impl Env<'_> {
    /// How to reach memory `index`.
    pub(crate) fn memory_style(&self, index: MemoryIndex) -> MemoryStyle {
        let ty = &self.info.memories[index];
        let plain = !ty.memory64 && ty.page_size_log2 == 16;
        if plain && self.tunables.signals && self.variant == MemoryVariant::Guarded {
            MemoryStyle::Guarded { guard_size: self.tunables.guard_size }
        } else {
            MemoryStyle::Checked
        }
    }
}

/// The machine's type for values of a WebAssembly type.
pub(crate) fn clif_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        // A reference to an object is an offset in the heap.
        ValType::Ref(r) if r.is_any() => types::I32,
        ValType::I64 | ValType::Ref(_) => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

/// The signature of compiled functions of a type: the context, then the parameters.
pub(crate) fn guest_signature(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::new(types::I64));
    signature.params.extend(ty.params().iter().map(|t| AbiParam::new(clif_type(*t))));
    signature.returns.extend(ty.results().iter().map(|t| AbiParam::new(clif_type(*t))));
    signature
}

/// The signature by which a function is called where an exception of it is caught, for one that is declared so;
/// none if it has to be that one, with which the call preserves no registers.
///
/// Cranelift preserves callee-saved registers at calls with handlers in the convention of C alone. Tail keeps
/// the same ones, and puts arguments and results where C does as long as they fit into registers, but for a
/// second integer result; then it is also of no concern who pops arguments. So the callee does not notice.
pub(crate) fn preserving_signature(declared: &Signature) -> Option<Signature> {
    let fits = |values: &[AbiParam], integers: usize, vectors: usize| {
        let is_integer = |v: &&AbiParam| v.value_type.is_int();
        let found = values.iter().filter(is_integer).count();
        found <= integers && values.len() - found <= vectors
    };
    let agree = fits(&declared.params, 6, 8) && fits(&declared.returns, 1, 2);
    let preserves = !CALLEE_SAVED.is_empty() && agree;
    preserves.then(|| Signature { call_conv: CallConv::SystemV, ..declared.clone() })
}

/// The signature of code that begins at a loop of such a function: the context, then the interpreted
/// frame.
pub(crate) fn loop_signature(ty: &FuncType) -> Signature {
    let mut signature = guest_signature(ty);
    signature.params = vec![AbiParam::new(types::I64); 2];
    signature
}

/// The convention in which compiled code calls the runtime's stubs, for host functions and
/// builtins: at most six integer arguments and one integer result, in registers.
///
/// It is C's on the systems supported so far. Like Tail it keeps some registers across a call; the stubs save
/// those on the wasm stack, so that all of a guest's state at a call is there, and leave it to Rust to
/// preserve them.
pub(crate) fn stub_convention() -> CallConv {
    CallConv::SystemV
}
