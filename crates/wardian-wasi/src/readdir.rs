//! `fd_readdir`: directory entries by cookie.
//!
//! A cookie names the position after an entry: 0 is the start, 1 lies after
//! `.`, 2 after `..`, and the rest are the host's own positions plus
//! [`FIRST`]. Those stay valid while entries come and go, and keep nothing in
//! host memory but one block of entries, however large the directory.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::clock::lock;
use crate::dir::Dir;
use crate::errno::Errno;
use crate::host::{self, Listing};
use crate::types::Filetype;
use crate::version::dirent;

/// The cookie of the first entry that is neither `.` nor `..`.
pub(crate) const FIRST: u64 = 2;

/// Reading position in a directory.
pub(crate) struct Reader {
    listing: Listing,
    /// The cookie of the first of `entries`.
    cookie: u64,
    entries: VecDeque<Entry>,
}

pub(crate) struct Entry {
    /// The cookie of the entry after this one.
    pub(crate) next: u64,
    pub(crate) ino: u64,
    pub(crate) filetype: Filetype,
    pub(crate) name: Vec<u8>,
}

/// A position in a listing that was begun before the program was saved: after an entry of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Its cookie.
    pub(crate) next: u64,
    /// The entry's name. If it is empty, only the cookie is known, and the entry is gone.
    pub(crate) name: Vec<u8>,
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
        if let Some(carried) = self.carried(cookie) {
            self.fill_carried(&carried, &mut filling)?;
            return Ok(filling);
        }
        let mut slot = lock(&self.reader);
        let reader = match &mut *slot {
            Some(reader) => reader,
            None => {
                let (listing, entries) = (Listing::new(&self.host)?, VecDeque::new());
                slot.insert(Reader { listing, cookie: FIRST, entries })
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

    /// The listing that was begun before the program was saved, if it is to be continued. From the start
    /// means what is there now.
    fn carried(&self, cookie: u64) -> Option<Arc<[Position]>> {
        let mut carried = lock(&self.carried);
        if cookie < FIRST {
            *carried = None;
        }
        carried.clone()
    }

    /// Continues a listing with those of its entries that still exist.
    fn fill_carried(&self, carried: &[Position], filling: &mut Filling<'_>) -> Result<(), Errno> {
        let after = match filling.cookie {
            FIRST => 0,
            cookie => 1 + carried.iter().position(|p| p.next == cookie).ok_or(Errno::Inval)?,
        };
        for Position { next, name } in carried[after..].iter().filter(|p| !p.name.is_empty()) {
            let stat = match host::stat_of(&self.host, name) {
                Ok(stat) => stat,
                Err(Errno::Noent) => continue,
                Err(error) => return Err(error),
            };
            let (ino, filetype, name) = (stat.ino, stat.filetype, name.clone());
            filling.push(&Entry { next: *next, ino, filetype, name });
            if filling.is_full() {
                break;
            }
        }
        Ok(())
    }

    /// The positions of a listing that has been begun, for a saved state: all that the guest can have seen
    /// the cookies of, in the host's order.
    pub(crate) fn positions(&self) -> Result<Option<Vec<Position>>, Errno> {
        if let Some(carried) = &*lock(&self.carried) {
            return Ok(Some(carried.to_vec()));
        }
        let slot = lock(&self.reader);
        let Some(reader) = &*slot else { return Ok(None) };
        let ahead = self.scan(reader.cookie)?;
        let mut ahead_names: HashSet<Vec<u8>> = ahead.iter().map(|p| p.name.clone()).collect();
        let mut positions = self.scan(FIRST)?;
        positions.retain(|p| !ahead_names.contains(&p.name));
        // Entries that the guest knows the cookies of may be gone.
        if reader.cookie != FIRST && positions.last().is_none_or(|p| p.next != reader.cookie) {
            positions.push(Position { next: reader.cookie, name: Vec::new() });
        }
        let mut ahead = ahead.into_iter();
        for entry in &reader.entries {
            if ahead_names.contains(&entry.name) {
                for position in ahead.by_ref() {
                    ahead_names.remove(&position.name);
                    let found = position.name == entry.name;
                    positions.push(position);
                    if found {
                        break;
                    }
                }
            } else {
                positions.push(Position { next: entry.next, name: entry.name.clone() });
            }
        }
        positions.extend(ahead);
        Ok(Some(positions))
    }

    /// What is there from this cookie on.
    fn scan(&self, cookie: u64) -> Result<Vec<Position>, Errno> {
        let listing = Listing::new(&self.host)?;
        let mut reader = Reader { listing, cookie: FIRST, entries: VecDeque::new() };
        reader.seek(cookie)?;
        let mut found = Vec::new();
        loop {
            let block = reader.listing.block()?;
            if block.is_empty() {
                return Ok(found);
            }
            found.extend(block.into_iter().map(|e| Position { next: e.next, name: e.name }));
        }
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
            self.listing.seek(position)?;
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
            self.entries = self.listing.block()?;
            self.cookie = end;
            if self.entries.is_empty() {
                return Ok(());
            }
        }
    }
}
