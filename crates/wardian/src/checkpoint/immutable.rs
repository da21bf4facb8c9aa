//! Reading a checkpoint of a file that does not change: what is in it is mapped instead of read.

use super::ImmutableFile;
use super::format::{Source, Stored};
use crate::{Error, Result};
use std::io::{self, Read};
use std::ops::Range;
use wardian_runtime::checkpoint::Target;
use wardian_runtime::checkpoint::pages::{CHUNK, ChunkIndex, Packing};
use wardian_runtime::checkpoint::state::MemoryNumber;

/// What a checkpoint is read from.
pub(super) enum Input<'r> {
    Stream(Box<dyn Read + 'r>),
    File(Cursor),
}

/// A place in a file.
pub(super) struct Cursor {
    file: ImmutableFile,
    at: u64,
    /// Bytes from the place on.
    buffer: Vec<u8>,
    used: usize,
}

impl Cursor {
    pub(super) fn new(file: ImmutableFile) -> Cursor {
        Cursor { file, at: 0, buffer: Vec::new(), used: 0 }
    }

    /// Passes over bytes.
    fn skip(&mut self, len: usize) {
        let here = len.min(self.buffer.len() - self.used);
        self.used += here;
        self.at += len as u64;
        if here < len {
            self.buffer.clear();
            self.used = 0;
        }
    }
}

impl Read for Cursor {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        const BUFFER: usize = 16 << 10;
        if self.used == self.buffer.len() {
            if bytes.len() >= BUFFER {
                let read = self.file.read_at(bytes, self.at)?;
                self.at += read as u64;
                return Ok(read);
            }
            self.buffer.resize(BUFFER, 0);
            let read = self.file.read_at(&mut self.buffer, self.at)?;
            self.buffer.truncate(read);
            self.used = 0;
        }
        let len = bytes.len().min(self.buffer.len() - self.used);
        bytes[..len].copy_from_slice(&self.buffer[self.used..][..len]);
        (self.used, self.at) = (self.used + len, self.at + len as u64);
        Ok(len)
    }
}

impl Read for Input<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Stream(stream) => stream.read(bytes),
            Input::File(file) => file.read(bytes),
        }
    }
}

/// Parts of memories that are to show a file, as many at once as are next to each other in both.
#[derive(Default)]
pub(super) struct Shown {
    parts: Vec<Part>,
}

struct Part {
    /// The memory of the checkpoint that is resumed.
    target: MemoryNumber,
    range: Range<usize>,
    file: ImmutableFile,
    offset: u64,
}

/// The most parts that are mapped: a process may have some ten thousand mappings.
const MOST: usize = 4096;

impl Shown {
    /// Notes that a whole chunk, whose contents come next, is to be shown in the memory rather than read, and passes over
    /// them. False if it has to be read.
    pub(super) fn add(
        &mut self,
        stored: &Stored,
        target: (MemoryNumber, usize),
        source: &mut Source<Input<'_>>,
    ) -> bool {
        let Input::File(cursor) = &mut source.from else { return false };
        let (target, len) = target;
        let place = stored.index.range_in(len).ok();
        let whole = place.filter(|place| place.len() == CHUNK && stored.len == CHUNK);
        let Some(place) = whole else { return false };
        // What was cut off is found out by reading.
        let is_there = cursor.at + CHUNK as u64 <= cursor.file.len();
        let is_aligned = cursor.at.is_multiple_of(CHUNK as u64);
        if stored.packing != Packing::Plain || !is_there || !is_aligned {
            return false;
        }
        let offset = cursor.at;
        let is_full = self.parts.len() >= MOST;
        match self.parts.last_mut() {
            Some(last)
                if last.target == target
                    && last.range.end == place.start
                    && last.offset + last.range.len() as u64 == offset =>
            {
                last.range.end += CHUNK;
            }
            _ if is_full => return false,
            _ => {
                let file = cursor.file.clone();
                self.parts.push(Part { target, range: place, file, offset });
            }
        }
        cursor.skip(CHUNK);
        true
    }

    /// Shows the parts, or reads those that cannot be shown.
    pub(super) fn show(self, targets: &mut [Target<'_>]) -> Result<()> {
        for Part { target, range, file, offset } in self.parts {
            let target = &mut targets[target.index()];
            if target.show_file(range.clone(), (&file, offset)) {
                continue;
            }
            // Parts are whole chunks.
            for (index, offset) in
                (range.start / CHUNK..range.end / CHUNK).zip((offset..).step_by(CHUNK))
            {
                target.write(ChunkIndex::from_u64(index as u64), range.end, |bytes| {
                    Ok(read_exact_at(&file, bytes, offset).map_err(Error::host)?)
                })?;
            }
        }
        Ok(())
    }
}

fn read_exact_at(file: &ImmutableFile, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}
