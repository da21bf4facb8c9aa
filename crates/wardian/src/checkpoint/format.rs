//! Checkpoints as bytes: see `docs/checkpoints.md` for the format.
//!
//! ```text
//!   magic  version │ id len state │ id len module … │ id len chunks … │ end, root hash
//! ```
//!
//! Everything that is read may have been made by an attacker: no more is allocated than was read, and what the
//! state says is checked against the modules when it is used.

use super::ModuleBytes;
use super::options::Key;
use super::pages::{CHUNK, Chunk, Hash, Packing, decompress, wrong_size, zero};
use super::state::State;
use crate::error::CheckpointErrorKind;
use crate::{Error, Result};
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 3;

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
    /// The position of a memory in the state, and chunks of it.
    pub(super) const CHUNKS: u8 = 3;
}

/// Bytes of a chunk's header: its index, its packing, its length, its hash.
const CHUNK_HEADER: usize = 45;

/// Bytes before the chunks of a section: the position of their memory.
const CHUNKS_HEADER: usize = 4;

/// The hasher of everything but the contents that have hashes of their own.
fn root_hasher(key: Option<&Key>) -> blake3::Hasher {
    key.map_or_else(blake3::Hasher::new, |key| blake3::Hasher::new_keyed(&key.0))
}

/// Writes a checkpoint, part after part.
pub(super) struct Writer<W> {
    to: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Writer<W> {
    /// Writes what is known before the memories.
    pub(super) fn begin(
        to: W,
        key: Option<&Key>,
        state: &State,
        modules: &[ModuleBytes],
    ) -> Result<Writer<W>> {
        let mut writer = Writer { to, hasher: root_hasher(key) };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        let state = postcard::to_stdvec(state).map_err(Error::host)?;
        writer.header(id::STATE, state.len())?;
        writer.put(&state)?;
        for module in modules {
            let bytes = module.bytes.as_deref().unwrap_or_default();
            writer.header(id::MODULE, bytes.len())?;
            // Their hash is part of the state.
            writer.put_unhashed(bytes)?;
        }
        Ok(writer)
    }

    /// Writes chunks of the memory at a position, which follow those that were written before.
    pub(super) fn chunks<B: AsRef<[u8]>>(
        &mut self,
        memory: u32,
        chunks: &[Chunk<B>],
    ) -> Result<()> {
        let len: usize = chunks.iter().map(|c| CHUNK_HEADER + c.packed.as_ref().len()).sum();
        let mut section = vec![id::CHUNKS];
        section.extend(((CHUNKS_HEADER + len) as u64).to_le_bytes());
        section.extend(memory.to_le_bytes());
        self.hasher.update(&section);
        let mut headers = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let packed = chunk.packed.as_ref();
            let mut header = [0; CHUNK_HEADER];
            header[..8].copy_from_slice(&chunk.index.to_le_bytes());
            header[8] = chunk.packing as u8;
            header[9..13].copy_from_slice(&(packed.len() as u32).to_le_bytes());
            header[13..].copy_from_slice(&chunk.hash);
            self.hasher.update(&header);
            if chunk.packing != Packing::Plain {
                self.hasher.update(packed);
            }
            headers.push(header);
        }
        // All at once, since each call of the system costs.
        let mut parts = vec![IoSlice::new(&section)];
        for (header, chunk) in headers.iter().zip(chunks) {
            parts.push(IoSlice::new(header));
            parts.push(IoSlice::new(chunk.packed.as_ref()));
        }
        self.put_parts(&mut parts)
    }

