//! The memories of a new store that are to get their contents.

use super::unusable;
use crate::checkpoint::pages::{Base, ChunkIndex};
use crate::checkpoint::state::{MemoryState, State};
use crate::error::LimitKind;
use crate::limiter::Limiter;
use crate::store::inner::{Embedder, StoreData};
use crate::store::instance::MemoryRef;
use crate::store::memory::MemoryData;
use crate::value::SharedMemory;
use crate::{Error, Result};
use std::ops::Range;
use wardian_types::{MemoryIndex, MemoryType};
use wardian_vm::memory::ImmutableFile;

/// A memory of a new store that is to get its contents.
pub struct Target<'a> {
    base: Base<'a>,
    /// Bytes that may be others than those of a new memory.
    touched: usize,
    memory: To<'a>,
}

enum To<'a> {
    Own(&'a mut MemoryData),
    Shared(SharedMemory),
}

impl<'a> Target<'a> {
    /// Makes the memory what its module says.
    pub fn restore_base(&mut self) -> Result<()> {
        match &mut self.memory {
            To::Own(memory) => {
                self.base.restore(&mut memory.bytes_mut()[..self.touched]);
                Ok(())
            }
            To::Shared(_) => {
                let (base, touched) = (std::mem::take(&mut self.base), self.touched);
                for index in ChunkIndex::all().take_while(|index| index.range_in(touched).is_ok()) {
                    self.write(index, touched, |bytes| {
                        base.read(index, bytes);
                        Ok(())
                    })?;
                }
                Ok(())
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match &self.memory {
            To::Own(memory) => memory.len(),
            To::Shared(memory) => memory.len(),
        }
    }

    /// Has a chunk written, of the first `len` bytes of the memory. What it gets is that chunk.
    ///
    /// # Errors
    ///
    /// It is outside of these; or the error of `write`.
    pub fn write(
        &mut self,
        index: ChunkIndex,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let range = index.range_in(len.min(self.len()))?;
        match &mut self.memory {
            To::Own(memory) => write(&mut memory.bytes_mut()[range]),
            To::Shared(memory) => {
                // Other threads may use it, so it is written in one go, and only if something changes.
                let mut bytes = vec![0; range.len()];
                memory.read(range.start, &mut bytes)?;
                let before = bytes.clone();
                write(&mut bytes)?;
                if bytes == before { Ok(()) } else { memory.write(range.start, &bytes) }
            }
        }
    }

    /// Makes a part show a file, if that is possible.
    pub fn show_file(&mut self, range: Range<usize>, place: (&ImmutableFile, u64)) -> bool {
        match &mut self.memory {
            To::Own(memory) => memory.show_file(range, place),
            To::Shared(_) => false,
        }
    }

    /// The memory, if it is the store's own.
    pub(super) fn into_own(self) -> Option<&'a mut MemoryData> {
        match self.memory {
            To::Own(memory) => Some(memory),
            To::Shared(_) => None,
        }
    }
}

impl<T: Embedder> StoreData<T> {
    /// Brings the memories to their size, and gives them to be filled.
    pub(super) fn restore_memories(&mut self, state: &State) -> Result<Vec<Target<'_>>> {
        let (inner, mut limiter) = self.split();
        let mut places = Vec::with_capacity(state.memories.len());
        for MemoryState { item, len, .. } in &state.memories {
            let data = inner.entities.instances().get(item.instance());
            let memory = data.and_then(|data| data.memories().get(item.index()));
            let memory = memory.ok_or_else(|| unusable(format!("there is no memory {item:?}")))?;
            let memory = memory.clone();
            let limiter = crate::instance::instantiate::reborrow(&mut limiter);
            let before = match &memory {
                MemoryRef::Own(own) => {
                    let memory = &mut inner.entities[*own];
                    let (before, ty) = (memory.len(), memory.ty());
                    grow(&ty, (before, *len), limiter, |pages, limiter| {
                        memory.grow(pages, limiter, &|| false)
                    })?;
                    before
                }
                MemoryRef::Shared(memory) => {
                    let (before, ty) = (memory.len(), memory.ty());
                    grow(&ty, (before, *len), limiter, |pages, limiter| {
                        memory.grow_limited(pages, limiter)
                    })?;
                    before
                }
            };
            places.push((memory, before));
        }
        let (instances, memories) = inner.entities.with_memories_mut();
        let mut free: Vec<_> = memories.map(Some).collect();
        let targets = state.memories.iter().zip(places).map(|(MemoryState { item, .. }, place)| {
            let (memory, before) = place;
            let module = &instances[item.instance()].module().decoded;
            let base = Base::of(module, *item);
            let own = match memory {
                MemoryRef::Own(own) => own.index(),
                // What it was grown by is zero.
                MemoryRef::Shared(memory) => {
                    return Ok(Target { base, touched: before, memory: To::Shared(memory) });
                }
            };
            let memory = free[own].take().ok_or_else(|| unusable("a memory is there twice"))?;
            let imported = item.index::<MemoryIndex>().as_u32() < module.info().imported_memories;
            let touched = match (imported || memory.is_custom(), memory.is_pristine()) {
                (true, _) => memory.len(),
                // It has what its module says, and zeroes.
                (false, true) => 0,
                // What the engine's own memories have grown by is zero.
                (false, false) => before,
            };
            Ok(Target { base, touched, memory: To::Own(memory) })
        });
        targets.collect()
    }
}

/// Grows a memory from a size in bytes to another.
fn grow<'l>(
    ty: &MemoryType,
    (before, len): (usize, u64),
    limiter: Option<&'l mut (dyn Limiter + 'l)>,
    grow: impl FnOnce(u64, Option<&'l mut (dyn Limiter + 'l)>) -> Result<Option<u64>>,
) -> Result<()> {
    let page = 1u64 << ty.page_size_log2;
    let more = len.checked_sub(before as u64).filter(|more| more % page == 0);
    let more =
        more.ok_or_else(|| unusable(format!("a memory has {before} bytes; it is to have {len}")))?;
    if grow(more / page, limiter)?.is_none() {
        return Err(Error::limit(
            LimitKind::Store,
            format!(
                "a memory of {len} bytes is refused: the limits of the store, of the type ({ty}) or of the \
                 system allow no such size",
            ),
        ));
    }
    Ok(())
}
