//! All threads of a group stand still, and each is written down by itself.
//!
//! ```text
//!   thread 1   ── at a safepoint ──> stands ──────────────> its checkpoint ──┐
//!   thread 2   ── at a safepoint ──────────> stands ──────> its checkpoint ──┤
//!   main       ── at a safepoint ─────────────────> stands ──────────────────┴──> writes all ──> resume or end
//!                                           all of them: nothing changes any more
//! ```
//!
//! Whatever happens to one of them, none of the others waits for it for ever: it leaves, or the pause is given up.

use super::checkpoint::{self, Members};
use super::current;
use super::group::MAIN;
use crate::state::poll_to_bytes;
use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use wardian::checkpoint::{
    AfterCheckpoint, Checkpoint, CheckpointOptions, CheckpointRequest, SharedMemories, Standstill,
};
use wardian::{Error, Result};

/// How long threads have until all of them stand still.
const PATIENCE: Duration = Duration::from_secs(10);

/// Called when all is written, while the threads stand still.
pub(super) type Done = Box<dyn FnOnce() -> AfterCheckpoint + Send>;

/// A checkpoint of a group that is being taken.
pub(super) struct Pause {
    options: CheckpointOptions,
    deadline: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Threads that do not stand still yet.
    absent: HashSet<u32>,
    /// How many do.
    present: usize,
    members: Members,
    /// Of the members that failed, the first error.
    failed: Option<Error>,
    to: Option<Box<dyn Write + Send>>,
    /// Says what becomes of the threads once all is written.
    done: Option<Done>,
    after: AfterCheckpoint,
    /// Whether it was written, once that is known.
    written: Option<bool>,
    /// Why not, for the one who asked.
    error: Option<Error>,
}

impl State {
    /// How it ends, unless it has ended already.
    fn end(&mut self, outcome: Result<()>) {
        if self.written.is_none() {
            self.written = Some(outcome.is_ok());
            self.error = outcome.err();
        }
    }
}

impl Pause {
    pub(super) fn new(
        options: CheckpointOptions,
        to: Box<dyn Write + Send>,
        done: Done,
        last_tid: u32,
    ) -> Pause {
        let state = State {
            absent: HashSet::from([MAIN]),
            present: 0,
            members: Members { last_tid, threads: Vec::new() },
            failed: None,
            to: Some(to),
            done: Some(done),
            after: AfterCheckpoint::Resume,
            written: None,
            error: None,
        };
        let deadline = Instant::now() + PATIENCE;
        Pause { options, deadline, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        self.changed.wait(state).unwrap_or_else(|e| e.into_inner())
    }

    /// There is a thread that is to stand still, too.
    pub(super) fn expect(&self, tid: u32) {
        let mut state = self.lock();
        state.absent.insert(tid);
        state.members.last_tid = state.members.last_tid.max(tid);
    }

    /// A thread has ended.
    pub(super) fn left(&self, tid: u32) {
        self.lock().absent.remove(&tid);
        self.changed.notify_all();
    }

    /// There will be no checkpoint.
    pub(super) fn give_up(&self, why: impl Into<String>) {
        self.lock().end(Err(Error::host(why.into())));
        self.changed.notify_all();
    }

    /// Asks a thread to stand still.
    pub(super) fn ask(self: &Arc<Self>, tid: u32, request: &CheckpointRequest) {
        let pause = self.clone();
        request.request_standstill(move |still| pause.stand(tid, still));
    }

    /// Waits until the checkpoint is written, or will not be.
    pub(super) fn outcome(&self) -> Result<()> {
        let mut state = self.lock();
        loop {
            if state.written.is_some() {
                return state.error.take().map_or(Ok(()), Err);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && !state.absent.is_empty() {
                let why = patience(&state.absent);
                drop(state);
                self.give_up(why);
                state = self.lock();
                continue;
            }
            state = match state.absent.is_empty() {
                true => self.wait(state),
                false => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(|e| e.into_inner()).0
                }
            };
        }
    }

    /// A thread stands still, until the outcome is known.
    fn stand(&self, tid: u32, still: &mut Standstill<'_>) -> AfterCheckpoint {
        // The embedder's code that a checkpoint calls may panic; then the others are not to wait.
        let guard = GiveUp(self);
        let mut state = self.lock();
        state.absent.remove(&tid);
        state.present += 1;
        self.changed.notify_all();
        while !state.absent.is_empty() && state.written.is_none() {
            state = self.wait(state);
        }
        if state.written.is_none() {
            drop(state);
            match tid {
                MAIN => self.write(still),
                tid => self.take(tid, still),
            }
            state = self.lock();
        }
        while state.written.is_none() {
            state = self.wait(state);
        }
        let after = state.after;
        drop(state);
        std::mem::forget(guard);
        after
    }

    /// Writes a thread down.
    fn take(&self, tid: u32, still: &mut Standstill<'_>) {
        // The main thread's checkpoint has the modules, and what is in the shared memories.
        let options = self.options.clone().embed_modules(false);
        let mut options = options.shared_memories(SharedMemories::Leave);
        let poll = current::with_pending(|pending| pending.and_then(|pending| pending.get()));
        if let Some(poll) = poll {
            options = options.with_host_state(checkpoint::POLL, poll_to_bytes(&poll));
        }
        let taken = still.checkpoint(&options);
        let mut state = self.lock();
        match taken {
            Ok(checkpoint) => state.members.threads.push((tid, checkpoint)),
            Err(error) => {
                state.failed.get_or_insert(error);
            }
        }
        state.present -= 1;
        self.changed.notify_all();
    }

    /// Writes all of them, from the main thread.
    fn write(&self, still: &mut Standstill<'_>) {
        let mut state = self.lock();
        while state.present > 1 && state.written.is_none() {
            state = self.wait(state);
        }
        if state.written.is_some() {
            return;
        }
        let last_tid = state.members.last_tid;
        let members =
            std::mem::replace(&mut state.members, Members { last_tid, threads: Vec::new() });
        let (failed, to, done) = (state.failed.take(), state.to.take(), state.done.take());
        drop(state);
        let written = match (failed, to) {
            (Some(error), _) => Err(error),
            (None, Some(to)) => members.write(still, &self.options, to),
            (None, None) => Err(Error::host("the checkpoint was written already")),
        };
        // If it was given up meanwhile, others may have run while the memories were written.
        let is_whole = written.is_ok() && self.lock().written.is_none();
        // Otherwise they stand still until this, too, is done.
        let after = done.filter(|_| is_whole).map(|done| done());
        let mut state = self.lock();
        state.after = after.unwrap_or(AfterCheckpoint::Resume);
        state.end(written);
        self.changed.notify_all();
    }
}

/// Gives the pause up if it is dropped: a thread has panicked.
struct GiveUp<'a>(&'a Pause);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.0.give_up("a panic came while the checkpoint was taken");
    }
}

fn patience(absent: &HashSet<u32>) -> String {
    let mut absent: Vec<u32> = absent.iter().copied().collect();
    absent.sort_unstable();
    let names = absent.iter().map(|tid| match *tid {
        MAIN => "the main thread".to_owned(),
        tid => format!("thread {tid}"),
    });
    let names: Vec<String> = names.collect();
    format!(
        "no checkpoint was taken, since {} did not come to a call or a loop within {} s",
        names.join(", "),
        PATIENCE.as_secs()
    )
}

/// A thread's checkpoint, by its identifier.
pub(super) type Member = (u32, Checkpoint);
