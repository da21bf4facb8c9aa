//! Standard streams that are buffers in memory.

use std::io::{IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex};

use crate::clock::lock;
use crate::errno::Errno;

/// Bytes for a guest to read. Clones share the position.
#[derive(Clone, Debug, Default)]
pub struct MemoryInput {
    state: Arc<Mutex<(Vec<u8>, usize)>>,
}

impl MemoryInput {
    /// An input of these bytes, then its end.
    pub fn new(bytes: impl Into<Vec<u8>>) -> MemoryInput {
        MemoryInput { state: Arc::new(Mutex::new((bytes.into(), 0))) }
    }

    /// How many bytes have not been read.
    pub fn left(&self) -> u64 {
        let state = lock(&self.state);
        (state.0.len() - state.1) as u64
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> u64 {
        lock(&self.state).1 as u64
    }

    /// Makes so many bytes read, or all if there are fewer.
    pub(crate) fn set_position(&self, position: u64) {
        let mut state = lock(&self.state);
        state.1 = usize::try_from(position).unwrap_or(usize::MAX).min(state.0.len());
    }

    pub(crate) fn read(&self, bufs: &mut [IoSliceMut<'_>]) -> usize {
        let (bytes, at) = &mut *lock(&self.state);
        let start = *at;
        for buf in bufs {
            let count = buf.len().min(bytes.len() - *at);
            buf[..count].copy_from_slice(&bytes[*at..*at + count]);
            *at += count;
        }
        *at - start
    }
}

/// What a guest has written. Clones share the bytes: keep one to read them.
///
/// When it is full, a write is cut short, and the next one is `nospc`.
#[derive(Clone, Debug)]
pub struct MemoryOutput {
    bytes: Arc<Mutex<Vec<u8>>>,
    capacity: usize,
}

impl MemoryOutput {
    /// An output that takes this many bytes.
    pub fn new(capacity: usize) -> MemoryOutput {
        MemoryOutput { bytes: Arc::default(), capacity }
    }

    /// A copy of what has been written.
    pub fn contents(&self) -> Vec<u8> {
        lock(&self.bytes).clone()
    }

    /// What has been written as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }

    /// Takes what has been written, which makes room again.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.bytes))
    }

    pub(crate) fn write(&self, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let mut bytes = lock(&self.bytes);
        let before = bytes.len();
        for buf in bufs {
            let room = self.capacity.saturating_sub(bytes.len());
            bytes.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        let written = bytes.len() - before;
        let wanted = bufs.iter().any(|buf| !buf.is_empty());
        if written == 0 && wanted { Err(Errno::Nospc) } else { Ok(written) }
    }
}
