//! What looks on while a program runs.

use crate::input::Input;
use crate::profile_file::ProfileFile;
use crate::wasi::Host;
use std::time::Duration;
use wardian::{Config, Instance, Linker, Module, Store};

/// Observes a run: notified of each of its stages.
pub(crate) trait Observer: Send + Sync + 'static {
    /// The engine is being configured.
    fn engine(&self, _config: &mut Config) {}

    /// Whether it shows names of functions, so that debug information is worth reading.
    fn shows_names(&self) -> bool {
        true
    }

    /// The module was read; what is run is what it is now. Says whether its code may come from the cache
    /// and be kept there.
    fn module(&self, _input: &mut Input) -> anyhow::Result<bool> {
        Ok(true)
    }

    /// What the module did in earlier runs, to compile it by.
    fn profile(&self) -> Option<&ProfileFile> {
        None
    }

    /// The module that is going to run, and how long it took to read, check and compile it. After an error it does not.
    fn loaded(&self, _module: &Module, _took: Duration) -> anyhow::Result<()> {
        Ok(())
    }

    /// What the module can import is being put together.
    fn linker(&self, _linker: &mut Linker<Host>) -> wardian::Result<()> {
        Ok(())
    }

    /// There is a store, of the main thread or of another; nothing has run in it.
    fn store(&self, _store: &mut Store<Host>) -> wardian::Result<()> {
        Ok(())
    }

    /// The host functions and the store are there, and how long that took.
    fn linked(&self, _took: Duration) {}

    /// The guest is about to run: its start function, and what follows.
    fn begins(&self) {}

    /// It could not: an import is missing, or a limit does not hold it. Nothing of it has run.
    fn refused(&self) {}

    /// The main thread has ended, however it did; this is what it ran. Other threads may still run.
    fn ended(&self, _store: &Store<Host>, _instance: Instance) {}

    /// The process ends now, while the guest hangs in a call that cannot be interrupted.
    fn cut_off(&self) {}
}

/// Nobody.
impl Observer for () {
    fn shows_names(&self) -> bool {
        false
    }
}
