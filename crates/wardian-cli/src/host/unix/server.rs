//! The side of a control socket that answers: one thread for all connections.
//!
//! A peer may be anybody who can open the socket, and may do anything: what is read is bounded, and who asks nothing,
//! or does not read the answer, is disconnected after a while, or at once if there are too many. While a request of a
//! connection is being answered nothing is read from it, so that answers come in order and nothing piles up.

use crate::control::protocol::{Answer, Code, Command, MAX_LINE};
use crate::host::peer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::geteuid;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Connections at once; for more those are given up that have asked nothing for longest.
const CONNECTIONS: usize = 16;

/// How long a peer may take to ask something, or to read an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a guest that ends waits until its answer is on its way.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// What is answered to which connection.
struct Message {
    connection: u64,
    answer: Answer,
    /// Is dropped when it is on its way.
    sent: Option<Sender<()>>,
}

/// A request that is to be answered. Dropping it says that the guest has ended.
pub(crate) struct Pending {
    connection: u64,
    gone: Arc<AtomicBool>,
    messages: Option<Sender<Message>>,
    wake: Arc<UnixStream>,
}

impl Pending {
    /// Whether the one who asks has gone meanwhile.
    pub(crate) fn gone(&self) -> Arc<AtomicBool> {
        self.gone.clone()
    }

    pub(crate) fn send(mut self, answer: Answer) {
        self.post(answer, None);
    }

    /// Returns when the answer is on its way, or after a second: the process may end then.
    pub(crate) fn send_and_wait(mut self, answer: Answer) {
        let (sent, waits) = channel();
        self.post(answer, Some(sent));
        // Nothing is ever sent; it ends when the sender is dropped.
        let _ = waits.recv_timeout(LAST_ANSWER);
    }

    fn post(&mut self, answer: Answer, sent: Option<Sender<()>>) {
        let Some(messages) = self.messages.take() else { return };
        // Both fail only if the server is gone.
        let _ = messages.send(Message { connection: self.connection, answer, sent });
        let _ = (&*self.wake).write(&[1]);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.post(Answer::error(Code::Ended, "the guest has ended"), None);
    }
}

/// A peer.
struct Connection {
    id: u64,
    stream: UnixStream,
    read: Vec<u8>,
    unsent: Vec<u8>,
    /// Those who wait until all is sent.
    waiting: Vec<Sender<()>>,
    /// When it is given up, unless a request is being answered.
    deadline: Instant,
    /// A request is being answered.
    is_busy: bool,
    /// Nothing more comes of it, and it ends when all is sent.
    is_ending: bool,
    /// Set when this is dropped, for those who work on an answer.
    gone: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

/// The side that answers.
pub(crate) struct Server {
    listener: UnixListener,
    connections: Vec<Connection>,
    next: u64,
    messages: (Sender<Message>, Receiver<Message>),
    /// Is written to when there is a message, and can be read then.
    wake: Arc<UnixStream>,
    woken: UnixStream,
}

impl Server {
    pub(crate) fn new(listener: UnixListener) -> std::io::Result<Server> {
        listener.set_nonblocking(true)?;
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Server {
            listener,
            connections: Vec::new(),
            next: 0,
            messages: channel(),
            wake: Arc::new(wake),
            woken,
        })
    }

