//! Locals, globals, tables and references.

use super::stack::Value;
use super::{Body, Outcome};
use crate::op::{self, Opcode};
use crate::operand::{D, DW, S, SW, U16, U32, V128};
use crate::translation::TranslateError;
use wardian_module::ConstOp;
use wardian_module::operators::{Global, Table};
use wardian_types::{GlobalIndex, LocalIndex, TableIndex, TableType, ValType};
use wardian_vm::interpreted::FrameSlot;
use wardian_vm::layout::Builtin;

impl Body<'_> {
    /// Writes the topmost operand, which is popped, to a local.
    pub(super) fn set_local(&mut self, index: LocalIndex) -> Outcome {
        let entry = self.pop()?;
        let (slot, pending) = (self.local(index)?.slot, self.is_pending(index));
        if matches!(entry.value, Value::Local(same, _) if same == index) {
            return Ok(());
        }
        if entry.value == Value::Temp
            && let Some((mut start, _)) = self.last_defining(entry.slot)
            && !self.is_far()
        {
            // The instruction that made the value writes the local itself.
            if pending {
                start = self.before_last(start, |body| body.save(index));
            }
            self.redefine(start, slot);
            return Ok(());
        }
        if pending {
            self.save(index);
        }
        self.move_to(slot, &entry);
        Ok(())
    }

    pub(super) fn global_operator(&mut self, operator: Global) -> Outcome {
        use Global as O;
        match operator {
            O::GlobalGet { global_index } => self.global_get(global_index)?,
            O::GlobalSet { global_index } => self.global_set(global_index)?,
        }
        Ok(())
    }

    pub(super) fn table_operator(&mut self, operator: Table) -> Outcome {
        use Table as O;
        match operator {
            O::RefNull { .. } => self.push_const(0),
            O::RefIsNull => self.is_zero(false)?,
            O::RefFunc { function_index } => {
                let d = self.push_temp();
                self.builtin_i(Builtin::RefFunc, false, d, function_index);
            }
            O::TableGet { table } => {
                let element = self.table(table)?.element;
                let index = self.pop_slot()?;
                let d = D(self.push_value(ValType::Ref(element)));
                self.emit(op::table_get { d, index, table: self.table_at(table) });
            }
            O::TableSet { table } => {
                self.table(table)?;
                let value = self.pop_slot()?;
                let index = self.pop_slot()?;
                self.emit(op::table_set { index, value, table: self.table_at(table) });
            }
            O::TableSize { table } => {
                let narrow = U16(u16::from(!self.table(table)?.table64));
                let d = D(self.push_temp());
                self.emit(op::table_size { d, table: self.table_at(table), narrow });
            }
        }
        Ok(())
    }

    pub(super) fn table(&self, index: TableIndex) -> Outcome<TableType> {
        let ty = self.env.info.tables.get(index).copied();
        ty.ok_or_else(|| TranslateError::new("there is no such table"))
    }

    /// Where the instance has the address of a table's bounds.
    pub(super) fn table_at(&self, index: TableIndex) -> U32 {
        U32(self.env.layout.table_ref(index).as_u32())
    }

    pub(super) fn vector(&mut self, bits: u128) {
        let d = DW(self.push_wide());
        self.emit(op::const128 { d, value: V128(bits) });
    }

    /// A global that never changes and whose value is plain needs no access.
    fn constant_global(&mut self, index: GlobalIndex) -> bool {
        let info = self.env.info;
        let Some(defined) = info.defined_global(index) else { return false };
        if info.globals[index].mutable {
            return false;
        }
        match info.global_inits.get(defined).map(|e| e.ops.as_slice()) {
            Some(&[ConstOp::I32(v)]) => self.push_const(u64::from(v as u32)),
            Some(&[ConstOp::I64(v)]) => self.push_const(v as u64),
            Some(&[ConstOp::F32(bits)]) => self.push_const(u64::from(bits)),
            Some(&[ConstOp::F64(bits)]) => self.push_const(bits),
            Some(&[ConstOp::V128(bits)]) => self.vector(bits),
            _ => return false,
        }
        true
    }

    /// Where a global is, whether the module owns it, and its type.
    fn global(&self, index: GlobalIndex) -> Outcome<(U32, bool, ValType)> {
        let info = self.env.info;
        let ty = info.globals.get(index);
        let ty = ty.ok_or_else(|| TranslateError::new("there is no such global"))?.content;
        Ok(match info.defined_global(index) {
            Some(defined) => (U32(self.env.layout.global(defined).as_u32()), true, ty),
            None => (U32(self.env.layout.global_ref(index).as_u32()), false, ty),
        })
    }

    fn global_get(&mut self, index: GlobalIndex) -> Outcome {
        let (at, own, ty) = self.global(index)?;
        if self.constant_global(index) {
            return Ok(());
        }
        if ty == ValType::V128 {
            let d = DW(self.push_wide());
            match own {
                true => self.emit(op::global_get128 { d, at }),
                false => self.emit(op::imported_get128 { d, at }),
            }
            return Ok(());
        }
        let d = D(self.push_value(ty));
        match (ty, own) {
            (ValType::I32 | ValType::F32, true) => self.emit(op::global_get32 { d, at }),
            (ValType::I32 | ValType::F32, false) => self.emit(op::imported_get32 { d, at }),
            (_, true) => self.emit(op::global_get64 { d, at }),
            (_, false) => self.emit(op::imported_get64 { d, at }),
        }
        Ok(())
    }

    fn global_set(&mut self, index: GlobalIndex) -> Outcome {
        let (at, own, ty) = self.global(index)?;
        let entry = self.pop()?;
        let slot = self.slot_of(&entry);
        let (value, wide) = (S(slot), SW(slot));
        match (ty, own) {
            (ValType::V128, true) => self.emit(op::global_set128 { at, value: wide }),
            (ValType::V128, false) => self.emit(op::imported_set128 { at, value: wide }),
            (ValType::I32, true) if self.add_to_global(slot, at) => {}
            (ValType::I32 | ValType::F32, true) => self.emit(op::global_set32 { at, value }),
            (ValType::I32 | ValType::F32, false) => self.emit(op::imported_set32 { at, value }),
            (_, true) => self.emit(op::global_set64 { at, value }),
            (_, false) => self.emit(op::imported_set64 { at, value }),
        }
        Ok(())
    }

    /// Writes a sum that was computed just now to its slot and to a global in one go; reads the summand
    /// from that global too, if it comes from there: so most functions make and drop their frame on the
    /// stack in memory.
    fn add_to_global(&mut self, slot: FrameSlot, at: U32) -> bool {
        let Some((start, Opcode::i32_add_imm)) = self.last_defining(slot) else { return false };
        if self.is_far() {
            return false;
        }
        let op::i32_add_imm { d, a, b: by } = self.read(start);
        self.retract(start);
        // Slots from the height on hold nothing that is still needed.
        if a.0 >= self.height
            && let Some((get, Opcode::global_get32)) = self.last_defining(a.0)
            && self.read::<op::global_get32>(get).at.0 == at.0
        {
            self.retract(get);
            self.append(op::global_add32 { d, by, at });
        } else {
            self.append(op::global_set32_sum { d, a, by, at });
        }
        true
    }
}
