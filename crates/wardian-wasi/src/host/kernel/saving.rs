//! What is open, as a saved state has it, and back.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, MemfdFlags, Mode, OFlags, Stat, StatxFlags};

use super::find;
use crate::errno::Errno;
use crate::file::File;
use crate::host::Fd;
use crate::origin::Opened;
use crate::state::save::{Saving, failed, listing, unknown};
use crate::state::{Access, Contents, ContentsIndex, Identity, SaveError, SavedKind, guest_path};
use crate::stream::Stream;
use crate::table::{Descriptor, Kind};
use crate::types::{Filestat, Filetype, GuestFd, NewTime, NewTimes};

impl Saving {
    /// What the guest opened by a path.
    pub(crate) fn opened(
        &mut self,
        fd: GuestFd,
        open: &Descriptor,
        opened: &Opened,
    ) -> Result<SavedKind, SaveError> {
        let shown = guest_path(&opened.home.name, opened.path.as_deref().unwrap_or("…"));
        let not = |what: &str, advice| {
            Err(SaveError::NotCarried { fd, what: format!("{what} {shown:?}"), advice })
        };
        let host = match &open.kind {
            Kind::File(file) => file.fd().as_fd(),
            Kind::Dir(dir) => dir.host.as_fd(),
            Kind::Stream(Stream::Host(host)) => host.fd().as_fd(),
            Kind::Socket(_) | Kind::Listener(_) => return Ok(SavedKind::Socket),
            Kind::Stream(_) => return Err(unknown(fd)),
        };
        let ask = |error: rustix::io::Errno| failed(fd, &shown, error.into());
        let stat = rustix::fs::fstat(host).map_err(ask)?;
        let path = find::path(opened, host, &stat);
        let preopen = self.preopen(&opened.home);
        match (&open.kind, path) {
            (Kind::File(file), Some(path)) => {
                let identity = identity(host).map_err(ask)?;
                let (access, offset) = position(file).map_err(ask)?;
                Ok(SavedKind::File { preopen, path, access, offset, identity })
            }
            (Kind::File(file), None) if stat.st_nlink == 0 => {
                let path = opened.path.as_deref().unwrap_or_default().to_owned();
                let (access, offset) = position(file).map_err(ask)?;
                let contents = self.contents(fd, &shown, host, &stat)?;
                Ok(SavedKind::Unlinked { preopen, path, access, offset, contents })
            }
            (Kind::Dir(dir), Some(path)) => {
                let listing = listing(fd, &shown, dir)?;
                Ok(SavedKind::Directory { preopen, path, listing })
            }
            (Kind::Dir(_), None) if stat.st_nlink == 0 => {
                let path = opened.path.as_deref().unwrap_or_default().to_owned();
                Ok(SavedKind::RemovedDirectory { preopen, path })
            }
            (Kind::Stream(_), Some(path)) if open.filetype == Filetype::CharacterDevice => {
                let access = access(host).map_err(ask)?;
                Ok(SavedKind::Device { preopen, path, access })
            }
            (Kind::Stream(_), _) => not(
                "a FIFO or device",
                "it holds data that is not part of the guest; let the guest close it before",
            ),
            _ => not(
                "a file or directory that is no longer found beneath its preopened directory: it was",
                "move it back, or let the guest close it before",
            ),
        }
    }

    /// A removed file, whose contents are added to the list if they are not in it. Descriptors of the same file share it.
    fn contents(
        &mut self,
        fd: GuestFd,
        path: &str,
        host: BorrowedFd<'_>,
        stat: &Stat,
    ) -> Result<ContentsIndex, SaveError> {
        let identity = (stat.st_dev, stat.st_ino);
        if let Some(known) = self.unlinked.get(&identity) {
            return Ok(*known);
        }
        let Filestat { size, mtim, .. } = Filestat::from(stat);
        if size > self.room {
            let path = path.to_owned();
            return Err(SaveError::Unlinked { fd, path, size, limit: self.limit });
        }
        self.room -= size;
        let bytes = read(host, size as usize).map_err(|e| failed(fd, path, e.into()))?;
        let contents = self.contents.push(Contents { bytes, mtim });
        self.unlinked.insert(identity, contents);
        Ok(contents)
    }
}

