//! What programs of WASI see.

use crate::error;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wardian_wasi::{BuildError, DirPerms, MemoryInput, MemoryOutput, WasiCtx, WasiCtxBuilder};

/// Arguments, variables, directories and streams of programs of WASI. Without them a program has nothing: no arguments, no
/// variables, no directories, nothing to read, and what it writes is dropped. Each store that is made with it gets its own
/// descriptors.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct WasiConfig(Mutex<Settings>);

#[derive(Default)]
struct Settings {
    args: Vec<String>,
    env: Vec<(String, String)>,
    dirs: Vec<(PathBuf, String, bool)>,
    stdin: Input,
    stdout: Target,
    stderr: Target,
}

#[derive(Default)]
enum Input {
    #[default]
    Nothing,
    Inherit,
    Bytes(Vec<u8>),
    File(PathBuf),
}

#[derive(Default)]
enum Target {
    #[default]
    Nothing,
    Inherit,
    Captured(MemoryOutput),
    File(PathBuf, bool),
}

impl WasiConfig {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the settings make.
    pub(crate) fn build(&self, py: Python<'_>) -> PyResult<WasiCtx> {
        Ok(self.builder(py)?.build())
    }

    /// The same, to be completed.
    pub(crate) fn builder(&self, py: Python<'_>) -> PyResult<WasiCtxBuilder> {
        let settings = self.settings();
        let with_args = || {
            let mut builder = WasiCtx::builder().args(settings.args.iter().cloned())?;
            builder = builder.envs(settings.env.iter().cloned())?;
            for (host, guest, read_only) in &settings.dirs {
                let perms = if *read_only { DirPerms::ReadOnly } else { DirPerms::ReadWrite };
                builder = builder.preopen_dir(host, guest.as_str(), perms)?;
            }
            Ok(builder)
        };
        let mut builder = with_args().map_err(|failed| refused(py, &failed))?;
        builder = match &settings.stdin {
            Input::Nothing => builder,
            Input::Inherit => builder.inherit_stdin().map_err(|failed| refused(py, &failed))?,
            Input::Bytes(bytes) => builder.stdin_memory(MemoryInput::new(bytes.clone())),
            Input::File(path) => builder
                .stdin_file(open(path, OpenOptions::new().read(true))?)
                .map_err(|failed| refused(py, &failed))?,
        };
        builder = match &settings.stdout {
            Target::Nothing => builder,
            Target::Inherit => builder.inherit_stdout().map_err(|failed| refused(py, &failed))?,
            Target::Captured(output) => builder.stdout_memory(output.clone()),
            Target::File(path, append) => builder
                .stdout_file(create(path, *append)?)
                .map_err(|failed| refused(py, &failed))?,
        };
        Ok(match &settings.stderr {
            Target::Nothing => builder,
            Target::Inherit => builder.inherit_stderr().map_err(|failed| refused(py, &failed))?,
            Target::Captured(output) => builder.stderr_memory(output.clone()),
            Target::File(path, append) => builder
                .stderr_file(create(path, *append)?)
                .map_err(|failed| refused(py, &failed))?,
        })
    }
}

fn refused(py: Python<'_>, failed: &BuildError) -> PyErr {
    match failed {
        // The operating system's errors come as Python's own for them.
        BuildError::Preopen { error, .. } if error.raw_os_error().is_some() => py
            .import("builtins")
            .and_then(|builtins| {
                builtins.getattr("OSError")?.call1((error.raw_os_error(), failed.to_string()))
            })
            .map_or_else(|failed| failed, PyErr::from_value),
        _ => error::usage(&failed.to_string()),
    }
}

fn open(path: &PathBuf, options: &OpenOptions) -> PyResult<File> {
    Ok(options.open(path).map_err(|failed| {
        std::io::Error::new(failed.kind(), format!("{}: {failed}", path.display()))
    })?)
}

fn create(path: &PathBuf, append: bool) -> PyResult<File> {
    open(path, OpenOptions::new().create(true).write(true).truncate(!append).append(append))
}

