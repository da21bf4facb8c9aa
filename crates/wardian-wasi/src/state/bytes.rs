//! States as bytes.
//!
//! ```text
//!   "wdWASI" │ version, 2 bytes │ args │ envs │ clocks │ preopens │ contents │ descriptors │ pending poll
//! ```
//!
//! All numbers are little-endian and of fixed width. A list is preceded by its count, bytes and text by their
//! length, each in four bytes; what may be absent by a byte, 0 or 1. Nothing is allocated for a count or
//! length before as many bytes are known to be there.

use super::{
    Access, Contents, ContentsIndex, Identity, PreopenIndex, Saved, SavedClocks, SavedKind,
    SavedPreopen,
};
use super::{StateError, WasiState};
use crate::guest::PATH_MAX;
use crate::pending::PendingPoll;
use crate::poll::MAX_SUBSCRIPTIONS;
use crate::readdir::Position;
use crate::types::{Await, Filetype, GuestFd, Subscription, fdflags, rights};

const MAGIC: &[u8; 6] = b"wdWASI";

/// Raised whenever the encoding changes; older versions are then read by their own code, or refused.
const VERSION: u16 = 1;

/// Descriptors have smaller numbers: the table of them has a place for each.
pub(crate) const MAX_FD: GuestFd = GuestFd::from_u32(1 << 20);

/// The longest name in a directory that hosts know.
const NAME_MAX: usize = 255;

/// Which kind a descriptor is.
mod tag {
    pub(super) const STDIO: u8 = 0;
    pub(super) const PREOPEN: u8 = 1;
    pub(super) const FILE: u8 = 2;
    pub(super) const DIRECTORY: u8 = 3;
    pub(super) const DEVICE: u8 = 4;
    pub(super) const UNLINKED: u8 = 5;
    pub(super) const REMOVED_DIRECTORY: u8 = 6;
    pub(super) const SOCKET: u8 = 7;
    pub(super) const LISTENER: u8 = 8;
}

impl WasiState {
    /// The state as bytes, which are the same on every machine.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.0.extend_from_slice(MAGIC);
        out.0.extend_from_slice(&VERSION.to_le_bytes());
        out.list(&self.args, |out, arg| out.bytes(arg.as_bytes()));
        out.list(&self.envs, |out, env| out.bytes(env.as_bytes()));
        out.u64(self.clocks.realtime);
        self.clocks.since_start.iter().for_each(|time| out.u64(*time));
        out.list(self.preopens.as_slice(), |out, preopen| {
            out.bytes(preopen.name.as_bytes());
            out.u32(preopen.ordinal);
        });
        out.list(self.contents.as_slice(), |out, contents| {
            out.bytes(&contents.bytes);
            out.u64(contents.mtim);
        });
        out.list(&self.descriptors, Writer::descriptor);
        out.option(self.pending.as_ref(), Writer::pending);
        out.0
    }

    /// The state of these bytes, which may come from anybody: whatever they are, this ends with a state or an
    /// error, and allocates no more than a small multiple of their length. What a forged state can do is what
    /// the guest could: see [`restore`](crate::WasiCtxBuilder::restore).
    ///
    /// # Errors
    /// They are no state, are cut off or followed by others, were made by another version, or contradict
    /// themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<WasiState, StateError> {
        let mut input = Reader { bytes, at: 0 };
        if input.take(MAGIC.len()).ok() != Some(&MAGIC[..]) {
            return Err(StateError { at: 0, problem: "it does not begin as one".to_owned() });
        }
        let version = input.u16()?;
        if version != VERSION {
            let problem = format!("version {version} is unknown, only {VERSION} is known");
            return Err(StateError { at: MAGIC.len(), problem });
        }
        let args = input.list(Reader::string)?;
        let envs = input.list(Reader::string)?;
        let realtime = input.u64()?;
        let since_start = [input.u64()?, input.u64()?, input.u64()?];
        let preopens = input
            .list(|input| Ok(SavedPreopen { name: input.string()?, ordinal: input.u32()? }))?;
        let contents = input
            .list(|input| Ok(Contents { bytes: input.bytes()?.to_vec(), mtim: input.u64()? }))?;
        let mut next = GuestFd::FIRST;
        let descriptors = input.list(|input| {
            let descriptor = input.descriptor(preopens.len(), contents.len(), next)?;
            next = descriptor.fd.add(1);
            Ok(descriptor)
        })?;
        let pending = input.option(Reader::pending)?;
        if input.at != bytes.len() {
            return input.fail("more follows its end");
        }
        let clocks = SavedClocks { realtime, since_start };
        let (preopens, contents) = (preopens.into(), contents.into());
        Ok(WasiState { args, envs, clocks, preopens, contents, descriptors, pending })
    }
}