impl Identity {
    /// That of an open file.
    pub(crate) fn of(file: &Fd) -> Result<Identity, Errno> {
        Ok(identity(file.as_fd())?)
    }
}

fn identity(file: BorrowedFd<'_>) -> rustix::io::Result<Identity> {
    let stat = rustix::fs::fstat(file)?;
    let Filestat { dev, ino, size, mtim, .. } = Filestat::from(&stat);
    Ok(Identity { dev, ino, size, mtim, born: born(file) })
}

/// When a file was made; zero if nobody knows.
fn born(file: BorrowedFd<'_>) -> u64 {
    let flags = StatxFlags::BTIME;
    let Ok(stat) = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, flags) else { return 0 };
    if !StatxFlags::from_bits_retain(stat.stx_mask).contains(flags) {
        return 0;
    }
    let seconds = u64::try_from(stat.stx_btime.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(stat.stx_btime.tv_nsec.into())
}

fn position(file: &File) -> Result<(Access, u64), rustix::io::Errno> {
    Ok((access(file.fd().as_fd())?, rustix::fs::tell(file.fd())?))
}

fn access(host: BorrowedFd<'_>) -> Result<Access, rustix::io::Errno> {
    let flags = rustix::fs::fcntl_getfl(host)? & OFlags::RWMODE;
    Ok(Access { read: flags != OFlags::WRONLY, write: flags != OFlags::RDONLY })
}

/// The first `size` bytes of a file, or all if there are fewer.
fn read(host: BorrowedFd<'_>, size: usize) -> Result<Vec<u8>, rustix::io::Errno> {
    let readable: OwnedFd;
    let host = match rustix::io::pread(host, &mut [0; 1], 0) {
        // The guest opened it only to write.
        Err(rustix::io::Errno::BADF) => {
            let link = format!("/proc/self/fd/{}", host.as_raw_fd());
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            readable = rustix::fs::open(link, flags, Mode::empty())?;
            readable.as_fd()
        }
        _ => host,
    };
    let mut bytes = vec![0; size];
    let mut done = 0;
    while done < size {
        match rustix::io::pread(host, &mut bytes[done..], done as u64) {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Another description of the same file.
pub(crate) fn open_again(file: &Fd, access: Access, append: bool) -> Result<Fd, Errno> {
    let mode = match (access.read, access.write) {
        (true, true) => OFlags::RDWR,
        (false, _) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    let append = if append { OFlags::APPEND } else { OFlags::empty() };
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    Ok(rustix::fs::open(link, mode | append | OFlags::CLOEXEC, Mode::empty())?)
}

/// A file that has no name, with these contents.
pub(crate) fn nameless(contents: &Contents) -> Result<Fd, Errno> {
    let fd = rustix::fs::memfd_create("wasi-removed", MemfdFlags::CLOEXEC).or_else(|_| {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)
    })?;
    let mut file = std::fs::File::from(fd);
    file.write_all(&contents.bytes)?;
    let times = NewTimes { atim: NewTime::Keep, mtim: NewTime::At(contents.mtim) };
    rustix::fs::futimens(&file, &times.timestamps())?;
    Ok(file.into())
}

/// A directory that exists no longer: made among the host's temporary files, and removed at once.
pub(crate) fn removed_directory() -> Result<Fd, Errno> {
    let mut random = [0; 16];
    super::random(&mut random)?;
    let name = format!("wasi-removed-{:032x}", u128::from_le_bytes(random));
    let path = std::env::temp_dir().join(name);
    rustix::fs::mkdir(&path, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::empty());
    rustix::fs::unlinkat(CWD, &path, AtFlags::REMOVEDIR)?;
    Ok(opened?)
}
