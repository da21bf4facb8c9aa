//! Values: numbers, bytes of vectors, functions, and Python's own objects.

use crate::func::Func;
use crate::types::is_extern;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use wardian::{ExternRef, Val, ValType};

/// An object of Python's that guests hold. It is not seen by Python's garbage collector there: a guest may keep it.
struct Held(Py<PyAny>);

/// A reference of a guest's that Python cannot look into: to an object of garbage collection, or an exception. It can be
/// passed on to guests of the same store.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Ref {
    store: u64,
    val: Val,
}

#[pymethods]
impl Ref {
    fn __repr__(&self) -> String {
        format!("<wardian.Ref {}>", self.val.ty())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Ref>().is_ok_and(|other| other.get().val == self.val)
    }
}

/// A value for Python, of a store.
pub(crate) fn to_python(py: Python<'_>, store: u64, value: &Val) -> PyResult<Py<PyAny>> {
    match value {
        Val::I32(value) => value.into_py_any(py),
        Val::I64(value) => value.into_py_any(py),
        Val::F32(bits) => f32::from_bits(*bits).into_py_any(py),
        Val::F64(bits) => f64::from_bits(*bits).into_py_any(py),
        Val::V128(value) => Ok(PyBytes::new(py, &value.to_le_bytes()).into_any().unbind()),
        Val::FuncRef(Some(func)) => Func::new(store, *func).into_py_any(py),
        Val::ExternRef(Some(reference)) => match reference.data().downcast_ref::<Held>() {
            Some(held) => Ok(held.0.clone_ref(py)),
            None => Ref { store, val: value.clone() }.into_py_any(py),
        },
        Val::AnyRef(Some(_)) | Val::ExnRef(Some(_)) => {
            Ref { store, val: value.clone() }.into_py_any(py)
        }
        _ => Ok(py.None()),
    }
}

/// Values as Python has results: nothing is `None`, one is itself, several are a tuple.
pub(crate) fn results(py: Python<'_>, store: u64, values: &[Val]) -> PyResult<Py<PyAny>> {
    match values {
        [] => Ok(py.None()),
        [value] => to_python(py, store, value),
        values => Ok(tuple(py, store, values)?.into_any().unbind()),
    }
}

pub(crate) fn tuple<'py>(
    py: Python<'py>,
    store: u64,
    values: &[Val],
) -> PyResult<Bound<'py, PyTuple>> {
    let values: Vec<_> = values.iter().map(|v| to_python(py, store, v)).collect::<PyResult<_>>()?;
    PyTuple::new(py, values)
}

/// A value of a type for a guest of a store. `what` names it in errors, as "argument 1".
pub(crate) fn from_python(
    store: u64,
    value: &Bound<'_, PyAny>,
    ty: ValType,
    what: &dyn Fn() -> String,
) -> PyResult<Val> {
    let wrong = || -> PyErr {
        let found =
            value.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("{}: {ty} is needed, not {found}", what()))
    };
    match ty {
        ValType::I32 => integer(value, 32, &wrong, ty, what).map(|n| Val::I32(n as i32)),
        ValType::I64 => integer(value, 64, &wrong, ty, what).map(|n| Val::I64(n as i64)),
        ValType::F32 => value.extract::<f64>().map(|x| Val::from(x as f32)).map_err(|_| wrong()),
        ValType::F64 => value.extract::<f64>().map(Val::from).map_err(|_| wrong()),
        ValType::V128 => {
            let bytes = value.extract::<&[u8]>().map_err(|_| wrong())?;
            let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| {
                PyValueError::new_err(format!(
                    "{}: a v128 is 16 bytes, not {}",
                    what(),
                    bytes.len()
                ))
            })?;
            Ok(Val::V128(u128::from_le_bytes(bytes)))
        }
        ValType::Ref(reference) => {
            if value.is_none() {
                return match reference.nullable {
                    true => Ok(Val::zero(ty)),
                    false => Err(PyTypeError::new_err(format!("{}: {ty} cannot be None", what()))),
                };
            }
            if let Ok(passed) = value.cast::<Ref>() {
                let Ref { store: of, val } = passed.get();
                return if *of == store {
                    Ok(val.clone())
                } else {
                    Err(crate::error::other_store())
                };
            }
            if is_extern(ty) {
                return Ok(Val::from(Some(ExternRef::new(Held(value.clone().unbind())))));
            }
            let func = value.cast::<Func>().map_err(|_| wrong())?;
            Ok(Val::from(Some(func.get().of(store)?)))
        }
    }
}

/// A number of so many bits, signed or unsigned.
fn integer(
    value: &Bound<'_, PyAny>,
    bits: u32,
    wrong: &dyn Fn() -> PyErr,
    ty: ValType,
    what: &dyn Fn() -> String,
) -> PyResult<i128> {
    let range =
        || PyValueError::new_err(format!("{}: {value} is out of the range of {ty}", what()));
    // Floats and texts are no integers; numpy's integers are.
    if value.is_instance_of::<pyo3::types::PyFloat>() {
        return Err(wrong());
    }
    let number = match value.extract::<i64>() {
        Ok(number) => i128::from(number),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(value.py()) => {
            value.extract::<u64>().map(i128::from).map_err(|_| range())?
        }
        Err(_) => return Err(wrong()),
    };
    let fits = number >= -(1i128 << (bits - 1)) && number < 1i128 << bits;
    fits.then_some(number).ok_or_else(range)
}
