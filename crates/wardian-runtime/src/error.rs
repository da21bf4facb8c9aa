//! What can go wrong in the runtime, as data. `wardian` makes errors for people of it.

mod access;
mod checkpoint;
mod compile;
mod limit;
mod usage;

pub use access::MemoryAccess;
pub use checkpoint::{CheckpointError, CheckpointErrorKind};
pub use compile::CompileError;
pub use limit::{LimitError, LimitKind};
pub use usage::{UsageError, UsageKind};

use crate::exception::Exception;
use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Mutex, OnceLock};
use wardian_types::TrapCode;
use wardian_vm::contain::{Payload, discard};

/// Result of most operations of the runtime.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of any type.
pub type BoxedError = Box<dyn StdError + Send + Sync>;

/// Why an operation of the runtime failed.
///
/// It is one pointer wide, so that a `Result` stays small. That a snapshot is restored takes no memory: the error only
/// leads there, as fast as possible.
pub struct Error(Option<Box<Inner>>);

/// The kind of errors without more.
static RESTORED: ErrorKind = ErrorKind::Restored;
/// What is shown of them.
static RESTORED_SHOWN: OnceLock<Shown> = OnceLock::new();

type Shown = Box<dyn Any + Send + Sync>;

struct Inner {
    kind: ErrorKind,
    trace: Option<Box<dyn Trace>>,
    access: Option<MemoryAccess>,
    /// What the embedding API shows of it while it is only looked at, once it has.
    shown: OnceLock<Shown>,
}

/// Where a guest was when it failed. Errors are below modules, and know no more of it than how to show it.
pub trait Trace: Any + fmt::Display + Send + Sync {
    /// The same once more.
    fn boxed(&self) -> Box<dyn Trace>;
}

/// The kinds of [`Error`].
#[derive(Debug)]
pub enum ErrorKind {
    /// A module is not valid.
    Decode(wardian_module::DecodeError),
    /// A valid module could not be compiled.
    Compile(CompileError),
    /// Imports are missing or of the wrong type. All of them are listed.
    Link(Vec<LinkProblem>),
    /// The guest trapped.
    Trap(TrapCode),
    /// The guest ended itself with this code.
    Exit(u32),
    /// The instance was closed with this code.
    Closed(u32),
    /// The guest was stopped from outside.
    Stopped(StopReason),
    /// The guest, or a host function, threw an exception that no guest caught.
    Exception(Exception),
    /// An error of the embedder's own, which passes through the runtime.
    Host(BoxedError),
    /// An error of the embedding API's, which passes through the runtime.
    Embedder(Box<dyn Foreign>),
    /// A limit of the store or of the system was reached.
    Limit(LimitError),
    /// A checkpoint cannot be taken or resumed, or a store not be forked.
    Checkpoint(CheckpointError),
    /// The runtime was used in a way that makes no sense.
    Usage(UsageError),
    /// Guest and host called each other until the embedder's own stack was nearly used up.
    HostStackExhausted,
    /// The runtime is at fault.
    Internal(String),
    /// A host function panicked; the panic continues when the outermost call returns.
    Panic(PanicPayload),
    /// The guest is suspended.
    Suspended,
    /// A snapshot is being restored.
    Restored,
}

/// An error of the embedding API's.
pub trait Foreign: Any + Send + Sync {
    /// Whether it is known where the guest was.
    fn has_trace(&self) -> bool;
    /// Says where the guest was, which is not known.
    fn set_trace(&mut self, trace: Box<dyn Trace>);
    /// Where the guest was, if that is known, which the error then no longer has.
    fn take_trace(&mut self) -> Option<Box<dyn Trace>>;
}

/// Why a guest was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The store's deadline passed.
    Deadline,
    /// A `CancelToken` was used.
    Cancelled,
    /// The store's fuel was used up: see `Store::set_fuel`.
    Fuel,
    /// A checkpoint was taken, and whoever had asked for it wanted the guest to end: see `AfterCheckpoint::End`.
    Checkpoint,
}

/// An import that could not be satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkProblem {
    /// The module that was asked.
    pub module: String,
    /// The name asked for.
    pub name: String,
    /// What is wrong, with both types where it is the type.
    pub message: String,
}

/// What a panicking host function threw.
#[doc(hidden)]
// The mutex makes it `Sync`; the payload is only ever moved out, by who resumes the panic.
pub struct PanicPayload(Mutex<Option<Payload>>);

impl PanicPayload {
    /// What was thrown.
    pub fn new(payload: Payload) -> PanicPayload {
        PanicPayload(Mutex::new(Some(payload)))
    }

    /// What was thrown, to be thrown again.
    pub fn into_inner(self) -> Payload {
        self.take().unwrap_or_else(|| Box::new(()))
    }

    fn take(&self) -> Option<Payload> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).take()
    }
}

impl Drop for PanicPayload {
    fn drop(&mut self) {
        if let Some(payload) = self.take() {
            discard(payload);
        }
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanicPayload")
    }
}

