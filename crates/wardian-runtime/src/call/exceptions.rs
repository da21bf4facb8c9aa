//! Throwing exceptions, and the tags of a store.
//!
//! ```text
//!   throw ── values ──> Exceptions ── handle ──> StoreCtx::thrown ── unwind ──> a handler
//!                            └── handle, if the handler asks for it ──> exnref in the guest
//! ```

use crate::error::{LimitKind, UsageKind};
use crate::exception::Exception;
use crate::ids::{InstanceId, TagId};
use crate::store::exceptions::{MOST, MOST_WORDS, TagData};
use crate::store::inner::StoreInner;
use crate::value::Tag;
use crate::{Error, ErrorKind, Result};
use wardian_module::ItemIndex;
use wardian_types::{FuncType, TagIndex, TrapCode, TypeNumber};

impl StoreInner {
    /// A tag that an instance defines.
    pub(crate) fn add_tag(
        &mut self,
        ty: FuncType,
        sig: TypeNumber,
        origin: Option<(InstanceId, TagIndex)>,
    ) -> TagId {
        self.exceptions.add_tag(TagData { ty, sig, origin })
    }

    /// A tag of the host's.
    pub fn add_host_tag(&mut self, ty: &FuncType) -> Result<TagId> {
        let signature = self.engine().signatures().get(ty)?;
        let sig = signature.number();
        self.keep_signature(signature);
        Ok(self.add_tag(ty.clone(), sig, None))
    }

    /// The store's tag for a tag of an instance.
    pub(crate) fn instance_tag(&self, instance: InstanceId, tag: TagIndex) -> TagId {
        self.entities[instance].tags()[tag]
    }

    /// The signature of a tag.
    pub fn tag_type(&self, tag: TagId) -> &FuncType {
        &self.exceptions.tag(tag).ty
    }

    /// The number of a tag's signature.
    pub(crate) fn tag_signature(&self, tag: TagId) -> TypeNumber {
        self.exceptions.tag(tag).sig
    }

    /// Begins to throw a new exception with a tag of an instance.
    pub(crate) fn throw(
        &mut self,
        instance: InstanceId,
        tag: TagIndex,
        values: &[u64],
    ) -> Result<()> {
        let tag = self.entities[instance].tags()[tag];
        self.make_room(values)?;
        let handle = self.exceptions.insert(tag, values);
        self.begin_throw(handle);
        Ok(())
    }

    /// Begins to throw the exception that a guest refers to.
    pub(crate) fn throw_reference(&mut self, handle: u64) -> Result<()> {
        if self.exceptions.get(handle).is_none() {
            return Err(TrapCode::NullExceptionReference.into());
        }
        self.exceptions.share_fresh();
        self.begin_throw(handle);
        Ok(())
    }

    /// Makes room for an exception with these values. All other handles that guests hold lie where a collection
    /// finds them.
    fn make_room(&mut self, values: &[u64]) -> Result<()> {
        if self.exceptions.is_full() {
            // The values are the guest's still, but its frame may not need them any more.
            let base = self.gc.operands().height();
            self.gc.operands().push_words(values);
            self.collect_garbage(true);
            self.gc.operands().truncate(base);
            // SAFETY: a guest runs, and this is the only use of the limiter.
            let limiter = unsafe { self.running_limiter() };
            if !self.exceptions.ask(limiter)? {
                return Err(Error::limit(
                    LimitKind::Store,
                    format!(
                        "the guest holds {} exceptions with {} KiB of values; the store's limits give no memory for more",
                        self.exceptions.live(),
                        self.exceptions.words() >> 7,
                    ),
                ));
            }
            if self.exceptions.words() > MOST_WORDS || self.exceptions.live() > MOST {
                return Err(Error::limit(
                    LimitKind::Engine,
                    format!(
                        "the guest holds {} exceptions with {} KiB of values; {MOST} and {} KiB are the limit",
                        self.exceptions.live(),
                        self.exceptions.words() >> 7,
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
    pub(crate) fn thrown(&self) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.ctx()).thrown }
    }

    /// Throws no exception any more: it is caught, or something else ends the guest.
    pub(crate) fn end_throw(&mut self) -> u64 {
        // SAFETY: as above.
        unsafe { std::mem::take(&mut (*self.ctx()).thrown) }
    }

    /// The exception that is being thrown as an error, if one is. It is thrown no more.
    pub(crate) fn thrown_error(&mut self) -> Option<Error> {
        let handle = self.end_throw();
        let exception = self.exception_of(handle)?;
        self.exceptions.caught(handle, false);
        Some(Error::new(ErrorKind::Exception(exception)))
    }

    /// What a guest holds as an exception.
    pub(crate) fn exception_of(&self, handle: u64) -> Option<Exception> {
        let (tag, slots) = self.exceptions.get(handle)?;
        let types = self.exceptions.tag(tag).ty.params();
        let mut values = Vec::with_capacity(types.len());
        // SAFETY: they are values of these types, of a guest or from `exception_to_handle`.
        unsafe { self.read_values(types, slots, |_, value| values.push(value)) };
        let name = self.tag_name(tag).map(str::to_owned);
        Some(Exception::new(Tag { store: self.id(), index: tag }, values.into(), name))
    }

    /// The name that the module which defines a tag gives it: in its name section, else as an export.
    fn tag_name(&self, tag: TagId) -> Option<&str> {
        let (instance, index) = self.exceptions.tag(tag).origin?;
        let module = &self.entities[instance].module().decoded;
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
        let ty = self.exceptions.tag(tag.index).ty.clone();
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
        self.write_values(exception.values().iter().cloned(), &mut slots)?;
        Ok(self.exceptions.insert(tag.index, &slots))
    }

    /// Notes the error of a host function: an exception is thrown in its guest, other errors end it. An exception
    /// that cannot be thrown becomes an error of another kind.
    #[cold]
    pub(crate) fn fail_in_host(&mut self, error: Error) {
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
