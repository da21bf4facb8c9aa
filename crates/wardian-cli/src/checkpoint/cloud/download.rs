//! Reading an object part after part, so that little of it is in memory.

use super::{Object, runtime};
use anyhow::Result;
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use std::io::{self, Read};
use std::ops::Range;
use tokio::task::JoinHandle;

/// Bytes of the first part, of which often no more is needed, and of the largest.
const FIRST: u64 = 256 << 10;
const LARGEST: u64 = 8 << 20;

/// An object that is being read: one part is there, and the next one is being fetched.
pub(super) struct Download {
    object: Object,
    size: u64,
    /// By which the store knows whether it has been replaced.
    tag: Option<String>,
    /// Of the part that is there, what was not read.
    part: bytes::Bytes,
    next: Option<JoinHandle<object_store::Result<bytes::Bytes>>>,
    /// What was asked for.
    asked: Range<u64>,
}

impl Download {
    pub(super) fn begin(object: &Object) -> Result<Download> {
        let found = object.wait(object.store.head(&object.path))?;
        Ok(Download {
            object: object.clone(),
            size: found.size,
            tag: found.e_tag,
            part: bytes::Bytes::new(),
            next: None,
            asked: 0..0,
        })
    }

    /// Asks for the part after those that were asked for, if there is one.
    fn ask(&mut self) -> io::Result<Option<JoinHandle<object_store::Result<bytes::Bytes>>>> {
        let len = ((self.asked.end - self.asked.start) * 4).clamp(FIRST, LARGEST);
        let start = self.asked.end;
        let range = start..self.size.min(start + len);
        if range.is_empty() {
            return Ok(None);
        }
        self.asked = range.clone();
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let Object { store, path, .. } = self.object.clone();
        let part = async move { store.get_opts(&path, options).await?.bytes().await };
        Ok(Some(runtime().map_err(io::Error::other)?.spawn(part)))
    }

    /// Fetches the next part. None at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let wanted = match self.next.take() {
            Some(next) => Some(next),
            None => self.ask()?,
        };
        let Some(wanted) = wanted else { return Ok(false) };
        let part = runtime().map_err(io::Error::other)?.block_on(wanted)?;
        self.part =
            part.map_err(|error| io::Error::other(format!("{:#}", self.object.failed(error))))?;
        // Who reads the second part will read the others.
        if self.asked.start > 0 {
            self.next = self.ask()?;
        }
        Ok(true)
    }
}

impl Read for Download {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            if bytes.is_empty() || !self.advance()? {
                return Ok(0);
            }
        }
        let len = bytes.len().min(self.part.len());
        bytes[..len].copy_from_slice(&self.part.split_to(len));
        Ok(len)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.abort();
        }
    }
}
