//! A package of split units, made of the files of a compiler.

use super::metered::Metered;
use addr2line::gimli::{self, AbbreviationsCacheStrategy, Dwarf, DwarfFileType, SectionId};
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A package (`.dwp`) of the debug information that compilers put into files of their own (`.dwo`), as sections of
/// the module that it belongs to.
#[derive(Debug, Default)]
pub struct Package {
    /// Contents of [`COLUMNS`], then of the strings.
    sections: [Vec<u8>; COLUMNS.len()],
    strings: Vec<u8>,
    /// The units in the order of the index: id, and where its part of each section is.
    rows: Vec<(u64, [Range<u32>; COLUMNS.len()])>,
    ids: HashSet<u64>,
}

/// The sections that an index has columns for, with the numbers of these in an index of version 5. Lines are those of
/// the module, and nothing here asks where variables are.
const COLUMNS: [(SectionId, u32); 4] = [
    (SectionId::DebugInfo, gimli::DW_SECT_INFO.0),
    (SectionId::DebugAbbrev, gimli::DW_SECT_ABBREV.0),
    (SectionId::DebugStrOffsets, gimli::DW_SECT_STR_OFFSETS.0),
    (SectionId::DebugRngLists, gimli::DW_SECT_RNGLISTS.0),
];
const STRING_OFFSETS: usize = 2;

/// Why the units of a file cannot be in a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackageError {
    /// There is none, or what is there is broken.
    Unreadable,
    /// Reading them takes more time than a file of this size may cost.
    TooComplex,
    /// There is more than an index can refer to.
    TooLarge,
}

impl fmt::Display for PackageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PackageError::Unreadable => "its debug information is unreadable",
            PackageError::TooComplex => "its debug information is too complex",
            PackageError::TooLarge => "its debug information is too large",
        })
    }
}

impl std::error::Error for PackageError {}

impl Package {
    /// Whether a unit is there.
    pub fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// Adds the units of a file; `section` gives the contents of its sections by name. Units with ids that the package has
    /// already stay as they are.
    ///
    /// # Errors
    ///
    /// The file has no units that can be read. Then the package is as it was.
    pub fn add<'a>(
        &mut self,
        section: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<(), PackageError> {
        let bytes = |id: SectionId| id.dwo_name().and_then(&section).unwrap_or(&[]);
        let units = Units::read(&bytes)?;
        let start = u32::try_from(self.strings.len()).map_err(|_| PackageError::TooLarge)?;
        let offsets = moved(bytes(SectionId::DebugStrOffsets), units.offsets_from, start)?;
        let parts = COLUMNS.map(|(id, _)| bytes(id));
        let mut ranges: [Range<u32>; COLUMNS.len()] = Default::default();
        let before = self.sections.iter().map(Vec::len);
        for (range, (before, part)) in ranges.iter_mut().zip(before.zip(parts)) {
            let end = u32::try_from(before + part.len()).map_err(|_| PackageError::TooLarge)?;
            *range = before as u32..end;
        }
        for (column, (all, part)) in self.sections.iter_mut().zip(parts).enumerate() {
            all.extend_from_slice(if column == STRING_OFFSETS { &offsets } else { part });
        }
        self.strings.extend_from_slice(bytes(SectionId::DebugStr));
        for (id, unit) in units.found {
            if self.ids.insert(id) {
                let mut row = ranges.clone();
                row[0] = row[0].start + unit.start..row[0].start + unit.end;
                self.rows.push((id, row));
            }
        }
        Ok(())
    }

