//! `fd_readdir`: directory entries by cookie.
//!
//! A cookie names the position after an entry: 0 is the start, 1 lies after
//! `.`, 2 after `..`, and the rest are the host's own positions plus
//! [`FIRST`]. Those stay valid while entries come and go, and keep nothing in
//! host memory but one block of entries, however large the directory.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, RawDir, SeekFrom};

use crate::clock::lock;
use crate::dir::Dir;
use crate::errno::Errno;
use crate::types::Filetype;
use crate::version::dirent;

/// The cookie of the first entry that is neither `.` nor `..`.
const FIRST: u64 = 2;

/// Bytes of host entries read at a time.
const BLOCK: usize = 16 * 1024;

/// Reading position in a directory.
pub(crate) struct Reader {
    fd: OwnedFd,
    /// The cookie of the first of `entries`.
    cookie: u64,
    entries: VecDeque<Entry>,
}

struct Entry {
    /// The cookie of the entry after this one.
    next: u64,
    ino: u64,
    filetype: Filetype,
    name: Vec<u8>,
}

/// A buffer that is being filled with entries.
pub(crate) struct Filling<'b> {
    out: &'b mut [u8],
    /// How many bytes are filled.
    pub(crate) used: usize,
    /// How many of them are whole entries.
    pub(crate) whole: usize,
    /// The cookie after the last whole entry.
    pub(crate) cookie: u64,
}

impl Filling<'_> {
    fn is_full(&self) -> bool {
        self.used == self.out.len()
    }

    /// Copies as much of an entry as fits.
    fn push(&mut self, entry: &Entry) {
        let name = entry.name.len();
        let head = dirent(entry.next, entry.ino, name as u32, entry.filetype);
        for part in [&head[..], &entry.name] {
            let rest = &mut self.out[self.used..];
            let fits = part.len().min(rest.len());
            rest[..fits].copy_from_slice(&part[..fits]);
            self.used += fits;
        }
        if self.used - self.whole == head.len() + name {
            self.whole = self.used;
            self.cookie = entry.next;
        }
    }
}

impl Dir {
    /// Fills `out` with entries from `cookie` on, the last one cut off where
    /// the buffer ends; fewer bytes than fit mean the end of the directory.
    ///
    /// Names are given as the host has them, even if they are not UTF-8.
    pub(crate) fn readdir<'b>(&self, cookie: u64, out: &'b mut [u8]) -> Result<Filling<'b>, Errno> {
        let mut filling = Filling { out, used: 0, whole: 0, cookie };
        while filling.cookie < FIRST && !filling.is_full() {
            filling.push(&self.dots(filling.cookie)?);
        }
        if filling.is_full() {
            return Ok(filling);
        }
        let mut slot = lock(&self.reader);
        let reader = match &mut *slot {
            Some(reader) => reader,
            None => {
                let (fd, entries) = (self.reopen()?, VecDeque::new());
                slot.insert(Reader { fd, cookie: FIRST, entries })
            }
        };
        if cookie < FIRST {
            // From the start means what is there now.
            reader.entries.clear();
        }
        reader.seek(filling.cookie)?;
        reader.read(&mut filling)?;
        Ok(filling)
    }

    /// The entries that every directory has.
    fn dots(&self, cookie: u64) -> Result<Entry, Errno> {
        let own = self.filestat()?;
        let (name, ino) = match cookie {
            0 => (".", own.ino),
            _ => ("..", self.parent_ino(&own)?),
        };
        let filetype = Filetype::Directory;
        Ok(Entry { next: cookie + 1, ino, filetype, name: name.into() })
    }
}

impl Reader {
    /// Makes `cookie` the position, without asking the host if its entries are
    /// at hand.
    fn seek(&mut self, cookie: u64) -> Result<(), Errno> {
        if cookie == self.cookie && !self.entries.is_empty() {
            return Ok(());
        }
        if let Some(i) = self.entries.iter().position(|entry| entry.next == cookie)
            && i + 1 < self.entries.len()
        {
            self.entries.drain(..=i);
        } else {
            self.entries.clear();
            let position = cookie - FIRST;
            if position > i64::MAX as u64 {
                return Err(Errno::Inval);
            }
            rustix::fs::seek(&self.fd, SeekFrom::Start(position))?;
        }
        self.cookie = cookie;
        Ok(())
    }

    /// Copies entries until the buffer is full or the directory has no more.
    /// The present block stays, for the entry that was cut off.
    fn read(&mut self, filling: &mut Filling<'_>) -> Result<(), Errno> {
        loop {
            for entry in &self.entries {
                filling.push(entry);
                if filling.is_full() {
                    return Ok(());
                }
            }
            let end = self.entries.back().map_or(self.cookie, |entry| entry.next);
            self.entries = self.block()?;
            self.cookie = end;
            if self.entries.is_empty() {
                return Ok(());
            }
        }
    }

    /// The next entries from the host; none at the end.
    fn block(&mut self) -> Result<VecDeque<Entry>, Errno> {
        let mut buf = [const { MaybeUninit::uninit() }; BLOCK];
        let mut entries = VecDeque::new();
        let mut raw = RawDir::new(&self.fd, &mut buf);
        while let Some(entry) = raw.next() {
            let entry = match entry {
                Ok(entry) => entry,
                // A directory that was removed while open has no entries.
                Err(rustix::io::Errno::NOENT) => break,
                Err(error) => return Err(error.into()),
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let next = entry.next_entry_cookie().wrapping_add(FIRST);
                let (ino, name) = (entry.ino(), name.to_vec());
                let filetype = self.filetype(entry.file_type(), entry.file_name());
                entries.push_back(Entry { next, ino, filetype, name });
            }
            if raw.is_buffer_empty() && !entries.is_empty() {
                break;
            }
        }
        Ok(entries)
    }

    /// Some file systems do not say in the entry what it is.
    fn filetype(&self, given: FileType, name: &std::ffi::CStr) -> Filetype {
        if given != FileType::Unknown {
            return given.into();
        }
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map_or(Filetype::Unknown, |stat| FileType::from_raw_mode(stat.st_mode).into())
    }
}
