//! Finding out which access to memory a guest trapped with.
//!
//! ```text
//!   guard pages     address of the fault          operator: size ─┐
//!   checks          operand, noted on the way     operator: offset, size
//!   interpreter     address, noted on the way     operator: size ─┴─> memory ──> its size
//!   bulk operators  all of it, noted, or known to a builtin
//! ```

use crate::error::MemoryAccess;
use crate::ids::InstanceId;
use crate::stack::backtrace::Frame;
use crate::store::inner::StoreInner;
use crate::store::instance::MemoryRef;
use wardian_module::MemoryOperator;
use wardian_types::{GuestAddr, MemoryIndex};
use wardian_vm::addr::DataAddr;
use wardian_vm::layout::{Refused, refused};

/// Addresses from here on are not reported: the interpreter does not keep them.
const TOO_HIGH: GuestAddr = GuestAddr::from_u64(1 << 63);

impl StoreInner {
    /// What guest code noted of an access that it refused, which frame `frame` did.
    pub(crate) fn noted_access(&mut self, frame: Option<&Frame>) -> Option<MemoryAccess> {
        // SAFETY: the context is valid, and no guest of the store runs at this moment.
        let Refused { ctx, start, size, memory } =
            unsafe { std::mem::take(&mut (*self.ctx()).refused) };
        let instance = self.instance_at(ctx.ctx())?;
        let access = |address, size, memory| self.access(instance, memory, address, size);
        match (ctx.known(), frame.and_then(operator)) {
            (refused::RANGE, _) => access(start, size, MemoryIndex::from_u32(memory as u32)),
            (refused::ADDRESS, Some(op)) => access(start, op.size, op.memory),
            (_, Some(op)) => access(start.checked_add(op.offset)?, op.size, op.memory),
            (_, None) => None,
        }
    }

    /// The access of frame `frame` for which there is no page at `fault`.
    pub(crate) fn faulting_access(
        &self,
        fault: DataAddr,
        frame: Option<&Frame>,
    ) -> Option<MemoryAccess> {
        let operator = operator(frame?)?;
        // Memories lie apart, each before its guard, so the nearest one below is it.
        let memories = (0..self.entities.instances().len() as u32).filter_map(|instance| {
            self.memory_bounds(InstanceId::from_u32(instance), operator.memory)
        });
        let below = memories.filter(|(base, _)| *base <= fault);
        let (base, len) = below.max_by_key(|(base, _)| *base)?;
        let address = fault.bytes_from(base) as u64;
        // Where the last byte of a store is loaded first, that is what faults.
        let last_first = operator.stores && wardian_vm::STORES_IN_PARTS;
        let back = if last_first { operator.size - 1 } else { 0 };
        Some(MemoryAccess {
            address: GuestAddr::from_u64(address.saturating_sub(back)),
            size: operator.size,
            memory: operator.memory,
            memory_size: len as u64,
        })
    }

    /// An access to a memory of an instance.
    pub(crate) fn access(
        &self,
        instance: InstanceId,
        memory: MemoryIndex,
        address: GuestAddr,
        size: u64,
    ) -> Option<MemoryAccess> {
        let (_, len) = self.memory_bounds(instance, memory)?;
        let access = MemoryAccess { address, size, memory, memory_size: len as u64 };
        (address < TOO_HIGH).then_some(access)
    }

    /// Address and length of a memory.
    fn memory_bounds(
        &self,
        instance: InstanceId,
        memory: MemoryIndex,
    ) -> Option<(DataAddr, usize)> {
        match self.entities.instances().get(instance)?.memories().get(memory)? {
            MemoryRef::Own(own) => {
                let memory = &self.entities[*own];
                Some((DataAddr::of(memory.base()), memory.len()))
            }
            MemoryRef::Shared(shared) => Some((DataAddr::of(shared.vm().base), shared.raw_len())),
        }
    }
}

/// The operator that a frame is at, if it accesses memory.
fn operator(frame: &Frame) -> Option<MemoryOperator> {
    let module = &frame.module.decoded;
    MemoryOperator::at(module.info(), module.bytes(), frame.offset?)
}
