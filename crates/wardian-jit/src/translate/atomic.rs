//! Threads: atomic accesses, fences, waiting and waking.
//!
//! The address must be a multiple of the access's size: that is checked first, then the bounds.

use super::memory::Place;
use super::refusal::Refusal;
use super::state::{Fail, Outcome, Translator};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, Type, Value, types};
use types::{I8, I16, I32, I64};
use wardian_module::operators::{Atomic, AtomicUpdate};
use wardian_types::{MemoryIndex, TrapCode};
use wardian_vm::layout::Builtin;
use wasmparser::MemArg;

/// An address that is a multiple of the access's size.
struct Aligned {
    memory: MemoryIndex,
    /// The operand that it comes from, in 64 bits.
    index: Value,
    address: Value,
}

impl Translator<'_, '_> {
    pub(super) fn atomic_operator(&mut self, operator: Atomic) -> Outcome {
        use Atomic as O;
        match &operator {
            O::AtomicFence { .. } => {
                self.b.ins().fence();
            }
            O::MemoryAtomicNotify { memarg } => self.notify(memarg)?,
            O::MemoryAtomicWait32 { memarg } => self.wait(memarg, Builtin::AtomicWait32)?,
            O::MemoryAtomicWait64 { memarg } => self.wait(memarg, Builtin::AtomicWait64)?,
            O::I32AtomicLoad { memarg } => self.atomic_load(memarg, I32, I32)?,
            O::I64AtomicLoad { memarg } => self.atomic_load(memarg, I64, I64)?,
            O::I32AtomicLoad8U { memarg } => self.atomic_load(memarg, I8, I32)?,
            O::I32AtomicLoad16U { memarg } => self.atomic_load(memarg, I16, I32)?,
            O::I64AtomicLoad8U { memarg } => self.atomic_load(memarg, I8, I64)?,
            O::I64AtomicLoad16U { memarg } => self.atomic_load(memarg, I16, I64)?,
            O::I64AtomicLoad32U { memarg } => self.atomic_load(memarg, I32, I64)?,
            O::I32AtomicStore { memarg } => self.atomic_store(memarg, I32)?,
            O::I64AtomicStore { memarg } => self.atomic_store(memarg, I64)?,
            O::I32AtomicStore8 { memarg } => self.atomic_store(memarg, I8)?,
            O::I32AtomicStore16 { memarg } => self.atomic_store(memarg, I16)?,
            O::I64AtomicStore8 { memarg } => self.atomic_store(memarg, I8)?,
            O::I64AtomicStore16 { memarg } => self.atomic_store(memarg, I16)?,
            O::I64AtomicStore32 { memarg } => self.atomic_store(memarg, I32)?,
            O::I32AtomicRmwCmpxchg { memarg } => self.exchange_if(memarg, I32)?,
            O::I64AtomicRmwCmpxchg { memarg } => self.exchange_if(memarg, I64)?,
            O::I32AtomicRmw8CmpxchgU { memarg } => self.exchange_if(memarg, I8)?,
            O::I32AtomicRmw16CmpxchgU { memarg } => self.exchange_if(memarg, I16)?,
            O::I64AtomicRmw8CmpxchgU { memarg } => self.exchange_if(memarg, I8)?,
            O::I64AtomicRmw16CmpxchgU { memarg } => self.exchange_if(memarg, I16)?,
            O::I64AtomicRmw32CmpxchgU { memarg } => self.exchange_if(memarg, I32)?,
        }
        Ok(())
    }

