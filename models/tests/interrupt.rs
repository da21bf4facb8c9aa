//! Stopping a guest that is being entered, runs, waits or ends.

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use loom::thread;
use std::task::{Wake, Waker};
use wardian_models::addr::VmCtxPtr;
use wardian_models::interrupt::{Interrupter, reason};
use wardian_models::layout::StoreCtx;
use wardian_models::watchdog::watchdog;
use wardian_models::{model, store, system};

/// What `run` in `crates/wardian-vm/src/activation.rs` does before it switches to the guest. Returns whether it does.
fn enter(store: &StoreCtx, ctx: usize) -> bool {
    store.thread.store(1, Ordering::Relaxed);
    store.root.store(ctx, Ordering::Relaxed);
    // The other half of the barrier that the thread that interrupts makes every processor pass.
    fence(Ordering::SeqCst);
    store.interrupt.load(Ordering::Relaxed) == 0
}

/// A guest that would run for ever has refused to begin, or its thread has been sent a signal.
#[test]
fn a_guest_that_is_being_entered_is_stopped() {
    model(|| {
        let (store, interrupter) = store();
        let guest = thread::spawn(move || enter(store, 1));
        interrupter.interrupt(reason::CANCELLED);
        let runs = guest.join().unwrap();
        assert!(!runs || system::signals_sent() > 0, "it runs, and nobody signalled");
        assert!(!runs || watchdog().repeats() > 0, "the signal may have come too early");
        assert_eq!(interrupter.reasons(), reason::CANCELLED);
        interrupter.detach();
    });
}

/// The store acknowledges the reason in its word and in the interrupter, or in neither; what comes afterwards stays.
#[test]
fn a_reason_is_acknowledged_everywhere_or_nowhere() {
    model(|| {
        let (store, interrupter) = store();
        let other = interrupter.clone();
        let stopper = thread::spawn(move || other.close(7));
        interrupter.acknowledge(reason::CLOSED);
        stopper.join().unwrap();
        let word = store.interrupt.load(Ordering::SeqCst);
        assert_eq!(word & reason::CLOSED, interrupter.reasons() & reason::CLOSED);
        assert_eq!(interrupter.closing_code().is_some(), word & reason::CLOSED != 0);
        interrupter.detach();
    });
}

/// Nothing touches a store that has gone.
#[test]
fn a_store_that_goes_is_not_touched() {
    model(|| {
        let (store, interrupter) = store();
        let others = [
            thread::spawn({
                let interrupter = interrupter.clone();
                move || interrupter.interrupt(reason::DEADLINE)
            }),
            thread::spawn({
                let interrupter = interrupter.clone();
                move || interrupter.request_checkpoint()
            }),
        ];
        interrupter.detach();
        let word = store.interrupt.load(Ordering::SeqCst);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(store.interrupt.load(Ordering::SeqCst), word, "it was written after it went");
    });
}

/// The thread that closes an instance sees that it is entered, or the thread that enters sees that there is work.
#[test]
fn an_instance_is_not_closed_while_it_is_entered() {
    model(|| {
        let (store, interrupter) = store();
        let context: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        let at = std::ptr::from_ref(context) as usize;
        let guest = thread::spawn(move || enter(store, at));
        interrupter.request_deferred();
        // SAFETY: the context is leaked.
        let entered = unsafe { interrupter.any_entered(&[VmCtxPtr::from_usize(at)]) };
        let unaware = guest.join().unwrap();
        assert!(entered || !unaware, "it runs, and was closed as one that does not");
        interrupter.detach();
    });
}

/// A suspended guest's task is woken by an interrupt that comes before or after the task is there: the thread that
/// sets the task looks at the reasons afterwards.
#[test]
fn a_suspended_guest_is_woken() {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    model(|| {
        let (_, interrupter) = store();
        let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
        let other = interrupter.clone();
        let stopper = thread::spawn(move || other.interrupt(reason::CANCELLED));
        interrupter.set_waker(Some(Waker::from(woken.clone())));
        let sees = interrupter.reasons() != 0;
        stopper.join().unwrap();
        assert!(sees || woken.0.load(Ordering::SeqCst), "it sleeps for ever");
        interrupter.detach();
    });
}

/// A call that is linked to a token of another store is stopped, if it is linked when the token is cancelled; once it
/// is unlinked nothing is set any more.
#[test]
fn a_linked_call_is_stopped_while_it_is_linked() {
    model(|| {
        let token = Interrupter::unattached();
        let (store, interrupter) = store();
        let other = token.clone();
        let stopper = thread::spawn(move || other.interrupt(reason::CANCELLED));
        let call = token.link(&interrupter);
        token.unlink(&call);
        interrupter.acknowledge(reason::CALL);
        stopper.join().unwrap();
        assert_eq!(
            store.interrupt.load(Ordering::SeqCst) & reason::CALL,
            0,
            "the next call would be stopped"
        );
        interrupter.detach();
    });
}

/// The event is readable while there is a reason to stop, whoever makes it and when.
#[test]
fn the_event_is_there_for_every_reason() {
    model(|| {
        let (_, interrupter) = store();
        let other = interrupter.clone();
        let stopper = thread::spawn(move || other.interrupt(reason::CANCELLED));
        let event = interrupter.event().expect("the system has events");
        stopper.join().unwrap();
        assert!(event.is_set());
        interrupter.acknowledge(reason::CANCELLED);
        assert!(!event.is_set());
        interrupter.detach();
    });
}
