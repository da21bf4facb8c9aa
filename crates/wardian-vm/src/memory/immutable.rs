//! Files that cannot change, so that memories can show them.

use super::page_file::check_room;
use super::{EngineMemory, Memory};
use crate::mapping::round_up;
use crate::system::{self, MAPS_FILES};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// A file that nobody can change or cut off, so that memories can show it instead of having a copy.
///
/// A file on a disk can be changed by anybody who may write to it, and a page that was cut off ends the process that
/// reads it by a signal. So safe code has two ways to such a file, both in memory (under Linux): a copy of whatever can
/// be read ([`ImmutableFile::copy_of`]), which is worth it for what is resumed often, and a file that was sealed against
/// writing and shrinking ([`ImmutableFile::sealed`]), perhaps by another process. For others somebody has to vouch
/// ([`ImmutableFile::vouched_for`]).
///
/// Clones are the same file.
#[derive(Clone)]
pub struct ImmutableFile {
    file: Arc<File>,
    len: u64,
}

impl fmt::Debug for ImmutableFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImmutableFile").field("len", &self.len).finish_non_exhaustive()
    }
}

impl ImmutableFile {
    /// A copy in memory of all that can be read.
    ///
    /// # Errors
    ///
    /// Those of the reader; the system has no files in memory that can be sealed, or no memory.
    pub fn copy_of(mut from: impl Read) -> io::Result<ImmutableFile> {
        const AT_ONCE: usize = 256 << 10;
        let file = system::sealable_file("wardian-checkpoint")?;
        let mut bytes = vec![0; AT_ONCE];
        let mut len = 0;
        loop {
            let read = match from.read(&mut bytes) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            check_room(read)?;
            let mut done = 0;
            while done < read {
                done += system::write_at(&file, &bytes[done..read], len + done as u64)?;
            }
            len += read as u64;
        }
        system::seal(&file)?;
        ImmutableFile::sealed(file)
    }

    /// A file in memory that was sealed (`F_ADD_SEALS` with `F_SEAL_WRITE` and `F_SEAL_SHRINK`).
    ///
    /// # Errors
    ///
    /// It has not both of these seals. Files on disks have none.
    pub fn sealed(file: File) -> io::Result<ImmutableFile> {
        if !system::is_sealed(&file) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the file can be changed: it is not sealed against writing and shrinking",
            ));
        }
        let len = file.metadata()?.len();
        Ok(ImmutableFile { file: Arc::new(file), len })
    }

    /// Any file, of which the caller knows that it does not change.
    ///
    /// # Errors
    ///
    /// The system does not say how long it is.
    ///
    /// # Safety
    ///
    /// As long as this or a clone of it exists, and as long as a store exists that was resumed from it, nobody changes the
    /// file or cuts it off, and each of its pages can be read. Otherwise memory changes that safe code has references to,
    /// or the process is ended by a signal. With fs-verity the system sees to the first; a page that is damaged on the
    /// disk still ends the process.
    pub unsafe fn vouched_for(file: File) -> io::Result<ImmutableFile> {
        let len = file.metadata()?.len();
        Ok(ImmutableFile { file: Arc::new(file), len })
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads bytes from a place on; returns how many.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        system::read_at(&self.file, bytes, offset)
    }
}

impl Memory {
    /// Makes `[start, start + len)` of a memory that was made just now show a part of a file, from `offset` on, instead
    /// of a copy of it. False if this memory cannot, or if the places are not multiples of pages; then nothing has
    /// changed.
    pub fn show_file(&mut self, start: usize, len: usize, place: (&ImmutableFile, u64)) -> bool {
        match self {
            Memory::Engine(memory) => memory.show_file(start, len, place),
            Memory::Custom(_) => false,
        }
    }
}

