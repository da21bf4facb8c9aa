//! Compiled modules as bytes.
//!
//! ```text
//!   magic, 8 bytes │ hash of all that follows, 32 │ fingerprint │ module │ code
//! ```
//!
//! The last three are each preceded by their length in eight little-endian bytes.

use crate::error::UsageKind;
use crate::{Engine, Error, Result};
use wardian_vm::compiled::CompiledCode;

const MAGIC: &[u8; 8] = b"wardian\x01";
const HASH: usize = 32;

/// Whether bytes look like an artifact.
pub fn is_artifact(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC[..7])
}

/// A module with its compiled code as bytes.
pub fn write(engine: &Engine, module: &[u8], code: &CompiledCode) -> Vec<u8> {
    let fingerprint = engine.fingerprint();
    let code = code.to_bytes();
    let mut bytes = Vec::with_capacity(module.len() + code.len() + fingerprint.len() + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[0; HASH]);
    for part in [fingerprint.as_bytes(), module, &code] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    let start = MAGIC.len() + HASH;
    let hash = blake3::hash(&bytes[start..]);
    bytes[MAGIC.len()..start].copy_from_slice(hash.as_bytes());
    bytes
}

/// Module and code of an artifact, after checking that it is whole and made for this engine.
///
/// # Safety
///
/// The bytes are an artifact: see [`CompiledCode::from_bytes`].
#[allow(unsafe_code, reason = "the obligation is passed on")]
pub unsafe fn read<'a>(engine: &Engine, bytes: &'a [u8]) -> Result<(&'a [u8], CompiledCode)> {
    let damaged =
        || Error::usage(UsageKind::Artifact, "the precompiled module is damaged: compile it again");
    if !bytes.starts_with(MAGIC) {
        return Err(Error::usage(
            UsageKind::Artifact,
            "not a precompiled module of this version of Wardian: compile it again",
        ));
    }
    let hash = bytes.get(MAGIC.len()..MAGIC.len() + HASH).ok_or_else(damaged)?;
    let mut rest = &bytes[MAGIC.len() + HASH..];
    if blake3::hash(rest).as_bytes() != hash {
        return Err(damaged());
    }
    let mut part = || -> Option<&'a [u8]> {
        let (len, tail) = rest.split_first_chunk::<8>()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let part = tail.get(..len)?;
        rest = &tail[len..];
        Some(part)
    };
    let fingerprint = part().ok_or_else(damaged)?;
    if fingerprint != engine.fingerprint().as_bytes() {
        return Err(Error::usage(
            UsageKind::Artifact,
            "the precompiled module was made by another version of Wardian, for another machine, \
             or with other settings: compile it again",
        ));
    }
    let module = part().ok_or_else(damaged)?;
    // SAFETY: the caller's promise.
    let code = unsafe { CompiledCode::from_bytes(part().ok_or_else(damaged)?) };
    Ok((module, code.map_err(|_| damaged())?))
}
