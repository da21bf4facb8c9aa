//! Profiles by samples.

use crate::{error, store};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use wardian_observe::{Format, ProfilerOptions};

/// Samples what guests are doing, at regular times.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Profiler(wardian_observe::Profiler);

#[pymethods]
impl Profiler {
    /// A profiler that takes a sample each `interval` seconds.
    #[new]
    #[pyo3(signature = (interval=0.001, *, program=None))]
    fn new(interval: f64, program: Option<String>) -> PyResult<Profiler> {
        let mut options = ProfilerOptions::sampling().with_interval(store::seconds(interval)?);
        if let Some(program) = program {
            options = options.with_program(program);
        }
        Ok(Profiler(wardian_observe::Profiler::new(options)))
    }

    /// Samples the guests of a store from now on.
    fn watch(&self, py: Python<'_>, store: &Bound<'_, PyAny>) -> PyResult<()> {
        let watched = store::of(store)?.with(|context| self.0.watch_store(context))?;
        watched.map_err(|e| error::of(py, &e))
    }

    /// What was seen so far; sampling continues.
    fn profile(&self, py: Python<'_>) -> Profile {
        Profile(py.detach(|| self.0.profile()))
    }

    /// Ends sampling, and gives what was seen.
    fn finish(&self, py: Python<'_>) -> Profile {
        Profile(py.detach(|| self.0.finish()))
    }
}

/// What a profiler has seen.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Profile(wardian_observe::Profile);

impl Profile {
    fn bytes(&self, py: Python<'_>, format: Format) -> PyResult<Vec<u8>> {
        py.detach(|| {
            let mut bytes = Vec::new();
            self.0.write(format, &mut bytes)?;
            Ok(bytes)
        })
    }
}

#[pymethods]
impl Profile {
    /// The profile for pprof: protocol buffers, compressed.
    fn pprof<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.bytes(py, Format::Pprof)?))
    }

    /// The functions that matter most, as a text.
    #[pyo3(signature = (top=20, width=100))]
    fn table(&self, top: usize, width: usize) -> String {
        self.0.table(top, width, self.0.main_value())
    }

    /// Writes it to a file, in the format of its ending: `.pb.gz`, `.json` of the Firefox Profiler, `.folded`, `.svg`, `.html`.
    fn write(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let format = Format::of_path(&path).map_err(|e| error::usage(&e.to_string()))?;
        Ok(std::fs::write(&path, self.bytes(py, format)?)?)
    }

    /// The number of samples.
    #[getter]
    fn samples(&self) -> u64 {
        self.0.meta().samples
    }
}
