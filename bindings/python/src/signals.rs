//! Ctrl-C while a guest runs.
//!
//! Python's own handler of a signal only sets a flag, which the interpreter looks at on the main thread, between two of its
//! instructions. While the main thread is in a guest there are none. But the handler also writes the number of the signal to
//! a file, if there is one (`signal.set_wakeup_fd`). So while the main thread runs a guest that file is a pipe of ours:
//!
//! ```text
//!   signal ──> Python's handler ──> pipe ──> watching thread ──> cancels the guest, if the signal is one that interrupts
//!                    │                              └──────────> the wakeup file that was there before, of asyncio say
//!                    └──> the flag, which the main thread looks at when the guest has ended: KeyboardInterrupt
//! ```
//!
//! In a callback the main thread is in Python, which runs handlers by itself; then nothing is cancelled. Guests of other
//! threads are not interrupted, as Python code there is not.

use crate::error;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::pipe::{PipeFlags, pipe_with};
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wardian::cancel::CancelToken;

/// SIGINT, which Ctrl-C sends.
const INTERRUPT: u64 = 1 << (2 - 1);

/// The signals that stop guests, a bit each.
static INTERRUPTING: AtomicU64 = AtomicU64::new(INTERRUPT);

/// The watcher of this process; null until there is one.
static WATCHER: AtomicPtr<Watcher> = AtomicPtr::new(std::ptr::null_mut());

/// How often the process has been forked off: what was found out before does not hold.
static FORKS: AtomicU64 = AtomicU64::new(0);

struct Watcher {
    read: OwnedFd,
    write: OwnedFd,
    state: Mutex<Watching>,
}

#[derive(Default)]
struct Watching {
    /// Whether the main thread is in a guest, and not in a callback.
    in_guest: bool,
    /// The guests of the main thread, each called by a callback of the one before.
    guests: Vec<Guest>,
}

struct Guest {
    token: CancelToken,
    /// Whether a signal has cancelled it.
    fired: bool,
    /// The wakeup file that was there before.
    forward: Option<RawFd>,
}

impl Watcher {
    /// That of this process. Called on its main thread only.
    fn get() -> std::io::Result<&'static Watcher> {
        if let Some(watcher) = Watcher::existing() {
            return Ok(watcher);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let watcher = Watcher { read, write, state: Mutex::default() };
        let watcher: &'static Watcher = Box::leak(Box::new(watcher));
        let thread = std::thread::Builder::new().name("wardian signals".into());
        thread.spawn(|| watcher.watch())?;
        WATCHER.store(std::ptr::from_ref(watcher).cast_mut(), Ordering::Release);
        Ok(watcher)
    }

    fn existing() -> Option<&'static Watcher> {
        // SAFETY: what it points to is never freed.
        unsafe { WATCHER.load(Ordering::Acquire).as_ref() }
    }

    fn state(&self) -> MutexGuard<'_, Watching> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the watching thread does, for as long as the process lives.
    fn watch(&self) {
        loop {
            let mut files = [PollFd::new(&self.read, PollFlags::IN)];
            if poll(&mut files, None).is_ok() {
                self.drain(&mut self.state());
            }
        }
    }

    /// Handles the signals that have come.
    fn drain(&self, state: &mut Watching) {
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = rustix::io::read(&self.read, &mut bytes) {
            let came = &bytes[..count];
            let interrupting = INTERRUPTING.load(Ordering::Relaxed);
            let stops =
                came.iter().any(|s| (1..=64).contains(s) && interrupting >> (s - 1) & 1 == 1);
            if let Some(forward) = state.guests.iter().find_map(|guest| guest.forward) {
                // SAFETY: Python has this number as its wakeup file, and would write to it just so. If it was closed since, the
                // write fails.
                let _ = rustix::io::write(unsafe { BorrowedFd::borrow_raw(forward) }, came);
            }
            if let Some(guest) = state.guests.last_mut().filter(|_| stops && state.in_guest) {
                guest.fired = true;
                guest.token.cancel();
            }
        }
    }

    /// The main thread goes into a guest, or out of it. Gives where it was, and looks for signals that come just now.
    fn go(&self, py: Python<'_>, in_guest: bool) -> (bool, PyResult<()>) {
        let before = {
            let mut state = self.state();
            // Before the outermost guest there is none that the file was ours for.
            if in_guest && !state.in_guest && !state.guests.is_empty() {
                // Python has handled these, or does so below.
                self.drain(&mut state);
            }
            std::mem::replace(&mut state.in_guest, in_guest)
        };
        (before, if in_guest { py.check_signals() } else { Ok(()) })
    }
}

/// A guest that runs; to be ended.
#[must_use]
pub(crate) struct Watch(Option<Watched>);

struct Watched {
    watcher: &'static Watcher,
    in_guest: bool,
    /// The wakeup file that is put back, of a guest that has a token.
    before: Option<RawFd>,
}

/// A guest is about to be run that can be stopped by this token.
///
/// # Errors
///
/// A signal has come whose handler raises; or the system has no thread or file left.
pub(crate) fn watch(py: Python<'_>, token: &CancelToken) -> PyResult<Watch> {
    if !is_main_thread(py)? {
        return Ok(Watch(None));
    }
    let watcher = Watcher::get()?;
    let ours = watcher.write.as_raw_fd();
    let before = set_wakeup_file(py, ours)?;
    let forward = (before >= 0 && before != ours).then_some(before);
    let (in_guest, raised) = watcher.go(py, true);
    let guest = Guest { token: token.clone(), fired: false, forward };
    watcher.state().guests.push(guest);
    let watch = Watch(Some(Watched { watcher, in_guest, before: Some(before) }));
    if let Err(raised) = raised {
        watch.end(py);
        return Err(raised);
    }
    Ok(watch)
}

