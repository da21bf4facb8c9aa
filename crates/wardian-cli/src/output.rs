//! Standard output.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};

/// Writes all of it. A reader that has gone away, as in `wardian inspect x.wasm | head`, is no
/// error: it has what it wanted.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(e).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Whether standard output is a pipe that nobody reads any more, as in `wardian run x.wasm | head`.
pub(crate) fn reader_is_gone() -> bool {
    let out = io::stdout();
    let mut ask = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ask, Some(&now)).is_ok() && ask[0].revents().contains(PollFlags::ERR)
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}
