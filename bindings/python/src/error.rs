//! Errors of the runtime as Python's exceptions. The classes are in `python/wardian/errors.py`.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::fmt;
use wardian::{Backtrace, CheckpointErrorKind, Error, ErrorKind, LimitKind, StopReason, TrapCode};

/// An exception of Python's, on its way through the runtime.
#[derive(Debug)]
pub(crate) struct PythonError(PyErr);

impl PythonError {
    pub(crate) fn new(error: PyErr) -> PythonError {
        PythonError(error)
    }

    pub(crate) fn to_err(&self, py: Python<'_>) -> PyErr {
        self.0.clone_ref(py)
    }
}

impl fmt::Display for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Python::try_attach(|py| self.0.value(py).to_string()) {
            Some(text) => write!(f, "a Python function raised: {text}"),
            None => f.write_str("a Python function raised an exception"),
        }
    }
}

impl std::error::Error for PythonError {}

/// An exception of one of our classes.
fn exception(
    py: Python<'_>,
    class: &str,
    message: &str,
    attributes: &[(&str, Py<PyAny>)],
) -> PyErr {
    let make = || {
        let class = py.import("wardian.errors")?.getattr(class)?;
        let exception = class.call1((message,))?;
        for (name, value) in attributes {
            exception.setattr(*name, value)?;
        }
        Ok(PyErr::from_value(exception))
    };
    make().unwrap_or_else(|failed| failed)
}

fn simple(class: &'static str, message: &str) -> PyErr {
    Python::attach(|py| exception(py, class, message, &[]))
}

/// The store is used by somebody else.
pub(crate) fn busy(message: &str) -> PyErr {
    simple("StoreBusy", message)
}

/// What was asked for makes no sense.
pub(crate) fn usage(message: &str) -> PyErr {
    simple("UsageError", message)
}

/// A limit of a store was reached.
pub(crate) fn limited(py: Python<'_>, message: &str) -> PyErr {
    match "store".into_py_any(py) {
        Ok(limit) => exception(py, "LimitError", message, &[("limit", limit)]),
        Err(failed) => failed,
    }
}

/// Wardian is at fault.
pub(crate) fn internal(message: &str) -> PyErr {
    simple("InternalError", &format!("a fault in Wardian itself: {message}"))
}

/// A thing of another store.
pub(crate) fn other_store() -> PyErr {
    usage("an object was used with a store that it does not belong to")
}

/// Errors without a store, say of a module.
pub(crate) fn of(py: Python<'_>, error: &Error) -> PyErr {
    raise(py, 0, error)
}

/// What stands for a guest that a signal has stopped whose handler raised nothing.
pub(crate) fn interrupted(py: Python<'_>, error: &Error) -> PyErr {
    let more = [("reason", "interrupted".into_py_any(py))];
    let all = attributes(py, error, more);
    let message = "the guest was stopped by a signal";
    all.map_or_else(|e| e, |all| exception(py, "Interrupted", message, &all))
}

type Attributes<'a> = Vec<(&'a str, Py<PyAny>)>;

/// The attributes that all exceptions have, and more.
fn attributes<'a, const N: usize>(
    py: Python<'_>,
    error: &Error,
    more: [(&'a str, PyResult<Py<PyAny>>); N],
) -> PyResult<Attributes<'a>> {
    let frames = error.backtrace().map(|b| frames(py, b)).transpose()?;
    let frames = frames.unwrap_or_else(|| PyTuple::empty(py).into_any().unbind());
    let mut all = vec![("frames", frames)];
    for (name, value) in more {
        all.push((name, value?));
    }
    Ok(all)
}

/// The exception of an error in a store.
pub(crate) fn raise(py: Python<'_>, store: u64, error: &Error) -> PyErr {
    if let Some(raised) = error.downcast_ref::<PythonError>() {
        let raised = raised.to_err(py);
        if let Some(backtrace) = error.backtrace().filter(|b| !b.frames().is_empty()) {
            // For people; an exception without room for notes stays as it is.
            let _ = raised
                .value(py)
                .call_method1("add_note", (format!("called by a guest:\n{backtrace}"),));
        }
        return raised;
    }
    described(py, store, error).unwrap_or_else(|failed| failed)
}

