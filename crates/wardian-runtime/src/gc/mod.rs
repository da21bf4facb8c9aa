//! Objects of guests: the heap of a store, its types, and allocation.
//!
//! ```text
//!   StoreInner ── gc: Gc ── heap ──> wardian_vm::heap      StoreCtx.heap: where code allocates
//!                    ├──── types    by the engine's number: layout and supertypes of structs and arrays
//!                    └──── roots    objects that the embedder holds
//! ```
//!
//! A reference to an object is a 32-bit word: zero for null, an odd number for an integer of 31 bits, otherwise
//! an offset in the heap. Objects never move.
//!
//! | file | subject |
//! |---|---|
//! | `mod.rs` | the heap, types, allocation |
//! | `collect.rs` | collections and their roots |
//! | `held.rs` | objects that the calls of a backtrace hold |
//! | `fields.rs` | fields as values, functions and external values in objects |
//! | `arrays.rs` | operators on whole arrays |
//! | `image.rs` | the heap in snapshots with state |
//! | `access.rs` | what the embedder's API does with objects |
//!
//! What the store keeps for that is in `objects.rs`, `operands.rs`, `roots.rs` and `timeline.rs`, which do not know the
//! store.
#![allow(unsafe_code, reason = "it reads what guests hold")]

mod access;
mod arrays;
mod collect;
mod fields;
mod held;
mod image;
pub mod objects;
pub mod operands;
pub mod roots;
mod stress;
pub mod timeline;

use crate::code::signatures::Signature;
use crate::error::LimitKind;
use crate::gc::objects::{Layout, ObjectType, Observer};
use crate::ids::InstanceId;
use crate::instance::instantiate::reborrow;
use crate::limiter::Limiter;
use crate::store::inner::StoreInner;
use crate::{Error, ErrorKind, Result};
pub use access::Initial;
use wardian_types::{ObjectOffset, TypeIndex, TypeNumber};
use wardian_vm::addr::DataAddr;
use wardian_vm::heap::shape::{EXTERN_BOX, EXTERN_BOX_TYPE, STRUCT, array_size};
use wardian_vm::heap::{Displays, Heap, HeapRef, HeapStats, HeapWords};

/// Bytes of a heap when the first object is allocated.
const FIRST: usize = 256 << 10;

/// Below this size a heap grows rather than collect.
const SMALL: usize = 4 << 20;

impl StoreInner {
    /// The words by which guests allocate.
    fn heap_words(&self) -> *mut HeapWords {
        // SAFETY: the context lives as long as the store.
        unsafe { &raw mut (*self.ctx()).heap }
    }

    /// Makes sure that objects of a type can be allocated, and so that there is a heap.
    pub(crate) fn add_object_type(&mut self, signature: &Signature) -> Result<()> {
        let number = signature.number();
        if self.gc.types().contains_key(&number) {
            return Ok(());
        }
        if let Some(ty) = ObjectType::new(signature) {
            if !Displays::has_row(number) {
                return Err(crate::code::signatures::too_many_types());
            }
            self.ensure_heap()?;
            self.gc.add_type(number, ty);
        }
        Ok(())
    }

    /// Compiled code reads the base of the heap without a look at whether there is one: it is made together with the
    /// first instance that has types of objects.
    fn ensure_heap(&mut self) -> Result<()> {
        if self.gc.heap().is_some() {
            return Ok(());
        }
        // SAFETY: the context lives as long as the store; code that uses these words does not run now.
        let words = unsafe { &mut *self.heap_words() };
        let mut heap = Heap::new(words)
            .map_err(|error| Error::system("no address space for a heap of 4 GiB", error))?;
        let config = self.engine().settings();
        heap.set_poison(config.gc_stress || config.gc_stress_at_safepoints);
        self.gc.set_heap(heap);
        self.publish_displays();
        Ok(())
    }

    /// Where the heap begins, for the lifetime of the store; null if there is none yet.
    pub(crate) fn heap_base(&self) -> *mut u8 {
        // SAFETY: the context lives as long as the store, and no guest runs.
        unsafe { (*self.heap_words()).base }
    }

