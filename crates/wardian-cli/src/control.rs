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

mod client;
mod folder;
mod protocol;
mod server;

pub(crate) use client::checkpoint;

use crate::args::{EngineArg, RunArgs};
use crate::checkpoint::{self, Problem};
use crate::wasi::Host;
use anyhow::Context;
use folder::Socket;
use protocol::{Answer, Code, Command};
use server::{Pending, Server};
use std::path::PathBuf;
use wardian::{AfterCheckpoint, CheckpointRequest, Store};

/// The control socket of this process, which is removed when this is dropped.
pub(crate) struct Control {
    _socket: Socket,
}

impl Control {
    /// Opens the socket if the command line asks for it. From now on requests are answered.
    pub(crate) fn open(args: &RunArgs, store: &mut Store<Host>) -> anyhow::Result<Option<Control>> {
        if !args.control {
            return Ok(None);
        }
        let (socket, listener) = Socket::open().context("cannot open a control socket")?;
        checkpoint::carry_wasi(store);
        let guest =
            Guest { checkpoints: store.checkpoint_request(), engine: EngineArg::of(args.engine()) };
        let server = Server::new(listener).context("cannot open a control socket")?;
        let thread = std::thread::Builder::new().name("control".into());
        let serve = move || server.run(&|command, pending| guest.answer(command, pending));
        thread.spawn(serve).context("cannot make a thread for the control socket")?;
        Ok(Some(Control { _socket: socket }))
    }
}

/// What is controlled.
struct Guest {
    checkpoints: CheckpointRequest,
    engine: EngineArg,
}

impl Guest {
    /// Answers a request, at once or later.
    fn answer(&self, command: Command, pending: Pending) {
        match command {
            Command::Status => pending.send(Answer::status(self.engine)),
            Command::Checkpoint { file, stop } => self.checkpoint(file, stop, pending),
        }
    }

    fn checkpoint(&self, file: PathBuf, stop: bool, pending: Pending) {
        if !file.is_absolute() {
            let message = format!("{} is not an absolute path", file.display());
            return pending.send(Answer::error(Code::Malformed, message));
        }
        // Without an answer, because the store is gone, the one who waits hears that the guest has ended.
        checkpoint::request(&self.checkpoints, &file, 0, None, move |written| {
            let (code, error) = match written {
                Ok(written) => {
                    pending.send_and_wait(Answer::written(written.bytes, stop));
                    return if stop { AfterCheckpoint::End } else { AfterCheckpoint::Resume };
                }
                Err(Problem::CannotCapture(error)) => (Code::CannotCapture, error),
                Err(problem) => (Code::CannotWrite, problem.into_error()),
            };
            pending.send(Answer::error(code, format!("{error:#}")));
            AfterCheckpoint::Resume
        });
    }
}
