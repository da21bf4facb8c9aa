//! Making a program's state from a saved one.
//!
//! What a state says is what a guest could have said: paths are opened beneath the directories of the builder,
//! by the same sandbox, and rights are cut to what is granted there.

use std::io::SeekFrom;
use std::sync::Arc;

use super::{
    Access, ContentsIndex, Identity, PreopenIndex, RestoreError, Saved, SavedKind, WasiState,
    guest_path,
};
use crate::builder::WasiCtxBuilder;
use crate::clock::{CarriedClocks, lock};
use crate::ctx::{Inner, WasiCtx};
use crate::descriptor::stream_rights;
use crate::dir::{Dir, Open};
use crate::errno::Errno;
use crate::file::File;
use crate::host::{self, Fd, Host, Listener, Socket};
use crate::origin::{Home, Opened, Origin};
use crate::pending::Pending;
use crate::stream::Stream;
use crate::table::{Descriptor, Kind, Table};
use crate::types::{Fdstat, Filetype, fdflags, oflags, rights};
use wardian_types::IndexVec;

/// What to do about files that are not as they were when the state was saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Changed {
    /// An error. A file is taken for the same if it is the same one of the host (device, serial number, and time of
    /// creation if the file system has it), or a copy of the same size and time of modification.
    #[default]
    Error,
    /// Open what is there.
    Accept,
}

/// How a state is restored.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    changed: Changed,
    args_of_builder: bool,
    env_of_builder: bool,
    stdin_as_given: bool,
}

impl RestoreOptions {
    /// Arguments and environment of the state, no changed files, and the rest of the input.
    pub fn new() -> RestoreOptions {
        RestoreOptions::default()
    }

    /// What to do about files that have changed; [`Changed::Error`] if not set.
    pub fn changed(mut self, changed: Changed) -> RestoreOptions {
        self.changed = changed;
        self
    }

    /// Gives the program the builder's arguments instead of its own.
    pub fn args_of_builder(mut self, yes: bool) -> RestoreOptions {
        self.args_of_builder = yes;
        self
    }

    /// Gives the program the builder's environment instead of its own.
    pub fn env_of_builder(mut self, yes: bool) -> RestoreOptions {
        self.env_of_builder = yes;
        self
    }

    /// Leaves the standard input where it is. If not set, an input that has positions (a
    /// [`MemoryInput`](crate::MemoryInput), a regular file) is taken for the one that the program had, from
    /// its beginning, and what the program has read of it is skipped.
    pub fn stdin_as_given(mut self, yes: bool) -> RestoreOptions {
        self.stdin_as_given = yes;
        self
    }
}

impl WasiCtxBuilder {
    /// Makes the state of a program that was saved, instead of a new one.
    ///
    /// Streams, directories, clocks, randomness and limits are the builder's. Arguments and environment are
    /// the state's, unless the options say otherwise. Each directory that the program had, or has something
    /// open in, must be given by the same guest name; others are not given to the program. Descriptors get the
    /// numbers that they had.
    ///
    /// A state may be forged: what it names is opened beneath the builder's directories, by the same rules as
    /// for a guest, nothing is created or truncated, and rights are cut to those that a program has there. So
    /// the program can do no more than one that begins in these directories.
    ///
    /// # Errors
    /// A directory is missing, a file is or has changed, or there are too many descriptors.
    pub fn restore(
        self,
        state: &WasiState,
        options: &RestoreOptions,
    ) -> Result<WasiCtx, RestoreError> {
        let given = self.stdio.len() + self.preopens.len() + self.sockets.len();
        let limit = self.max_descriptors.max(given);
        if let Some(last) = state.descriptors.last().filter(|last| last.fd.index() >= limit) {
            return Err(RestoreError::TooMany { fd: last.fd, limit });
        }
        let envs = if options.env_of_builder { self.env_strings() } else { state.envs.clone() };
        let args = if options.args_of_builder { self.args } else { state.args.clone() };
        let homes = homes(state, &self.preopens)?;
        let mut restoring = Restoring {
            state,
            options,
            homes,
            stdio: self.stdio.map(Some),
            preopens: self.preopens.into_iter().map(Some).collect(),
            sockets: self.sockets.into_iter().map(Some).collect(),
            unlinked: state.contents.iter().map(|_| None).collect(),
        };
        let descriptors = (state.descriptors.iter())
            .map(|saved| Ok((saved.fd, restoring.descriptor(saved)?)))
            .collect::<Result<_, _>>()?;
        Ok(WasiCtx::new(Inner {
            args,
            envs,
            table: Table::restored(self.max_descriptors, descriptors),
            clocks: Box::new(CarriedClocks::new(self.clocks, state.clocks.since_start)),
            random: self.random,
            blocking: self.blocking,
            pending: Pending::restored(state.pending.clone()),
            threads: Default::default(),
        }))
    }
}

