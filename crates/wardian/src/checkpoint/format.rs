//! Checkpoints as bytes: see `docs/checkpoints.md` for the format.
//!
//! ```text
//!   magic  version │ id len state │ id len module … │ id len memory … │ end, hash of all before
//! ```
//!
//! Everything that is read may have been made by an attacker: no more is allocated than was read, and what the
//! state says is checked against the modules when it is used.

use super::pages::{CHUNK, Chunk};
use super::state::State;
use super::{Checkpoint, ModuleBytes};
use crate::{Error, ErrorKind, Result};
use std::io::{Read, Write};
use std::sync::Arc;

/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"\0wardchk";

/// Whether bytes begin as a checkpoint does.
pub fn is_checkpoint(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// What a section is.
mod id {
    pub(super) const END: u8 = 0;
    pub(super) const STATE: u8 = 1;
    /// Bytes of a module, in the order of the state; empty if they are not part of the checkpoint.
    pub(super) const MODULE: u8 = 2;
    /// Chunks of a memory, in the order of the state.
    pub(super) const MEMORY: u8 = 3;
}

/// Bytes of the hash at the end.
const HASH: usize = 32;

/// The error of bytes that are no checkpoint, or not a whole one.
pub(crate) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Checkpoint(format!("the checkpoint is damaged: {what}")))
}

/// A writer that also hashes.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Hashed<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes).map_err(Error::host)
    }

    fn header(&mut self, id: u8, len: u64) -> Result<()> {
        self.put(&[id])?;
        self.put(&len.to_le_bytes())
    }
}

/// Bytes of a chunk's header: its index and its length.
const CHUNK_HEADER: usize = 12;

/// Writes a checkpoint.
pub(super) fn write(checkpoint: &Checkpoint, to: impl Write) -> Result<()> {
    let mut to = Hashed { inner: to, hasher: blake3::Hasher::new() };
    to.put(MAGIC)?;
    to.put(&VERSION.to_le_bytes())?;
    let state = postcard::to_stdvec(&checkpoint.state).map_err(Error::host)?;
    to.header(id::STATE, state.len() as u64)?;
    to.put(&state)?;
    for module in &checkpoint.modules {
        let bytes = module.bytes.as_deref().unwrap_or_default();
        to.header(id::MODULE, bytes.len() as u64)?;
        to.put(bytes)?;
    }
    for chunks in &checkpoint.memories {
        let len: usize = chunks.iter().map(|chunk| CHUNK_HEADER + chunk.packed.len()).sum();
        to.header(id::MEMORY, len as u64)?;
        for chunk in chunks {
            to.put(&chunk.index.to_le_bytes())?;
            to.put(&(chunk.packed.len() as u32).to_le_bytes())?;
            to.put(&chunk.packed)?;
        }
    }
    to.header(id::END, HASH as u64)?;
    let hash = to.hasher.finalize();
    to.put(hash.as_bytes())?;
    to.inner.flush().map_err(Error::host)
}

/// A reader that also hashes.
struct Checked<R> {
    inner: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Checked<R> {
    fn exact<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.inner.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
            _ => Error::host(error),
        })?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// So many bytes. Memory is taken as they come, not as the length says.
    fn many(&mut self, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.inner).take(len).read_to_end(&mut bytes).map_err(Error::host)?;
        if read as u64 != len {
            return Err(damaged("it ends too early"));
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn section(&mut self) -> Result<(u8, u64)> {
        let [id] = self.exact::<1>()?;
        Ok((id, u64::from_le_bytes(self.exact()?)))
    }

    fn expect(&mut self, wanted: u8) -> Result<u64> {
        match self.section()? {
            (found, len) if found == wanted => Ok(len),
            (found, _) => {
                Err(damaged(format!("section {found} is where section {wanted} should be")))
            }
        }
    }
}

/// Reads a checkpoint.
pub(super) fn read(from: impl Read) -> Result<Checkpoint> {
    let mut from = Checked { inner: from, hasher: blake3::Hasher::new() };
    if from.exact::<8>().ok().as_ref() != Some(MAGIC) {
        return Err(Error::new(ErrorKind::Checkpoint("these bytes are no checkpoint".into())));
    }
    let version = u32::from_le_bytes(from.exact()?);
    if version != VERSION {
        return Err(Error::new(ErrorKind::Checkpoint(format!(
            "the checkpoint has version {version} of the format; this Wardian reads version {VERSION}: see \
             docs/checkpoints.md for which one reads it"
        ))));
    }
    let len = from.expect(id::STATE)?;
    let state = from.many(len)?;
    let (state, rest) = postcard::take_from_bytes::<State>(&state)
        .map_err(|error| damaged(format!("its state cannot be read: {error}")))?;
    if !rest.is_empty() {
        return Err(damaged(format!("{} bytes follow its state", rest.len())));
    }
    let mut modules = Vec::new();
    for module in &state.modules {
        let len = from.expect(id::MODULE)?;
        let bytes = from.many(len)?;
        if !bytes.is_empty() && *blake3::hash(&bytes).as_bytes() != module.hash {
            return Err(damaged("a module is not the one that its state names"));
        }
        let bytes = (!bytes.is_empty()).then(|| Arc::from(bytes));
        modules.push(ModuleBytes { bytes });
    }
    let mut memories = Vec::new();
    for _ in &state.memories {
        let len = from.expect(id::MEMORY)?;
        memories.push(read_chunks(&mut from, len)?);
    }
    if from.expect(id::END)? != HASH as u64 {
        return Err(damaged("its hash has another length"));
    }
    let hash = from.hasher.finalize();
    if from.exact::<HASH>()? != *hash.as_bytes() {
        return Err(damaged("its hash is another one"));
    }
    Ok(Checkpoint { state, modules, memories })
}

fn read_chunks<R: Read>(from: &mut Checked<R>, mut len: u64) -> Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    while len > 0 {
        let index = u64::from_le_bytes(from.exact()?);
        let size = u32::from_le_bytes(from.exact()?);
        let whole = CHUNK_HEADER as u64 + u64::from(size);
        if whole > len || size as usize > CHUNK {
            return Err(damaged("a part of a memory is too large"));
        }
        chunks.push(Chunk { index, packed: from.many(size.into())?.into() });
        len -= whole;
    }
    Ok(chunks)
}
