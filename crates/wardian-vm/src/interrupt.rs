//! Stopping a guest from outside.
//!
//! Whoever stops a guest sets the store's interrupt word, signals the thread that runs it, and
//! repeats until the store has noticed: a signal that arrives in a transition or in host code does
//! nothing, but the transition back into the guest reads the word. See [`crate::signals`].

use crate::contain::{discard, drop_contained};
use crate::layout::{StoreCtx, instance};
use crate::park::Waiter;
use crate::samples::SampleRing;
use crate::signals;
use crate::thread::ThreadHandle;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Reasons in the interrupt word.
pub mod reason {
    /// A deadline passed.
    pub const DEADLINE: u64 = 1;
    /// Somebody asked.
    pub const CANCELLED: u64 = 2;
    /// An instance that the guest runs in was closed.
    pub const CLOSED: u64 = 4;
    /// Something is to be done by the thread that has the store, when a guest next calls the host
    /// or is entered. It stops nobody.
    pub const ERRAND: u64 = 8;
}

/// How long after a signal that was not noticed the next one is sent.
const REPEAT: Duration = Duration::from_millis(1);
/// How long to look whether a signal is noticed at once.
const NOTICE: Duration = Duration::from_micros(30);

/// The stopping side of a store. It may outlive the store, and be used from any thread.
#[derive(Debug)]
pub struct Interrupter {
    /// The store, null when it is gone. Only changed under `state`.
    store: AtomicPtr<StoreCtx>,
    /// Reasons set so far; also there when the store is gone.
    reasons: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The deadline in force.
    deadline: Option<Instant>,
    /// When the watchdog will look at it next, if it will. One entry in its queue is enough however
    /// often the deadline is set, as long as it is not set to an earlier time.
    queued: Option<Key>,
    /// An event file that becomes readable, for those who wait in the system.
    event: Option<Arc<OwnedFd>>,
    /// A guest thread that waits on an address.
    waiter: Option<Arc<Waiter>>,
    /// The task of a suspended guest.
    waker: Option<Waker>,
}