/// The builder's directories for those of the state.
fn homes(
    state: &WasiState,
    given: &[Descriptor],
) -> Result<IndexVec<PreopenIndex, Arc<Home>>, RestoreError> {
    let find = |name: &str, ordinal: u32| {
        given.iter().find_map(|descriptor| match &descriptor.origin {
            Origin::Preopen(home) if home.name == name && home.ordinal == ordinal => {
                Some(Arc::clone(home))
            }
            _ => None,
        })
    };
    let homes = state.preopens.iter().map(|saved| {
        find(&saved.name, saved.ordinal).ok_or_else(|| RestoreError::MissingPreopen {
            name: saved.name.clone(),
            nth: (saved.ordinal > 0).then(|| saved.ordinal.saturating_add(1)),
        })
    });
    homes.collect()
}

struct Restoring<'s> {
    state: &'s WasiState,
    options: &'s RestoreOptions,
    /// The directories of the state.
    homes: IndexVec<PreopenIndex, Arc<Home>>,
    /// What the builder was given, until it is taken.
    stdio: [Option<Descriptor>; 3],
    preopens: Vec<Option<Descriptor>>,
    sockets: Vec<Option<Descriptor>>,
    /// Files without a name that hold the state's contents, as they are asked for.
    unlinked: IndexVec<ContentsIndex, Option<Fd>>,
}

