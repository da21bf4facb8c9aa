//! Loads and stores of scalars, and how an address is kept within its memory.

use super::env::MemoryStyle;
use super::refusal::Refusal;
use super::state::{Fail, Outcome, Region, Translator};
use crate::places::memory_code;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use types::{F32, F64, I8, I16, I32, I64};
use wardian_module::operators::Memory;
use wardian_types::{MemoryIndex, MemoryType, TrapCode};
use wardian_vm::layout::memory;
use wasmparser::{MemArg, MemArgTarget};

/// A checked address, ready to be accessed.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) address: Value,
    pub(super) offset: i32,
    pub(super) flags: MemFlagsData,
    /// Whether nothing but inaccessible pages keeps the access within the memory.
    by_guard: bool,
}

impl Place {
    /// A place that is accessed as a whole or not at all.
    pub(super) fn new(address: Value, flags: MemFlagsData) -> Place {
        Place { address, offset: 0, flags, by_guard: false }
    }
}

impl Translator<'_, '_> {
    pub(super) fn memory_operator(&mut self, operator: Memory) -> Outcome {
        use Memory as O;
        match &operator {
            O::I32Load { memarg } => self.load(memarg, I32)?,
            O::I64Load { memarg } => self.load(memarg, I64)?,
            O::F32Load { memarg } => self.load(memarg, F32)?,
            O::F64Load { memarg } => self.load(memarg, F64)?,
            O::I32Load8S { memarg } => self.load_extended(memarg, I8, I32, true)?,
            O::I32Load8U { memarg } => self.load_extended(memarg, I8, I32, false)?,
            O::I32Load16S { memarg } => self.load_extended(memarg, I16, I32, true)?,
            O::I32Load16U { memarg } => self.load_extended(memarg, I16, I32, false)?,
            O::I64Load8S { memarg } => self.load_extended(memarg, I8, I64, true)?,
            O::I64Load8U { memarg } => self.load_extended(memarg, I8, I64, false)?,
            O::I64Load16S { memarg } => self.load_extended(memarg, I16, I64, true)?,
            O::I64Load16U { memarg } => self.load_extended(memarg, I16, I64, false)?,
            O::I64Load32S { memarg } => self.load_extended(memarg, I32, I64, true)?,
            O::I64Load32U { memarg } => self.load_extended(memarg, I32, I64, false)?,
            O::I32Store { memarg } | O::F32Store { memarg } => self.store(memarg, 4)?,
            O::I64Store { memarg } | O::F64Store { memarg } => self.store(memarg, 8)?,
            O::I32Store8 { memarg } | O::I64Store8 { memarg } => self.store(memarg, 1)?,
            O::I32Store16 { memarg } | O::I64Store16 { memarg } => self.store(memarg, 2)?,
            O::I64Store32 { memarg } => self.store(memarg, 4)?,
            O::MemorySize { mem } => {
                let ty = self.memory_type(*mem)?;
                let len = self.memory_len(*mem, true);
                let pages = self.b.ins().ushr_imm_u(len, i64::from(ty.page_size_log2));
                self.push_address(pages, ty.memory64);
            }
        }
        Ok(())
    }

    fn load(&mut self, memarg: &MemArg, ty: Type) -> Outcome {
        let p = self.place(memarg, ty.bytes())?;
        let value = self.b.ins().load(ty, p.flags, p.address, p.offset);
        self.push(value);
        Ok(())
    }

    fn load_extended(&mut self, memarg: &MemArg, from: Type, to: Type, signed: bool) -> Outcome {
        let Place { address, offset, flags, .. } = self.place(memarg, from.bytes())?;
        let i = self.b.ins();
        let value = match (from, signed) {
            (I8, true) => i.sload8(to, flags, address, offset),
            (I8, false) => i.uload8(to, flags, address, offset),
            (I16, true) => i.sload16(to, flags, address, offset),
            (I16, false) => i.uload16(to, flags, address, offset),
            (_, true) => i.sload32(flags, address, offset),
            (_, false) => i.uload32(flags, address, offset),
        };
        self.push(value);
        Ok(())
    }

    fn store(&mut self, memarg: &MemArg, size: u32) -> Outcome {
        let value = self.pop()?;
        let Place { address, offset, flags, .. } = self.place_to_store(memarg, size)?;
        let full = self.b.func.dfg.value_type(value).bytes();
        let i = self.b.ins();
        match size {
            _ if size == full => i.store(flags, value, address, offset),
            1 => i.istore8(flags, value, address, offset),
            2 => i.istore16(flags, value, address, offset),
            _ => i.istore32(flags, value, address, offset),
        };
        self.stores += 1;
        Ok(())
    }

