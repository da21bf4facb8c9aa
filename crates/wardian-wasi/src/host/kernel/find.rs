//! By which path something that is open can be opened again.
//!
//! What the guest did since it opened a file may have moved it: it or a directory above it may have been
//! renamed, or replaced. So a path counts only if it leads to the same file now. The path that it was opened
//! by is tried first, then the one that the kernel knows, and last, for a file that still has a name, all
//! names beneath the directory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};

use crate::dir::Dir;
use crate::origin::Opened;

/// How many names are looked at for one file at most.
const SEARCHED: usize = 1 << 16;

/// Bytes of entries read at a time.
const BLOCK: usize = 16 * 1024;

/// The path beneath the preopened directory that leads to what is open as `fd`, if one is found.
pub(crate) fn path(opened: &Opened, fd: BorrowedFd<'_>, stat: &Stat) -> Option<String> {
    let home = Dir::of(Arc::clone(&opened.home));
    let leads_there = |path: &str| {
        let found = home.filestat_at(path, true);
        found.is_ok_and(|found| (found.dev, found.ino) == identity(stat))
    };
    let as_opened = opened.path.as_deref().filter(|path| leads_there(path)).map(str::to_owned);
    as_opened
        .or_else(|| kernel_path(opened, fd).filter(|path| leads_there(path)))
        .or_else(|| (stat.st_nlink > 0).then(|| search(opened, stat))?)
        .filter(|path| path.len() as u64 <= crate::guest::PATH_MAX)
}

/// The path as the kernel knows it, which follows renames of it and of what is above it.
fn kernel_path(opened: &Opened, fd: BorrowedFd<'_>) -> Option<String> {
    let of = |fd: BorrowedFd<'_>| {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::readlink(link, Vec::new()).ok()
    };
    let (path, home) = (of(fd)?, of(opened.home.host.as_fd())?);
    let below = path.as_bytes().strip_prefix(home.as_bytes())?;
    let below = match below {
        [] => b".",
        [b'/', below @ ..] => below,
        below if home.as_bytes().ends_with(b"/") => below,
        _ => return None,
    };
    Some(std::str::from_utf8(below).ok()?.to_owned())
}

/// Another name of the file: it may have had several, and lost the one it was opened by.
fn search(opened: &Opened, stat: &Stat) -> Option<String> {
    let mut left = SEARCHED;
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = if folder.is_empty() { "." } else { &folder[..] };
        let Ok(dir) = opened.home.host.open_dir(path) else { continue };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(listed) = rustix::fs::openat(&dir, ".", flags, Mode::empty()) else { continue };
        let mut buf = Vec::with_capacity(BLOCK);
        let mut entries = RawDir::new(&listed, buf.spare_capacity_mut());
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name();
            let Ok(text) = name.to_str() else { continue };
            if text == "." || text == ".." {
                continue;
            }
            left = left.checked_sub(1)?;
            let Ok(found) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let path = if folder.is_empty() { text.into() } else { [&folder, "/", text].concat() };
            if identity(&found) == identity(stat) {
                return Some(path);
            }
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                folders.push(path);
            }
        }
    }
    None
}

/// Device and serial number.
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
