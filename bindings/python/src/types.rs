//! Types of values, functions, memories, tables and globals, and of what modules import and export.

use crate::error;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use wardian as w;
use wardian::{ExternType, HeapType, RefType};

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The type of a value: `ValType("i32")`, or `ValType.i32()`. Where a type is wanted, its name does as well.
#[pyclass(frozen, eq, module = "wardian")]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct ValType(pub(crate) w::ValType);

const NAMED: [(&str, w::ValType); 9] = [
    ("i32", w::ValType::I32),
    ("i64", w::ValType::I64),
    ("f32", w::ValType::F32),
    ("f64", w::ValType::F64),
    ("v128", w::ValType::V128),
    ("externref", w::ValType::Ref(RefType::EXTERN)),
    ("funcref", w::ValType::Ref(RefType::FUNC)),
    ("anyref", w::ValType::Ref(RefType::ANY)),
    ("exnref", w::ValType::Ref(RefType::EXN)),
];

#[pymethods]
impl ValType {
    #[new]
    fn new(name: &str) -> PyResult<ValType> {
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, ty)| ValType(*ty)).ok_or_else(|| {
            let names: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
            error::usage(&format!(
                "`{name}` is no type of values; those with names are {}",
                names.join(", ")
            ))
        })
    }

    /// 32-bit integers: `int`, signed or unsigned.
    #[staticmethod]
    fn i32() -> ValType {
        ValType(w::ValType::I32)
    }

    /// 64-bit integers: `int`, signed or unsigned.
    #[staticmethod]
    fn i64() -> ValType {
        ValType(w::ValType::I64)
    }

    /// 32-bit floats: `float`.
    #[staticmethod]
    fn f32() -> ValType {
        ValType(w::ValType::F32)
    }

    /// 64-bit floats: `float`.
    #[staticmethod]
    fn f64() -> ValType {
        ValType(w::ValType::F64)
    }

    /// Vectors: 16 `bytes`, lane 0 first.
    #[staticmethod]
    fn v128() -> ValType {
        ValType(w::ValType::V128)
    }

    /// Any object of Python's, or `None`.
    #[staticmethod]
    fn externref() -> ValType {
        ValType(w::ValType::Ref(RefType::EXTERN))
    }

    /// A `Func`, or `None`.
    #[staticmethod]
    fn funcref() -> ValType {
        ValType(w::ValType::Ref(RefType::FUNC))
    }

    fn __hash__(&self) -> u64 {
        hash(self.0)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<wardian.ValType {}>", self.0)
    }
}

/// A type of values, or the name of one.
pub(crate) fn val_type(of: &Bound<'_, PyAny>) -> PyResult<w::ValType> {
    if let Ok(ty) = of.cast::<ValType>() {
        return Ok(ty.get().0);
    }
    if let Ok(name) = of.cast::<PyString>() {
        return Ok(ValType::new(&name.to_cow()?)?.0);
    }
    Err(error::usage(&format!(
        "a type of values is needed, as ValType.i32() or \"i32\", not {}",
        of.repr()?
    )))
}

fn val_types(of: &Bound<'_, PyAny>) -> PyResult<Vec<w::ValType>> {
    if of.is_instance_of::<PyString>() {
        return Err(error::usage("a list of types is needed, not a text"));
    }
    of.try_iter()?.map(|ty| val_type(&ty?)).collect()
}

fn tuple<'py>(py: Python<'py>, types: &[w::ValType]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(
        py,
        types
            .iter()
            .map(|ty| ValType(*ty))
            .map(|ty| Py::new(py, ty))
            .collect::<PyResult<Vec<_>>>()?,
    )
}

/// The type of a function: `FuncType(["i32", "i32"], ["i32"])`.
#[pyclass(frozen, eq, module = "wardian")]
#[derive(Clone, PartialEq)]
pub(crate) struct FuncType(pub(crate) w::FuncType);

#[pymethods]
impl FuncType {
    #[new]
    #[pyo3(signature = (params, results))]
    fn new(params: &Bound<'_, PyAny>, results: &Bound<'_, PyAny>) -> PyResult<FuncType> {
        Ok(FuncType(w::FuncType::new(val_types(params)?, val_types(results)?)))
    }

    /// The types of its parameters.
    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, self.0.params())
    }

    /// The types of its results.
    #[getter]
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, self.0.results())
    }

    fn __hash__(&self) -> u64 {
        hash(&self.0)
    }

    fn __repr__(&self) -> String {
        format!("<wardian.FuncType {}>", self.0)
    }
}

/// A minimum and, if there is one, a maximum.
#[pyclass(frozen, eq, hash, get_all, module = "wardian")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    min: u64,
    max: Option<u64>,
}

#[pymethods]
impl Limits {
    #[new]
    #[pyo3(signature = (min, max=None))]
    fn new(min: u64, max: Option<u64>) -> Limits {
        Limits { min, max }
    }

    fn __repr__(&self) -> String {
        match self.max {
            Some(max) => format!("Limits({}, {max})", self.min),
            None => format!("Limits({})", self.min),
        }
    }
}

