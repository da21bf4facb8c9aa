//! Standard output.

use std::io::{self, Write};

pub(crate) use crate::host::reader_is_gone;

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

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}
