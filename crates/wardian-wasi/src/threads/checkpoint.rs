//! Checkpoints of groups of threads.
//!
//! ```text
//!   magic  version  count │ tid len checkpoint │ …   │ checkpoint of the main thread
//!                           thread 1             …      modules, shared memories, the program's state,
//!                                                       and the root hashes of the other threads' checkpoints
//! ```
//!
//! All integers are little-endian, of 4 bytes; lengths have 8. So whoever changes, adds or leaves out a thread's
//! checkpoint has to make a new one of the main thread.

use super::group::{Group, MAIN};
use super::pause::{Done, Member};
use super::{WasiThreads, WasiThreadsBuilder, WasiThreadsHandle};
use crate::state::poll_from_bytes;
use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use wardian::checkpoint::{
    AfterCheckpoint, Checkpoint, CheckpointOptions, CheckpointReader, ReadOptions, ResumeOptions,
    Resumed, SharedMemories, Standstill,
};
use wardian::{Error, Linker, Result, Store, Val};

const MAGIC: &[u8; 8] = b"\0wardgrp";
const VERSION: u32 = 1;

/// The name of what the main thread's checkpoint says of the others.
const THREADS: &str = "wasi threads";

/// The name of the pending poll in a thread's checkpoint.
pub(super) const POLL: &str = "wasi poll";

/// Whether bytes begin as a checkpoint of a group of threads does.
pub fn is_threads_checkpoint(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The checkpoints of the threads beside the main thread.
pub(super) struct Members {
    pub(super) last_tid: u32,
    pub(super) threads: Vec<Member>,
}

impl Members {
    /// Writes them, and the main thread, which stands still.
    pub(super) fn write(
        self,
        still: &mut Standstill<'_>,
        options: &CheckpointOptions,
        mut to: Box<dyn Write + Send>,
    ) -> Result<()> {
        let roots = self.roots()?;
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend((self.threads.len() as u32).to_le_bytes());
        to.write_all(&head).map_err(Error::host)?;
        for (tid, checkpoint) in &self.threads {
            let bytes = checkpoint.to_bytes()?;
            let mut head = tid.to_le_bytes().to_vec();
            head.extend((bytes.len() as u64).to_le_bytes());
            to.write_all(&head).and_then(|()| to.write_all(&bytes)).map_err(Error::host)?;
        }
        let options = options.clone().shared_memories(SharedMemories::Include);
        still.checkpoint_to(&options.with_host_state(THREADS, roots), to).map(drop)
    }

    /// What the main thread's checkpoint says of them.
    fn roots(&self) -> Result<Vec<u8>> {
        let mut bytes = self.last_tid.to_le_bytes().to_vec();
        for (tid, checkpoint) in &self.threads {
            bytes.extend(tid.to_le_bytes());
            bytes.extend(checkpoint.hash()?);
        }
        Ok(bytes)
    }
}

impl<T: 'static> WasiThreadsHandle<T> {
    /// Writes a checkpoint of the program: all its threads stand still at their next safepoints, and each is written down.
    /// When all is written, `done` is called, which says whether the threads are resumed or end. It returns after that. It
    /// must not be called by a thread of the group. If another checkpoint is being taken, it waits for that first.
    ///
    /// The state of the store's data is written by the main store's
    /// [`host_state_with`](wardian::Store::host_state_with), for all threads; a [`WasiCtx`](crate::WasiCtx) is saved with
    /// [`SaveOptions::with_threads`](crate::SaveOptions::with_threads). Of the options, what is said of shared memories and
    /// of parents does not count: shared memories are part of it, and it has no parent.
    ///
    /// Where the threads' guests can be written down is as for
    /// [`CheckpointRequest`](wardian::checkpoint::CheckpointRequest). A thread that waits in `memory.atomic.wait` keeps its
    /// place and its time.
    ///
    /// # Errors
    ///
    /// The group has ended, or ends meanwhile; a thread cannot be written down; the
    /// threads do not all stand still within 10 s; or the error of the writer. The threads are resumed then.
    pub fn checkpoint_to(
        &self,
        options: &CheckpointOptions,
        to: impl Write + Send + 'static,
        done: impl FnOnce() -> AfterCheckpoint + Send + 'static,
    ) -> Result<()> {
        let group = self.0.upgrade().ok_or_else(|| Error::host("the group of threads is gone"))?;
        group.checkpoint(options.clone(), Box::new(to), Box::new(done))
    }
}

/// A checkpoint of a group of threads that is being read.
#[derive(Debug)]
pub struct WasiThreadsCheckpoint<'r> {
    threads: Vec<Member>,
    main: CheckpointReader<'r>,
}