/// The type of a memory, with limits in pages.
#[pyclass(frozen, eq, module = "wardian")]
#[derive(Clone, PartialEq)]
pub(crate) struct MemoryType(pub(crate) w::MemoryType);

#[pymethods]
impl MemoryType {
    #[new]
    #[pyo3(signature = (limits, is_64=false, shared=false))]
    fn new(limits: &Bound<'_, Limits>, is_64: bool, shared: bool) -> MemoryType {
        let Limits { min, max } = *limits.get();
        MemoryType(w::MemoryType { memory64: is_64, shared, ..w::MemoryType::new(min, max) })
    }

    #[getter]
    fn limits(&self) -> Limits {
        Limits { min: self.0.min, max: self.0.max }
    }

    #[getter]
    fn is_64(&self) -> bool {
        self.0.memory64
    }

    #[getter]
    fn is_shared(&self) -> bool {
        self.0.shared
    }

    /// Bytes of a page.
    #[getter]
    fn page_size(&self) -> u64 {
        self.0.page_size()
    }

    fn __hash__(&self) -> u64 {
        hash(self.0)
    }

    fn __repr__(&self) -> String {
        format!("<wardian.MemoryType {}>", self.limits().__repr__())
    }
}

/// The type of a table, with limits in elements.
#[pyclass(frozen, eq, module = "wardian")]
#[derive(Clone, PartialEq)]
pub(crate) struct TableType(pub(crate) w::TableType);

#[pymethods]
impl TableType {
    #[new]
    fn new(element: &Bound<'_, PyAny>, limits: &Bound<'_, Limits>) -> PyResult<TableType> {
        let w::ValType::Ref(element) = val_type(element)? else {
            return Err(error::usage(
                "elements of tables are references, as \"funcref\" or \"externref\"",
            ));
        };
        let Limits { min, max } = *limits.get();
        Ok(TableType(w::TableType { element, min, max, table64: false }))
    }

    #[getter]
    fn element(&self) -> ValType {
        ValType(w::ValType::Ref(self.0.element))
    }

    #[getter]
    fn limits(&self) -> Limits {
        Limits { min: self.0.min, max: self.0.max }
    }

    fn __hash__(&self) -> u64 {
        hash(self.0)
    }

    fn __repr__(&self) -> String {
        format!(
            "<wardian.TableType {} {}>",
            w::ValType::Ref(self.0.element),
            self.limits().__repr__()
        )
    }
}

/// The type of a global.
#[pyclass(frozen, eq, module = "wardian")]
#[derive(Clone, PartialEq)]
pub(crate) struct GlobalType(pub(crate) w::GlobalType);

#[pymethods]
impl GlobalType {
    #[new]
    #[pyo3(signature = (content, mutable=false))]
    fn new(content: &Bound<'_, PyAny>, mutable: bool) -> PyResult<GlobalType> {
        Ok(GlobalType(w::GlobalType { content: val_type(content)?, mutable }))
    }

    #[getter]
    fn content(&self) -> ValType {
        ValType(self.0.content)
    }

    #[getter]
    fn mutable(&self) -> bool {
        self.0.mutable
    }

    fn __hash__(&self) -> u64 {
        hash(self.0)
    }

    fn __repr__(&self) -> String {
        let mutable = if self.0.mutable { "mutable " } else { "" };
        format!("<wardian.GlobalType {mutable}{}>", self.0.content)
    }
}

/// A type as the class that it has here. None of tags, which are passed through only.
pub(crate) fn extern_type(py: Python<'_>, ty: ExternType) -> PyResult<Py<PyAny>> {
    match ty {
        ExternType::Func(ty) => FuncType(ty).into_py_any(py),
        ExternType::Table(ty) => TableType(ty).into_py_any(py),
        ExternType::Memory(ty) => MemoryType(ty).into_py_any(py),
        ExternType::Global(ty) => GlobalType(ty).into_py_any(py),
        _ => Ok(py.None()),
    }
}

/// Something that a module imports.
#[pyclass(frozen, get_all, module = "wardian")]
pub(crate) struct ImportType {
    /// The module that it is imported from.
    pub(crate) module: String,
    pub(crate) name: String,
    #[pyo3(name = "type")]
    pub(crate) ty: Py<PyAny>,
}

#[pymethods]
impl ImportType {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "<wardian.ImportType {} {} {}>",
            self.module,
            self.name,
            self.ty.bind(py).repr()?
        ))
    }
}

/// Something that a module exports.
#[pyclass(frozen, get_all, module = "wardian")]
pub(crate) struct ExportType {
    pub(crate) name: String,
    #[pyo3(name = "type")]
    pub(crate) ty: Py<PyAny>,
}

#[pymethods]
impl ExportType {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<wardian.ExportType {} {}>", self.name, self.ty.bind(py).repr()?))
    }
}

/// Whether values of a type are the embedder's objects.
pub(crate) fn is_extern(ty: w::ValType) -> bool {
    matches!(ty, w::ValType::Ref(RefType { heap: HeapType::Extern | HeapType::NoExtern, .. }))
}
