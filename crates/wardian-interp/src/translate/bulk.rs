//! What the runtime does for the guest: growing, copying, filling, waiting.

use super::stack::Value;
use super::{Body, Outcome};
use crate::op;
use crate::operand::{Far, U16, U32};
use wardian_module::operators::Bulk;
use wardian_types::{Index, MemoryIndex};
use wardian_vm::interpreted::FrameSlot;
use wardian_vm::layout::Builtin;

impl Body<'_> {
    pub(super) fn bulk_operator(&mut self, operator: Bulk) -> Outcome {
        use Bulk as O;
        match operator {
            O::MemoryGrow { mem } => {
                let ty = self.memory(mem)?;
                let pages = self.pop()?;
                if pages.value == Value::Const(0) {
                    // Growing by nothing asks for the size, and no more.
                    return self.memory_size(mem);
                }
                let pages = Far(self.slot_of(&pages));
                let d = Far(self.push_temp());
                let top = self.free();
                self.append(op::memory_grow {
                    top,
                    d,
                    pages,
                    index: U32(mem.as_u32()),
                    memory: U32(self.env.layout.memory_ref(mem).as_u32()),
                    shift: U16(u16::from(ty.page_size_log2)),
                    narrow: U16(u16::from(!ty.memory64)),
                });
                self.safepoint();
            }
            O::MemoryCopy { dst_mem: MemoryIndex::FIRST, src_mem: MemoryIndex::FIRST }
                if !self.memory(MemoryIndex::FIRST)?.shared =>
            {
                let (to, from, len) = self.pop3_far()?;
                let top = self.free();
                self.append(op::memory_copy_near { top, to, from, len });
                self.safepoint();
            }
            O::MemoryCopy { dst_mem, src_mem } => {
                self.builtin_iirrr(Builtin::MemoryCopy, dst_mem, src_mem)?;
            }
            O::MemoryFill { mem: MemoryIndex::FIRST }
                if !self.memory(MemoryIndex::FIRST)?.shared =>
            {
                let (to, byte, len) = self.pop3_far()?;
                let top = self.free();
                self.append(op::memory_fill_near { top, to, byte, len });
                self.safepoint();
            }
            O::MemoryFill { mem } => self.builtin_irrr(Builtin::MemoryFill, mem)?,
            O::MemoryInit { data_index, mem } => {
                self.builtin_iirrr(Builtin::MemoryInit, mem, data_index)?;
            }
            O::DataDrop { data_index } => {
                let Far(d) = self.free();
                self.builtin_i(Builtin::DataDrop, false, d, data_index);
            }
            O::TableGrow { table } => {
                let narrow = !self.table(table)?.table64;
                let delta = self.pop_far()?;
                let element = self.pop_far()?;
                let d = self.push_temp();
                self.builtin_irr(Builtin::TableGrow, narrow, d, table, delta, element);
            }
            O::TableCopy { dst_table, src_table } => {
                self.builtin_iirrr(Builtin::TableCopy, dst_table, src_table)?;
            }
            O::TableFill { table } => self.builtin_irrr(Builtin::TableFill, table)?,
            O::TableInit { elem_index, table } => {
                self.builtin_iirrr(Builtin::TableInit, table, elem_index)?;
            }
            O::ElemDrop { elem_index } => {
                let Far(d) = self.free();
                self.builtin_i(Builtin::ElemDrop, false, d, elem_index);
            }
        }
        Ok(())
    }

    /// The first free slot, which is in the frame.
    pub(super) fn free(&mut self) -> Far {
        self.reserve(1);
        Far(self.height)
    }

    /// Pops three operands of an instruction that can have far slots.
    fn pop3_far(&mut self) -> Outcome<(Far, Far, Far)> {
        let c = self.pop_far()?;
        let b = self.pop_far()?;
        let a = self.pop_far()?;
        Ok((a, b, c))
    }

    pub(super) fn builtin_i(
        &mut self,
        builtin: Builtin,
        narrow: bool,
        d: FrameSlot,
        i: impl Index,
    ) {
        let (which, narrow, top) = self.builtin(builtin, narrow);
        self.append(op::builtin_i { which, narrow, top, d: Far(d), i: U32(i.index() as u32) });
        self.safepoint();
    }

    pub(super) fn builtin_irr(
        &mut self,
        builtin: Builtin,
        narrow: bool,
        d: FrameSlot,
        i: impl Index,
        a: Far,
        b: Far,
    ) {
        let (which, narrow, top) = self.builtin(builtin, narrow);
        self.append(op::builtin_irr {
            which,
            narrow,
            top,
            d: Far(d),
            i: U32(i.index() as u32),
            a,
            b,
        });
        self.safepoint();
    }

    fn builtin_irrr(&mut self, builtin: Builtin, i: impl Index) -> Outcome {
        let (a, b, c) = self.pop3_far()?;
        let (which, narrow, top) = self.builtin(builtin, false);
        self.append(op::builtin_irrr {
            which,
            narrow,
            top,
            d: top,
            i: U32(i.index() as u32),
            a,
            b,
            c,
        });
        self.safepoint();
        Ok(())
    }

    /// Pops what follows the immediate: an address was computed, expected value and timeout.
    pub(super) fn builtin_wait(&mut self, builtin: Builtin, i: impl Index, args: [Far; 3]) {
        let d = Far(self.push_temp());
        let (which, narrow, top) = self.builtin(builtin, true);
        let [a, b, c] = args;
        self.append(op::builtin_irrr { which, narrow, top, d, i: U32(i.index() as u32), a, b, c });
        self.safepoint();
        self.point(true, None);
    }

    fn builtin_iirrr(&mut self, builtin: Builtin, i: impl Index, j: impl Index) -> Outcome {
        let (a, b, c) = self.pop3_far()?;
        let (which, narrow, top) = self.builtin(builtin, false);
        self.append(op::builtin_iirrr {
            which,
            narrow,
            top,
            d: top,
            i: U32(i.index() as u32),
            j: U32(j.index() as u32),
            a,
            b,
            c,
        });
        self.safepoint();
        Ok(())
    }

    pub(super) fn builtin(&mut self, builtin: Builtin, narrow: bool) -> (U16, U16, Far) {
        (U16(builtin as u16), U16(u16::from(narrow)), self.free())
    }
}