struct Writer(Vec<u8>);

/// A pending poll alone, as the state of a thread has it.
pub(crate) fn poll_to_bytes(poll: &PendingPoll) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.pending(poll);
    out.0
}

/// What [`poll_to_bytes`] wrote.
pub(crate) fn poll_from_bytes(bytes: &[u8]) -> Result<PendingPoll, StateError> {
    let mut input = Reader { bytes, at: 0 };
    let poll = input.pending()?;
    if input.at == bytes.len() { Ok(poll) } else { input.fail("more follows its end") }
}

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Nothing that is saved has four gigabytes: limits of WASI's own, and the one on contents, are lower.
    fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn list<T>(&mut self, list: &[T], mut each: impl FnMut(&mut Writer, &T)) {
        self.count(list.len());
        list.iter().for_each(|item| each(self, item));
    }

    fn option<T>(&mut self, option: Option<T>, some: impl FnOnce(&mut Writer, T)) {
        self.u8(u8::from(option.is_some()));
        if let Some(value) = option {
            some(self, value);
        }
    }

    fn descriptor(&mut self, saved: &Saved) {
        self.u32(saved.fd.as_u32());
        self.u8(saved.filetype as u8);
        self.u16(saved.flags);
        self.u64(saved.base);
        self.u64(saved.inheriting);
        match &saved.kind {
            SavedKind::Stdio { role, position } => {
                self.u8(tag::STDIO);
                self.u8(*role);
                self.option(*position, Writer::u64);
            }
            SavedKind::Preopen { preopen, listing } => {
                self.u8(tag::PREOPEN);
                self.u32(preopen.as_u32());
                self.listing(listing.as_deref());
            }
            SavedKind::File { preopen, path, access, offset, identity } => {
                self.place(tag::FILE, *preopen, path);
                self.access(*access);
                self.u64(*offset);
                let Identity { dev, ino, size, mtim, born } = *identity;
                [dev, ino, size, mtim, born].into_iter().for_each(|number| self.u64(number));
            }
            SavedKind::Directory { preopen, path, listing } => {
                self.place(tag::DIRECTORY, *preopen, path);
                self.listing(listing.as_deref());
            }
            SavedKind::Device { preopen, path, access } => {
                self.place(tag::DEVICE, *preopen, path);
                self.access(*access);
            }
            SavedKind::Unlinked { preopen, path, access, offset, contents } => {
                self.place(tag::UNLINKED, *preopen, path);
                self.access(*access);
                self.u64(*offset);
                self.u32(contents.as_u32());
            }
            SavedKind::RemovedDirectory { preopen, path } => {
                self.place(tag::REMOVED_DIRECTORY, *preopen, path);
            }
            SavedKind::Socket => self.u8(tag::SOCKET),
            SavedKind::Listener { given } => {
                self.u8(tag::LISTENER);
                self.u32(*given);
            }
        }
    }

    fn place(&mut self, tag: u8, preopen: PreopenIndex, path: &str) {
        self.u8(tag);
        self.u32(preopen.as_u32());
        self.bytes(path.as_bytes());
    }

    fn access(&mut self, access: Access) {
        self.u8(u8::from(access.read) | u8::from(access.write) << 1);
    }

    fn listing(&mut self, listing: Option<&[Position]>) {
        self.option(listing, |out, listing| {
            out.list(listing, |out, position| {
                out.u64(position.next);
                out.bytes(&position.name);
            });
        });
    }

    fn pending(&mut self, pending: &PendingPoll) {
        self.u64(pending.began);
        self.list(&pending.subscriptions, |out, subscription| {
            out.u64(subscription.userdata);
            match subscription.event {
                Await::Clock { id, timeout, absolute } => {
                    out.u8(u8::from(absolute));
                    out.u32(id);
                    out.u64(timeout);
                }
                Await::Read(fd) => {
                    out.u8(2);
                    out.u32(fd.as_u32());
                }
                Await::Write(fd) => {
                    out.u8(3);
                    out.u32(fd.as_u32());
                }
            }
        });
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, StateError> {
        Err(StateError { at: self.at, problem: problem.into() })
    }

    fn check(&self, holds: bool, problem: &str) -> Result<(), StateError> {
        if holds { Ok(()) } else { self.fail(problem) }
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], StateError> {
        match self.bytes[self.at..].get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => {
                let left = self.bytes.len() - self.at;
                self.fail(format!("{len} bytes are to follow, and {left} do"))
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, StateError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    fn bool(&mut self) -> Result<bool, StateError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => self.fail(format!("{other} is neither yes nor no")),
        }
    }

    fn bytes(&mut self) -> Result<&'b [u8], StateError> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    /// Text for a guest, which ends strings by a NUL.
    fn string(&mut self) -> Result<String, StateError> {
        let bytes = self.bytes()?;
        self.check(!bytes.contains(&0), "text contains a NUL character")?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.fail("text is not UTF-8"),
        }
    }

    /// The list grows as its items are read, each of which has at least a byte.
    fn list<T>(
        &mut self,
        mut each: impl FnMut(&mut Reader<'b>) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let count = self.u32()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(each(self)?);
        }
        Ok(list)
    }

    fn option<T>(
        &mut self,
        some: impl FnOnce(&mut Reader<'b>) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        if self.bool()? { some(self).map(Some) } else { Ok(None) }
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize, what: &str) -> Result<u32, StateError> {
        let number = self.u32()?;
        if (number as usize) < limit {
            Ok(number)
        } else {
            self.fail(format!("there is no {what} {number}"))
        }
    }

    fn descriptor(
        &mut self,
        preopens: usize,
        contents: usize,
        next: GuestFd,
    ) -> Result<Saved, StateError> {
        let fd = GuestFd::from_u32(self.u32()?);
        self.check((next..MAX_FD).contains(&fd), "descriptors are not in order, or too many")?;
        let raw = self.u8()?;
        let Some(filetype) = Filetype::decode(raw) else {
            return self.fail(format!("there is no type {raw} of files"));
        };
        let flags = self.u16()?;
        self.check(flags & !fdflags::ALL == 0, "a descriptor has unknown flags")?;
        let (base, inheriting) = (self.u64()?, self.u64()?);
        let known = rights::INHERITING | rights::SOCKET | rights::LISTENER;
        self.check((base | inheriting) & !known == 0, "a descriptor has unknown rights")?;
        let kind = self.kind(preopens, contents)?;
        self.check(kind.filetypes().contains(&filetype), "a descriptor is of another type")?;
        Ok(Saved { fd, filetype, flags, base, inheriting, kind })
    }

    fn kind(&mut self, preopens: usize, contents: usize) -> Result<SavedKind, StateError> {
        let tag = self.u8()?;
        let path = |input: &mut Reader<'b>| -> Result<(PreopenIndex, String), StateError> {
            let preopen = PreopenIndex::from_u32(input.below(preopens, "preopened directory")?);
            let path = input.string()?;
            input.check(path.len() as u64 <= PATH_MAX, "a path is too long")?;
            Ok((preopen, path))
        };
        Ok(match tag {
            tag::STDIO => {
                let role = self.u8()?;
                self.check(role < 3, "there are three standard streams")?;
                SavedKind::Stdio { role, position: self.option(Reader::u64)? }
            }
            tag::PREOPEN => {
                let preopen = PreopenIndex::from_u32(self.below(preopens, "preopened directory")?);
                SavedKind::Preopen { preopen, listing: self.listing()? }
            }
            tag::FILE => {
                let (preopen, path) = path(self)?;
                let (access, offset) = (self.access()?, self.offset()?);
                let [dev, ino, size, mtim, born] =
                    [self.u64()?, self.u64()?, self.u64()?, self.u64()?, self.u64()?];
                let identity = Identity { dev, ino, size, mtim, born };
                SavedKind::File { preopen, path, access, offset, identity }
            }
            tag::DIRECTORY => {
                let (preopen, path) = path(self)?;
                SavedKind::Directory { preopen, path, listing: self.listing()? }
            }
            tag::DEVICE => {
                let (preopen, path) = path(self)?;
                SavedKind::Device { preopen, path, access: self.access()? }
            }
            tag::UNLINKED => {
                let (preopen, path) = path(self)?;
                let (access, offset) = (self.access()?, self.offset()?);
                let contents = ContentsIndex::from_u32(self.below(contents, "removed file")?);
                SavedKind::Unlinked { preopen, path, access, offset, contents }
            }
            tag::REMOVED_DIRECTORY => {
                let (preopen, path) = path(self)?;
                SavedKind::RemovedDirectory { preopen, path }
            }
            tag::SOCKET => SavedKind::Socket,
            tag::LISTENER => SavedKind::Listener { given: self.u32()? },
            other => return self.fail(format!("there is no kind {other} of descriptors")),
        })
    }

    /// The host's offsets are signed.
    fn offset(&mut self) -> Result<u64, StateError> {
        let offset = self.u64()?;
        self.check(i64::try_from(offset).is_ok(), "an offset is too large")?;
        Ok(offset)
    }

    fn access(&mut self) -> Result<Access, StateError> {
        let bits = self.u8()?;
        self.check((1..4).contains(&bits), "a file is open neither for reading nor for writing")?;
        Ok(Access { read: bits & 1 != 0, write: bits & 2 != 0 })
    }

    fn listing(&mut self) -> Result<Option<Vec<Position>>, StateError> {
        self.option(|input| {
            input.list(|input| {
                let (next, name) = (input.u64()?, input.bytes()?);
                let plain = name.len() <= NAME_MAX && !name.iter().any(|b| matches!(b, 0 | b'/'));
                input
                    .check(plain && name != b"." && name != b"..", "an entry has no plain name")?;
                Ok(Position { next, name: name.to_vec() })
            })
        })
    }

    fn pending(&mut self) -> Result<PendingPoll, StateError> {
        let began = self.u64()?;
        let subscriptions = self.list(|input| {
            let userdata = input.u64()?;
            let event = match input.u8()? {
                absolute @ (0 | 1) => Await::Clock {
                    id: input.u32()?,
                    timeout: input.u64()?,
                    absolute: absolute == 1,
                },
                2 => Await::Read(GuestFd::from_u32(input.u32()?)),
                3 => Await::Write(GuestFd::from_u32(input.u32()?)),
                other => return input.fail(format!("nothing can be waited for by {other}")),
            };
            Ok(Subscription { userdata, event })
        })?;
        let few = (1..=MAX_SUBSCRIPTIONS).contains(&(subscriptions.len() as u64));
        self.check(few, "a poll has no subscriptions, or too many")?;
        Ok(PendingPoll { began, subscriptions })
    }
}
