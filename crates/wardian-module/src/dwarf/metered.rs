//! A reader of debug sections that stops when more has been read than such a section is worth.
//!
//! The sections refer to each other and to themselves, so a small one can be read any number of times. What
//! a reader of DWARF allocates is in proportion to what it reads, so one limit bounds time and memory.

use addr2line::gimli::{Error, LittleEndian, Reader, ReaderOffsetId};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What may still be read of a section, in bytes. Reading one thing twice counts twice.
#[derive(Debug)]
struct Meter {
    left: AtomicU64,
    /// Shared by the sections of a module.
    exhausted: Arc<AtomicBool>,
}

/// Part of a section. Clones share the section's limit.
#[derive(Clone, Debug)]
pub(super) struct Metered {
    bytes: Arc<[u8]>,
    start: usize,
    end: usize,
    meter: Arc<Meter>,
}

impl Metered {
    /// A section of which `limit` bytes can be read. `exhausted` is set by the first attempt to read more.
    pub(super) fn new(bytes: &[u8], limit: u64, exhausted: &Arc<AtomicBool>) -> Metered {
        let meter = Meter { left: AtomicU64::new(limit), exhausted: exhausted.clone() };
        Metered { bytes: Arc::from(bytes), start: 0, end: bytes.len(), meter: Arc::new(meter) }
    }

    /// The bytes, without counting them.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Counts bytes as read.
    fn charge(&self, bytes: usize) -> Result<(), Error> {
        // One thread reads at a time, so nothing is lost between the two.
        match self.meter.left.load(Relaxed).checked_sub(bytes as u64) {
            Some(left) => {
                self.meter.left.store(left, Relaxed);
                Ok(())
            }
            None => {
                self.meter.left.store(0, Relaxed);
                self.meter.exhausted.store(true, Relaxed);
                Err(Error::UnexpectedEof(self.offset_id()))
            }
        }
    }

    /// Takes the next bytes of the section, without counting them.
    fn take(&mut self, len: usize) -> Result<usize, Error> {
        if len > self.len() {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        let at = self.start;
        self.start += len;
        Ok(at)
    }
}

impl Reader for Metered {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn empty(&mut self) {
        self.start = self.end;
    }

    fn truncate(&mut self, len: usize) -> Result<(), Error> {
        if len > self.len() {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        self.end = self.start + len;
        Ok(())
    }

    fn offset_from(&self, base: &Metered) -> usize {
        self.start - base.start
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.start as u64)
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        let at = usize::try_from(id.0).ok()?;
        (self.start..=self.end).contains(&at).then(|| at - self.start)
    }

    fn find(&self, byte: u8) -> Result<usize, Error> {
        let found = self.rest().iter().position(|b| *b == byte);
        self.charge(found.unwrap_or(self.len()))?;
        found.ok_or_else(|| Error::UnexpectedEof(self.offset_id()))
    }

    fn skip(&mut self, len: usize) -> Result<(), Error> {
        self.charge(1)?;
        self.take(len).map(|_| ())
    }

    fn split(&mut self, len: usize) -> Result<Metered, Error> {
        self.charge(1)?;
        let start = self.take(len)?;
        Ok(Metered { start, end: self.start, ..self.clone() })
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>, Error> {
        self.charge(self.len())?;
        Ok(self.rest().into())
    }

    fn to_string(&self) -> Result<Cow<'_, str>, Error> {
        self.charge(self.len())?;
        str::from_utf8(self.rest()).map(Cow::from).map_err(|_| Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>, Error> {
        self.charge(self.len())?;
        Ok(String::from_utf8_lossy(self.rest()))
    }

    fn read_slice(&mut self, buf: &mut [u8]) -> Result<(), Error> {
        self.charge(buf.len())?;
        let at = self.take(buf.len())?;
        buf.copy_from_slice(&self.bytes[at..self.start]);
        Ok(())
    }
}