impl Restoring<'_> {
    fn descriptor(&mut self, saved: &Saved) -> Result<Descriptor, RestoreError> {
        match &saved.kind {
            SavedKind::Stdio { role, position } => self.stdio(saved, *role, *position),
            SavedKind::Socket => {
                let socket = Socket::lost().map_err(|e| self.failed(saved, e))?;
                let stat = Fdstat { base: saved.base & rights::SOCKET, ..plain(saved) };
                Ok(Descriptor::new(Kind::Socket(socket), stat, Origin::Accepted))
            }
            SavedKind::Listener { given } => self.listener(saved, *given),
            SavedKind::Preopen { preopen, listing } => {
                let home = &self.homes[*preopen];
                let is_it = |d: &Descriptor| matches!(&d.origin, Origin::Preopen(h) if Arc::ptr_eq(h, home));
                let what = || format!("the preopened directory {:?}", home.name);
                let found = take(&mut self.preopens, is_it)
                    .ok_or_else(|| RestoreError::Twice { fd: saved.fd, what: what() })?;
                give_up(&found, saved);
                found.set_flags(saved.flags);
                carry_listing(&found, listing.as_deref());
                Ok(found)
            }
            SavedKind::File { preopen, path, access, offset, identity } => {
                let fd = self.open(saved, *preopen, path, *access, 0, Filetype::RegularFile)?;
                self.unchanged(saved, &fd, *identity)?;
                self.file(saved, *preopen, path, *access, fd, *offset)
            }
            SavedKind::Unlinked { preopen, path, access, offset, contents } => {
                let fd = (self.unlinked(*contents, *access, saved.flags))
                    .map_err(|error| self.failed(saved, error))?;
                self.file(saved, *preopen, path, *access, fd, *offset)
            }
            SavedKind::Directory { preopen, path, listing } => {
                let access = Access { read: true, write: false };
                let directory = oflags::DIRECTORY;
                let fd =
                    self.open(saved, *preopen, path, access, directory, Filetype::Directory)?;
                let dir = Dir::of(Arc::clone(&self.homes[*preopen])).child(fd);
                let dir = self.directory(saved, *preopen, path, dir);
                carry_listing(&dir, listing.as_deref());
                Ok(dir)
            }
            SavedKind::RemovedDirectory { preopen, path } => {
                let fd = host::removed_directory().map_err(|error| self.failed(saved, error))?;
                let dir = Dir::removed(Arc::clone(&self.homes[*preopen]), fd);
                Ok(self.directory(saved, *preopen, path, dir))
            }
            SavedKind::Device { preopen, path, access } => {
                let kind = Filetype::CharacterDevice;
                let fd = self.open(saved, *preopen, path, *access, 0, kind)?;
                let base = saved.base & stream_rights(&fd, kind) & !access.lacks();
                let stat = Fdstat { base, ..plain(saved) };
                let kind = Kind::Stream(Stream::Host(Host::nonblocking(fd)));
                Ok(Descriptor::new(kind, stat, self.opened(*preopen, path)))
            }
        }
    }

    /// A standard stream is the builder's; what the guest did with the old one applies to it.
    fn stdio(
        &mut self,
        saved: &Saved,
        role: u8,
        position: Option<u64>,
    ) -> Result<Descriptor, RestoreError> {
        let name = super::show::STREAMS[usize::from(role)];
        let found = self.stdio[usize::from(role)]
            .take()
            .ok_or_else(|| RestoreError::Twice { fd: saved.fd, what: name.to_owned() })?;
        give_up(&found, saved);
        let flags = saved.flags & (fdflags::APPEND | fdflags::NONBLOCK);
        let position = position.filter(|_| role == 0 && !self.options.stdin_as_given);
        let done = match (&found.kind, position) {
            (Kind::File(file), position) => {
                let seek = |to| host::seek(file.fd(), SeekFrom::Start(to)).map(drop);
                // Whether the embedder's file is one to append to is left as it is, if the guest never asked.
                let append = flags & fdflags::APPEND != 0 && role != 0;
                let append = if append { file.set_append(flags) } else { Ok(()) };
                append.and_then(|()| position.map_or(Ok(()), seek))
            }
            (Kind::Stream(stream), Some(position)) => stream.set_position(position),
            _ => Ok(()),
        };
        done.map_err(|error| self.failed(saved, error))?;
        found.set_flags(flags);
        Ok(found)
    }

    /// The builder's listening socket in its place, or one that listens no longer.
    fn listener(&mut self, saved: &Saved, given: u32) -> Result<Descriptor, RestoreError> {
        let origin = Origin::Socket(given);
        let is_it = |d: &Descriptor| matches!((&d.kind, &d.origin), (Kind::Listener(_), Origin::Socket(n)) if *n == given);
        let found = match take(&mut self.sockets, is_it) {
            Some(found) => found,
            None => {
                let lost = Listener::lost().map_err(|error| self.failed(saved, error))?;
                Descriptor::from_listener(lost, origin)
            }
        };
        give_up(&found, saved);
        found.set_flags(saved.flags);
        Ok(found)
    }

    /// Opens a path again, and checks that it is still of the same kind.
    fn open(
        &self,
        saved: &Saved,
        preopen: PreopenIndex,
        path: &str,
        access: Access,
        oflags: u16,
        kind: Filetype,
    ) -> Result<Fd, RestoreError> {
        let dir = Dir::of(Arc::clone(&self.homes[preopen]));
        let path = if path.is_empty() { "." } else { path };
        let Access { read, write } = access;
        if write && dir.read_only {
            let problem = "it was open for writing, and its directory is read-only now".to_owned();
            return Err(self.problem(saved, problem));
        }
        let how = Open { follow: true, oflags, fdflags: saved.flags, read, write };
        let fd = dir.open(path, how).map_err(|error| self.failed(saved, error))?;
        let stat = host::stat(&fd).map_err(|error| self.failed(saved, error))?;
        if stat.filetype != kind {
            return Err(self.problem(saved, "it is of another type than it was".to_owned()));
        }
        Ok(fd)
    }

    fn unchanged(&self, saved: &Saved, fd: &Fd, old: Identity) -> Result<(), RestoreError> {
        if self.options.changed == Changed::Accept {
            return Ok(());
        }
        let new = Identity::of(fd).map_err(|error| self.failed(saved, error))?;
        if new.is_same_file(&old) || (new.size, new.mtim) == (old.size, old.mtim) {
            return Ok(());
        }
        let (fd, path) = (saved.fd, self.path(saved));
        Err(RestoreError::Changed { fd, path, old_size: old.size, new_size: new.size })
    }

    fn file(
        &self,
        saved: &Saved,
        preopen: PreopenIndex,
        path: &str,
        access: Access,
        fd: Fd,
        offset: u64,
    ) -> Result<Descriptor, RestoreError> {
        host::seek(&fd, SeekFrom::Start(offset)).map_err(|error| self.failed(saved, error))?;
        let file = File::new(fd, self.homes[preopen].read_only);
        let base = saved.base & rights::FILE & !access.lacks();
        let stat = Fdstat { base, ..plain(saved) };
        Ok(Descriptor::new(Kind::File(file), stat, self.opened(preopen, path)))
    }

    fn directory(&self, saved: &Saved, preopen: PreopenIndex, path: &str, dir: Dir) -> Descriptor {
        let base = saved.base & rights::DIRECTORY;
        let inheriting = saved.inheriting & rights::INHERITING;
        let stat = Fdstat { base, inheriting, ..plain(saved) };
        Descriptor::new(Kind::Dir(dir), stat, self.opened(preopen, path))
    }

    /// A descriptor of a file that has no name and these contents. All of the same contents are of one file.
    fn unlinked(&mut self, of: ContentsIndex, access: Access, flags: u16) -> Result<Fd, Errno> {
        let file = match &mut self.unlinked[of] {
            Some(file) => file,
            slot => slot.insert(host::nameless(&self.state.contents[of])?),
        };
        host::open_again(file, access, flags & fdflags::APPEND != 0)
    }

    fn opened(&self, preopen: PreopenIndex, path: &str) -> Origin {
        let home = Arc::clone(&self.homes[preopen]);
        Origin::Opened(Opened { home, path: Some(path.into()) })
    }

    /// The path as people know it.
    fn path(&self, saved: &Saved) -> String {
        match saved.kind.place() {
            Some((preopen, path)) => guest_path(&self.homes[preopen].name, path),
            None => saved.kind.name().to_owned(),
        }
    }

    fn problem(&self, saved: &Saved, problem: String) -> RestoreError {
        RestoreError::Open { fd: saved.fd, path: self.path(saved), problem }
    }

    fn failed(&self, saved: &Saved, error: Errno) -> RestoreError {
        self.problem(saved, format!("the host answers `{error}`"))
    }
}

/// Takes the first that is left for which `is_it` holds.
fn take(
    from: &mut [Option<Descriptor>],
    is_it: impl Fn(&Descriptor) -> bool,
) -> Option<Descriptor> {
    from.iter_mut().find(|slot| slot.as_ref().is_some_and(&is_it))?.take()
}

/// A descriptor without rights.
fn plain(saved: &Saved) -> Fdstat {
    Fdstat { filetype: saved.filetype, flags: saved.flags, base: 0, inheriting: 0 }
}

/// Gives up what the guest had not.
fn give_up(found: &Descriptor, saved: &Saved) {
    let Fdstat { base, inheriting, .. } = found.fdstat();
    found.keep_rights(base & saved.base, inheriting & saved.inheriting);
}

fn carry_listing(found: &Descriptor, listing: Option<&[crate::readdir::Position]>) {
    if let (Kind::Dir(dir), Some(listing)) = (&found.kind, listing) {
        *lock(&dir.carried) = Some(listing.into());
    }
}
