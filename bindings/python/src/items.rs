//! Tables, globals, and what can be imported and exported.

use crate::func::Func;
use crate::memory::Memory;
use crate::types::{GlobalType, TableType};
use crate::value::{from_python, to_python as value};
use crate::{error, store};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use wardian::{Extern, ValType};

/// Something that a module exports, as the class that it has here.
pub(crate) fn to_python(py: Python<'_>, store: u64, item: Extern) -> PyResult<Py<PyAny>> {
    match item {
        Extern::Func(func) => Func::new(store, func).into_py_any(py),
        Extern::Table(table) => Table { store, table }.into_py_any(py),
        Extern::Memory(memory) => Memory::own(store, memory).into_py_any(py),
        Extern::SharedMemory(memory) => Memory::shared(memory).into_py_any(py),
        Extern::Global(global) => Global { store, global }.into_py_any(py),
        other => Other { store, item: other }.into_py_any(py),
    }
}

/// Something that can be imported.
pub(crate) fn of(store: u64, item: &Bound<'_, PyAny>) -> PyResult<Extern> {
    if let Ok(func) = item.cast::<Func>() {
        return Ok(func.get().of(store)?.into());
    }
    if let Ok(memory) = item.cast::<Memory>() {
        return memory.get().item(store);
    }
    let (of, item) = if let Ok(table) = item.cast::<Table>() {
        (table.get().store, Extern::from(table.get().table))
    } else if let Ok(global) = item.cast::<Global>() {
        (global.get().store, Extern::from(global.get().global))
    } else if let Ok(other) = item.cast::<Other>() {
        (other.get().store, other.get().item.clone())
    } else {
        let found = item.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "a Func, Memory, Table or Global can be imported, not {found}"
        )));
    };
    if of == store { Ok(item) } else { Err(error::other_store()) }
}

/// A tag of exceptions, which can be passed on.
#[pyclass(frozen, name = "Tag", module = "wardian")]
pub(crate) struct Other {
    store: u64,
    item: Extern,
}

/// A table of references.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Table {
    store: u64,
    table: wardian::Table,
}

impl Table {
    fn in_store(
        &self,
        argument: &Bound<'_, PyAny>,
    ) -> PyResult<std::sync::Arc<crate::lease::Shared>> {
        let shared = store::of(argument)?;
        if shared.id == self.store { Ok(shared) } else { Err(error::other_store()) }
    }
}

#[pymethods]
impl Table {
    /// A table in a store, filled with a reference.
    #[new]
    fn new(
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        ty: &Bound<'_, TableType>,
        init: &Bound<'_, PyAny>,
    ) -> PyResult<Table> {
        let shared = store::of(store)?;
        let ty = ty.get().0;
        let init =
            from_python(shared.id, init, ValType::Ref(ty.element), &|| "the elements".to_owned())?;
        let made = shared.with(|context| wardian::Table::new(context, ty, init))?;
        let table = made.map_err(|e| error::of(py, &e))?;
        Ok(Table { store: shared.id, table })
    }

    /// Its type.
    #[pyo3(name = "type")]
    fn type_(&self, store: &Bound<'_, PyAny>) -> PyResult<TableType> {
        self.in_store(store)?.with(|context| TableType(self.table.ty(&context)))
    }

    /// The number of elements.
    fn size(&self, store: &Bound<'_, PyAny>) -> PyResult<u64> {
        self.in_store(store)?.with(|context| self.table.size(&context))
    }

    /// An element; `IndexError` outside of the table.
    fn get(&self, py: Python<'_>, store: &Bound<'_, PyAny>, index: u64) -> PyResult<Py<PyAny>> {
        let shared = self.in_store(store)?;
        let found = shared.with(|context| self.table.get(&context, index))?;
        let found = found
            .ok_or_else(|| PyIndexError::new_err(format!("the table has no element {index}")))?;
        value(py, shared.id, &found)
    }

    /// Changes an element.
    fn set(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        index: u64,
        element: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let shared = self.in_store(store)?;
        let ty = shared.with(|context| self.table.ty(&context))?;
        let element = from_python(shared.id, element, ValType::Ref(ty.element), &|| {
            "the element".to_owned()
        })?;
        if index >= shared.with(|context| self.table.size(&context))? {
            return Err(PyIndexError::new_err(format!("the table has no element {index}")));
        }
        shared
            .with(|context| self.table.set(context, index, element))?
            .map_err(|e| error::of(py, &e))
    }

    /// Adds elements; gives the number that there were.
    fn grow(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        delta: u64,
        init: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let shared = self.in_store(store)?;
        let ty = shared.with(|context| self.table.ty(&context))?;
        let init =
            from_python(shared.id, init, ValType::Ref(ty.element), &|| "the elements".to_owned())?;
        shared.with(|context| self.table.grow(context, delta, init))?.map_err(|e| error::of(py, &e))
    }
}

/// A global variable.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Global {
    store: u64,
    global: wardian::Global,
}

impl Global {
    fn in_store(
        &self,
        argument: &Bound<'_, PyAny>,
    ) -> PyResult<std::sync::Arc<crate::lease::Shared>> {
        let shared = store::of(argument)?;
        if shared.id == self.store { Ok(shared) } else { Err(error::other_store()) }
    }
}

#[pymethods]
impl Global {
    /// A global in a store, with a value.
    #[new]
    fn new(
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        ty: &Bound<'_, GlobalType>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<Global> {
        let shared = store::of(store)?;
        let ty = ty.get().0;
        let value = from_python(shared.id, value, ty.content, &|| "the value".to_owned())?;
        let made = shared.with(|context| wardian::Global::new(context, ty, value))?;
        let global = made.map_err(|e| error::of(py, &e))?;
        Ok(Global { store: shared.id, global })
    }

    /// Its type.
    #[pyo3(name = "type")]
    fn type_(&self, store: &Bound<'_, PyAny>) -> PyResult<GlobalType> {
        self.in_store(store)?;
        Ok(GlobalType(self.global.ty()))
    }

    /// Its value.
    fn value(&self, py: Python<'_>, store: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let shared = self.in_store(store)?;
        let found = shared.with(|context| self.global.get(&context))?;
        value(py, shared.id, &found)
    }

    /// Changes it.
    fn set_value(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let shared = self.in_store(store)?;
        let value =
            from_python(shared.id, value, self.global.ty().content, &|| "the value".to_owned())?;
        shared.with(|context| self.global.set(context, value))?.map_err(|e| error::of(py, &e))
    }
}