    pub(super) fn atomic_update_operator(&mut self, operator: AtomicUpdate) -> Outcome {
        use AtomicRmwOp::{Add, And, Or, Sub, Xchg, Xor};
        use AtomicUpdate as O;
        match &operator {
            O::I32AtomicRmwAdd { memarg } => self.update(memarg, I32, Add)?,
            O::I64AtomicRmwAdd { memarg } => self.update(memarg, I64, Add)?,
            O::I32AtomicRmw8AddU { memarg } => self.update(memarg, I8, Add)?,
            O::I32AtomicRmw16AddU { memarg } => self.update(memarg, I16, Add)?,
            O::I64AtomicRmw8AddU { memarg } => self.update(memarg, I8, Add)?,
            O::I64AtomicRmw16AddU { memarg } => self.update(memarg, I16, Add)?,
            O::I64AtomicRmw32AddU { memarg } => self.update(memarg, I32, Add)?,
            O::I32AtomicRmwSub { memarg } => self.update(memarg, I32, Sub)?,
            O::I64AtomicRmwSub { memarg } => self.update(memarg, I64, Sub)?,
            O::I32AtomicRmw8SubU { memarg } => self.update(memarg, I8, Sub)?,
            O::I32AtomicRmw16SubU { memarg } => self.update(memarg, I16, Sub)?,
            O::I64AtomicRmw8SubU { memarg } => self.update(memarg, I8, Sub)?,
            O::I64AtomicRmw16SubU { memarg } => self.update(memarg, I16, Sub)?,
            O::I64AtomicRmw32SubU { memarg } => self.update(memarg, I32, Sub)?,
            O::I32AtomicRmwAnd { memarg } => self.update(memarg, I32, And)?,
            O::I64AtomicRmwAnd { memarg } => self.update(memarg, I64, And)?,
            O::I32AtomicRmw8AndU { memarg } => self.update(memarg, I8, And)?,
            O::I32AtomicRmw16AndU { memarg } => self.update(memarg, I16, And)?,
            O::I64AtomicRmw8AndU { memarg } => self.update(memarg, I8, And)?,
            O::I64AtomicRmw16AndU { memarg } => self.update(memarg, I16, And)?,
            O::I64AtomicRmw32AndU { memarg } => self.update(memarg, I32, And)?,
            O::I32AtomicRmwOr { memarg } => self.update(memarg, I32, Or)?,
            O::I64AtomicRmwOr { memarg } => self.update(memarg, I64, Or)?,
            O::I32AtomicRmw8OrU { memarg } => self.update(memarg, I8, Or)?,
            O::I32AtomicRmw16OrU { memarg } => self.update(memarg, I16, Or)?,
            O::I64AtomicRmw8OrU { memarg } => self.update(memarg, I8, Or)?,
            O::I64AtomicRmw16OrU { memarg } => self.update(memarg, I16, Or)?,
            O::I64AtomicRmw32OrU { memarg } => self.update(memarg, I32, Or)?,
            O::I32AtomicRmwXor { memarg } => self.update(memarg, I32, Xor)?,
            O::I64AtomicRmwXor { memarg } => self.update(memarg, I64, Xor)?,
            O::I32AtomicRmw8XorU { memarg } => self.update(memarg, I8, Xor)?,
            O::I32AtomicRmw16XorU { memarg } => self.update(memarg, I16, Xor)?,
            O::I64AtomicRmw8XorU { memarg } => self.update(memarg, I8, Xor)?,
            O::I64AtomicRmw16XorU { memarg } => self.update(memarg, I16, Xor)?,
            O::I64AtomicRmw32XorU { memarg } => self.update(memarg, I32, Xor)?,
            O::I32AtomicRmwXchg { memarg } => self.update(memarg, I32, Xchg)?,
            O::I64AtomicRmwXchg { memarg } => self.update(memarg, I64, Xchg)?,
            O::I32AtomicRmw8XchgU { memarg } => self.update(memarg, I8, Xchg)?,
            O::I32AtomicRmw16XchgU { memarg } => self.update(memarg, I16, Xchg)?,
            O::I64AtomicRmw8XchgU { memarg } => self.update(memarg, I8, Xchg)?,
            O::I64AtomicRmw16XchgU { memarg } => self.update(memarg, I16, Xchg)?,
            O::I64AtomicRmw32XchgU { memarg } => self.update(memarg, I32, Xchg)?,
        }
        Ok(())
    }

    /// Pops an index and makes an aligned, checked address of it. An aligned access is within one page, so it faults
    /// as a whole and needs no [`Translator::place_to_store`].
    fn atomic_place(&mut self, memarg: &MemArg, ty: Type) -> Outcome<Place> {
        let Aligned { memory, index, address } = self.aligned_address(memarg, ty)?;
        let size = ty.bytes();
        let beyond = (!self.is_guarded(memory, memarg.offset, size))
            .then(|| self.check_bounds(memory, address, 0, size.into(), Refusal::Operand(index)));
        let base = self.memory_base(memory);
        let address = self.b.ins().iadd(base, address);
        let address = self.guard_speculation(beyond.flatten(), address);
        Ok(Place::new(address, self.memory_flags(memory).with_aligned()))
    }

