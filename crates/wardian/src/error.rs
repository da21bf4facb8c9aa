//! What can go wrong, for people.

mod crossing;

#[doc(inline)]
pub use wardian_runtime::error::{
    CheckpointError, CheckpointErrorKind, CompileError, LimitError, LimitKind, LinkProblem,
    StopReason, UsageError, UsageKind,
};

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::OnceLock;
use wardian_runtime::error::{MemoryAccess, PanicPayload, Trace};
use wardian_types::TrapCode;

/// Result of most operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of any type.
pub(crate) type BoxedError = Box<dyn StdError + Send + Sync>;

/// Why an operation failed: see [`ErrorKind`].
///
/// It is one pointer wide, so that a `Result` stays small.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    /// Where the guest was: see [`crate::Backtrace`].
    trace: Option<Box<dyn Trace>>,
    /// What is shown of that, once it was asked for.
    shown_trace: OnceLock<Box<dyn Any + Send + Sync>>,
    access: Option<MemoryAccess>,
}

/// The kinds of [`Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a valid module.
    Decode(wardian_module::DecodeError),
    /// A valid module could not be compiled.
    Compile(CompileError),
    /// Imports are missing or of the wrong type. All of them are listed.
    Link(Vec<LinkProblem>),
    /// The guest trapped.
    Trap(TrapCode),
    /// The guest ended itself with this code (`proc_exit`).
    Exit(u32),
    /// The instance was closed with this code: while it ran, or before it was called.
    Closed(u32),
    /// The guest was stopped from outside.
    Stopped(StopReason),
    /// The guest, or a host function, threw an exception that no guest caught.
    Exception(crate::Exception),
    /// A host function failed.
    Host(Box<dyn StdError + Send + Sync>),
    /// A limit of the store or of the system was reached.
    Limit(LimitError),
    /// A checkpoint cannot be taken, read or resumed, or a store not be forked.
    Checkpoint(CheckpointError),
    /// The API was used in a way that makes no sense: wrong types, an unknown name, another store's object.
    Usage(UsageError),
    /// Guest and host called each other until the embedder's own stack was nearly used up.
    HostStackExhausted,
    /// Wardian is at fault. Please report it.
    Internal(String),
    /// A host function panicked; the panic continues when the outermost call returns.
    #[doc(hidden)]
    Panic(PanicPayload),
    /// The guest is suspended; never seen by embedders.
    #[doc(hidden)]
    Suspended,
    /// A snapshot is being restored: what [`crate::snapshot::Snapshot::restore`] returns, and what calls of
    /// guests return whose frames it discards. To be passed on.
    Restored,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Error {
        Error::with_all(kind, None, None)
    }

    fn with_all(
        kind: ErrorKind,
        trace: Option<Box<dyn Trace>>,
        access: Option<MemoryAccess>,
    ) -> Error {
        Error(Box::new(Inner { kind, trace, shown_trace: OnceLock::new(), access }))
    }

    pub(crate) fn usage(kind: UsageKind, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage(UsageError::new(kind, message.into())))
    }

    pub(crate) fn limit(kind: LimitKind, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit(LimitError::new(kind, message.into(), None)))
    }

    pub(crate) fn checkpoint(kind: CheckpointErrorKind, why: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Checkpoint(CheckpointError::new(kind, why.to_string())))
    }

    /// The bytes of a checkpoint are not what was written.
    pub(crate) fn damaged(what: impl fmt::Display) -> Error {
        Error::checkpoint(CheckpointErrorKind::Damaged, what)
    }

    /// The system refused something, for this reason.
    pub(crate) fn system(what: impl fmt::Display, reason: impl Into<BoxedError>) -> Error {
        Error::new(ErrorKind::Limit(LimitError::system(what, reason.into())))
    }

    pub(crate) fn trace(&self) -> Option<&dyn Trace> {
        self.0.trace.as_deref()
    }

    /// What is shown of where the guest was, made once.
    pub(crate) fn shown_trace<T: Any + Send + Sync>(
        &self,
        make: impl FnOnce(&dyn Trace) -> T,
    ) -> Option<&T> {
        let trace = self.trace()?;
        self.0.shown_trace.get_or_init(|| Box::new(make(trace))).downcast_ref()
    }

    /// An error of a host function's own, of the kind [`ErrorKind::Host`]. One that is an [`Error`] already stays what it
    /// is, a [`TrapCode`] becomes a trap, a [`crate::Exception`] is thrown.
    ///
    /// ```
    /// # use wardian::Error;
    /// let error = Error::host("the shelf is empty");
    /// assert_eq!(error.to_string(), "the shelf is empty");
    /// assert_eq!(Error::host(Error::exit(3)).exit_code(), Some(3));
    /// ```
    pub fn host(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        let error = match error.into().downcast::<Error>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        let error = match error.downcast::<TrapCode>() {
            Ok(code) => return (*code).into(),
            Err(error) => error,
        };
        match error.downcast::<crate::Exception>() {
            Ok(exception) => (*exception).into(),
            Err(error) => Error::new(ErrorKind::Host(error)),
        }
    }

    /// Ends the guest with an exit code, as `proc_exit` does. Returned by a host function, it ends
    /// every guest call that is open, whatever host functions in between do with it.
    pub fn exit(code: u32) -> Error {
        Error::new(ErrorKind::Exit(code))
    }

    /// An exception with a tag and values. Returned by a host function, it is thrown in the guest that called
    /// the function. That the values are of the tag's types is checked then.
    ///
    /// See [`crate::Exception`] for an example.
    pub fn exception_with(tag: crate::Tag, values: impl IntoIterator<Item = crate::Val>) -> Error {
        crate::Exception::new(tag, values).into()
    }

    /// The exception, if the guest or a host function threw one and no guest caught it.
    pub fn exception(&self) -> Option<&crate::Exception> {
        match &self.0.kind {
            ErrorKind::Exception(exception) => Some(exception),
            _ => None,
        }
    }

    /// What kind of error this is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The trap, if the guest trapped.
    pub fn trap(&self) -> Option<TrapCode> {
        match self.0.kind {
            ErrorKind::Trap(code) => Some(code),
            _ => None,
        }
    }

    /// Which access to memory was refused, of the traps [`TrapCode::MemoryOutOfBounds`] and
    /// [`TrapCode::UnalignedAtomic`].
    ///
    /// None of all other errors, and where it is not known: if the address is 2^63 or more, which is only
    /// possible with 64-bit memories; and if a data segment was too short, since then no access to memory
    /// failed.
    ///
    /// ```
    /// use wardian::{Engine, Instance, Module, Store};
    ///
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (memory 1)
    ///   (func (export "load") (param i32) (result i32) (i32.load offset=4 (local.get 0))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let load = instance.typed_func::<i32, i32>(&mut store, "load")?;
    ///
    /// let error = load.call(&mut store, 0x10000).unwrap_err();
    /// let access = error.memory_access().expect("it is known");
    /// assert_eq!((access.address(), access.size()), (0x10004, 4));
    /// assert_eq!(access.to_string(), "address 0x10004, 4 bytes, memory 0 has 0x10000 bytes");
    /// # Ok::<(), wardian::Error>(())
    /// ```
    pub fn memory_access(&self) -> Option<MemoryAccess> {
        self.0.access
    }

    /// The exit code, if the guest ended itself or was closed; [`Error::kind`] says which.
    #[doc(alias = "ExitError", alias = "I32Exit")]
    pub fn exit_code(&self) -> Option<u32> {
        match self.0.kind {
            ErrorKind::Exit(code) | ErrorKind::Closed(code) => Some(code),
            _ => None,
        }
    }

    /// Why the guest was stopped from outside, if it was.
    pub fn stop_reason(&self) -> Option<StopReason> {
        match self.0.kind {
            ErrorKind::Stopped(reason) => Some(reason),
            _ => None,
        }
    }

    /// The host function's own error, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match &self.0.kind {
            ErrorKind::Host(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// The host function's own error by value, if it is an `E`; else this error unchanged.
    ///
    /// # Errors
    ///
    /// It is no `E`.
    pub fn downcast<E: StdError + Send + Sync + 'static>(mut self) -> Result<E, Error> {
        match self.0.kind {
            ErrorKind::Host(error) => match error.downcast::<E>() {
                Ok(error) => Ok(*error),
                Err(error) => {
                    self.0.kind = ErrorKind::Host(error);
                    Err(self)
                }
            },
            kind => {
                self.0.kind = kind;
                Err(self)
            }
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Decode(error) => error.fmt(f),
            ErrorKind::Compile(error) => error.fmt(f),
            ErrorKind::Link(problems) => {
                let s = if problems.len() == 1 { "" } else { "s" };
                write!(f, "{} import{s} cannot be satisfied:", problems.len())?;
                for p in problems {
                    write!(f, "\n  `{}` `{}`: {}", p.module, p.name, p.message)?;
                }
                Ok(())
            }
            ErrorKind::Trap(code) => write!(f, "trap: {code}"),
            ErrorKind::Exit(code) => write!(f, "the guest exited with code {code}"),
            ErrorKind::Stopped(StopReason::Deadline) => {
                f.write_str("the guest was stopped: its deadline passed")
            }
            ErrorKind::Stopped(StopReason::Cancelled) => {
                f.write_str("the guest was stopped: it was cancelled")
            }
            ErrorKind::Stopped(StopReason::Fuel) => {
                f.write_str("the guest was stopped: its fuel is used up")
            }
            ErrorKind::Stopped(StopReason::Checkpoint) => {
                f.write_str("the guest was stopped: a checkpoint was taken of it")
            }
            ErrorKind::Stopped(_) => f.write_str("the guest was stopped"),
            ErrorKind::Exception(exception) => exception.fmt(f),
            ErrorKind::Host(error) => error.fmt(f),
            ErrorKind::Limit(error) => error.fmt(f),
            ErrorKind::Usage(error) => error.fmt(f),
            ErrorKind::Checkpoint(error) => error.fmt(f),
            ErrorKind::HostStackExhausted => f.write_str(
                "guest and host called each other until the thread's own stack was nearly used \
                 up; a thread with a larger stack goes deeper",
            ),
            ErrorKind::Internal(message) => write!(f, "a fault in Wardian itself: {message}"),
            ErrorKind::Panic(_) => f.write_str("a host function panicked"),
            ErrorKind::Closed(code) => {
                write!(f, "the instance was closed with exit code {code}")
            }
            ErrorKind::Restored => f.write_str("a snapshot is being restored"),
            ErrorKind::Suspended => f.write_str("the guest is suspended"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)?;
        // `{:#}` adds what is known of it, and where it happened.
        if !f.alternate() {
            return Ok(());
        }
        if let Some(access) = &self.0.access {
            write!(f, ": {access}")?;
        }
        match &self.0.trace {
            Some(trace) => write!(f, "\n{trace}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.kind)?;
        match &self.0.trace {
            Some(trace) => write!(f, "\n{trace}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.kind {
            // Shown as they are, so what comes next is their own source. A decoding error has none.
            ErrorKind::Host(error) => error.source(),
            ErrorKind::Limit(error) => error.source(),
            ErrorKind::Compile(error) => error.source(),
            _ => None,
        }
    }
}

macro_rules! from_std {
    ($($error:ty)*) => {$(
        /// As [`Error::host`] makes it, so that `?` works where the error is an [`Error`].
        impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::host(error)
            }
        }
    )*};
}

from_std! {
    std::io::Error std::str::Utf8Error std::string::FromUtf8Error std::num::TryFromIntError
    std::num::ParseIntError std::num::ParseFloatError std::fmt::Error std::time::SystemTimeError
    BoxedError
}

impl From<TrapCode> for Error {
    fn from(code: TrapCode) -> Error {
        Error::new(ErrorKind::Trap(code))
    }
}

impl From<crate::Exception> for Error {
    fn from(exception: crate::Exception) -> Error {
        Error::new(ErrorKind::Exception(exception))
    }
}

impl From<wardian_module::DecodeError> for Error {
    fn from(error: wardian_module::DecodeError) -> Error {
        Error::new(ErrorKind::Decode(error))
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Error {
        match never {}
    }
}
