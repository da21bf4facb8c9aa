//! Stopping a guest from outside.
//!
//! The thread that stops a guest sets the store's interrupt word, signals the thread that runs it, and
//! repeats until the store has noticed: a signal that arrives in a transition or in host code does nothing,
//! but the transition back into the guest reads the word. See [`crate::signals`].

// By its path, since `models/` has this file under another folder.
#[cfg(test)]
#[path = "interrupt/tests.rs"]
mod tests;

use crate::addr::{CtxOffset, ThreadPtr, VmCtxPtr};
use crate::background::outside;
use crate::contain::{discard, drop_contained};
use crate::layout::{StoreCtx, instance};
use crate::park::Waiter;
use crate::samples::SampleRing;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::{Instant, Mutex, MutexGuard, sleep, yield_now};
use crate::system::thread::ThreadHandle;
use crate::system::{self, Event, WakeFd, signals};
use crate::torture::{self, Point};
use crate::watchdog::{Key, Task, Tick, watchdog};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

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
    pub const DEFERRED: u64 = 8;
    /// Somebody asked one call to stop.
    pub const CALL: u64 = 1 << 4;
    /// Somebody wants a checkpoint, and the host function that waits can be called again. It is set only while such a
    /// function waits, and never in a store's word: it ends no guest.
    pub const CHECKPOINT: u64 = 1 << 5;
}

