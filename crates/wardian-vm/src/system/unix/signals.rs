//! Signals: traps that the processor finds, requests to stop, and requests for samples.
//!
//! A handler acts only if the current thread runs a guest and the interrupted instruction is in compiled code
//! (or the fault hit the wasm stack's guard). It notes where, and makes the thread leave guest code as if a
//! builtin had ended it. What it means is looked up afterwards, in ordinary code. Everything else is passed
//! to the handler that was there before.
//!
//! Other parts of the process may install handlers afterwards, and take them away again (Python's `faulthandler`
//! does). [`reclaim`] then puts ours on top by a second entry point:
//!
//! ```text
//!   handler_over ──not ours──> what was found over `handler` ──(may pass it on)──> handler ──> what was there first
//! ```
//!
//! Two entry points, since who put a handler over `handler` keeps `handler` as what it passes signals on to, and as what
//! it puts back: so it never gets a signal back that it has passed on.

use crate::addr::DataAddr;
use crate::arch::{Registers, status};
use crate::code_memory;
use crate::interrupt::reason;
use crate::layout::StoreCtx;
use crate::samples;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

thread_local! {
    /// The store whose guest this thread runs.
    static CURRENT: Cell<*mut StoreCtx> = const { Cell::new(ptr::null_mut()) };
    /// Whether this thread is in a handler that [`handler_over`] has called.
    static PASSED_ON: Cell<bool> = const { Cell::new(false) };
}

/// Makes `store` the one that this thread runs; returns the one before.
#[inline]
pub(crate) fn set_current(store: *mut StoreCtx) -> *mut StoreCtx {
    CURRENT.replace(store)
}

const TRAP_SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Whether there are signals: elsewhere guests have checks, and look whether they are to stop.
pub const AVAILABLE: bool = true;

/// What is done where signals are not as they are needed.
pub(crate) const INSTEAD: &str =
    "a thread that runs guests unblocks them, and the handler that was there gets what is no trap";

/// The signal that asks a thread to stop its guest, unless the embedder chose another. By default
/// the system ignores it, so that one that comes late does no harm.
pub const DEFAULT_INTERRUPT_SIGNAL: i32 = libc::SIGURG;

static INTERRUPT_SIGNAL: AtomicI32 = AtomicI32::new(0);

struct Previous([libc::sigaction; 5]);
// SAFETY: plain data, written once before any handler can read it.
unsafe impl Send for Previous {}
// SAFETY: as above.
unsafe impl Sync for Previous {}

static PREVIOUS: OnceLock<Previous> = OnceLock::new();

/// Installs the handlers of this process, once. The first engine that uses signals decides which
/// signal interrupts.
///
/// Returns whether that signal can be used: not those by which traps come, and not those that
/// cannot be handled.
pub fn install(interrupt: i32) -> bool {
    let taken = TRAP_SIGNALS.contains(&interrupt)
        || [libc::SIGKILL, libc::SIGSTOP, libc::SIGABRT].contains(&interrupt);
    if taken || !(1..=crate::system::last_signal()).contains(&interrupt) {
        return false;
    }
    install_once(interrupt);
    true
}

fn install_once(interrupt: i32) {
    PREVIOUS.get_or_init(|| {
        INTERRUPT_SIGNAL.store(interrupt, Ordering::Relaxed);
        let mut previous = [const { MaybeUninit::<libc::sigaction>::zeroed() }; 5];
        let signals = TRAP_SIGNALS.iter().chain([&interrupt]);
        // SAFETY: `previous` is filled by reading the current actions, before ours can be called.
        unsafe {
            for (signal, previous) in signals.clone().zip(&mut previous) {
                libc::sigaction(*signal, ptr::null(), previous.as_mut_ptr());
            }
            Previous(previous.map(|p| p.assume_init()))
        }
    });
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        survive_file_limits();
        let interrupt = interrupt_signal();
        for signal in TRAP_SIGNALS.iter().chain([&interrupt]) {
            set(*signal, handler);
        }
    });
}

