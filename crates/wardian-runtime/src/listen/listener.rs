//! Who is notified of calls.

use super::live::LiveCall;
use crate::Error;
use crate::exception::Exception;

/// Notified before and after calls: see `FunctionListener` of the embedding API, whose methods these are.
pub trait Listener: Send + Sync {
    /// A call begins, with these parameters in raw slots.
    fn before(&self, call: &LiveCall<'_>, params: &[u64]);
    /// A call returns these results, in raw slots.
    fn after(&self, call: &LiveCall<'_>, results: &[u64]);
    /// A call ends otherwise.
    fn abort(&self, call: &LiveCall<'_>, reason: &AbortReason<'_>);
    /// A call that had ended is open again.
    fn resumed(&self, call: &LiveCall<'_>);
}

/// Why a call does not return.
#[derive(Clone, Copy)]
pub enum AbortReason<'a> {
    /// An error ends it.
    Error(&'a Error),
    /// An exception that it does not catch.
    Exception(&'a Exception),
    /// A host function or a listener panicked.
    Panic,
    /// A snapshot was restored in which it is not open.
    Restored,
    /// Its guest was suspended and given up.
    Abandoned,
}
