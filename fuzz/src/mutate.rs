//! Inputs from a seed: parts of the corpus, changed.

/// Input number `n` of a seed.
pub(crate) fn input(seed: u64, n: u64, corpus: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let mut random = Random(mix(seed ^ mix(n)));
    if corpus.is_empty() || random.below(16) == 0 {
        let length = random.below(longest.min(512));
        return (0..length).map(|_| random.next() as u8).collect();
    }
    // What had a new outcome lately is chosen more often.
    let at = random.below(corpus.len()).max(random.below(corpus.len()));
    let mut bytes = corpus[at].clone();
    for _ in 0..1 << random.below(5) {
        change(&mut bytes, corpus, &mut random);
    }
    bytes.truncate(longest);
    bytes
}

/// Bytes at which something changes.
const INTERESTING: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, 0x40, 0x0b, 0x10, 0x20, 0x41, 0xfe, 0x3f];

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    if bytes.is_empty() {
        bytes.push(random.next() as u8);
        return;
    }
    let at = random.below(bytes.len());
    match random.below(10) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next() as u8,
        3 => bytes[at] = INTERESTING[random.below(INTERESTING.len())],
        4 => bytes[at] = bytes[at].wrapping_add(random.below(5) as u8).wrapping_sub(2),
        5 => bytes.insert(at, random.next() as u8),
        6 => {
            let end = (at + 1 + random.below(16)).min(bytes.len());
            bytes.drain(at..end);
        }
        7 => {
            let end = (at + 1 + random.below(32)).min(bytes.len());
            let copied = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copied);
        }
        8 => {
            let other = &corpus[random.below(corpus.len())];
            if !other.is_empty() {
                let from = random.below(other.len());
                let end = (from + 1 + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
        }
        _ => {
            // A number in LEB128 that is as long as it can be.
            let end = (at + 5).min(bytes.len());
            bytes.splice(at..end, [0xff, 0xff, 0xff, 0xff, random.next() as u8 & 0x0f]);
        }
    }
}

/// A number for the name of an input.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |hash, byte| mix(hash ^ u64::from(*byte)))
}

/// A generator (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
