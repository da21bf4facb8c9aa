//! Profile-guided compilation: runs that write a profile of the module, or begin with one.

use crate::args::RunCommandArgs;
use crate::input::Input;
use crate::observe::Observer;
use crate::outfile::OutFile;
use crate::profile_file::ProfileFile;
use crate::report::{self, Exit, Failure, Result};
use crate::signals::Blocked;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wardian::{EngineKind, Module};

/// `wardian run`.
pub(crate) fn run(args: &RunCommandArgs, verbose: bool) -> Result<Exit> {
    let Some(path) = &args.profile_generate else {
        let observer = Arc::new(Using(ProfileFile::of(&args.profile)?));
        return crate::run::run(&args.run, verbose, observer, None);
    };
    if args.run.engine() != EngineKind::Tiered {
        return Err(Failure::usage(
            "--profile-generate needs the tiered engine: no other one counts what is hot",
        ));
    }
    // Before there are threads.
    let blocked = Blocked::new()?;
    let observer = Arc::new(Generating::new(path.clone())?);
    let outcome = crate::run::run(&args.run, verbose, observer.clone(), Some(blocked));
    report::conclude(outcome, observer.write())
}

/// A run that begins with a profile, or with none.
struct Using(Option<ProfileFile>);

impl Observer for Using {
    fn shows_names(&self) -> bool {
        false
    }

    fn profile(&self) -> Option<&ProfileFile> {
        self.0.as_ref()
    }
}

/// A run that writes a profile.
struct Generating(Mutex<State>);

struct State {
    /// Until it is written.
    file: Option<OutFile>,
    module: Option<Module>,
    /// Whether the guest has run.
    began: bool,
}

impl Generating {
    fn new(path: PathBuf) -> anyhow::Result<Generating> {
        let file = OutFile::open(path)?;
        // Better now than when the program has run.
        earlier(&file)?;
        Ok(Generating(Mutex::new(State { file: Some(file), module: None, began: false })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes what was counted, once.
    fn write(&self) -> anyhow::Result<()> {
        // Held until all is written: who else wants to end the process waits for it.
        let mut state = self.state();
        let Some(file) = state.file.take() else { return Ok(()) };
        let Some(module) = state.module.take().filter(|_| state.began) else {
            file.discard();
            return Ok(());
        };
        let mut profile = module.profile();
        // Another process may have written meanwhile.
        if let Some(earlier) = earlier(&file)? {
            earlier.check(&module, "the one that has run")?;
            profile.merge(&earlier.profile)?;
        }
        file.replace("profile", |writer| writer.write_all(&profile.to_bytes()))
    }
}

impl Observer for Generating {
    fn shows_names(&self) -> bool {
        false
    }

    fn module(&self, input: &mut Input) -> anyhow::Result<bool> {
        input.no_artifact()?;
        Ok(false)
    }

    fn loaded(&self, module: &Module, _: Duration) -> anyhow::Result<()> {
        let mut state = self.state();
        if let Some(file) = &state.file
            && let Some(earlier) = earlier(file)?
        {
            earlier.check(module, "the one that is to run")?;
        }
        state.module = Some(module.clone());
        Ok(())
    }

    fn begins(&self) {
        self.state().began = true;
    }

    fn refused(&self) {
        self.state().began = false;
    }

    fn cut_off(&self) {
        if let Err(problem) = self.write() {
            report::failure(&Failure::new(Exit::TIMEOUT, problem));
        }
    }
}

/// What earlier runs have written to a file; none if it was not there or is empty.
fn earlier(file: &OutFile) -> anyhow::Result<Option<ProfileFile>> {
    // What is written to a pipe cannot be read.
    let is_empty = || std::fs::metadata(file.path()).is_ok_and(|meta| meta.len() == 0);
    if !file.is_regular() || is_empty() {
        return Ok(None);
    }
    ProfileFile::read(file.path()).map(Some)
}
