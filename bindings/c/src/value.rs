//! Values.

use crate::reference::{Reference, What};
use crate::store::Handle;
use crate::types::kind;
use crate::vector::Element;
use crate::{give, take};
use wardian::{Extern, Val, ValType};

/// `wasm_val_t`.
#[repr(C)]
pub struct Value {
    kind: u8,
    of: Of,
}

#[repr(C)]
union Of {
    i32: i32,
    i64: i64,
    f32: u32,
    f64: u64,
    reference: *mut Reference,
}

impl Value {
    /// A value for C, which owns it. Vectors do not fit: they are zero.
    pub(crate) fn new(store: &Handle, value: &Val) -> Value {
        let (kind, of) = match value {
            Val::I32(value) => (kind::I32, Of { i32: *value }),
            Val::I64(value) => (kind::I64, Of { i64: *value }),
            Val::F32(bits) => (kind::F32, Of { f32: *bits }),
            Val::F64(bits) => (kind::F64, Of { f64: *bits }),
            Val::V128(_) => (kind::V128, Of { i64: 0 }),
            Val::FuncRef(func) => {
                let func = func.map(|func| store.item(Extern::Func(func)));
                (kind::FUNCREF, Of { reference: func.unwrap_or(std::ptr::null_mut()) })
            }
            Val::ExternRef(value) => {
                let value = value.as_ref().map(|value| give(Reference::of_externref(store, value)));
                (kind::EXTERNREF, Of { reference: value.unwrap_or(std::ptr::null_mut()) })
            }
            other => {
                let kind = crate::types::kind_of(other.ty());
                let is_null = matches!(other, Val::AnyRef(None) | Val::ExnRef(None));
                let reference =
                    (!is_null).then(|| give(Reference::new(store, What::Value(other.clone()))));
                (kind, Of { reference: reference.unwrap_or(std::ptr::null_mut()) })
            }
        };
        Value { kind, of }
    }

    /// The value, which is to be of this type.
    pub(crate) fn read(&self, ty: ValType) -> Result<Val, String> {
        let wrong = || format!("a value of kind {} was given for a {ty}", self.kind);
        // SAFETY: C says by the kind which it is; all bits are numbers.
        unsafe {
            match (ty, self.kind) {
                (ValType::I32, kind::I32) => Ok(Val::I32(self.of.i32)),
                (ValType::I64, kind::I64) => Ok(Val::I64(self.of.i64)),
                (ValType::F32, kind::F32) => Ok(Val::F32(self.of.f32)),
                (ValType::F64, kind::F64) => Ok(Val::F64(self.of.f64)),
                (ValType::Ref(_), kind::EXTERNREF..) => {
                    read_reference(ty, self.of.reference.as_ref()).ok_or_else(wrong)
                }
                _ => Err(wrong()),
            }
        }
    }

    fn reference(&self) -> *mut Reference {
        // SAFETY: the kind says so.
        if self.kind >= kind::EXTERNREF {
            unsafe { self.of.reference }
        } else {
            std::ptr::null_mut()
        }
    }
}

/// A reference as a value of a type, if it is one.
pub(crate) fn read_reference(ty: ValType, reference: Option<&Reference>) -> Option<Val> {
    let ValType::Ref(r) = ty else { return None };
    let Some(reference) = reference else { return Some(Val::zero(ty)) };
    match &reference.what {
        What::Extern(Extern::Func(func)) if r.is_func() => Some(Val::FuncRef(Some(*func))),
        _ if r.is_func() => None,
        _ if r.is_extern() => Some(Val::ExternRef(Some(reference.to_externref()))),
        What::Value(value) => Some(value.clone()),
        _ => None,
    }
}

impl Element for Value {
    fn empty() -> Value {
        Value { kind: kind::EXTERNREF, of: Of { reference: std::ptr::null_mut() } }
    }

    fn copied(&self) -> Value {
        // SAFETY: the widest member; a reference is replaced.
        let mut of = Of { i64: unsafe { self.of.i64 } };
        // SAFETY: a reference of a value is null or valid.
        if let Some(reference) = unsafe { self.reference().as_ref() } {
            of = Of { reference: give(reference.clone()) };
        }
        Value { kind: self.kind, of }
    }

    fn delete(self) {
        // SAFETY: the value owns it.
        drop(unsafe { take(self.reference()) });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_val_delete(value: *mut Value) {
    // SAFETY: see the crate's documentation. It is null afterwards, so that a second deletion does nothing.
    unsafe { std::mem::replace(&mut *value, Value::empty()) }.delete();
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_val_copy(out: *mut Value, value: *const Value) {
    // SAFETY: see the crate's documentation.
    unsafe { out.write((*value).copied()) }
}
