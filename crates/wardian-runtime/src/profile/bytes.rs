//! Profiles as bytes.
//!
//! ```text
//!   magic, 8 bytes │ hash of all that follows, 32 │ module, 32 │ functions
//!   function: index, 4 │ count, 8 │ hot, 1 │ number of loops, 4 │ headers, 4 each │ number of calls, 4 │ calls
//!   call: code offset, 4 │ count, 8 │ number of targets, 1 │ index, 4, and votes, 8, of each
//! ```
//!
//! Numbers are little-endian. Functions and calls are in ascending order. The hash finds accidents: whoever changes a
//! profile on purpose gets other machine code of the same meaning.

use super::{CallTargets, CodeHash, FunctionProfile, ModuleProfile};
use crate::error::UsageKind;
use crate::{Error, Result};
use std::collections::BTreeMap;
use wardian_types::{CodeOffset, FuncIndex};

const MAGIC: &[u8; 8] = b"wardprf\x01";
const HASH: usize = 32;
const START: usize = MAGIC.len() + HASH;

impl ModuleProfile {
    /// The profile as bytes, the same for the same profile.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[0; HASH], &self.module.0].concat();
        for (index, function) in &self.functions {
            bytes.extend(index.as_u32().to_le_bytes());
            write_function(&mut bytes, function);
        }
        let hash = blake3::hash(&bytes[START..]);
        bytes[MAGIC.len()..START].copy_from_slice(hash.as_bytes());
        bytes
    }

    /// The profile that [`ModuleProfile::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are none, or of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<ModuleProfile> {
        if !bytes.starts_with(&MAGIC[..7]) {
            return Err(Error::usage(UsageKind::Profile, "not a profile of a module"));
        }
        if !bytes.starts_with(MAGIC) {
            return Err(Error::usage(
                UsageKind::Profile,
                "the profile was written by another version of Wardian: make it again",
            ));
        }
        let damaged = || Error::usage(UsageKind::Profile, "the profile is damaged: make it again");
        let (hash, rest) = bytes[MAGIC.len()..].split_at_checked(HASH).ok_or_else(damaged)?;
        if blake3::hash(rest).as_bytes() != hash {
            return Err(damaged());
        }
        read(rest).ok_or_else(damaged)
    }
}

fn write_function(bytes: &mut Vec<u8>, function: &FunctionProfile) {
    bytes.extend(function.count.to_le_bytes());
    bytes.push(function.is_hot.into());
    bytes.extend((function.hot_loops.len() as u32).to_le_bytes());
    function.hot_loops.iter().for_each(|header| bytes.extend(header.as_u32().to_le_bytes()));
    bytes.extend((function.calls.len() as u32).to_le_bytes());
    for (offset, targets) in &function.calls {
        bytes.extend(offset.as_u32().to_le_bytes());
        bytes.extend(targets.calls().to_le_bytes());
        bytes.push(targets.votes().len() as u8);
        for (target, votes) in targets.votes() {
            bytes.extend(target.as_u32().to_le_bytes());
            bytes.extend(votes.to_le_bytes());
        }
    }
}

/// What follows the hash. None if it is no profile.
fn read(bytes: &[u8]) -> Option<ModuleProfile> {
    let mut reader = Reader(bytes);
    let mut profile = ModuleProfile::new(CodeHash(reader.take()?));
    while !reader.0.is_empty() {
        let index = FuncIndex::from_u32(reader.u32()?);
        insert_next(&mut profile.functions, index, reader.function()?)?;
    }
    Some(profile)
}

/// Inserts what has to come behind all that is there.
fn insert_next<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) -> Option<()> {
    let is_next = map.last_key_value().is_none_or(|(last, _)| *last < key);
    is_next.then(|| map.insert(key, value)).map(|_| ())
}

