//! Fuel: see [`wardian_module::FuelMeter`] for what burns how much, and when.
//!
//! What is left is a word of the store, read and written each time: host functions and the runtime see
//! and change it while a guest waits.

use super::state::{Region, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use wardian_vm::layout::{Builtin, store_ctx};
use wasmparser::Operator;

impl Translator<'_, '_> {
    /// Burns what is due before an operator that can be reached.
    pub(super) fn burn_fuel(&mut self, op: &Operator<'_>) {
        if !self.env.tunables.fuel {
            return;
        }
        let due = self.meter.step(op);
        if due == 0 {
            return;
        }
        let store = self.store_ctx();
        let flags = self.trusted(Region::Store);
        let left = self.b.ins().load(types::I64, flags, store, store_ctx::FUEL);
        let left = self.b.ins().iadd_imm_s(left, -i64::from(due));
        self.b.ins().store(flags, left, store, store_ctx::FUEL);
    }

    /// Asks the runtime for more if there is less than none.
    pub(super) fn check_fuel(&mut self) {
        if !self.env.tunables.fuel {
            return;
        }
        let store = self.store_ctx();
        let left = self.load_trusted(types::I64, Region::Store, store, store_ctx::FUEL);
        let empty = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, left, 0);
        let (ask, go_on) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(empty, ask, &[], go_on, &[]);
        self.enter(ask);
        self.builtin(Builtin::OutOfFuel, &[]);
        self.b.ins().jump(go_on, &[]);
        self.enter(go_on);
    }
}