    /// Answers requests until the process ends.
    pub(crate) fn run(mut self, answer: &dyn Fn(Command, Pending)) {
        loop {
            match self.wait() {
                Ok(gone) => self.connections.retain(|connection| !gone.contains(&connection.id)),
                // For lack of memory, say.
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
            // What was written since is for the next round; so is what does not fit.
            let _ = (&self.woken).read(&mut [0; 512]);
            while let Ok(message) = self.messages.1.try_recv() {
                self.deliver(message);
            }
            self.accept();
            let (messages, wake) = (&self.messages.0, &self.wake);
            self.connections.retain_mut(|connection| {
                let (id, gone) = (connection.id, connection.gone.clone());
                connection.work(&|command| {
                    let (messages, wake) = (Some(messages.clone()), wake.clone());
                    answer(command, Pending { connection: id, gone: gone.clone(), messages, wake })
                })
            });
        }
    }

    /// Waits until there is something to do. Gives those who have gone while a request of theirs is being answered.
    fn wait(&self) -> rustix::io::Result<Vec<u64>> {
        let mut fds = vec![
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let mut deadline: Option<Instant> = None;
        let before = fds.len();
        for connection in &self.connections {
            let flags = match connection.is_busy {
                // That the peer has gone is found out in any case.
                true => PollFlags::empty(),
                false if connection.unsent.is_empty() => PollFlags::IN,
                false => PollFlags::OUT,
            };
            fds.push(PollFd::new(&connection.stream, flags));
            if connection.is_busy {
                continue;
            }
            deadline = Some(deadline.map_or(connection.deadline, |d| d.min(connection.deadline)));
        }
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        // A millisecond more, so that the deadline has passed then.
        let left = left.and_then(|left| Timespec::try_from(left + Duration::from_millis(1)).ok());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let ended = PollFlags::HUP | PollFlags::ERR;
        let connections = self.connections.iter().zip(&fds[before..]);
        let gone = connections.filter(|(c, fd)| c.is_busy && fd.revents().intersects(ended));
        Ok(gone.map(|(connection, _)| connection.id).collect())
    }

    fn accept(&mut self) {
        // One round at a time, so that those who ask are heard before they are given up.
        for _ in 0..CONNECTIONS {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    // No descriptor is left, say: it is tried again.
                    std::thread::sleep(Duration::from_millis(100));
                    return;
                }
            };
            if stream.set_nonblocking(true).is_err() || !self.make_room() {
                continue;
            }
            let is_ours = peer(&stream).is_ok_and(|user| user == geteuid());
            let mut connection = Connection {
                id: self.next,
                stream,
                read: Vec::new(),
                unsent: Vec::new(),
                waiting: Vec::new(),
                deadline: Instant::now() + PATIENCE,
                is_busy: false,
                is_ending: false,
                gone: Arc::default(),
            };
            self.next += 1;
            if !is_ours {
                let message = "this control socket is for another user";
                connection.end_with(Answer::error(Code::NotAllowed, message));
            }
            self.connections.push(connection);
        }
    }

    /// Whether there can be one connection more.
    fn make_room(&mut self) -> bool {
        if self.connections.len() < CONNECTIONS {
            return true;
        }
        let idle = self.connections.iter().enumerate().filter(|(_, c)| !c.is_busy);
        let longest = idle.min_by_key(|(_, c)| c.deadline).map(|(position, _)| position);
        longest.map(|position| self.connections.remove(position)).is_some()
    }

    fn deliver(&mut self, message: Message) {
        let to = self.connections.iter_mut().find(|c| c.id == message.connection);
        // It may have been given up.
        let Some(to) = to else { return };
        to.is_busy = false;
        to.deadline = Instant::now() + PATIENCE;
        to.waiting.extend(message.sent);
        to.unsent.extend(message.answer.to_line());
    }
}

impl Connection {
    fn end_with(&mut self, answer: Answer) {
        self.unsent.extend(answer.to_line());
        self.is_ending = true;
    }

    /// Does what can be done without waiting. Returns whether the connection stays.
    fn work(&mut self, answer: &dyn Fn(Command)) -> bool {
        if !self.send() {
            return false;
        }
        if self.is_busy {
            return true;
        }
        if self.unsent.is_empty() {
            if self.is_ending {
                return false;
            }
            let is_open = self.receive();
            self.take_request(answer);
            if !is_open && !self.is_busy {
                // What was asked before is still answered.
                self.is_ending = true;
            }
            if !self.send() {
                return false;
            }
        }
        let is_done = self.is_ending && self.unsent.is_empty() && !self.is_busy;
        !is_done && (self.is_busy || Instant::now() < self.deadline)
    }

    /// Sends what it takes now. Returns whether the peer is there.
    fn send(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => return false,
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.waiting.clear();
        true
    }

    /// Reads what is there, up to a line too long. Returns whether more may come.
    fn receive(&mut self) -> bool {
        let mut part = [0; 4096];
        while self.read.len() <= MAX_LINE && !self.read.contains(&b'\n') {
            match self.stream.read(&mut part) {
                Ok(0) => return false,
                Ok(read) => self.read.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes a whole line, if there is one.
    fn take_request(&mut self, answer: &dyn Fn(Command)) {
        let Some(end) = self.read.iter().position(|byte| *byte == b'\n') else {
            if self.read.len() > MAX_LINE {
                let message = format!("a request must have at most {MAX_LINE} bytes");
                self.end_with(Answer::error(Code::Malformed, message));
            }
            return;
        };
        let line: Vec<u8> = self.read.drain(..=end).collect();
        match Command::from_line(&line) {
            Ok(command) => {
                self.is_busy = true;
                answer(command);
            }
            Err(error) => {
                self.deadline = Instant::now() + PATIENCE;
                self.unsent.extend(error.to_line());
            }
        }
    }
}