/// Bytes that have not been read. Numbers of things to come are not believed: room is made for what is there.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn function(&mut self) -> Option<FunctionProfile> {
        let count = self.u64()?;
        let is_hot = match self.take()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let mut function = FunctionProfile { count, is_hot, ..FunctionProfile::default() };
        for _ in 0..self.u32()? {
            function.hot_loops.push(CodeOffset::from_u32(self.u32()?));
        }
        for _ in 0..self.u32()? {
            let offset = CodeOffset::from_u32(self.u32()?);
            insert_next(&mut function.calls, offset, self.call()?)?;
        }
        Some(function)
    }

    fn call(&mut self) -> Option<CallTargets<FuncIndex>> {
        let calls = self.u64()?;
        let [count] = self.take()?;
        let mut votes = Vec::new();
        for _ in 0..count {
            votes.push((FuncIndex::from_u32(self.u32()?), self.u64()?));
        }
        // What is not as it would be written is none.
        let targets = CallTargets::new(calls, votes.iter().copied());
        (targets.votes() == votes && targets.calls() == calls).then_some(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(index: u32) -> FuncIndex {
        FuncIndex::from_u32(index)
    }

    fn profile() -> ModuleProfile {
        let call = |calls, votes: &[(u32, u64)]| {
            CallTargets::new(calls, votes.iter().map(|(f, votes)| (index(*f), *votes)))
        };
        let offset = CodeOffset::from_u32;
        let hot = FunctionProfile {
            count: 3000,
            is_hot: true,
            hot_loops: vec![offset(40), offset(30)],
            calls: [(offset(50), call(10, &[(7, 6), (2, 3)])), (offset(60), call(0, &[]))].into(),
        };
        let cold = FunctionProfile { count: 1, ..FunctionProfile::default() };
        let mut profile = ModuleProfile::new(CodeHash([5; 32]));
        profile.functions = [(index(1), cold), (index(3), hot)].into();
        profile
    }

    /// Bytes with the hash that they should have.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let hash = blake3::hash(&bytes[START..]);
        bytes[MAGIC.len()..START].copy_from_slice(hash.as_bytes());
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        for profile in [profile(), ModuleProfile::new(CodeHash([0; 32]))] {
            assert_eq!(ModuleProfile::from_bytes(&profile.to_bytes()).unwrap(), profile);
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = profile().to_bytes();
        let refused = |bytes: &[u8]| ModuleProfile::from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(refused(b""), "not a profile of a module");
        assert_eq!(refused(b"wardian\x01"), "not a profile of a module");
        let mut newer = bytes.clone();
        newer[7] += 1;
        assert!(refused(&newer).contains("another version"));
        for length in MAGIC.len()..bytes.len() {
            assert!(refused(&bytes[..length]).contains("damaged"), "{length}");
        }
        for at in MAGIC.len()..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(refused(&changed).contains("damaged"), "{at}");
        }
    }

    /// With a hash that is right, bytes are a profile or none, and those of a profile are the only ones of it.
    #[test]
    fn bytes_that_somebody_made_are_checked() {
        let bytes = profile().to_bytes();
        let (mut profiles, mut refused) = (0, 0);
        let mut check = |bytes: Vec<u8>| match ModuleProfile::from_bytes(&bytes) {
            Ok(profile) => {
                assert_eq!(profile.to_bytes(), bytes);
                profiles += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("damaged"), "{error}");
                refused += 1;
            }
        };
        for length in START..bytes.len() {
            check(sealed(bytes[..length].to_vec()));
        }
        for at in START..bytes.len() {
            for value in [0, 1, 2, 5, 127, 255] {
                let mut changed = bytes.clone();
                changed[at] = value;
                check(sealed(changed));
            }
        }
        assert!(profiles > 100 && refused > 100, "{profiles} {refused}");
    }

    #[test]
    fn profiles_of_one_module_are_merged() {
        let mut twice = profile();
        twice.merge(&profile()).unwrap();
        let function = &twice.functions[&index(3)];
        assert_eq!((function.count, function.hot_loops.len()), (6000, 2));
        let call = &function.calls[&CodeOffset::from_u32(50)];
        assert_eq!((call.calls(), call.votes()), (20, &[(index(7), 12), (index(2), 6)][..]));
        let error = twice.merge(&ModuleProfile::new(CodeHash([6; 32]))).unwrap_err();
        assert_eq!(error.to_string(), "the profile is of another module");
    }
}