    /// Gives code the table of supertypes, once the engine has one.
    pub(crate) fn publish_displays(&mut self) {
        let displays =
            self.engine().signatures().displays().map_or(DataAddr::NULL, Displays::address);
        // SAFETY: the context lives as long as the store, and no guest runs.
        unsafe { (*self.ctx()).displays = displays };
    }

    /// The heap, if there is one.
    pub fn heap(&self) -> Option<&Heap> {
        self.gc.heap()
    }

    /// Sets the observer of collections.
    pub fn observe_collections(&mut self, observer: Option<Observer>) {
        let before = self.gc.set_observer(observer);
        wardian_vm::contain::drop_contained(before);
    }

    /// Statistics of the heap.
    pub fn heap_stats(&self) -> HeapStats {
        self.gc.heap().map(Heap::stats).unwrap_or_default()
    }

    /// The type of an object.
    pub fn object_type(&self, object: HeapRef) -> Option<&ObjectType> {
        let (number, length) = self.heap()?.header(object)?;
        let ty = self.gc.types().get(&number)?;
        ty.shape.size(length).is_some().then_some(ty)
    }

    /// The type with this number.
    pub(crate) fn known_object_type(&self, number: TypeNumber) -> Option<&ObjectType> {
        self.gc.types().get(&number)
    }

    /// The engine's number of a type of an instance's module.
    fn type_number(&self, instance: InstanceId, ty: TypeIndex) -> TypeNumber {
        self.entities[instance].module().signatures[ty]
    }

    /// A struct of a type of an instance's module; its fields are zero.
    pub(crate) fn new_struct(&mut self, instance: InstanceId, ty: TypeIndex) -> Result<HeapRef> {
        let number = self.type_number(instance, ty);
        // SAFETY: a guest runs, and this is the only use of the limiter.
        let limiter = unsafe { self.running_limiter() };
        self.allocate_struct(number, limiter)
    }

    /// An array of a type of an instance's module; its elements are zero.
    pub(crate) fn new_array(
        &mut self,
        instance: InstanceId,
        ty: TypeIndex,
        length: u32,
    ) -> Result<HeapRef> {
        let number = self.type_number(instance, ty);
        // SAFETY: as above.
        let limiter = unsafe { self.running_limiter() };
        self.allocate_array(number, length, limiter)
    }

    pub(crate) fn allocate_struct(
        &mut self,
        number: TypeNumber,
        limiter: Option<&mut dyn Limiter>,
    ) -> Result<HeapRef> {
        let size = match self.gc.types().get(&number).map(|ty| &ty.layout) {
            Some(Layout::Struct(layout)) => layout.size,
            _ => return Err(unknown_type(number)),
        };
        let object = self.allocate_object(u64::from(size), limiter)?;
        self.write_header(object, number, STRUCT);
        Ok(object)
    }

    pub(crate) fn allocate_array(
        &mut self,
        number: TypeNumber,
        length: u32,
        limiter: Option<&mut dyn Limiter>,
    ) -> Result<HeapRef> {
        let element = match self.gc.types().get(&number).map(|ty| &ty.layout) {
            Some(Layout::Array(element)) => *element,
            _ => return Err(unknown_type(number)),
        };
        let size = array_size(element, length);
        if size > Heap::most() as u64 {
            return Err(Error::limit(
                LimitKind::Engine,
                format!(
                    "an array of {length} elements takes {size} bytes; a heap has {} at most",
                    Heap::most()
                ),
            ));
        }
        let object = self.allocate_object(size, limiter)?;
        self.write_header(object, number, length);
        Ok(object)
    }

    /// An object that holds a handle of a value of the embedder's.
    fn allocate_box(&mut self, handle: u64, limiter: Option<&mut dyn Limiter>) -> Result<HeapRef> {
        self.ensure_heap()?;
        let object = self.allocate_object(16, limiter)?;
        self.write_header(object, EXTERN_BOX_TYPE, EXTERN_BOX);
        self.write_field(object, fields::BOXED, handle);
        Ok(object)
    }

    fn write_header(&self, object: HeapRef, number: TypeNumber, length: u32) {
        self.write_field(
            object,
            ObjectOffset::default(),
            u64::from(length) << 32 | u64::from(number.as_u32()),
        );
    }

