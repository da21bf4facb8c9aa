//! What looks on while a program runs.

use crate::wasi::Host;
use wardian::{Config, Store};

/// Looks on, and is told of each stage of a run.
pub(crate) trait Observer: Send + Sync + 'static {
    /// The engine is being configured.
    fn engine(&self, _config: &mut Config) {}

    /// There is a store, of the main thread or of another; nothing has run in it.
    fn store(&self, _store: &mut Store<Host>) -> wardian::Result<()> {
        Ok(())
    }

    /// The process ends now, while the guest hangs in a call that cannot be interrupted.
    fn cut_off(&self) {}
}

/// Nobody.
impl Observer for () {}
