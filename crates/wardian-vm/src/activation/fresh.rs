//! The context of a store that no guest has entered.

use crate::addr::{CodeAddr, DataAddr, OwnerPtr, SlotsPtr, StackAddr, VmCtxPtr};
use crate::layout::{CAPTURE_WORDS, StoreCtx, WasmSp};
use std::ptr;
use std::sync::atomic::AtomicU64;

impl Default for StoreCtx {
    fn default() -> Self {
        StoreCtx {
            host_sp: StackAddr::NULL,
            wasm_sp: WasmSp::NONE,
            interrupt: 0.into(),
            capture: [const { AtomicU64::new(0) }; CAPTURE_WORDS],
            stack_limit: StackAddr::NULL,
            args: SlotsPtr::NULL,
            indirect_caller: VmCtxPtr::NULL,
            exit: 0,
            trap_pc: CodeAddr::NULL,
            trap_fp: StackAddr::NULL,
            trap_addr: DataAddr::NULL,
            guard_start: StackAddr::NULL,
            guard_end: StackAddr::NULL,
            stack_top: StackAddr::NULL,
            entry_sp: StackAddr::NULL,
            owner: OwnerPtr::NULL,
            builtins: ptr::null(),
            trap_sp: StackAddr::NULL,
            trap_link: CodeAddr::NULL,
            activation: ptr::null(),
            thread: 0.into(),
            root: 0.into(),
            entries: 0,
            ended_sp: WasmSp::NONE,
            ended_serial: 0,
            result: 0,
            samples: 0.into(),
            interp_fp: StackAddr::NULL,
            interp_sp: StackAddr::NULL,
            interp_limit: StackAddr::NULL,
            trap_code: 0,
            ended_fp: StackAddr::NULL,
            ended_slots: StackAddr::NULL,
            ended_args: SlotsPtr::NULL,
            callee: ptr::null(),
            callee_slots: SlotsPtr::NULL,
            call: Default::default(),
            interpret: None,
            thrown: 0,
            caught: 0,
            caught_by: 0,
            unwind: None,
            fuel: 0,
            refused: Default::default(),
            heap: Default::default(),
            displays: DataAddr::NULL,
            func_records: ptr::null(),
            func_record_count: 0,
        }
    }
}
