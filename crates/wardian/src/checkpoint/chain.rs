//! Checkpoints that store what has changed since another one.

use super::Checkpoint;
use crate::error::CheckpointErrorKind;
use crate::{Error, Result};
use std::collections::BTreeMap;
use wardian_runtime::checkpoint::pages::{Chunk, Hash};
use wardian_runtime::checkpoint::state::{MemoryNumber, MemoryState, State};
use wardian_types::IndexVec;

/// The error of one that has a parent where a whole one is needed.
pub(super) fn incremental() -> Error {
    Error::checkpoint(
        CheckpointErrorKind::Missing,
        "the checkpoint has only what has changed since its parent: join it with that by Checkpoint::compact, or give \
         both to a CheckpointReader",
    )
}

impl Checkpoint {
    /// Joins the checkpoint with its parents, if it has any: the result has everything, and no parent. `parents` finds
    /// the checkpoint with a hash, [`Checkpoint::hash`].
    ///
    /// # Errors
    ///
    /// Those of `parents`; or what it gives is another checkpoint, or does not fit.
    pub fn compact(
        mut self,
        mut parents: impl FnMut(&[u8; 32]) -> Result<Checkpoint>,
    ) -> Result<Checkpoint> {
        while let Some(hash) = self.state.parent {
            let parent = parents(&hash)?;
            check_hash(&hash, &parent.hash()?)?;
            self.join(parent)?;
            (self.root, self.index) = (None, None);
        }
        Ok(self)
    }

    /// Adds what the parent has and this one does not.
    fn join(&mut self, parent: Checkpoint) -> Result<()> {
        for (module, state) in self.modules.iter_mut().zip(&self.state.modules) {
            if module.bytes.is_none() {
                let same = parent.state.modules.iter().zip(&parent.modules);
                let mut found = same.filter(|(known, _)| known.hash == state.hash);
                *module = found.next().map(|(_, module)| module.clone()).unwrap_or_default();
            }
        }
        let places = places(&self.state, &parent.state)?;
        let Checkpoint { state, mut memories, .. } = parent;
        let is_outside = |memory: &MemoryState, chunks: &[Chunk]| {
            chunks
                .last()
                .is_some_and(|last| last.index.start().is_none_or(|start| start >= memory.len))
        };
        if state.memories.iter().zip(&memories).any(|(memory, all)| is_outside(memory, all)) {
            return Err(Error::damaged("a part of a memory is outside of it"));
        }
        for (at, place) in places.into_iter().enumerate() {
            let Some(own) = place.map(MemoryNumber::index) else { continue };
            let mut all: BTreeMap<_, _> =
                std::mem::take(&mut memories[at]).into_iter().map(|c| (c.index, c)).collect();
            let newer = std::mem::take(&mut self.memories[own]);
            all.extend(newer.into_iter().map(|chunk| (chunk.index, chunk)));
            self.memories[own] = all.into_values().collect();
            self.state.memories[own].on_parent = state.memories[at].on_parent;
        }
        self.state.parent = state.parent;
        if self.state.parent.is_none() {
            self.state.memories.iter_mut().for_each(|memory| memory.on_parent = false);
        }
        Ok(())
    }
}

/// Whether a checkpoint is the parent that was asked for.
pub(super) fn check_hash(wanted: &Hash, found: &Hash) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    let hex = |hash: &Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Err(Error::checkpoint(
        CheckpointErrorKind::Missing,
        format!("the parent of the checkpoint is {}, and {} was given", hex(wanted), hex(found)),
    ))
}

/// For each memory of a parent the memory of the child that is stored as what has changed since.
pub(super) fn places(
    child: &State,
    parent: &State,
) -> Result<IndexVec<MemoryNumber, Option<MemoryNumber>>> {
    let mut places: IndexVec<MemoryNumber, _> = parent.memories.iter().map(|_| None).collect();
    for (at, memory) in child.memories.iter().enumerate().filter(|(_, memory)| memory.on_parent) {
        let module = child.module_of(memory.item);
        let fits = |known: &MemoryState| {
            known.item == memory.item
                && known.len <= memory.len
                && parent.module_of(known.item) == module
        };
        let found = parent.memories.iter().position(fits);
        let found = found.map(MemoryNumber::from_usize).filter(|found| places[*found].is_none());
        let found = found.ok_or_else(|| Error::damaged("a memory is not in its parent"))?;
        places[found] = Some(MemoryNumber::from_usize(at));
    }
    Ok(places)
}
