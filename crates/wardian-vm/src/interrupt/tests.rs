//! The watchdog's queue, and wakers.

use super::*;
use crate::background;
use std::sync::mpsc;

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
    interrupter.request_deferred();
    interrupter.request_deferred();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    interrupter.set_waker(Some(count.clone().into()));
    interrupter.set_waker(None);
    interrupter.request_deferred();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

/// The embedder's code may wait for a thread that forks, which waits for sections.
#[test]
fn the_watchdog_calls_and_drops_wakers_outside_of_sections() {
    /// Sends how many sections the thread is in.
    struct Section(mpsc::SyncSender<u64>);
    impl std::task::Wake for Section {
        fn wake(self: Arc<Self>) {
            self.0.send(background::own()).unwrap();
        }
    }
    impl Drop for Section {
        fn drop(&mut self) {
            self.0.send(background::own()).unwrap();
        }
    }
    let (sender, sections) = mpsc::sync_channel(2);
    let mut store = StoreCtx::default();
    // SAFETY: the store outlives the interrupter's use of it, and does not move.
    let interrupter = unsafe { Interrupter::new(&mut store) };
    interrupter.set_waker(Some(Arc::new(Section(sender)).into()));
    interrupter.set_deadline(Some(Instant::now() + Duration::from_millis(5)));
    let seen = [(); 2].map(|()| sections.recv_timeout(Duration::from_secs(60)));
    interrupter.detach();
    assert_eq!(seen, [Ok(0), Ok(0)]);
}

#[test]
fn a_closing_has_its_code_until_it_is_acknowledged() {
    let mut store = StoreCtx::default();
    let word = |store: &StoreCtx| store.interrupt.load(Ordering::SeqCst);
    // SAFETY: the store outlives the interrupter's use of it, and does not move.
    let interrupter = unsafe { Interrupter::new(&mut store) };
    assert_eq!(interrupter.closing_code(), None);
    interrupter.close(5);
    interrupter.close(9);
    assert_eq!((interrupter.closing_code(), word(&store)), (Some(5), reason::CLOSED));
    interrupter.acknowledge(reason::CLOSED);
    assert_eq!((interrupter.closing_code(), word(&store)), (None, 0));
    interrupter.close(9);
    assert_eq!(interrupter.closing_code(), Some(9));
    interrupter.detach();
    interrupter.acknowledge(reason::CLOSED);
    interrupter.close(7);
    assert_eq!((interrupter.closing_code(), word(&store)), (Some(7), reason::CLOSED));
}
