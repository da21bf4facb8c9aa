//! The context of a store that no guest has entered.

use crate::addr::{CodeAddr, VmCtxPtr};
use crate::layout::{CAPTURE_WORDS, StoreCtx};
use std::ptr;
use std::sync::atomic::AtomicU64;

impl Default for StoreCtx {
    fn default() -> Self {
        StoreCtx {
            host_sp: 0,
            wasm_sp: 0,
            interrupt: 0.into(),
            capture: [const { AtomicU64::new(0) }; CAPTURE_WORDS],
            stack_limit: 0,
            args: 0,
            indirect_caller: VmCtxPtr::NULL,
            exit: 0,
            trap_pc: CodeAddr::NULL,
            trap_fp: 0,
            trap_addr: 0,
            guard_start: 0,
            guard_end: 0,
            stack_top: 0,
            entry_sp: 0,
            owner: 0,
            builtins: ptr::null(),
            trap_sp: 0,
            trap_link: CodeAddr::NULL,
            activation: ptr::null(),
            thread: 0.into(),
            root: 0.into(),
            entries: 0,
            ended_sp: 0,
            ended_serial: 0,
            result: 0,
            samples: 0.into(),
            interp_fp: 0,
            interp_sp: 0,
            interp_limit: 0,
            trap_code: 0,
            ended_fp: 0,
            ended_slots: 0,
            ended_args: 0,
            callee: 0,
            callee_slots: 0,
            call: Default::default(),
            interpret: None,
            thrown: 0,
            caught: 0,
            caught_by: 0,
            unwind: None,
            fuel: 0,
            refused: Default::default(),
            heap: Default::default(),
            displays: 0,
            func_records: ptr::null(),
            func_record_count: 0,
        }
    }
}