type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Makes one of ours the handler of a signal.
fn set(signal: libc::c_int, ours: Handler) {
    // SA_NODEFER lets a fault in a host function's own handler be seen. Requests to stop may come
    // faster than they are handled, and must not use up the signal stack.
    let nested = if signal == interrupt_signal() { 0 } else { libc::SA_NODEFER };
    // SAFETY: `ours` is a valid handler for SA_SIGINFO. SA_RESTART keeps system calls of host
    // functions whole.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ours as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | nested | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

/// What the system does now when a signal comes.
fn current_action(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: the action is read into a place of its own.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &mut action);
        action
    }
}

fn is_ours(action: &libc::sigaction) -> bool {
    [handler as Handler, handler_over]
        .iter()
        .any(|h| *h as *const () as usize == action.sa_sigaction)
}

/// What [`handler_over`] passes signals on to; null until [`reclaim`] has found something.
static OVER: AtomicPtr<Previous> = AtomicPtr::new(ptr::null_mut());

/// Puts the handlers on top again if something else has installed handlers since; those get the signals that are not a
/// guest's. One system call if nothing has. Does nothing if ours were never installed.
pub fn reclaim() {
    // Who replaces handlers of faults replaces that of this one.
    if interrupt_signal() == 0 || is_ours(&current_action(libc::SIGSEGV)) {
        return;
    }
    // What was found stays: a handler on another thread may be reading it. The same is not kept twice.
    static FOUND: Mutex<Vec<&'static Previous>> = Mutex::new(Vec::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(first) = PREVIOUS.get() else { return };
    // SAFETY: what it points to is never freed.
    let last = unsafe { OVER.load(Ordering::Acquire).as_ref() };
    let mut now = Previous(last.unwrap_or(first).0);
    let signals = TRAP_SIGNALS.into_iter().chain([interrupt_signal()]);
    let replaced: Vec<_> = signals
        .zip(&mut now.0)
        .filter_map(|(signal, place)| {
            let action = current_action(signal);
            let replaced = !is_ours(&action);
            if replaced {
                *place = action;
            }
            replaced.then_some(signal)
        })
        .collect();
    let same = |known: &&&Previous| {
        known
            .0
            .iter()
            .zip(&now.0)
            .all(|(a, b)| (a.sa_sigaction, a.sa_flags) == (b.sa_sigaction, b.sa_flags))
    };
    let known = found.iter().find(same).copied();
    let over = known.unwrap_or_else(|| {
        let over: &'static Previous = Box::leak(Box::new(now));
        found.push(over);
        over
    });
    OVER.store(ptr::from_ref(over).cast_mut(), Ordering::Release);
    for signal in replaced {
        set(signal, handler_over);
    }
}

/// Lets writes past the process's limit of file sizes fail, if nobody has decided otherwise: by default the
/// system sends SIGXFSZ, which ends the process, and a guest could do that by writing a file. A handler that
/// does nothing is enough, and unlike an ignored signal it is not inherited by programs that the process
/// starts.
fn survive_file_limits() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: `nothing` is a valid handler; the current action is read into a place of its own.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGXFSZ, ptr::null(), &mut now);
        if now.sa_sigaction == libc::SIG_DFL {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(libc::SIGXFSZ, &action, ptr::null_mut());
        }
    }
}

/// Whether the signals by which traps come are neither ignored nor blocked on this thread.
///
/// # Errors
///
/// The first that is, and how.
pub(crate) fn disposition() -> Result<String, String> {
    const NAMES: [&str; 4] = ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"];
    for (signal, name) in TRAP_SIGNALS.into_iter().zip(NAMES) {
        // SAFETY: both calls only read, into places of their own.
        let (ignored, blocked) = unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &mut now);
            let mut mask: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
            (now.sa_sigaction == libc::SIG_IGN, libc::sigismember(&mask, signal) == 1)
        };
        match (ignored, blocked) {
            (true, _) => return Err(format!("{name} is ignored")),
            (_, true) => return Err(format!("{name} is blocked")),
            _ => {}
        }
    }
    Ok("default, and not blocked".to_owned())
}

/// The signals that the handlers are installed for; none if they are not installed.
pub(crate) fn handled() -> impl Iterator<Item = libc::c_int> {
    let interrupt = interrupt_signal();
    TRAP_SIGNALS.into_iter().chain([interrupt]).filter(move |_| interrupt != 0)
}

