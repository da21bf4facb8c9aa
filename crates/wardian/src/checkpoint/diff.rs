//! In what two checkpoints differ.

use super::{Checkpoint, CheckpointFrame};
use crate::Error;
use crate::{Engine, Module, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use wardian_runtime::checkpoint::pages::{Base, CHUNK, Chunk, ChunkIndex, Hash};
use wardian_runtime::checkpoint::state::{FrameState, Item, ModuleNumber, State, Value};

/// Bytes of the pages whose ranges are given.
const PAGE: usize = 4096;

/// In what two checkpoints differ: [`Checkpoint::diff`]. Parts that are the same are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointDiff {
    /// Whether the modules or the instances are others. The rest is compared by the positions of instances.
    pub instances: bool,
    /// The frames of the guest.
    pub frames: FramesDiff,
    /// Globals with other values.
    pub globals: Vec<GlobalDiff>,
    /// Memories with other contents or another size.
    pub memories: Vec<MemoryDiff>,
    /// Tables with other elements or another size.
    pub tables: Vec<TableDiff>,
    /// How many objects and exceptions there were, and are, if the numbers differ.
    pub objects: Option<(u64, u64)>,
    /// Fuel that was left, and is, if it differs.
    pub fuel: Option<(Option<i64>, Option<i64>)>,
    /// The names under which the embedder has other state, each once.
    pub host_state: Vec<String>,
}

impl CheckpointDiff {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        *self == CheckpointDiff::default()
    }
}

/// In what the frames of two checkpoints differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FramesDiff {
    /// Outermost frames that are the same in both, with all of their values; zero if no frame differs.
    pub common: usize,
    /// The other frames there were, the innermost first.
    pub before: Vec<CheckpointFrame>,
    /// The other frames there are.
    pub after: Vec<CheckpointFrame>,
}

/// Names something by an instance, and by its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct CheckpointItem {
    /// The position of the instance.
    pub instance: u32,
    /// The index in the space of its kind.
    pub index: u32,
}

impl From<Item> for CheckpointItem {
    fn from(item: Item) -> CheckpointItem {
        CheckpointItem { instance: item.instance().as_u32(), index: item.index_number() }
    }
}

/// A value of a checkpoint, to be shown: numbers as bits, references by what they refer to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CheckpointValue(Value);

impl fmt::Debug for CheckpointValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CheckpointValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bits(bits) => write!(f, "{bits:#x}"),
            Value::Vector(bits) => write!(f, "{bits:#x}"),
            Value::Null => f.write_str("null"),
            Value::Func(item) => {
                let (instance, index) = (item.instance(), item.index_number());
                write!(f, "function {index} of instance {instance}")
            }
            Value::I31(value) => write!(f, "i31 {value:#x}"),
            Value::Object(number) => write!(f, "object {number}"),
            Value::Exception(number) => write!(f, "exception {number}"),
            Value::Shared(number) => write!(f, "the embedder's {number}"),
        }
    }
}

/// A global with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GlobalDiff {
    /// Which one.
    pub item: CheckpointItem,
    /// Its value; none if it was not there.
    pub before: Option<CheckpointValue>,
    /// Its value; none if it is not there any more.
    pub after: Option<CheckpointValue>,
}

/// A memory with other contents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryDiff {
    /// Which one.
    pub item: CheckpointItem,
    /// Its size in bytes; zero if it was not there.
    pub before: u64,
    /// Its size in bytes; zero if it is not there any more.
    pub after: u64,
    /// Bytes that differ, of those that both have.
    pub bytes: u64,
    /// Where they are: ranges of whole pages of 4 KiB, in bytes.
    pub ranges: Vec<Range<u64>>,
}

/// A table with other elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableDiff {
    /// Which one.
    pub item: CheckpointItem,
    /// Its elements; zero if it was not there.
    pub before: u64,
    /// Its elements; zero if it is not there any more.
    pub after: u64,
    /// Elements that differ, of those that both have.
    pub elements: u64,
}

