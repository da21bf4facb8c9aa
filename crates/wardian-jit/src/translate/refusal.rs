//! Traps because of accesses: which they were is noted where only those come by that trap.

use super::state::Translator;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};
use wardian_types::{MemoryIndex, TrapCode};
use wardian_vm::layout::{refused, store_ctx};

/// What is known of an access that is refused, in 64-bit values that the check needs anyway.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    /// The operand of an operator, without its constant offset.
    Operand(Value),
    /// A range of a memory.
    Range { memory: MemoryIndex, start: Value, size: Value },
}

impl Translator<'_, '_> {
    /// Traps if the condition is not zero, and notes the access first. Code that does not trap executes the
    /// same instructions as without the note.
    pub(super) fn refuse_if(&mut self, condition: Value, code: TrapCode, refusal: Refusal) {
        let (refuse, go_on) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(condition, refuse, &[], go_on, &[]);
        self.enter(refuse);
        self.note(refusal);
        self.trap(code);
        self.enter(go_on);
    }

    fn note(&mut self, refusal: Refusal) {
        let store = self.store_ctx();
        let flags = MemFlagsData::trusted();
        let (kind, start) = match refusal {
            Refusal::Operand(start) => (refused::OPERAND, start),
            Refusal::Range { memory, start, size } => {
                let memory = self.index(memory);
                self.b.ins().store(flags, memory, store, store_ctx::REFUSED_MEMORY);
                self.b.ins().store(flags, size, store, store_ctx::REFUSED_SIZE);
                (refused::RANGE, start)
            }
        };
        // The context is aligned, so that a sum sets bits.
        let ctx = match kind {
            refused::OPERAND => self.vmctx,
            kind => self.b.ins().iadd_imm_s(self.vmctx, kind as i64),
        };
        self.b.ins().store(flags, ctx, store, store_ctx::REFUSED_CTX);
        self.b.ins().store(flags, start, store, store_ctx::REFUSED_START);
    }
}
