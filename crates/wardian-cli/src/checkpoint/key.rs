//! The key of checkpoints, which is in a file of its own.

use crate::host::is_readable_by_others;
use crate::report;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use wardian::checkpoint::{CheckpointOptions, ReadOptions};

/// What authenticates checkpoints: only who has it can read them or have made them.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The key in a file: 32 bytes, or 64 hexadecimal digits.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Key> {
        let context = || format!("cannot use the key {}", path.display());
        let file = File::open(path).with_context(context)?;
        if file.metadata().is_ok_and(|meta| meta.is_file() && is_readable_by_others(&meta)) {
            report::warning(&format!("the key {} can be read by other users", path.display()));
        }
        let mut bytes = Vec::new();
        // Whatever is longer is no key, and may have no end.
        file.take(128).read_to_end(&mut bytes).with_context(context)?;
        parse(&bytes).with_context(context).map(Key)
    }

    /// The key that the command line names.
    pub(crate) fn of(path: Option<&Path>) -> anyhow::Result<Option<Key>> {
        path.map(Key::read).transpose()
    }

    /// Options for writing, with a key if there is one.
    pub(super) fn for_writing(key: Option<&Key>, options: CheckpointOptions) -> CheckpointOptions {
        match key {
            Some(key) => options.with_key(key.0),
            None => options,
        }
    }

    /// Options for reading, with a key if there is one.
    pub(crate) fn for_reading(key: Option<&Key>) -> ReadOptions {
        match key {
            Some(key) => ReadOptions::new().with_key(key.0),
            None => ReadOptions::new(),
        }
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<[u8; 32]> {
    if let Ok(key) = bytes.try_into() {
        return Ok(key);
    }
    let digits = bytes.trim_ascii();
    let value = |digit: u8| char::from(digit).to_digit(16);
    if digits.len() != 64 || digits.iter().any(|digit| value(*digit).is_none()) {
        bail!("a key is 32 bytes, or 64 hexadecimal digits");
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digits = pair.iter().filter_map(|digit| value(*digit));
        *byte = digits.fold(0, |byte, digit| byte << 4 | digit as u8);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn keys_are_bytes_or_digits() {
        let bytes: Vec<u8> = (0..32).map(|n| n * 7 + 3).collect();
        let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(parse(&bytes).unwrap()[..], bytes);
        assert_eq!(parse(digits.as_bytes()).unwrap()[..], bytes);
        assert_eq!(parse(format!(" {}\n", digits.to_lowercase()).as_bytes()).unwrap()[..], bytes);
        for wrong in ["", "abc", &digits[1..], &format!("{digits}0"), &digits.replace('0', "g")] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
