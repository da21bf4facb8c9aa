//! Reads and writes of any length, in parts: the host does not interrupt one of a regular file, and two
//! gigabytes take seconds.

use std::io::{IoSlice, IoSliceMut};

use crate::abi::Answer;
use crate::host::Waiter;

/// Bytes of a part: some milliseconds of copying.
pub(crate) const CHUNK: usize = 8 << 20;

/// Fills the buffers from `read`, which gets how many bytes came before, until it comes up short. If the
/// call is interrupted it is short too: it ends between two parts.
pub(crate) fn read(
    waiter: Waiter<'_>,
    bufs: &mut [IoSliceMut<'_>],
    mut read: impl FnMut(usize, &mut [IoSliceMut<'_>]) -> Answer<usize>,
) -> Answer<usize> {
    waiter.check()?;
    if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= CHUNK {
        return read(0, bufs);
    }
    let mut done = 0;
    for part in bufs.iter_mut().flat_map(|buf| buf.chunks_mut(CHUNK)) {
        if done > 0 && waiter.check().is_err() {
            break;
        }
        let len = part.len();
        let got = so_far(done, read(done, &mut [IoSliceMut::new(part)]))?;
        done += got;
        if got < len {
            break;
        }
    }
    Ok(done)
}

/// Passes the buffers to `write`, under the same rules as [`read`].
pub(crate) fn write(
    waiter: Waiter<'_>,
    bufs: &[IoSlice<'_>],
    mut write: impl FnMut(usize, &[IoSlice<'_>]) -> Answer<usize>,
) -> Answer<usize> {
    waiter.check()?;
    if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= CHUNK {
        return write(0, bufs);
    }
    let mut done = 0;
    for part in bufs.iter().flat_map(|buf| buf.chunks(CHUNK)) {
        if done > 0 && waiter.check().is_err() {
            break;
        }
        let put = so_far(done, write(done, &[IoSlice::new(part)]))?;
        done += put;
        if put < part.len() {
            break;
        }
    }
    Ok(done)
}

/// What one call reads of a stream, if the buffers take more than a part. The rest is left to the next call:
/// a stream that had enough for the first part may have to be waited for.
pub(crate) fn first_mut<'a>(bufs: &'a mut [IoSliceMut<'_>]) -> Option<&'a mut [u8]> {
    let is_long = bufs.iter().map(|buf| buf.len()).sum::<usize>() > CHUNK;
    let first = bufs.iter_mut().find(|buf| !buf.is_empty()).filter(|_| is_long)?;
    let len = first.len().min(CHUNK);
    Some(&mut first[..len])
}

/// What one call writes to a stream, as [`first_mut`].
pub(crate) fn first<'a>(bufs: &'a [IoSlice<'_>]) -> Option<&'a [u8]> {
    let is_long = bufs.iter().map(|buf| buf.len()).sum::<usize>() > CHUNK;
    let first = bufs.iter().find(|buf| !buf.is_empty()).filter(|_| is_long)?;
    Some(&first[..first.len().min(CHUNK)])
}

/// What was done before an error or an interruption must be reported, or a call that is made again would do it
/// twice: then the part has done nothing.
fn so_far(done: usize, part: Answer<usize>) -> Answer<usize> {
    match part {
        Err(_) if done > 0 => Ok(0),
        other => other,
    }
}
