//! Pipes, terminals and other devices of the host.
//!
//! ```text
//!   thread  ── reads when it is asked to ──>  bytes  ──>  guest
//! ```
//!
//! The host's reads of these block, and nothing ends them. So a thread reads, a piece at a time, once the guest has
//! asked for something and nothing is left; the guest waits for that as long as it may. The thread ends with the stream;
//! if it is reading then, when the process does.

use std::io::{ErrorKind, IoSlice, IoSliceMut, SeekFrom, Write};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use super::wait::SLICE;
use super::{Fd, Pollable, Waiter};
use crate::abi::Answer;
use crate::chunks;
use crate::clock::lock;
use crate::errno::Errno;
use crate::host::Outcome;
use crate::stream::Readiness;
use crate::types::Filestat;

/// Bytes that are read at once.
const PIECE: usize = 4096;

/// A stream of the host.
pub(crate) struct Host {
    fd: Arc<Fd>,
    /// A regular file, which never waits for others.
    is_file: bool,
    /// The guest opened it.
    is_opened_here: bool,
    /// Made when the guest first reads.
    input: OnceLock<Arc<Input>>,
}

/// What the thread has read.
#[derive(Default)]
struct Input {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// How many of them the guest has.
    taken: usize,
    /// Whether the thread is to read.
    is_wanted: bool,
    /// The end, or why there is nothing more.
    end: Option<Result<(), Errno>>,
    /// Nobody reads any more.
    is_closed: bool,
}

impl State {
    fn left(&self) -> usize {
        self.bytes.len() - self.taken
    }
}

impl Host {
    /// A handle that others may have too.
    pub(crate) fn shared(fd: Fd) -> Host {
        Host::new(fd, false, false)
    }

    /// A regular file that others may have open too.
    pub(crate) fn file(fd: Fd) -> Host {
        Host::new(fd, true, false)
    }

    /// A handle that was opened here.
    pub(crate) fn nonblocking(fd: Fd) -> Host {
        Host::new(fd, false, true)
    }

    fn new(fd: Fd, is_file: bool, is_opened_here: bool) -> Host {
        Host { fd: Arc::new(fd), is_file, is_opened_here, input: OnceLock::new() }
    }

    pub(crate) fn is_file(&self) -> bool {
        self.is_file
    }

    /// Whether the guest opened it.
    pub(crate) fn is_opened_here(&self) -> bool {
        self.is_opened_here
    }

    /// Where in a regular file it is.
    pub(crate) fn position(&self) -> Option<u64> {
        super::seek(&self.fd, SeekFrom::Current(0)).ok()
    }

    pub(crate) fn set_position(&self, position: u64) -> Result<(), Errno> {
        super::seek(&self.fd, SeekFrom::Start(position)).map(drop)
    }

    pub(crate) fn sync(&self) -> Result<(), Errno> {
        super::sync(&self.fd, false)
    }

    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        super::stat(&self.fd)
    }

    /// Writes are never waited for.
    pub(crate) fn readiness(&self, write: bool) -> Readiness<'_> {
        match write {
            true => Readiness::Now { bytes: crate::poll::WRITABLE, hangup: false },
            false => Readiness::Fd(Pollable::Host(self)),
        }
    }

    /// What can be said of it without waiting.
    pub(super) fn look(&self, write: bool) -> Option<Outcome> {
        let found = |bytes, hangup| Some(Outcome { error: Errno::Success, bytes, hangup });
        if write || self.is_file {
            return found(0, false);
        }
        let input = self.input();
        let mut state = lock(&input.state);
        match state.left() {
            0 if state.end.is_some() => found(0, true),
            0 => {
                input.ask(&mut state);
                None
            }
            left => found(left as u64, false),
        }
    }

    pub(crate) fn read(&self, waiter: Waiter<'_>, bufs: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        if self.is_file {
            return chunks::read(waiter, bufs, |_, bufs| Ok(super::read(&self.fd, bufs)?));
        }
        let input = self.input();
        loop {
            waiter.check()?;
            let mut state = lock(&input.state);
            if state.left() > 0 {
                return Ok(state.take(bufs));
            }
            match state.end {
                Some(Ok(())) => return Ok(0),
                // The next read tries again.
                Some(Err(error)) => {
                    state.end = None;
                    return Err(error.into());
                }
                None => {}
            }
            input.ask(&mut state);
            if !waiter.blocking {
                return Err(Errno::Again.into());
            }
            let waited = input.changed.wait_timeout(state, SLICE * 5);
            drop(waited);
        }
    }

    pub(crate) fn write(&self, waiter: Waiter<'_>, bufs: &[IoSlice<'_>]) -> Answer<usize> {
        if self.is_file {
            return chunks::write(waiter, bufs, |_, bufs| Ok(super::write(&self.fd, bufs)?));
        }
        let Some(buf) = bufs.iter().find(|buf| !buf.is_empty()) else { return Ok(0) };
        loop {
            waiter.check()?;
            match (&self.fd.file).write(&buf[..buf.len().min(PIECE)]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return Ok(other?),
            }
        }
    }

    /// What the thread reads; it is started on first use.
    fn input(&self) -> &Input {
        self.input.get_or_init(|| {
            let input = Arc::<Input>::default();
            let (read, fd) = (input.clone(), self.fd.clone());
            let thread = std::thread::Builder::new().name("wasi-input".into());
            if thread.spawn(move || read.run(&fd)).is_err() {
                lock(&input.state).end = Some(Err(Errno::Again));
            }
            input
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(input) = self.input.get() {
            lock(&input.state).is_closed = true;
            input.changed.notify_all();
        }
    }
}

impl State {
    /// Gives the guest what is there.
    fn take(&mut self, bufs: &mut [IoSliceMut<'_>]) -> usize {
        let mut done = 0;
        for buf in bufs {
            let len = buf.len().min(self.left());
            buf[..len].copy_from_slice(&self.bytes[self.taken..self.taken + len]);
            self.taken += len;
            done += len;
        }
        done
    }
}

impl Input {
    /// Has the thread read, if it does not already.
    fn ask(&self, state: &mut State) {
        if !state.is_wanted && state.end.is_none() {
            state.is_wanted = true;
            self.changed.notify_all();
        }
    }

    fn run(&self, fd: &Fd) {
        let mut piece = vec![0; PIECE];
        loop {
            let mut state = lock(&self.state);
            while !state.is_wanted && !state.is_closed {
                state = self.changed.wait(state).unwrap_or_else(|e| e.into_inner());
            }
            if state.is_closed {
                return;
            }
            drop(state);
            let got = std::io::Read::read(&mut &fd.file, &mut piece);
            let mut state = lock(&self.state);
            match got {
                // Whoever wrote to a pipe has closed it.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => state.end = Some(Ok(())),
                Err(error) => state.end = Some(Err(error.into())),
                Ok(0) => state.end = Some(Ok(())),
                Ok(len) => {
                    state.bytes.clear();
                    state.bytes.extend_from_slice(&piece[..len]);
                    state.taken = 0;
                }
            }
            state.is_wanted = false;
            self.changed.notify_all();
        }
    }
}
