//! What the collector knows of types: where the references of an object lie.

use wardian_types::{ArrayElementIndex, ObjectOffset, TypeNumber};

/// Bytes of an object's header: the number of its type, then the length of an array or one of [`STRUCT`]
/// and [`EXTERN_BOX`].
pub const HEADER: u32 = 8;
/// Offset of the number of the type in an object.
pub const TYPE: u32 = 0;
/// Offset of the second word of the header in an object.
pub const LENGTH: u32 = 4;
/// Second word of a struct's header. No array is as long, since an array fits into 4 GiB with its header.
pub const STRUCT: u32 = u32::MAX;
/// Second word of the header of an object that holds a handle to a value of the embedder's.
pub const EXTERN_BOX: u32 = u32::MAX - 1;
/// Type number of such objects, which no type has.
pub const EXTERN_BOX_TYPE: TypeNumber = TypeNumber::from_u32(super::Displays::TYPES - 1);
/// Second words from this one upwards are no lengths of arrays.
pub const FIRST_KIND: u32 = u32::MAX - 7;
/// Objects begin at multiples of this.
pub const ALIGN: u32 = 8;

/// The parts of an object that the collector reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A struct of this many bytes, with its header.
    Struct {
        /// Bytes of the whole object, not rounded.
        size: u32,
        /// Offsets of references to objects, four bytes each.
        references: Box<[ObjectOffset]>,
        /// Offsets of handles, eight bytes each.
        handles: Box<[ObjectOffset]>,
    },
    /// An array; its elements begin at [`first_element`].
    Array {
        /// Bytes of an element.
        element: u32,
        /// What the elements are.
        holds: Holds,
    },
}

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing that the collector looks at.
    Data,
    /// References to objects, four bytes each.
    References,
    /// Handles, eight bytes each.
    Handles,
}

/// Gives the shapes of types.
pub trait Shapes {
    /// The shape; `None` if no object can be of this type.
    fn shape(&self, number: TypeNumber) -> Option<&Shape>;
}

/// Offset of the first element of an array whose elements have this many bytes.
pub const fn first_element(element: u32) -> ObjectOffset {
    // Objects are aligned to eight bytes only, so vectors are not aligned anyway.
    let _ = element;
    ObjectOffset::from_u32(HEADER)
}

/// Offset of an element of an array whose elements have this many bytes.
#[inline(always)]
pub const fn element_at(element: u32, index: ArrayElementIndex) -> ObjectOffset {
    first_element(element).add(element as u64 * index.as_u32() as u64)
}

/// Bytes that an array takes in the heap.
pub const fn array_size(element: u32, length: u32) -> u64 {
    round_up(element_at(element, ArrayElementIndex::from_u32(length)).as_u64())
}

/// Rounds up to [`ALIGN`].
pub const fn round_up(size: u64) -> u64 {
    (size + (ALIGN as u64 - 1)) & !(ALIGN as u64 - 1)
}

impl Shape {
    /// Bytes that an object with this second word of its header takes in the heap; `None` if the two
    /// contradict each other.
    pub fn size(&self, length: u32) -> Option<u64> {
        match self {
            Shape::Struct { size, .. } => {
                (length >= FIRST_KIND).then(|| round_up(u64::from(*size)))
            }
            Shape::Array { element, .. } => {
                (length < FIRST_KIND).then(|| array_size(*element, length))
            }
        }
    }
}
