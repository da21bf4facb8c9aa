//! Describing a program's state before it starts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cap_std::ambient_authority;
use cap_std::fs::Dir as HostDir;

use crate::clock::{Clocks, SystemClocks};
use crate::ctx::{Inner, WasiCtx};
use crate::dir::Dir;
use crate::errno::Errno;
use crate::host::{self, ConnectedSocket, Fd, Listener, ListeningSocket, Socket};
use crate::memory_stream::{MemoryInput, MemoryOutput};
use crate::origin::Origin;
use crate::pending::Pending;
use crate::random::{RandomSource, SystemRandom};
use crate::stream::{PollableInput, PollableOutput, Stream};
use crate::table::{Descriptor, Kind, Table};
use crate::types::{Fdstat, Filetype, rights};

/// How many descriptors a program may have open, unless set otherwise.
pub const DEFAULT_MAX_DESCRIPTORS: usize = 4096;

/// What is wrong with the description of a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An argument or environment variable contains a NUL, which ends it.
    #[error("{what} {text:?} contains a NUL character; WASI ends strings with it")]
    Nul {
        /// What it is: an argument, a variable, a directory name.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// The name of an environment variable is empty or contains `=`.
    #[error("{0:?} cannot be the name of an environment variable: it is empty or contains '='")]
    EnvName(String),
    /// An argument or variable of this process is not Unicode.
    #[error("{what} {text:?} of this process is not Unicode, as WASI requires")]
    NotUnicode {
        /// What it is: an argument or a variable.
        what: &'static str,
        /// The text as well as it can be shown.
        text: String,
    },
    /// A directory cannot be given to the guest.
    #[error("cannot open directory {path:?} to preopen it as {guest:?}: {error}")]
    Preopen {
        /// The path on the host.
        path: PathBuf,
        /// The name for the guest.
        guest: String,
        /// What the host says.
        error: std::io::Error,
    },
    /// A file, stream or socket cannot be given to the guest.
    #[error("cannot give {what} to the guest: {error}")]
    Descriptor {
        /// What it is for.
        what: &'static str,
        /// What went wrong.
        error: Errno,
    },
}

/// What a guest may do with a preopened directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DirPerms {
    /// Look and read. Anything that would change something is `perm`.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// Describes a program's state.
///
/// Without further ado a program has no arguments, no environment, null
/// standard streams, no directories, the host's clocks and randomness, and may
/// block.
pub struct WasiCtxBuilder {
    pub(crate) args: Vec<String>,
    pub(crate) envs: Vec<(String, String)>,
    pub(crate) stdio: [Descriptor; 3],
    pub(crate) preopens: Vec<Descriptor>,
    pub(crate) sockets: Vec<Descriptor>,
    pub(crate) clocks: Box<dyn Clocks>,
    pub(crate) random: Box<dyn RandomSource>,
    pub(crate) blocking: bool,
    pub(crate) max_descriptors: usize,
}

impl Default for WasiCtxBuilder {
    fn default() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl std::fmt::Debug for WasiCtxBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtxBuilder").field("args", &self.args).finish_non_exhaustive()
    }
}

impl WasiCtxBuilder {
    /// A program that has nothing.
    pub fn new() -> WasiCtxBuilder {
        let null = |role| Descriptor::from_stream(Stream::Null, role);
        WasiCtxBuilder {
            args: Vec::new(),
            envs: Vec::new(),
            stdio: [null(0), null(1), null(2)],
            preopens: Vec::new(),
            sockets: Vec::new(),
            clocks: Box::new(SystemClocks),
            random: Box::new(SystemRandom),
            blocking: true,
            max_descriptors: DEFAULT_MAX_DESCRIPTORS,
        }
    }

    /// Adds an argument. The first is the program's name.
    ///
    /// # Errors
    /// [`BuildError::Nul`].
    pub fn arg(mut self, arg: impl Into<String>) -> Result<Self, BuildError> {
        self.args.push(without_nul("argument", arg.into())?);
        Ok(self)
    }

