//! Checkpoints as bytes: see `docs/checkpoints.md` for the format.
//!
//! ```text
//!   magic  version │ id len state │ id len module … │ id len chunks … │ end, root hash
//!
//!   chunks:         memory │ header contents │ header contents │ …
//!   chunks that     memory count │ header header … │ zeroes up to a multiple of a chunk │ contents contents …
//!   can be mapped:
//! ```
//!
//! Everything that is read may have been made by an attacker: no more is allocated than was read, and what the
//! state says is checked against the modules when it is used.

use super::ModuleBytes;
use super::options::Key;
use crate::error::CheckpointErrorKind;
use crate::{Error, Result};
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;
use wardian_runtime::checkpoint::packing::BATCH;
use wardian_runtime::checkpoint::pages::{
    CHUNK, Chunk, ChunkIndex, Hash, Packing, decompress, wrong_size, zero,
};
use wardian_runtime::checkpoint::state::{MemoryNumber, State};

/// The version that is written, and that of checkpoints with parts that can be mapped. Both are read.
pub(crate) const VERSION: u32 = 3;
pub(crate) const MAPPABLE_VERSION: u32 = 4;

const MAGIC: &[u8; 8] = b"\0wardchk";

/// Chunks of a section, next to each other: those that are packed at once, or so many that few parts have to be mapped.
pub(super) const fn together(mappable: bool) -> u64 {
    if mappable { 16 * BATCH } else { BATCH }
}

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
    /// The same, of chunks as they are, whose contents are one after another at a multiple of [`super::CHUNK`].
    pub(super) const MAPPABLE: u8 = 4;
}

/// Bytes of a chunk's header: its index, its packing, its length, its hash.
const CHUNK_HEADER: usize = 45;

/// Bytes before the chunks of a section: the position of their memory.
const CHUNKS_HEADER: usize = 4;

/// Bytes of a section with chunks that can be mapped, besides their headers and contents and zeroes: also their number,
/// and how many zeroes there are.
const MAPPABLE_HEADER: usize = 12;

/// The hasher of everything but the contents that have hashes of their own.
fn root_hasher(key: Option<&Key>) -> blake3::Hasher {
    key.map_or_else(blake3::Hasher::new, |key| blake3::Hasher::new_keyed(&key.0))
}

/// Writes a checkpoint, part after part.
pub(super) struct Writer<W> {
    to: W,
    hasher: blake3::Hasher,
    /// Bytes that were written.
    at: u64,
    mappable: bool,
}

