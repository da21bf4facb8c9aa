//! A call of which listeners are notified, as they see it.

use crate::ids::InstanceId;
use crate::listen::hook::{Described, Hook, OpenCall, Target};
use crate::store::inner::StoreInner;
use crate::value::Val;
use wardian_types::ValType;

/// A call of a running guest, as listeners see it.
pub struct LiveCall<'a> {
    pub(super) store: &'a StoreInner,
    // Not a copy: what was just written would be read back in wider pieces, which stalls.
    pub(super) call: &'a OpenCall,
    pub(super) event: Event,
}

/// What listeners are notified of: in one word, since it is written for each event. The lowest bits of the address of
/// the call's slots, which are aligned to eight bytes, say which.
#[derive(Clone, Copy)]
pub(super) struct Event(*const u64);

impl Event {
    /// The call is aborted or resumed.
    pub(super) const OTHER: Event = Event(std::ptr::null());
    /// It ends by a tail call.
    pub(super) const TAIL_CALLS: Event = Event(std::ptr::without_provenance(2));

    /// It begins with these parameters, as guests hold them.
    #[inline]
    pub(super) fn begins(params: *const u64) -> Event {
        Event(params)
    }

    /// It returns these results, as guests hold them.
    #[inline]
    pub(super) fn returns(results: *const u64) -> Event {
        Event(results.wrapping_byte_add(1))
    }

    fn params(self) -> Option<*const u64> {
        (!self.0.is_null() && self.0.addr() & 7 == 0).then_some(self.0)
    }

    fn results(self) -> Option<*const u64> {
        (self.0.addr() & 7 == 1).then(|| self.0.wrapping_byte_sub(1))
    }

    fn is_tail_call(self) -> bool {
        self.0.addr() & 7 == 2
    }
}

impl<'a> LiveCall<'a> {
    /// The function that is called.
    #[inline]
    pub fn definition(&self) -> Described<'a> {
        self.hook().definition()
    }

    /// What is known of the function.
    #[inline]
    pub fn hook(&self) -> &'a Hook {
        // SAFETY: hooks live as long as the store.
        unsafe { &*self.call.hook }
    }

    /// Its store.
    #[inline]
    pub fn store(&self) -> &'a StoreInner {
        self.store
    }

    /// The instance that is called, if it is a guest's function.
    #[inline]
    pub fn callee(&self) -> Option<InstanceId> {
        match self.hook().target {
            Target::Wasm { instance, .. } => Some(instance),
            Target::Host(_) => None,
        }
    }

    /// The instance that calls.
    #[inline]
    pub fn caller(&self) -> Option<InstanceId> {
        self.store.instance_at(self.call.caller)
    }

    /// The number of the call: each once in the life of a store.
    #[inline]
    pub fn id(&self) -> u64 {
        self.call.id
    }

    /// Whether it ends by a tail call.
    pub fn is_tail_call(&self) -> bool {
        self.event.is_tail_call()
    }

    /// The parameter with this index, if the call begins.
    pub fn param(&self, index: usize) -> Option<Val> {
        let slots = self.event.params()?;
        // SAFETY: they are the parameters as the guest gives them, which wait until listeners are done.
        unsafe { self.value(self.hook().target.ty().params(), slots, index) }
    }

    /// The result with this index, if the call returns.
    pub fn result(&self, index: usize) -> Option<Val> {
        let slots = self.event.results()?;
        // SAFETY: as for parameters.
        unsafe { self.value(self.hook().target.ty().results(), slots, index) }
    }

    /// # Safety
    ///
    /// The slots hold values of these types from a guest of the store.
    unsafe fn value(&self, types: &[ValType], slots: *const u64, index: usize) -> Option<Val> {
        let ty = *types.get(index)?;
        let before: usize = types[..index].iter().map(|ty| ty.slots()).sum();
        // SAFETY: the caller's promise.
        unsafe {
            let slots = std::slice::from_raw_parts(slots.add(before), ty.slots());
            Some(self.store.read_value(ty, slots))
        }
    }

    /// The number of its store.
    #[inline]
    pub fn store_id(&self) -> u64 {
        self.store.id()
    }
}
