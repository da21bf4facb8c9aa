//! Forks of the process while threads of the runtime's own work.
//!
//! A process that is forked off has one thread, that which called `fork`. A lock that another thread held at that moment is locked
//! in the child for ever, and a value that another thread was initializing is never initialized. An embedder can keep
//! its own threads from that. It does not see those of the runtime: so these are in a *section* while they
//! may hold locks, and a fork waits until none is in one.
//!
//! ```text
//!   background thread    ├── section ──┤ compiles, or waits ├── section ──┤
//!   forking thread            fork() ··├ the process is copied ┤
//! ```
//!
//! A section is short: a thread leaves it for what takes long, and for code of the embedder's, which may wait for the thread that
//! forks. A fork that has waited for a second waits no longer.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many threads are in sections, and in units of [`FORK`] how many are forking.
static STATE: AtomicU64 = AtomicU64::new(0);
const FORK: u64 = 1 << 32;

/// How many processes lie between the first one and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// How long a thread pauses that waits for another to leave its section, or for the end of a fork.
const PAUSE: Duration = Duration::from_micros(20);
/// How long a fork waits at most.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread is in a section.
    static IN_SECTION: Cell<bool> = const { Cell::new(false) };
}

/// The part of a background thread's work in which it may hold locks.
pub struct Section {
    was_in_section: bool,
    /// It belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl Section {
    /// Enters a section, after forks that are under way.
    pub fn enter() -> Section {
        handle_forks();
        let was_in_section = IN_SECTION.replace(true);
        if !was_in_section {
            enter();
        }
        Section { was_in_section, _not_send: PhantomData }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if !self.was_in_section {
            STATE.fetch_sub(1, Ordering::SeqCst);
            IN_SECTION.set(false);
        }
    }
}

/// Does what takes long, and holds no lock of the runtime's. If the thread is in a section it leaves it meanwhile.
pub fn outside<R>(work: impl FnOnce() -> R) -> R {
    /// Enters the section again, also if the work panics.
    struct Return;
    impl Drop for Return {
        fn drop(&mut self) {
            enter();
            IN_SECTION.set(true);
        }
    }
    if !IN_SECTION.get() {
        return work();
    }
    IN_SECTION.set(false);
    STATE.fetch_sub(1, Ordering::SeqCst);
    let _return = Return;
    work()
}

/// A number that is another one in each process that was forked off. What belongs to threads of an earlier generation is nobody's:
/// there are no such threads here. Forks count from the first time that this is asked.
pub fn generation() -> u64 {
    handle_forks();
    GENERATION.load(Ordering::Relaxed)
}

fn handle_forks() {
    static HANDLED: Once = Once::new();
    // SAFETY: the handlers read and write atomic variables and a `Cell` of the thread, read the clock, and sleep.
    HANDLED.call_once(|| unsafe {
        crate::system::at_fork(Some(prepare), Some(in_parent), Some(in_child));
    });
}

fn enter() {
    loop {
        let state = STATE.load(Ordering::SeqCst);
        let entered =
            || STATE.compare_exchange(state, state + 1, Ordering::SeqCst, Ordering::SeqCst);
        if state >= FORK {
            std::thread::sleep(PAUSE);
        } else if entered().is_ok() {
            return;
        }
    }
}

/// How many sections this thread is in. One that forks in something that a background thread called does not wait for itself.
pub(crate) fn own() -> u64 {
    u64::from(IN_SECTION.get())
}

extern "C" fn prepare() {
    STATE.fetch_add(FORK, Ordering::SeqCst);
    let began = Instant::now();
    while STATE.load(Ordering::SeqCst) % FORK > own() && began.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
    }
}

extern "C" fn in_parent() {
    STATE.fetch_sub(FORK, Ordering::SeqCst);
}

extern "C" fn in_child() {
    STATE.store(own(), Ordering::SeqCst);
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn wait_for(flag: &AtomicBool) {
        while !flag.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }

    /// The handlers are called as by a fork.
    #[test]
    fn a_fork_waits_for_sections() {
        let [inside, leave, forked] = [false; 3].map(AtomicBool::new);
        let was_inside = std::thread::scope(|scope| {
            scope.spawn(|| {
                let _section = Section::enter();
                let _nested = Section::enter();
                inside.store(true, Ordering::SeqCst);
                wait_for(&leave);
                inside.store(false, Ordering::SeqCst);
                outside(|| wait_for(&forked));
            });
            wait_for(&inside);
            let forking = scope.spawn(|| {
                prepare();
                let was_inside = inside.load(Ordering::SeqCst);
                in_parent();
                forked.store(true, Ordering::SeqCst);
                was_inside
            });
            std::thread::sleep(Duration::from_millis(5));
            leave.store(true, Ordering::SeqCst);
            forking.join().unwrap()
        });
        assert!(!was_inside);
    }

    #[test]
    fn sections_begin_after_a_fork() {
        let entered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            prepare();
            scope.spawn(|| {
                let _section = Section::enter();
                entered.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(5));
            let before = entered.load(Ordering::SeqCst);
            in_parent();
            assert!(!before);
            wait_for(&entered);
        });
    }

    #[test]
    fn a_thread_that_forks_in_a_section_does_not_wait_for_itself() {
        let section = Section::enter();
        let began = Instant::now();
        prepare();
        in_parent();
        assert!(began.elapsed() < Duration::from_millis(900));
        assert_eq!((own(), outside(own), own()), (1, 0, 1));
        let panicked =
            std::panic::catch_unwind(|| outside(|| panic!("in something that takes long")));
        assert_eq!((panicked.is_err(), own()), (true, 1));
        drop(section);
        assert_eq!(own(), 0);
    }
}
