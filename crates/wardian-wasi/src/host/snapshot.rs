//! Hosts without positions in directories, and without `/proc`: a listing is a list of names, made when it begins, and
//! what a guest has opened by a path cannot be part of a saved state.

use std::collections::VecDeque;

use cap_fs_ext::DirEntryExt;
use cap_std::fs::Dir as HostDir;

use super::{Fd, metadata, stat};
use crate::errno::Errno;
use crate::origin::Opened;
use crate::readdir::{Entry, FIRST};
use crate::state::save::{Saving, unknown};
use crate::state::{Access, Contents, Identity, SaveError, SavedKind, guest_path};
use crate::table::{Descriptor, Kind};
use crate::types::{Filetype, GuestFd};

/// Entries that are given at once.
const BLOCK: usize = 256;

/// A directory that is being listed. A position is the number of entries before it.
pub(crate) struct Listing {
    dir: HostDir,
    entries: Option<Vec<(Vec<u8>, u64, Filetype)>>,
    position: usize,
}

impl Listing {
    pub(crate) fn new(dir: &HostDir) -> Result<Listing, Errno> {
        Ok(Listing { dir: dir.try_clone()?, entries: None, position: 0 })
    }

    /// Makes a position the next. At the start means what is there now.
    pub(crate) fn seek(&mut self, position: u64) -> Result<(), Errno> {
        if position == 0 {
            self.entries = None;
        }
        self.position = usize::try_from(position).map_err(|_| Errno::Inval)?;
        Ok(())
    }

    /// The next entries from the host; none at the end.
    pub(crate) fn block(&mut self) -> Result<VecDeque<Entry>, Errno> {
        let entries = match &mut self.entries {
            Some(entries) => entries,
            slot => slot.insert(entries(&self.dir)?),
        };
        let from = self.position.min(entries.len());
        let block = entries[from..].iter().take(BLOCK).zip(self.position as u64 + 1..);
        let block: VecDeque<Entry> = block
            .map(|((name, ino, filetype), next)| Entry {
                next: next + FIRST,
                ino: *ino,
                filetype: *filetype,
                name: name.clone(),
            })
            .collect();
        self.position += block.len();
        Ok(block)
    }
}

/// Names in a directory, with serial numbers, zero for what cannot be looked at.
fn entries(dir: &HostDir) -> Result<Vec<(Vec<u8>, u64, Filetype)>, Errno> {
    let mut found = Vec::new();
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name().as_encoded_bytes().to_vec();
        let known = entry.full_metadata().map(|meta| metadata(&meta));
        let (ino, filetype) =
            known.map_or((0, Filetype::Unknown), |stat| (stat.ino, stat.filetype));
        found.push((name, ino, filetype));
    }
    Ok(found)
}

impl Saving {
    /// What the guest opened by a path: nothing but sockets, which are lost anyway, is carried.
    pub(crate) fn opened(
        &mut self,
        fd: GuestFd,
        open: &Descriptor,
        opened: &Opened,
    ) -> Result<SavedKind, SaveError> {
        let shown = guest_path(&opened.home.name, opened.path.as_deref().unwrap_or("…"));
        match &open.kind {
            Kind::Socket(_) | Kind::Listener(_) => Ok(SavedKind::Socket),
            Kind::File(_) | Kind::Dir(_) => Err(SaveError::NotCarried {
                fd,
                what: format!(
                    "open as {shown:?}, and on this system it is not known where that is now"
                ),
                advice: "let the guest close it before",
            }),
            Kind::Stream(_) => Err(unknown(fd)),
        }
    }
}

impl Identity {
    /// That of an open file.
    pub(crate) fn of(file: &Fd) -> Result<Identity, Errno> {
        let stat = stat(file)?;
        Ok(Identity { dev: stat.dev, ino: stat.ino, size: stat.size, mtim: stat.mtim, born: 0 })
    }
}

/// # Errors
///
/// Always: there are no files without a name.
pub(crate) fn nameless(_: &Contents) -> Result<Fd, Errno> {
    Err(Errno::Notsup)
}

/// # Errors
///
/// As for [`nameless`].
pub(crate) fn open_again(_: &Fd, _: Access, _append: bool) -> Result<Fd, Errno> {
    Err(Errno::Notsup)
}

/// # Errors
///
/// Always: a directory that is open cannot be removed everywhere.
pub(crate) fn removed_directory() -> Result<Fd, Errno> {
    Err(Errno::Notsup)
}

/// Fills a buffer with random bytes.
pub(crate) fn random(buf: &mut [u8]) -> Result<(), Errno> {
    getrandom::fill(buf).map_err(|_| Errno::Io)
}

/// Advice is taken, and not followed.
pub(crate) fn advise(_: &Fd, _offset: u64, _len: u64, _advice: u32) -> Result<(), Errno> {
    Ok(())
}
