//! The contents of memories in checkpoints: chunks that are not all zero, compressed.

use super::format::damaged;
use crate::Result;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a chunk; the last one of a memory may be shorter.
pub(super) const CHUNK: usize = 64 << 10;

/// A part of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its position, in chunks.
    pub(crate) index: u64,
    /// LZ4, or the bytes themselves if those are fewer.
    pub(crate) packed: Box<[u8]>,
}

/// The chunks of a memory, in ascending order, made on up to `threads` threads.
pub(crate) fn pack(bytes: &[u8], threads: usize) -> Vec<Chunk> {
    /// Chunks whose compression takes longer than to start a thread.
    const WORTHWHILE: usize = 16;
    let total = bytes.len().div_ceil(CHUNK);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Chunk>> = Mutex::default();
    let work = || {
        let mut own = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(start) = index.checked_mul(CHUNK).filter(|start| *start < bytes.len()) else {
                break;
            };
            let chunk = &bytes[start..bytes.len().min(start + CHUNK)];
            if !is_zero(chunk) {
                own.push(Chunk { index: index as u64, packed: pack_one(chunk) });
            }
        }
        done.lock().unwrap_or_else(|e| e.into_inner()).append(&mut own);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(total / WORTHWHILE) {
            // Without a further thread this one does the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let mut chunks = done.into_inner().unwrap_or_else(|e| e.into_inner());
    chunks.sort_unstable_by_key(|chunk| chunk.index);
    chunks
}

fn pack_one(chunk: &[u8]) -> Box<[u8]> {
    let packed = lz4_flex::block::compress(chunk);
    if packed.len() < chunk.len() { packed.into() } else { chunk.into() }
}

/// Makes `bytes` what was packed: writes the chunks, and zeroes where there are none.
///
/// # Errors
///
/// A chunk is not inside of the memory, or is damaged.
pub(crate) fn unpack(chunks: &[Chunk], bytes: &mut [u8]) -> Result<()> {
    let mut zeroed = 0;
    for chunk in chunks {
        let start = usize::try_from(chunk.index).ok().and_then(|index| index.checked_mul(CHUNK));
        let start = start.filter(|start| *start >= zeroed && *start < bytes.len());
        let start = start.ok_or_else(|| damaged("a part of a memory is outside of it"))?;
        zero(&mut bytes[zeroed..start]);
        zeroed = bytes.len().min(start + CHUNK);
        let target = &mut bytes[start..zeroed];
        if chunk.packed.len() == target.len() {
            target.copy_from_slice(&chunk.packed);
            continue;
        }
        let len = lz4_flex::block::decompress_into(&chunk.packed, target);
        if len.ok() != Some(target.len()) {
            return Err(damaged("a part of a memory does not have the size that it should have"));
        }
    }
    zero(&mut bytes[zeroed..]);
    Ok(())
}

/// Fills with zeroes what is not zero, so that pages that nobody has written take no room.
fn zero(bytes: &mut [u8]) {
    for part in bytes.chunks_mut(4096) {
        if !is_zero(part) {
            part.fill(0);
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // Lines at a time, which the compiler makes vectors of.
    bytes.chunks(64).all(|line| line.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Chunk, pack, unpack};

    fn sample(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut state = 1u32;
        for (i, byte) in bytes.iter_mut().enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Chunks of noise, of text, and of zeroes.
            *byte = [state.to_le_bytes()[3], b'a' + (i % 7) as u8, 0][i / CHUNK % 3];
        }
        bytes
    }

    #[test]
    fn memories_come_back_whatever_was_there() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 40 * CHUNK + 17] {
            let bytes = sample(len);
            let chunks = pack(&bytes, 3);
            assert!(chunks.iter().all(|chunk| chunk.index % 3 != 2), "zeroes take no room");
            for before in [0, 0xa5] {
                let mut target = vec![before; len];
                unpack(&chunks, &mut target).unwrap();
                assert!(target == bytes, "{len} bytes");
            }
        }
    }

    #[test]
    fn damaged_chunks_are_refused() {
        let good = pack(&sample(3 * CHUNK), 1);
        let mut target = vec![0; 3 * CHUNK];
        let outside = Chunk { index: 3, ..good[0].clone() };
        let far = Chunk { index: u64::MAX, ..good[0].clone() };
        let short = Chunk { packed: good[1].packed[..9].into(), ..good[1].clone() };
        for chunks in
            [vec![outside], vec![far], vec![short], vec![good[1].clone(), good[0].clone()]]
        {
            assert!(unpack(&chunks, &mut target).is_err());
        }
    }
}
