//! Whether the present thread is one of a guest's, made by `thread-spawn`: states of programs that have such
//! threads can be saved only while all of them stand still. Such a thread has a pending poll of its own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::ctx::WasiCtx;
use crate::pending::{Pending, PendingPoll};

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Running {
    /// Lives as long as the guest's thread.
    token: Arc<()>,
    /// The program's state that knows of it already.
    known_to: Cell<usize>,
    pending: Pending,
}

/// Marks the present thread as a guest's until it is dropped.
pub(super) struct Mark(());

impl Mark {
    pub(super) fn new(poll: Option<PendingPoll>) -> Mark {
        let pending = Pending::restored(poll);
        let running = Running { token: Arc::new(()), known_to: Cell::new(0), pending };
        RUNNING.with(|slot| *slot.borrow_mut() = Some(running));
        Mark(())
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        RUNNING.with(|slot| *slot.borrow_mut() = None);
    }
}

/// A call begins in the present thread.
pub(crate) fn calls(ctx: &WasiCtx) {
    RUNNING.with(|slot| {
        if let Some(running) = &*slot.borrow()
            && running.known_to.replace(ctx.address()) != ctx.address()
        {
            ctx.called_by(&running.token);
        }
    });
}

/// Uses the pending poll of the present thread, if it is a guest's that is not the main thread.
pub(crate) fn with_pending<R>(work: impl FnOnce(Option<&Pending>) -> R) -> R {
    RUNNING.with(|slot| work(slot.borrow().as_ref().map(|running| &running.pending)))
}
