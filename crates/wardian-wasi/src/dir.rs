//! Directories and everything that goes through a path.
//!
//! A read-only directory answers whatever would change something with `perm`.

use std::sync::{Arc, Mutex};

use cap_fs_ext::{DirExt, SystemTimeSpec};
use cap_std::fs::Dir as HostDir;
use cap_std::time::{Duration, SystemTime};

use crate::errno::Errno;
use crate::host::{self, Fd};
use crate::origin::Home;
use crate::path::{Target, locate, relative};
use crate::readdir::{Position, Reader};
use crate::types::{Filestat, Filetype, NewTime, NewTimes, oflags};

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
        let stat = host::dir_stat(&host)?;
        let root = (stat.dev, stat.ino);
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
    pub(crate) fn removed(home: Arc<Home>, fd: Fd) -> Dir {
        Dir { host: Arc::new(host::dir_of(fd)), removed: true, ..Dir::of(home) }
    }

    /// A directory opened through this one.
    pub(crate) fn child(&self, fd: Fd) -> Dir {
        Dir { host: Arc::new(host::dir_of(fd)), ..Dir::of(Arc::clone(&self.home)) }
    }

    /// `path_open`: what is there, whatever it is. The host descriptor does
    /// not block, so that a FIFO opens at once and waits can be interrupted;
    /// `nxio` may mean that a FIFO has no reader yet.
    pub(crate) fn open(&self, path: &str, how: Open) -> Result<Fd, Errno> {
        relative(path)?;
        let creates = how.oflags & (oflags::CREAT | oflags::TRUNC) != 0;
        if self.read_only && (how.write || creates) {
            return Err(Errno::Perm);
        }
        if how.oflags & oflags::DIRECTORY != 0 && how.oflags & oflags::CREAT != 0 {
            return Err(Errno::Inval);
        }
        host::open(&self.host, path, how)
    }

    /// Whether a path names a FIFO.
    pub(crate) fn is_fifo(&self, path: &str, follow: bool) -> bool {
        host::is_fifo(&self.host, path, follow)
    }

    /// `path_create_directory`.
    pub(crate) fn create_directory(&self, path: &str) -> Result<(), Errno> {
        self.writable()?;
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Exist, Errno::Exist)?;
        host::make_dir(place.dir(), place.name)
    }

    /// `path_remove_directory`.
    pub(crate) fn remove_directory(&self, path: &str) -> Result<(), Errno> {
        self.writable()?;
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Inval, Errno::Notempty)?;
        host::remove_dir(place.dir(), place.name)
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
        host::remove_file(place.dir(), place.name)
    }

    /// `path_rename`.
    pub(crate) fn rename(&self, path: &str, to: &Dir, to_path: &str) -> Result<(), Errno> {
        self.writable()?;
        to.writable()?;
        let source = locate(&self.host, path)?;
        let target = locate(&to.host, to_path)?;
        let source = source.named(Errno::Busy, Errno::Busy)?;
        let target = target.named(Errno::Busy, Errno::Busy)?;
        if (source.slash || target.slash) && source.stat()?.filetype != Filetype::Directory {
            return Err(Errno::Notdir);
        }
        host::rename(source.dir(), source.name, target.dir(), target.name)
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
        host::link(source.dir(), source.name, target.dir(), target.name)
    }

    /// `path_symlink`. The target of the link is text; it is checked when it
    /// is followed. One that is absolute could never be followed.
    pub(crate) fn symlink(&self, contents: &str, path: &str) -> Result<(), Errno> {
        self.writable()?;
        relative(contents)?;
        let target = locate(&self.host, path)?;
        let place = target.named(Errno::Exist, Errno::Exist)?;
        place.no_slash()?;
        host::symlink(contents, place.dir(), place.name)
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
        let contents = host::read_link(place.dir(), place.name)?;
        if contents.starts_with(b"/") { Err(Errno::Perm) } else { Ok(contents) }
    }

    /// `path_filestat_get`.
    pub(crate) fn filestat_at(&self, path: &str, follow: bool) -> Result<Filestat, Errno> {
        if let Target::Named(place) = locate(&self.host, path)? {
            let stat = place.stat()?;
            if stat.filetype != Filetype::SymbolicLink || !(follow || place.slash) {
                place.directory_if_slash()?;
                return Ok(stat);
            }
        }
        Ok(host::metadata(&self.host.metadata(path)?))
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
            Target::Dot(dir) | Target::DotDot(dir) => host::set_dir_times(&dir, times),
            Target::Named(place) => {
                let link = place.stat()?.filetype == Filetype::SymbolicLink;
                if link && (follow || place.slash) {
                    let (atim, mtim) = (time_spec(times.atim), time_spec(times.mtim));
                    return Ok(DirExt::set_times(&*self.host, path, atim, mtim)?);
                }
                place.directory_if_slash()?;
                host::set_times_at(place.dir(), place.name, times)
            }
        }
    }

    /// `fd_filestat_get`.
    pub(crate) fn filestat(&self) -> Result<Filestat, Errno> {
        host::dir_stat(&self.host)
    }

    /// `fd_filestat_set_times`.
    pub(crate) fn set_times(&self, times: NewTimes) -> Result<(), Errno> {
        self.writable()?;
        host::set_dir_times(&self.host, times)
    }

    /// `fd_sync`.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        host::sync_dir(&self.host)
    }

    /// The serial number to show for `..`: at the top of the sandbox, its own.
    pub(crate) fn parent_ino(&self, own: &Filestat) -> Result<u64, Errno> {
        if self.removed || (own.dev, own.ino) == self.home.root {
            return Ok(own.ino);
        }
        host::parent_ino(&self.host)
    }

    fn writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::Perm) } else { Ok(()) }
    }
}

pub(crate) fn time_spec(time: NewTime) -> Option<SystemTimeSpec> {
    match time {
        NewTime::Keep => None,
        NewTime::Now => Some(SystemTimeSpec::SymbolicNow),
        NewTime::At(nanos) => {
            let epoch = SystemTime::from_std(std::time::UNIX_EPOCH);
            Some(SystemTimeSpec::Absolute(epoch + Duration::from_nanos(nanos)))
        }
    }
}
