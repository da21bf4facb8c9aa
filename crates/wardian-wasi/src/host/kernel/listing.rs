//! Directories as the host lists them.

use std::collections::VecDeque;
use std::mem::MaybeUninit;

use cap_std::fs::Dir as HostDir;
use rustix::fs::{AtFlags, FileType, RawDir, SeekFrom};

use crate::errno::Errno;
use crate::host::Fd;
use crate::readdir::{Entry, FIRST};
use crate::types::Filetype;

/// Bytes of host entries read at a time.
const BLOCK: usize = 16 * 1024;

/// A directory that is being listed.
pub(crate) struct Listing {
    fd: Fd,
}

impl Listing {
    pub(crate) fn new(dir: &HostDir) -> Result<Listing, Errno> {
        Ok(Listing { fd: super::reopen(dir)? })
    }

    /// Makes a position of the host the next.
    pub(crate) fn seek(&mut self, position: u64) -> Result<(), Errno> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(position))?;
        Ok(())
    }

    /// The next entries from the host; none at the end.
    pub(crate) fn block(&mut self) -> Result<VecDeque<Entry>, Errno> {
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
