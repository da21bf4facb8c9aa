//! Apple's systems. Never run: see docs/platforms.md.

use super::Fd;
use crate::errno::Errno;

/// Waits until a file is stored.
pub(crate) fn sync(fd: &Fd, _data: bool) -> Result<(), Errno> {
    Ok(rustix::fs::fsync(fd)?)
}