    pub(super) fn memory_type(&self, index: MemoryIndex) -> Outcome<MemoryType> {
        let ty = self.env.info.memories.get(index).copied();
        ty.ok_or_else(|| Fail(format!("there is no memory {index}")))
    }

    pub(super) fn memory_index(memarg: &MemArg) -> Outcome<MemoryIndex> {
        match memarg.target {
            MemArgTarget::Memory(index) => Ok(MemoryIndex::from_u32(index)),
            MemArgTarget::Array(_) => Err(Fail("arrays are not supported".into())),
        }
    }

    /// Where a memory's bounds lie: base and offset.
    fn memory_bounds(&mut self, index: MemoryIndex) -> (Value, i32) {
        let layout = self.env.layout;
        if self.env.info.owns_memory(index) {
            (self.vmctx, layout.memory(index).as_i32())
        } else {
            let offset = layout.memory_ref(index).as_i32();
            (self.load_fixed(I64, self.vmctx, offset), 0)
        }
    }

    pub(super) fn memory_base(&mut self, index: MemoryIndex) -> Value {
        let (bounds, offset) = self.memory_bounds(index);
        match self.env.memory_style(index) {
            MemoryStyle::Guarded { .. } => self.load_fixed(I64, bounds, offset + memory::BASE),
            MemoryStyle::Checked => {
                self.load_trusted(I64, Region::Bounds, bounds, offset + memory::BASE)
            }
        }
    }

    /// The length in bytes. For a bounds check an old length of a shared memory will do, since
    /// memories never shrink; `exact` asks for the newest.
    pub(super) fn memory_len(&mut self, index: MemoryIndex, exact: bool) -> Value {
        let (bounds, offset) = self.memory_bounds(index);
        if exact && self.env.info.memories[index].shared {
            let address = self.b.ins().iadd_imm_s(bounds, i64::from(offset + memory::LEN));
            return self.b.ins().atomic_load(I64, MemFlagsData::trusted(), address);
        }
        self.load_trusted(I64, Region::Bounds, bounds, offset + memory::LEN)
    }

    pub(super) fn memory_flags(&mut self, index: MemoryIndex) -> MemFlagsData {
        let region = if self.env.info.owns_memory(index) {
            Region::OwnMemory(index)
        } else {
            Region::OtherMemories
        };
        let region = self.region(region);
        let flags =
            MemFlagsData::new().with_endianness(Endianness::Little).with_alias_region(Some(region));
        match self.env.memory_style(index) {
            MemoryStyle::Guarded { .. } => flags.with_trap_code(Some(memory_code(self.stores))),
            MemoryStyle::Checked => flags.with_notrap(),
        }
    }

    /// Pops an index and makes an address of it that may be accessed for `size` bytes.
    pub(super) fn place(&mut self, memarg: &MemArg, size: u32) -> Outcome<Place> {
        let index = self.pop()?;
        let memory = Self::memory_index(memarg)?;
        self.memory_type(memory)?;
        let flags = self.memory_flags(memory);
        if let Some(place) = self.constant_place(memory, index, memarg.offset, size, flags) {
            return Ok(place);
        }
        let index = self.extend(index);
        let by_guard = self.is_guarded(memory, memarg.offset, size);
        let beyond = (!by_guard).then(|| {
            let (size, refusal) = (u64::from(size), Refusal::Operand(index));
            self.check_bounds(memory, index, memarg.offset, size, refusal)
        });
        let base = self.memory_base(memory);
        let address = self.b.ins().iadd(base, index);
        let address = self.guard_speculation(beyond.flatten(), address);
        Ok(self.with_offset(address, memarg.offset, flags, by_guard))
    }

    /// Whether inaccessible pages catch what is past the end of the memory.
    pub(super) fn is_guarded(&self, memory: MemoryIndex, offset: u64, size: u32) -> bool {
        match self.env.memory_style(memory) {
            MemoryStyle::Guarded { guard_size } => {
                offset.checked_add(u64::from(size)).is_some_and(|end| end <= guard_size)
            }
            MemoryStyle::Checked => false,
        }
    }

    fn with_offset(
        &mut self,
        address: Value,
        offset: u64,
        flags: MemFlagsData,
        by_guard: bool,
    ) -> Place {
        match i32::try_from(offset) {
            Ok(offset) => Place { address, offset, flags, by_guard },
            Err(_) => {
                let address = self.b.ins().iadd_imm_s(address, offset as i64);
                Place { address, offset: 0, flags, by_guard }
            }
        }
    }