#[pymethods]
impl WasiConfig {
    #[new]
    #[pyo3(signature = (args=Vec::new(), env=HashMap::new()))]
    fn new(args: Vec<String>, env: HashMap<String, String>) -> WasiConfig {
        let env = env.into_iter().collect();
        WasiConfig(Mutex::new(Settings { args, env, ..Settings::default() }))
    }

    /// The arguments of the program; by custom the first is its name.
    #[getter]
    fn argv(&self) -> Vec<String> {
        self.settings().args.clone()
    }

    #[setter]
    fn set_argv(&self, argv: Vec<String>) {
        self.settings().args = argv;
    }

    /// The environment: pairs of names and values.
    #[getter]
    fn env(&self) -> Vec<(String, String)> {
        self.settings().env.clone()
    }

    #[setter]
    fn set_env(&self, env: Vec<(String, String)>) {
        self.settings().env = env;
    }

    /// Gives the program this process's arguments.
    fn inherit_argv(&self, py: Python<'_>) -> PyResult<()> {
        let argv = py.import("sys")?.getattr("argv")?.extract()?;
        self.settings().args = argv;
        Ok(())
    }

    /// Gives the program this process's environment.
    fn inherit_env(&self, py: Python<'_>) -> PyResult<()> {
        let environment: HashMap<String, String> = py
            .import("builtins")?
            .getattr("dict")?
            .call1((py.import("os")?.getattr("environ")?,))?
            .extract()?;
        self.settings().env = environment.into_iter().collect();
        Ok(())
    }

    /// Lets the program use a directory, and what is below it, under a name of its own.
    #[pyo3(signature = (path, guest_path, *, read_only=false))]
    fn preopen_dir(&self, path: PathBuf, guest_path: String, read_only: bool) {
        self.settings().dirs.push((path, guest_path, read_only));
    }

    /// The program reads from this process's standard input.
    fn inherit_stdin(&self) {
        self.settings().stdin = Input::Inherit;
    }

    /// The program writes to this process's standard output: to the file descriptor, not to `sys.stdout`.
    fn inherit_stdout(&self) {
        self.settings().stdout = Target::Inherit;
    }

    /// The program writes errors to this process's standard error.
    fn inherit_stderr(&self) {
        self.settings().stderr = Target::Inherit;
    }

    /// All three streams are those of this process.
    fn inherit_stdio(&self) {
        self.inherit_stdin();
        self.inherit_stdout();
        self.inherit_stderr();
    }

    /// The program reads these bytes.
    fn stdin_bytes(&self, data: &[u8]) {
        self.settings().stdin = Input::Bytes(data.to_vec());
    }

    /// The program reads from a file.
    fn stdin_file(&self, path: PathBuf) {
        self.settings().stdin = Input::File(path);
    }

    /// Keeps what the program writes, so many bytes at most; then writing fails.
    #[pyo3(signature = (capacity=1 << 24))]
    fn capture_stdout(&self, capacity: usize) -> Output {
        let output = MemoryOutput::new(capacity);
        self.settings().stdout = Target::Captured(output.clone());
        Output(output)
    }

    /// Keeps what the program writes to its standard error, so many bytes at most; then writing fails.
    #[pyo3(signature = (capacity=1 << 24))]
    fn capture_stderr(&self, capacity: usize) -> Output {
        let output = MemoryOutput::new(capacity);
        self.settings().stderr = Target::Captured(output.clone());
        Output(output)
    }

    /// The program writes to a file, which is made, or emptied unless `append` is set.
    #[pyo3(signature = (path, *, append=false))]
    fn stdout_file(&self, path: PathBuf, append: bool) {
        self.settings().stdout = Target::File(path, append);
    }

    /// The program writes errors to a file, which is made, or emptied unless `append` is set.
    #[pyo3(signature = (path, *, append=false))]
    fn stderr_file(&self, path: PathBuf, append: bool) {
        self.settings().stderr = Target::File(path, append);
    }
}

/// What a program has written.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Output(MemoryOutput);

#[pymethods]
impl Output {
    /// All bytes so far.
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.contents())
    }

    /// All bytes so far as a text, with replacement characters for what is not UTF-8.
    fn text(&self) -> String {
        self.0.text()
    }

    /// The bytes so far, which are not given again.
    fn take<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.take())
    }
}
