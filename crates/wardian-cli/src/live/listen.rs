//! Listeners for a while: what a guest calls while somebody looks.
//!
//! They are attached to each store when its guest stands still at a safepoint, by the guest's thread, and taken out in
//! the same way. So before and after a look the guest's calls lead to its functions' own code.

use super::Live;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wardian::checkpoint::{AfterCheckpoint, CheckpointRequest, Standstill};
use wardian::listener::{Attachment, FunctionListenerFactory};

/// The stores that there are, and the looks that are under way.
#[derive(Default)]
pub(super) struct Listening {
    guests: Vec<CheckpointRequest>,
    looks: Vec<Arc<Look>>,
}

/// A look.
struct Look {
    factory: Arc<dyn FunctionListenerFactory>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    attachments: Vec<Attachment>,
    /// Why listeners could not be attached.
    refused: Option<String>,
    is_over: bool,
}

impl Live {
    /// Attaches listeners to all guests for so long, or until the program ends or nobody wants them any more. Those of
    /// threads that begin meanwhile get them, too.
    pub(crate) fn listen(
        &self,
        factory: impl FunctionListenerFactory,
        time: Duration,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(), String> {
        let look = Arc::new(Look { factory: Arc::new(factory), state: Mutex::default() });
        {
            let mut listening = self.listening();
            listening.guests.retain(CheckpointRequest::is_active);
            listening.guests.iter().for_each(|guest| look.attach_to(guest));
            listening.looks.push(look.clone());
        }
        self.wait(time, &|| is_wanted() && look.state().refused.is_none());
        let guests = {
            let mut listening = self.listening();
            listening.looks.retain(|other| !Arc::ptr_eq(other, &look));
            listening.guests.clone()
        };
        let (attachments, refused) = look.end();
        if !attachments.is_empty() {
            drop(attachments);
            // What has ended is taken out where a guest stands still, which may otherwise take long.
            guests.iter().for_each(|guest| guest.request_standstill(|_| AfterCheckpoint::Resume));
        }
        refused.map_or(Ok(()), Err)
    }

    /// There is another store, of which nothing has run.
    pub(super) fn add_guest(&self, guest: CheckpointRequest) {
        let mut listening = self.listening();
        listening.guests.retain(CheckpointRequest::is_active);
        // It is asked when its guest begins.
        listening.looks.iter().for_each(|look| look.attach_to(&guest));
        listening.guests.push(guest);
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.0.listening.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Look {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn attach_to(self: &Arc<Self>, guest: &CheckpointRequest) {
        let look = self.clone();
        guest.request_standstill(move |still| {
            look.attach(still);
            AfterCheckpoint::Resume
        });
    }

    /// A guest stands still.
    fn attach(&self, still: &mut Standstill<'_>) {
        if self.state().is_over {
            return;
        }
        let attached = still.attach(self.factory.clone());
        let mut state = self.state();
        match attached {
            // Another thread may have ended it meanwhile.
            Ok(attachment) if !state.is_over => state.attachments.push(attachment),
            Ok(_) => {}
            Err(error) => {
                state.refused.get_or_insert_with(|| error.to_string());
            }
        }
    }

    fn end(&self) -> (Vec<Attachment>, Option<String>) {
        let mut state = self.state();
        state.is_over = true;
        (std::mem::take(&mut state.attachments), state.refused.take())
    }
}