impl<W: Write> Writer<W> {
    /// Writes what is known before the memories.
    pub(super) fn begin(
        to: W,
        key: Option<&Key>,
        state: &State,
        modules: &[ModuleBytes],
        mappable: bool,
    ) -> Result<Writer<W>> {
        let mut writer = Writer { to, hasher: root_hasher(key), at: 0, mappable };
        writer.put(MAGIC)?;
        let version = if mappable { MAPPABLE_VERSION } else { VERSION };
        writer.put(&version.to_le_bytes())?;
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
        memory: MemoryNumber,
        chunks: &[Chunk<B>],
    ) -> Result<()> {
        if self.mappable && chunks.iter().all(|chunk| chunk.packing != Packing::Lz4) {
            return self.mappable_chunks(memory, chunks);
        }
        let len: usize = chunks.iter().map(|c| CHUNK_HEADER + c.packed.as_ref().len()).sum();
        let mut section = vec![id::CHUNKS];
        section.extend(((CHUNKS_HEADER + len) as u64).to_le_bytes());
        section.extend(memory.as_u32().to_le_bytes());
        self.hasher.update(&section);
        let mut headers = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let header = header(chunk);
            self.hasher.update(&header);
            if chunk.packing != Packing::Plain {
                self.hasher.update(chunk.packed.as_ref());
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

    /// As [`Writer::chunks`], of chunks as they are.
    fn mappable_chunks<B: AsRef<[u8]>>(
        &mut self,
        memory: MemoryNumber,
        chunks: &[Chunk<B>],
    ) -> Result<()> {
        let headers: Vec<u8> = chunks.iter().flat_map(header).collect();
        let contents: usize = chunks.iter().map(|chunk| chunk.packed.as_ref().len()).sum();
        let before = self.at + (1 + 8 + MAPPABLE_HEADER + headers.len()) as u64;
        let padding = (before.next_multiple_of(CHUNK as u64) - before) as usize;
        let len = MAPPABLE_HEADER + headers.len() + padding + contents;
        let mut section = vec![id::MAPPABLE];
        section.extend((len as u64).to_le_bytes());
        section.extend(memory.as_u32().to_le_bytes());
        section.extend((chunks.len() as u32).to_le_bytes());
        section.extend(headers);
        section.extend((padding as u32).to_le_bytes());
        section.resize(section.len() + padding, 0);
        self.hasher.update(&section);
        let mut parts = vec![IoSlice::new(&section)];
        parts.extend(chunks.iter().map(|chunk| IoSlice::new(chunk.packed.as_ref())));
        self.put_parts(&mut parts)
    }

    fn put_parts(&mut self, mut parts: &mut [IoSlice<'_>]) -> Result<()> {
        self.at += parts.iter().map(|part| part.len() as u64).sum::<u64>();
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
        self.at += bytes.len() as u64;
        self.to.write_all(bytes).map_err(Error::host)
    }

    fn header(&mut self, id: u8, len: usize) -> Result<()> {
        self.put(&[id])?;
        self.put(&(len as u64).to_le_bytes())
    }
}

fn header<B: AsRef<[u8]>>(chunk: &Chunk<B>) -> [u8; CHUNK_HEADER] {
    let mut header = [0; CHUNK_HEADER];
    header[..8].copy_from_slice(&chunk.index.as_u64().to_le_bytes());
    header[8] = chunk.packing as u8;
    header[9..13].copy_from_slice(&(chunk.packed.as_ref().len() as u32).to_le_bytes());
    header[13..].copy_from_slice(&chunk.hash);
    header
}

/// A checkpoint of which everything but the memories has been read.
pub(super) struct Reader<R> {
    source: Source<R>,
    /// Whether it may have parts that can be mapped.
    pub(super) mappable: bool,
    pub(super) state: State,
    pub(super) modules: Vec<ModuleBytes>,
}

/// Bytes that are hashed as they are read.
pub(super) struct Source<R> {
    pub(super) from: R,
    hasher: blake3::Hasher,
}

/// A chunk whose contents are to be read.
pub(super) struct Stored {
    pub(super) memory: MemoryNumber,
    pub(super) index: ChunkIndex,
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
        if ![VERSION, MAPPABLE_VERSION].contains(&version) {
            return Err(Error::checkpoint(
                CheckpointErrorKind::Version,
                format!(
                    "the checkpoint has version {version} of the format; this Wardian reads the versions {VERSION} \
                     and {MAPPABLE_VERSION}: see \
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
        Ok(Reader { source, mappable: version == MAPPABLE_VERSION, state, modules })
    }

    /// Reads the memories, chunk by chunk, and the end. Returns the root hash, which was compared. `each` reads the
    /// contents of the chunk with one method of the source.
    pub(super) fn chunks(
        &mut self,
        mut each: impl FnMut(&Stored, &mut Source<R>) -> Result<()>,
    ) -> Result<Hash> {
        let mut last = None;
        let mut in_order = |stored: &Stored| {
            let place = Some((stored.memory, stored.index));
            match std::mem::replace(&mut last, place) >= place {
                true => Err(Error::damaged("parts of a memory are in another order")),
                false => Ok(()),
            }
        };
        loop {
            let (id, mut len) = self.source.section()?;
            match id {
                id::CHUNKS => {}
                id::MAPPABLE if self.mappable => {}
                id::END if len == size_of::<Hash>() as u64 => break,
                id::END => return Err(Error::damaged("its hash has another length")),
                _ => return Err(Error::damaged(format!("section {id} is where chunks should be"))),
            }
            len = len.checked_sub(CHUNKS_HEADER as u64).ok_or_else(too_large)?;
            let memory = MemoryNumber::from_u32(u32::from_le_bytes(self.source.array()?));
            if memory.index() >= self.state.memories.len() {
                return Err(Error::damaged("it has parts of a memory that is not there"));
            }
            if id == id::MAPPABLE {
                for stored in self.source.mappable(memory, len)? {
                    in_order(&stored)?;
                    each(&stored, &mut self.source)?;
                }
                continue;
            }
            while len > 0 {
                let stored = self.source.chunk(memory)?;
                len = len.checked_sub((CHUNK_HEADER + stored.len) as u64).ok_or_else(too_large)?;
                in_order(&stored)?;
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
            Packing::Plain => return Err(wrong_size().into()),
            Packing::Lz4 => decompress(&self.packed(stored)?, target)?,
        }
        Ok(())
    }

    /// Reads up to the contents of chunks that can be mapped; `len` bytes of the section are left.
    fn mappable(&mut self, memory: MemoryNumber, len: u64) -> Result<Vec<Stored>> {
        let count = u32::from_le_bytes(self.array()?);
        let mut all = Vec::new();
        let mut wanted = (MAPPABLE_HEADER - CHUNKS_HEADER) as u64;
        for _ in 0..count {
            let stored = self.chunk(memory)?;
            if stored.packing == Packing::Lz4 {
                return Err(Error::damaged("a part of a memory that can be mapped is packed"));
            }
            wanted += (CHUNK_HEADER + stored.len) as u64;
            if wanted > len {
                return Err(too_large());
            }
            all.push(stored);
        }
        let padding = u32::from_le_bytes(self.array()?);
        if padding as usize >= CHUNK || wanted + u64::from(padding) != len {
            return Err(Error::damaged("a part of a memory is at another place"));
        }
        let zeroes = self.many(padding.into())?;
        self.hasher.update(&zeroes);
        Ok(all)
    }

    /// The header of a chunk.
    fn chunk(&mut self, memory: MemoryNumber) -> Result<Stored> {
        let index = ChunkIndex::from_u64(u64::from_le_bytes(self.array()?));
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
