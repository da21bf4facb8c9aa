//! Exceptions of a store, as its guests hold them: handles with a generation.
//!
//! ```text
//!   throw ── values ──> Exceptions ── handle ──> StoreCtx::thrown ── unwind ──> a handler
//!                            └── handle, if the handler asks for it ──> exnref in the guest
//! ```
//!
//! An exception whose handler does not ask for a reference is free as soon as its values have been read,
//! which is before anything else is thrown. Others are free when nothing holds their handle any more: the
//! same collection as for the embedder's values finds that out.

use super::store::StoreInner;
use crate::error::{LimitKind, UsageKind};
use crate::limits::ResourceLimiter;
use crate::{Error, ErrorKind, Exception, Result, Tag, Val};
use wardian_module::ItemIndex;
use wardian_types::{FuncType, TrapCode};

/// A tag of a store.
pub(crate) struct TagData {
    /// Its parameters are the values that exceptions carry.
    ty: FuncType,
    /// The engine's number for the signature.
    sig: u32,
    /// The instance that defines it, and its index there.
    origin: Option<(u32, u32)>,
}

/// The exceptions behind the handles of a store.
///
/// A handle is `generation << 32 | position + 1`; zero is null. A slot that is freed gets a new generation,
/// so an old handle finds nothing.
#[derive(Default)]
pub(crate) struct Exceptions {
    slots: Vec<Slot>,
    free: Vec<u32>,
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
    fresh: Option<u32>,
    /// An exception that nobody refers to, once its handler has read the values.
    done: Option<u32>,
    /// Those that were marked and whose values were not yet.
    pending: Vec<u32>,
}

struct Slot {
    generation: u32,
    tag: u32,
    /// As guests hold them.
    values: Vec<u64>,
    live: bool,
    marked: bool,
}

/// Fewer exceptions, or words in exceptions, than this are not worth a collection.
const LEAST: usize = 1024;

/// Words that the exceptions which a guest holds may carry: 64 MiB.
const MOST_WORDS: usize = 8 << 20;

/// Exceptions that a guest may hold.
const MOST: usize = 4 << 20;

/// Bytes that an exception takes besides its values, about.
const OVERHEAD: usize = 64;

/// Bytes of exceptions that no limiter is asked for.
const FREE: usize = LEAST * (OVERHEAD + 64);

/// Bytes of the exceptions that a guest may hold.
const MOST_BYTES: usize = MOST * OVERHEAD + MOST_WORDS * 8;