    fn aligned_address(&mut self, memarg: &MemArg, ty: Type) -> Outcome<Aligned> {
        let memory = Self::memory_index(memarg)?;
        self.memory_type(memory)?;
        let index = self.pop_extended()?;
        let address = self.effective_address(memory, index, memarg.offset);
        if ty.bytes() > 1 {
            let low = self.b.ins().band_imm_s(address, i64::from(ty.bytes()) - 1);
            self.refuse_if(low, TrapCode::UnalignedAtomic, Refusal::Operand(index));
        }
        Ok(Aligned { memory, index, address })
    }

    /// Pushes a value that was loaded, zero-extended to the operator's type.
    fn push_loaded(&mut self, value: Value, to: Type) {
        let from = self.b.func.dfg.value_type(value);
        let value = if from == to { value } else { self.b.ins().uextend(to, value) };
        self.push(value);
    }

    /// The low bits of an operand that an access of this width uses.
    fn narrow(&mut self, value: Value, ty: Type) -> Value {
        if self.b.func.dfg.value_type(value) == ty {
            value
        } else {
            self.b.ins().ireduce(ty, value)
        }
    }

    fn atomic_load(&mut self, memarg: &MemArg, from: Type, to: Type) -> Outcome {
        let p = self.atomic_place(memarg, from)?;
        let value = self.b.ins().atomic_load(from, p.flags, p.address);
        self.push_loaded(value, to);
        Ok(())
    }

    fn atomic_store(&mut self, memarg: &MemArg, ty: Type) -> Outcome {
        let value = self.pop()?;
        let p = self.atomic_place(memarg, ty)?;
        let value = self.narrow(value, ty);
        self.b.ins().atomic_store(p.flags, value, p.address);
        Ok(())
    }

    fn update(&mut self, memarg: &MemArg, ty: Type, op: AtomicRmwOp) -> Outcome {
        let value = self.pop()?;
        let wide = self.b.func.dfg.value_type(value);
        let p = self.atomic_place(memarg, ty)?;
        let value = self.narrow(value, ty);
        let old = self.b.ins().atomic_rmw(ty, p.flags, op, p.address, value);
        self.push_loaded(old, wide);
        Ok(())
    }

    fn exchange_if(&mut self, memarg: &MemArg, ty: Type) -> Outcome {
        let (expected, replacement) = self.pop2()?;
        let wide = self.b.func.dfg.value_type(replacement);
        let p = self.atomic_place(memarg, ty)?;
        let expected = self.narrow(expected, ty);
        let replacement = self.narrow(replacement, ty);
        let old = self.b.ins().atomic_cas(p.flags, p.address, expected, replacement);
        self.push_loaded(old, wide);
        Ok(())
    }

    fn notify(&mut self, memarg: &MemArg) -> Outcome {
        let count = self.pop_extended()?;
        let Aligned { memory, index, address } = self.aligned_address(memarg, I32)?;
        self.check_bounds(memory, address, 0, 4, Refusal::Operand(index));
        let memory = self.index(memory);
        let woken = self.builtin(Builtin::AtomicNotify, &[memory, address, count]);
        self.push_address(woken, false);
        Ok(())
    }

    fn wait(&mut self, memarg: &MemArg, builtin: Builtin) -> Outcome {
        let ty = if builtin == Builtin::AtomicWait64 { I64 } else { I32 };
        let timeout = self.pop()?;
        let expected = self.pop_extended()?;
        if self.b.func.dfg.value_type(timeout) != I64 {
            return Err(Fail("a timeout needs an i64".into()));
        }
        let Aligned { memory, index, address } = self.aligned_address(memarg, ty)?;
        self.check_bounds(memory, address, 0, ty.bytes().into(), Refusal::Operand(index));
        if !self.memory_type(memory)?.shared {
            self.trap(TrapCode::AtomicWaitNonShared);
            self.reachable = false;
            return Ok(());
        }
        let memory = self.index(memory);
        // The frame can be captured while it waits, as in a call.
        let stored = self.store_for_call()?;
        let result = self.builtin(builtin, &[memory, address, expected, timeout]);
        if let Some(call) = self.b.func.dfg.value_def(result).inst() {
            self.note_stored(call, stored);
        }
        self.push_address(result, false);
        Ok(())
    }
}
