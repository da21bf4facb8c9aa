//! Linux's kernel: Linux and Android.

mod find;
mod listing;
mod saving;

pub(crate) use listing::Listing;
pub(crate) use saving::{nameless, open_again, removed_directory};

use std::num::NonZeroU64;

use rustix::fs::Advice;
use rustix::rand::{GetRandomFlags, getrandom};

use super::Fd;
use super::unix::reopen;
use crate::errno::Errno;

/// Waits until a file is stored; `data` says that it is the contents that matter.
pub(crate) fn sync(fd: &Fd, data: bool) -> Result<(), Errno> {
    Ok(if data { rustix::fs::fdatasync(fd) } else { rustix::fs::fsync(fd) }?)
}

/// Tells the host how a part of a file will be used: `advice` is WASI's.
pub(crate) fn advise(fd: &Fd, offset: u64, len: u64, advice: u32) -> Result<(), Errno> {
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        _ => Advice::NoReuse,
    };
    Ok(rustix::fs::fadvise(fd, offset, NonZeroU64::new(len), advice)?)
}

/// Fills a buffer with random bytes.
pub(crate) fn random(buf: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < buf.len() {
        match getrandom(&mut buf[done..], GetRandomFlags::empty()) {
            Ok(got) => done += got,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
