//! Types of values and of what modules import and export.

use crate::vector::Vector;
use crate::{give, take};
use wardian::{
    ExternType, FuncType, GlobalType, HeapType, MemoryType, RefType, TableType, TagType, ValType,
};

/// `wasm_valtype_t`.
#[derive(Clone)]
pub struct ValueType(pub(crate) ValType);

/// `wasm_valkind_t`; from 4 and 130 on those that `wardian.h` adds.
pub(crate) mod kind {
    pub(crate) const I32: u8 = 0;
    pub(crate) const I64: u8 = 1;
    pub(crate) const F32: u8 = 2;
    pub(crate) const F64: u8 = 3;
    pub(crate) const V128: u8 = 4;
    pub(crate) const EXTERNREF: u8 = 128;
    pub(crate) const FUNCREF: u8 = 129;
    pub(crate) const ANYREF: u8 = 130;
    pub(crate) const EXNREF: u8 = 131;
}

/// The kind of a type of values.
pub(crate) fn kind_of(ty: ValType) -> u8 {
    match ty {
        ValType::I32 => kind::I32,
        ValType::I64 => kind::I64,
        ValType::F32 => kind::F32,
        ValType::F64 => kind::F64,
        ValType::V128 => kind::V128,
        ValType::Ref(r) if r.is_func() => kind::FUNCREF,
        ValType::Ref(r) if r.is_extern() => kind::EXTERNREF,
        ValType::Ref(r) if r.is_exn() => kind::EXNREF,
        ValType::Ref(_) => kind::ANYREF,
    }
}

fn type_of(kind: u8) -> Option<ValType> {
    let reference = |heap| ValType::Ref(RefType { nullable: true, heap });
    Some(match kind {
        kind::I32 => ValType::I32,
        kind::I64 => ValType::I64,
        kind::F32 => ValType::F32,
        kind::F64 => ValType::F64,
        kind::V128 => ValType::V128,
        kind::EXTERNREF => reference(HeapType::Extern),
        kind::FUNCREF => reference(HeapType::Func),
        kind::ANYREF => reference(HeapType::Any),
        kind::EXNREF => reference(HeapType::Exn),
        _ => return None,
    })
}

