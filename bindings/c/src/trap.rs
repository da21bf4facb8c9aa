//! Traps: every error of a guest, with where it came from.

use crate::reference::{Reference, What, WithInfo};
use crate::store::Handle;
use crate::vector::Vector;
use crate::wardian::errors::{Fault, misuse};
use crate::{give, take};
use std::fmt;
use std::sync::Arc;
use wardian::{Error, ErrorKind};

/// What a trap says.
pub(crate) struct TrapData {
    message: String,
    frames: Vec<Frame>,
    pub(crate) fault: Fault,
    /// An error that has to be passed on as it is: a restore on its way.
    error: std::sync::Mutex<Option<Error>>,
}

/// `wasm_frame_t`.
#[derive(Clone)]
pub struct Frame {
    instance: Option<Box<Reference>>,
    module: wardian::Module,
    func: u32,
    func_offset: usize,
    module_offset: usize,
}

impl Frame {
    /// The name of its function, for people.
    pub(crate) fn name(&self) -> String {
        self.module.display_name(self.func)
    }
}

/// The error of a callback that returned a trap.
struct Returned(Arc<WithInfo<TrapData>>);

impl fmt::Debug for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.value.message)
    }
}

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.value.message)
    }
}

impl std::error::Error for Returned {}

/// Makes a trap of an error. One that a callback has returned is the same trap.
pub(crate) fn trap(store: &Handle, error: Error) -> *mut Reference {
    if let Some(Returned(trap)) = error.downcast_ref::<Returned>()
        && trap.value.frames.is_empty()
        && error.backtrace().is_none_or(|backtrace| backtrace.frames().is_empty())
    {
        return give(Reference::new(store, What::Trap(trap.clone())));
    }
    let frames = error.backtrace().map(|backtrace| frames(store, backtrace));
    // What a callback has passed on stays what it was.
    let (message, fault) = match error.downcast_ref::<Returned>() {
        Some(Returned(trap)) => (trap.value.message.clone(), trap.value.fault.clone()),
        None => (error.to_string(), Fault::of(&error)),
    };
    let data = TrapData {
        message,
        frames: frames.unwrap_or_default(),
        fault,
        error: std::sync::Mutex::new(matches!(error.kind(), ErrorKind::Restored).then_some(error)),
    };
    give(Reference::new(store, What::Trap(WithInfo::new(data))))
}

/// The frames of a backtrace, the innermost first.
pub(crate) fn frames(store: &Handle, backtrace: &wardian::Backtrace) -> Vec<Frame> {
    let frames = backtrace.frames().iter().map(|frame| {
        let instance = store.instance_of(frame.module());
        let instance = instance.map(|i| Box::new(Reference::new(store, What::Instance(i))));
        let start = frame.definition().body_offset().unwrap_or(0);
        let offset = frame.code_offset().unwrap_or(start);
        Frame {
            instance,
            module: frame.module().clone(),
            func: frame.func_index(),
            func_offset: offset.saturating_sub(start) as usize,
            module_offset: frame.file_offset().unwrap_or(0),
        }
    });
    frames.collect()
}

/// The error of a trap that a callback has returned, which is given up.
pub(crate) fn error(trap: *mut Reference) -> Error {
    // SAFETY: see the crate's documentation.
    let trap = unsafe { take(trap) };
    match trap.map(|trap| trap.what) {
        Some(What::Trap(trap)) => {
            let kept = trap.value.error.lock().unwrap_or_else(|e| e.into_inner()).take();
            let exit = trap.value.fault.exit_code.map(Error::exit);
            kept.or(exit).unwrap_or_else(|| Error::host(Returned(trap)))
        }
        _ => misuse("a callback returned something that is no trap"),
    }
}

/// A trap with a message of the embedder's.
pub(crate) fn message(store: &Handle, message: String) -> *mut Reference {
    let data = TrapData {
        message,
        frames: Vec::new(),
        fault: Fault::default(),
        error: std::sync::Mutex::new(None),
    };
    give(Reference::new(store, What::Trap(WithInfo::new(data))))
}

/// The message ends with a zero, or with its vector.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_trap_new(
    store: *mut Handle,
    text: *const Vector<u8>,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let bytes = (*text).as_slice();
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        message(&*store, String::from_utf8_lossy(bytes).into_owned())
    }
}

/// It ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_trap_message(trap: *const Reference, out: *mut Vector<u8>) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let mut bytes = (*trap).trap().map(|t| t.message.clone()).unwrap_or_default().into_bytes();
        bytes.push(0);
        out.write(Vector::new(bytes));
    }
}

/// Null if no guest ran, or nobody knows where.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_trap_origin(trap: *const Reference) -> *mut Frame {
    // SAFETY: see the crate's documentation.
    let frame = unsafe { (*trap).trap() }.and_then(|trap| trap.frames.first());
    frame.map_or(std::ptr::null_mut(), |frame| give(frame.clone()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_trap_trace(trap: *const Reference, out: *mut Vector<*mut Frame>) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let frames = (*trap).trap().map(|trap| trap.frames.as_slice()).unwrap_or_default();
        out.write(Vector::new(frames.iter().map(|frame| give(frame.clone())).collect()));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_frame_delete(frame: *mut Frame) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(frame) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_frame_copy(frame: *const Frame) -> *mut Frame {
    // SAFETY: see the crate's documentation.
    give(unsafe { (*frame).clone() })
}

/// Not owned. Null if the store has several instances of the frame's module, since it is not known which one it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_frame_instance(frame: *const Frame) -> *const Reference {
    // SAFETY: see the crate's documentation.
    unsafe { (*frame).instance.as_deref() }.map_or(std::ptr::null(), |instance| instance)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_frame_func_index(frame: *const Frame) -> u32 {
    // SAFETY: see the crate's documentation.
    unsafe { (*frame).func }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_frame_func_offset(frame: *const Frame) -> usize {
    // SAFETY: see the crate's documentation.
    unsafe { (*frame).func_offset }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_frame_module_offset(frame: *const Frame) -> usize {
    // SAFETY: see the crate's documentation.
    unsafe { (*frame).module_offset }
}
