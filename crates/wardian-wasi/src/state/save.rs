//! Saving the state of a program.

use std::collections::HashMap;
use std::io::SeekFrom;

use super::bytes::MAX_FD;
use super::{
    Contents, ContentsIndex, PreopenIndex, SaveError, Saved, SavedClocks, SavedKind, SavedPreopen,
    WasiState,
};
use crate::clock::since_start;
use crate::ctx::WasiCtx;
use crate::dir::Dir;
use crate::errno::Errno;
use crate::host;
use crate::origin::{Home, Origin};
use crate::readdir::Position;
use crate::table::{Descriptor, Kind};
use crate::types::{ClockId, GuestFd};
use wardian_types::IndexVec;

/// How large files that were removed may be in all, unless set otherwise: see
/// [`SaveOptions::unlinked_limit`].
const UNLINKED_LIMIT: u64 = 16 << 20;

/// How many entries a directory may have that is being listed.
const LISTING_LIMIT: usize = 1 << 20;

/// How a state is saved.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    unlinked_limit: u64,
    threads: bool,
}

impl Default for SaveOptions {
    fn default() -> SaveOptions {
        SaveOptions::new()
    }
}

impl SaveOptions {
    /// As [`WasiCtx::save`] does it.
    pub fn new() -> SaveOptions {
        SaveOptions { unlinked_limit: UNLINKED_LIMIT, threads: false }
    }

    /// How many bytes in all the files may have that are open and were removed: their contents become part of
    /// the state. 16 MiB if not set, at most 4 GiB.
    pub fn unlinked_limit(mut self, bytes: u64) -> SaveOptions {
        self.unlinked_limit = bytes.min(u32::MAX.into());
        self
    }

    /// Whether the program may have threads beside its main thread, on which this is then called; no if not set. They
    /// are to stand still, as they do while [`WasiThreadsHandle::checkpoint_to`](crate::WasiThreadsHandle::checkpoint_to)
    /// writes them down.
    pub fn with_threads(mut self, threads: bool) -> SaveOptions {
        self.threads = threads;
        self
    }
}

impl WasiCtx {
    /// The state of the program as data. Nothing about the program changes.
    ///
    /// No call may be under way meanwhile; one that was interrupted is no longer. If that was a `poll_oneoff`,
    /// it is part of the state how long it has waited: see [`repeat_interrupted`](Self::repeat_interrupted).
    /// See [the documentation of the crate](crate#saving-and-restoring) for what is carried and how.
    ///
    /// ```
    /// use wardian_wasi::{MemoryInput, RestoreOptions, WasiCtx, WasiState};
    ///
    /// let ctx = WasiCtx::builder().args(["sort"])?.stdin_memory(MemoryInput::new("a\n")).build();
    /// let bytes = ctx.save()?.to_bytes();
    ///
    /// let state = WasiState::from_bytes(&bytes)?;
    /// let again = WasiCtx::builder()
    ///     .stdin_memory(MemoryInput::new("a\n"))
    ///     .restore(&state, &RestoreOptions::new())?;
    /// assert_eq!(again.args(), ["sort"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Something is open that cannot be carried; or the program has threads.
    pub fn save(&self) -> Result<WasiState, SaveError> {
        self.save_with(&SaveOptions::new())
    }

    /// [`save`](Self::save), with options.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_with(&self, options: &SaveOptions) -> Result<WasiState, SaveError> {
        let threads = self.threads();
        if threads > 0 && !options.threads {
            return Err(SaveError::Threads(threads));
        }
        let mut saving = Saving {
            room: options.unlinked_limit,
            limit: options.unlinked_limit,
            preopens: IndexVec::new(),
            contents: IndexVec::new(),
            unlinked: HashMap::new(),
        };
        let open = self.table().open();
        let descriptors =
            open.iter().map(|(fd, open)| saving.descriptor(*fd, open)).collect::<Result<_, _>>()?;
        Ok(WasiState {
            args: self.args().to_vec(),
            envs: self.envs().to_vec(),
            clocks: SavedClocks {
                realtime: self.clocks().peek(ClockId::Realtime).unwrap_or(0),
                since_start: since_start(self.clocks()),
            },
            preopens: saving.preopens,
            contents: saving.contents,
            descriptors,
            pending: self.with_pending(|pending| pending.get()),
        })
    }

    /// Says that the next call is the last one, made again: it was interrupted (see
    /// [`Stop::Interrupted`](crate::Stop::Interrupted)) and the runtime repeats it. If it is a `poll_oneoff`,
    /// its timeouts then count from when it was first made. In a restored program that is so from the start,
    /// and its time has stood still meanwhile.
    ///
    /// Returns whether there is such a call.
    pub fn repeat_interrupted(&self) -> bool {
        self.with_pending(|pending| pending.repeat())
    }
}

