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
    let mut segments: Vec<Vec<Segment<'_>>> = vec![Vec::new(); info.memories.len()];
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
        segments[index.index()].push((start, &module.bytes()[segment.range.clone()]));
    }
    segments.into_iter().map(image).collect()
}

/// Where a segment begins, and its bytes.
type Segment<'a> = (usize, &'a [u8]);

/// None if the system has no room for it.
fn image(segments: Vec<Segment<'_>>) -> Option<Option<Arc<MemoryImage>>> {
    let len = segments.iter().map(|(start, bytes)| start + bytes.len()).max().unwrap_or(0);
    match len {
        0 => Some(None),
        _ => MemoryImage::new(len, segments).ok().map(|image| Some(Arc::new(image))),
    }
}

fn constant(expr: &ConstExpr) -> Option<u64> {
    match expr.ops.as_slice() {
        [ConstOp::I32(value)] => Some(u64::from(*value as u32)),
        [ConstOp::I64(value)] => Some(*value as u64),
        _ => None,
    }
}