    fn put_parts(&mut self, mut parts: &mut [IoSlice<'_>]) -> Result<()> {
        // Empty ones are passed over.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.to.write_vectored(parts) {
                Ok(0) => {
                    return Err(Error::host(std::io::Error::from(std::io::ErrorKind::WriteZero)));
                }
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::host(error)),
            }
        }
        Ok(())
    }

    /// Writes the end, and returns the root hash.
    pub(super) fn end(mut self) -> Result<Hash> {
        self.header(id::END, size_of::<Hash>())?;
        let hash = *self.hasher.finalize().as_bytes();
        self.put_unhashed(&hash)?;
        self.to.flush().map_err(Error::host)?;
        Ok(hash)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.put_unhashed(bytes)
    }

    fn put_unhashed(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(Error::host)
    }

    fn header(&mut self, id: u8, len: usize) -> Result<()> {
        self.put(&[id])?;
        self.put(&(len as u64).to_le_bytes())
    }
}

/// A checkpoint of which everything but the memories has been read.
pub(super) struct Reader<R> {
    source: Source<R>,
    pub(super) state: State,
    pub(super) modules: Vec<ModuleBytes>,
}

/// Bytes that are hashed as they are read.
pub(super) struct Source<R> {
    from: R,
    hasher: blake3::Hasher,
}

/// A chunk whose contents are to be read.
pub(super) struct Stored {
    pub(super) memory: usize,
    pub(super) index: u64,
    pub(super) packing: Packing,
    pub(super) hash: Hash,
    pub(super) len: usize,
}

impl<R: Read> Reader<R> {
    /// Reads up to the memories. Nothing of it is known to be undamaged then.
    pub(super) fn begin(from: R, key: Option<&Key>) -> Result<Reader<R>> {
        let mut source = Source { from, hasher: root_hasher(key) };
        if source.array::<8>().ok().as_ref() != Some(MAGIC) {
            return Err(Error::damaged("these bytes are no checkpoint"));
        }
        let version = u32::from_le_bytes(source.array()?);
        if version != VERSION {
            return Err(Error::checkpoint(
                CheckpointErrorKind::Version,
                format!(
                    "the checkpoint has version {version} of the format; this Wardian reads version {VERSION}: see \
                 docs/checkpoints.md for which one reads it"
                ),
            ));
        }
        let len = source.expect(id::STATE)?;
        let state = source.many(len)?;
        source.hasher.update(&state);
        let (state, rest) = postcard::take_from_bytes::<State>(&state)
            .map_err(|error| Error::damaged(format!("its state cannot be read: {error}")))?;
        if !rest.is_empty() {
            return Err(Error::damaged(format!("{} bytes follow its state", rest.len())));
        }
        match (state.keyed, key) {
            (true, None) => {
                return Err(Error::checkpoint(
                    CheckpointErrorKind::Key,
                    "the checkpoint was made with a key: it is needed to read it",
                ));
            }
            (false, Some(_)) => {
                return Err(Error::checkpoint(
                    CheckpointErrorKind::Key,
                    "the checkpoint was made without a key, so nobody vouches for it: read it without one",
                ));
            }
            _ => {}
        }
        let mut modules = Vec::new();
        for module in &state.modules {
            let len = source.expect(id::MODULE)?;
            let bytes = source.many(len)?;
            if !bytes.is_empty() && *blake3::hash(&bytes).as_bytes() != module.hash {
                return Err(Error::damaged("a module is not the one that its state names"));
            }
            let bytes = (!bytes.is_empty()).then(|| Arc::from(bytes));
            modules.push(ModuleBytes { bytes });
        }
        Ok(Reader { source, state, modules })
    }

