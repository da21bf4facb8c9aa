//! Which threads there are, and how they end together.
//!
//! One lock guards the list of threads. A thread is in the list from before it exists until its store is
//! gone, so ending the group reaches all threads, and joining it waits for all. The lock is never held while
//! a guest runs.

use super::checkpoint::ResumedThread;
use super::current::Mark;
use super::pause::{Done, Pause};
use crate::errno::Errno;
use crate::pending::PendingPoll;
use std::any::Any;
use std::collections::HashMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use wardian::checkpoint::{CheckpointOptions, CheckpointRequest};
use wardian::{
    Error, Instance, InstantiateOptions, Linker, Module, Result, Store, cancel::CancelToken,
};

/// The main thread's identifier.
pub(super) const MAIN: u32 = 0;

/// What `thread-spawn` answers when there can be no further thread. All that is negative means the
/// same to a libc.
pub(super) const REFUSED: i32 = -(Errno::Again as i32);

/// Identifiers are below this: the proposal leaves the highest bits to libcs.
const MAX_TID: u32 = 0x1fff_ffff;

/// What is done with the store of a new thread.
pub(super) type Configure<T> = Box<dyn Fn(&mut Store<T>) + Send + Sync>;

/// What is done when a new thread has failed.
pub(super) type Failed<T> = Box<dyn Fn(u32, &Store<T>, Instance, &Error) + Send + Sync>;

/// What all threads are made from.
pub(super) struct Origin<T: 'static> {
    pub(super) module: Module,
    pub(super) linker: Linker<T>,
    pub(super) options: InstantiateOptions<T>,
    pub(super) data: Box<dyn Fn(u32) -> T + Send + Sync>,
    pub(super) configure: Configure<T>,
    pub(super) failed: Failed<T>,
    pub(super) host_stack: Option<usize>,
}

impl<T: 'static> Origin<T> {
    pub(super) fn instantiate(&self, store: &mut Store<T>) -> Result<Instance> {
        self.linker.instantiate_with(store, &self.module, &self.options)
    }
}

/// How a group ended.
pub(super) enum Ending {
    /// The main thread is done, or nobody is interested any more.
    Done,
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

pub(super) struct Group<T: 'static> {
    pub(super) origin: Origin<T>,
    max_threads: usize,
    state: Mutex<State>,
    /// A thread has left, or a checkpoint was taken.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ended: bool,
    /// How, until it is reported.
    ending: Option<Ending>,
    /// By which the main thread is stopped, once there is one.
    main: Option<CancelToken>,
    /// By which it is asked to stand still, once it has an instance.
    main_request: Option<CheckpointRequest>,
    /// A checkpoint that is being taken.
    pause: Option<Arc<Pause>>,
    threads: HashMap<u32, Member>,
    last_tid: u32,
    /// Threads that have left, and have nothing to do any more but to go.
    leaving: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Member {
    /// None while there is no store yet.
    token: Option<CancelToken>,
    /// None while there is no instance yet.
    request: Option<CheckpointRequest>,
    handle: Option<JoinHandle<()>>,
}

impl<T: 'static> Group<T> {
    pub(super) fn new(origin: Origin<T>, max_threads: usize) -> Group<T> {
        Group { origin, max_threads, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn live(&self) -> usize {
        self.lock().threads.len()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Takes the main thread in.
    pub(super) fn enter_main(&self, token: CancelToken) -> Result<()> {
        let mut state = self.lock();
        if state.ended {
            return Err(Error::host("the group of threads has ended"));
        }
        if state.main.is_some() {
            return Err(Error::host("the group of threads has a main thread already"));
        }
        state.main = Some(token);
        Ok(())
    }

    /// `thread-spawn`.
    pub(super) fn spawn(self: &Arc<Self>, arg: i32) -> i32 {
        let mut state = self.lock();
        let leaving = std::mem::take(&mut state.leaving);
        if !leaving.is_empty() {
            drop(state);
            wait_for(leaving);
            state = self.lock();
        }
        if state.ended || state.threads.len() >= self.max_threads {
            return REFUSED;
        }
        let Some(tid) = state.free_tid() else { return REFUSED };
        match self.start(&mut state, tid, None, move |group| group.guest(tid, arg)) {
            true => tid as i32,
            false => REFUSED,
        }
    }

    /// Starts a thread. Whether the system has given one.
    fn start(
        self: &Arc<Self>,
        state: &mut State,
        tid: u32,
        poll: Option<PendingPoll>,
        work: impl FnOnce(&Group<T>) -> Result<()> + Send + 'static,
    ) -> bool {
        let mut builder = std::thread::Builder::new().name(format!("wasi-thread-{tid}"));
        if let Some(bytes) = self.origin.host_stack {
            builder = builder.stack_size(bytes);
        }
        // The new thread waits for the lock before it looks for itself in the list.
        let group = self.clone();
        #[cfg(feature = "torture")]
        if wardian::torture::fails(wardian::torture::Point::Thread) {
            return false;
        }
        let Ok(handle) = builder.spawn(move || group.thread(tid, poll, work)) else { return false };
        state.threads.insert(tid, Member { handle: Some(handle), ..Member::default() });
        if let Some(pause) = &state.pause {
            pause.expect(tid);
        }
        true
    }

    /// Starts a thread that goes on from a checkpoint.
    pub(super) fn resume(self: &Arc<Self>, thread: ResumedThread<T>) -> Result<()>
    where
        T: Send,
    {
        let ResumedThread { tid, mut store, resumed, poll } = thread;
        let mut state = self.lock();
        let started = self.start(&mut state, tid, poll, move |group| {
            let instance = resumed.instances().first().copied();
            group.run(tid, &mut store, instance, |store| resumed.run(store).map(drop))
        });
        match started {
            true => Ok(()),
            false => Err(Error::host(format!("the system gives no thread for thread {tid}"))),
        }
    }

    /// The identifier that was last given to a thread.
    pub(super) fn restore(&self, last_tid: u32) {
        self.lock().last_tid = last_tid.min(MAX_TID);
    }

    /// All of a thread's life.
    fn thread(
        &self,
        tid: u32,
        poll: Option<PendingPoll>,
        work: impl FnOnce(&Group<T>) -> Result<()>,
    ) {
        let mark = Mark::new(poll);
        let ending = match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Ending::Failed(error)),
            Err(panic) => Some(Ending::Panicked(panic)),
        };
        if let Some(ending) = ending {
            self.end(ending, Some(tid));
        }
        drop(mark);
        let mut state = self.lock();
        let member = state.threads.remove(&tid);
        if let Some(pause) = &state.pause {
            pause.left(tid);
        }
        state.leaving.extend(member.and_then(|member| member.handle));
        drop(state);
        self.changed.notify_all();
    }

    fn guest(&self, tid: u32, arg: i32) -> Result<()> {
        let origin = &self.origin;
        let engine = origin.module.engine();
        let mut store = Store::new(engine, (origin.data)(tid));
        (origin.configure)(&mut store);
        let token = store.cancel_token();
        {
            let mut state = self.lock();
            if state.ended {
                return Ok(());
            }
            state.threads.entry(tid).or_default().token = Some(token);
        }
        let instance = origin.instantiate(&mut store)?;
        let entry = instance.typed_func::<(u32, i32), ()>(&mut store, super::ENTRY)?;
        self.run(tid, &mut store, Some(instance), |store| entry.call(store, (tid, arg)))
    }

    /// Runs a thread's guest.
    fn run(
        &self,
        tid: u32,
        store: &mut Store<T>,
        instance: Option<Instance>,
        work: impl FnOnce(&mut Store<T>) -> Result<()>,
    ) -> Result<()> {
        {
            let mut state = self.lock();
            if state.ended {
                return Ok(());
            }
            state.threads.entry(tid).or_default().token = Some(store.cancel_token());
        }
        self.register(tid, store.checkpoint_request());
        let ended = work(store);
        if let (Err(error), Some(instance)) = (&ended, instance) {
            (self.origin.failed)(tid, store, instance, error);
        }
        ended
    }

    /// From now on a thread can be asked to stand still.
    pub(super) fn register(&self, tid: u32, request: CheckpointRequest) {
        let mut state = self.lock();
        if let Some(pause) = &state.pause {
            pause.ask(tid, &request);
        }
        match tid {
            MAIN => state.main_request = Some(request),
            tid => state.threads.entry(tid).or_default().request = Some(request),
        }
    }

    /// Asks all threads to stand still.
    pub(super) fn pause(
        &self,
        options: CheckpointOptions,
        to: Box<dyn Write + Send>,
        done: Done,
    ) -> Result<Arc<Pause>> {
        let mut state = self.lock();
        // One after the other.
        while state.pause.is_some() && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(|e| e.into_inner());
        }
        if state.ended {
            return Err(Error::host("the group of threads has ended"));
        }
        let pause = Arc::new(Pause::new(options, to, done, state.last_tid));
        state.threads.keys().for_each(|tid| pause.expect(*tid));
        let members = state.threads.iter().map(|(tid, member)| (*tid, member.request.as_ref()));
        for (tid, request) in members.chain([(MAIN, state.main_request.as_ref())]) {
            request.into_iter().for_each(|request| pause.ask(tid, request));
        }
        state.pause = Some(pause.clone());
        Ok(pause)
    }

