//! The files of the cache: their names and contents.

use crate::cache::CodeKey;
use std::time::SystemTime;
use wardian_vm::compiled::CompiledCode;

/// A file of the cache, as its folder lists it.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// Whether it is still being written, or its writer died.
    pub(super) temporary: bool,
}

const MAGIC: &[u8; 8] = b"wardncc\x01";
const HEADER: usize = MAGIC.len() + blake3::OUT_LEN;
const SUFFIX: &str = ".code";

/// The file name for a key.
pub(super) fn name(key: &CodeKey) -> String {
    format!("{key}{SUFFIX}")
}

/// Whether a file name is one that [`name`] makes: anything else in the folder is not touched.
#[allow(dead_code, reason = "where there is no folder nobody lists it")]
pub(super) fn is_name(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(is_key)
}

/// Whether a file name is one of a temporary file, as [`super::folder`] makes them.
#[allow(dead_code, reason = "where there is no folder nobody lists it")]
pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(".tmp").and_then(|n| n.split_once('.')).is_some_and(|(key, _)| is_key(key))
}

#[allow(dead_code, reason = "where there is no folder nobody lists it")]
fn is_key(text: &str) -> bool {
    text.len() == 2 * blake3::OUT_LEN && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The file's contents.
pub(super) fn encode(key: &CodeKey, code: &CompiledCode) -> Vec<u8> {
    let code = code.to_bytes();
    let mut bytes = Vec::with_capacity(HEADER + code.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(blake3::keyed_hash(key.as_bytes(), &code).as_bytes());
    bytes.extend_from_slice(&code);
    bytes
}

/// The code, if the file is whole and belongs to the key.
///
/// # Safety
///
/// The file was written by this program: see [`CompiledCode::from_bytes`].
#[allow(unsafe_code, reason = "the obligation is passed on")]
pub(super) unsafe fn decode(key: &CodeKey, bytes: &[u8]) -> Option<CompiledCode> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (hash, code) = rest.split_first_chunk::<{ blake3::OUT_LEN }>()?;
    if blake3::keyed_hash(key.as_bytes(), code) != *hash {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { CompiledCode::from_bytes(code) }.ok()
}
