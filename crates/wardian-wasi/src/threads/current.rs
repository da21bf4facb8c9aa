//! Whether the present thread is one of a guest's, made by `thread-spawn`: states of programs that have such
//! threads cannot be saved.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::ctx::WasiCtx;

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Running {
    /// Lives as long as the guest's thread.
    token: Arc<()>,
    /// The program's state that knows of it already.
    known_to: Cell<usize>,
}

/// Marks the present thread as a guest's until it is dropped.
pub(super) struct Mark(());

impl Mark {
    pub(super) fn new() -> Mark {
        let running = Running { token: Arc::new(()), known_to: Cell::new(0) };
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
