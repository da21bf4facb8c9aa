//! Exceptions of a store, as its guests hold them: handles with a generation.
//!
//! An exception whose handler does not ask for a reference is free as soon as its values have been read,
//! which is before anything else is thrown. Others are free when nothing holds their handle any more: the
//! same collection as for the embedder's values finds that out.

use crate::Result;
use crate::ids::{InstanceId, TagId};
use crate::limiter::Limiter;
use wardian_types::{FuncType, IndexVec, TagIndex, TypeNumber};

/// A tag of a store.
pub(crate) struct TagData {
    /// Its parameters are the values that exceptions carry.
    pub(crate) ty: FuncType,
    /// The engine's number for the signature.
    pub(crate) sig: TypeNumber,
    /// The instance that defines it, and its index there.
    pub(crate) origin: Option<(InstanceId, TagIndex)>,
}

/// The exceptions behind the handles of a store.
///
/// A handle is `generation << 32 | position + 1`; zero is null. A slot that is freed gets a new generation,
/// so an old handle finds nothing.
#[derive(Default)]
pub(crate) struct Exceptions {
    tags: IndexVec<TagId, TagData>,
    slots: IndexVec<Position, Slot>,
    free: Vec<Position>,
    /// Number of exceptions at which to look for those that nobody holds.
    threshold: usize,
    /// Words that all exceptions carry.
    words: usize,
    /// The same for [`Self::words`].
    word_threshold: usize,
    /// Bytes that the store's limiter has granted.
    granted: usize,
    /// Bytes up to which no limiter is asked.
    room: usize,
    /// The exception that was made last, as long as nobody can refer to it.
    fresh: Option<Position>,
    /// An exception that nobody refers to, once its handler has read the values.
    done: Option<Position>,
    /// Those that were marked and whose values were not yet.
    pending: Vec<Position>,
}

wardian_types::index_types! {
    /// Where a handle leads to.
    struct Position;
}

struct Slot {
    generation: u32,
    tag: TagId,
    /// As guests hold them.
    values: Vec<u64>,
    live: bool,
    marked: bool,
}

/// Fewer exceptions, or words in exceptions, than this are not worth a collection.
const LEAST: usize = 1024;

/// Words that the exceptions which a guest holds may carry: 64 MiB.
pub(crate) const MOST_WORDS: usize = 8 << 20;

/// Exceptions that a guest may hold.
pub(crate) const MOST: usize = 4 << 20;

/// Bytes that an exception takes besides its values, about.
const OVERHEAD: usize = 64;

/// Bytes of exceptions that no limiter is asked for.
const FREE: usize = LEAST * (OVERHEAD + 64);

/// Bytes of the exceptions that a guest may hold.
const MOST_BYTES: usize = MOST * OVERHEAD + MOST_WORDS * 8;

impl Exceptions {
    /// Adds a tag.
    pub(crate) fn add_tag(&mut self, tag: TagData) -> TagId {
        self.tags.push(tag)
    }

    /// A tag of the store.
    pub(crate) fn tag(&self, tag: TagId) -> &TagData {
        &self.tags[tag]
    }

    /// How many tags there are.
    pub(crate) fn tag_count(&self) -> usize {
        self.tags.len()
    }

    /// Words that all exceptions carry.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// The exception that was made last is one that somebody can refer to.
    pub(crate) fn share_fresh(&mut self) {
        self.fresh = None;
    }

    pub(crate) fn insert(&mut self, tag: TagId, values: &[u64]) -> u64 {
        self.free_done();
        let position = self.free.pop().unwrap_or_else(|| {
            let values = Vec::new();
            self.slots.push(Slot {
                generation: 1,
                tag: TagId::from_u32(0),
                values,
                live: false,
                marked: false,
            })
        });
        let slot = &mut self.slots[position];
        (slot.tag, slot.live) = (tag, true);
        slot.values.clear();
        slot.values.extend_from_slice(values);
        self.words += values.len();
        self.fresh = Some(position);
        u64::from(slot.generation) << 32 | (u64::from(position.as_u32()) + 1)
    }

    /// An exception of a checkpoint, to which something will refer; its values are set afterwards.
    pub(crate) fn restore(&mut self, tag: TagId, slots: usize) -> u64 {
        let handle = self.insert(tag, &vec![0; slots]);
        self.fresh = None;
        handle
    }

