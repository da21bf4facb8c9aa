//! Modules.

use crate::engine::Engine;
use crate::types::{ExportType, ImportType, extern_type};
use crate::{error, signals};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::path::PathBuf;
use wardian::{CompileOptions, cancel::CancelToken};

/// A WebAssembly module, validated and ready to be instantiated. Can be used by any thread.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Module(pub(crate) wardian::Module);

/// Compiles, without the GIL; Ctrl-C ends it.
fn compile(
    py: Python<'_>,
    work: impl FnOnce(&CompileOptions<'_>) -> wardian::Result<wardian::Module> + Send,
) -> PyResult<Module> {
    let token = CancelToken::new();
    let watch = signals::watch(py, &token)?;
    let options = CompileOptions::new().with_cancel_token(token);
    let done = py.detach(|| crate::lease::Here(work(&options)));
    let fired = watch.end(py);
    done.into_inner().map(Module).map_err(|failed| {
        if fired {
            return py.check_signals().err().unwrap_or_else(|| error::interrupted(py, &failed));
        }
        error::of(py, &failed)
    })
}

#[pymethods]
impl Module {
    /// Takes bytes of the binary format, or a text.
    #[new]
    fn new(
        py: Python<'_>,
        engine: &Bound<'_, Engine>,
        wasm: &Bound<'_, PyAny>,
    ) -> PyResult<Module> {
        let bytes = match wasm.cast::<PyString>() {
            Ok(text) => text.to_cow()?.into_owned().into_bytes(),
            Err(_) => wasm.extract::<Vec<u8>>().map_err(|_| {
                PyTypeError::new_err("a module is bytes of the binary format, or a text; of files there is from_file")
            })?,
        };
        let engine = engine.get().0.clone();
        compile(py, move |options| {
            // A text takes the way of all inputs; bytes that are binary are kept without a copy.
            if bytes.starts_with(b"\0asm") {
                return wardian::Module::from_vec(&engine, bytes, options);
            }
            wardian::Module::new_with(&engine, &bytes, options)
        })
    }

    /// A module from a file of the binary or the text format.
    #[staticmethod]
    fn from_file(py: Python<'_>, engine: &Bound<'_, Engine>, path: PathBuf) -> PyResult<Module> {
        // Python's own exceptions for files that cannot be read.
        std::fs::File::open(&path).map_err(|failed| {
            PyErr::from(std::io::Error::new(failed.kind(), format!("{}: {failed}", path.display())))
        })?;
        let engine = engine.get().0.clone();
        compile(py, move |options| wardian::Module::from_file_with(&engine, path, options))
    }

    /// Checks that bytes are a valid module of the binary format, and raises `ModuleError` if not.
    #[staticmethod]
    fn validate(py: Python<'_>, engine: &Bound<'_, Engine>, wasm: &[u8]) -> PyResult<()> {
        wardian::Module::validate(&engine.get().0, wasm).map_err(|e| error::of(py, &e))
    }

    /// What it imports, in order.
    #[getter]
    fn imports(&self, py: Python<'_>) -> PyResult<Vec<ImportType>> {
        let one = |(module, name, ty): (&str, &str, _)| {
            Ok(ImportType {
                module: module.to_owned(),
                name: name.to_owned(),
                ty: extern_type(py, ty)?,
            })
        };
        self.0.imports().map(one).collect()
    }

    /// What it exports, in order.
    #[getter]
    fn exports(&self, py: Python<'_>) -> PyResult<Vec<ExportType>> {
        let one = |(name, ty): (&str, _)| {
            Ok(ExportType { name: name.to_owned(), ty: extern_type(py, ty)? })
        };
        self.0.exports().map(one).collect()
    }

    /// Its name, if it has one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// The contents of a custom section, if there is one of this name.
    fn custom_section<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyBytes>> {
        self.0.custom_section(name).map(|bytes| PyBytes::new(py, bytes))
    }

    fn __repr__(&self) -> String {
        format!("<wardian.Module {}>", self.0.name().unwrap_or("without a name"))
    }
}
