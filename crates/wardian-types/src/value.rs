//! Value types.

use crate::{TypeIndex, TypeNumber};
use std::fmt;

/// The type of a WebAssembly value (core specification, "Value Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit IEEE 754 float.
    F32,
    /// 64-bit IEEE 754 float.
    F64,
    /// 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

/// What a reference may point to, and whether it may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefType {
    /// Whether `null` is a value of this type.
    pub nullable: bool,
    /// The kind of thing pointed to.
    pub heap: HeapType,
}

/// The target of a reference (core specification, "Heap Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HeapType {
    /// Any function.
    Func,
    /// Functions of one type.
    Concrete(DeclaredType),
    /// No function: only null.
    NoFunc,
    /// Any value of the embedder's.
    Extern,
    /// No value of the embedder's: only null.
    NoExtern,
    /// Any value of garbage collection: integers of 31 bits, structs, arrays, converted external values.
    Any,
    /// Those of them that can be compared: integers of 31 bits, structs, arrays.
    Eq,
    /// Integers of 31 bits.
    I31,
    /// Any struct.
    Struct,
    /// Any array.
    Array,
    /// No value of garbage collection: only null.
    None,
    /// Structs of one type and of its subtypes.
    ConcreteStruct(DeclaredType),
    /// Arrays of one type and of its subtypes.
    ConcreteArray(DeclaredType),
    /// Any exception.
    Exn,
    /// No exception: only null.
    NoExn,
}

/// The four kinds of references, which have no value in common. A reference's representation depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hierarchy {
    /// References to functions.
    Func,
    /// References to values of the embedder's.
    Extern,
    /// References to values of garbage collection.
    Any,
    /// References to exceptions.
    Exn,
}

/// Which type a concrete [`HeapType`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeclaredType {
    /// An index into the module's type section. Types are named so until an engine has numbered them.
    Module(TypeIndex),
    /// The number that an engine gave the type.
    Engine(TypeNumber),
    /// A position in the recursive group that contains the reference. Only used to compare groups.
    Group(u32),
}

impl RefType {
    /// `funcref`
    pub const FUNC: RefType = RefType { nullable: true, heap: HeapType::Func };
    /// `externref`
    pub const EXTERN: RefType = RefType { nullable: true, heap: HeapType::Extern };
    /// `exnref`
    pub const EXN: RefType = RefType { nullable: true, heap: HeapType::Exn };

    /// `anyref`
    pub const ANY: RefType = RefType { nullable: true, heap: HeapType::Any };

    /// Whether each value of this type is one of `other` (core specification, "Matching"). Of two types that
    /// modules declare, `is_subtype` says whether the first is the second or a subtype of it.
    pub fn matches(
        self,
        other: RefType,
        is_subtype: &impl Fn(DeclaredType, DeclaredType) -> bool,
    ) -> bool {
        self.heap.matches(other.heap, is_subtype) && (other.nullable || !self.nullable)
    }

    /// Whether these are references to functions.
    pub const fn is_func(self) -> bool {
        matches!(self.heap.hierarchy(), Hierarchy::Func)
    }

    /// Whether these are references to values of the embedder's.
    pub const fn is_extern(self) -> bool {
        matches!(self.heap.hierarchy(), Hierarchy::Extern)
    }

    /// Whether these are references to values of garbage collection.
    pub const fn is_any(self) -> bool {
        matches!(self.heap.hierarchy(), Hierarchy::Any)
    }

    /// Whether these are references to exceptions.
    pub const fn is_exn(self) -> bool {
        matches!(self.heap.hierarchy(), Hierarchy::Exn)
    }

    /// The same type with another name for the type that it names, if it names one.
    pub fn renamed(self, rename: &mut impl FnMut(DeclaredType) -> DeclaredType) -> RefType {
        RefType { heap: self.heap.renamed(rename), ..self }
    }
}

impl HeapType {
    /// The kind of references to it.
    pub const fn hierarchy(self) -> Hierarchy {
        match self {
            HeapType::Func | HeapType::Concrete(_) | HeapType::NoFunc => Hierarchy::Func,
            HeapType::Extern | HeapType::NoExtern => Hierarchy::Extern,
            HeapType::Exn | HeapType::NoExn => Hierarchy::Exn,
            HeapType::Any
            | HeapType::Eq
            | HeapType::I31
            | HeapType::Struct
            | HeapType::Array
            | HeapType::None
            | HeapType::ConcreteStruct(_)
            | HeapType::ConcreteArray(_) => Hierarchy::Any,
        }
    }