    /// Room for an object of `size` bytes, all zero.
    fn allocate_object(
        &mut self,
        size: u64,
        mut limiter: Option<&mut dyn Limiter>,
    ) -> Result<HeapRef> {
        let stress = self.engine().settings().gc_stress;
        let mut collected = false;
        if stress {
            self.collect_heap()?;
            collected = true;
        }
        loop {
            // SAFETY: as in `ensure_heap`.
            let words = unsafe { &mut *self.heap_words() };
            let heap = self.gc.heap_mut().ok_or_else(|| unknown_type(TypeNumber::from_u32(0)))?;
            let taken = match stress {
                true => heap.take_alone(words, size),
                false => heap.take(words, size),
            };
            if let Some(object) = taken {
                return Ok(object);
            }
            let capacity = heap.capacity();
            if !collected && capacity >= self.gc.collect_at().max(SMALL) {
                self.collect_heap()?;
                collected = true;
                self.grow_after_collection(reborrow(&mut limiter))?;
                continue;
            }
            match self.grow_heap(size, reborrow(&mut limiter))? {
                true => {}
                false if !collected => {
                    self.collect_heap()?;
                    collected = true;
                }
                false => return Err(self.heap_is_full(size)),
            }
        }
    }

    /// Collects. A guest that is to stop cuts the collection short, and then the error says why it stops.
    fn collect_heap(&mut self) -> Result<()> {
        if self.collect_garbage(false) {
            return Ok(());
        }
        match self.stop_check()() {
            Some(reason) => Err(Error::new(ErrorKind::Stopped(reason))),
            // The request to stop was withdrawn meanwhile: the heap may grow instead.
            None => Ok(()),
        }
    }

    /// Where much is alive, the heap grows, so that the next collection does not come too soon.
    fn grow_after_collection(&mut self, limiter: Option<&mut dyn Limiter>) -> Result<()> {
        let HeapStats { live_bytes, capacity, .. } = self.heap_stats();
        let wanted = live_bytes.saturating_mul(2).min(Heap::most());
        self.gc.set_collect_at(wanted);
        if wanted > capacity {
            self.grow_heap_to(wanted, limiter)?;
        }
        Ok(())
    }

    /// Grows the heap for an object of `size` bytes; false if that is not allowed or possible.
    fn grow_heap(&mut self, size: u64, mut limiter: Option<&mut dyn Limiter>) -> Result<bool> {
        let capacity = self.heap_stats().capacity;
        // An object needs a run: what is left at the end of the heap may be too short.
        let least = capacity.saturating_add(size as usize).next_multiple_of(64 << 10);
        if least > Heap::most() {
            return Ok(capacity + (size as usize) <= Heap::most()
                && self.grow_heap_to(Heap::most(), limiter)?);
        }
        let wanted = least.max(FIRST).max(capacity.saturating_mul(2)).min(Heap::most());
        Ok(self.grow_heap_to(wanted, reborrow(&mut limiter))?
            || (wanted > least && self.grow_heap_to(least, limiter)?))
    }

    fn grow_heap_to(
        &mut self,
        wanted: usize,
        mut limiter: Option<&mut dyn Limiter>,
    ) -> Result<bool> {
        let Some(heap) = self.gc.heap_mut() else { return Ok(false) };
        let capacity = heap.capacity();
        if let Some(limiter) = &mut limiter
            && !limiter.memory_growing(capacity, wanted, Some(Heap::most()))?
        {
            return Ok(false);
        }
        let done = heap.grow(wanted).is_ok();
        if !done && let Some(limiter) = limiter {
            limiter.memory_grow_failed(capacity, wanted);
        }
        Ok(done)
    }

    #[cold]
    fn heap_is_full(&self, size: u64) -> Error {
        let HeapStats { capacity, live_bytes, .. } = self.heap_stats();
        Error::limit(
            LimitKind::Store,
            format!(
                "no room for an object of {size} bytes: the heap has {capacity} bytes, {live_bytes} of them in use, and \
             neither the store's limits nor the system give it more"
            ),
        )
    }
}

fn unknown_type(number: TypeNumber) -> Error {
    let message = format!("an object of type #{number}, which the store does not have");
    Error::new(ErrorKind::Internal(message))
}
