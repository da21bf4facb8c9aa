//! Errors on their way between the runtime and the embedder.
//!
//! ```text
//!   runtime ── From, by value ──> Error          what a call returned
//!   runtime ── shown, looked at ──> &Error       what a listener is notified of
//!   Error ── From, by value ──> runtime          what a host function returned; what the runtime needs not know of it
//!                                                passes through as it is
//! ```

use super::{Error, ErrorKind};
use crate::exception::Exception;
use std::any::Any;
use wardian_runtime::ErrorKind as Found;
use wardian_runtime::error::{Foreign, PanicPayload, Trace};

/// An error of which the runtime knows no more than that it is one.
#[doc(hidden)]
impl Foreign for Error {
    fn has_trace(&self) -> bool {
        self.0.trace.is_some()
    }

    fn set_trace(&mut self, trace: Box<dyn Trace>) {
        self.0.trace = Some(trace);
    }

    fn take_trace(&mut self) -> Option<Box<dyn Trace>> {
        self.0.trace.take()
    }
}

#[doc(hidden)]
impl From<wardian_runtime::Error> for Error {
    #[cold]
    fn from(mut error: wardian_runtime::Error) -> Error {
        let access = error.access();
        if let Found::Embedder(_) = error.kind() {
            let Found::Embedder(foreign) = error.into_kind() else { unreachable!("it is one") };
            let foreign: Box<dyn Any> = foreign;
            return *foreign.downcast().expect("the only errors that pass through are these");
        }
        let trace = error.take_trace();
        let kind = match error.into_kind() {
            Found::Host(error) => return Error::host(error),
            Found::Compile(error) => ErrorKind::Compile(error),
            Found::Limit(error) => ErrorKind::Limit(error),
            Found::Checkpoint(error) => ErrorKind::Checkpoint(error),
            Found::Usage(error) => ErrorKind::Usage(error),
            Found::Internal(message) => ErrorKind::Internal(message),
            Found::Panic(payload) => ErrorKind::Panic(payload),
            other => plain(&other),
        };
        Error::with_all(kind, trace, access)
    }
}

/// Kinds that are the same for both.
fn plain(kind: &Found) -> ErrorKind {
    match kind {
        Found::Decode(error) => ErrorKind::Decode(error.clone()),
        Found::Compile(error) => ErrorKind::Compile(error.clone()),
        Found::Link(problems) => ErrorKind::Link(problems.clone()),
        Found::Trap(code) => ErrorKind::Trap(*code),
        Found::Exit(code) => ErrorKind::Exit(*code),
        Found::Closed(code) => ErrorKind::Closed(*code),
        Found::Stopped(reason) => ErrorKind::Stopped(*reason),
        Found::Exception(exception) => ErrorKind::Exception(Exception::of(exception).clone()),
        Found::Host(error) => ErrorKind::Host(error.to_string().into()),
        Found::Limit(error) => ErrorKind::Limit(error.clone()),
        Found::Checkpoint(error) => ErrorKind::Checkpoint(error.clone()),
        Found::Usage(error) => ErrorKind::Usage(error.clone()),
        Found::HostStackExhausted => ErrorKind::HostStackExhausted,
        Found::Internal(message) => ErrorKind::Internal(message.clone()),
        Found::Panic(_) => ErrorKind::Panic(PanicPayload::new(Box::new(()))),
        Found::Suspended => ErrorKind::Suspended,
        Found::Restored | Found::Embedder(_) => ErrorKind::Restored,
    }
}

impl Error {
    /// An error of the runtime while it is only looked at.
    pub(crate) fn of(error: &wardian_runtime::Error) -> &Error {
        if let Found::Embedder(foreign) = error.kind() {
            let foreign: &dyn Any = &**foreign;
            return foreign.downcast_ref().expect("the only errors that pass through are these");
        }
        error.shown(|| {
            let trace = error.trace().map(Trace::boxed);
            Error::with_all(plain(error.kind()), trace, error.access())
        })
    }
}

#[doc(hidden)]
impl From<Error> for wardian_runtime::Error {
    #[cold]
    fn from(error: Error) -> wardian_runtime::Error {
        let kind = match error.0.kind {
            ErrorKind::Exit(code) => Found::Exit(code),
            ErrorKind::Closed(code) => Found::Closed(code),
            ErrorKind::Stopped(reason) => Found::Stopped(reason),
            ErrorKind::Exception(exception) => Found::Exception(exception.into()),
            ErrorKind::Panic(payload) => Found::Panic(payload),
            ErrorKind::Suspended => Found::Suspended,
            ErrorKind::Restored => Found::Restored,
            _ => return wardian_runtime::Error::new(Found::Embedder(Box::new(error))),
        };
        let made = wardian_runtime::Error::new(kind).with_access(error.0.access);
        match error.0.trace {
            Some(trace) => made.with_boxed_trace(trace),
            None => made,
        }
    }
}