impl Exceptions {
    fn insert(&mut self, tag: u32, values: &[u64]) -> u64 {
        self.free_done();
        let position = self.free.pop().unwrap_or_else(|| {
            let values = Vec::new();
            self.slots.push(Slot { generation: 1, tag: 0, values, live: false, marked: false });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[position as usize];
        (slot.tag, slot.live) = (tag, true);
        slot.values.clear();
        slot.values.extend_from_slice(values);
        self.words += values.len();
        self.fresh = Some(position);
        u64::from(slot.generation) << 32 | (u64::from(position) + 1)
    }

    /// An exception of a checkpoint, to which something will refer; its values are set afterwards.
    pub(super) fn restore(&mut self, tag: u32, slots: usize) -> u64 {
        let handle = self.insert(tag, &vec![0; slots]);
        self.fresh = None;
        handle
    }

    /// Sets the values of an exception that was made with as many.
    pub(super) fn set_values(&mut self, handle: u64, values: &[u64]) {
        if let Some(position) = self.position(handle) {
            self.slots[position as usize].values.copy_from_slice(values);
        }
    }

    fn position(&self, handle: u64) -> Option<u32> {
        let position = (handle as u32).checked_sub(1)?;
        let slot = self.slots.get(position as usize)?;
        (u64::from(slot.generation) == handle >> 32 && slot.live).then_some(position)
    }

    /// The tag and the values of an exception; `None` for null, and for what is no handle of this store's.
    pub(super) fn get(&self, handle: u64) -> Option<(u32, &[u64])> {
        let slot = &self.slots[self.position(handle)? as usize];
        Some((slot.tag, &slot.values))
    }

    /// Notes that an exception is caught by a handler that takes its values, or by one that refers to it
    /// besides. Without a reference it is free when the next one is made.
    pub(super) fn caught(&mut self, handle: u64, by_reference: bool) {
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

    fn release(&mut self, position: u32) {
        let slot = &mut self.slots[position as usize];
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

    fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.live() == 0
    }

    /// Bytes that the store's limiter has granted.
    pub(super) fn granted(&self) -> usize {
        self.granted
    }

    fn bytes(&self) -> usize {
        self.live() * OVERHEAD + self.words * 8
    }

    /// Whether a collection is due.
    pub(super) fn is_full(&self) -> bool {
        self.live() > self.threshold.max(LEAST)
            || self.words > self.word_threshold.max(8 * LEAST)
            || self.bytes() > self.room.max(FREE)
    }

    /// Asks the limiter for as many bytes again as there are, or for a few if that is too much. It may refuse as long
    /// as there is room for what there is.
    pub(super) fn ask(&mut self, limiter: Option<&mut dyn ResourceLimiter>) -> Result<bool> {
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
    pub(super) fn mark(&mut self, word: u64) {
        if let Some(position) = self.position(word)
            && !std::mem::replace(&mut self.slots[position as usize].marked, true)
        {
            self.pending.push(position);
        }
    }

    /// The values of an exception that was marked, to be marked in turn; none if there is no further.
    pub(super) fn next_marked(&mut self) -> Option<Vec<u64>> {
        let position = self.pending.pop()?;
        Some(self.slots[position as usize].values.clone())
    }

    /// Passes all words that exceptions carry to `f`.
    pub(super) fn each_word(&self, mut f: impl FnMut(u64)) {
        let live = self.slots.iter().filter(|slot| slot.live);
        live.flat_map(|slot| &slot.values).for_each(|word| f(*word));
    }

    /// Frees all exceptions that were not marked since the last time.
    pub(super) fn sweep(&mut self) {
        (self.fresh, self.done) = (None, None);
        for position in 0..self.slots.len() as u32 {
            let slot = &mut self.slots[position as usize];
            let marked = std::mem::take(&mut slot.marked);
            if slot.live && !marked {
                self.release(position);
            }
        }
        self.threshold = 2 * self.live();
        self.word_threshold = 2 * self.words;
    }
}

impl StoreInner {
    /// A tag that an instance defines.
    pub(super) fn add_tag(&mut self, ty: FuncType, sig: u32, origin: Option<(u32, u32)>) -> u32 {
        self.tags.push(TagData { ty, sig, origin });
        self.tags.len() as u32 - 1
    }

    /// A tag of the host's.
    pub(crate) fn add_host_tag(&mut self, ty: &FuncType) -> Result<u32> {
        let signature = self.engine().signatures().get(ty)?;
        let sig = signature.number();
        self.keep_signature(signature);
        Ok(self.add_tag(ty.clone(), sig, None))
    }

    /// The store's tag for a tag of an instance.
    pub(crate) fn instance_tag(&self, instance: u32, tag: u32) -> u32 {
        self.instances[instance as usize].tags[tag as usize]
    }

    /// The signature of a tag.
    pub(crate) fn tag_type(&self, tag: u32) -> &FuncType {
        &self.tags[tag as usize].ty
    }

    /// The number of a tag's signature.
    pub(crate) fn tag_signature(&self, tag: u32) -> u32 {
        self.tags[tag as usize].sig
    }

    /// Begins to throw a new exception with a tag of an instance.
    pub(super) fn throw(&mut self, instance: u32, tag: u32, values: &[u64]) -> Result<()> {
        let tag = self.instances[instance as usize].tags[tag as usize];
        self.make_room(values)?;
        let handle = self.exceptions.insert(tag, values);
        self.begin_throw(handle);
        Ok(())
    }

    /// Begins to throw the exception that a guest refers to.
    pub(super) fn throw_reference(&mut self, handle: u64) -> Result<()> {
        if self.exceptions.get(handle).is_none() {
            return Err(TrapCode::NullExceptionReference.into());
        }
        self.exceptions.fresh = None;
        self.begin_throw(handle);
        Ok(())
    }

    /// Makes room for an exception with these values. All other handles that guests hold lie where a collection
    /// finds them.
    fn make_room(&mut self, values: &[u64]) -> Result<()> {
        if self.exceptions.is_full() {
            // The values are the guest's still, but its frame may not need them any more.
            let base = self.gc.constants.len();
            self.gc.constants.extend(values.iter().map(|word| [*word, 0]));
            self.collect_garbage(true);
            self.gc.constants.truncate(base);
            // SAFETY: a guest runs, and this is the only use of the limiter.
            let limiter = unsafe { self.running_limiter() };
            if !self.exceptions.ask(limiter)? {
                return Err(Error::limit(
                    LimitKind::Store,
                    format!(
                        "the guest holds {} exceptions with {} KiB of values; the store's limits give no memory for more",
                        self.exceptions.live(),
                        self.exceptions.words >> 7,
                    ),
                ));
            }
            if self.exceptions.words > MOST_WORDS || self.exceptions.live() > MOST {
                return Err(Error::limit(
                    LimitKind::Engine,
                    format!(
                        "the guest holds {} exceptions with {} KiB of values; {MOST} and {} KiB are the limit",
                        self.exceptions.live(),
                        self.exceptions.words >> 7,
                        MOST_WORDS >> 7
                    ),
                ));
            }
        }
        Ok(())
    }

    fn begin_throw(&mut self, handle: u64) {
        // SAFETY: the context is valid and ours.
        unsafe {
            let ctx = &mut *self.ctx();
            ctx.thrown = handle;
            ctx.exit = 1;
        }
    }

    /// The exception that is being thrown, if one is.
    pub(super) fn thrown(&self) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.ctx()).thrown }
    }

    /// Throws no exception any more: it is caught, or something else ends the guest.
    pub(super) fn end_throw(&mut self) -> u64 {
        // SAFETY: as above.
        unsafe { std::mem::take(&mut (*self.ctx()).thrown) }
    }

    /// The exception that is being thrown as an error, if one is. It is thrown no more.
    pub(super) fn thrown_error(&mut self) -> Option<Error> {
        let handle = self.end_throw();
        let exception = self.exception_of(handle)?;
        self.exceptions.caught(handle, false);
        Some(Error::new(ErrorKind::Exception(exception)))
    }

    /// What a guest holds as an exception.
    pub(crate) fn exception_of(&self, handle: u64) -> Option<Exception> {
        let (tag, slots) = self.exceptions.get(handle)?;
        let types = self.tags[tag as usize].ty.params();
        let mut values = vec![Val::I32(0); types.len()];
        // SAFETY: they are values of these types, of a guest or from `exception_to_handle`.
        unsafe { self.read_values(types, slots, &mut values) };
        let name = self.tag_name(tag).map(str::to_owned);
        Some(Exception::named(Tag { store: self.id(), index: tag }, values, name))
    }

    /// The name that the module which defines a tag gives it: in its name section, else as an export.
    fn tag_name(&self, tag: u32) -> Option<&str> {
        let (instance, index) = self.tags[tag as usize].origin?;
        let module = &self.instances[instance as usize].module.decoded;
        let exported = || {
            let exports = &module.info().exports;
            exports.iter().find(|e| e.item == ItemIndex::Tag(index)).map(|e| e.name.as_str())
        };
        module.names().tags.get(&index).map(String::as_str).or_else(exported)
    }

    /// An exception of the embedder's as guests hold it. It collects nothing: other values of the embedder's may be
    /// on their way to a guest.
    pub(crate) fn exception_to_handle(&mut self, exception: &Exception) -> Result<u64> {
        let tag = exception.tag();
        if tag.store != self.id() {
            return Err(Error::usage(
                UsageKind::OtherStore,
                "an exception with a tag of another store",
            ));
        }
        let ty = self.tags[tag.index as usize].ty.clone();
        let (wanted, found) = (ty.params().len(), exception.values().len());
        if wanted != found {
            return Err(Error::usage(
                UsageKind::Type,
                format!("an exception carries {found} values; its tag says {wanted}"),
            ));
        }
        for (value, ty) in exception.values().iter().zip(ty.params()) {
            if let Err(found) = self.check_value(value, *ty) {
                return Err(Error::usage(
                    UsageKind::Type,
                    format!("an exception carries a {found} for a {ty}"),
                ));
            }
        }
        let mut slots = vec![0; ty.param_slots()];
        self.write_values(exception.values(), &mut slots)?;
        Ok(self.exceptions.insert(tag.index, &slots))
    }

    /// Notes the error of a host function: an exception is thrown in its guest, other errors end it. An exception
    /// that cannot be thrown becomes an error of another kind.
    #[cold]
    pub(super) fn fail_in_host(&mut self, error: Error) {
        let exception = error.exception().cloned();
        let thrown = exception.map(|exception| {
            self.make_room(&[])?;
            self.exception_to_handle(&exception)
        });
        match thrown {
            None => self.fail(error),
            Some(Err(other)) => self.fail(other),
            Some(Ok(handle)) => {
                self.begin_throw(handle);
                self.fail(error);
            }
        }
    }
}
