//! What a store knows of objects: the heap, the types that objects have, those that the embedder holds.

use super::operands::Operands;
use super::roots::Roots;
use super::timeline::Timeline;
use crate::code::signatures::Signature;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use wardian_types::{CompositeType, FieldType, StorageType, StructLayout, TypeNumber, ValType};
use wardian_vm::heap::{Heap, HeapStats, Holds, Shape, Shapes};

/// Notified of each collection.
pub type Observer = Box<dyn FnMut(&HeapStats) + Send + Sync>;

/// What a store knows of objects.
#[derive(Default)]
pub struct Gc {
    heap: Option<Heap>,
    types: Types,
    roots: Roots,
    /// The size from which on a full heap is collected before it grows.
    collect_at: usize,
    /// Notified of each collection.
    observer: Option<Observer>,
    timeline: Timeline,
    /// The collection that runs.
    running: Option<Pass>,
    operands: Operands,
    /// What the frames of a checkpoint refer to, until they are placed.
    restored: Vec<u64>,
}

/// What a collection looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Objects that nobody holds.
    Objects,
    /// Exceptions and values of the embedder's as well.
    Values,
}

impl Gc {
    /// The heap, if there is one.
    #[inline]
    pub(super) fn heap(&self) -> Option<&Heap> {
        self.heap.as_ref()
    }

    /// The heap, if there is one.
    #[inline]
    pub(super) fn heap_mut(&mut self) -> Option<&mut Heap> {
        self.heap.as_mut()
    }

    /// Takes the heap out, so that it can be marked while the rest is borrowed: [`Gc::set_heap`] puts it back.
    pub(super) fn take_heap(&mut self) -> Option<Heap> {
        self.heap.take()
    }

    /// Sets the heap.
    pub(super) fn set_heap(&mut self, heap: Heap) {
        self.heap = Some(heap);
    }

    /// The types that objects can have.
    #[inline]
    pub(super) fn types(&self) -> &Types {
        &self.types
    }

    /// Adds a type that objects can have.
    pub(super) fn add_type(&mut self, number: TypeNumber, ty: ObjectType) {
        self.types.insert(number, ty);
    }

    /// The objects that the embedder holds.
    #[inline]
    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Marks the objects that the embedder holds.
    pub(super) fn mark_roots(&mut self) {
        if let Some(heap) = &mut self.heap {
            self.roots.each(|object| heap.mark(object));
        }
    }

    /// The size from which on a full heap is collected before it grows.
    pub(super) fn collect_at(&self) -> usize {
        self.collect_at
    }

    /// Sets the size from which on a full heap is collected before it grows.
    pub(super) fn set_collect_at(&mut self, size: usize) {
        self.collect_at = size;
    }

    /// Sets who is notified of collections. Returns who was before.
    pub(crate) fn set_observer(&mut self, observer: Option<Observer>) -> Option<Observer> {
        std::mem::replace(&mut self.observer, observer)
    }

    /// Which snapshots can be restored.
    pub(super) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The same, mutably.
    pub(super) fn timeline_mut(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// Begins a collection. False if one runs.
    pub(super) fn begin(&mut self, pass: Pass) -> bool {
        let is_idle = self.running.is_none();
        self.running.get_or_insert(pass);
        is_idle
    }

    /// Ends the collection that runs.
    pub(super) fn end(&mut self) {
        self.running = None;
    }

    /// Whether a collection runs that looks for exceptions and for values of the embedder's.
    #[inline]
    pub(super) fn looks_for_values(&self) -> bool {
        self.running == Some(Pass::Values)
    }

    /// Values of constant expressions and builtins that are being evaluated.
    #[inline]
    pub(crate) fn operands(&mut self) -> &mut Operands {
        &mut self.operands
    }

    /// Keeps what the frames of a checkpoint refer to.
    pub(crate) fn keep_restored(&mut self, words: Vec<u64>) {
        self.restored = words;
    }

    /// Gives up what was kept so: the frames are there.
    pub(crate) fn take_restored(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.restored)
    }
}

/// By the engine's number.
pub(crate) type Types = HashMap<TypeNumber, ObjectType, BuildHasherDefault<NumberHasher>>;

/// Numbers are looked up for each operator on whole arrays, and nobody can choose them.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}

/// A type of structs or arrays that objects of the store can have.
pub struct ObjectType {
    /// The type.
    pub signature: Signature,
    /// Where objects have what.
    pub layout: Layout,
    pub(super) shape: Shape,
}

/// Where objects of a type have what.
#[derive(Clone)]
pub enum Layout {
    /// Of a struct.
    Struct(Arc<StructLayout>),
    /// Arrays of elements of this size.
    Array(u32),
}

impl Shapes for Gc {
    fn shape(&self, number: TypeNumber) -> Option<&Shape> {
        self.types.get(&number).map(|ty| &ty.shape)
    }
}

/// Types only, so that a heap can be traced while it is borrowed.
pub(crate) struct Known<'a>(pub(crate) &'a Types);

impl Shapes for Known<'_> {
    fn shape(&self, number: TypeNumber) -> Option<&Shape> {
        self.0.get(&number).map(|ty| &ty.shape)
    }
}

/// What the collector does with a field.
enum Kind {
    Data,
    Reference,
    Handle,
}

fn kind(storage: StorageType) -> Kind {
    match storage {
        StorageType::Val(ValType::Ref(r)) if r.is_any() => Kind::Reference,
        StorageType::Val(ValType::Ref(r)) if !r.is_func() => Kind::Handle,
        _ => Kind::Data,
    }
}

impl ObjectType {
    /// None if it is a type of functions.
    pub(crate) fn new(signature: &Signature) -> Option<ObjectType> {
        let (layout, shape) = match &signature.ty().composite {
            CompositeType::Func(_) => return None,
            CompositeType::Struct(ty) => {
                let layout = ty.layout();
                let (mut references, mut handles) = (Vec::new(), Vec::new());
                for (field, offset) in ty.fields().iter().zip(&layout.offsets) {
                    match kind(field.storage) {
                        Kind::Reference => references.push(*offset),
                        Kind::Handle => handles.push(*offset),
                        Kind::Data => {}
                    }
                }
                let (references, handles) = (references.into(), handles.into());
                let shape = Shape::Struct { size: layout.size, references, handles };
                (Layout::Struct(Arc::new(layout)), shape)
            }
            CompositeType::Array(ty) => {
                let element = ty.0.storage.size();
                let holds = match kind(ty.0.storage) {
                    Kind::Data => Holds::Data,
                    Kind::Reference => Holds::References,
                    Kind::Handle => Holds::Handles,
                };
                (Layout::Array(element), Shape::Array { element, holds })
            }
        };
        Some(ObjectType { signature: signature.clone(), layout, shape })
    }

    /// Its fields, if it is a struct; what its elements are, if it is an array.
    pub fn fields(&self) -> &[FieldType] {
        match &self.signature.ty().composite {
            CompositeType::Struct(ty) => ty.fields(),
            CompositeType::Array(ty) => std::slice::from_ref(&ty.0),
            CompositeType::Func(_) => &[],
        }
    }
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referent {
    /// An integer of 31 bits.
    Integer(u32),
    /// A struct.
    Struct {
        /// The number of its type.
        number: TypeNumber,
    },
    /// An array.
    Array {
        /// The number of its type.
        number: TypeNumber,
        /// How many elements it has.
        length: u32,
    },
    /// A value of the embedder's.
    Extern,
}