    /// As [`Translator::place`], for an operator that stores.
    ///
    /// Where the processor may write the beginning of a store whose end faults, the last byte is loaded first: no byte
    /// is written by a store that traps. The load may trap, so the code generator keeps it although its value is not
    /// used; it drops one only where the same byte was loaded before, and memories never shrink.
    pub(super) fn place_to_store(&mut self, memarg: &MemArg, size: u32) -> Outcome<Place> {
        let place = self.place(memarg, size)?;
        if wardian_vm::STORES_IN_PARTS && place.by_guard && size > 1 {
            let Place { address, offset, flags, by_guard } = place;
            let last = offset as u64 + u64::from(size) - 1;
            let last = self.with_offset(address, last, flags, by_guard);
            self.b.ins().load(I8, last.flags, last.address, last.offset);
        }
        Ok(place)
    }

    /// The least length that a memory ever has.
    fn least_len(&self, memory: MemoryIndex) -> u64 {
        let ty = &self.env.info.memories[memory];
        ty.min.saturating_mul(ty.page_size())
    }

    /// An access whose address is known and always within the memory, or before its guard.
    fn constant_place(
        &mut self,
        memory: MemoryIndex,
        index: Value,
        offset: u64,
        size: u32,
        flags: MemFlagsData,
    ) -> Option<Place> {
        let at = self.as_const(index)?.checked_add(offset)?;
        let end = at.checked_add(u64::from(size))?;
        let covered = match self.env.memory_style(memory) {
            MemoryStyle::Guarded { guard_size } => (4 << 30) + guard_size,
            MemoryStyle::Checked => self.least_len(memory),
        };
        if end > covered {
            return None;
        }
        let by_guard = end > self.least_len(memory);
        let base = self.memory_base(memory);
        Some(self.with_offset(base, at, flags, by_guard))
    }

    /// The address of an access that was checked. If the processor executes it speculatively while `beyond`
    /// is true, the address is null: so data elsewhere in the process leaves no traces in caches. The code
    /// generator does not optimise this away.
    pub(super) fn guard_speculation(&mut self, beyond: Option<Value>, address: Value) -> Value {
        match beyond {
            Some(beyond) if self.env.tunables.speculation_guards => {
                let null = self.iconst(I64, 0);
                self.b.ins().select_spectre_guard(beyond, null, address)
            }
            _ => address,
        }
    }

    /// Traps unless `index + offset + size` (64-bit, exact) is within the memory's length. Gives the
    /// condition of the trap, for [`Translator::guard_speculation`]; none if it always traps.
    pub(super) fn check_bounds(
        &mut self,
        memory: MemoryIndex,
        index: Value,
        offset: u64,
        size: u64,
        refusal: Refusal,
    ) -> Option<Value> {
        let code = TrapCode::MemoryOutOfBounds;
        let Some(extent) = offset.checked_add(size) else {
            let always = self.iconst(I8, 1);
            self.refuse_if(always, code, refusal);
            return None;
        };
        let len = self.memory_len(memory, false);
        let memory64 = self.env.info.memories[memory].memory64;
        let beyond = if extent == 0 {
            self.b.ins().icmp(IntCC::UnsignedGreaterThan, index, len)
        } else if extent == 1 {
            self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len)
        } else if !memory64 {
            // 2^32 + 2^32 + a few bytes do not overflow.
            let end = self.b.ins().iadd_imm_s(index, extent as i64);
            self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len)
        } else if extent <= self.least_len(memory) {
            let last = self.b.ins().iadd_imm_s(len, (extent as i64).wrapping_neg());
            self.b.ins().icmp(IntCC::UnsignedGreaterThan, index, last)
        } else {
            let extent = self.iconst(I64, extent as i64);
            let end = self.b.ins().iadd(index, extent);
            let wrapped = self.b.ins().icmp(IntCC::UnsignedLessThan, end, index);
            let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len);
            self.b.ins().bor(wrapped, beyond)
        };
        self.refuse_if(beyond, code, refusal);
        Some(beyond)
    }

    /// The exact 64-bit address of an access within its memory, whose operand is 64-bit already; traps
    /// if it overflows.
    pub(super) fn effective_address(
        &mut self,
        memory: MemoryIndex,
        index: Value,
        offset: u64,
    ) -> Value {
        if offset == 0 {
            return index;
        }
        let offset = self.iconst(I64, offset as i64);
        let address = self.b.ins().iadd(index, offset);
        if self.env.info.memories[memory].memory64 {
            let wrapped = self.b.ins().icmp(IntCC::UnsignedLessThan, address, index);
            self.refuse_if(wrapped, TrapCode::MemoryOutOfBounds, Refusal::Operand(index));
        }
        address
    }
}
