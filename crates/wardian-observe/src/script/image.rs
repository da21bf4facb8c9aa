//! Synthetic memories: what the tests of all readers of interpreters have in common.

use super::{Bytes, Interpreter, Search};

/// A memory, and where in it there is room.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    pub(super) free: u32,
}

impl Bytes for Vec<u8> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn read(&self, at: usize, into: &mut [u8]) -> bool {
        let bytes = at.checked_add(into.len()).and_then(|end| self.get(at..end));
        bytes.map(|bytes| into.copy_from_slice(bytes)).is_some()
    }
}

impl Image {
    pub(super) fn empty(size: usize, free: u32) -> Image {
        Image { bytes: vec![0; size], free }
    }

    pub(super) fn place(&mut self, at: u32, bytes: &[u8]) {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn put(&mut self, at: u32, number: u32) {
        self.place(at, &number.to_le_bytes());
    }

    /// Writes fields of a structure: offsets and numbers.
    pub(super) fn put_all(&mut self, at: u32, fields: &[(u32, u32)]) {
        fields.iter().for_each(|(offset, number)| self.put(at + offset, *number));
    }

    pub(super) fn room(&mut self, size: u32) -> u32 {
        self.free += size.next_multiple_of(16);
        self.free - size.next_multiple_of(16)
    }

    /// The calls of the interpreter that is found, with their lines, the innermost first.
    pub(super) fn calls<I: Interpreter>(
        &self,
        find: impl Fn(&dyn Bytes, &mut Vec<u8>) -> Search<I>,
    ) -> Vec<(String, Option<u32>, bool)> {
        let Search::Found(found) = find(&self.bytes, &mut Vec::new()) else { return Vec::new() };
        let call = |(record, instruction, marked)| {
            let code = found.code(&self.bytes, record)?;
            Some((code.function.display_name(), code.line(instruction), marked))
        };
        found.links(&self.bytes).into_iter().filter_map(call).collect()
    }

    /// Reads the calls with wrong numbers in place of each of these words.
    pub(super) fn damage<I: Interpreter>(
        &self,
        words: impl IntoIterator<Item = u32>,
        find: impl Fn(&dyn Bytes, &mut Vec<u8>) -> Search<I>,
    ) {
        let end = self.bytes.len() as u32;
        for at in words {
            for word in [0, 1, 6, 0x1a, 0x2005, end - 2, 0x7fff_ffff, u32::MAX - 3, u32::MAX] {
                let mut damaged = self.clone();
                damaged.put(4 * at, word);
                let calls = damaged.calls(&find);
                assert!(calls.len() <= 64);
                assert!(calls.iter().all(|(name, ..)| name.len() < 16_384));
            }
        }
    }
}

/// Checks that memories of versions that are not known are refused, by the version and those that are known.
pub(super) fn check_unknown<I: Interpreter>(
    memories: impl IntoIterator<Item = (Image, &'static str)>,
    known: &str,
    find: impl Fn(&dyn Bytes, &mut Vec<u8>) -> Search<I>,
) {
    for (image, version) in memories {
        match find(&image.bytes, &mut Vec::new()) {
            Search::Unknown(why) => assert!(why.contains(version) && why.contains(known), "{why}"),
            other => panic!("{version}: {other:?}"),
        }
    }
}

/// Checks that nothing is found yet.
pub(super) fn check_not_yet<I: Interpreter>(
    memories: impl IntoIterator<Item = Image>,
    find: impl Fn(&dyn Bytes, &mut Vec<u8>) -> Search<I>,
) {
    for (number, image) in memories.into_iter().enumerate() {
        let found = find(&image.bytes, &mut Vec::new());
        assert!(matches!(found, Search::NotYet), "{number}: {found:?}");
    }
}
