//! What can go wrong, for people.

use crate::errno::Errno;
use crate::types::GuestFd;

/// Why the state of a program cannot be saved. Nothing has changed: the program can continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// A descriptor refers to something that cannot be carried.
    #[error("descriptor {fd} cannot be saved: it is {what}; {advice}")]
    NotCarried {
        /// The guest's number.
        fd: GuestFd,
        /// What it is, with its path if it has one.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// Files without a name hold more than the options allow.
    #[error(
        "descriptor {fd} cannot be saved: {path:?} has been removed, so that its contents are saved, and with \
         its {size} bytes removed files exceed the limit of {limit}; raise `SaveOptions::unlinked_limit`, or \
         let the guest close it"
    )]
    Unlinked {
        /// The guest's number.
        fd: GuestFd,
        /// The path that it had.
        path: String,
        /// Bytes in it.
        size: u64,
        /// Bytes that all removed files may have.
        limit: u64,
    },
    /// The host fails to answer.
    #[error("descriptor {fd} cannot be saved: the host answers `{error}` when asked about {what}")]
    Host {
        /// The guest's number.
        fd: GuestFd,
        /// What was asked for.
        what: String,
        /// What the host says.
        error: Errno,
    },
    /// The program has threads.
    #[error(
        "the program has {0} running threads besides its main thread, and states of programs with threads \
         cannot be saved; save it before it makes threads, or after they have ended"
    )]
    Threads(usize),
}

/// What is wrong with the bytes of a state. They were not made by this version, or were changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a state of a WASI program: {problem}, at byte {at}")]
pub struct StateError {
    pub(crate) at: usize,
    pub(crate) problem: String,
}

impl StateError {
    /// The byte at which it was found.
    pub fn at(&self) -> usize {
        self.at
    }
}

/// Why a state cannot be restored. Nothing was written anywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The guest had a preopened directory that the builder was not given.
    #[error(
        "the saved program has the preopened directory {name:?}{}; give it one of this name",
        .nth.map(|n| format!(" ({n} of them)")).unwrap_or_default()
    )]
    MissingPreopen {
        /// The guest's name for it.
        name: String,
        /// How many of this name are needed, if it is not one.
        nth: Option<u32>,
    },
    /// Something that was open cannot be opened.
    #[error("descriptor {fd}, {path:?}, cannot be opened again: {problem}")]
    Open {
        /// The guest's number.
        fd: GuestFd,
        /// The guest's path.
        path: String,
        /// Why.
        problem: String,
    },
    /// A file is not the one that was open.
    #[error(
        "descriptor {fd}, {path:?}, is another file than the one that was open, or has changed: it had \
         {old_size} bytes and now has {new_size}{}; bring the file back, or accept changes by \
         `RestoreOptions::changed`",
        if .old_size == .new_size { ", and was modified at another time" } else { "" }
    )]
    Changed {
        /// The guest's number.
        fd: GuestFd,
        /// The guest's path.
        path: String,
        /// Its size when the state was saved.
        old_size: u64,
        /// Its size now.
        new_size: u64,
    },
    /// A descriptor's number exceeds what the builder allows.
    #[error(
        "the saved program has descriptor {fd}, and at most {limit} may be open; raise \
         `WasiCtxBuilder::max_descriptors`"
    )]
    TooMany {
        /// The guest's number.
        fd: GuestFd,
        /// How many may be open.
        limit: usize,
    },
    /// Two descriptors claim the same standard stream, directory or socket.
    #[error(
        "the state is forged or damaged: descriptor {fd} is {what}, which another one is already"
    )]
    Twice {
        /// The guest's number.
        fd: GuestFd,
        /// What it claims.
        what: String,
    },
}
