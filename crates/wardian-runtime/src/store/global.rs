//! Where globals lie.

use std::ptr::NonNull;

/// Where a global's value lies. Only read together with the store that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalAt(pub(crate) NonNull<u64>);

// SAFETY: the address is only used with the owning store borrowed.
unsafe impl Send for GlobalAt {}

// SAFETY: as above.
unsafe impl Sync for GlobalAt {}
