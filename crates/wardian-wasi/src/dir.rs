//! Directories and everything that goes through a path.
//!
//! A read-only directory answers whatever would change something with `perm`.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use cap_fs_ext::{DirExt, FollowSymlinks, MetadataExt, OpenOptionsFollowExt, SystemTimeSpec};
use cap_std::fs::{Dir as HostDir, Metadata, OpenOptions, OpenOptionsExt};
use cap_std::time::{Duration, SystemTime};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::errno::Errno;
use crate::origin::Home;
use crate::path::{Place, Target, is, locate, relative};
use crate::readdir::{Position, Reader};
use crate::types::{Filestat, Filetype, NewTime, NewTimes, fdflags, oflags};

/// An open directory.
pub(crate) struct Dir {
    pub(crate) host: Arc<HostDir>,
    /// The guest's name for it, if it was there from the start.
    pub(crate) preopen: Option<String>,
    pub(crate) read_only: bool,
    /// The preopened directory it was reached by.
    pub(crate) home: Arc<Home>,
    /// It was removed, on another machine: it is empty and has no `..` of its own.
    removed: bool,
    pub(crate) reader: Mutex<Option<Reader>>,
    /// A listing that was begun before the program was saved.
    pub(crate) carried: Mutex<Option<Arc<[Position]>>>,
}

