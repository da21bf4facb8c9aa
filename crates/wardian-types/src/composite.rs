//! The types that modules declare: functions, structs and arrays, with their supertypes.

use crate::{DeclaredType, FuncType, ObjectOffset, TypeNumber, ValType};
use std::fmt;
use std::sync::Arc;

/// A declared type with what is known of its subtypes and supertypes (core specification, "Recursive Types").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubType {
    /// Whether it has no subtypes.
    pub is_final: bool,
    /// The type that it is declared to be a subtype of.
    pub supertype: Option<DeclaredType>,
    /// What it is.
    pub composite: CompositeType,
}

/// A type that is made of others (core specification, "Composite Types"). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompositeType {
    /// A function.
    Func(FuncType),
    /// A struct.
    Struct(StructType),
    /// An array.
    Array(ArrayType),
}

/// The kind of a declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// A function.
    Func,
    /// A struct.
    Struct,
    /// An array.
    Array,
}

/// A struct: its fields in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StructType {
    fields: Arc<[FieldType]>,
}

/// An array: the type of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArrayType(pub FieldType);

/// A field of a struct, or the elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldType {
    /// Whether it can be set.
    pub mutable: bool,
    /// How its value is stored.
    pub storage: StorageType,
}

/// How a value is stored in a struct or an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// The low 8 bits of an `i32`.
    I8,
    /// The low 16 bits of an `i32`.
    I16,
    /// A whole value.
    Val(ValType),
}

/// Where a struct has its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructLayout {
    /// Of each field its offset in the object, header included.
    pub offsets: Box<[ObjectOffset]>,
    /// Bytes of the whole object, a multiple of [`StructLayout::ALIGN`].
    pub size: u32,
}

impl StructLayout {
    /// Bytes of an object's header.
    pub const HEADER: u32 = 8;
    /// The alignment of objects.
    pub const ALIGN: u32 = 8;
}

impl SubType {
    /// A final type without a supertype: what a declaration without `sub` means.
    pub fn plain(composite: CompositeType) -> SubType {
        SubType { is_final: true, supertype: None, composite }
    }

    /// The signature, if it is a function type.
    pub fn func(&self) -> Option<&FuncType> {
        if let CompositeType::Func(ty) = &self.composite { Some(ty) } else { None }
    }

    /// The struct type, if it is one.
    pub fn structure(&self) -> Option<&StructType> {
        if let CompositeType::Struct(ty) = &self.composite { Some(ty) } else { None }
    }

    /// The array type, if it is one.
    pub fn array(&self) -> Option<&ArrayType> {
        if let CompositeType::Array(ty) = &self.composite { Some(ty) } else { None }
    }

    /// Its kind.
    pub fn kind(&self) -> TypeKind {
        match self.composite {
            CompositeType::Func(_) => TypeKind::Func,
            CompositeType::Struct(_) => TypeKind::Struct,
            CompositeType::Array(_) => TypeKind::Array,
        }
    }

    /// The types that it names, as often as it does.
    pub fn named(&self) -> impl Iterator<Item = DeclaredType> + '_ {
        let (func, fields) = match &self.composite {
            CompositeType::Func(ty) => (Some(ty), &[][..]),
            CompositeType::Struct(ty) => (None, ty.fields()),
            CompositeType::Array(ty) => (None, std::slice::from_ref(&ty.0)),
        };
        let func = func.into_iter().flat_map(FuncType::named);
        let fields = fields.iter().filter_map(|field| field.storage.named());
        self.supertype.into_iter().chain(func).chain(fields)
    }

    /// The same type with other names for the types that it names.
    pub fn renamed(&self, mut rename: impl FnMut(DeclaredType) -> DeclaredType) -> SubType {
        if self.named().next().is_none() {
            return self.clone();
        }
        let supertype = self.supertype.map(&mut rename);
        let composite = match &self.composite {
            CompositeType::Func(ty) => CompositeType::Func(ty.renamed(rename)),
            CompositeType::Struct(ty) => {
                let fields = ty.fields().iter().map(|field| field.renamed(&mut rename));
                CompositeType::Struct(StructType::new(fields))
            }
            CompositeType::Array(ty) => CompositeType::Array(ArrayType(ty.0.renamed(&mut rename))),
        };
        SubType { is_final: self.is_final, supertype, composite }
    }

    /// The same type with the numbers of an engine for the types of its group. `first` is the number of the
    /// first type of the group.
    pub fn in_group(&self, first: TypeNumber) -> SubType {
        self.renamed(|index| match index {
            DeclaredType::Group(at) => {
                DeclaredType::Engine(TypeNumber::from_u32(first.as_u32() + at))
            }
            other => other,
        })
    }
}

