//! Where a trace goes, and how much of it.

use std::io::{self, Write};

/// What is gathered before it is written.
const BUFFER: usize = 64 << 10;

/// A writer behind a buffer, with a limit.
pub(super) struct Output {
    pub(super) buffer: Vec<u8>,
    writer: Box<dyn Write + Send>,
    /// Bytes that were given to the writer.
    written: u64,
    limit: u64,
    /// How much is gathered.
    gather: usize,
    /// The first error. After it nothing is written.
    error: Option<io::Error>,
}

impl Output {
    pub(super) fn new(writer: Box<dyn Write + Send>, limit: u64, unbuffered: bool) -> Output {
        let buffer = Vec::with_capacity(BUFFER + BUFFER / 8);
        Output {
            buffer,
            writer,
            written: 0,
            limit,
            gather: if unbuffered { 1 } else { BUFFER },
            error: None,
        }
    }

    /// Whether another call may be written.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.written + (self.buffer.len() as u64) < self.limit && self.error.is_none()
    }

    /// Writes what was gathered, if it is much.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.buffer.len() >= self.gather {
            self.write();
        }
    }

    #[cold]
    fn write(&mut self) {
        self.written += self.buffer.len() as u64;
        if self.error.is_none()
            && let Err(error) = self.writer.write_all(&self.buffer)
        {
            self.error = Some(error);
        }
        self.buffer.clear();
    }

    /// Writes all that was gathered.
    pub(super) fn flush(&mut self) {
        self.write();
        if self.error.is_none()
            && let Err(error) = self.writer.flush()
        {
            self.error = Some(error);
        }
    }

    /// Whether all could be written.
    pub(super) fn result(&self) -> io::Result<()> {
        match &self.error {
            // It stays, so that nothing more is written.
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Ok(()),
        }
    }
}
