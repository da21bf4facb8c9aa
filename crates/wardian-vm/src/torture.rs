//! Faults on purpose, for the tests that are built with the feature `torture`: see CONTRIBUTING.md.
//!
//! Each place that asks the system for something which it may refuse calls [`fails`] first. Without the
//! feature all functions here are constants, and the calls disappear.

use std::io;

/// What is asked of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Address space (`mmap`).
    Map,
    /// Rights on pages (`mprotect`).
    Protect,
    /// Giving back the contents of pages (`madvise`).
    Discard,
    /// A file in memory (`memfd_create`) and its length and contents.
    MemoryFile,
    /// A thread.
    Thread,
    /// An operation on a file.
    File,
    /// An event file.
    Event,
    /// Memory of the allocator, where a refusal is handled.
    Allocate,
    /// The compilation of a hot function, which may fail for a reason of the compiler's.
    Compile,
}

/// [`fails`] as an error of the system.
#[inline(always)]
pub fn check(point: Point) -> io::Result<()> {
    if fails(point) { Err(crate::system::refusal(point)) } else { Ok(()) }
}

#[cfg(not(feature = "torture"))]
mod off {
    use super::Point;

    /// Whether this request is to fail: never in this build.
    #[inline(always)]
    pub const fn fails(_: Point) -> bool {
        false
    }

    /// Whether memories are to move whenever they grow: never in this build.
    #[inline(always)]
    pub const fn moves() -> bool {
        false
    }

    /// Whether stacks are to be as small as they can be: never in this build.
    #[inline(always)]
    pub const fn tiny_stacks() -> bool {
        false
    }

    /// Waits where a background thread may be slow: never in this build.
    #[inline(always)]
    pub const fn delay() {}

    /// A random number below `below` if the order of background work is to be random: never in this build.
    #[inline(always)]
    pub const fn choose(_: usize) -> Option<usize> {
        None
    }

    /// The longest time that a guest may wait on an address, whatever it asked for: no limit in this build.
    #[inline(always)]
    pub const fn longest_wait() -> Option<std::time::Duration> {
        None
    }

    #[allow(dead_code, reason = "there may be no signals to send")]
    #[inline(always)]
    pub(crate) const fn register(_: impl Fn() + Send + Sync + Copy + 'static) {}
}
#[cfg(not(feature = "torture"))]
#[allow(unused_imports, reason = "there may be no signals to send")]
pub(crate) use off::register;
#[cfg(not(feature = "torture"))]
pub use off::{choose, delay, fails, longest_wait, moves, tiny_stacks};

#[cfg(feature = "torture")]
mod on {
    use super::Point;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    /// What is done to the process.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Plan {
        /// This request fails, counted from 1; none if zero.
        pub nth: u64,
        /// All requests after it fail as well.
        pub lasting: bool,
        /// Memories move whenever they grow and may move.
        pub moves: bool,
        /// Stacks are as small as they can be.
        pub tiny_stacks: bool,
        /// Background threads are slow, and take their work in a random order.
        pub delays: bool,
        /// All threads that ever ran a guest are sent the signal by which guests are stopped, without a
        /// reason, again and again.
        pub signals: bool,
    }

    /// What happened under a plan.
    #[derive(Clone, Debug, Default)]
    pub struct Report {
        /// How many requests there were.
        pub asked: u64,
        /// Those that failed.
        pub failed: Vec<Point>,
    }

    static NTH: AtomicU64 = AtomicU64::new(0);
    static LASTING: AtomicBool = AtomicBool::new(false);
    static MOVES: AtomicBool = AtomicBool::new(false);
    static TINY: AtomicBool = AtomicBool::new(false);
    static DELAYS: AtomicBool = AtomicBool::new(false);
    static SIGNALS: AtomicBool = AtomicBool::new(false);
    static WAITS: AtomicU64 = AtomicU64::new(0);
    static ASKED: AtomicU64 = AtomicU64::new(0);
    static FAILED: Mutex<Vec<Point>> = Mutex::new(Vec::new());
    /// What sends each thread that may run guests the signal that stops them.
    static THREADS: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>> = Mutex::new(Vec::new());