impl Interrupter {
    /// The stopping side of `store`.
    ///
    /// # Safety
    ///
    /// `store` stays where it is and valid until [`Self::detach`].
    pub unsafe fn new(store: *mut StoreCtx) -> Arc<Interrupter> {
        Arc::new(Interrupter {
            store: AtomicPtr::new(store),
            reasons: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// One that belongs to no store: for those who only ask whether they are to stop.
    pub fn unattached() -> Arc<Interrupter> {
        Arc::new(Interrupter {
            store: AtomicPtr::new(std::ptr::null_mut()),
            reasons: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// The deadline in force.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The store is about to go: nothing touches it afterwards.
    pub fn detach(&self) {
        let mut state = self.lock();
        state.deadline = None;
        state.unqueue();
        self.store.store(std::ptr::null_mut(), Ordering::SeqCst);
        let waker = state.waker.take();
        drop(state);
        drop_contained(waker);
    }

    /// Sets the bit for deferred work, for the store's thread, and wakes the task of a suspended guest;
    /// returns at once.
    pub fn remind(&self) {
        let state = self.lock();
        let store = self.store.load(Ordering::SeqCst);
        if !store.is_null() {
            // SAFETY: as in `knock`; the lock is held.
            unsafe { (*store).interrupt.fetch_or(reason::ERRAND, Ordering::SeqCst) };
        }
        wake(state);
    }

    /// Whether any of these contexts has an open entry. Whoever is entering one at this moment sees
    /// what was written to the interrupt word before. No if the store is gone.
    ///
    /// # Safety
    ///
    /// They are contexts of instances of the store.
    pub unsafe fn any_entered(&self, contexts: &[usize]) -> bool {
        let _lock = self.lock();
        let store = self.store.load(Ordering::SeqCst);
        if store.is_null() {
            return false;
        }
        signals::barrier();
        // SAFETY: the store, and with it its instances, cannot go while we hold the lock; the fields
        // are atomic.
        let root = unsafe {
            let runs = (*store).thread.load(Ordering::SeqCst) != 0;
            runs.then(|| (*store).root.load(Ordering::SeqCst))
        };
        contexts.iter().any(|ctx| {
            // SAFETY: as above.
            let nested = unsafe { &*((ctx + instance::NESTED as usize) as *const AtomicU64) };
            root == Some(*ctx) || nested.load(Ordering::SeqCst) != 0
        })
    }

    /// Asks the store's guest to stop, for `reason`; returns at once.
    pub fn interrupt(self: &Arc<Self>, reason: u64) {
        self.set(&self.lock(), reason);
        self.repeat(reason);
    }

    /// The time has come at which the watchdog was to look: fires the deadline if it has passed,
    /// else waits for it.
    fn look(self: &Arc<Self>, key: Key) {
        let mut state = self.lock();
        if state.queued == Some(key) {
            state.queued = None;
        }
        match state.deadline {
            Some(deadline) if deadline <= Instant::now() => {
                self.set(&state, reason::DEADLINE);
                drop(state);
                self.repeat(reason::DEADLINE);
            }
            Some(deadline) => self.queue(&mut state, deadline),
            None => {}
        }
    }

    /// Makes sure that the watchdog looks at the deadline when it comes, or before.
    fn queue(self: &Arc<Self>, state: &mut State, deadline: Instant) {
        if state.queued.is_none_or(|queued| queued.at > deadline) {
            state.unqueue();
            state.queued = Some(watchdog().push(deadline, Task::Look(Arc::downgrade(self))));
        }
    }

    fn set(&self, _: &State, reason: u64) {
        self.reasons.fetch_or(reason, Ordering::SeqCst);
    }

    /// Signals now, and again later if that may not have been enough.
    fn repeat(self: &Arc<Self>, reason: u64) {
        if self.knock(reason) && !self.is_noticed() {
            watchdog().push(Instant::now() + REPEAT, Task::Repeat(self.clone(), reason));
        }
    }

    /// Whether a guest that was signalled has ended already, after its thread had a chance to run. Who
    /// asks the watchdog to look again wakes it, and that may take the processor from the very guest
    /// that is to stop; as does whoever stops it, if processors are few.
    fn is_noticed(&self) -> bool {
        let until = Instant::now() + NOTICE;
        loop {
            std::thread::yield_now();
            {
                let _lock = self.lock();
                let store = self.store.load(Ordering::SeqCst);
                // SAFETY: as in `knock`.
                if store.is_null() || unsafe { (*store).thread.load(Ordering::SeqCst) } == 0 {
                    return true;
                }
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }

    /// Sets the word and signals once. Returns whether it must be repeated.
    fn knock(&self, reason: u64) -> bool {
        let state = self.lock();
        let store = self.store.load(Ordering::SeqCst);
        // Somebody may have taken the reason back meanwhile, under the lock.
        if store.is_null() || self.reasons.load(Ordering::SeqCst) & reason == 0 {
            return false;
        }
        // SAFETY: the store is valid while it is not detached, which takes the lock that we hold;
        // the two fields are atomic.
        let running = unsafe {
            (*store).interrupt.fetch_or(reason, Ordering::SeqCst);
            let mut thread = (*store).thread.load(Ordering::SeqCst);
            if thread == 0 {
                // Only then can it be too early: a barrier takes its time where processors are busy.
                signals::barrier();
                thread = (*store).thread.load(Ordering::SeqCst);
            }
            ThreadHandle::from_address(thread)
        };
        if let Some(event) = &state.event {
            let _ = rustix::io::write(event, &1u64.to_ne_bytes());
        }
        if let Some(waiter) = &state.waiter {
            waiter.wake();
        }
        let signal = signals::interrupt_signal();
        let repeat = match running {
            Some(thread) if signal != 0 => {
                thread.signal(signal);
                true
            }
            // Not running: the next entry reads the word. Or it polls.
            _ => false,
        };
        wake(state);
        repeat
    }

    /// Reasons for which the store was asked to stop, and that have not been taken back.
    pub fn reasons(&self) -> u64 {
        self.reasons.load(Ordering::SeqCst)
    }

    /// The store has stopped its guest: forget `reasons`, so that the next call can run.
    pub fn acknowledge(&self, reasons: u64) {
        self.clear(&self.lock(), reasons);
    }

    fn clear(&self, state: &State, reasons: u64) {
        let left = self.reasons.fetch_and(!reasons, Ordering::SeqCst) & !reasons;
        let store = self.store.load(Ordering::SeqCst);
        if !store.is_null() {
            // SAFETY: as in `knock`; the lock is held. Only these bits, for the store uses others.
            unsafe { (*store).interrupt.fetch_and(!reasons, Ordering::SeqCst) };
        }
        if left == 0
            && let Some(event) = &state.event
        {
            let _ = rustix::io::read(event, &mut [0u8; 8]);
        }
    }

    /// Stops the guest at `deadline`, with [`reason::DEADLINE`]; replaces the deadline before, and
    /// forgets that it has passed.
    pub fn set_deadline(self: &Arc<Self>, deadline: Option<Instant>) {
        let mut state = self.lock();
        state.deadline = deadline;
        self.clear(&state, reason::DEADLINE);
        match deadline {
            Some(deadline) if deadline <= Instant::now() => {
                self.set(&state, reason::DEADLINE);
                drop(state);
                self.repeat(reason::DEADLINE);
            }
            Some(deadline) => self.queue(&mut state, deadline),
            None => {}
        }
    }

    /// Has a sample taken every `interval`, on average, while the store runs a guest, until the ring is
    /// stopped or the store goes.
    pub fn sample(self: &Arc<Self>, ring: &Arc<SampleRing>, interval: Duration) {
        let (interrupter, ring) = (Arc::downgrade(self), Arc::downgrade(ring));
        let random = crate::samples::now() | 1;
        let mut tick = Tick { interrupter, ring, interval, random };
        watchdog().push(Instant::now() + tick.next(), Task::Tick(tick));
    }

    /// Asks for one sample. Returns whether the store is still there.
    fn tick(&self, ring: &SampleRing) -> bool {
        let _lock = self.lock();
        let store = self.store.load(Ordering::SeqCst);
        if store.is_null() {
            return false;
        }
        // SAFETY: as in `knock`; the lock is held.
        let running = unsafe { ThreadHandle::from_address((*store).thread.load(Ordering::SeqCst)) };
        if let Some(thread) = running {
            ring.want();
            thread.signal(signals::interrupt_signal());
        }
        true
    }

    /// Whether the store is still there.
    pub fn is_attached(&self) -> bool {
        !self.store.load(Ordering::SeqCst).is_null()
    }

    /// A file that becomes readable when the guest is to stop. `None` if the system gives none.
    pub fn event(&self) -> Option<Arc<OwnedFd>> {
        use rustix::event::{EventfdFlags, eventfd};
        let mut state = self.lock();
        if state.event.is_none() {
            let set = u32::from(self.reasons() != 0);
            let file = eventfd(set, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
            state.event = Some(Arc::new(file));
        }
        state.event.clone()
    }

    /// Has a task woken by an interrupt or deferred work, once; replaces the task before.
    pub fn set_waker(&self, waker: Option<Waker>) {
        let before = std::mem::replace(&mut self.lock().waker, waker);
        // Not while the state is locked: it is the embedder's.
        drop_contained(before);
    }

    /// Makes `waiter` be woken by an interrupt, until the next call.
    pub(crate) fn set_waiter(&self, waiter: Option<Arc<Waiter>>) {
        self.lock().waiter = waiter;
    }
}

impl State {
    /// Takes the deadline's entry out of the watchdog's queue.
    fn unqueue(&mut self) {
        if let Some(key) = self.queued.take() {
            watchdog().remove(key);
        }
    }
}

impl Drop for Interrupter {
    fn drop(&mut self) {
        self.lock().unqueue();
    }
}

/// Wakes the task that is to be woken, which is the embedder's code.
fn wake(mut state: MutexGuard<'_, State>) {
    let Some(waker) = state.waker.take() else { return };
    drop(state);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        discard(panic);
    }
}

/// One thread that fires deadlines, repeats signals and asks for samples. The last are the least work
/// of the three, and asking late does no harm, so they need no thread of their own.
#[derive(Default)]
struct Watchdog {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// What is to be done, the earliest first. Entries can be taken out again, so that they go with whom
/// they are for.
#[derive(Default)]
struct Queue {
    tasks: BTreeMap<Key, Task>,
    next: u64,
}

/// An entry of the queue: when, and a number that tells it from others of the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: Instant,
    number: u64,
}

enum Task {
    Look(Weak<Interrupter>),
    Repeat(Arc<Interrupter>, u64),
    Tick(Tick),
}

/// Samples to be taken.
struct Tick {
    interrupter: Weak<Interrupter>,
    ring: Weak<SampleRing>,
    interval: Duration,
    /// State of the random numbers (xorshift), never zero.
    random: u64,
}

impl Tick {
    /// Time to the next: the interval, give or take a quarter, so that a guest that does the same again
    /// and again is not always seen at the same point.
    fn next(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.interval * 3 / 4
            + (self.interval / 2).mul_f64((self.random >> 32) as f64 / 2f64.powi(32))
    }

    /// Asks for one. Returns whether to go on.
    fn run(&self) -> bool {
        let (Some(interrupter), Some(ring)) = (self.interrupter.upgrade(), self.ring.upgrade())
        else {
            return false;
        };
        ring.is_active() && interrupter.tick(&ring)
    }
}

static WATCHDOG: AtomicPtr<Watchdog> = AtomicPtr::new(std::ptr::null_mut());

/// The watchdog of this process, started on first need. After a fork the child has none of its parent's
/// threads: there a new one takes over what the parent's had to do.
fn watchdog() -> &'static Watchdog {
    // SAFETY: it is null, or was leaked in `start_watchdog`.
    match unsafe { WATCHDOG.load(Ordering::Acquire).as_ref() } {
        Some(watchdog) => watchdog,
        None => start_watchdog(),
    }
}

#[cold]
fn start_watchdog() -> &'static Watchdog {
    static STARTING: Mutex<Option<&'static Watchdog>> = Mutex::new(None);
    extern "C" fn in_child() {
        WATCHDOG.store(std::ptr::null_mut(), Ordering::Release);
    }
    let mut latest = STARTING.lock().unwrap_or_else(|e| e.into_inner());
    // SAFETY: as in `watchdog`.
    if let Some(watchdog) = unsafe { WATCHDOG.load(Ordering::Acquire).as_ref() } {
        return watchdog;
    }
    let mut queue = Queue::default();
    match *latest {
        // SAFETY: the handler does nothing but store to an atomic.
        None => drop(unsafe { libc::pthread_atfork(None, None, Some(in_child)) }),
        // This process is a child. If another thread of the parent held the queue when it forked, the
        // child has the lock for ever, and what was queued is lost.
        Some(parents) => {
            if let Ok(mut parents) = parents.queue.try_lock() {
                queue = std::mem::take(&mut parents);
            }
        }
    }
    let watchdog: &'static Watchdog =
        Box::leak(Box::new(Watchdog { queue: Mutex::new(queue), changed: Condvar::new() }));
    // Without the thread a deadline would silently not fire: better to say so at once.
    std::thread::Builder::new()
        .name("wardian-watchdog".into())
        .spawn(move || watchdog.run())
        .expect("the system gives a thread for deadlines");
    *latest = Some(watchdog);
    WATCHDOG.store(std::ptr::from_ref(watchdog).cast_mut(), Ordering::Release);
    watchdog
}

impl Watchdog {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn push(&self, at: Instant, task: Task) -> Key {
        let mut queue = self.lock();
        let key = Key { at, number: queue.next };
        queue.next += 1;
        queue.tasks.insert(key, task);
        let first = queue.tasks.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(queue);
        // Else it is going to wake up in time.
        if first {
            self.changed.notify_one();
        }
        key
    }

    /// Takes an entry out, if it is still there.
    fn remove(&self, key: Key) {
        // Not dropped while the queue is locked: what it holds may have an entry of its own.
        let task = self.lock().tasks.remove(&key);
        drop(task);
    }

    fn run(&self) {
        loop {
            let (key, task) = self.next();
            match task {
                Task::Look(interrupter) => {
                    if let Some(interrupter) = interrupter.upgrade() {
                        interrupter.look(key);
                    }
                }
                Task::Repeat(interrupter, reason) => interrupter.repeat(reason),
                Task::Tick(mut tick) if tick.run() => {
                    // What was missed is not made up for.
                    let next = (key.at + tick.next()).max(Instant::now() + tick.interval / 2);
                    self.push(next, Task::Tick(tick));
                }
                Task::Tick(_) => {}
            }
        }
    }

    fn next(&self) -> (Key, Task) {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let wait = match queue.tasks.first_key_value() {
                None => Duration::from_secs(3600),
                Some((key, _)) if key.at <= now => {
                    return queue.tasks.pop_first().expect("it was just seen");
                }
                Some((key, _)) => key.at - now,
            };
            let waited = self.changed.wait_timeout(queue, wait);
            queue = waited.unwrap_or_else(|e| e.into_inner()).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries for deadlines that are not before a day from now: those of this test alone.
    fn far_entries() -> usize {
        let day = Instant::now() + Duration::from_secs(86_400);
        let queue = watchdog().lock();
        queue.tasks.iter().filter(|(key, t)| key.at > day && matches!(t, Task::Look(_))).count()
    }

    #[test]
    fn deadlines_leave_the_queue_with_their_owners() {
        let far = || Some(Instant::now() + Duration::from_secs(100 * 86_400));
        for _ in 0..1000 {
            let interrupter = Interrupter::unattached();
            interrupter.set_deadline(far());
        }
        assert_eq!(far_entries(), 0, "after being dropped");
        let kept: Vec<_> = (0..10).map(|_| Interrupter::unattached()).collect();
        kept.iter().for_each(|interrupter| interrupter.set_deadline(far()));
        // An earlier one takes the place of the later one.
        kept[0].set_deadline(Some(Instant::now() + Duration::from_secs(50 * 86_400)));
        assert_eq!(far_entries(), 10);
        kept.iter().for_each(|interrupter| interrupter.detach());
        assert_eq!(far_entries(), 0, "after being detached");
    }

    #[test]
    fn wakers_are_called_once_for_each_interrupt() {
        struct Count(AtomicU64);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let interrupter = Interrupter::unattached();
        let count = Arc::new(Count(AtomicU64::new(0)));
        interrupter.set_waker(Some(count.clone().into()));
        interrupter.remind();
        interrupter.remind();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        interrupter.set_waker(Some(count.clone().into()));
        interrupter.set_waker(None);
        interrupter.remind();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
