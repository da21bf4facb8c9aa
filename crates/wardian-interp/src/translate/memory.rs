//! Accesses to linear memories, atomic ones too.
//!
//! The executor has the bounds of memory 0 at hand; around an access to another memory those are
//! exchanged. Addresses of 64 bits are computed, and checked for overflow, before the access.

use super::stack::Value;
use super::{Body, Outcome};
use crate::op::{self, Instruction, Opcode};
use crate::operand::{D, Far, I32, S, U16, U32, U64};
use crate::translation::{CodeUnit, TranslateError};
use wardian_module::operators::Memory;
use wardian_types::{MemoryIndex, MemoryType, TrapCode};
use wardian_vm::interpreted::FrameSlot;
use wardian_vm::layout::Builtin;
use wasmparser::{MemArg, MemArgTarget};

/// What an instruction adds to an address.
#[derive(Clone, Copy)]
pub(super) enum Sum {
    Nothing,
    Slot(S),
    Number(I32),
    /// A slot that is shifted.
    Index(S, U16),
}

/// An address that an instruction can name.
#[derive(Clone, Copy)]
pub(super) struct Place {
    memory: MemoryIndex,
    pub(super) a: S,
    /// What is to be added with 32 bits.
    pub(super) sum: Sum,
    pub(super) offset: U32,
}

/// The forms of a store.
macro_rules! store {
    ($body:ident, $memarg:ident, $name:ident, $imm:ident, $sum:ident, $plus:ident, $index:ident) => {
        $body.store(
            $memarg,
            op::$name::new,
            op::$imm::new,
            op::$sum::new,
            op::$plus::new,
            op::$index::new,
        )?
    };
}

/// The forms of a load.
macro_rules! load {
    ($body:ident, $memarg:ident, $name:ident, $sum:ident, $plus:ident, $index:ident) => {
        $body.load($memarg, op::$name::new, op::$sum::new, op::$plus::new, op::$index::new)?
    };
}