    /// Puts a plan in force, for the whole process.
    pub fn begin(plan: Plan) {
        NTH.store(0, Ordering::SeqCst);
        ASKED.store(0, Ordering::SeqCst);
        WAITS.store(0, Ordering::SeqCst);
        FAILED.lock().unwrap_or_else(|e| e.into_inner()).clear();
        LASTING.store(plan.lasting, Ordering::SeqCst);
        MOVES.store(plan.moves, Ordering::SeqCst);
        TINY.store(plan.tiny_stacks, Ordering::SeqCst);
        DELAYS.store(plan.delays, Ordering::SeqCst);
        NTH.store(plan.nth, Ordering::SeqCst);
        if plan.signals && !SIGNALS.swap(true, Ordering::SeqCst) {
            std::thread::spawn(send_signals);
        }
    }

    /// Ends the plan.
    pub fn end() -> Report {
        NTH.store(0, Ordering::SeqCst);
        for flag in [&LASTING, &MOVES, &TINY, &DELAYS, &SIGNALS] {
            flag.store(false, Ordering::SeqCst);
        }
        let failed = std::mem::take(&mut *FAILED.lock().unwrap_or_else(|e| e.into_inner()));
        Report { asked: ASKED.load(Ordering::SeqCst), failed }
    }

    /// Whether this request is to fail.
    pub fn fails(point: Point) -> bool {
        let number = ASKED.fetch_add(1, Ordering::SeqCst) + 1;
        let nth = NTH.load(Ordering::SeqCst);
        let lasting = LASTING.load(Ordering::SeqCst);
        let fails = nth != 0 && (number == nth || lasting && number > nth);
        if fails {
            FAILED.lock().unwrap_or_else(|e| e.into_inner()).push(point);
        }
        fails
    }

    /// Whether memories are to move whenever they grow.
    pub fn moves() -> bool {
        MOVES.load(Ordering::Relaxed)
    }

    /// Whether stacks are to be as small as they can be.
    pub fn tiny_stacks() -> bool {
        TINY.load(Ordering::Relaxed)
    }

    /// Waits where a background thread may be slow.
    pub fn delay() {
        if DELAYS.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros(random() % 3000));
        }
    }

    /// A random number below `below` if the order of background work is to be random.
    pub fn choose(below: usize) -> Option<usize> {
        let wanted = DELAYS.load(Ordering::Relaxed) && below > 0;
        wanted.then(|| (random() % below as u64) as usize)
    }

    /// What the panic says that ends a guest which waits again and again.
    pub const WAITS_FOR_EVER: &str = "the guest waits for somebody who failed";

    /// The longest time that a guest may wait on an address, whatever it asked for. Who was to notify it may
    /// have failed; then it may wait for ever.
    pub fn longest_wait() -> Option<Duration> {
        if NTH.load(Ordering::Relaxed) != 0 && WAITS.fetch_add(1, Ordering::SeqCst) > 20 {
            panic!("{WAITS_FOR_EVER}");
        }
        (NTH.load(Ordering::Relaxed) != 0).then_some(Duration::from_millis(200))
    }

    /// Notes a thread that may run guests: what sends it the signal that stops them.
    pub(crate) fn register(signal: impl Fn() + Send + Sync + 'static) {
        THREADS.lock().unwrap_or_else(|e| e.into_inner()).push(Arc::new(signal));
    }

    fn send_signals() {
        while SIGNALS.load(Ordering::SeqCst) {
            let threads = THREADS.lock().unwrap_or_else(|e| e.into_inner()).clone();
            threads.iter().for_each(|signal| signal());
            std::thread::sleep(Duration::from_micros(20 + random() % 100));
        }
    }

    fn random() -> u64 {
        static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
        let mut state = STATE.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        STATE.store(state, Ordering::Relaxed);
        state >> 11
    }
}
#[cfg(feature = "torture")]
pub(crate) use on::register;
#[cfg(feature = "torture")]
pub use on::{
    Plan, Report, WAITS_FOR_EVER, begin, choose, delay, end, fails, longest_wait, moves,
    tiny_stacks,
};