impl EngineMemory {
    fn show_file(
        &mut self,
        start: usize,
        len: usize,
        (file, offset): (&ImmutableFile, u64),
    ) -> bool {
        let page = system::page_size();
        let end = start.checked_add(len).filter(|end| *end <= self.len);
        let there = offset.checked_add(len as u64).is_some_and(|end| end <= file.len);
        let aligned = (start | len).is_multiple_of(page) && offset.is_multiple_of(page as u64);
        let (Some(end), true) = (end, there && aligned && MAPS_FILES) else { return false };
        // What was captured would have to be kept.
        if self.captured.is_some() || self.tracker.is_some() || round_up(end).is_none() {
            return false;
        }
        // SAFETY: the range is inside of the memory, of which the borrow is exclusive. The file has these bytes, and does
        // not change: it is sealed, or somebody vouches for that.
        let shown = unsafe { self.mapping.map_file(start, len, (&file.file, offset)) };
        if shown.is_ok() {
            self.shown = self.shown.max(end);
        }
        shown.is_ok()
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use wardian_types::MemoryType;

    const PAGE: usize = 65536;

    #[test]
    fn only_what_cannot_change_is_shown() {
        let path = std::env::temp_dir().join(format!("wardian-immutable-{}", std::process::id()));
        std::fs::write(&path, vec![1; 3 * PAGE]).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        assert!(ImmutableFile::sealed(open()).is_err(), "a file on a disk");
        let mut memory = system::sealable_file("wardian-test").unwrap();
        memory.write_all(&[1; 100]).unwrap();
        assert!(ImmutableFile::sealed(memory.try_clone().unwrap()).is_err(), "not sealed");
        system::seal(&memory).unwrap();
        ImmutableFile::sealed(memory.try_clone().unwrap()).unwrap();
        // Nobody can change it, whoever has it open.
        memory.rewind().unwrap();
        assert!(memory.write_all(&[2]).is_err());
        assert!(memory.set_len(50).is_err());
        assert!(memory.set_len(5000).is_err() || memory.metadata().unwrap().len() == 5000);
        // A copy has nothing to do with what becomes of the file.
        let copy = ImmutableFile::copy_of(open()).unwrap();
        open().set_len(0).unwrap();
        let mut bytes = vec![0; 3 * PAGE];
        assert_eq!(copy.read_at(&mut bytes, 0).unwrap(), 3 * PAGE);
        assert!(bytes.iter().all(|byte| *byte == 1));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_memory_that_shows_a_file_is_as_any_other() {
        let bytes: Vec<u8> = (0..8 * PAGE).map(|at| (at / 1000) as u8).collect();
        let file = ImmutableFile::copy_of(&bytes[..]).unwrap();
        let pool = super::super::MemoryPool::default();
        for guarded in [true, false] {
            let ty = MemoryType::new(12, Some(40));
            let make =
                || Memory::Engine(EngineMemory::new(&ty, guarded, None, Some(&pool)).unwrap());
            let contents = |memory: &Memory| {
                // SAFETY: accessible, and nobody writes.
                unsafe { std::slice::from_raw_parts(memory.base(), memory.len()) }.to_vec()
            };
            let mut memory = make();
            let mut wanted = vec![0; 12 * PAGE];
            wanted[2 * PAGE..7 * PAGE].copy_from_slice(&bytes[PAGE..6 * PAGE]);
            assert!(memory.show_file(2 * PAGE, 5 * PAGE, (&file, PAGE as u64)));
            for (start, len, offset) in [
                (0, PAGE, 1),
                (1, PAGE, 0),
                (0, 100, 0),
                (11 * PAGE, 2 * PAGE, 0),
                (0, 9 * PAGE, 0),
                (0, PAGE, u64::MAX),
                (usize::MAX - 4095, PAGE, 0),
            ] {
                assert!(!memory.show_file(start, len, (&file, offset)), "{start}, {len}, {offset}");
            }
            assert!(contents(&memory) == wanted);
            // Captures, restores, forks, growth.
            // SAFETY: accessible, and borrowed exclusively.
            unsafe { memory.base().add(3 * PAGE).write(99) };
            wanted[3 * PAGE] = 99;
            let mut child = make();
            memory.fork_into(&mut child).unwrap();
            assert!(contents(&child) == wanted);
            let capture = memory.capture().unwrap();
            // SAFETY: as above.
            unsafe { memory.base().add(3 * PAGE).write_bytes(7, PAGE) };
            memory.grow_to(20 * PAGE, &|| false).unwrap();
            // SAFETY: no code uses the memory.
            unsafe { memory.restore(&capture).unwrap() };
            assert!(contents(&memory) == wanted);
            assert!(!memory.show_file(0, PAGE, (&file, 0)), "it was captured");
            // The file is as before, and another memory in its place has nothing of it.
            let mut again = vec![0; 8 * PAGE];
            file.read_at(&mut again, 0).unwrap();
            assert!(again == bytes);
            let mut other = make();
            assert!(other.show_file(0, 8 * PAGE, (&file, 0)));
            let Memory::Engine(other) = other else { unreachable!() };
            pool.give_back(other, false);
            assert!(contents(&make()).iter().all(|byte| *byte == 0));
        }
    }
}