impl Body<'_> {
    pub(super) fn memory_operator(&mut self, operator: Memory) -> Outcome {
        use Memory as O;
        match &operator {
            O::I32Load { memarg } | O::I64Load32U { memarg } => {
                load!(self, memarg, load32, load32_sum, load32_plus, load32_index);
            }
            O::F32Load { memarg } => {
                load!(self, memarg, load_f32, load_f32_sum, load_f32_plus, load_f32_index)
            }
            O::I64Load { memarg } => {
                load!(self, memarg, load64, load64_sum, load64_plus, load64_index)
            }
            O::F64Load { memarg } => {
                load!(self, memarg, load_f64, load_f64_sum, load_f64_plus, load_f64_index)
            }
            O::I32Load8U { memarg } | O::I64Load8U { memarg } => {
                load!(self, memarg, load8_u, load8_u_sum, load8_u_plus, load8_u_index);
            }
            O::I32Load16U { memarg } | O::I64Load16U { memarg } => {
                load!(self, memarg, load16_u, load16_u_sum, load16_u_plus, load16_u_index);
            }
            O::I32Load8S { memarg } => {
                load!(self, memarg, load8_s32, load8_s32_sum, load8_s32_plus, load8_s32_index)
            }
            O::I32Load16S { memarg } => {
                load!(self, memarg, load16_s32, load16_s32_sum, load16_s32_plus, load16_s32_index)
            }
            O::I64Load8S { memarg } => {
                load!(self, memarg, load8_s64, load8_s64_sum, load8_s64_plus, load8_s64_index)
            }
            O::I64Load16S { memarg } => {
                load!(self, memarg, load16_s64, load16_s64_sum, load16_s64_plus, load16_s64_index)
            }
            O::I64Load32S { memarg } => {
                load!(self, memarg, load32_s64, load32_s64_sum, load32_s64_plus, load32_s64_index)
            }
            O::I32Store { memarg } | O::F32Store { memarg } | O::I64Store32 { memarg } => {
                store!(
                    self,
                    memarg,
                    store32,
                    store32_imm,
                    store32_sum,
                    store32_plus,
                    store32_index
                );
            }
            O::I64Store { memarg } | O::F64Store { memarg } => {
                store!(
                    self,
                    memarg,
                    store64,
                    store64_imm,
                    store64_sum,
                    store64_plus,
                    store64_index
                );
            }
            O::I32Store8 { memarg } | O::I64Store8 { memarg } => {
                store!(self, memarg, store8, store8_imm, store8_sum, store8_plus, store8_index);
            }
            O::I32Store16 { memarg } | O::I64Store16 { memarg } => {
                store!(
                    self,
                    memarg,
                    store16,
                    store16_imm,
                    store16_sum,
                    store16_plus,
                    store16_index
                );
            }
            O::MemorySize { mem } => self.memory_size(*mem)?,
        }
        Ok(())
    }

    /// Pushes how many pages a memory has.
    pub(super) fn memory_size(&mut self, index: MemoryIndex) -> Outcome {
        let ty = self.memory(index)?;
        let d = D(self.push_temp());
        let memory = U32(self.env.layout.memory_ref(index).as_u32());
        let shift = U16(u16::from(ty.page_size_log2));
        self.emit(op::memory_size { d, memory, shift, narrow: U16(u16::from(!ty.memory64)) });
        Ok(())
    }

    pub(super) fn memory(&self, index: MemoryIndex) -> Outcome<MemoryType> {
        let ty = self.env.info.memories.get(index).copied();
        ty.ok_or_else(|| TranslateError::new("there is no such memory"))
    }

    /// Pops an address.
    pub(super) fn place(&mut self, memarg: &MemArg, may_add: bool) -> Outcome<Place> {
        let MemArgTarget::Memory(memory) = memarg.target else {
            return Err(TranslateError::new("arrays are not supported"));
        };
        let memory = MemoryIndex::from_u32(memory);
        let is64 = self.memory(memory)?.memory64;
        let entry = self.pop()?;
        if is64 {
            let a = S(self.slot_of(&entry));
            let d = D(entry.slot);
            self.emit(op::address64 { d, a, offset: U64(memarg.offset) });
            return Ok(Place { memory, a: S(entry.slot), sum: Sum::Nothing, offset: U32(0) });
        }
        let offset = u32::try_from(memarg.offset);
        let offset = U32(offset.map_err(|_| TranslateError::new("an offset is too great"))?);
        if may_add
            && entry.value == Value::Temp
            && let Some((start, opcode)) = self.last_defining(entry.slot)
            && let Some((a, sum)) = self.sum(start, opcode)
        {
            self.retract(start);
            return Ok(Place { memory, a, sum, offset });
        }
        Ok(Place { memory, a: S(self.slot_of(&entry)), sum: Sum::Nothing, offset })
    }

    /// What the instruction that begins here adds, if an access can do it too.
    fn sum(&self, start: CodeUnit, opcode: Opcode) -> Option<(S, Sum)> {
        match opcode {
            Opcode::i32_add => {
                let op::i32_add { a, b, .. } = self.read(start);
                Some((a, Sum::Slot(b)))
            }
            Opcode::i32_add_imm => {
                let op::i32_add_imm { a, b, .. } = self.read(start);
                Some((a, Sum::Number(b)))
            }
            Opcode::i32_add_shl => {
                let op::i32_add_shl { a, b, shift, .. } = self.read(start);
                Some((a, Sum::Index(b, shift)))
            }
            _ => None,
        }
    }

    /// Appends an access, between exchanges of the bounds if need be.
    pub(super) fn access<I: Instruction>(&mut self, place: Place, instruction: I) {
        if place.memory == MemoryIndex::FIRST {
            return self.emit(instruction);
        }
        self.append(op::select_memory {
            memory: U32(self.env.layout.memory_ref(place.memory).as_u32()),
        });
        self.emit(instruction);
        self.append(op::select_memory {
            memory: U32(self.env.layout.memory_ref(MemoryIndex::FIRST).as_u32()),
        });
    }

    fn load<I: Instruction, J: Instruction, K: Instruction, L: Instruction, T: From<FrameSlot>>(
        &mut self,
        memarg: &MemArg,
        plain: impl Fn(T, S, U32) -> I,
        sum: impl Fn(T, S, S, U32) -> J,
        plus: impl Fn(T, S, I32, U32) -> K,
        index: impl Fn(T, S, S, U16, U32) -> L,
    ) -> Outcome {
        let place = self.place(memarg, true)?;
        let d = T::from(self.push_temp());
        let Place { a, offset, .. } = place;
        match place.sum {
            Sum::Nothing => self.access(place, plain(d, a, offset)),
            Sum::Slot(b) => self.access(place, sum(d, a, b, offset)),
            Sum::Number(by) => self.access(place, plus(d, a, by, offset)),
            Sum::Index(b, shift) => self.access(place, index(d, a, b, shift, offset)),
        }
        Ok(())
    }

    fn store<I: Instruction, J: Instruction, K: Instruction, L: Instruction, M: Instruction>(
        &mut self,
        memarg: &MemArg,
        plain: impl Fn(S, S, U32) -> I,
        imm: impl Fn(S, I32, U32) -> J,
        sum: impl Fn(S, S, S, U32) -> K,
        plus: impl Fn(S, I32, S, U32) -> L,
        index: impl Fn(S, S, U16, S, U32) -> M,
    ) -> Outcome {
        let value = self.pop()?;
        let constant = match value.value {
            Value::Const(bits) => i32::try_from(bits as i64).ok().or_else(|| {
                // Stores of 32 bits or less do not look at the upper half; others have it zero here.
                let narrow = J::OPCODE != Opcode::store64_imm;
                narrow.then_some(bits as i32)
            }),
            _ => None,
        };
        if let Some(constant) = constant {
            let place = self.place(memarg, false)?;
            self.access(place, imm(place.a, I32(constant), place.offset));
            return Ok(());
        }
        // A value that is a note needs no instruction between the address and the access.
        let is_note = !matches!(value.value, Value::Const(_));
        let place = self.place(memarg, is_note)?;
        let value = S(self.slot_of(&value));
        let Place { a, offset, .. } = place;
        match place.sum {
            Sum::Nothing => self.access(place, plain(a, value, offset)),
            Sum::Slot(b) => self.access(place, sum(a, b, value, offset)),
            Sum::Number(by) => self.access(place, plus(a, by, value, offset)),
            Sum::Index(b, shift) => self.access(place, index(a, b, shift, value, offset)),
        }
        Ok(())
    }

    pub(super) fn atomic_load<I: Instruction>(
        &mut self,
        memarg: &MemArg,
        make: impl Fn(D, S, U32) -> I,
    ) -> Outcome {
        let place = self.place(memarg, false)?;
        let d = D(self.push_temp());
        self.access(place, make(d, place.a, place.offset));
        Ok(())
    }

    pub(super) fn atomic_store<I: Instruction>(
        &mut self,
        memarg: &MemArg,
        make: impl Fn(S, S, U32) -> I,
    ) -> Outcome {
        let value = self.pop_slot()?;
        let place = self.place(memarg, false)?;
        self.access(place, make(place.a, value, place.offset));
        Ok(())
    }

    pub(super) fn atomic_update<I: Instruction>(
        &mut self,
        memarg: &MemArg,
        make: impl Fn(D, S, S, U32) -> I,
    ) -> Outcome {
        let value = self.pop_slot()?;
        let place = self.place(memarg, false)?;
        let d = D(self.push_temp());
        self.access(place, make(d, place.a, value, place.offset));
        Ok(())
    }

    pub(super) fn atomic_exchange<I: Instruction>(
        &mut self,
        memarg: &MemArg,
        make: impl Fn(D, S, S, S, U32) -> I,
    ) -> Outcome {
        let value = self.pop_slot()?;
        let expected = self.pop_slot()?;
        let place = self.place(memarg, false)?;
        let d = D(self.push_temp());
        self.access(place, make(d, place.a, expected, value, place.offset));
        Ok(())
    }

    /// Pops an address and computes it; it is aligned and within its memory. Returns its slot.
    fn atomic_address(&mut self, memarg: &MemArg, align: u16) -> Outcome<(MemoryIndex, Far)> {
        let place = self.place(memarg, false)?;
        self.reserve(1);
        let d = self.height;
        let address =
            op::atomic_address { d: D(d), a: place.a, offset: place.offset, align: U16(align) };
        self.access(place, address);
        Ok((place.memory, Far(d)))
    }

    pub(super) fn notify(&mut self, memarg: &MemArg) -> Outcome {
        let count = self.pop_far()?;
        let (memory, address) = self.atomic_address(memarg, 4)?;
        let d = self.push_temp();
        self.builtin_irr(Builtin::AtomicNotify, true, d, memory, address, count);
        Ok(())
    }

    pub(super) fn wait(&mut self, memarg: &MemArg, align: u16) -> Outcome {
        let timeout = self.pop_far()?;
        let expected = self.pop_far()?;
        let (memory, address) = self.atomic_address(memarg, align)?;
        if !self.memory(memory)?.shared {
            self.trap(TrapCode::AtomicWaitNonShared);
            return Ok(());
        }
        let which = if align == 8 { Builtin::AtomicWait64 } else { Builtin::AtomicWait32 };
        self.builtin_wait(which, memory, [address, expected, timeout]);
        Ok(())
    }
}