impl Checkpoint {
    /// In what another checkpoint, usually a later one, differs from this one. Both have to be whole: see
    /// [`Checkpoint::compact`]. References to objects are compared by the numbers that objects have in the checkpoints.
    ///
    /// # Errors
    ///
    /// One of them has a parent; or a module whose data segments have to be known is not part of it, is not valid in this
    /// engine, or a checkpoint is damaged.
    pub fn diff(&self, other: &Checkpoint, engine: &Engine) -> Result<CheckpointDiff> {
        if self.state.parent.is_some() || other.state.parent.is_some() {
            return Err(super::chain::incremental());
        }
        let (old, new) = (&self.state, &other.state);
        let counts = |state: &State| (state.objects.len() + state.exceptions.len()) as u64;
        let objects = (counts(old), counts(new));
        Ok(CheckpointDiff {
            instances: shape(old) != shape(new),
            frames: self.diff_frames(other),
            globals: diff_globals(old, new),
            memories: self.diff_memories(other, engine)?,
            tables: diff_tables(old, new),
            objects: (objects.0 != objects.1).then_some(objects),
            fuel: (old.fuel != new.fuel).then_some((old.fuel, new.fuel)),
            host_state: diff_host(old, new),
        })
    }

    fn diff_frames(&self, other: &Checkpoint) -> FramesDiff {
        let frames = |checkpoint: &Checkpoint| -> Vec<(CheckpointFrame, FrameState)> {
            let state = checkpoint.state.call.iter().flat_map(|call| &call.frames);
            checkpoint.frames().zip(state.cloned()).collect()
        };
        let (mut before, mut after) = (frames(self), frames(other));
        let pairs = before.iter().rev().zip(after.iter().rev());
        let common = pairs.take_while(|(one, next)| one == next).count();
        before.truncate(before.len() - common);
        after.truncate(after.len() - common);
        let any = !before.is_empty() || !after.is_empty();
        let shown = |frames: Vec<(CheckpointFrame, FrameState)>| {
            frames.into_iter().map(|(frame, _)| frame).collect()
        };
        FramesDiff {
            common: if any { common } else { 0 },
            before: shown(before),
            after: shown(after),
        }
    }

    fn diff_memories(&self, other: &Checkpoint, engine: &Engine) -> Result<Vec<MemoryDiff>> {
        let mut found = Vec::new();
        let (old, new) = (&self.state.memories, &other.state.memories);
        let items: BTreeSet<Item> = old.iter().chain(new).map(|memory| memory.item).collect();
        for item in items {
            let before = self.stored_memory(item, engine)?;
            let after = other.stored_memory(item, engine)?;
            let len = |memory: &Option<StoredMemory<'_>>| memory.as_ref().map_or(0, |m| m.len);
            let mut diff = MemoryDiff {
                item: item.into(),
                before: len(&before),
                after: len(&after),
                bytes: 0,
                ranges: Vec::new(),
            };
            if let (Some(before), Some(after)) = (before, after) {
                diff.add_chunks(&before, &after)?;
            }
            if diff.before != diff.after || diff.bytes != 0 {
                found.push(diff);
            }
        }
        Ok(found)
    }

    /// A memory with what is needed to read it.
    fn stored_memory(&self, item: Item, engine: &Engine) -> Result<Option<StoredMemory<'_>>> {
        let Some(at) = self.state.memories.iter().position(|memory| memory.item == item) else {
            return Ok(None);
        };
        let instance = self.state.instances.get(item.instance().index());
        let module = match instance {
            Some(instance) => self.module(engine, instance.module.index())?,
            None => None,
        };
        let chunks = self.memories[at].iter().map(|chunk| (chunk.index, chunk)).collect();
        let hash = self.state.module_of(item);
        Ok(Some(StoredMemory { item, len: self.state.memories[at].len, chunks, module, hash }))
    }
}

/// A memory of a checkpoint.
struct StoredMemory<'c> {
    item: Item,
    len: u64,
    chunks: BTreeMap<ChunkIndex, &'c Chunk>,
    module: Option<Module>,
    hash: Hash,
}

impl StoredMemory<'_> {
    /// The first bytes of a chunk; of one that is not stored what the module puts there.
    fn read(&self, index: ChunkIndex, base: Option<&Base<'_>>, bytes: &mut [u8]) -> Result<()> {
        match self.chunks.get(&index) {
            Some(chunk) => {
                let len = usize::try_from(self.len).unwrap_or(usize::MAX);
                let mut all = vec![0; index.range_in(len)?.len()];
                chunk.unpack_alone(&mut all)?;
                bytes.copy_from_slice(&all[..bytes.len()]);
            }
            None => {
                let base = base.ok_or_else(|| {
                    Error::damaged(
                        "a module is not part of it, so that what its memory had at first is not known",
                    )
                })?;
                base.read(index, bytes);
            }
        }
        Ok(())
    }

    fn base(&self) -> Option<Base<'_>> {
        self.module.as_ref().map(|module| Base::of(&module.0.decoded, self.item))
    }
}

