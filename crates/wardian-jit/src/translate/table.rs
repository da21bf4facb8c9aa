//! Tables and references.

use super::env::clif_type;
use super::state::{Fail, Outcome, Region, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wardian_module::operators::Table;
use wardian_types::{RefType, TableIndex, TableType, TrapCode, ValType};
use wardian_vm::layout::{Builtin, table};

impl Translator<'_, '_> {
    pub(super) fn table_operator(&mut self, operator: Table) -> Outcome {
        use Table as O;
        match operator {
            O::RefNull { hty } => {
                let heap = self.env.info.heap_type(hty).map_err(|e| Fail(e.to_string()))?;
                let ty = clif_type(ValType::Ref(RefType { nullable: true, heap }));
                let null = self.iconst(ty, 0);
                self.push(null);
            }
            O::RefIsNull => {
                let reference = self.pop()?;
                let null = self.b.ins().icmp_imm_s(IntCC::Equal, reference, 0);
                self.push_bool(null);
            }
            O::RefFunc { function_index } => {
                self.function_type(function_index)?;
                let index = self.index(function_index);
                let reference = self.builtin(Builtin::RefFunc, &[index]);
                self.push(reference);
            }
            O::TableGet { table } => {
                let index = self.pop_extended()?;
                let address = self.element_address(table, index, TrapCode::TableOutOfBounds)?;
                let value = self.load_trusted(types::I64, Region::Elements, address, 0);
                if self.table_type(table)?.element.is_any() {
                    self.push_reference(value);
                } else {
                    self.push(value);
                }
            }
            O::TableSet { table } => {
                let value = self.pop_extended()?;
                let index = self.pop_extended()?;
                let address = self.element_address(table, index, TrapCode::TableOutOfBounds)?;
                let flags = self.trusted(Region::Elements);
                self.b.ins().store(flags, value, address, 0);
            }
            O::TableSize { table } => {
                let ty = self.table_type(table)?;
                let len = self.table_len(table, ty);
                self.push_address(len, ty.table64);
            }
        }
        Ok(())
    }

    pub(super) fn table_type(&self, index: TableIndex) -> Outcome<TableType> {
        let ty = self.env.info.tables.get(index).copied();
        ty.ok_or_else(|| Fail(format!("there is no table {index}")))
    }

    /// Where a table's bounds lie: base and offset.
    fn table_bounds(&mut self, index: TableIndex) -> (Value, i32) {
        let layout = self.env.layout;
        match self.env.info.defined_table(index) {
            Some(defined) => (self.vmctx, layout.table(defined).as_i32()),
            None => {
                let offset = layout.table_ref(index).as_i32();
                (self.load_fixed(types::I64, self.vmctx, offset), 0)
            }
        }
    }

    /// Whether a table never changes its size, nor therefore its place.
    fn is_fixed(&self, index: TableIndex, ty: TableType) -> bool {
        self.env.info.defined_table(index).is_some() && ty.max == Some(ty.min)
    }

    /// Whether an index is a constant below the least number of elements that a table of this instance can have.
    fn is_always_in_bounds(&self, table: TableIndex, ty: TableType, index: Value) -> bool {
        self.env.info.defined_table(table).is_some()
            && self.as_const(index).is_some_and(|index| index < ty.min)
    }

    fn table_len(&mut self, index: TableIndex, ty: TableType) -> Value {
        if self.is_fixed(index, ty) {
            return self.iconst(types::I64, ty.min as i64);
        }
        let (base, offset) = self.table_bounds(index);
        self.load_trusted(types::I64, Region::Bounds, base, offset + table::LEN)
    }

    /// The address of an element; traps with `code` if there is none at this 64-bit index.
    pub(super) fn element_address(
        &mut self,
        table_index: TableIndex,
        index: Value,
        code: TrapCode,
    ) -> Outcome<Value> {
        let ty = self.table_type(table_index)?;
        let beyond = if self.is_always_in_bounds(table_index, ty, index) {
            None
        } else {
            let len = self.table_len(table_index, ty);
            let beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
            self.trap_if(beyond, code);
            Some(beyond)
        };
        let (bounds, offset) = self.table_bounds(table_index);
        let base = if self.is_fixed(table_index, ty) {
            self.load_fixed(types::I64, bounds, offset + table::BASE)
        } else {
            self.load_trusted(types::I64, Region::Bounds, bounds, offset + table::BASE)
        };
        let scaled = self.b.ins().ishl_imm_u(index, 3);
        let address = self.b.ins().iadd(base, scaled);
        Ok(self.guard_speculation(beyond, address))
    }
}
