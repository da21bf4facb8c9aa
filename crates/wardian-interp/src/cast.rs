//! How a reference is compared with a type: what the operand `what` of `ref_test` and `ref_cast` says.

use wardian_types::{HeapType, RefType};

/// Set if null is of the type. The other bits are one of the numbers below.
pub(crate) const NULLABLE: u16 = 1;

/// Whatever is not null is of the type.
pub(crate) const ALL: u16 = 0;
/// Only null is.
pub(crate) const NONE: u16 = 1;
/// Integers of 31 bits.
pub(crate) const I31: u16 = 2;
/// Integers of 31 bits, structs and arrays.
pub(crate) const EQ: u16 = 3;
/// Structs.
pub(crate) const STRUCT: u16 = 4;
/// Arrays.
pub(crate) const ARRAY: u16 = 5;
/// Objects of one type, which has no subtypes.
pub(crate) const FINAL: u16 = 6;
/// Objects of one type or of a subtype.
pub(crate) const OPEN: u16 = 7;
/// Functions of one type or of a subtype.
pub(crate) const FUNC: u16 = 8;

/// What `what` is for a type; `is_final` says whether the type that it names has no subtypes.
pub(crate) fn what(ty: RefType, is_final: bool) -> u16 {
    let test = match ty.heap {
        HeapType::Any | HeapType::Func | HeapType::Extern | HeapType::Exn => ALL,
        HeapType::None | HeapType::NoFunc | HeapType::NoExtern | HeapType::NoExn => NONE,
        HeapType::I31 => I31,
        HeapType::Eq => EQ,
        HeapType::Struct => STRUCT,
        HeapType::Array => ARRAY,
        HeapType::Concrete(_) => FUNC,
        HeapType::ConcreteStruct(_) | HeapType::ConcreteArray(_) => {
            if is_final {
                FINAL
            } else {
                OPEN
            }
        }
        // Only of hierarchies that the translator knows.
        _ => NONE,
    };
    test << 1 | if ty.nullable { NULLABLE } else { 0 }
}
