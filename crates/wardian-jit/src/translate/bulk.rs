//! Growing, copying and filling: memories and tables changed by the runtime.

use super::refusal::Refusal;
use super::state::{Outcome, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wardian_module::operators::Bulk;
use wardian_types::{Index, MemoryIndex, TrapCode};
use wardian_vm::layout::Builtin;

impl Translator<'_, '_> {
    pub(super) fn bulk_operator(&mut self, operator: Bulk) -> Outcome {
        use Bulk as O;
        match operator {
            O::MemoryGrow { mem } => {
                let is64 = self.memory_type(mem)?.memory64;
                let pages = self.pop_extended()?;
                let memory = self.index(mem);
                let previous = self.builtin(Builtin::MemoryGrow, &[memory, pages]);
                self.push_address(previous, is64);
            }
            O::MemoryCopy { dst_mem, src_mem } => {
                self.memory_type(dst_mem)?;
                self.memory_type(src_mem)?;
                match self.small_constant() {
                    Some(len) => self.copy_small(dst_mem, src_mem, len)?,
                    None if self.is_shared(dst_mem) || self.is_shared(src_mem) => {
                        self.copy_between(Builtin::MemoryCopy, dst_mem, src_mem)?;
                    }
                    None => {
                        let (to, from, len) = self.pop3_extended()?;
                        let to = self.range_address(dst_mem, to, len);
                        let from = self.range_address(src_mem, from, len);
                        self.builtin(Builtin::MoveBytes, &[to, from, len]);
                    }
                }
            }
            O::MemoryFill { mem } => {
                self.memory_type(mem)?;
                if let Some(len) = self.small_constant() {
                    self.fill_small(mem, len)?;
                    return Ok(());
                }
                let (to, byte, len) = self.pop3_extended()?;
                if self.is_shared(mem) {
                    let memory = self.index(mem);
                    self.builtin(Builtin::MemoryFill, &[memory, to, byte, len]);
                } else {
                    let to = self.range_address(mem, to, len);
                    self.builtin(Builtin::FillBytes, &[to, byte, len]);
                }
            }
            O::MemoryInit { data_index, mem } => {
                self.memory_type(mem)?;
                self.copy_between(Builtin::MemoryInit, mem, data_index)?;
            }
            O::DataDrop { data_index } => {
                let segment = self.index(data_index);
                self.builtin(Builtin::DataDrop, &[segment]);
            }
            O::TableGrow { table } => {
                let is64 = self.table_type(table)?.table64;
                let delta = self.pop_extended()?;
                let element = self.pop_extended()?;
                let table = self.index(table);
                let previous = self.builtin(Builtin::TableGrow, &[table, delta, element]);
                self.push_address(previous, is64);
            }
            O::TableCopy { dst_table, src_table } => {
                self.table_type(dst_table)?;
                self.table_type(src_table)?;
                self.copy_between(Builtin::TableCopy, dst_table, src_table)?;
            }
            O::TableFill { table } => {
                self.table_type(table)?;
                let (to, element, len) = self.pop3_extended()?;
                let table = self.index(table);
                self.builtin(Builtin::TableFill, &[table, to, element, len]);
            }
            O::TableInit { elem_index, table } => {
                self.table_type(table)?;
                self.copy_between(Builtin::TableInit, table, elem_index)?;
            }
            O::ElemDrop { elem_index } => {
                let segment = self.index(elem_index);
                self.builtin(Builtin::ElemDrop, &[segment]);
            }
        }
        Ok(())
    }

    /// An index as an argument of a builtin.
    pub(super) fn index(&mut self, index: impl Index) -> Value {
        self.iconst(types::I64, index.index() as i64)
    }

    fn pop3_extended(&mut self) -> Outcome<(Value, Value, Value)> {
        let (x, y, z) = self.pop3()?;
        Ok((self.extend(x), self.extend(y), self.extend(z)))
    }

    fn is_shared(&self, memory: MemoryIndex) -> bool {
        self.env.info.memories[memory].shared
    }

    /// The address of `len` bytes at `start` (both 64-bit), which are checked to be within the
    /// memory.
    fn range_address(&mut self, memory: MemoryIndex, start: Value, len: Value) -> Value {
        let size = self.memory_len(memory, true);
        let end = self.b.ins().iadd(start, len);
        let mut beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, size);
        if self.env.info.memories[memory].memory64 {
            let wrapped = self.b.ins().icmp(IntCC::UnsignedLessThan, end, start);
            beyond = self.b.ins().bor(beyond, wrapped);
        }
        let refusal = Refusal::Range { memory, start, size: len };
        self.refuse_if(beyond, TrapCode::MemoryOutOfBounds, refusal);
        let base = self.memory_base(memory);
        self.b.ins().iadd(base, start)
    }

    /// A builtin of `(destination, source, to, from, length)`.
    fn copy_between(
        &mut self,
        builtin: Builtin,
        destination: impl Index,
        source: impl Index,
    ) -> Outcome {
        let (to, from, len) = self.pop3_extended()?;
        let (destination, source) = (self.index(destination), self.index(source));
        self.builtin(builtin, &[destination, source, to, from, len]);
        Ok(())
    }

    /// The topmost operand, if it is a constant length that is worth unrolling.
    fn small_constant(&self) -> Option<u64> {
        let len = self.as_const(*self.stack.last()?)?;
        (len <= MAX_UNROLLED).then_some(len)
    }

    /// The address of `len` bytes, all within the memory.
    fn checked_range(&mut self, memory: MemoryIndex, start: Value, len: u64) -> Value {
        let size = self.iconst(types::I64, len as i64);
        self.check_bounds(memory, start, 0, len, Refusal::Range { memory, start, size });
        let base = self.memory_base(memory);
        self.b.ins().iadd(base, start)
    }

    /// Copies a constant number of bytes: all are loaded before any is stored, so that the ranges
    /// may overlap.
    fn copy_small(&mut self, destination: MemoryIndex, source: MemoryIndex, len: u64) -> Outcome {
        let (to, from, _) = self.pop3_extended()?;
        let to = self.checked_range(destination, to, len);
        let from = self.checked_range(source, from, len);
        let flags = self.memory_flags(source);
        let mut loaded = Vec::new();
        for (offset, ty) in pieces(len) {
            loaded.push((offset, self.b.ins().load(ty, flags, from, offset)));
        }
        let flags = self.memory_flags(destination);
        for (offset, value) in loaded {
            self.b.ins().store(flags, value, to, offset);
        }
        self.stores += 1;
        Ok(())
    }

    /// Fills a constant number of bytes.
    fn fill_small(&mut self, memory: MemoryIndex, len: u64) -> Outcome {
        let (to, byte, _) = self.pop3_extended()?;
        let to = self.checked_range(memory, to, len);
        let byte = self.b.ins().band_imm_s(byte, 0xff);
        let ones = self.iconst(types::I64, 0x0101_0101_0101_0101);
        let word = self.b.ins().imul(byte, ones);
        let flags = self.memory_flags(memory);
        for (offset, ty) in pieces(len) {
            let value = match ty {
                types::I64 => word,
                types::I8X16 => self.b.ins().splat(types::I64X2, word),
                narrow => self.b.ins().ireduce(narrow, word),
            };
            self.b.ins().store(flags, value, to, offset);
        }
        self.stores += 1;
        Ok(())
    }
}

/// Lengths up to this are copied and filled in place.
const MAX_UNROLLED: u64 = 64;

/// Divides `len` bytes into accesses: offset and type of each.
fn pieces(len: u64) -> impl Iterator<Item = (i32, Type)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let ty = match len - at {
            0 => return None,
            16.. => types::I8X16,
            8.. => types::I64,
            4.. => types::I32,
            2.. => types::I16,
            _ => types::I8,
        };
        let offset = at as i32;
        at += u64::from(ty.bytes());
        Some((offset, ty))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn pieces_cover_every_byte_once() {
        for len in 0..=super::MAX_UNROLLED {
            let mut end = 0;
            for (offset, ty) in super::pieces(len) {
                assert_eq!(offset as u64, end);
                end += u64::from(ty.bytes());
            }
            assert_eq!(end, len);
        }
    }
}
