//! A guest that waits in an asynchronous host function.

use super::host::HostCall;
use crate::Result;
use std::pin::Pin;
use wardian_vm::activation::Suspended;

/// What a host function's future does in the end: it writes its results into its slots.
pub(in crate::raw) type Answer = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A suspended guest with the future it waits for.
pub(crate) struct Paused {
    pub(in crate::raw) guest: Suspended,
    pub(in crate::raw) answer: Answer,
    /// The call of the host function, if that can be made again.
    pub(in crate::raw) repeatable: Option<HostCall>,
}