impl<'r> WasiThreadsCheckpoint<'r> {
    /// Begins to read: all but what comes behind the beginning of the main thread's checkpoint.
    ///
    /// # Errors
    ///
    /// The error of the reader; or it is no checkpoint of a group, is damaged, or was made with another key.
    pub fn read(mut from: impl Read + 'r, options: &ReadOptions) -> Result<Self> {
        let threads = read_threads(&mut from, options)?;
        Ok(WasiThreadsCheckpoint { threads, main: CheckpointReader::new(from, options)? })
    }

    /// Reads all into memory, for those who look into it: the main thread's, and the others' by their identifiers.
    ///
    /// # Errors
    ///
    /// As for [`WasiThreadsCheckpoint::read`], and those of [`WasiThreadsCheckpoint::verify`].
    pub fn read_all(
        mut from: impl Read,
        options: &ReadOptions,
    ) -> Result<(Checkpoint, Vec<(u32, Checkpoint)>)> {
        let threads = read_threads(&mut from, options)?;
        let main = Checkpoint::read_with(from, options)?;
        check(main.host_state(THREADS), &threads)?;
        Ok((main, threads))
    }

    /// Reads the rest and checks it, without keeping anything: see [`CheckpointReader::verify`].
    ///
    /// # Errors
    ///
    /// As there; or the threads' checkpoints are not those that the main thread's names.
    pub fn verify(self) -> Result<()> {
        let roots = self.main.host_state(THREADS).map(<[u8]>::to_vec);
        self.main.verify()?;
        check(roots.as_deref(), &self.threads).map(drop)
    }

    /// The main thread's, which has the modules and the state of the embedder's.
    pub fn main(&self) -> &CheckpointReader<'r> {
        &self.main
    }

    /// The other threads', by their identifiers.
    pub fn threads(&self) -> impl ExactSizeIterator<Item = (u32, &Checkpoint)> {
        self.threads.iter().map(|(tid, checkpoint)| (*tid, checkpoint))
    }
}

/// Reads all but the main thread's checkpoint.
fn read_threads(from: &mut impl Read, options: &ReadOptions) -> Result<Vec<Member>> {
    let mut head = [0; 16];
    fill(from, &mut head)?;
    if !is_threads_checkpoint(&head) {
        return Err(Error::host("these bytes are no checkpoint of a group of threads"));
    }
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (version, count) = (number(8), number(12));
    if version != VERSION {
        return Err(Error::host(format!(
            "a checkpoint of a group of version {version} cannot be read, only {VERSION}"
        )));
    }
    let (mut threads, mut known) = (Vec::new(), HashSet::from([MAIN]));
    for _ in 0..count {
        let mut head = [0; 12];
        fill(from, &mut head)?;
        let (tid, len) = head.split_at(4);
        let tid = u32::from_le_bytes(tid.try_into().unwrap_or_default());
        let len = u64::from_le_bytes(len.try_into().unwrap_or_default());
        let mut bytes = Vec::new();
        from.by_ref().take(len).read_to_end(&mut bytes).map_err(Error::host)?;
        if !known.insert(tid) {
            return Err(Error::host(format!(
                "the checkpoint is damaged: it has thread {tid} twice"
            )));
        }
        threads.push((tid, Checkpoint::from_bytes_with(&bytes, options)?));
    }
    Ok(threads)
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<()> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Error::host("the checkpoint is damaged: it is cut off"),
        _ => Error::host(error),
    })
}

impl<T: Send + 'static> WasiThreadsBuilder<T> {
    /// Makes the group that was written down, with the state of its main thread in `store`, which is new. No thread runs
    /// yet: see [`ResumedThreads::run`]. The builder's module is the one of the checkpoint:
    /// [`CheckpointReader::module`]. `options` may have it, and an import resolver.
    ///
    /// # Errors
    ///
    /// As for [`CheckpointReader::resume`] and [`WasiThreadsBuilder::build`]; there are more threads than there may be; or
    /// the threads' checkpoints are not those that the main thread's names.
    pub fn resume(
        self,
        linker: &Linker<T>,
        store: &mut Store<T>,
        checkpoint: WasiThreadsCheckpoint<'_>,
        options: &ResumeOptions<T>,
    ) -> Result<ResumedThreads<T>> {
        let (count, most) = (checkpoint.threads.len(), self.max_threads);
        if count > most {
            return Err(Error::host(format!(
                "the program had {count} threads beside its main thread, and may have {most}: see \
                 WasiThreadsBuilder::max_threads"
            )));
        }
        let threads = self.build(linker)?;
        let origin = &threads.group.origin;
        let options = options.clone().with_module(&origin.module);
        let roots = checkpoint.main.host_state(THREADS).map(<[u8]>::to_vec);
        threads.group.enter_main(store.cancel_token())?;
        let main = checkpoint.main.resume(store, &origin.linker, &options)?;
        let last_tid = check(roots.as_deref(), &checkpoint.threads)?;
        let mut members = Vec::with_capacity(checkpoint.threads.len());
        for (tid, checkpoint) in checkpoint.threads {
            let poll = checkpoint.host_state(POLL).map(poll_from_bytes).transpose();
            let poll = poll.map_err(Error::host)?;
            let mut store = Store::new(origin.module.engine(), (origin.data)(tid));
            (origin.configure)(&mut store);
            let resumed = checkpoint.resume(&mut store, &origin.linker, &options)?;
            members.push(ResumedThread { tid, store, resumed, poll });
        }
        join_queues(store, &main, &mut members)?;
        threads.group.restore(last_tid);
        Ok(ResumedThreads { threads, main, members })
    }
}

