//! Code around functions whose calls are observed. The function itself is compiled as ever.
//!
//! ```text
//!   entry table ──> wrapper: before(params) ── call body ── after(results) ── return
//!   entry table ──> wrapper: before(params) ── jump to a variant of the body that makes tail calls
//!                                              and tells by itself when it ends
//! ```
//!
//! The first kind is for functions without tail calls, nearly all. A wrapper knows its function, but
//! neither the module's code nor who listens: both are found through the instance when it runs. It
//! comes in two forms, for calls whose caller is the function's own instance, and for calls from
//! elsewhere, whose caller the store knows.

use crate::func::Worker;
use crate::slots::{load_slots, store_slots};
use crate::trampoline::begin;
use crate::translate::{guest_signature, stub_convention};
use cranelift_codegen::ir::{
    AbiParam, InstBuilder, MemFlagsData, SigRef, Signature, StackSlot, StackSlotData,
    StackSlotKind, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;
use types::I64;
use wardian_types::{DefinedFuncIndex, FuncType};
use wardian_vm::compiled::{CallerOf, CompiledFunction};
use wardian_vm::layout::{Builtin, instance, listened, noted, store_ctx};

/// What a wrapper does with the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// Calls it, and notifies when it returns.
    Around,
    /// Jumps to it; it notifies by itself.
    Ahead,
}

/// The wrapper of a function that the module defines, by its position among those.
pub(crate) fn wrapper(
    worker: &mut Worker,
    isa: &dyn TargetIsa,
    ty: &FuncType,
    defined: DefinedFuncIndex,
    caller: CallerOf,
    wrapping: Wrapping,
) -> Result<CompiledFunction, String> {
    worker.built(isa, guest_signature(ty), |b| {
        let params = begin(b);
        let vmctx = params[0];
        let hook = hook(b, vmctx, defined);
        let slots = slots(b, ty);
        let slots = b.ins().stack_addr(I64, slots, 0);
        store_slots(b, ty.params(), slots, &params[1..]);
        let caller = match caller {
            CallerOf::Own => vmctx,
            CallerOf::Noted => {
                let store = b.ins().load(I64, trusted(), vmctx, instance::STORE);
                b.ins().load(I64, trusted(), store, store_ctx::INDIRECT_CALLER)
            }
        };
        notify(b, vmctx, Builtin::ListenBefore, &[hook, slots, caller]);
        let body = b.ins().load(I64, trusted(), hook, listened::BODY);
        let sig = b.import_signature(guest_signature(ty));
        if wrapping == Wrapping::Ahead {
            b.ins().return_call_indirect(sig, body, &params);
            return;
        }
        // The arguments are read back, rather than kept in registers across the call.
        let mut args = vec![vmctx];
        load_slots(b, ty.params(), slots, &mut args);
        let call = b.ins().call_indirect(sig, body, &args);
        let results = b.inst_results(call).to_vec();
        store_slots(b, ty.results(), slots, &results);
        notify(b, vmctx, Builtin::ListenAfter, &[hook, slots]);
        b.ins().return_(&results);
    })
}

/// Code between an importer and a function that wants to know its caller: notes the caller and jumps to the
/// function.
pub(crate) fn noting(
    worker: &mut Worker,
    isa: &dyn TargetIsa,
    ty: &FuncType,
) -> Result<CompiledFunction, String> {
    worker.built(isa, guest_signature(ty), |b| {
        let mut args = begin(b);
        let record = args[0];
        let caller = b.ins().load(I64, trusted(), record, noted::CALLER);
        let code = b.ins().load(I64, trusted(), record, noted::CODE);
        let ctx = b.ins().load(I64, trusted(), record, noted::CTX);
        let store = b.ins().load(I64, trusted(), ctx, instance::STORE);
        b.ins().store(trusted(), caller, store, store_ctx::INDIRECT_CALLER);
        args[0] = ctx;
        let sig = b.import_signature(guest_signature(ty));
        b.ins().return_call_indirect(sig, code, &args);
    })
}

/// The record of a listened function.
pub(crate) fn hook(b: &mut FunctionBuilder<'_>, vmctx: Value, defined: DefinedFuncIndex) -> Value {
    let hooks = b.ins().load(I64, trusted(), vmctx, instance::LISTENED);
    let hooks = b.ins().band_imm_u(hooks, !instance::NOBODY_LISTENS as i64);
    let offset = i64::from(defined.as_u32()) * 8;
    match i32::try_from(offset) {
        Ok(offset) => b.ins().load(I64, trusted(), hooks, offset),
        Err(_) => {
            let at = b.ins().iadd_imm_s(hooks, offset);
            b.ins().load(I64, trusted(), at, 0)
        }
    }
}

/// Room on the stack for the parameters or results of a signature.
pub(crate) fn slots(b: &mut FunctionBuilder<'_>, ty: &FuncType) -> StackSlot {
    let size = u32::try_from(ty.buffer_slots().max(1) * 8).unwrap_or(u32::MAX);
    b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4))
}

/// Calls one of the builtins for listeners; the first argument is the function's record.
pub(crate) fn notify(b: &mut FunctionBuilder<'_>, vmctx: Value, builtin: Builtin, args: &[Value]) {
    let table = b.ins().load(I64, trusted(), vmctx, instance::BUILTINS);
    let code = b.ins().load(I64, trusted(), table, builtin.offset());
    let sig = signature(b, args.len());
    b.ins().call_indirect(sig, code, args);
}

fn signature(b: &mut FunctionBuilder<'_>, args: usize) -> SigRef {
    let mut signature = Signature::new(stub_convention());
    signature.params = vec![AbiParam::new(I64); args];
    b.import_signature(signature)
}

fn trusted() -> MemFlagsData {
    MemFlagsData::trusted()
}