fn described(py: Python<'_>, store: u64, error: &Error) -> PyResult<PyErr> {
    let plain = error.to_string();
    let (class, all) = match error.kind() {
        ErrorKind::Decode(_) => ("DecodeError", attributes(py, error, [])?),
        ErrorKind::Compile(_) => ("CompileError", attributes(py, error, [])?),
        ErrorKind::Link(problems) => {
            let problems: Vec<_> =
                problems.iter().map(|p| (&p.module, &p.name, &p.message)).collect();
            ("LinkError", attributes(py, error, [("problems", problems.into_py_any(py))])?)
        }
        ErrorKind::Trap(code) => return trapped(py, *code, error),
        ErrorKind::Exit(code) => ("ExitTrap", exited(py, *code, error)?),
        ErrorKind::Closed(code) => ("ClosedError", exited(py, *code, error)?),
        ErrorKind::Stopped(reason) => {
            let (class, reason) = match reason {
                StopReason::Deadline => ("DeadlineExceeded", "deadline"),
                StopReason::Cancelled => ("Cancelled", "cancelled"),
                StopReason::Fuel => ("OutOfFuel", "fuel"),
                StopReason::Checkpoint => ("StoppedForCheckpoint", "checkpoint"),
                _ => ("Stopped", "other"),
            };
            (class, attributes(py, error, [("reason", reason.into_py_any(py))])?)
        }
        ErrorKind::Exception(thrown) => {
            let values = thrown.values().iter().map(|v| crate::value::to_python(py, store, v));
            let values = PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)?;
            let more = [("values", Ok(values.into_any().unbind()))];
            ("GuestException", attributes(py, error, more)?)
        }
        ErrorKind::Host(_) => ("HostError", attributes(py, error, [])?),
        ErrorKind::Limit(limit) => {
            let limit = match limit.kind() {
                LimitKind::Store => "store",
                LimitKind::Engine => "engine",
                LimitKind::Allocator => "allocator",
                _ => "system",
            };
            ("LimitError", attributes(py, error, [("limit", limit.into_py_any(py))])?)
        }
        ErrorKind::HostStackExhausted => ("HostStackExhausted", attributes(py, error, [])?),
        ErrorKind::Checkpoint(checkpoint) => {
            let problem = match checkpoint.kind() {
                CheckpointErrorKind::NotTaken => "not taken",
                CheckpointErrorKind::NotForked => "not forked",
                CheckpointErrorKind::Damaged => "damaged",
                CheckpointErrorKind::Version => "version",
                CheckpointErrorKind::Key => "key",
                CheckpointErrorKind::Missing => "missing",
                _ => "not resumed",
            };
            ("CheckpointError", attributes(py, error, [("problem", problem.into_py_any(py))])?)
        }
        ErrorKind::Usage(_) => ("UsageError", attributes(py, error, [])?),
        ErrorKind::Restored => ("Restored", attributes(py, error, [])?),
        _ => ("InternalError", attributes(py, error, [])?),
    };
    Ok(exception(py, class, &plain, &all))
}

fn trapped(py: Python<'_>, code: TrapCode, error: &Error) -> PyResult<PyErr> {
    let access = error.memory_access().map(|a| (a.address(), a.size(), a.memory_size()));
    let known = py.import("wardian.errors")?.getattr("TrapCode")?.call1((code.message(),))?;
    let more = [
        ("code", Ok(known.clone().unbind())),
        ("trap_code", Ok(known.unbind())),
        ("memory_access", access.into_py_any(py)),
    ];
    // With where it happened, as tracebacks have it.
    Ok(exception(py, "Trap", &format!("{error:#}"), &attributes(py, error, more)?))
}

fn exited<'a>(py: Python<'_>, code: u32, error: &Error) -> PyResult<Attributes<'a>> {
    let more = [("code", code.into_py_any(py)), ("exit_code", code.into_py_any(py))];
    attributes(py, error, more)
}

/// A call of a guest, in a backtrace.
#[pyclass(frozen, get_all, module = "wardian")]
pub(crate) struct Frame {
    /// The name of the function, demangled; or `func:` with its index.
    func_name: String,
    /// The index of the function in its module, imports included.
    func_index: Option<u32>,
    /// The name of the module, if it has one.
    module_name: Option<String>,
    /// The position in the module's code section, in bytes.
    code_offset: Option<u32>,
    /// The position in the module's file, in bytes.
    file_offset: Option<usize>,
    /// Source lines, the innermost inlined function first: file, line, column. Empty without debug information.
    source: Vec<(String, Option<u32>, Option<u32>)>,
    text: String,
}

#[pymethods]
impl Frame {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<wardian.Frame {}>", self.text)
    }
}

/// The frames of a backtrace, the innermost first, as a tuple.
pub(crate) fn frames(py: Python<'_>, backtrace: &Backtrace) -> PyResult<Py<PyAny>> {
    let frames = backtrace.frames().iter().map(|frame| Frame {
        func_name: frame.definition().display_name(),
        func_index: Some(frame.func_index()),
        module_name: frame.module().name().map(str::to_owned),
        code_offset: frame.code_offset(),
        file_offset: frame.file_offset(),
        source: source(frame.source_locations()),
        text: frame.to_string(),
    });
    let frames: Vec<_> = frames.map(|f| Py::new(py, f)).collect::<PyResult<_>>()?;
    Ok(PyTuple::new(py, frames)?.into_any().unbind())
}

fn source(found: Vec<wardian::inspect::SourceLocation>) -> Vec<(String, Option<u32>, Option<u32>)> {
    found.into_iter().map(|at| (at.file, at.line, at.column)).collect()
}

/// The frames of a stack that a listener is shown.
pub(crate) fn walk(
    py: Python<'_>,
    stack: &mut wardian::stack::StackIterator<'_>,
) -> PyResult<Py<PyAny>> {
    let mut found = Vec::new();
    while stack.next() {
        let function = stack.function();
        let definition = function.definition();
        let pc = stack.program_counter();
        let frame = Frame {
            func_name: definition.display_name(),
            func_index: definition.index(),
            module_name: definition.module_name().map(str::to_owned),
            code_offset: function.source_offset_for_pc(pc),
            file_offset: None,
            source: Vec::new(),
            text: definition.debug_name(),
        };
        found.push(Py::new(py, frame)?);
    }
    Ok(PyTuple::new(py, found)?.into_any().unbind())
}