/// How `path_open` opens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) follow: bool,
    pub(crate) oflags: u16,
    pub(crate) fdflags: u16,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Dir {
    /// A directory that is there from the start.
    pub(crate) fn preopened(
        host: HostDir,
        name: String,
        ordinal: u32,
        read_only: bool,
    ) -> Result<Dir, Errno> {
        let stat = rustix::fs::fstat(&host)?;
        let root = (stat.st_dev, stat.st_ino);
        let preopen = Some(name.clone());
        let home = Arc::new(Home { name, ordinal, host: Arc::new(host), read_only, root });
        Ok(Dir { preopen, ..Dir::of(home) })
    }

    /// A preopened directory, not as one.
    pub(crate) fn of(home: Arc<Home>) -> Dir {
        Dir {
            host: Arc::clone(&home.host),
            preopen: None,
            read_only: home.read_only,
            home,
            removed: false,
            reader: Mutex::new(None),
            carried: Mutex::new(None),
        }
    }

    /// A directory that is removed already, and was reached by `home`.
    pub(crate) fn removed(home: Arc<Home>, fd: OwnedFd) -> Dir {
        Dir { host: Arc::new(HostDir::from(fd)), removed: true, ..Dir::of(home) }
    }

    /// A directory opened through this one.
    pub(crate) fn child(&self, fd: OwnedFd) -> Dir {
        Dir { host: Arc::new(HostDir::from(fd)), ..Dir::of(Arc::clone(&self.home)) }
    }

    /// `path_open`: what is there, whatever it is. The host descriptor does
    /// not block, so that a FIFO opens at once and waits can be interrupted;
    /// `nxio` may mean that a FIFO has no reader yet.
    pub(crate) fn open(&self, path: &str, how: Open) -> Result<OwnedFd, Errno> {
        relative(path)?;
        let creates = how.oflags & (oflags::CREAT | oflags::TRUNC) != 0;
        if self.read_only && (how.write || creates) {
            return Err(Errno::Perm);
        }
        if how.oflags & oflags::DIRECTORY != 0 && how.oflags & oflags::CREAT != 0 {
            return Err(Errno::Inval);
        }
        // The host truncates through descriptors that cannot write, but only
        // by accident.
        let write = how.write || how.oflags & oflags::TRUNC != 0;
        let mut options = OpenOptions::new();
        options
            .read(how.read || !write)
            .write(write)
            .follow(if how.follow { FollowSymlinks::Yes } else { FollowSymlinks::No })
            .custom_flags(host_flags(how).bits() as i32);
        Ok(self.host.open_with(path, &options)?.into())
    }

    /// Whether a path names a FIFO.
    pub(crate) fn is_fifo(&self, path: &str, follow: bool) -> bool {
        let stat = match locate(&self.host, path) {
            Ok(Target::Named(place)) => place.stat(),
            _ => return false,
        };
        match stat {
            Ok(stat) if is(&stat, FileType::Symlink) && follow => self
                .host
                .metadata(path)
                .is_ok_and(|m| FileType::from_raw_mode(m.mode_bits()) == FileType::Fifo),
            Ok(stat) => is(&stat, FileType::Fifo),
            Err(_) => false,
        }
    }

    /// `path_create_directory`.
    pub(crate) fn create_directory(&self, path: &str) -> Result<(), Errno> {
        self.writable()?;
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Exist, Errno::Exist)?;
        Ok(rustix::fs::mkdirat(&place.parent, place.name, Mode::from_raw_mode(0o777))?)
    }

    /// `path_remove_directory`.
    pub(crate) fn remove_directory(&self, path: &str) -> Result<(), Errno> {
        self.writable()?;
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Inval, Errno::Notempty)?;
        Ok(rustix::fs::unlinkat(&place.parent, place.name, AtFlags::REMOVEDIR)?)
    }

    /// `path_unlink_file`.
    pub(crate) fn unlink_file(&self, path: &str) -> Result<(), Errno> {
        self.writable()?;
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Isdir, Errno::Isdir)?;
        place.directory_if_slash()?;
        if place.slash {
            return Err(Errno::Isdir);
        }
        Ok(rustix::fs::unlinkat(&place.parent, place.name, AtFlags::empty())?)
    }

    /// `path_rename`.
    pub(crate) fn rename(&self, path: &str, to: &Dir, to_path: &str) -> Result<(), Errno> {
        self.writable()?;
        to.writable()?;
        let source = locate(&self.host, path)?;
        let target = locate(&to.host, to_path)?;
        let source = source.named(Errno::Busy, Errno::Busy)?;
        let target = target.named(Errno::Busy, Errno::Busy)?;
        if (source.slash || target.slash) && !is(&source.stat()?, FileType::Directory) {
            return Err(Errno::Notdir);
        }
        Ok(rustix::fs::renameat(&source.parent, source.name, &target.parent, target.name)?)
    }

    /// `path_link`. The source is never followed.
    pub(crate) fn link(&self, path: &str, to: &Dir, to_path: &str) -> Result<(), Errno> {
        // A second name in a writable directory would make a file writable.
        self.writable()?;
        to.writable()?;
        let source = locate(&self.host, path)?;
        let target = locate(&to.host, to_path)?;
        let source = source.named(Errno::Perm, Errno::Perm)?;
        let target = target.named(Errno::Exist, Errno::Exist)?;
        source.directory_if_slash()?;
        target.no_slash()?;
        let flags = AtFlags::empty();
        Ok(rustix::fs::linkat(&source.parent, source.name, &target.parent, target.name, flags)?)
    }

    /// `path_symlink`. The target of the link is text; it is checked when it
    /// is followed. One that is absolute could never be followed.
    pub(crate) fn symlink(&self, contents: &str, path: &str) -> Result<(), Errno> {
        self.writable()?;
        relative(contents)?;
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Exist, Errno::Exist)?;
        place.no_slash()?;
        Ok(rustix::fs::symlinkat(contents, &place.parent, place.name)?)
    }

    /// `path_readlink`. A link to an absolute path would reveal something of the host, and is `perm`.
    pub(crate) fn readlink(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Inval, Errno::Inval)?;
        if place.slash {
            // Names what the link leads to, which then is a directory.
            self.host.open_dir(path)?;
            return Err(Errno::Inval);
        }
        let contents = rustix::fs::readlinkat(&place.parent, place.name, Vec::new())?.into_bytes();
        if contents.starts_with(b"/") { Err(Errno::Perm) } else { Ok(contents) }
    }

    /// `path_filestat_get`.
    pub(crate) fn filestat_at(&self, path: &str, follow: bool) -> Result<Filestat, Errno> {
        if let Target::Named(place) = locate(&self.host, path)? {
            let stat = place.stat()?;
            if !is(&stat, FileType::Symlink) || !(follow || place.slash) {
                place.directory_if_slash()?;
                return Ok(Filestat::from(&stat));
            }
        }
        Ok(from_metadata(&self.host.metadata(path)?))
    }

    /// `path_filestat_set_times`.
    pub(crate) fn set_times_at(
        &self,
        path: &str,
        follow: bool,
        times: NewTimes,
    ) -> Result<(), Errno> {
        self.writable()?;
        match locate(&self.host, path)? {
            Target::Dot(dir) | Target::DotDot(dir) => set_directory_times(&dir, times),
            Target::Named(place) => {
                let link = is(&place.stat()?, FileType::Symlink);
                if link && (follow || place.slash) {
                    let (atim, mtim) = (time_spec(times.atim), time_spec(times.mtim));
                    return Ok(DirExt::set_times(&*self.host, path, atim, mtim)?);
                }
                set_name_times(&place, times)
            }
        }
    }

    /// `fd_filestat_get`.
    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        Ok(Filestat::from(&rustix::fs::fstat(&self.host)?))
    }

    /// `fd_filestat_set_times`.
    pub(crate) fn set_times(&self, times: NewTimes) -> Result<(), Errno> {
        self.writable()?;
        set_directory_times(&self.host, times)
    }

    /// `fd_sync`.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        Ok(rustix::fs::fsync(self.reopen()?)?)
    }

    /// A descriptor of the same directory that can do more than resolve paths.
    pub(crate) fn reopen(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.host, ".", flags, Mode::empty())?)
    }

    /// The serial number to show for `..`: at the top of the sandbox, its own.
    pub(crate) fn parent_ino(&self, own: &Filestat) -> Result<u64, Errno> {
        if self.removed || (own.dev, own.ino) == self.home.root {
            return Ok(own.ino);
        }
        Ok(rustix::fs::statat(&self.host, "..", AtFlags::empty())?.st_ino)
    }

    fn writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::Perm) } else { Ok(()) }
    }
}

