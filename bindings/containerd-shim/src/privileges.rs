//! What a program of Linux loses when it is executed, and a guest would not: nothing is executed for it.

use anyhow::Context;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Takes the container's capabilities from this thread, and from those that it makes from now on, if its user is not root: the
/// specification of a container gives them to whatever its user is, for programs that may become root.
///
/// # Errors
///
/// The system refuses it.
pub(crate) fn drop_unless_root() -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).context("cannot give up the capabilities of root")
}