/// Checks that the threads are those that the main thread's checkpoint names; returns the identifier that was last given.
fn check(roots: Option<&[u8]>, threads: &[Member]) -> Result<u32> {
    let others =
        || Error::host("the threads' checkpoints are not those that the main thread's names");
    let (last_tid, mut roots) =
        roots.and_then(|roots| roots.split_first_chunk::<4>()).ok_or_else(others)?;
    for (tid, checkpoint) in threads {
        let (known, rest) = roots.split_first_chunk::<36>().ok_or_else(others)?;
        if known[..4] != tid.to_le_bytes() || known[4..] != checkpoint.hash()? {
            return Err(others());
        }
        roots = rest;
    }
    if roots.is_empty() { Ok(u32::from_le_bytes(*last_tid)) } else { Err(others()) }
}

/// Lets those who wait take their places in the queues, in order.
fn join_queues<T: 'static>(
    store: &mut Store<T>,
    main: &Resumed,
    members: &mut [ResumedThread<T>],
) -> Result<()> {
    let place = |resumed: &Resumed| resumed.pending_wait().and_then(|wait| wait.place);
    let mut waiters: Vec<(u32, &mut Store<T>, &Resumed)> = Vec::new();
    waiters.extend(place(main).map(|at| (at, store, main)));
    for member in members {
        waiters.extend(place(&member.resumed).map(|at| (at, &mut member.store, &member.resumed)));
    }
    waiters.sort_by_key(|(place, _, _)| *place);
    waiters.into_iter().try_for_each(|(_, store, resumed)| resumed.join_queue(store))
}

/// A thread that is to be resumed.
pub(super) struct ResumedThread<T: 'static> {
    pub(super) tid: u32,
    pub(super) store: Store<T>,
    pub(super) resumed: Resumed,
    pub(super) poll: Option<crate::pending::PendingPoll>,
}

/// A group of threads that was written down, and is to be resumed.
pub struct ResumedThreads<T: 'static> {
    threads: WasiThreads<T>,
    main: Resumed,
    members: Vec<ResumedThread<T>>,
}

impl<T: 'static> std::fmt::Debug for ResumedThreads<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let threads = self.members.len();
        f.debug_struct("ResumedThreads").field("threads", &threads).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> ResumedThreads<T> {
    /// By which other threads may end the group, or write it down again.
    pub fn handle(&self) -> WasiThreadsHandle<T> {
        self.threads.handle()
    }

    /// The instances of the main thread.
    pub fn main(&self) -> &Resumed {
        &self.main
    }

    /// Resumes all threads, and returns when every one has ended: what the main thread's call returns. `store` is the one
    /// that was made the main thread's.
    ///
    /// # Errors
    ///
    /// As for [`WasiThreads::run`]; or the system gives no thread.
    ///
    /// # Panics
    ///
    /// As for [`WasiThreads::run`].
    pub fn run(self, store: &mut Store<T>) -> Result<Vec<Val>> {
        let ResumedThreads { threads, main, members } = self;
        threads.group.register(MAIN, store.checkpoint_request());
        let started = members.into_iter().try_for_each(|member| threads.group.resume(member));
        let done = started.and_then(|()| main.run(&mut *store));
        threads.finish(done)
    }
}

impl<T: 'static> Group<T> {
    /// See [`WasiThreadsHandle::checkpoint_to`].
    fn checkpoint(
        &self,
        options: CheckpointOptions,
        to: Box<dyn Write + Send>,
        done: Done,
    ) -> Result<()> {
        let pause = self.pause(options, to, done)?;
        let outcome = pause.outcome();
        self.unpause();
        outcome
    }
}