    /// Adds arguments.
    ///
    /// # Errors
    /// [`BuildError::Nul`].
    pub fn args(
        self,
        args: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, BuildError> {
        args.into_iter().try_fold(self, |builder, arg| builder.arg(arg))
    }

    /// Adds the arguments of this process, its name first.
    ///
    /// # Errors
    /// [`BuildError::NotUnicode`].
    pub fn inherit_args(self) -> Result<Self, BuildError> {
        std::env::args_os().try_fold(self, |builder, arg| builder.arg(unicode("argument", arg)?))
    }

    /// Sets an environment variable.
    ///
    /// # Errors
    /// [`BuildError::Nul`], [`BuildError::EnvName`].
    pub fn env(
        self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, BuildError> {
        let name = without_nul("environment variable", name.into())?;
        let value = without_nul("environment variable", value.into())?;
        if name.is_empty() || name.contains('=') {
            return Err(BuildError::EnvName(name));
        }
        Ok(self.with_env(name, value))
    }

    /// Sets environment variables.
    ///
    /// # Errors
    /// As [`env`](Self::env).
    pub fn envs<N: Into<String>, V: Into<String>>(
        self,
        envs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, BuildError> {
        envs.into_iter().try_fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Sets the environment variables of this process. Those that are not Unicode, as WASI requires, are
    /// left out: their names, as well as they can be shown, are the second of the pair.
    pub fn inherit_env(self) -> (Self, Vec<String>) {
        let mut left_out = Vec::new();
        let builder = std::env::vars_os().fold(self, |builder, (name, value)| {
            match (name.to_str(), value.to_str()) {
                (Some(name), Some(value)) => builder.with_env(name.to_owned(), value.to_owned()),
                _ => {
                    left_out.push(name.to_string_lossy().into_owned());
                    builder
                }
            }
        });
        (builder, left_out)
    }

    fn with_env(mut self, name: String, value: String) -> Self {
        self.envs.retain(|(other, _)| *other != name);
        self.envs.push((name, value));
        self
    }

    /// Gives the guest this process's standard streams. They are unbuffered: a
    /// guest's write is one write to the host's descriptor. They are streams also
    /// where the process's are files: the guest can read or write them, and no more.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`] if one is closed.
    pub fn inherit_stdio(self) -> Result<Self, BuildError> {
        self.inherit_stdin()?.inherit_stdout()?.inherit_stderr()
    }

    /// Gives the guest this process's standard input.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`] if it is closed.
    pub fn inherit_stdin(self) -> Result<Self, BuildError> {
        let fd = given("standard input", host::stdin())?;
        self.stdin_fd(fd)
    }

    /// Gives the guest this process's standard output.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`] if it is closed.
    pub fn inherit_stdout(self) -> Result<Self, BuildError> {
        let fd = given("standard output", host::stdout())?;
        self.stdout_fd(fd)
    }

    /// Gives the guest this process's standard error.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`] if it is closed.
    pub fn inherit_stderr(self) -> Result<Self, BuildError> {
        let fd = given("standard error", host::stderr())?;
        self.stderr_fd(fd)
    }

    /// Makes a file, pipe or terminal the standard input, a stream.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`].
    pub fn stdin_fd(self, fd: impl Into<Fd>) -> Result<Self, BuildError> {
        self.host_stdio(0, "standard input", fd.into())
    }

    /// Makes a file, pipe or terminal the standard output, a stream: of a file the guest cannot change the
    /// size, times or flags, see [`stdout_file`](Self::stdout_file).
    ///
    /// # Errors
    /// [`BuildError::Descriptor`].
    pub fn stdout_fd(self, fd: impl Into<Fd>) -> Result<Self, BuildError> {
        self.host_stdio(1, "standard output", fd.into())
    }

    /// Makes a file, pipe or terminal the standard error, a stream.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`].
    pub fn stderr_fd(self, fd: impl Into<Fd>) -> Result<Self, BuildError> {
        self.host_stdio(2, "standard error", fd.into())
    }

    /// Makes a regular file the standard input, as a file: the guest can also seek in it. With
    /// [`stdin_fd`](Self::stdin_fd) it is a stream.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`], `inval` if it is no regular file.
    pub fn stdin_file(self, file: impl Into<Fd>) -> Result<Self, BuildError> {
        self.file_stdio(0, "a file as standard input", file.into())
    }

    /// Makes a regular file the standard output, as a file: the guest can also seek in it, cut it off,
    /// change its times, and whether writes go to its end. These belong to all who have the file open. With
    /// [`stdout_fd`](Self::stdout_fd) it is a stream.
    ///
    /// # Errors
    /// As [`stdin_file`](Self::stdin_file).
    pub fn stdout_file(self, file: impl Into<Fd>) -> Result<Self, BuildError> {
        self.file_stdio(1, "a file as standard output", file.into())
    }

    /// Makes a regular file the standard error: see [`stdout_file`](Self::stdout_file).
    ///
    /// # Errors
    /// As [`stdin_file`](Self::stdin_file).
    pub fn stderr_file(self, file: impl Into<Fd>) -> Result<Self, BuildError> {
        self.file_stdio(2, "a file as standard error", file.into())
    }

    /// Makes bytes the standard input.
    pub fn stdin_memory(self, input: MemoryInput) -> Self {
        self.stdio(0, Stream::Input(input))
    }

    /// Collects the standard output.
    pub fn stdout_memory(self, output: MemoryOutput) -> Self {
        self.stdio(1, Stream::Output(output))
    }

    /// Collects the standard error. It may be the same as the standard output.
    pub fn stderr_memory(self, output: MemoryOutput) -> Self {
        self.stdio(2, Stream::Output(output))
    }

    /// Makes the embedder's own stream the standard input. Nothing can
    /// interrupt its `read`; see [`PollableInput`].
    pub fn stdin(self, stream: Box<dyn Read + Send>) -> Self {
        self.stdio(0, Stream::CustomInput { stream: Mutex::new(stream), ready: None })
    }

    /// Makes the embedder's own stream the standard output.
    pub fn stdout(self, stream: Box<dyn Write + Send>) -> Self {
        self.stdio(1, Stream::CustomOutput { stream: Mutex::new(stream), ready: None })
    }

    /// Makes the embedder's own stream the standard error.
    pub fn stderr(self, stream: Box<dyn Write + Send>) -> Self {
        self.stdio(2, Stream::CustomOutput { stream: Mutex::new(stream), ready: None })
    }

    /// Makes the embedder's own stream, which can be waited for, the standard
    /// input.
    pub fn stdin_pollable(self, stream: impl PollableInput + 'static) -> Self {
        let ready = stream.poll_fd();
        self.stdio(0, Stream::CustomInput { stream: Mutex::new(Box::new(stream)), ready })
    }

    /// Makes the embedder's own stream, which can be waited for, the standard
    /// output.
    pub fn stdout_pollable(self, stream: impl PollableOutput + 'static) -> Self {
        let ready = stream.poll_fd();
        self.stdio(1, Stream::CustomOutput { stream: Mutex::new(Box::new(stream)), ready })
    }

    /// Gives the guest a directory of the host, by the name `guest`.
    ///
    /// This uses the authority of this process once; whatever the guest does
    /// afterwards stays inside the directory.
    ///
    /// # Errors
    /// [`BuildError::Preopen`] says which path cannot be opened and why;
    /// [`BuildError::Nul`].
    pub fn preopen_dir(
        self,
        host: impl AsRef<Path>,
        guest: impl Into<String>,
        perms: DirPerms,
    ) -> Result<Self, BuildError> {
        let (path, guest) = (host.as_ref(), guest.into());
        match HostDir::open_ambient_dir(path, ambient_authority()) {
            Ok(dir) => self.preopen_cap_dir(dir, guest, perms),
            Err(error) => Err(BuildError::Preopen { path: path.to_owned(), guest, error }),
        }
    }

    /// Gives the guest a directory that is open already.
    ///
    /// # Errors
    /// [`BuildError::Nul`]; [`BuildError::Descriptor`] if it cannot be asked
    /// for its attributes.
    pub fn preopen_cap_dir(
        mut self,
        dir: HostDir,
        guest: impl Into<String>,
        perms: DirPerms,
    ) -> Result<Self, BuildError> {
        let guest = without_nul("directory name", guest.into())?;
        let same = |d: &&Descriptor| matches!(&d.origin, Origin::Preopen(h) if h.name == guest);
        let ordinal = self.preopens.iter().filter(same).count() as u32;
        let dir = Dir::preopened(dir, guest, ordinal, perms == DirPerms::ReadOnly)
            .map_err(|error| BuildError::Descriptor { what: "a directory", error })?;
        let stat = Fdstat {
            filetype: Filetype::Directory,
            flags: 0,
            base: rights::DIRECTORY,
            inheriting: rights::INHERITING,
        };
        let origin = Origin::Preopen(dir.home.clone());
        self.preopens.push(Descriptor::new(Kind::Dir(dir), stat, origin));
        Ok(self)
    }

    /// Gives the guest a listening TCP socket. Sockets are numbered after all
    /// directories.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`].
    pub fn listen_tcp(self, listener: TcpListener) -> Result<Self, BuildError> {
        self.listen(listener.into())
    }

    /// Gives the guest a connected socket, for instance a
    /// [`TcpStream`](std::net::TcpStream). It is made non-blocking, for all
    /// who have it.
    ///
    /// # Errors
    /// [`BuildError::Descriptor`].
    pub fn socket(mut self, socket: impl Into<ConnectedSocket>) -> Result<Self, BuildError> {
        let socket = Socket::new(socket.into())
            .map_err(|error| BuildError::Descriptor { what: "a socket", error })?;
        let origin = Origin::Socket(self.sockets.len() as u32);
        self.sockets.push(Descriptor::from_socket(socket, 0, origin));
        Ok(self)
    }

    /// Where the guest's time comes from.
    pub fn clocks(mut self, clocks: impl Clocks + 'static) -> Self {
        self.clocks = Box::new(clocks);
        self
    }

    /// Where the guest's random bytes come from.
    pub fn random(mut self, random: impl RandomSource + 'static) -> Self {
        self.random = Box::new(random);
        self
    }

    /// Whether calls may wait, which they may by default. If not, a call that
    /// would is `again`.
    pub fn allow_blocking(mut self, allow: bool) -> Self {
        self.blocking = allow;
        self
    }

    /// How many descriptors may be open at a time, preopened ones and standard
    /// streams included; [`DEFAULT_MAX_DESCRIPTORS`] if not set. What is there from the
    /// start is there in any case; one more than the limit is `mfile`. A host limit that is reached earlier is `mfile` or `nfile` too.
    pub fn max_descriptors(mut self, limit: usize) -> Self {
        self.max_descriptors = limit;
        self
    }

    /// Makes the state.
    pub fn build(self) -> WasiCtx {
        let envs = self.env_strings();
        let table = Table::new(self.max_descriptors);
        table.fill(self.stdio.into_iter().chain(self.preopens).chain(self.sockets));
        WasiCtx::new(Inner {
            envs,
            args: self.args,
            table,
            clocks: self.clocks,
            random: self.random,
            blocking: self.blocking,
            pending: Pending::default(),
            threads: Default::default(),
        })
    }

    /// `NAME=value`.
    pub(crate) fn env_strings(&self) -> Vec<String> {
        self.envs.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    pub(crate) fn listen(mut self, socket: ListeningSocket) -> Result<Self, BuildError> {
        let listener = Listener::new(socket)
            .map_err(|error| BuildError::Descriptor { what: "a listening socket", error })?;
        let listens = |d: &&Descriptor| matches!(d.kind, Kind::Listener(_));
        let origin = Origin::Socket(self.sockets.iter().filter(listens).count() as u32);
        self.sockets.push(Descriptor::from_listener(listener, origin));
        Ok(self)
    }

    fn stdio(mut self, number: u8, stream: Stream) -> Self {
        self.stdio[usize::from(number)] = Descriptor::from_stream(stream, number);
        self
    }

    fn file_stdio(mut self, number: u8, what: &'static str, fd: Fd) -> Result<Self, BuildError> {
        self.stdio[usize::from(number)] = Descriptor::from_file(fd, number)
            .map_err(|error| BuildError::Descriptor { what, error })?;
        Ok(self)
    }

    fn host_stdio(mut self, number: u8, what: &'static str, fd: Fd) -> Result<Self, BuildError> {
        self.stdio[usize::from(number)] = Descriptor::from_host(fd, number)
            .map_err(|error| BuildError::Descriptor { what, error })?;
        Ok(self)
    }
}

/// Another descriptor of the same stream: closing the guest's leaves ours.
fn given(what: &'static str, fd: Result<Fd, Errno>) -> Result<Fd, BuildError> {
    fd.map_err(|error| BuildError::Descriptor { what, error })
}

fn without_nul(what: &'static str, text: String) -> Result<String, BuildError> {
    if text.contains('\0') { Err(BuildError::Nul { what, text }) } else { Ok(text) }
}

fn unicode(what: &'static str, text: std::ffi::OsString) -> Result<String, BuildError> {
    text.into_string()
        .map_err(|text| BuildError::NotUnicode { what, text: text.to_string_lossy().into_owned() })
}
