//! What the embedder does with objects.

use super::super::store::StoreInner;
use crate::{AnyRef, Error, Result};
use wardian_types::{HeapType, TypeIndex};
use wardian_vm::heap::shape::EXTERN_BOX;

impl StoreInner {
    /// A reference for the embedder, as guests hold it.
    pub(in crate::raw) fn any_to_word(&self, value: &AnyRef) -> Result<u64> {
        if value.store != self.id() {
            return Err(Error::usage("a reference to an object of another store"));
        }
        let gone = || {
            Error::usage(
                "a reference to an object that is gone: a snapshot from before was restored",
            )
        };
        value.root.word().map(u64::from).ok_or_else(gone)
    }

    /// A reference that a guest of this store holds, for the embedder; none for null.
    pub(in crate::raw) fn any_from_word(&self, word: u64) -> Option<AnyRef> {
        let word = word as u32;
        (word != 0).then(|| AnyRef { store: self.id(), root: self.gc.roots.add(word) })
    }

    /// Whether a reference that is not null is to something of a type of the `any` hierarchy.
    pub(in crate::raw) fn is_of_heap_type(&self, word: u32, ty: HeapType) -> bool {
        let is_i31 = word & 1 != 0;
        let object = || self.object_type(word);
        match ty {
            HeapType::Any => true,
            HeapType::I31 => is_i31,
            HeapType::Eq => {
                let length = self.heap().and_then(|heap| heap.header(word)).map(|header| header.1);
                is_i31 || length.is_some_and(|length| length != EXTERN_BOX)
            }
            HeapType::Struct => !is_i31 && object().is_some_and(|ty| !ty.is_array()),
            HeapType::Array => !is_i31 && object().is_some_and(|ty| ty.is_array()),
            HeapType::ConcreteStruct(TypeIndex::Engine(number))
            | HeapType::ConcreteArray(TypeIndex::Engine(number)) => self.is_object_of(word, number),
            _ => false,
        }
    }
}
