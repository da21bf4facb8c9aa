//! What each thread that runs guests needs: an alternate signal stack, the bounds of its own stack,
//! and a handle by which others can signal it.

use super::signals;
use crate::addr::{StackAddr, ThreadPtr};
use crate::torture::{self, Point};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, OnceLock};

/// Room on the alternate stack: the largest register frames (AVX-512, AMX) take about 12 KiB, and a
/// handler that we chain to may want as much again.
const SIGNAL_STACK: usize = 128 << 10;
/// Inaccessible bytes below it.
const GUARD: usize = 64 << 10;
/// What must be left of the embedder's stack to enter a guest: its host functions run there.
const HOST_RESERVE: usize = 128 << 10;

thread_local! {
    /// Address of this thread's [`ThreadHandle`]; null before the first entry.
    static HANDLE: Cell<ThreadPtr> = const { Cell::new(ThreadPtr::NULL) };
    /// Stack addresses below this are too close to the end.
    static LIMIT: Cell<StackAddr> = const { Cell::new(StackAddr::NULL) };
    /// Dropped at the thread's end, when std has switched its signal stack off.
    static ENDING: Ending = const { Ending };
}

/// A thread that may be signalled. Handles are never freed, only reused, so that a reference from
/// a store whose thread has ended stays valid.
#[derive(Debug)]
pub(crate) struct ThreadHandle {
    /// A `pthread_t`, which is a number on some systems and a pointer on others.
    thread: Mutex<Option<usize>>,
}

static FREE: Mutex<Vec<&'static ThreadHandle>> = Mutex::new(Vec::new());

impl ThreadHandle {
    fn set(&self, thread: Option<libc::pthread_t>) {
        let thread = thread.map(|thread| thread as usize);
        *self.thread.lock().unwrap_or_else(|e| e.into_inner()) = thread;
    }

    /// Sends `signal` to the thread if it still lives.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        let thread = self.thread.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(thread) = *thread {
            // SAFETY: the thread clears the field, under the lock, before it ends.
            unsafe { libc::pthread_kill(thread as libc::pthread_t, signal) };
        }
    }

    /// The handle behind the address that a store publishes, if any.
    ///
    /// # Safety
    ///
    /// `address` is null or was read from [`crate::layout::StoreCtx::thread`].
    pub(crate) unsafe fn from_address(address: ThreadPtr) -> Option<&'static ThreadHandle> {
        // SAFETY: such addresses come from `current`, and handles live for ever.
        unsafe { address.as_ptr::<ThreadHandle>().as_ref() }
    }
}

/// Why a thread cannot run a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unready {
    /// Too little of its stack is left.
    StackExhausted,
    /// The system has no memory for its signal stack.
    NoSignalStack,
}

/// This thread's handle, prepared on first use.
#[inline]
pub(crate) fn current() -> Result<ThreadPtr, Unready> {
    if HANDLE.get().is_null() && !prepare() {
        return Err(Unready::NoSignalStack);
    }
    let marker = 0u8;
    let here = StackAddr::of(&raw const marker);
    if here >= LIMIT.get() { Ok(HANDLE.get()) } else { Err(Unready::StackExhausted) }
}

/// Prepares this thread: also when it is ending and destructors of thread-local values run guests,
/// then anew. Returns whether it is ready. Without a signal stack an overflow of the guest's stack would
/// end the process.
#[cold]
fn prepare() -> bool {
    unblock_signals();
    LIMIT.set(stack_limit());
    // SAFETY: only this thread sets its value, to null or to what `Box::into_raw` gave.
    let owned = unsafe { libc::pthread_getspecific(owned_key()) }.cast::<Owned>();
    let owned = if owned.is_null() { adopt() } else { owned };
    // SAFETY: as above; it is freed by `release` alone, which cannot run meanwhile.
    unsafe {
        if !(*owned).stack.install() {
            return false;
        }
        // Signals may come only now: the signal stack that std made is too small for two at once.
        (*owned).handle.set(Some(libc::pthread_self()));
        HANDLE.set(ThreadPtr::of((*owned).handle));
    }
    // Fails if it has been dropped already, and need not be then.
    let _ = ENDING.try_with(|_| ());
    true
}

/// Gives this thread a handle, and room to note its signal stack.
fn adopt() -> *mut Owned {
    let handle = FREE.lock().unwrap_or_else(|e| e.into_inner()).pop();
    let handle = handle.unwrap_or_else(|| {
        let new: &_ = Box::leak(Box::new(ThreadHandle { thread: Mutex::new(None) }));
        torture::register(|| {
            let signal = signals::interrupt_signal();
            if signal != 0 {
                new.signal(signal);
            }
        });
        new
    });
    let owned = Box::into_raw(Box::new(Owned { handle, stack: SignalStack::default() }));
    // SAFETY: the key is valid. If the system has no memory for the value the thread keeps what it owns
    // for ever, which does no harm while it lives.
    unsafe { libc::pthread_setspecific(owned_key(), owned.cast()) };
    owned
}

