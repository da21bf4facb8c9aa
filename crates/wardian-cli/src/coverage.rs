//! `wardian coverage`.

mod outputs;

use crate::args::CoverageArgs;
use crate::engine;
use crate::input::Input;
use crate::observe::Observer;
use crate::report::{self, Exit, Failure, Result};
use crate::signals::Blocked;
use crate::wasi::Host;
use outputs::Outputs;
use std::sync::{Arc, Mutex, MutexGuard};
use wardian::{
    CompileOptions, Config, CoreFeatures, EngineKind, Instance, Linker, Module, SharedMemory, Store,
};
use wardian_observe::{Counts, CoverageMap};

pub(crate) fn coverage(args: &CoverageArgs, verbose: bool) -> Result<Exit> {
    // Before there are threads.
    let blocked = Blocked::new()?;
    let outputs = Outputs::prepare(args)?;
    let file = args.run.file();
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let seen = Seen { outputs: Some(outputs), map: None, counts: None, shared: None };
    let observer = Arc::new(CoverageObserver {
        program: name.into_owned(),
        features: args.run.features.set(),
        seen: Mutex::new(seen),
    });
    let outcome = crate::run::run(&args.run, verbose, observer.clone(), Some(blocked));
    report::conclude(outcome, observer.write())
}

struct CoverageObserver {
    program: String,
    /// What the original module may use.
    features: CoreFeatures,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Until they are written.
    outputs: Option<Outputs>,
    map: Option<CoverageMap>,
    /// What threads share, if the module has threads.
    shared: Option<SharedMemory>,
    /// What the main thread's instance counted.
    counts: Option<Counts>,
}

impl CoverageObserver {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes what was seen, once.
    fn write(&self) -> anyhow::Result<()> {
        let mut seen = self.seen();
        let Some(outputs) = seen.outputs.take() else { return Ok(()) };
        let Some(map) = &seen.map else { return Ok(()) };
        let counts = match &seen.shared {
            // Of all threads, whatever became of them.
            Some(memory) => Some(map.shared_counts(memory)?),
            None => seen.counts.clone(),
        };
        match counts {
            Some(counts) => outputs.write(&map.report(&counts, &self.program)),
            None => Ok(()),
        }
    }
}

impl Observer for CoverageObserver {
    fn engine(&self, config: &mut Config) {
        config.features(self.features | CoreFeatures::MULTI_MEMORY);
    }

    fn module(&self, input: &mut Input) -> anyhow::Result<bool> {
        input.no_artifact()?;
        // This one is only looked at, so nothing of it is compiled.
        let engine = engine::engine(self.features, |config| {
            config.engine(EngineKind::Interpreted);
        })?;
        let bytes = std::mem::take(&mut input.bytes);
        let original = Module::from_vec(&engine, bytes, &CompileOptions::new())
            .map_err(|error| input.unusable(error))?;
        let (bytes, map) = CoverageMap::instrument(&original);
        input.bytes = bytes;
        self.seen().map = Some(map);
        Ok(false)
    }

    fn linker(&self, linker: &mut Linker<Host>) -> wardian::Result<()> {
        let mut seen = self.seen();
        if let Some(ty) = seen.map.as_ref().and_then(CoverageMap::import) {
            let memory = SharedMemory::new(linker.engine(), ty)?;
            let (module, name) = CoverageMap::IMPORT;
            linker.define(module, name, memory.clone())?;
            seen.shared = Some(memory);
        }
        Ok(())
    }

    fn ended(&self, store: &Store<Host>, instance: Instance) {
        let mut seen = self.seen();
        let counts = seen.map.as_ref().map(|map| map.counts(&instance.internal(store)));
        seen.counts = counts.and_then(std::result::Result::ok);
    }

    fn cut_off(&self) {
        if let Err(problem) = self.write() {
            report::failure(&Failure::new(Exit::TIMEOUT, problem));
        }
    }
}
