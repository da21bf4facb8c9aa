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
use wardian_observe::{Counts, CoverageMap, CoverageReport};

pub(crate) fn coverage(args: &CoverageArgs, verbose: bool) -> Result<Exit> {
    if crate::checkpoint::is_at(args.run.file()) {
        return Err(Failure::usage(
            "coverage is counted by a module that was rewritten before its program began, and a checkpoint continues \
             in the module that it was taken in: `wardian coverage` needs the module",
        ));
    }
    // Before there are threads.
    let blocked = Blocked::new()?;
    let outputs = Outputs::prepare(args)?;
    let file = args.run.file();
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let seen = Seen { outputs: Some(outputs), map: None, counts: None, shared: None };
    let observer = Arc::new(CoverageObserver {
        program: name.into_owned(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        features: args.run.features.set(),
        branches: args.branches,
        seen: Mutex::new(seen),
    });
    let outcome = crate::run::run(&args.run, verbose, observer.clone(), Some(blocked));
    report::conclude(outcome, observer.write())
}

struct CoverageObserver {
    program: String,
    /// Which source files are shown.
    include: Vec<String>,
    exclude: Vec<String>,
    /// What the original module may use.
    features: CoreFeatures,
    branches: bool,
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
            Some(counts) => {
                let mut report = map.report(&counts, &self.program);
                self.choose(&mut report);
                outputs.write(&report)
            }
            None => Ok(()),
        }
    }

    /// Leaves out the files that are not asked for.
    fn choose(&self, report: &mut CoverageReport) {
        let fits = |patterns: &[String], path: &str| patterns.iter().any(|p| matches(p, path));
        for pattern in self.include.iter().chain(&self.exclude) {
            if !report.files.iter().any(|file| matches(pattern, &file.path)) {
                report::warning(&format!("no source file's path fits `{pattern}`"));
            }
        }
        report.retain_files(|path| {
            (self.include.is_empty() || fits(&self.include, path)) && !fits(&self.exclude, path)
        });
    }
}

/// Whether a whole path fits a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
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
        let (bytes, map) = match self.branches {
            true => CoverageMap::instrument_branches(&original)?,
            false => CoverageMap::instrument(&original)?,
        };
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

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_paths() {
        for (pattern, path, fits) in [
            ("src/a.rs", "src/a.rs", true),
            ("src/a.rs", "src/a.rs.old", false),
            ("*/a.rs", "src/b/a.rs", true),
            ("src/*", "src/b/a.rs", true),
            ("*b*", "src/b/a.rs", true),
            ("src/*.rs", "src/.rsx", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, path), fits, "{pattern} {path}");
        }
    }
}
