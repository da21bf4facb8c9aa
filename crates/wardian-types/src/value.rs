//! Value types and function signatures.

use std::fmt;
use std::sync::Arc;

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
    Concrete(TypeIndex),
    /// No function: only null.
    NoFunc,
    /// Any value of the embedder's.
    Extern,
    /// No value of the embedder's: only null.
    NoExtern,
    /// Any exception.
    Exn,
    /// No exception: only null.
    NoExn,
}

/// Which type a [`HeapType::Concrete`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TypeIndex {
    /// An index into the module's type section. Types are named so until an engine has numbered them.
    Module(u32),
    /// The number that an engine gave the type. Equal types of one engine have equal numbers.
    Engine(u32),
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

    /// Whether each value of this type is one of `other` (core specification, "Matching").
    pub fn matches(self, other: RefType) -> bool {
        let heap = match (self.heap, other.heap) {
            (HeapType::Concrete(_) | HeapType::NoFunc, HeapType::Func) => true,
            (HeapType::NoFunc, HeapType::Concrete(_)) => true,
            (HeapType::NoExtern, HeapType::Extern) => true,
            (HeapType::NoExn, HeapType::Exn) => true,
            (own, other) => own == other,
        };
        heap && (other.nullable || !self.nullable)
    }

    /// Whether these are references to functions.
    pub const fn is_func(self) -> bool {
        matches!(self.heap, HeapType::Func | HeapType::Concrete(_) | HeapType::NoFunc)
    }

    /// Whether these are references to values of the embedder's.
    pub const fn is_extern(self) -> bool {
        matches!(self.heap, HeapType::Extern | HeapType::NoExtern)
    }

    /// Whether these are references to exceptions.
    pub const fn is_exn(self) -> bool {
        matches!(self.heap, HeapType::Exn | HeapType::NoExn)
    }

    /// The same type with another name for the type that it names, if it names one.
    pub fn renamed(self, rename: &mut impl FnMut(TypeIndex) -> TypeIndex) -> RefType {
        match self.heap {
            HeapType::Concrete(index) => {
                RefType { heap: HeapType::Concrete(rename(index)), ..self }
            }
            _ => self,
        }
    }
}

impl ValType {
    /// `funcref` as a value type.
    pub const FUNCREF: ValType = ValType::Ref(RefType::FUNC);
    /// `externref` as a value type.
    pub const EXTERNREF: ValType = ValType::Ref(RefType::EXTERN);
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

    /// Whether each value of this type is one of `other` (core specification, "Matching").
    pub fn matches(self, other: ValType) -> bool {
        match (self, other) {
            (ValType::Ref(own), ValType::Ref(other)) => own.matches(other),
            (own, other) => own == other,
        }
    }

    /// The same type with another name for the type that it names, if it names one.
    pub fn renamed(self, rename: &mut impl FnMut(TypeIndex) -> TypeIndex) -> ValType {
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
            HeapType::Concrete(TypeIndex::Module(index)) => write!(f, "{index}"),
            HeapType::Concrete(TypeIndex::Engine(number)) => write!(f, "type #{number}"),
            HeapType::Concrete(TypeIndex::Group(at)) => write!(f, "type {at} of its group"),
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

/// A function signature: parameter types to result types. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    types: Arc<[ValType]>,
    params: u32,
}

impl FuncType {
    /// The signature with these parameters and results.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> FuncType {
        let mut types: Vec<ValType> = params.into_iter().collect();
        let params = u32::try_from(types.len()).expect("fewer than 2^32 parameters");
        types.extend(results);
        FuncType { types: types.into(), params }
    }

    /// The types that parameters and results name, as often as they do.
    pub fn named(&self) -> impl Iterator<Item = TypeIndex> + '_ {
        self.types.iter().filter_map(|ty| match ty {
            ValType::Ref(RefType { heap: HeapType::Concrete(index), .. }) => Some(*index),
            _ => None,
        })
    }

    /// The same signature with other names for the types that it names.
    pub fn renamed(&self, mut rename: impl FnMut(TypeIndex) -> TypeIndex) -> FuncType {
        if self.named().next().is_none() {
            return self.clone();
        }
        let types = self.types.iter().map(|ty| ty.renamed(&mut rename)).collect();
        FuncType { types, params: self.params }
    }

    /// The same signature with the numbers of an engine for the types of its group. `first` is the number of
    /// the first type of the group.
    pub fn in_group(&self, first: u32) -> FuncType {
        self.renamed(|index| match index {
            TypeIndex::Group(at) => TypeIndex::Engine(first + at),
            other => other,
        })
    }

    /// The parameter types, in order.
    pub fn params(&self) -> &[ValType] {
        &self.types[..self.params as usize]
    }

    /// The result types, in order.
    pub fn results(&self) -> &[ValType] {
        &self.types[self.params as usize..]
    }

    /// How many 64-bit slots the parameters take.
    pub fn param_slots(&self) -> usize {
        self.params().iter().map(|t| t.slots()).sum()
    }

    /// How many 64-bit slots the results take.
    pub fn result_slots(&self) -> usize {
        self.results().iter().map(|t| t.slots()).sum()
    }

    /// Length in slots of the buffer that carries arguments in and results out of a call.
    pub fn buffer_slots(&self) -> usize {
        self.param_slots().max(self.result_slots())
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, t) in types.iter().enumerate() {
                write!(f, "{}{t}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, self.params())?;
        f.write_str(" -> ")?;
        list(f, self.results())
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