#[allow(dead_code, reason = "hosts differ in what can be carried")]
pub(crate) struct Saving {
    /// How many bytes removed files may still have.
    pub(crate) room: u64,
    pub(crate) limit: u64,
    preopens: IndexVec<PreopenIndex, SavedPreopen>,
    pub(crate) contents: IndexVec<ContentsIndex, Contents>,
    /// Removed files, by device and serial number.
    pub(crate) unlinked: HashMap<(u64, u64), ContentsIndex>,
}

impl Saving {
    fn descriptor(&mut self, fd: GuestFd, open: &Descriptor) -> Result<Saved, SaveError> {
        if fd >= MAX_FD {
            let what = format!("past the {MAX_FD} descriptors that a state can have");
            return Err(SaveError::NotCarried { fd, what, advice: "let the guest close it" });
        }
        let stat = open.fdstat();
        let kind = match &open.origin {
            Origin::Stdio(role) => stdio(fd, *role, &open.kind)?,
            Origin::Preopen(home) => {
                let Kind::Dir(dir) = &open.kind else { return Err(unknown(fd)) };
                let listing = listing(fd, &home.name, dir)?;
                SavedKind::Preopen { preopen: self.preopen(home), listing }
            }
            Origin::Socket(given) => match &open.kind {
                Kind::Listener(_) => SavedKind::Listener { given: *given },
                _ => SavedKind::Socket,
            },
            Origin::Accepted => SavedKind::Socket,
            Origin::Opened(opened) => self.opened(fd, open, opened)?,
        };
        Ok(Saved {
            fd,
            filetype: stat.filetype,
            flags: stat.flags,
            base: stat.base,
            inheriting: stat.inheriting,
            kind,
        })
    }

    /// The preopened directory, which is added to the list if it is not in it.
    pub(crate) fn preopen(&mut self, home: &Home) -> PreopenIndex {
        let same = |p: &SavedPreopen| p.name == home.name && p.ordinal == home.ordinal;
        let known = self.preopens.iter().position(same).map(PreopenIndex::from_usize);
        known.unwrap_or_else(|| {
            self.preopens.push(SavedPreopen { name: home.name.clone(), ordinal: home.ordinal })
        })
    }
}

fn stdio(fd: GuestFd, role: u8, kind: &Kind) -> Result<SavedKind, SaveError> {
    let position = match kind {
        Kind::Stream(stream) => stream.position(),
        Kind::File(file) => {
            let offset = host::seek(file.fd(), SeekFrom::Current(0));
            Some(offset.map_err(|error| failed(fd, "a standard stream", error))?)
        }
        _ => None,
    };
    Ok(SavedKind::Stdio { role, position })
}

pub(crate) fn listing(
    fd: GuestFd,
    path: &str,
    dir: &Dir,
) -> Result<Option<Vec<Position>>, SaveError> {
    let listing = dir.positions().map_err(|error| failed(fd, path, error))?;
    if listing.as_ref().is_some_and(|listing| listing.len() > LISTING_LIMIT) {
        let what = format!(
            "the directory {path:?} in mid-listing, with more than {LISTING_LIMIT} entries"
        );
        return Err(SaveError::NotCarried { fd, what, advice: "let the guest close it before" });
    }
    Ok(listing)
}

pub(crate) fn failed(fd: GuestFd, what: &str, error: Errno) -> SaveError {
    SaveError::Host { fd, what: what.to_owned(), error }
}

/// No descriptor is so.
pub(crate) fn unknown(fd: GuestFd) -> SaveError {
    let what = "of an unknown kind".to_owned();
    SaveError::NotCarried { fd, what, advice: "let the guest close it before" }
}