/// Null of a kind that does not exist.
#[unsafe(no_mangle)]
pub extern "C" fn wasm_valtype_new(kind: u8) -> *mut ValueType {
    type_of(kind).map_or(std::ptr::null_mut(), |ty| give(ValueType(ty)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_valtype_kind(ty: *const ValueType) -> u8 {
    // SAFETY: see the crate's documentation.
    kind_of(unsafe { (*ty).0 })
}

/// `wasm_limits_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    min: u32,
    max: u32,
}

impl Limits {
    fn new(min: u64, max: Option<u64>) -> Limits {
        let narrow = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        Limits { min: narrow(min), max: max.map_or(u32::MAX, narrow) }
    }

    fn max(self) -> Option<u64> {
        (self.max != u32::MAX).then_some(u64::from(self.max))
    }
}

/// `wasm_externtype_t`, and the types of each kind.
pub struct Type {
    pub(crate) ty: ExternType,
    /// What C is shown of it.
    parts: Parts,
}

enum Parts {
    Func {
        params: Vector<*mut ValueType>,
        results: Vector<*mut ValueType>,
    },
    /// Of globals, and of tables with their limits.
    Value(ValueType, Limits),
    Limits(Limits),
    Tag(Box<Type>),
}

impl Type {
    pub(crate) fn new(ty: ExternType) -> Type {
        let types =
            |types: &[ValType]| Vector::new(types.iter().map(|ty| give(ValueType(*ty))).collect());
        let none = Limits::new(0, None);
        let parts = match &ty {
            ExternType::Func(f) => {
                Parts::Func { params: types(f.params()), results: types(f.results()) }
            }
            ExternType::Global(g) => Parts::Value(ValueType(g.content), none),
            ExternType::Table(t) => {
                Parts::Value(ValueType(ValType::Ref(t.element)), Limits::new(t.min, t.max))
            }
            ExternType::Memory(m) => Parts::Limits(Limits::new(m.min, m.max)),
            ExternType::Tag(t) => Parts::Tag(Box::new(Type::new(ExternType::Func(t.ty.clone())))),
            // A kind that this version of the API does not know.
            _ => Parts::Limits(none),
        };
        Type { ty, parts }
    }

    pub(crate) fn func(&self) -> Option<&FuncType> {
        match &self.ty {
            ExternType::Func(ty) => Some(ty),
            _ => None,
        }
    }

    fn kind(&self) -> u8 {
        match self.ty {
            ExternType::Func(_) => FUNC,
            ExternType::Global(_) => GLOBAL,
            ExternType::Table(_) => TABLE,
            ExternType::Memory(_) => MEMORY,
            ExternType::Tag(_) => TAG,
            _ => UNKNOWN,
        }
    }
}

impl Clone for Type {
    fn clone(&self) -> Type {
        Type::new(self.ty.clone())
    }
}

impl Drop for Type {
    fn drop(&mut self) {
        if let Parts::Func { params, results } = &mut self.parts {
            params.delete();
            results.delete();
        }
    }
}

pub(crate) const FUNC: u8 = 0;
pub(crate) const GLOBAL: u8 = 1;
pub(crate) const TABLE: u8 = 2;
pub(crate) const MEMORY: u8 = 3;
pub(crate) const TAG: u8 = 4;
const UNKNOWN: u8 = u8::MAX;

/// Takes the types out of a vector that is given up.
unsafe fn taken(types: *mut Vector<*mut ValueType>) -> Vec<ValType> {
    // SAFETY: see the crate's documentation.
    unsafe {
        let types = (*types).take().into_iter();
        types.filter_map(|ty| take(ty)).map(|ty| ty.0).collect()
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_functype_new(
    params: *mut Vector<*mut ValueType>,
    results: *mut Vector<*mut ValueType>,
) -> *mut Type {
    // SAFETY: see the crate's documentation.
    let ty = unsafe { FuncType::new(taken(params), taken(results)) };
    give(Type::new(ExternType::Func(ty)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_functype_params(ty: *const Type) -> *const Vector<*mut ValueType> {
    // SAFETY: see the crate's documentation.
    match unsafe { &(*ty).parts } {
        Parts::Func { params, .. } => params,
        _ => std::ptr::null(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_functype_results(ty: *const Type) -> *const Vector<*mut ValueType> {
    // SAFETY: see the crate's documentation.
    match unsafe { &(*ty).parts } {
        Parts::Func { results, .. } => results,
        _ => std::ptr::null(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_globaltype_new(content: *mut ValueType, mutability: u8) -> *mut Type {
    // SAFETY: see the crate's documentation.
    let Some(content) = (unsafe { take(content) }) else { return std::ptr::null_mut() };
    let ty = GlobalType { content: content.0, mutable: mutability != 0 };
    give(Type::new(ExternType::Global(ty)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_globaltype_content(ty: *const Type) -> *const ValueType {
    // SAFETY: see the crate's documentation.
    match unsafe { &(*ty).parts } {
        Parts::Value(content, _) => content,
        _ => std::ptr::null(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_globaltype_mutability(ty: *const Type) -> u8 {
    // SAFETY: see the crate's documentation.
    matches!(unsafe { &(*ty).ty }, ExternType::Global(GlobalType { mutable: true, .. })).into()
}

/// Null if the elements are no references.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_tabletype_new(
    element: *mut ValueType,
    limits: *const Limits,
) -> *mut Type {
    // SAFETY: see the crate's documentation.
    let (element, limits) = unsafe { (take(element), *limits) };
    let Some(ValType::Ref(element)) = element.map(|ty| ty.0) else { return std::ptr::null_mut() };
    let (min, max) = (u64::from(limits.min), limits.max());
    give(Type::new(ExternType::Table(TableType { element, min, max, table64: false })))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_tabletype_element(ty: *const Type) -> *const ValueType {
    // SAFETY: see the crate's documentation.
    unsafe { wasm_globaltype_content(ty) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_tabletype_limits(ty: *const Type) -> *const Limits {
    // SAFETY: see the crate's documentation.
    match unsafe { &(*ty).parts } {
        Parts::Value(_, limits) | Parts::Limits(limits) => limits,
        _ => std::ptr::null(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_memorytype_new(limits: *const Limits) -> *mut Type {
    // SAFETY: see the crate's documentation.
    let limits = unsafe { *limits };
    give(Type::new(ExternType::Memory(MemoryType::new(u64::from(limits.min), limits.max()))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_memorytype_limits(ty: *const Type) -> *const Limits {
    // SAFETY: see the crate's documentation.
    unsafe { wasm_tabletype_limits(ty) }
}

/// Null if the type is none of functions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_tagtype_new(ty: *mut Type) -> *mut Type {
    // SAFETY: see the crate's documentation.
    let ty = unsafe { take(ty) };
    let ty = ty.as_ref().and_then(|ty| ty.func());
    ty.map_or(std::ptr::null_mut(), |ty| {
        give(Type::new(ExternType::Tag(TagType { ty: ty.clone() })))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_tagtype_functype(ty: *const Type) -> *const Type {
    // SAFETY: see the crate's documentation.
    match unsafe { &(*ty).parts } {
        Parts::Tag(ty) => &**ty,
        _ => std::ptr::null(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_externtype_kind(ty: *const Type) -> u8 {
    // SAFETY: see the crate's documentation.
    unsafe { (*ty).kind() }
}

/// Deletion and copies.
macro_rules! owned {
    ($($ty:ty: $delete:ident $copy:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $delete(value: *mut $ty) {
            // SAFETY: see the crate's documentation.
            drop(unsafe { take(value) });
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $copy(value: *const $ty) -> *mut $ty {
            // SAFETY: see the crate's documentation.
            give(unsafe { (*value).clone() })
        }
    )*};
}

owned! {
    ValueType: wasm_valtype_delete wasm_valtype_copy
    Type: wasm_functype_delete wasm_functype_copy
    Type: wasm_globaltype_delete wasm_globaltype_copy
    Type: wasm_tabletype_delete wasm_tabletype_copy
    Type: wasm_memorytype_delete wasm_memorytype_copy
    Type: wasm_tagtype_delete wasm_tagtype_copy
    Type: wasm_externtype_delete wasm_externtype_copy
    Import: wasm_importtype_delete wasm_importtype_copy
    Export: wasm_exporttype_delete wasm_exporttype_copy
}

/// Casts between a type and the type of anything, which give null if it is of another kind.
macro_rules! casts {
    ($($kind:ident: $up:ident $up_const:ident $down:ident $down_const:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $up(ty: *mut Type) -> *mut Type {
            ty
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $up_const(ty: *const Type) -> *const Type {
            ty
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $down(ty: *mut Type) -> *mut Type {
            // SAFETY: see the crate's documentation.
            if unsafe { (*ty).kind() } == $kind { ty } else { std::ptr::null_mut() }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $down_const(ty: *const Type) -> *const Type {
            // SAFETY: see the crate's documentation.
            if unsafe { (*ty).kind() } == $kind { ty } else { std::ptr::null() }
        }
    )*};
}

casts! {
    FUNC: wasm_functype_as_externtype wasm_functype_as_externtype_const
        wasm_externtype_as_functype wasm_externtype_as_functype_const
    GLOBAL: wasm_globaltype_as_externtype wasm_globaltype_as_externtype_const
        wasm_externtype_as_globaltype wasm_externtype_as_globaltype_const
    TABLE: wasm_tabletype_as_externtype wasm_tabletype_as_externtype_const
        wasm_externtype_as_tabletype wasm_externtype_as_tabletype_const
    MEMORY: wasm_memorytype_as_externtype wasm_memorytype_as_externtype_const
        wasm_externtype_as_memorytype wasm_externtype_as_memorytype_const
    TAG: wasm_tagtype_as_externtype wasm_tagtype_as_externtype_const
        wasm_externtype_as_tagtype wasm_externtype_as_tagtype_const
}

/// `wasm_importtype_t`.
pub struct Import {
    module: Vector<u8>,
    name: Vector<u8>,
    ty: Type,
}

/// `wasm_exporttype_t`.
pub struct Export {
    name: Vector<u8>,
    ty: Type,
}

impl Import {
    pub(crate) fn new(module: &str, name: &str, ty: ExternType) -> Import {
        Import { module: text(module), name: text(name), ty: Type::new(ty) }
    }
}

impl Export {
    pub(crate) fn new(name: &str, ty: ExternType) -> Export {
        Export { name: text(name), ty: Type::new(ty) }
    }
}

fn text(text: &str) -> Vector<u8> {
    Vector::new(text.as_bytes().to_vec())
}

impl Clone for Import {
    fn clone(&self) -> Import {
        Import { module: self.module.copied(), name: self.name.copied(), ty: self.ty.clone() }
    }
}

impl Clone for Export {
    fn clone(&self) -> Export {
        Export { name: self.name.copied(), ty: self.ty.clone() }
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.module.delete();
        self.name.delete();
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.name.delete();
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_importtype_new(
    module: *mut Vector<u8>,
    name: *mut Vector<u8>,
    ty: *mut Type,
) -> *mut Import {
    // SAFETY: see the crate's documentation.
    unsafe {
        let Some(ty) = take(ty) else { return std::ptr::null_mut() };
        let (module, name) = ((*module).take(), (*name).take());
        give(Import { module: Vector::new(module), name: Vector::new(name), ty: *ty })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_importtype_module(import: *const Import) -> *const Vector<u8> {
    // SAFETY: see the crate's documentation.
    unsafe { &raw const (*import).module }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_importtype_name(import: *const Import) -> *const Vector<u8> {
    // SAFETY: see the crate's documentation.
    unsafe { &raw const (*import).name }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_importtype_type(import: *const Import) -> *const Type {
    // SAFETY: see the crate's documentation.
    unsafe { &raw const (*import).ty }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_exporttype_new(name: *mut Vector<u8>, ty: *mut Type) -> *mut Export {
    // SAFETY: see the crate's documentation.
    unsafe {
        let Some(ty) = take(ty) else { return std::ptr::null_mut() };
        give(Export { name: Vector::new((*name).take()), ty: *ty })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_exporttype_name(export: *const Export) -> *const Vector<u8> {
    // SAFETY: see the crate's documentation.
    unsafe { &raw const (*export).name }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_exporttype_type(export: *const Export) -> *const Type {
    // SAFETY: see the crate's documentation.
    unsafe { &raw const (*export).ty }
}
