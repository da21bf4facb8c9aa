//! What kind of error a trap is: `ErrorKind` and what its kinds have, as numbers and texts for C.

use crate::reference::Reference;
use crate::store::Handle;
use crate::trap;
use crate::vector::Vector;
use std::ffi::c_char;
use std::fmt;
use wardian::{
    CheckpointErrorKind, Error, ErrorKind, LimitKind, LinkProblem, MemoryAccess, StopReason,
    TrapCode,
};

/// `enum wardian_error_kind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    #[default]
    Host = 0,
    Trap = 1,
    Exit = 2,
    Closed = 3,
    Stopped = 4,
    Exception = 5,
    Decode = 6,
    Compile = 7,
    Link = 8,
    Limit = 9,
    Checkpoint = 10,
    Usage = 11,
    HostStack = 12,
    Internal = 13,
    Restored = 14,
}

/// What is known of an error beside its message and its frames.
#[derive(Clone, Default)]
pub(crate) struct Fault {
    kind: Kind,
    code: Option<TrapCode>,
    pub(crate) exit_code: Option<u32>,
    stop: Option<StopReason>,
    access: Option<MemoryAccess>,
    limit: Option<LimitKind>,
    checkpoint: Option<CheckpointErrorKind>,
    problems: Vec<LinkProblem>,
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Fault {
        let mut fault = Fault {
            code: error.trap(),
            exit_code: error.exit_code(),
            stop: error.stop_reason(),
            access: error.memory_access(),
            ..Fault::default()
        };
        fault.kind = match error.kind() {
            ErrorKind::Trap(_) => Kind::Trap,
            ErrorKind::Exit(_) => Kind::Exit,
            ErrorKind::Closed(_) => Kind::Closed,
            ErrorKind::Stopped(_) => Kind::Stopped,
            ErrorKind::Exception(_) => Kind::Exception,
            ErrorKind::Decode(_) => Kind::Decode,
            ErrorKind::Compile(_) => Kind::Compile,
            ErrorKind::Link(problems) => {
                fault.problems.clone_from(problems);
                Kind::Link
            }
            ErrorKind::Limit(limit) => {
                fault.limit = Some(limit.kind());
                Kind::Limit
            }
            ErrorKind::Checkpoint(checkpoint) => {
                fault.checkpoint = Some(checkpoint.kind());
                Kind::Checkpoint
            }
            ErrorKind::Usage(_) => Kind::Usage,
            ErrorKind::HostStackExhausted => Kind::HostStack,
            ErrorKind::Restored => Kind::Restored,
            ErrorKind::Host(_) => match error.downcast_ref::<Own>() {
                None => Kind::Host,
                Some(own) => {
                    fault.limit = (own.kind == Kind::Limit).then_some(LimitKind::Store);
                    own.kind
                }
            },
            _ => Kind::Internal,
        };
        fault
    }
}

/// An error of this library's.
#[derive(Debug)]
struct Own {
    kind: Kind,
    message: String,
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Own {}

/// An error for who has called a function of this library wrongly.
pub(crate) fn misuse(what: impl Into<String>) -> Error {
    Error::host(Own { kind: Kind::Usage, message: what.into() })
}

/// A limit of a store was reached.
pub(crate) fn limited(what: impl Into<String>) -> Error {
    Error::host(Own { kind: Kind::Limit, message: what.into() })
}

/// What is known of a trap; nothing of what is no trap.
///
/// # Safety
///
/// It is a reference of this library's.
unsafe fn fault<'a>(trap: *const Reference) -> Option<&'a Fault> {
    // SAFETY: the caller's promise.
    unsafe { (*trap).trap() }.map(|trap| &trap.fault)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_kind(trap: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    unsafe { fault(trap) }.map_or(Kind::Host, |fault| fault.kind) as u32
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_number(trap: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    unsafe { fault(trap) }.and_then(|fault| fault.code).map_or(0, |code| code as u32)
}

/// False if it is not known, or is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_memory_access(
    trap: *const Reference,
    address: *mut u64,
    size: *mut u64,
    memory_size: *mut u64,
) -> bool {
    // SAFETY: see the crate's documentation; each place may be null.
    unsafe {
        let Some(access) = fault(trap).and_then(|fault| fault.access) else { return false };
        let found = [access.address(), access.size(), access.memory_size()];
        for (place, value) in [address, size, memory_size].into_iter().zip(found) {
            if let Some(place) = place.as_mut() {
                *place = value;
            }
        }
        true
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_limit(trap: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    match unsafe { fault(trap) }.and_then(|fault| fault.limit) {
        None => 0,
        Some(LimitKind::Store) => 1,
        Some(LimitKind::Engine) => 2,
        Some(LimitKind::Allocator) => 3,
        Some(_) => 4,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_checkpoint(trap: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    match unsafe { fault(trap) }.and_then(|fault| fault.checkpoint) {
        None => 0,
        Some(CheckpointErrorKind::NotTaken) => 1,
        Some(CheckpointErrorKind::NotForked) => 2,
        Some(CheckpointErrorKind::Damaged) => 3,
        Some(CheckpointErrorKind::Version) => 4,
        Some(CheckpointErrorKind::Key) => 5,
        Some(CheckpointErrorKind::Missing) => 6,
        Some(_) => 7,
    }
}

/// False past the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_import(
    trap: *const Reference,
    index: usize,
    module: *mut Vector<u8>,
    name: *mut Vector<u8>,
    problem: *mut Vector<u8>,
) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let found = fault(trap).and_then(|fault| fault.problems.get(index));
        let Some(LinkProblem { module: of, name: asked, message }) = found else { return false };
        for (place, text) in [(module, of), (name, asked), (problem, message)] {
            place.write(Vector::new(text.clone().into_bytes()));
        }
        true
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_stop(trap: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    match unsafe { fault(trap) }.and_then(|fault| fault.stop) {
        None => 0,
        Some(StopReason::Deadline) => 1,
        Some(StopReason::Fuel) => 3,
        Some(StopReason::Checkpoint) => 4,
        Some(_) => 2,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_code(trap: *const Reference) -> *const c_char {
    // SAFETY: see the crate's documentation.
    let code = unsafe { fault(trap) }.and_then(|fault| fault.code);
    code.map_or(std::ptr::null(), |code| name(code).as_ptr().cast())
}

/// The name of a trap, with a zero at its end.
fn name(code: TrapCode) -> &'static str {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};
    // One for each kind of trap: they are few.
    static NAMES: LazyLock<Mutex<HashMap<&'static str, &'static str>>> =
        LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(|e| e.into_inner());
    let message = code.message();
    names.entry(message).or_insert_with(|| Box::leak(format!("{message}\0").into_boxed_str()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_exit_code(trap: *const Reference, out: *mut u32) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let code = fault(trap).and_then(|fault| fault.exit_code);
        if let (Some(code), Some(out)) = (code, out.as_mut()) {
            *out = code;
        }
        code.is_some()
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_trap_exit(store: *mut Handle, code: u32) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    trap::trap(unsafe { &*store }, Error::exit(code))
}
