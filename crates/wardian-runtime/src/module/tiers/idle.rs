//! When threads that have nothing hot to compile compile functions that are warm.
//!
//! A function is hot when interpreting it has taken about as long as compiling it takes. That bounds what compiling costs where
//! there is no processor to spare. Where there is one, waiting for it only means that a guest is slow for longer.

use std::time::{Duration, Instant};

/// How long a thread that has found nothing waits at least until it looks again.
const PAUSE: Duration = Duration::from_millis(1);
/// The same as a multiple of the time that looking took.
const PER_LOOK: u32 = 30;
/// How often the interpreter is notified that a function was compiled: a notification is lost if a count is written
/// over it.
const NOTIFICATIONS: u32 = 3;
/// A thread that had to share its processor pauses for so many times as long as it compiled.
const PER_JOB: u32 = 10;

/// What a thread knows of its idle work. Functions are named by `F`.
pub(super) struct Idle<F> {
    is_on: bool,
    /// Functions that it has compiled so, and how often the interpreter is still to be notified.
    compiled: Vec<(F, u32)>,
    /// When it looks for more.
    next: Instant,
}

impl<F> Idle<F> {
    pub(super) fn new(is_on: bool) -> Idle<F> {
        Idle { is_on, compiled: Vec::new(), next: Instant::now() }
    }

    /// How long to wait until it may look for something to compile, if it ever may.
    pub(super) fn until_look(&self) -> Option<Duration> {
        self.is_on.then(|| self.next.saturating_duration_since(Instant::now()))
    }

    /// Looks for a function that is warm.
    pub(super) fn look<T>(&mut self, find: impl FnOnce() -> Option<T>) -> Option<T> {
        let began = Instant::now();
        let found = find();
        if found.is_none() {
            self.next = Instant::now() + PAUSE.max(began.elapsed() * PER_LOOK);
        }
        found
    }

    /// Compiles what was found.
    pub(super) fn run(&mut self, function: F, compile: impl FnOnce()) {
        self.compiled.push((function, NOTIFICATIONS));
        let (began, used) = (Instant::now(), wardian_vm::thread_nanoseconds());
        compile();
        let (took, used) = (began.elapsed(), wardian_vm::thread_nanoseconds().wrapping_sub(used));
        if !is_alone(took, Duration::from_nanos(used)) {
            self.next = Instant::now() + took * PER_JOB;
        }
    }

    /// Notifies the interpreter of what was compiled. `notify` returns whether it may have to be notified again.
    pub(super) fn notify(&mut self, notify: impl Fn(&F) -> bool) {
        self.compiled.retain_mut(|(function, left)| {
            *left -= 1;
            notify(function) && *left > 0
        });
    }
}

/// Whether a thread that took so long and used so much processor time had a processor to itself. What is over soon says little.
fn is_alone(took: Duration, used: Duration) -> bool {
    const NOISE: Duration = Duration::from_micros(200);
    used + NOISE >= took.mul_f64(0.85)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waited_was_not_alone() {
        let ms = Duration::from_millis;
        for (took, used, alone) in [
            (ms(10), ms(10), true),
            (ms(10), ms(9), true),
            (ms(10), ms(5), false),
            (ms(0), ms(0), true),
        ] {
            assert_eq!(is_alone(took, used), alone, "{took:?} {used:?}");
        }
    }

    #[test]
    fn what_is_off_never_looks() {
        assert_eq!(Idle::<()>::new(false).until_look(), None);
        let mut idle = Idle::<u32>::new(true);
        assert_eq!(idle.until_look(), Some(Duration::ZERO));
        assert!(idle.look(|| None::<()>).is_none());
        assert!(idle.until_look().is_some_and(|until| until > Duration::ZERO));
    }
    #[test]
    fn the_interpreter_is_notified_until_it_knows() {
        let mut idle = Idle::new(true);
        idle.run(1, || {});
        idle.run(2, || {});
        let notified = std::cell::RefCell::new(Vec::new());
        for _ in 0..9 {
            idle.notify(|function| {
                notified.borrow_mut().push(*function);
                *function == 1
            });
        }
        assert_eq!(*notified.borrow(), [1, 2, 1, 1]);
    }
}