    /// Sets the values of an exception that was made with as many.
    pub(crate) fn set_values(&mut self, handle: u64, values: &[u64]) {
        if let Some(position) = self.position(handle) {
            self.slots[position].values.copy_from_slice(values);
        }
    }

    fn position(&self, handle: u64) -> Option<Position> {
        let position = Position::from_u32((handle as u32).checked_sub(1)?);
        let slot = self.slots.get(position)?;
        (u64::from(slot.generation) == handle >> 32 && slot.live).then_some(position)
    }

    /// The tag and the values of an exception; `None` for null, and for what is no handle of this store's.
    pub(crate) fn get(&self, handle: u64) -> Option<(TagId, &[u64])> {
        let slot = &self.slots[self.position(handle)?];
        Some((slot.tag, &slot.values))
    }

    /// Notes that an exception is caught by a handler that takes its values, or by one that refers to it
    /// besides. Without a reference it is free when the next one is made.
    pub(crate) fn caught(&mut self, handle: u64, by_reference: bool) {
        let fresh = self.fresh.take();
        if !by_reference && fresh.is_some() && fresh == self.position(handle) {
            self.free_done();
            self.done = fresh;
        }
    }

    fn free_done(&mut self) {
        if let Some(position) = self.done.take() {
            self.release(position);
        }
    }

    fn release(&mut self, position: Position) {
        let slot = &mut self.slots[position];
        slot.live = false;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.words -= slot.values.len();
        // A few words are kept for the next exception.
        slot.values.clear();
        if slot.values.capacity() > 64 {
            slot.values = Vec::new();
        }
        self.free.push(position);
    }

    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.live() == 0
    }

    /// Bytes that the store's limiter has granted.
    pub(crate) fn granted(&self) -> usize {
        self.granted
    }

    fn bytes(&self) -> usize {
        self.live() * OVERHEAD + self.words * 8
    }

    /// Whether a collection is due.
    pub(crate) fn is_full(&self) -> bool {
        self.live() > self.threshold.max(LEAST)
            || self.words > self.word_threshold.max(8 * LEAST)
            || self.bytes() > self.room.max(FREE)
    }

    /// Asks the limiter for as many bytes again as there are, or for a few if that is too much. It may refuse as long
    /// as there is room for what there is.
    pub(crate) fn ask(&mut self, limiter: Option<&mut dyn Limiter>) -> Result<bool> {
        let (bytes, room) = (self.bytes(), self.room.max(FREE));
        if bytes <= room / 4 * 3 {
            return Ok(true);
        }
        let Some(limiter) = limiter else {
            self.room = bytes * 2;
            return Ok(true);
        };
        for wanted in [bytes * 2, bytes + (64 << 10)].map(|wanted| wanted.min(MOST_BYTES)) {
            if wanted > room && limiter.memory_growing(self.granted, wanted, Some(MOST_BYTES))? {
                (self.granted, self.room) = (wanted, wanted);
                return Ok(true);
            }
        }
        Ok(bytes <= room)
    }

    /// Notes that a word is held somewhere; words that are no handles do not matter.
    pub(crate) fn mark(&mut self, word: u64) {
        if let Some(position) = self.position(word)
            && !std::mem::replace(&mut self.slots[position].marked, true)
        {
            self.pending.push(position);
        }
    }

    /// The values of an exception that was marked, to be marked in turn; none if there is no further.
    pub(crate) fn next_marked(&mut self) -> Option<Vec<u64>> {
        let position = self.pending.pop()?;
        Some(self.slots[position].values.clone())
    }

    /// Passes all words that exceptions carry to `f`.
    pub(crate) fn each_word(&self, mut f: impl FnMut(u64)) {
        let live = self.slots.iter().filter(|slot| slot.live);
        live.flat_map(|slot| &slot.values).for_each(|word| f(*word));
    }

    /// Frees all exceptions that were not marked since the last time.
    pub(crate) fn sweep(&mut self) {
        (self.fresh, self.done) = (None, None);
        for position in self.slots.indices() {
            let slot = &mut self.slots[position];
            let marked = std::mem::take(&mut slot.marked);
            if slot.live && !marked {
                self.release(position);
            }
        }
        self.threshold = 2 * self.live();
        self.word_threshold = 2 * self.words;
    }
}
