//! Snapshots.

use crate::{error, store, value};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use wardian::{ErrorKind, Val};

/// Where a guest was when a host function took this. It can be restored as often as wanted, while the call of the guest is open
/// that the host function was called in.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Snapshot(wardian::snapshot::Snapshot);

impl Snapshot {
    pub(crate) fn new(snapshot: wardian::snapshot::Snapshot) -> Snapshot {
        Snapshot(snapshot)
    }
}

#[pymethods]
impl Snapshot {
    /// Resumes the guest from here, in a host function: always raises, `Restored` if it will be resumed as soon as the host
    /// function has ended, whatever that does with the exception. The host function that took the snapshot then returns these
    /// results.
    #[pyo3(signature = (store, *results))]
    fn restore(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        results: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let shared = store::of(store)?;
        let types = self.0.result_types();
        if types.len() != results.len() {
            return Err(error::usage(&format!(
                "the host function that took the snapshot has {} results, and {} were given",
                types.len(),
                results.len()
            )));
        }
        let values = results.iter().zip(types).enumerate();
        let values = values
            .map(|(n, (v, ty))| value::from_python(shared.id, &v, *ty, &|| format!("result {n}")))
            .collect::<PyResult<Vec<Val>>>()?;
        let why = shared.with(|context| self.0.restore(context, &values))?;
        Err(match why.kind() {
            ErrorKind::Restored => error::of(py, &why),
            _ => error::raise(py, shared.id, &why),
        })
    }
}