    /// The declared type that it names, if it names one.
    pub const fn named(self) -> Option<DeclaredType> {
        match self {
            HeapType::Concrete(index)
            | HeapType::ConcreteStruct(index)
            | HeapType::ConcreteArray(index) => Some(index),
            _ => None,
        }
    }

    /// Whether everything of this type is of type `other`: see [`RefType::matches`].
    pub fn matches(
        self,
        other: HeapType,
        is_subtype: &impl Fn(DeclaredType, DeclaredType) -> bool,
    ) -> bool {
        use HeapType as H;
        if let (Some(own), Some(other)) = (self.named(), other.named()) {
            return own == other || is_subtype(own, other);
        }
        match (self, other) {
            (H::Concrete(_) | H::NoFunc, H::Func) | (H::NoFunc, H::Concrete(_)) => true,
            (H::NoExtern, H::Extern) | (H::NoExn, H::Exn) => true,
            (H::None, _) => matches!(other.hierarchy(), Hierarchy::Any),
            (_, H::Any) => matches!(self.hierarchy(), Hierarchy::Any),
            (H::I31 | H::Struct | H::Array | H::ConcreteStruct(_) | H::ConcreteArray(_), H::Eq) => {
                true
            }
            (H::ConcreteStruct(_), H::Struct) | (H::ConcreteArray(_), H::Array) => true,
            (own, other) => own == other,
        }
    }

    /// The same type with another name for the type that it names, if it names one.
    pub fn renamed(self, rename: &mut impl FnMut(DeclaredType) -> DeclaredType) -> HeapType {
        match self {
            HeapType::Concrete(index) => HeapType::Concrete(rename(index)),
            HeapType::ConcreteStruct(index) => HeapType::ConcreteStruct(rename(index)),
            HeapType::ConcreteArray(index) => HeapType::ConcreteArray(rename(index)),
            other => other,
        }
    }
}

impl ValType {
    /// `funcref` as a value type.
    pub const FUNCREF: ValType = ValType::Ref(RefType::FUNC);
    /// `externref` as a value type.
    pub const EXTERNREF: ValType = ValType::Ref(RefType::EXTERN);
    /// `anyref` as a value type.
    pub const ANYREF: ValType = ValType::Ref(RefType::ANY);
    /// `exnref` as a value type.
    pub const EXNREF: ValType = ValType::Ref(RefType::EXN);

    /// How many raw 64-bit slots a value of this type takes: two for `v128`, else one.
    pub const fn slots(self) -> usize {
        match self {
            ValType::V128 => 2,
            _ => 1,
        }
    }

    /// Whether this is a reference type.
    pub const fn is_ref(self) -> bool {
        matches!(self, ValType::Ref(_))
    }

    /// Whether values are references to functions.
    pub const fn is_func_ref(self) -> bool {
        matches!(self, ValType::Ref(r) if r.is_func())
    }

    /// Whether values are references to values of the embedder's.
    pub const fn is_extern_ref(self) -> bool {
        matches!(self, ValType::Ref(r) if r.is_extern())
    }

    /// Whether values are references to values of garbage collection.
    pub const fn is_any_ref(self) -> bool {
        matches!(self, ValType::Ref(r) if r.is_any())
    }

    /// Whether a local of this type has a value before one is given to it.
    pub const fn is_defaultable(self) -> bool {
        !matches!(self, ValType::Ref(RefType { nullable: false, .. }))
    }

    /// The declared type that it names, if it names one.
    pub const fn named(self) -> Option<DeclaredType> {
        match self {
            ValType::Ref(r) => r.heap.named(),
            _ => None,
        }
    }

    /// Whether each value of this type is one of `other`: see [`RefType::matches`].
    pub fn matches(
        self,
        other: ValType,
        is_subtype: &impl Fn(DeclaredType, DeclaredType) -> bool,
    ) -> bool {
        match (self, other) {
            (ValType::Ref(own), ValType::Ref(other)) => own.matches(other, is_subtype),
            (own, other) => own == other,
        }
    }