/// The key of what a thread owns: see [`Owned`].
fn owned_key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is written, `release` fits what is stored under it.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(release)) };
        assert_eq!(made, 0, "the process has used up all its keys for thread-local values");
        key
    })
}

/// Lets this thread receive the signals by which traps and requests to stop come. Daemons block all
/// signals in most threads; but a fault whose signal is blocked ends the process.
fn unblock_signals() {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised before it is used; only this thread's mask is changed.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals::handled() {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
    }
}

/// Lowest address of an entry's frame.
fn stack_limit() -> StackAddr {
    let Some((low, size)) = crate::system::thread_stack() else { return StackAddr::NULL };
    // On small stacks the reserve is a quarter, so that guests can run there at all.
    low.above(HOST_RESERVE.min(size / 4))
}

/// What a thread owns. It lies under a key of the thread library rather than in a thread-local variable,
/// for those are dropped before the values of keys: so destructors of thread-local variables can run
/// guests, and what is made anew for those that run guests last is freed as well.
struct Owned {
    handle: &'static ThreadHandle,
    stack: SignalStack,
}

/// Frees what a thread owned. Called by the thread library when the thread ends.
unsafe extern "C" fn release(owned: *mut libc::c_void) {
    // SAFETY: `adopt` stored it, and the thread library gives it once.
    let owned = unsafe { Box::from_raw(owned.cast::<Owned>()) };
    owned.handle.set(None);
    HANDLE.set(ThreadPtr::NULL);
    FREE.lock().unwrap_or_else(|e| e.into_inner()).push(owned.handle);
}

struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        // Who runs a guest after this prepares the thread again.
        HANDLE.set(ThreadPtr::NULL);
    }
}

/// The alternate stack for signals on this thread, once it has been installed; else null.
struct SignalStack(*mut libc::c_void);

impl Default for SignalStack {
    fn default() -> Self {
        SignalStack(ptr::null_mut())
    }
}

impl SignalStack {
    /// Makes it the thread's. Returns whether it is: there may be no memory for it.
    fn install(&mut self) -> bool {
        if self.0.is_null() {
            let Some(mapped) = map_signal_stack() else { return false };
            self.0 = mapped;
        }
        // SAFETY: the stack above its guard is given to the system until `drop` takes it back.
        unsafe {
            let ss_sp = self.0.byte_add(GUARD);
            let stack = libc::stack_t { ss_sp, ss_flags: 0, ss_size: SIGNAL_STACK };
            libc::sigaltstack(&stack, ptr::null_mut()) == 0
        }
    }
}

/// A mapping for a signal stack, above its guard.
fn map_signal_stack() -> Option<*mut libc::c_void> {
    let size = GUARD + SIGNAL_STACK;
    torture::check(Point::Map).ok()?;
    // SAFETY: a fresh private mapping.
    unsafe {
        let base =
            mmap_anonymous(ptr::null_mut(), size, ProtFlags::empty(), MapFlags::PRIVATE).ok()?;
        let stack = base.byte_add(GUARD);
        let rights = MprotectFlags::READ | MprotectFlags::WRITE;
        if torture::fails(Point::Protect) || mprotect(stack, SIGNAL_STACK, rights).is_err() {
            let _ = munmap(base, size);
            return None;
        }
        Some(base)
    }
}

impl Drop for SignalStack {
    /// Switches the thread's signal stack off. What stood there before it is not put back: std has
    /// unmapped its own by now.
    fn drop(&mut self) {
        if self.0.is_null() {
            return;
        }
        // SAFETY: the thread ends, and runs on its ordinary stack; nothing refers to the mapping any
        // more once the system does not.
        unsafe {
            let mut now = MaybeUninit::<libc::stack_t>::zeroed();
            libc::sigaltstack(ptr::null(), now.as_mut_ptr());
            if now.assume_init().ss_sp == self.0.byte_add(GUARD) {
                let off = libc::stack_t {
                    ss_sp: ptr::null_mut(),
                    ss_flags: libc::SS_DISABLE,
                    ss_size: 0,
                };
                libc::sigaltstack(&off, ptr::null_mut());
            }
            let _ = munmap(self.0, GUARD + SIGNAL_STACK);
        }
    }
}