    /// The checkpoint was taken, or will not be.
    pub(super) fn unpause(&self) {
        self.lock().pause = None;
        self.changed.notify_all();
    }

    /// Ends the group, unless it has ended: stops all threads but the one that does it.
    pub(super) fn end(&self, ending: Ending, by: Option<u32>) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.ended = true;
        state.ending = Some(ending);
        if let Some(pause) = &state.pause {
            pause.give_up("the group of threads has ended");
        }
        let members = state.threads.iter().map(|(tid, member)| (*tid, member.token.as_ref()));
        let tokens: Vec<CancelToken> = members
            .chain([(MAIN, state.main.as_ref())])
            .filter(|(tid, _)| Some(*tid) != by)
            .filter_map(|(_, token)| token.cloned())
            .collect();
        drop(state);
        for token in tokens {
            token.cancel();
        }
    }

    /// Waits until all threads have left, except for this one if it is among them.
    pub(super) fn join(&self) {
        let me = std::thread::current().id();
        let mut state = self.lock();
        while state.threads.values().any(|m| m.handle.as_ref().map(|h| h.thread().id()) != Some(me))
        {
            state = self.changed.wait(state).unwrap_or_else(|e| e.into_inner());
        }
        let leaving = std::mem::take(&mut state.leaving);
        drop(state);
        wait_for(leaving);
    }

    /// How it ended, once.
    pub(super) fn take_ending(&self) -> Option<Ending> {
        self.lock().ending.take()
    }
}

impl State {
    /// An identifier that no thread has.
    fn free_tid(&mut self) -> Option<u32> {
        for _ in 0..=self.threads.len() {
            self.last_tid = if self.last_tid >= MAX_TID { 1 } else { self.last_tid + 1 };
            if !self.threads.contains_key(&self.last_tid) {
                return Some(self.last_tid);
            }
        }
        None
    }
}

/// Waits for threads that have left, which are gone at once.
fn wait_for(leaving: Vec<JoinHandle<()>>) {
    for handle in leaving {
        // What it panicked with, if it did, was caught and noted.
        let _ = handle.join();
    }
}
