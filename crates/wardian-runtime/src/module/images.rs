//! Initial contents of memories, laid out once per module so that instances share them
//! copy-on-write.

use std::sync::Arc;
use wardian_module::{ConstExpr, ConstOp, Module, SegmentMode};
use wardian_types::{IndexVec, MemoryIndex};
use wardian_vm::memory::{MemoryImage, size_in_bytes};

/// The initial contents of each memory that a module defines, if there are any.
pub type Images = IndexVec<MemoryIndex, Option<Arc<MemoryImage>>>;

/// The longest image. Segments that span more are written at instantiation: most of such an image would be zeroes.
const LARGEST: usize = 256 << 20;

/// Lays out all active segments, if every one of them has a constant offset and fits the initial
/// size of a memory that the module owns. Otherwise the segments have to be written one by one,
/// with their traps, when the module is instantiated.
pub fn build(module: &Module) -> Option<Images> {
    let info = module.info();
    let mut contents: Vec<Vec<u8>> = vec![Vec::new(); info.memories.len()];
    for segment in &info.data {
        let SegmentMode::Active { index, offset } = &segment.mode else { continue };
        let memory = info.memories.get(*index)?;
        if !info.owns_memory(*index) {
            return None;
        }
        let start = usize::try_from(constant(offset)?).ok()?;
        let end = start.checked_add(segment.range.len())?;
        if end > size_in_bytes(memory, memory.min)? || end > LARGEST {
            return None;
        }
        let contents = &mut contents[index.index()];
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[start..end].copy_from_slice(&module.bytes()[segment.range.clone()]);
    }
    let image = |bytes: Vec<u8>| {
        if bytes.is_empty() {
            return Some(None);
        }
        MemoryImage::new(&bytes).ok().map(|i| Some(Arc::new(i)))
    };
    contents.into_iter().map(image).collect()
}

fn constant(expr: &ConstExpr) -> Option<u64> {
    match expr.ops.as_slice() {
        [ConstOp::I32(value)] => Some(u64::from(*value as u32)),
        [ConstOp::I64(value)] => Some(*value as u64),
        _ => None,
    }
}
