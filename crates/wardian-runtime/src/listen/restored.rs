//! Open calls in snapshots, and of guests that are resumed from a checkpoint.

use super::{ALL, Event, Panic, keep_first, notify};
use crate::extension::Extension;
use crate::listen::hook::{Hook, Listeners, OpenCall};
use crate::listen::listener::AbortReason;
use crate::store::inner::StoreInner;
use std::sync::Arc;
use wardian_vm::addr::{StackAddr, VmCtxPtr};

/// A call whose frame was put on the stack, of a function that is listened to.
pub(crate) struct ResumedCall {
    pub(crate) hook: *const Hook,
    /// The context of the calling instance; zero for the embedder.
    pub(crate) caller: VmCtxPtr,
    /// The address of its frame.
    pub(crate) frame: StackAddr,
}

impl StoreInner {
    /// A copy of the open calls for a snapshot, which keeps their listeners alive. The call of the
    /// host function that takes the snapshot, in the entry `serial`, is not among them.
    pub(crate) fn copy_open(&self, serial: u64) -> Extension {
        let Some(last) = self.listening.open.last() else { return Extension::default() };
        let own =
            self.listening.open_hosts.last().is_some_and(|h| h.serial == serial && h.id == last.id);
        let calls = self.listening.open[..self.listening.open.len() - usize::from(own)].iter().map(
            |call| {
                // SAFETY: made from an `Arc` that is still held by the hook or among the retired.
                let listeners = unsafe {
                    Arc::increment_strong_count(call.listeners);
                    Arc::from_raw(call.listeners)
                };
                (*call, listeners)
            },
        );
        Extension::new(OpenCalls(calls.collect()))
    }

    /// Makes the open calls those of a snapshot: those that are open now and not in it are aborted,
    /// innermost first; those that had ended are resumed, outermost first.
    pub(crate) fn restore_open(&mut self, calls: &Extension) -> Result<(), Panic> {
        let calls = calls.get::<OpenCalls>().map_or(&[][..], |calls| &calls.0);
        if calls.is_empty() && self.listening.open.is_empty() {
            return Ok(());
        }
        let same =
            self.listening.open.iter().zip(calls).take_while(|(a, (b, _))| a.id == b.id).count();
        let mut first = self.abort_to(same, &AbortReason::Restored);
        for (call, listeners) in &calls[same..] {
            self.listening.retire(listeners.clone());
            self.listening.open.push(*call);
            let resumed = notify(self, call, Event::OTHER, |listener, call| listener.resumed(call));
            first = keep_first(first, resumed);
        }
        first
    }

    /// Notes calls that began in another store and are now resumed in this one, the outermost first, and notifies
    /// listeners. All are open afterwards, even if a listener panics; the first panic is returned.
    pub(crate) fn open_resumed(&mut self, calls: &[ResumedCall]) -> Result<(), Panic> {
        let mut first = Ok(());
        for ResumedCall { hook, caller, frame } in calls {
            // SAFETY: hooks live as long as the store, and the list as long as the hook has it or calls are open.
            let listeners = unsafe { &(**hook).listeners };
            let call = OpenCall {
                hook: *hook,
                listeners: Arc::as_ptr(listeners),
                caller: *caller,
                id: self.listening.next_number(),
                frame: *frame,
                notified: active(listeners),
            };
            self.listening.open.push(call);
            let resumed =
                notify(self, &call, Event::OTHER, |listener, call| listener.resumed(call));
            first = keep_first(first, resumed);
        }
        first
    }
}

/// Those of the listeners that are attached now: see [`OpenCall::notified`].
fn active(listeners: &Listeners) -> u64 {
    let ended = listeners.0.iter().take(64).enumerate().filter(|(_, entry)| !entry.is_active());
    ended.fold(ALL, |active, (position, _)| active & !(1 << position))
}

/// Open calls as a snapshot keeps them.
#[derive(Default)]
pub(super) struct OpenCalls(Vec<(OpenCall, Arc<Listeners>)>);

// SAFETY: hooks are only used together with the store that they belong to; listeners are `Sync`.
unsafe impl Send for OpenCalls {}
// SAFETY: as above.
unsafe impl Sync for OpenCalls {}