/// The signal that interrupts; zero if no handlers are installed.
pub(crate) fn interrupt_signal() -> i32 {
    INTERRUPT_SIGNAL.load(Ordering::Relaxed)
}

unsafe extern "C" fn handler(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the system calls this with valid arguments for a SA_SIGINFO handler.
    unsafe {
        let store = CURRENT.get();
        if !store.is_null() && handle(signal, store, info, &mut Registers::new(context)) {
            return;
        }
        if let Some(previous) = PREVIOUS.get() {
            chain(previous, signal, info, context);
        }
    }
}

/// The same, on top of others' handlers: see [`reclaim`].
unsafe extern "C" fn handler_over(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: as in `handler`. What `OVER` points to is never freed.
    unsafe {
        let store = CURRENT.get();
        if !store.is_null() && handle(signal, store, info, &mut Registers::new(context)) {
            return;
        }
        let over = OVER.load(Ordering::Acquire).as_ref().filter(|_| !PASSED_ON.get());
        if let Some(over) = over {
            PASSED_ON.set(true);
            chain(over, signal, info, context);
            PASSED_ON.set(false);
        } else if let Some(first) = PREVIOUS.get() {
            chain(first, signal, info, context);
        }
    }
}

/// Returns whether the signal was ours.
unsafe fn handle(
    signal: libc::c_int,
    store: *mut StoreCtx,
    info: *mut libc::siginfo_t,
    registers: &mut Registers<'_>,
) -> bool {
    // SAFETY: `store` is the one that this thread runs, so it is valid, and its fields are only
    // used by this thread (the interrupt word is atomic).
    unsafe {
        let in_code = code_memory::contains(registers.pc());
        if signal == interrupt_signal() {
            // First, for a stop changes the registers.
            let sampled = samples::take(store, registers, in_code);
            let word = (*store).interrupt.load(Ordering::Relaxed);
            // Deferred work can wait until the guest next calls the host.
            if in_code && word & !reason::DEFERRED != 0 {
                note(store, registers, DataAddr::NULL);
                registers.leave(store, status::INTERRUPTED);
                return true;
            }
            return sampled;
        }
        let address = match signal {
            libc::SIGSEGV | libc::SIGBUS => DataAddr::of((*info).si_addr()),
            _ => DataAddr::NULL,
        };
        // The stubs, too, push onto the wasm stack, so its guard counts wherever the fault was.
        let on_wasm_stack = ((*store).guard_start..=(*store).stack_top).contains(&registers.sp());
        let overflow = on_wasm_stack && (*store).in_guard(address);
        if in_code || overflow {
            note(store, registers, address);
            registers.leave(store, status::TRAPPED);
            return true;
        }
        false
    }
}

/// Ends the process as it would have ended without our handler.
///
/// # Safety
///
/// Called by the handler of this signal.
unsafe fn end_by_default(signal: libc::c_int, is_fault: bool) {
    // SAFETY: a default action is valid; the instruction that faulted is run again, and faults again.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, ptr::null_mut());
        if !is_fault {
            libc::raise(signal);
        }
    }
}

unsafe fn note(store: *mut StoreCtx, registers: &Registers<'_>, address: DataAddr) {
    // SAFETY: as in `handle`.
    unsafe {
        (*store).trap_pc = registers.pc();
        (*store).trap_fp = registers.fp();
        (*store).trap_sp = registers.sp();
        (*store).trap_link = registers.link();
        (*store).trap_addr = address;
    }
}

/// Passes the signal to the handler that was there before.
unsafe fn chain(
    previous: &Previous,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let index = TRAP_SIGNALS.iter().position(|s| *s == signal).unwrap_or(4);
    let action = &previous.0[index];
    // SAFETY: the system gives a valid record; calling a handler as the system would.
    unsafe {
        // By the system, because of the instruction; else another process or thread sent it.
        let is_fault = (*info).si_code > 0;
        match action.sa_sigaction {
            libc::SIG_DFL if signal == interrupt_signal() => {}
            // A fault cannot be ignored: the instruction would be tried again for ever. The system ends a
            // process that asks for that.
            libc::SIG_IGN if !is_fault => {}
            libc::SIG_DFL | libc::SIG_IGN => end_by_default(signal, is_fault),
            handler if action.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
