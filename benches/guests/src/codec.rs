//! Compression.

use crate::{Random, mix};

/// Text that compresses like prose.
pub(crate) fn prose(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let words: Vec<Vec<u8>> = (0..400)
        .map(|_| (0..2 + random.below(8)).map(|_| b'a' + random.below(26) as u8).collect())
        .collect();
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        let at = random.below(20).min(random.below(20)) * 20 + random.below(20);
        text.extend_from_slice(&words[at as usize]);
        text.push(if random.below(12) == 0 { b'\n' } else { b' ' });
    }
    text.truncate(len);
    text
}

/// DEFLATE of 64 KiB.
#[unsafe(no_mangle)]
extern "C" fn deflate(n: i32) -> i64 {
    let text = prose(64 << 10, 1);
    let mut sum = 0;
    for _ in 0..n {
        let packed = miniz_oxide::deflate::compress_to_vec(&text, 6);
        sum = packed.iter().step_by(61).fold(sum, |sum, b| mix(sum, u64::from(*b)));
    }
    sum
}

/// The way back.
#[unsafe(no_mangle)]
extern "C" fn inflate(n: i32) -> i64 {
    let text = prose(64 << 10, 2);
    let packed = miniz_oxide::deflate::compress_to_vec(&text, 6);
    let mut sum = 0;
    for _ in 0..n {
        let back = miniz_oxide::inflate::decompress_to_vec(&packed).unwrap_or_default();
        assert!(back == text);
        sum = back.iter().step_by(61).fold(sum, |sum, b| mix(sum, u64::from(*b)));
    }
    sum
}

/// An LZ77 compressor and decompressor with a hash table, in the manner of LZ4.
#[unsafe(no_mangle)]
extern "C" fn lz77(n: i32) -> i64 {
    let text = prose(64 << 10, 3);
    let mut sum = 0;
    for _ in 0..n {
        let packed = pack(&text);
        let back = unpack(&packed);
        assert!(back == text);
        sum = packed.iter().step_by(61).fold(sum, |sum, b| mix(sum, u64::from(*b)));
    }
    sum
}

/// Commands: literals `[len, bytes…]`, then a match `[len - 4, offset low, offset high]`.
fn pack(text: &[u8]) -> Vec<u8> {
    let mut table = vec![0u32; 1 << 12];
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut literals) = (0, 0);
    while at + 4 <= text.len() {
        let word = u32::from_le_bytes(text[at..at + 4].try_into().unwrap());
        let slot = &mut table[(word.wrapping_mul(2_654_435_761) >> 20) as usize];
        let candidate = *slot as usize;
        *slot = at as u32 + 1;
        if candidate == 0
            || at + 1 - candidate > 0xFFFF
            || text[candidate - 1..candidate + 3] != text[at..at + 4]
        {
            at += 1;
            if at - literals == 255 {
                literal(&mut out, &text[literals..at]);
                out.extend_from_slice(&[0, 0, 0]);
                literals = at;
            }
            continue;
        }
        let from = candidate - 1;
        let longest = (text.len() - at).min(255 + 4);
        let len = (4..longest).find(|k| text[from + k] != text[at + k]).unwrap_or(longest);
        literal(&mut out, &text[literals..at]);
        let offset = (at - from) as u16;
        out.extend_from_slice(&[(len - 4) as u8, offset as u8, (offset >> 8) as u8]);
        at += len;
        literals = at;
    }
    literal(&mut out, &text[literals..]);
    out
}

fn literal(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(packed.len() * 4);
    let mut at = 0;
    while at < packed.len() {
        let len = packed[at] as usize;
        out.extend_from_slice(&packed[at + 1..at + 1 + len]);
        at += 1 + len;
        if at + 3 > packed.len() {
            break;
        }
        let offset = usize::from(packed[at + 1]) | usize::from(packed[at + 2]) << 8;
        if offset != 0 {
            let from = out.len() - offset;
            for k in 0..packed[at] as usize + 4 {
                out.push(out[from + k]);
            }
        }
        at += 3;
    }
    out
}