impl fmt::Debug for dyn Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Foreign")
    }
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind) -> Error {
        if matches!(kind, ErrorKind::Restored) {
            return Error(None);
        }
        Error(Some(Box::new(Inner { kind, trace: None, access: None, shown: OnceLock::new() })))
    }

    /// A checkpoint or a fork that cannot be.
    pub fn checkpoint(kind: CheckpointErrorKind, why: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Checkpoint(CheckpointError::new(kind, why.to_string())))
    }

    /// The bytes of a checkpoint are not what was written.
    pub fn damaged(what: impl fmt::Display) -> Error {
        Error::checkpoint(CheckpointErrorKind::Damaged, what)
    }

    /// The panic of a host function or a listener.
    pub fn panic(payload: Payload) -> Error {
        Error::new(ErrorKind::Panic(PanicPayload::new(payload)))
    }

    /// The guest ends itself with this code.
    pub fn exit(code: u32) -> Error {
        Error::new(ErrorKind::Exit(code))
    }

    /// The same error with where the guest was, unless it is known already.
    pub(crate) fn with_trace(self, trace: impl Trace) -> Error {
        if self.has_trace() { self } else { self.with_boxed_trace(Box::new(trace)) }
    }

    /// Where the guest was, if that is known.
    pub fn trace(&self) -> Option<&dyn Trace> {
        self.0.as_ref()?.trace.as_deref()
    }

    /// The same error without where the guest was, and that.
    pub fn take_trace(&mut self) -> Option<Box<dyn Trace>> {
        let inner = self.0.as_mut()?;
        match &mut inner.kind {
            ErrorKind::Embedder(foreign) => foreign.take_trace(),
            _ => inner.trace.take(),
        }
    }

    /// The same error with where the guest was, unless it is known already: for what [`Error::take_trace`] gave.
    pub fn with_boxed_trace(mut self, trace: Box<dyn Trace>) -> Error {
        let known = self.has_trace();
        if let Some(inner) = self.0.as_mut().filter(|_| !known) {
            match &mut inner.kind {
                ErrorKind::Embedder(foreign) => foreign.set_trace(trace),
                _ => inner.trace = Some(trace),
            }
        }
        self
    }

    /// Whether it is known where the guest was.
    pub fn has_trace(&self) -> bool {
        match self.kind() {
            ErrorKind::Embedder(foreign) => foreign.has_trace(),
            _ => self.trace().is_some(),
        }
    }

    /// The same error with the access to memory that was refused.
    pub fn with_access(mut self, access: Option<MemoryAccess>) -> Error {
        if let Some(inner) = &mut self.0 {
            inner.access = access;
        }
        self
    }

    /// The access to memory that was refused.
    pub fn access(&self) -> Option<MemoryAccess> {
        self.0.as_ref()?.access
    }

    /// The exception, if the guest or a host function threw one and no guest caught it.
    pub fn exception(&self) -> Option<&Exception> {
        match self.kind() {
            ErrorKind::Exception(exception) => Some(exception),
            _ => None,
        }
    }

    /// The exit code, if the guest ended itself or was closed.
    pub fn exit_code(&self) -> Option<u32> {
        match *self.kind() {
            ErrorKind::Exit(code) | ErrorKind::Closed(code) => Some(code),
            _ => None,
        }
    }

    /// Why the guest was stopped from outside, if it was.
    pub fn stop_reason(&self) -> Option<StopReason> {
        match *self.kind() {
            ErrorKind::Stopped(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether no host function can stop this error from ending the outer guest calls as well.
    pub(crate) fn is_sticky(&self) -> bool {
        matches!(self.kind(), ErrorKind::Exit(_) | ErrorKind::Stopped(_) | ErrorKind::Panic(_))
    }

    /// What the embedding API shows of it while it is only looked at, made once.
    pub fn shown<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> &T {
        let shown = self.0.as_ref().map_or(&RESTORED_SHOWN, |inner| &inner.shown);
        let shown = shown.get_or_init(|| Box::new(make()));
        shown.downcast_ref().expect("one type of errors is shown")
    }

    /// A wrong use.
    pub fn usage(kind: UsageKind, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage(UsageError::new(kind, message.into())))
    }

    /// A limit was reached.
    pub fn limit(kind: LimitKind, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit(LimitError::new(kind, message.into(), None)))
    }

    /// The system refused something, for this reason.
    pub fn system(what: impl fmt::Display, reason: impl Into<BoxedError>) -> Error {
        Error::new(ErrorKind::Limit(LimitError::system(what, reason.into())))
    }

    /// Something could not be compiled, for this reason.
    pub fn compile(reason: impl Into<BoxedError>) -> Error {
        let reason = reason.into();
        Error::new(ErrorKind::Compile(CompileError::new(reason.to_string(), Some(reason))))
    }

    /// A part of a module could not be compiled, for this reason.
    pub(crate) fn compile_part(what: impl fmt::Display, reason: impl Into<BoxedError>) -> Error {
        let reason = reason.into();
        let message = format!("{what}: {reason}");
        Error::new(ErrorKind::Compile(CompileError::new(message, Some(reason))))
    }

    /// The runtime is at fault.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal(message.into()))
    }

    /// What kind of error this is.
    pub fn kind(&self) -> &ErrorKind {
        self.0.as_ref().map_or(&RESTORED, |inner| &inner.kind)
    }

    /// The kind, with all that belongs to it.
    pub fn into_kind(self) -> ErrorKind {
        self.0.map_or(ErrorKind::Restored, |inner| inner.kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Decode(error) => error.fmt(f),
            ErrorKind::Compile(error) => error.fmt(f),
            ErrorKind::Host(error) => error.fmt(f),
            ErrorKind::Limit(error) => error.fmt(f),
            ErrorKind::Usage(error) => error.fmt(f),
            ErrorKind::Checkpoint(error) => error.fmt(f),
            ErrorKind::Internal(message) => f.write_str(message),
            kind => write!(f, "{kind:?}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

impl StdError for Error {}

impl From<TrapCode> for Error {
    fn from(code: TrapCode) -> Error {
        Error::new(ErrorKind::Trap(code))
    }
}

impl From<wardian_module::DecodeError> for Error {
    fn from(error: wardian_module::DecodeError) -> Error {
        Error::new(ErrorKind::Decode(error))
    }
}
