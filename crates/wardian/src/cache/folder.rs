//! The cache's folder: who may use it, and its files.
//!
//! All files are reached through a descriptor of the folder, which was checked; a folder that
//! somebody puts in its place later is never looked at.

use super::entry::{self, Entry};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wardian_vm::torture::{self, Point};

/// How long a use of an entry need not be noted again.
const TOUCH_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// A folder that belongs to the user and nobody else can look into or change.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    fd: Arc<OwnedFd>,
}

/// Why a folder cannot hold a cache.
#[derive(Debug, thiserror::Error)]
#[error("the cache folder {} is not used: {reason}", path.display())]
pub(super) struct Unusable {
    path: PathBuf,
    reason: String,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Result<Folder, Unusable> {
        match open_checked(&path) {
            Ok(fd) => Ok(Folder { path, fd: Arc::new(fd) }),
            Err(reason) => Err(Unusable { path, reason }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files of the cache. Other files in the folder are left out.
    pub(super) fn list(&self) -> io::Result<Vec<Entry>> {
        torture::check(Point::File)?;
        let mut entries = Vec::new();
        for file in fs::Dir::read_from(&*self.fd)? {
            let file = file?;
            let Ok(name) = file.file_name().to_str() else { continue };
            let temporary = entry::is_temporary(name);
            if !temporary && !entry::is_name(name) {
                continue;
            }
            // A file that has vanished meanwhile is no error: others clean up too.
            let Ok(stat) = fs::statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            entries.push(Entry {
                name: name.to_owned(),
                size: u64::try_from(stat.st_size).unwrap_or(0),
                modified: modified(&stat),
                temporary,
            });
        }
        Ok(entries)
    }

    /// Removes a file; whether it did.
    pub(super) fn remove(&self, name: &str) -> bool {
        !torture::fails(Point::File) && fs::unlinkat(&*self.fd, name, AtFlags::empty()).is_ok()
    }

    /// Reads a file and notes that it was used. `None` if it is not there, or is not a regular
    /// file that only the user can change.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        check_folder(&fs::fstat(&*self.fd).ok()?).ok()?;
        torture::check(Point::File).ok()?;
        // Opening a FIFO that somebody left here must not wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = fs::openat(&*self.fd, name, flags, Mode::empty()).ok()?;
        let stat = fs::fstat(&fd).ok()?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let others_write = Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
        if !regular || others_write || stat.st_uid != user() {
            return None;
        }
        if modified(&stat).elapsed().is_ok_and(|age| age > TOUCH_INTERVAL) {
            touch(&fd);
        }
        let mut bytes = Vec::new();
        torture::check(Point::Allocate).ok()?;
        bytes.try_reserve_exact(usize::try_from(stat.st_size).ok()?).ok()?;
        torture::check(Point::File).ok()?;
        File::from(fd).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Puts a file in place as a whole; whether it did. Nothing is left behind if not.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> bool {
        let Ok(stat) = fs::fstat(&*self.fd) else { return false };
        if check_folder(&stat).is_err() {
            return false;
        }
        if torture::fails(Point::File) {
            return false;
        }
        let temporary = temporary_name(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let Ok(fd) = fs::openat(&*self.fd, &temporary, flags, Mode::RUSR | Mode::WUSR) else {
            return false;
        };
        // Not synchronised with the disk: what a power cut leaves is found by its hash.
        let written = torture::check(Point::File).is_ok()
            && File::from(fd).write_all(bytes).is_ok()
            && torture::check(Point::File).is_ok()
            && fs::renameat(&*self.fd, &temporary, &*self.fd, name).is_ok();
        if !written {
            self.remove(&temporary);
        }
        written
    }
}

/// Opens the folder, making it if it is not there, and checks the folder that was opened.
fn open_checked(path: &Path) -> Result<OwnedFd, String> {
    torture::check(Point::File).map_err(|e| format!("it cannot be looked at: {e}"))?;
    let mut made = std::fs::DirBuilder::new();
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|e| format!("its parent cannot be made: {e}"))?;
    }
    match made.mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(format!("it cannot be made: {e}"));
        }
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = fs::open(path, flags, Mode::empty()).map_err(|e| why_not_opened(path, e))?;
    let stat = fs::fstat(&fd).map_err(|e| format!("its owner is not known: {e}"))?;
    check_folder(&stat)?;
    Ok(fd)
}

fn why_not_opened(path: &Path, error: Errno) -> String {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => "it is a symbolic link".to_owned(),
        Ok(meta) if !meta.is_dir() => "it is not a folder".to_owned(),
        _ => format!("it cannot be opened: {error}"),
    }
}

fn check_folder(stat: &Stat) -> Result<(), String> {
    let user = user();
    if stat.st_uid != user {
        return Err(format!("it belongs to user {}, and this is user {user}", stat.st_uid));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        return Err(format!(
            "others have access to it (mode {:04o}); `chmod 700` it once you are sure of what it holds, or \
             remove it",
            mode.bits()
        ));
    }
    Ok(())
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// Notes the use; if it cannot be noted, the entry just goes earlier.
fn touch(fd: &OwnedFd) {
    let now = fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW };
    let times = fs::Timestamps { last_access: now, last_modification: now };
    let _ = fs::futimens(fd, &times);
}

/// A name that no other writer uses. Process numbers alone do not distinguish writers in containers that
/// share the folder, so the time is part of the name. If names clash all the same, the write fails.
fn temporary_name(name: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let key = name.split('.').next().unwrap_or(name);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    format!("{key}.{}-{number}-{nanos:x}.tmp", std::process::id())
}
