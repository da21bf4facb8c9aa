//! The control socket of `wardian run --control`, and the command that asks through it.
//!
//! ```text
//!   wardian checkpoint PID FILE              wardian run --control
//!   ┌──────────────────────────┐  a line    ┌─────────────────────────────┐  CheckpointRequest
//!   │ client                   │ ─────────> │ server: one thread          │ ─────────────────> guest's thread
//!   │                          │ <───────── │                             │ <───────────────── answer
//!   └──────────────────────────┘  a line    └─────────────────────────────┘
//! ```
//!
//! The protocol is documented in `docs/control.md`.

mod attach;
mod client;
mod look;
pub(crate) mod protocol;

pub(crate) use attach::attach;
pub(crate) use client::{Peer, checkpoint};
use protocol::{Answer, Code, Command};

use crate::args::{EngineArg, RunArgs};
use crate::checkpoint::{self, Chained, Guest, Key, Place, Problem, Target};
use crate::host::control::{Pending, Server, Socket};
use crate::live::Live;
use crate::report;
use crate::wasi::Host;
use anyhow::Context;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use wardian::{Store, checkpoint::AfterCheckpoint};

/// The control socket of this process, which is removed when this is dropped.
pub(crate) struct Control {
    _socket: Socket,
    live: Live,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.live.end();
    }
}

impl Control {
    /// Opens the socket if the command line asks for it. From now on requests are answered.
    pub(crate) fn open(
        args: &RunArgs,
        store: &mut Store<Host>,
        checkpoints: &Guest,
        live: Option<Live>,
    ) -> anyhow::Result<Option<Control>> {
        let Some(live) = live else { return Ok(None) };
        live.watch(store);
        let (socket, listener) = Socket::open().context("cannot open a control socket")?;
        checkpoint::carry_wasi(store);
        let guest = Controlled {
            checkpoints: checkpoints.clone(),
            key: Key::of(args.checkpoint.key.as_deref())?,
            engine: EngineArg::of(args.engine()),
            live: live.clone(),
        };
        let server = Server::new(listener).context("cannot open a control socket")?;
        let thread = std::thread::Builder::new().name("control".into());
        let serve = move || server.run(&|command, pending| guest.answer(command, pending));
        thread.spawn(serve).context("cannot make a thread for the control socket")?;
        Ok(Some(Control { _socket: socket, live }))
    }
}

/// What is controlled.
struct Controlled {
    checkpoints: Guest,
    key: Option<Key>,
    engine: EngineArg,
    live: Live,
}

impl Controlled {
    /// Answers a request, at once or later.
    fn answer(&self, command: Command, pending: Pending) {
        match command {
            Command::Status => pending.send(Answer::status(self.engine)),
            Command::Checkpoint { file, stop } => self.checkpoint(file, stop, pending),
            Command::Top { .. } | Command::Profile { .. } | Command::Trace { .. } => {
                self.look(command, pending);
            }
        }
    }

    /// Answers after a look at the guest, by a thread of its own.
    fn look(&self, command: Command, pending: Pending) {
        let visit = match self.live.visit() {
            Ok(Some(visit)) => visit,
            // Without an answer the one who asks hears that the guest has ended.
            Ok(None) => return drop(pending),
            Err(why) => return pending.send(Answer::error(Code::CannotSample, why)),
        };
        let (live, gone) = (self.live.clone(), pending.gone());
        let thread = std::thread::Builder::new().name("look".into());
        // If there is no thread, the one who waits hears that the guest cannot be asked.
        let _ = thread.spawn(move || {
            let is_wanted = || !gone.load(Ordering::Relaxed);
            let answer = look::answer(&live, command, &is_wanted);
            pending.send_and_wait(answer.unwrap_or_else(|(code, why)| Answer::error(code, why)));
            drop(visit);
        });
    }

    fn checkpoint(&self, file: PathBuf, stop: bool, pending: Pending) {
        if !file.is_absolute() && !checkpoint::is_url(&file) {
            let message = format!("{} is neither an absolute path nor a URL", file.display());
            return pending.send(Answer::error(Code::Malformed, message));
        }
        let place = match Place::of(&file) {
            Ok(place) => place,
            Err(error) => {
                return pending.send(Answer::error(Code::CannotWrite, report::in_line(&error)));
            }
        };
        // Without an answer, because the store is gone, the one who waits hears that the guest has ended.
        let target = Target { place, keep: 0, key: self.key.clone() };
        checkpoint::request(&self.checkpoints, &target, Chained::No, move |written| {
            let (code, error) = match written {
                Ok(written) => {
                    pending.send_and_wait(Answer::written(written.bytes, stop));
                    return if stop { AfterCheckpoint::End } else { AfterCheckpoint::Resume };
                }
                Err(Problem::CannotCapture(error)) => (Code::CannotCapture, error),
                Err(problem) => (Code::CannotWrite, problem.into_error()),
            };
            pending.send(Answer::error(code, report::in_line(&error)));
            AfterCheckpoint::Resume
        });
    }
}
