//! Between raw slots and the registers of a signature.
//!
//! ```text
//!   embedder --(slots)--> entry trampoline --(registers)--> guest function
//!   guest function --(registers)--> host trampoline --(slots)--> stub that switches stacks
//! ```

use crate::func::Worker;
use crate::slots::{load_slots, store_slots};
use crate::translate::{guest_signature, stub_convention};
use cranelift_codegen::ir::{
    AbiParam, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::FunctionBuilder;
use types::I64;
use wardian_types::FuncType;
use wardian_vm::compiled::CompiledFunction;
use wardian_vm::layout::{host_func, instance, store_ctx};

/// `(ctx, code, slots)`: calls `code` with the arguments in the slots and leaves the results there.
pub(crate) fn entry(
    worker: &mut Worker,
    isa: &dyn TargetIsa,
    ty: &FuncType,
) -> Result<CompiledFunction, String> {
    // The C convention, so that what enters the guest may be written for it.
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params = vec![AbiParam::new(I64); 3];
    worker.built(isa, signature, |b| {
        let params = begin(b);
        let (ctx, code, slots) = (params[0], params[1], params[2]);
        let mut args = vec![ctx];
        load_slots(b, ty.params(), slots, &mut args);
        let sig = b.import_signature(guest_signature(ty));
        let call = b.ins().call_indirect(sig, code, &args);
        let results = b.inst_results(call).to_vec();
        // The slots are looked up anew: this frame may be part of a snapshot that is restored
        // when the slots it was called with are gone.
        let store = b.ins().load(I64, MemFlagsData::trusted(), ctx, instance::STORE);
        let slots = b.ins().load(I64, MemFlagsData::trusted(), store, store_ctx::ARGS);
        store_slots(b, ty.results(), slots, &results);
        b.ins().return_(&[]);
    })
}

/// `(host, params...) -> results`: passes everything through slots on the wasm stack.
pub(crate) fn host(
    worker: &mut Worker,
    isa: &dyn TargetIsa,
    ty: &FuncType,
) -> Result<CompiledFunction, String> {
    worker.built(isa, guest_signature(ty), |b| {
        let params = begin(b);
        let size = ty.buffer_slots().max(1) * 8;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let slots =
            b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4));
        let slots = b.ins().stack_addr(I64, slots, 0);
        store_slots(b, ty.params(), slots, &params[1..]);
        let mut stub = Signature::new(stub_convention());
        stub.params = vec![AbiParam::new(I64); 2];
        let stub = b.import_signature(stub);
        let code = b.ins().load(I64, MemFlagsData::trusted(), params[0], host_func::STUB);
        b.ins().call_indirect(stub, code, &[params[0], slots]);
        let mut results = Vec::new();
        load_slots(b, ty.results(), slots, &mut results);
        b.ins().return_(&results);
    })
}

pub(crate) fn begin(b: &mut FunctionBuilder<'_>) -> Vec<Value> {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    b.block_params(entry).to_vec()
}
