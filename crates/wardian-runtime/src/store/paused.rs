//! A guest that waits in an asynchronous host function.

use super::host::HostCall;
use crate::Result;
use std::pin::Pin;
use wardian_vm::activation::Suspended;

/// What a host function's future does in the end: it writes its results into its slots.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A suspended guest with the future it waits for.
pub struct Paused {
    pub(crate) guest: Suspended,
    pub(crate) answer: Answer,
    /// The call of the host function, if that can be made again.
    pub(crate) repeatable: Option<HostCall>,
}