fn host_flags(how: Open) -> OFlags {
    let oflag = |bit, host| if how.oflags & bit != 0 { host } else { OFlags::empty() };
    let fdflag = |bit, host| if how.fdflags & bit != 0 { host } else { OFlags::empty() };
    OFlags::NONBLOCK
        | OFlags::NOCTTY
        | oflag(oflags::CREAT, OFlags::CREATE)
        | oflag(oflags::DIRECTORY, OFlags::DIRECTORY)
        | oflag(oflags::EXCL, OFlags::EXCL)
        | oflag(oflags::TRUNC, OFlags::TRUNC)
        | fdflag(fdflags::APPEND, OFlags::APPEND)
        | fdflag(fdflags::DSYNC, OFlags::DSYNC)
        | fdflag(fdflags::RSYNC, OFlags::RSYNC)
        | fdflag(fdflags::SYNC, OFlags::SYNC)
}

/// Sets the times of a name that is not to be followed.
fn set_name_times(place: &Place<'_, '_>, times: NewTimes) -> Result<(), Errno> {
    place.directory_if_slash()?;
    let times = times.timestamps();
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(&place.parent, place.name, &times, flags)?)
}

fn set_directory_times(dir: &HostDir, times: NewTimes) -> Result<(), Errno> {
    Ok(rustix::fs::utimensat(dir, ".", &times.timestamps(), AtFlags::empty())?)
}

fn time_spec(time: NewTime) -> Option<SystemTimeSpec> {
    match time {
        NewTime::Keep => None,
        NewTime::Now => Some(SystemTimeSpec::SymbolicNow),
        NewTime::At(nanos) => {
            let epoch = SystemTime::from_std(std::time::UNIX_EPOCH);
            Some(SystemTimeSpec::Absolute(epoch + Duration::from_nanos(nanos)))
        }
    }
}

/// The mode of a file, by the trait of the operating system's own metadata.
trait ModeBits {
    fn mode_bits(&self) -> u32;
}

impl ModeBits for Metadata {
    fn mode_bits(&self) -> u32 {
        cap_fs_ext::OsMetadataExt::mode(self)
    }
}

fn from_metadata(meta: &Metadata) -> Filestat {
    use cap_fs_ext::OsMetadataExt as Os;
    let time = |seconds: i64, nanos: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos as u64)
    };
    Filestat {
        dev: MetadataExt::dev(meta),
        ino: MetadataExt::ino(meta),
        filetype: Filetype::from(FileType::from_raw_mode(meta.mode_bits())),
        nlink: MetadataExt::nlink(meta),
        size: meta.len(),
        atim: time(Os::atime(meta), Os::atime_nsec(meta)),
        mtim: time(Os::mtime(meta), Os::mtime_nsec(meta)),
        ctim: time(Os::ctime(meta), Os::ctime_nsec(meta)),
    }
}
