//! Hash functions.

use crate::{Random, mix};

const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

fn sha256_block(state: &mut [u32; 8], block: &[u8]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().unwrap());
    }
    for i in 16..64 {
        let a = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
        let b = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16].wrapping_add(a).wrapping_add(w[i - 7]).wrapping_add(b);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for i in 0..64 {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(K[i]);
        let t1 = t1.wrapping_add(w[i]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    for (s, v) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *s = s.wrapping_add(v);
    }
}

fn data(len: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    (0..len).map(|_| random.next() as u8).collect()
}

/// SHA-256 of 64 KiB.
#[unsafe(no_mangle)]
extern "C" fn sha256(n: i32) -> i64 {
    let data = data(64 << 10);
    let mut sum = 0;
    let mut state = [
        0x6a09e667,
        0xbb67ae85,
        0x3c6ef372,
        0xa54ff53a,
        0x510e527f,
        0x9b05688c,
        0x1f83d9ab,
        0x5be0cd19u32,
    ];
    for _ in 0..n {
        for block in data.chunks_exact(64) {
            sha256_block(&mut state, block);
        }
        sum = state.iter().fold(sum, |sum, s| mix(sum, u64::from(*s)));
    }
    sum
}

/// SipHash-1-3 of many short keys, by way of the standard hash map.
#[unsafe(no_mangle)]
extern "C" fn hashmap(n: i32) -> i64 {
    use std::collections::HashMap;
    use std::hash::{BuildHasherDefault, DefaultHasher};
    let mut sum = 0;
    for round in 0..n {
        let mut random = Random::new(round as u64);
        let mut map: HashMap<u64, u32, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        for i in 0..5_000 {
            *map.entry(random.next() % 2_500).or_default() += i;
        }
        for key in 0..2_500 {
            sum = mix(sum, u64::from(map.get(&key).copied().unwrap_or(1)));
        }
    }
    sum
}

/// FNV-1a, a byte at a time, and CRC-32 by table.
#[unsafe(no_mangle)]
extern "C" fn fnv_crc(n: i32) -> i64 {
    let data = data(64 << 10);
    let table: [u32; 256] = std::array::from_fn(|i| {
        (0..8).fold(i as u32, |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    });
    let mut sum = 0;
    for round in 0..n {
        let mut fnv = 0xcbf2_9ce4_8422_2325u64 ^ round as u64;
        let mut crc = !0u32;
        for byte in &data {
            fnv = (fnv ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            crc = table[((crc ^ u32::from(*byte)) & 255) as usize] ^ (crc >> 8);
        }
        sum = mix(mix(sum, fnv), u64::from(crc));
    }
    sum
}