impl From<FuncType> for SubType {
    fn from(ty: FuncType) -> SubType {
        SubType::plain(CompositeType::Func(ty))
    }
}

impl StructType {
    /// A struct with these fields.
    pub fn new(fields: impl IntoIterator<Item = FieldType>) -> StructType {
        StructType { fields: fields.into_iter().collect() }
    }

    /// Its fields in order.
    pub fn fields(&self) -> &[FieldType] {
        &self.fields
    }

    /// Where objects of it have their fields: in order, each at a multiple of its size, of at most 8. A
    /// subtype has the fields of its supertype first, so it has them at the same offsets.
    pub fn layout(&self) -> StructLayout {
        let mut end = StructLayout::HEADER;
        let offsets = self.fields.iter().map(|field| {
            let size = field.storage.size();
            let at = end.next_multiple_of(size.min(StructLayout::ALIGN));
            end = at + size;
            ObjectOffset::from_u32(at)
        });
        let offsets = offsets.collect();
        StructLayout { offsets, size: end.next_multiple_of(StructLayout::ALIGN) }
    }
}

impl FieldType {
    /// The same field with another name for the type that it names, if it names one.
    fn renamed(self, rename: &mut impl FnMut(DeclaredType) -> DeclaredType) -> FieldType {
        match self.storage {
            StorageType::Val(ty) => {
                FieldType { storage: StorageType::Val(ty.renamed(rename)), ..self }
            }
            _ => self,
        }
    }
}

impl StorageType {
    /// Bytes that a value takes in an object: references to functions and to values of garbage collection
    /// take 4, references to the embedder's values 8.
    pub const fn size(self) -> u32 {
        match self {
            StorageType::I8 => 1,
            StorageType::I16 => 2,
            StorageType::Val(ValType::I32 | ValType::F32) => 4,
            StorageType::Val(ValType::I64 | ValType::F64) => 8,
            StorageType::Val(ValType::V128) => 16,
            StorageType::Val(ValType::Ref(r)) => {
                if r.is_any() || r.is_func() {
                    4
                } else {
                    8
                }
            }
        }
    }

    /// The type of the value that instructions read and write.
    pub const fn unpacked(self) -> ValType {
        match self {
            StorageType::I8 | StorageType::I16 => ValType::I32,
            StorageType::Val(ty) => ty,
        }
    }

    /// Whether instructions that read it say how it is extended.
    pub const fn is_packed(self) -> bool {
        matches!(self, StorageType::I8 | StorageType::I16)
    }

    fn named(self) -> Option<DeclaredType> {
        match self {
            StorageType::Val(ty) => ty.named(),
            _ => None,
        }
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageType::I8 => f.write_str("i8"),
            StorageType::I16 => f.write_str("i16"),
            StorageType::Val(ty) => ty.fmt(f),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutable {
            true => write!(f, "(mut {})", self.storage),
            false => self.storage.fmt(f),
        }
    }
}

impl fmt::Display for CompositeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompositeType::Func(ty) => write!(f, "function {ty}"),
            CompositeType::Struct(ty) => {
                f.write_str("struct (")?;
                for (i, field) in ty.fields().iter().enumerate() {
                    write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            CompositeType::Array(ty) => write!(f, "array of {}", ty.0),
        }
    }
}

impl fmt::Display for SubType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.composite.fmt(f)?;
        match self.supertype {
            Some(supertype) => write!(f, ", a subtype of {supertype}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(storage: StorageType) -> FieldType {
        FieldType { mutable: true, storage }
    }

    #[test]
    fn fields_lie_at_multiples_of_their_size() {
        let all = [
            StorageType::I8,
            StorageType::I16,
            StorageType::I8,
            StorageType::Val(ValType::ANYREF),
            StorageType::Val(ValType::V128),
            StorageType::Val(ValType::I32),
            StorageType::Val(ValType::EXTERNREF),
            StorageType::I8,
        ];
        let layout = StructType::new(all.map(field)).layout();
        assert_eq!(*layout.offsets, [8, 10, 12, 16, 24, 40, 48, 56].map(ObjectOffset::from_u32));
        assert_eq!(layout.size, 64);
        // What a subtype adds moves nothing.
        let parent = StructType::new(all[..5].iter().copied().map(field)).layout();
        assert_eq!(parent.offsets, layout.offsets[..5].into());
        assert_eq!(StructType::new([]).layout().size, 8);
    }
}
