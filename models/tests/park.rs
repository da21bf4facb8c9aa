//! Waiting on an address: no notification is lost, none is counted for nobody.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use wardian_models::addr::DataAddr;
use wardian_models::interrupt::{Interrupter, reason};
use wardian_models::park::{Queued, WaitResult, notify};
use wardian_models::{model, store};

const ADDRESS: DataAddr = DataAddr::from_usize(0x40);

/// What `memory.atomic.wait32` does.
fn wait(word: &AtomicU32, expected: u32, interrupter: &Interrupter) -> WaitResult {
    let still = || word.load(Ordering::SeqCst) == expected;
    match Queued::join(ADDRESS, still, None) {
        Some(queued) => {
            let result = queued.sleep(interrupter);
            queued.leave(result)
        }
        None => WaitResult::NotEqual,
    }
}

/// With two notifiers of one waiter each, both waiters continue; a model in which one sleeps for ever is a deadlock,
/// which loom reports.
#[test]
fn a_change_and_a_notification_end_every_wait() {
    model(|| {
        let word = Arc::new(AtomicU32::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let word = word.clone();
                thread::spawn(move || wait(&word, 0, &Interrupter::unattached()))
            })
            .collect();
        word.store(1, Ordering::SeqCst);
        let woken = notify(ADDRESS, u32::MAX);
        let results: Vec<_> = waiters.into_iter().map(|w| w.join().unwrap()).collect();
        let ok = results.iter().filter(|r| **r == WaitResult::Ok).count();
        assert_eq!(ok, woken as usize, "{results:?}");
        assert_eq!(notify(ADDRESS, u32::MAX), 0, "no place is left behind");
    });
}

/// A waiter that is interrupted when it is notified says that it was notified, since the notifier counted it.
#[test]
fn a_notification_is_not_lost_to_an_interrupt() {
    model(|| {
        let word = Arc::new(AtomicU32::new(0));
        let (_, interrupter) = store();
        let waiter = {
            let (word, interrupter) = (word.clone(), interrupter.clone());
            thread::spawn(move || wait(&word, 0, &interrupter))
        };
        let stopper = {
            let interrupter = interrupter.clone();
            thread::spawn(move || interrupter.interrupt(reason::CANCELLED))
        };
        let woken = notify(ADDRESS, 1);
        let result = waiter.join().unwrap();
        stopper.join().unwrap();
        let expected = if woken == 1 { WaitResult::Ok } else { WaitResult::Interrupted };
        assert_eq!(result, expected);
        assert_eq!(notify(ADDRESS, u32::MAX), 0, "no place is left behind");
    });
}

/// One notification for two waiters wakes one of them; the other is still in the queue.
#[test]
fn one_notification_wakes_one() {
    model(|| {
        let word = Arc::new(AtomicU32::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let word = word.clone();
                thread::spawn(move || wait(&word, 0, &Interrupter::unattached()))
            })
            .collect();
        let first = notify(ADDRESS, 1);
        assert!(first <= 1);
        word.store(1, Ordering::SeqCst);
        let second = notify(ADDRESS, u32::MAX);
        let results: Vec<_> = waiters.into_iter().map(|w| w.join().unwrap()).collect();
        let ok = results.iter().filter(|r| **r == WaitResult::Ok).count();
        assert_eq!(ok, (first + second) as usize, "{results:?}");
    });
}
