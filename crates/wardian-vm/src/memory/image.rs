//! Initial contents of memories.

use crate::mapping::round_up;
use crate::system;
use crate::torture::{self, Point};
use std::fs::File;
use std::io;

/// Initial contents of a memory, shared by all instances of a module.
#[derive(Debug)]
pub struct MemoryImage {
    pub(super) file: File,
    len: usize,
}

impl MemoryImage {
    /// An image of so many bytes, which are zero but for these segments: where each begins, and its bytes. What comes later
    /// overwrites what came before.
    ///
    /// # Errors
    ///
    /// The system gives no memory file, or a segment ends behind the end.
    pub fn new<'a>(
        len: usize,
        segments: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> io::Result<MemoryImage> {
        let file = system::memory_file("wardian-image")?;
        let rounded = round_up(len).ok_or(io::ErrorKind::OutOfMemory)?;
        torture::check(Point::MemoryFile)?;
        file.set_len(rounded as u64)?;
        let mut writer = Writer { file: &file, start: 0, buffer: Vec::new(), highest: 0 };
        for (start, bytes) in segments {
            let end = start.checked_add(bytes.len());
            if end.is_none_or(|end| end > len) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            writer.add(start, bytes)?;
        }
        writer.flush()?;
        Ok(MemoryImage { file, len: rounded })
    }

    /// Length in bytes, a multiple of the system's pages.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Writes segments to a file. Small ones that lie near each other are written at once, since compilers make thousands of them;
/// large ones are not copied before.
struct Writer<'a> {
    file: &'a File,
    /// Where the buffer's bytes belong.
    start: usize,
    buffer: Vec<u8>,
    /// The end of all segments so far: what lies behind is zero.
    highest: usize,
}

impl Writer<'_> {
    /// So many zeroes between segments are written too.
    const GAP: usize = 4096;
    /// Segments of so many bytes are written by themselves.
    const LARGE: usize = 64 << 10;

    fn add(&mut self, start: usize, bytes: &[u8]) -> io::Result<()> {
        let end = self.start + self.buffer.len();
        let gap = start.checked_sub(end).filter(|_| end == self.highest);
        let is_near = gap.is_some_and(|gap| gap <= Self::GAP);
        self.highest = self.highest.max(start + bytes.len());
        if !is_near || self.buffer.len() >= Self::LARGE || bytes.len() >= Self::LARGE {
            self.flush()?;
            self.start = start;
        }
        if bytes.len() >= Self::LARGE {
            return write_all(self.file, bytes, start);
        }
        self.buffer.resize(start - self.start, 0);
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(self.file, &self.buffer, self.start)?;
        self.buffer.clear();
        Ok(())
    }
}

fn write_all(file: &File, bytes: &[u8], at: usize) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += system::write_at(file, &bytes[done..], (at + done) as u64)?;
    }
    Ok(())
}

#[cfg(all(test, unix, not(miri)))]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn segments_in_any_order_are_written() {
        const LEN: usize = 400_000;
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        for _ in 0..50 {
            let source: Vec<u8> = (0..LEN).map(|_| random(255) as u8 + 1).collect();
            let mut expected = vec![0; LEN];
            let mut segments: Vec<(usize, &[u8])> = Vec::new();
            for _ in 0..random(60) {
                let most = [10, 5000, 100_000][random(3)];
                let start = match (segments.last(), random(3)) {
                    (Some((start, bytes)), 0) => start + bytes.len() + random(5000),
                    (Some((start, _)), 1) => start + random(3),
                    _ => random(LEN),
                };
                let start = start.min(LEN);
                let len = random(most).min(LEN - start);
                let bytes = &source[LEN - len..];
                expected[start..start + len].copy_from_slice(bytes);
                segments.push((start, bytes));
            }
            let image = MemoryImage::new(LEN, segments).unwrap();
            let mut found = vec![0; LEN];
            image.file.read_exact_at(&mut found, 0).unwrap();
            assert!(found == expected);
        }
        assert!(MemoryImage::new(10, [(8, &[1, 2, 3][..])]).is_err());
    }
}