/// How long after a signal that was not noticed the next one is sent.
const REPEAT: Duration = Duration::from_millis(1);
/// How often a thread repeats a signal of its own if there is no watchdog.
const REPEATS: usize = 100;
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
    /// The system gives no thread that could watch the deadline.
    unwatched: bool,
    /// When the watchdog will look at it next, if it will. One entry in its queue is enough however
    /// often the deadline is set, as long as it is not set to an earlier time.
    queued: Option<Key>,
    /// An event file that becomes readable, for those who wait in the system.
    event: Option<Arc<Event>>,
    /// A guest thread that waits on an address.
    waiter: Option<Arc<Waiter>>,
    /// The task of a suspended guest.
    waker: Option<Waker>,
    /// The exit code that belongs to [`reason::CLOSED`], while that is among the reasons.
    closing_code: u32,
    /// Somebody wants a checkpoint.
    checkpoint_wanted: bool,
    /// A host function waits that can be called again.
    repeatable: bool,
    /// Calls that are stopped when this one is cancelled.
    calls: Vec<Arc<LinkedCall>>,
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
    pub fn request_deferred(&self) {
        let state = self.lock();
        let store = self.store.load(Ordering::SeqCst);
        if !store.is_null() {
            // SAFETY: as in `signal`; the lock is held.
            unsafe { (*store).interrupt.fetch_or(reason::DEFERRED, Ordering::SeqCst) };
        }
        wake(state);
    }

    /// As [`Self::request_deferred`], for a checkpoint: a host function that waits and can be called again is also
    /// woken.
    pub fn request_checkpoint(&self) {
        let mut state = self.lock();
        self.set_capture(&mut state, true);
        if state.repeatable {
            self.wake_repeatable(&state);
        }
        drop(state);
        self.request_deferred();
    }

    /// The checkpoints that somebody wanted are being taken.
    pub fn forget_checkpoint(&self) {
        self.set_capture(&mut self.lock(), false);
    }

    /// Notes whether somebody wants a checkpoint, also where compiled code sees it.
    fn set_capture(&self, state: &mut State, wanted: bool) {
        state.checkpoint_wanted = wanted;
        let store = self.store.load(Ordering::SeqCst);
        if !store.is_null() {
            // SAFETY: as in `signal`; the lock is held.
            let words = unsafe { &(*store).capture };
            // Any byte says it.
            let word = if wanted { u64::MAX } else { 0 };
            words.iter().for_each(|at| at.store(word, Ordering::SeqCst));
        }
    }

    /// Says whether a host function waits that can be called again.
    pub fn set_repeatable(&self, on: bool) {
        let mut state = self.lock();
        state.repeatable = on;
        match on {
            true if state.checkpoint_wanted => self.wake_repeatable(&state),
            true => {}
            false => self.clear(&state, reason::CHECKPOINT),
        }
    }

    fn wake_repeatable(&self, state: &State) {
        self.reasons.fetch_or(reason::CHECKPOINT, Ordering::SeqCst);
        if let Some(event) = &state.event {
            event.set();
        }
        if let Some(waiter) = &state.waiter {
            waiter.wake();
        }
    }

    /// Whether any of these contexts has an open entry. A thread that is entering one at this moment sees
    /// what was written to the interrupt word before. No if the store is gone.
    ///
    /// # Safety
    ///
    /// They are contexts of instances of the store.
    pub unsafe fn any_entered(&self, contexts: &[VmCtxPtr]) -> bool {
        let _lock = self.lock();
        let store = self.store.load(Ordering::SeqCst);
        if store.is_null() {
            return false;
        }
        system::barrier();
        // SAFETY: the store, and with it its instances, cannot go while we hold the lock; the fields
        // are atomic.
        let root = unsafe {
            let runs = (*store).thread.load(Ordering::SeqCst) != 0;
            runs.then(|| VmCtxPtr::from_usize((*store).root.load(Ordering::SeqCst)))
        };
        contexts.iter().any(|ctx| {
            // SAFETY: as above.
            let nested = unsafe { &*ctx.word::<AtomicU64>(CtxOffset::of(instance::NESTED)) };
            root == Some(*ctx) || nested.load(Ordering::SeqCst) != 0
        })
    }

    /// Asks the store's guest to stop, for `reason`; returns at once.
    pub fn interrupt(self: &Arc<Self>, reason: u64) {
        let state = self.lock();
        self.set(&state, reason);
        let calls = if reason == reason::CANCELLED { state.calls.clone() } else { Vec::new() };
        drop(state);
        self.repeat(reason);
        calls.iter().for_each(|call| call.stop());
    }

    /// Has a call of another store, or of this one, stopped for [`reason::CALL`] when this one is cancelled; at once if
    /// it was already. Until [`Self::unlink`].
    pub fn link(&self, store: &Arc<Interrupter>) -> Arc<LinkedCall> {
        let call = Arc::new(LinkedCall { store: Mutex::new(Some(Arc::downgrade(store))) });
        let mut state = self.lock();
        state.calls.push(call.clone());
        drop(state);
        if self.reasons() & reason::CANCELLED != 0 {
            call.stop();
        }
        call
    }

    /// The call has ended: nothing stops it any more.
    pub fn unlink(&self, call: &Arc<LinkedCall>) {
        self.lock().calls.retain(|other| !Arc::ptr_eq(other, call));
        *call.lock() = None;
    }

    /// [`Self::interrupt`] for [`reason::CLOSED`], with the exit code of the instance that was closed. The
    /// code of a closing that was not acknowledged yet stays. The code and the reason come and go together:
    /// a guest that sees the reason finds its code.
    pub fn close(self: &Arc<Self>, code: u32) {
        let mut state = self.lock();
        if self.reasons() & reason::CLOSED == 0 {
            state.closing_code = code;
        }
        self.set(&state, reason::CLOSED);
        drop(state);
        self.repeat(reason::CLOSED);
    }

    /// The code of a closing that was not acknowledged yet.
    pub fn closing_code(&self) -> Option<u32> {
        let state = self.lock();
        (self.reasons() & reason::CLOSED != 0).then_some(state.closing_code)
    }

    /// The time has come at which the watchdog was to look: fires the deadline if it has passed,
    /// else waits for it.
    pub(crate) fn look(self: &Arc<Self>, key: Key) {
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

    /// Adds a reason here and in the store's word, at once: so the store acknowledges either both or none.
    fn set(&self, _: &State, reason: u64) {
        self.reasons.fetch_or(reason, Ordering::SeqCst);
        let store = self.store.load(Ordering::SeqCst);
        if !store.is_null() {
            // SAFETY: as in `signal`; the lock is held.
            unsafe { (*store).interrupt.fetch_or(reason, Ordering::SeqCst) };
        }
    }

    /// Signals now, and again later if that may not have been enough.
    pub(crate) fn repeat(self: &Arc<Self>, reason: u64) {
        if self.signal(reason) && !self.is_noticed() {
            // Without a watchdog this thread repeats, but not for ever: it must not wait for a host
            // function. The rest is done once there is a watchdog.
            for _ in 0..REPEATS {
                if watchdog().start() {
                    break;
                }
                sleep(REPEAT);
                if !self.signal(reason) || self.is_noticed() {
                    return;
                }
            }
            watchdog().push(Instant::now() + REPEAT, Task::Repeat(self.clone(), reason));
        }
    }

    /// Whether a guest that was signalled has ended already, after its thread had a chance to run. To ask the
    /// watchdog to look again wakes it, and that may take the processor from the very guest that is to stop;
    /// so does the thread that stops it, if there are few processors.
    fn is_noticed(&self) -> bool {
        let until = Instant::now() + NOTICE;
        loop {
            yield_now();
            {
                let _lock = self.lock();
                let store = self.store.load(Ordering::SeqCst);
                // SAFETY: as in `signal`.
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
    fn signal(&self, reason: u64) -> bool {
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
            let mut thread = ThreadPtr::from_usize((*store).thread.load(Ordering::SeqCst));
            if thread.is_null() {
                // Only then can it be too early: a barrier takes its time where processors are busy.
                system::barrier();
                thread = ThreadPtr::from_usize((*store).thread.load(Ordering::SeqCst));
            }
            ThreadHandle::from_address(thread)
        };
        if let Some(event) = &state.event {
            event.set();
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
            // SAFETY: as in `signal`; the lock is held. Only these bits, for the store uses others.
            unsafe { (*store).interrupt.fetch_and(!reasons, Ordering::SeqCst) };
        }
        if left == 0
            && let Some(event) = &state.event
        {
            event.clear();
        }
    }

    /// Stops the guest at `deadline`, with [`reason::DEADLINE`]; replaces the deadline before, and
    /// forgets that it has passed.
    ///
    /// If the system gives no thread to watch the deadline, the guest is stopped at once: a limit on its time
    /// must not be lost. [`Self::is_unwatched`] is true then.
    pub fn set_deadline(self: &Arc<Self>, deadline: Option<Instant>) {
        let mut state = self.lock();
        state.deadline = deadline;
        self.clear(&state, reason::DEADLINE);
        let ahead = deadline.is_some_and(|deadline| deadline > Instant::now());
        state.unwatched = ahead && !watchdog().start();
        match deadline {
            Some(_) if !ahead || state.unwatched => {
                self.set(&state, reason::DEADLINE);
                drop(state);
                self.repeat(reason::DEADLINE);
            }
            Some(deadline) => self.queue(&mut state, deadline),
            None => {}
        }
    }

    /// Whether the guest was stopped before its deadline, since nothing could watch it.
    pub fn is_unwatched(&self) -> bool {
        self.lock().unwatched
    }

    /// Has a sample taken every `interval`, on average, while the store runs a guest, until the ring is
    /// stopped, another series of it begins, or the store goes. Returns whether that is possible: the system may refuse the thread.
    pub fn sample(self: &Arc<Self>, ring: &Arc<SampleRing>, interval: Duration) -> bool {
        if !watchdog().start() {
            return false;
        }
        let series = ring.next_series();
        let (interrupter, ring) = (Arc::downgrade(self), Arc::downgrade(ring));
        let random = crate::samples::now() | 1;
        let mut tick = Tick { interrupter, ring, interval, series, random };
        watchdog().push(Instant::now() + tick.next(), Task::Tick(tick));
        true
    }

    /// Asks for one sample. Returns whether the store is still there.
    pub(crate) fn tick(&self, ring: &SampleRing) -> bool {
        let _lock = self.lock();
        let store = self.store.load(Ordering::SeqCst);
        if store.is_null() {
            return false;
        }
        // SAFETY: as in `signal`; the lock is held.
        let running = unsafe {
            let thread = (*store).thread.load(Ordering::SeqCst);
            ThreadHandle::from_address(ThreadPtr::from_usize(thread))
        };
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
    pub fn event(&self) -> Option<WakeFd> {
        let mut state = self.lock();
        if state.event.is_none() {
            torture::check(Point::Event).ok()?;
            let event = Event::new(self.reasons() != 0).ok()?;
            state.event = Some(Arc::new(event));
        }
        state.event.clone().map(WakeFd)
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

/// A call that a token stops: see [`Interrupter::link`].
#[derive(Debug)]
pub struct LinkedCall {
    /// The store whose call it is; none once it has ended. Locked before the store's interrupter, and never while any
    /// interrupter is: two stores may stop calls of each other.
    store: Mutex<Option<Weak<Interrupter>>>,
}

impl LinkedCall {
    fn lock(&self) -> MutexGuard<'_, Option<Weak<Interrupter>>> {
        self.store.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn stop(&self) {
        let store = self.lock();
        let Some(interrupter) = store.as_ref().and_then(Weak::upgrade) else { return };
        // Set while the call is linked, so that the thread that unlinks it can clear the reason afterwards.
        interrupter.set(&interrupter.lock(), reason::CALL);
        drop(store);
        interrupter.repeat(reason::CALL);
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
    if let Err(panic) = outside(|| catch_unwind(AssertUnwindSafe(|| waker.wake()))) {
        discard(panic);
    }
}