    /// The same type with another name for the type that it names, if it names one.
    pub fn renamed(self, rename: &mut impl FnMut(DeclaredType) -> DeclaredType) -> ValType {
        match self {
            ValType::Ref(r) => ValType::Ref(r.renamed(rename)),
            other => other,
        }
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.nullable, self.heap) {
            (true, HeapType::Func) => f.write_str("funcref"),
            (true, HeapType::Extern) => f.write_str("externref"),
            (true, HeapType::NoFunc) => f.write_str("nullfuncref"),
            (true, HeapType::NoExtern) => f.write_str("nullexternref"),
            (true, HeapType::None) => f.write_str("nullref"),
            (
                true,
                heap @ (HeapType::Any
                | HeapType::Eq
                | HeapType::I31
                | HeapType::Struct
                | HeapType::Array),
            ) => write!(f, "{heap}ref"),
            (true, HeapType::Exn) => f.write_str("exnref"),
            (true, HeapType::NoExn) => f.write_str("nullexnref"),
            (true, heap) => write!(f, "(ref null {heap})"),
            (false, heap) => write!(f, "(ref {heap})"),
        }
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeapType::Func => f.write_str("func"),
            HeapType::NoFunc => f.write_str("nofunc"),
            HeapType::Extern => f.write_str("extern"),
            HeapType::NoExtern => f.write_str("noextern"),
            HeapType::Exn => f.write_str("exn"),
            HeapType::NoExn => f.write_str("noexn"),
            HeapType::Any => f.write_str("any"),
            HeapType::Eq => f.write_str("eq"),
            HeapType::I31 => f.write_str("i31"),
            HeapType::Struct => f.write_str("struct"),
            HeapType::Array => f.write_str("array"),
            HeapType::None => f.write_str("none"),
            HeapType::Concrete(index)
            | HeapType::ConcreteStruct(index)
            | HeapType::ConcreteArray(index) => index.fmt(f),
        }
    }
}

impl fmt::Display for DeclaredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeclaredType::Module(index) => write!(f, "{index}"),
            DeclaredType::Engine(number) => write!(f, "type #{number}"),
            DeclaredType::Group(at) => write!(f, "type {at} of its group"),
        }
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(r) => r.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_have_a_top_and_a_bottom() {
        use HeapType as H;
        let (one, other) = (
            DeclaredType::Engine(TypeNumber::from_u32(1)),
            DeclaredType::Engine(TypeNumber::from_u32(2)),
        );
        let is_subtype = |a, b| (a, b) == (one, other);
        let all = [
            H::Func,
            H::Concrete(one),
            H::NoFunc,
            H::Extern,
            H::NoExtern,
            H::Any,
            H::Eq,
            H::I31,
            H::Struct,
            H::Array,
            H::None,
            H::ConcreteStruct(one),
            H::ConcreteStruct(other),
            H::ConcreteArray(one),
        ];
        let (tops, bottoms) = ([H::Func, H::Extern, H::Any], [H::NoFunc, H::NoExtern, H::None]);
        for a in all {
            assert!(a.matches(a, &is_subtype));
            for (top, bottom) in tops.into_iter().zip(bottoms) {
                let same = a.hierarchy() == top.hierarchy();
                assert_eq!(a.matches(top, &is_subtype), same, "{a} {top}");
                assert_eq!(bottom.matches(a, &is_subtype), same, "{bottom} {a}");
                assert_eq!(top.matches(a, &is_subtype), a == top, "{top} {a}");
                assert_eq!(a.matches(bottom, &is_subtype), a == bottom, "{a} {bottom}");
            }
            let compared = matches!(a, H::Eq | H::I31 | H::Struct | H::Array | H::None)
                || matches!(a, H::ConcreteStruct(_) | H::ConcreteArray(_));
            assert_eq!(a.matches(H::Eq, &is_subtype), compared, "{a}");
        }
        assert!(H::ConcreteStruct(one).matches(H::ConcreteStruct(other), &is_subtype));
        assert!(!H::ConcreteStruct(other).matches(H::ConcreteStruct(one), &is_subtype));
        assert!(!H::ConcreteStruct(one).matches(H::Array, &is_subtype));
        assert!(!H::I31.matches(H::Struct, &is_subtype));
    }
}