/// A callback is about to run a guest of the store that it was called by.
///
/// # Errors
///
/// A signal has come whose handler raises.
pub(crate) fn enter(py: Python<'_>) -> PyResult<Watch> {
    let Some(watcher) = existing(py) else { return Ok(Watch(None)) };
    let (in_guest, raised) = watcher.go(py, true);
    let watch = Watch(Some(Watched { watcher, in_guest, before: None }));
    if let Err(raised) = raised {
        watch.end(py);
        return Err(raised);
    }
    Ok(watch)
}

impl Watch {
    /// The guest has ended. Whether a signal has cancelled it by its token.
    pub(crate) fn end(self, py: Python<'_>) -> bool {
        let Some(Watched { watcher, in_guest, before }) = self.0 else { return false };
        let Some(before) = before else {
            watcher.state().in_guest = in_guest;
            return false;
        };
        let ours = watcher.write.as_raw_fd();
        // Where there was none ours may stay: between guests it changes nothing.
        if before >= 0
            && before != ours
            && let Ok(found) = set_wakeup_file(py, before)
            && found != ours
        {
            // A callback has set another one, which stays.
            let _ = set_wakeup_file(py, found);
        }
        let mut state = watcher.state();
        watcher.drain(&mut state);
        state.in_guest = in_guest;
        state.guests.pop().is_some_and(|guest| guest.fired)
    }
}

/// A callback runs on this thread; to be ended.
#[must_use]
pub(crate) struct InPython(Option<(&'static Watcher, bool)>);

/// A callback is about to be run.
pub(crate) fn pause(py: Python<'_>) -> InPython {
    InPython(existing(py).map(|watcher| (watcher, watcher.go(py, false).0)))
}

impl InPython {
    /// The callback has ended, and the guest is to run again.
    ///
    /// # Errors
    ///
    /// A signal has come whose handler raises.
    pub(crate) fn end(self, py: Python<'_>) -> PyResult<()> {
        match self.0 {
            Some((watcher, true)) => watcher.go(py, true).1,
            _ => Ok(()),
        }
    }
}

/// The watcher, on the main thread and if there is one.
fn existing(py: Python<'_>) -> Option<&'static Watcher> {
    if !is_main_thread(py).unwrap_or(false) {
        return None;
    }
    Watcher::existing()
}

/// How often the process has been forked off.
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Whether Python handles signals on this thread.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        /// After how many forks it was found out, and what.
        static KNOWN: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
    }
    let forks = forks();
    if let Some((_, is_main)) = KNOWN.get().filter(|(of, _)| *of == forks) {
        return Ok(is_main);
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let is_main = threading.call_method0("get_ident")?.eq(main)?;
    KNOWN.set(Some((forks, is_main)));
    Ok(is_main)
}

/// Whether this is the interpreter that Python has begun with, which handles the signals of the process.
pub(crate) fn is_main_interpreter(_: Python<'_>) -> bool {
    // SAFETY: this thread has the GIL, as the argument shows, and so an interpreter.
    unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) == 0 }
}

/// Sets the file that Python's handlers write to; gives the one before, or -1.
fn set_wakeup_file(py: Python<'_>, file: RawFd) -> PyResult<RawFd> {
    static SET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static OPTIONS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let set = SET.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("signal")?.getattr("set_wakeup_fd")?.unbind())
    })?;
    let options = OPTIONS.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item(intern!(py, "warn_on_full_buffer"), false)?;
        Ok::<_, PyErr>(options.unbind())
    })?;
    set.bind(py).call((file,), Some(options.bind(py)))?.extract()
}

/// Called in a process that was forked off (`os.register_at_fork`): it has no watching thread, and the pipe is the parent's.
#[pyfunction]
pub(crate) fn _forked(py: Python<'_>) -> PyResult<()> {
    FORKS.fetch_add(1, Ordering::Relaxed);
    if let Some(watcher) = Watcher::existing() {
        WATCHER.store(std::ptr::null_mut(), Ordering::Release);
        let found = set_wakeup_file(py, -1)?;
        if found != watcher.write.as_raw_fd() {
            set_wakeup_file(py, found)?;
        }
    }
    Ok(())
}

/// Sets which signals stop a guest that the main thread runs: `signal.SIGINT` unless this is called.
///
/// When the guest has stopped, Python's handler of the signal runs. If it raises, as that of Ctrl-C does, its exception
/// comes out of the call; if it does not, `Stopped` does, with the reason "interrupted". Handlers of other signals run when
/// the guest next calls a Python function, or has ended.
#[pyfunction]
#[pyo3(signature = (*signals))]
pub(crate) fn interrupt_on(signals: Vec<i32>) -> PyResult<()> {
    let mut all = 0;
    for signal in signals {
        let bit = signal.checked_sub(1).and_then(|n| u32::try_from(n).ok());
        all |= bit
            .and_then(|bit| 1u64.checked_shl(bit))
            .ok_or_else(|| error::usage(&format!("{signal} is no signal: they are 1 to 64")))?;
    }
    INTERRUPTING.store(all, Ordering::Relaxed);
    Ok(())
}
