//! What each thread that runs guests needs: an alternate signal stack, the bounds of its own stack,
//! and a handle by which others can signal it.

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::cell::Cell;
use std::ptr;
use std::sync::Mutex;

/// Room on the alternate stack: the largest register frames (AVX-512, AMX) take about 12 KiB, and a
/// handler that we chain to may want as much again.
const SIGNAL_STACK: usize = 128 << 10;
/// Inaccessible bytes below it.
const GUARD: usize = 64 << 10;
/// What must be left of the embedder's stack to enter a guest: its host functions run there.
const HOST_RESERVE: usize = 128 << 10;

thread_local! {
    /// Address of this thread's [`ThreadHandle`]; zero before the first entry.
    static HANDLE: Cell<usize> = const { Cell::new(0) };
    /// Stack addresses below this are too close to the end.
    static LIMIT: Cell<usize> = const { Cell::new(0) };
    static OWNED: std::cell::RefCell<Option<Owned>> = const { std::cell::RefCell::new(None) };
}

/// A thread that may be signalled. Handles are never freed, only reused, so that a reference from
/// a store whose thread has ended stays valid.
#[derive(Debug)]
pub(crate) struct ThreadHandle {
    thread: Mutex<Option<libc::pthread_t>>,
}

static FREE: Mutex<Vec<&'static ThreadHandle>> = Mutex::new(Vec::new());

impl ThreadHandle {
    /// Sends `signal` to the thread if it still lives.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        let thread = self.thread.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(thread) = *thread {
            // SAFETY: the thread clears the field, under the lock, before it ends.
            unsafe { libc::pthread_kill(thread, signal) };
        }
    }

    /// The handle behind the address that a store publishes, if any.
    ///
    /// # Safety
    ///
    /// `address` is zero or was read from [`crate::layout::StoreCtx::thread`].
    pub(crate) unsafe fn from_address(address: usize) -> Option<&'static ThreadHandle> {
        // SAFETY: such addresses come from `current`, and handles live for ever.
        unsafe { (address as *const ThreadHandle).as_ref() }
    }
}

/// This thread's handle, prepared on first use; `None` if too little of its stack is left.
#[inline]
pub(crate) fn current() -> Option<usize> {
    let handle = HANDLE.get();
    if handle == 0 {
        prepare();
        return current_prepared();
    }
    current_prepared()
}

#[inline]
fn current_prepared() -> Option<usize> {
    let marker = 0u8;
    let here = ptr::from_ref(&marker) as usize;
    (here >= LIMIT.get()).then(|| HANDLE.get())
}

#[cold]
fn prepare() {
    // SAFETY: `pthread_self` has no preconditions.
    let me = unsafe { libc::pthread_self() };
    let handle = FREE.lock().unwrap_or_else(|e| e.into_inner()).pop();
    let handle =
        handle.unwrap_or_else(|| Box::leak(Box::new(ThreadHandle { thread: Mutex::new(None) })));
    *handle.thread.lock().unwrap_or_else(|e| e.into_inner()) = Some(me);
    HANDLE.set(ptr::from_ref(handle) as usize);
    LIMIT.set(stack_limit());
    let owned = Owned { handle, stack: SignalStack::install() };
    // In a thread that is ending this fails, and what was installed goes with it.
    let _ = OWNED.try_with(|o| *o.borrow_mut() = Some(owned));
}

/// Lowest address that an entry may stand at.
fn stack_limit() -> usize {
    let mut low = ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes are initialised by `pthread_getattr_np` and destroyed once.
    unsafe {
        let mut attributes = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return 0;
        }
        libc::pthread_attr_getstack(&attributes, &mut low, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
    }
    // On small stacks the reserve is a quarter, so that guests can run there at all.
    low as usize + HOST_RESERVE.min(size / 4)
}

struct Owned {
    handle: &'static ThreadHandle,
    #[expect(dead_code, reason = "held for its Drop")]
    stack: Option<SignalStack>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        *self.handle.thread.lock().unwrap_or_else(|e| e.into_inner()) = None;
        HANDLE.set(0);
        FREE.lock().unwrap_or_else(|e| e.into_inner()).push(self.handle);
    }
}

/// The alternate stack for signals on this thread.
struct SignalStack {
    base: *mut libc::c_void,
    previous: libc::stack_t,
}

impl SignalStack {
    fn install() -> Option<SignalStack> {
        let size = GUARD + SIGNAL_STACK;
        // SAFETY: a fresh private mapping; the stack above its guard is given to the system until
        // `drop` takes it back.
        unsafe {
            let base = mmap_anonymous(ptr::null_mut(), size, ProtFlags::empty(), MapFlags::PRIVATE)
                .ok()?;
            let stack = base.byte_add(GUARD);
            if mprotect(stack, SIGNAL_STACK, MprotectFlags::READ | MprotectFlags::WRITE).is_err() {
                let _ = munmap(base, size);
                return None;
            }
            let new = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: SIGNAL_STACK };
            let mut previous = std::mem::zeroed();
            if libc::sigaltstack(&new, &mut previous) != 0 {
                let _ = munmap(base, size);
                return None;
            }
            Some(SignalStack { base, previous })
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: puts back what was there, then unmaps what nothing refers to any more.
        unsafe {
            libc::sigaltstack(&self.previous, ptr::null_mut());
            let _ = munmap(self.base, GUARD + SIGNAL_STACK);
        }
    }
}
