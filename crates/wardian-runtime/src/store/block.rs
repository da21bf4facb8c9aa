//! Blocks of memory that compiled code reads: contexts of instances, and tables beside them.

use std::ptr::NonNull;
use wardian_vm::Zeroed;
use wardian_vm::addr::{CtxOffset, VmCtxPtr};

/// A block, written and read by offset. It never moves.
pub(crate) struct Block(Zeroed);

impl Block {
    /// So many bytes, all zero.
    pub(crate) fn new(size: usize) -> Block {
        Block(Zeroed::new(size))
    }

    /// Where it lies, for a context.
    #[inline]
    pub(crate) fn address(&self) -> VmCtxPtr {
        VmCtxPtr::of(self.0.start().as_ptr())
    }

    /// Where a value lies.
    pub(crate) fn field<V>(&self, offset: CtxOffset) -> NonNull<V> {
        assert!(offset.as_usize() + size_of::<V>() <= self.0.size());
        // SAFETY: inside the block.
        unsafe { self.0.start().byte_add(offset.as_usize()).cast() }
    }

    pub(crate) fn write<V>(&mut self, offset: CtxOffset, value: V) {
        // SAFETY: `field` checks the range; layouts align every field.
        unsafe { self.field::<V>(offset).write(value) }
    }

    pub(crate) fn read<V: Copy>(&self, offset: CtxOffset) -> V {
        // SAFETY: as above; what has not been written is zero, which all types used here allow.
        unsafe { self.field::<V>(offset).read() }
    }
}
