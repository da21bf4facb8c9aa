//! What a store knows of objects: the heap, the types that objects have, those that the embedder holds.

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
    pub(super) heap: Option<Heap>,
    pub(super) types: Types,
    pub(crate) roots: Roots,
    /// The size from which on a full heap is collected before it grows.
    pub(super) collect_at: usize,
    /// Notified of each collection.
    pub(crate) observer: Option<Observer>,
    pub(super) timeline: Timeline,
    /// Whether a collection runs.
    pub(super) collecting: bool,
    /// Whether it looks for exceptions and for values of the embedder's as well.
    pub(super) values: bool,
    /// Values of constant expressions that are being evaluated.
    pub constants: Vec<[u64; 2]>,
    /// What the frames of a checkpoint refer to, until they are placed.
    pub(crate) restored: Vec<u64>,
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