impl MemoryDiff {
    fn add_chunks(&mut self, before: &StoredMemory<'_>, after: &StoredMemory<'_>) -> Result<()> {
        let len = before.len.min(after.len);
        let (old_base, new_base) = (before.base(), after.base());
        // Chunks that neither has are what the module puts there.
        let mut chunks: BTreeSet<ChunkIndex> =
            before.chunks.keys().chain(after.chunks.keys()).copied().collect();
        if before.hash != after.hash {
            chunks.extend(old_base.iter().chain(&new_base).flat_map(Base::chunks));
        }
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for index in chunks {
            let Some(start) = index.start().filter(|start| *start < len) else {
                continue;
            };
            let stored = (before.chunks.get(&index), after.chunks.get(&index));
            if let (Some(one), Some(next)) = stored
                && one.hash == next.hash
                && before.len == after.len
            {
                continue;
            }
            let size = (len - start).min(CHUNK as u64) as usize;
            old.resize(size, 0);
            new.resize(size, 0);
            before.read(index, old_base.as_ref(), &mut old)?;
            after.read(index, new_base.as_ref(), &mut new)?;
            self.add_pages(start, &old, &new);
        }
        Ok(())
    }

    fn add_pages(&mut self, start: u64, old: &[u8], new: &[u8]) {
        for (number, (old, new)) in old.chunks(PAGE).zip(new.chunks(PAGE)).enumerate() {
            if old == new {
                continue;
            }
            self.bytes += old.iter().zip(new).filter(|(one, next)| one != next).count() as u64;
            let from = start + (number * PAGE) as u64;
            let to = from + old.len() as u64;
            match self.ranges.last_mut() {
                Some(last) if last.end == from => last.end = to,
                _ => self.ranges.push(from..to),
            }
        }
    }
}

/// An instance: its module, its name, the code that it was closed with.
type Instance<'s> = (ModuleNumber, Option<&'s str>, Option<u32>);

/// Modules and instances, without what is shown otherwise.
fn shape(state: &State) -> (Vec<Hash>, Vec<Instance<'_>>) {
    let modules = state.modules.iter().map(|module| module.hash).collect();
    let instances = state.instances.iter();
    let instances =
        instances.map(|instance| (instance.module, instance.name.as_deref(), instance.closed));
    (modules, instances.collect())
}

fn diff_globals(old: &State, new: &State) -> Vec<GlobalDiff> {
    let values = |state: &State| -> BTreeMap<Item, Value> {
        state.globals.iter().map(|global| (global.item, global.value)).collect()
    };
    let (old, new) = (values(old), values(new));
    let items: BTreeSet<Item> = old.keys().chain(new.keys()).copied().collect();
    let each = items.into_iter().map(|item| GlobalDiff {
        item: item.into(),
        before: old.get(&item).copied().map(CheckpointValue),
        after: new.get(&item).copied().map(CheckpointValue),
    });
    each.filter(|diff| diff.before != diff.after).collect()
}

fn diff_tables(old: &State, new: &State) -> Vec<TableDiff> {
    type Elements = BTreeMap<u64, Value>;
    let tables = |state: &State| -> BTreeMap<Item, (u64, Elements)> {
        let table = state.tables.iter().map(|table| {
            let runs = table.runs.iter();
            let elements = runs
                .flat_map(|(start, run)| run.iter().zip(*start..).map(|(value, at)| (at, *value)));
            (table.item, (table.len, elements.collect()))
        });
        table.collect()
    };
    let (old, new) = (tables(old), tables(new));
    let items: BTreeSet<Item> = old.keys().chain(new.keys()).copied().collect();
    let none = (0, Elements::new());
    let each = items.into_iter().map(|item| {
        let (before, after) = (old.get(&item).unwrap_or(&none), new.get(&item).unwrap_or(&none));
        let len = before.0.min(after.0);
        let places: BTreeSet<u64> = before.1.keys().chain(after.1.keys()).copied().collect();
        let differ = |at: &u64| *at < len && before.1.get(at) != after.1.get(at);
        let elements = places.iter().filter(|at| differ(at)).count() as u64;
        TableDiff { item: item.into(), before: before.0, after: after.0, elements }
    });
    each.filter(|diff| diff.before != diff.after || diff.elements != 0).collect()
}

fn diff_host(old: &State, new: &State) -> Vec<String> {
    let names: BTreeSet<&String> = old.host.iter().chain(&new.host).map(|(name, _)| name).collect();
    let differ = |name: &&&String| old.host_state(name) != new.host_state(name);
    names.iter().filter(differ).map(|name| (**name).clone()).collect()
}
