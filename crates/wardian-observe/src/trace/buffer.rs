//! A writer that keeps the end of what is written.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

/// Keeps the latest lines that are written to it, in so many bytes: for a [`crate::TraceListener`] that
/// is asked for its trace only when something went wrong. Clones are the same buffer.
///
/// ```
/// use std::io::Write;
/// let buffer = wardian_observe::TraceBuffer::new(10);
/// write!(buffer.clone(), "one\ntwo\nthree\n")?;
/// assert_eq!(buffer.contents(), b"two\nthree\n");
/// assert_eq!(buffer.forgotten(), 4);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TraceBuffer(Arc<Mutex<Ring>>);

#[derive(Debug)]
struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    forgotten: u64,
}

impl TraceBuffer {
    /// A buffer of this size.
    pub fn new(capacity: usize) -> TraceBuffer {
        TraceBuffer(Arc::new(Mutex::new(Ring { bytes: VecDeque::new(), capacity, forgotten: 0 })))
    }

    /// What is in it: whole lines from the first on. A listener gathers before it writes, so
    /// [`crate::TraceListener::flush`] it first.
    pub fn contents(&self) -> Vec<u8> {
        self.ring().bytes.iter().copied().collect()
    }

    /// How many bytes had to make room.
    pub fn forgotten(&self) -> u64 {
        self.ring().forgotten
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Write for TraceBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let ring = &mut *self.ring();
        ring.bytes.extend(bytes);
        if let Some(excess) = ring.bytes.len().checked_sub(ring.capacity).filter(|n| *n > 0) {
            // A line that begins right after what goes stays whole.
            let from = excess - 1;
            let rest = ring.bytes.range(from..).position(|byte| *byte == b'\n');
            let gone = rest.map_or(ring.bytes.len(), |rest| from + rest + 1);
            ring.bytes.drain(..gone);
            ring.forgotten += gone as u64;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