    /// Reads the memories, chunk by chunk, and the end. Returns the root hash, which was compared. `each` reads the
    /// contents of the chunk with one method of the source.
    pub(super) fn chunks(
        &mut self,
        mut each: impl FnMut(&Stored, &mut Source<R>) -> Result<()>,
    ) -> Result<Hash> {
        let mut last = None;
        loop {
            let (id, mut len) = self.source.section()?;
            match id {
                id::CHUNKS => {}
                id::END if len == size_of::<Hash>() as u64 => break,
                id::END => return Err(Error::damaged("its hash has another length")),
                _ => return Err(Error::damaged(format!("section {id} is where chunks should be"))),
            }
            len = len.checked_sub(CHUNKS_HEADER as u64).ok_or_else(too_large)?;
            let memory = u32::from_le_bytes(self.source.array()?) as usize;
            if memory >= self.state.memories.len() {
                return Err(Error::damaged("it has parts of a memory that is not there"));
            }
            while len > 0 {
                let stored = self.source.chunk(memory)?;
                len = len.checked_sub((CHUNK_HEADER + stored.len) as u64).ok_or_else(too_large)?;
                if last.is_some_and(|last| last >= (memory, stored.index)) {
                    return Err(Error::damaged("parts of a memory are in another order"));
                }
                last = Some((memory, stored.index));
                each(&stored, &mut self.source)?;
            }
        }
        let hash = self.source.hasher.finalize();
        if blake3::Hash::from_bytes(self.source.array()?) != hash {
            return Err(Error::damaged(match self.state.keyed {
                true => "its hash is another one, or it was made with another key",
                false => "its hash is another one",
            }));
        }
        Ok(*hash.as_bytes())
    }
}

/// Whether plain contents have their hash.
fn check(stored: &Stored, bytes: &[u8]) -> Result<()> {
    match *blake3::hash(bytes).as_bytes() == stored.hash {
        true => Ok(()),
        false => Err(Error::damaged("a part of a memory has another hash")),
    }
}

fn too_large() -> Error {
    Error::damaged("a part of a memory is too large")
}

impl<R: Read> Source<R> {
    /// The contents of a chunk as they are stored.
    pub(super) fn packed(&mut self, stored: &Stored) -> Result<Vec<u8>> {
        let mut bytes = vec![0; stored.len];
        self.fill(&mut bytes)?;
        match stored.packing {
            Packing::Plain => check(stored, &bytes)?,
            Packing::Zero | Packing::Lz4 => drop(self.hasher.update(&bytes)),
        }
        Ok(bytes)
    }

    /// Unpacks the contents of a chunk into its place in the memory.
    pub(super) fn unpack(&mut self, stored: &Stored, target: &mut [u8]) -> Result<()> {
        match stored.packing {
            Packing::Zero => zero(target),
            Packing::Plain if stored.len == target.len() => {
                self.fill(target)?;
                check(stored, target)?;
            }
            Packing::Plain => return Err(wrong_size()),
            Packing::Lz4 => decompress(&self.packed(stored)?, target)?,
        }
        Ok(())
    }

    /// The header of a chunk.
    fn chunk(&mut self, memory: usize) -> Result<Stored> {
        let index = u64::from_le_bytes(self.array()?);
        let [packing] = self.array()?;
        let len = u32::from_le_bytes(self.array()?) as usize;
        let hash = self.array()?;
        let packing = Packing::from_byte(packing).ok_or_else(|| {
            Error::damaged(format!("a part of a memory has the unknown packing {packing}"))
        })?;
        let most = if packing == Packing::Zero { 0 } else { CHUNK };
        if len > most {
            return Err(too_large());
        }
        Ok(Stored { memory, index, packing, hash, len })
    }

    /// Bytes that are hashed.
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.from.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::damaged("it ends too early"),
            _ => Error::host(error),
        })
    }

    /// So many bytes. Memory is taken as they come, not as the length says.
    fn many(&mut self, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(len).read_to_end(&mut bytes).map_err(Error::host)?;
        if read as u64 != len {
            return Err(Error::damaged("it ends too early"));
        }
        Ok(bytes)
    }

    fn section(&mut self) -> Result<(u8, u64)> {
        let [id] = self.array::<1>()?;
        Ok((id, u64::from_le_bytes(self.array()?)))
    }

    fn expect(&mut self, wanted: u8) -> Result<u64> {
        match self.section()? {
            (found, len) if found == wanted => Ok(len),
            (found, _) => {
                Err(Error::damaged(format!("section {found} is where section {wanted} should be")))
            }
        }
    }
}
