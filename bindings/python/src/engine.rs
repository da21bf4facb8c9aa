//! Engines and their configurations.

use crate::error;
use pyo3::prelude::*;
use wardian::{EngineKind, checkpoint::Checkpoints};

/// Settings of an engine, all by keyword.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Config(wardian::Config);

#[pymethods]
impl Config {
    #[new]
    #[pyo3(signature = (*, engine="tiered", fuel=false, stack_size=None, checkpoints="off", signals=true,
        deterministic=false, lazy_validation=false, forkable_memories=false, backtrace_frames=64,
        perf_map=false, perf_dump=false))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword")]
    fn new(
        engine: &str,
        fuel: bool,
        stack_size: Option<usize>,
        checkpoints: &str,
        signals: bool,
        deterministic: bool,
        lazy_validation: bool,
        forkable_memories: bool,
        backtrace_frames: usize,
        perf_map: bool,
        perf_dump: bool,
    ) -> PyResult<Config> {
        let kind = match engine {
            "tiered" => EngineKind::Tiered,
            "compiled" => EngineKind::Compiled,
            "interpreted" => EngineKind::Interpreted,
            other => {
                return Err(error::usage(&format!(
                    "engine=\"{other}\": there are \"tiered\", \"compiled\" and \"interpreted\""
                )));
            }
        };
        let checkpoints = match checkpoints {
            "off" => Checkpoints::Off,
            "calls" => Checkpoints::Calls,
            "calls_and_loops" => Checkpoints::CallsAndLoops,
            other => {
                return Err(error::usage(&format!(
                    "checkpoints=\"{other}\": there are \"off\", \"calls\" and \"calls_and_loops\""
                )));
            }
        };
        let mut config = wardian::Config::new();
        config.engine(kind).fuel(fuel).checkpoints(checkpoints).signals(signals);
        config
            .lazy_validation(lazy_validation)
            .forkable_memories(forkable_memories)
            .backtrace_frames(backtrace_frames)
            .perf_map(perf_map)
            .perf_dump(perf_dump);
        if deterministic {
            config.deterministic(true);
        }
        if let Some(bytes) = stack_size {
            config.stack_size(bytes);
        }
        Ok(Config(config))
    }
}

/// Compiles modules; what stores of one program share. Can be used by any thread.
#[pyclass(frozen, module = "wardian")]
pub(crate) struct Engine(pub(crate) wardian::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (config=None))]
    fn new(py: Python<'_>, config: Option<&Bound<'_, Config>>) -> PyResult<Engine> {
        let default = wardian::Config::new();
        let config = config.map_or(&default, |config| &config.get().0);
        wardian::Engine::new(config).map(Engine).map_err(|e| error::of(py, &e))
    }
}