    /// The sections; none if there are no units.
    pub fn sections(self) -> Vec<(String, Vec<u8>)> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let named = |id: SectionId, bytes| (id.dwo_name().unwrap_or_default().to_owned(), bytes);
        let index = named(SectionId::DebugCuIndex, self.index());
        let strings = named(SectionId::DebugStr, self.strings);
        let columns = COLUMNS.iter().zip(self.sections).map(|((id, _), bytes)| named(*id, bytes));
        columns.chain([strings, index]).collect()
    }

    /// The index: a table of ids by hash, which leads to rows of offsets and sizes.
    fn index(&self) -> Vec<u8> {
        // A third is free at least, so that searches end soon.
        let slots = (self.rows.len() * 3 / 2 + 1).next_power_of_two();
        let mask = slots as u64 - 1;
        let mut table = vec![(0u64, 0u32); slots];
        for (row, (id, _)) in self.rows.iter().enumerate() {
            let (mut at, step) = (id & mask, (id >> 32 & mask) | 1);
            while table[at as usize].1 != 0 {
                at = (at + step) & mask;
            }
            table[at as usize] = (*id, row as u32 + 1);
        }
        let mut bytes = Vec::new();
        let mut word = |word: u32| bytes.extend(word.to_le_bytes());
        let header = [5, COLUMNS.len() as u32, self.rows.len() as u32, slots as u32];
        header.into_iter().for_each(&mut word);
        table.iter().for_each(|(id, _)| {
            word(*id as u32);
            word((id >> 32) as u32);
        });
        table.iter().for_each(|(_, row)| word(*row));
        COLUMNS.iter().for_each(|(_, number)| word(*number));
        let ranges = || self.rows.iter().flat_map(|(_, ranges)| ranges);
        ranges().for_each(|range| word(range.start));
        ranges().for_each(|range| word(range.end - range.start));
        bytes
    }
}

/// The units of a file.
struct Units {
    /// Ids, and where the units are in `.debug_info.dwo`.
    found: Vec<(u64, Range<u32>)>,
    /// Where the first offset of a string is in its section: from version 5 on this has a header.
    offsets_from: usize,
}

impl Units {
    fn read<'a>(bytes: &impl Fn(SectionId) -> &'a [u8]) -> Result<Units, PackageError> {
        let exhausted = Arc::new(AtomicBool::new(false));
        let load = |id: SectionId| {
            // The first entry of each unit is read, and each table of abbreviations once.
            let bytes = bytes(id);
            Ok::<_, gimli::Error>(Metered::new(
                bytes,
                (64 << 10) + 16 * bytes.len() as u64,
                &exhausted,
            ))
        };
        let why = |_: gimli::Error| match exhausted.load(Relaxed) {
            true => PackageError::TooComplex,
            false => PackageError::Unreadable,
        };
        let mut dwarf = Dwarf::load(load).map_err(why)?;
        dwarf.file_type = DwarfFileType::Dwo;
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::All);
        let mut found = Vec::new();
        let mut version = None;
        let mut units = dwarf.units();
        while let Some(header) = units.next().map_err(why)? {
            // Units of types are elsewhere in version 4, and have no ids that modules know.
            let Some(start) = header.debug_info_offset().map(|start| start.0) else { continue };
            let range = start..start + header.length_including_self();
            let encoding = header.encoding();
            let Ok(unit) = dwarf.unit(header) else { continue };
            let Some(id) = unit.dwo_id else { continue };
            // Offsets of strings are those of one table, which all units of a file have in common.
            if encoding.format != gimli::Format::Dwarf32
                || *version.get_or_insert(encoding.version) != encoding.version
            {
                return Err(PackageError::Unreadable);
            }
            let end = u32::try_from(range.end).map_err(|_| PackageError::TooLarge)?;
            found.push((id.0, range.start as u32..end));
        }
        match version {
            Some(version) => Ok(Units { found, offsets_from: if version >= 5 { 8 } else { 0 } }),
            None if exhausted.load(Relaxed) => Err(PackageError::TooComplex),
            None => Err(PackageError::Unreadable),
        }
    }
}

/// Offsets of strings that have been put behind `start` bytes of others.
fn moved(offsets: &[u8], from: usize, start: u32) -> Result<Vec<u8>, PackageError> {
    let mut moved = offsets.to_vec();
    for offset in moved.get_mut(from..).unwrap_or_default().as_chunks_mut().0 {
        let there = u32::from_le_bytes(*offset).checked_add(start);
        *offset = there.ok_or(PackageError::TooLarge)?.to_le_bytes();
    }
    Ok(moved)
}
