//! Split DWARF: units of a module of which the functions are described in other files, or in a package of them.
//!
//! The module keeps a skeleton of such a unit, with its lines and an id. A package (`.dwp`) has the rest of many
//! units, and an index by id. It is in the same module, in sections with names of their own: whoever finds the files
//! puts them there ([`super::Package`]).

#[cfg(test)]
mod tests;

use super::metered::Metered;
use super::sections::{Loader, Reader};
use super::{Dwarf, shape};
use addr2line::gimli::{self, AttributeValue, DwoId, Reader as _, Section, SectionId, UnitRef};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A unit of debug information of which only a skeleton is in the module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SplitUnit {
    /// What the unit and the file with the rest of it have in common.
    pub id: u64,
    /// The file, as the compiler named it.
    pub file: String,
    /// The folder that a relative name is relative to, if the compiler said it.
    pub folder: Option<String>,
    /// Whether the rest is in the module.
    pub found: bool,
}

/// The units of a module that are split; `section` gives the contents of a custom section by name. Empty if its debug
/// information is unreadable or too complex.
pub fn split_units<'a>(section: impl Fn(&str) -> Option<&'a [u8]>) -> Vec<SplitUnit> {
    // Most modules have no such units, and this is said by a small section.
    match section(".debug_abbrev").is_some_and(names_files) {
        true => Dwarf::read(section).split_units(),
        false => Vec::new(),
    }
}

/// Whether a table of abbreviations has one with the name of a file of a split unit.
fn names_files(mut abbreviations: &[u8]) -> bool {
    let table = &mut abbreviations;
    // Tables follow each other; the number zero ends one.
    while !table.is_empty() {
        let is_entry = number(table).is_some_and(|code| code != 0);
        if !is_entry {
            continue;
        }
        // The tag, and whether there are children.
        let (Some(_), Some(_)) = (number(table), table.split_off_first()) else { return false };
        loop {
            let (Some(name), Some(form)) = (number(table), number(table)) else { return false };
            if name == gimli::DW_AT_dwo_name.0.into() || name == gimli::DW_AT_GNU_dwo_name.0.into()
            {
                return true;
            }
            if form == gimli::DW_FORM_implicit_const.0.into() {
                number(table);
            }
            if name == 0 && form == 0 {
                break;
            }
        }
    }
    false
}

/// A number in LEB128, of which the bits above 64 are dropped. None at the end of the bytes.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0u64, 0u32);
    loop {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift = shift.saturating_add(7);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
}

/// The rest of units, by their ids.
pub(super) struct Rests {
    package: Option<gimli::DwarfPackage<Metered>>,
    /// Those that were asked for; none if they are missing or unreadable.
    known: HashMap<u64, Option<Arc<gimli::Dwarf<Metered>>>>,
    /// Tables of abbreviations by where they are: the units of a file may have one in common.
    abbreviations: HashMap<u64, Arc<gimli::Abbreviations>>,
}

/// The sections of a package. The index refers to all of them, also to those that nothing is looked up in.
pub(super) const PACKAGE: [SectionId; 13] = [
    SectionId::DebugAbbrev,
    SectionId::DebugCuIndex,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTuIndex,
    SectionId::DebugTypes,
];

impl Rests {
    pub(super) fn load<'a>(loader: &Loader<impl Fn(&str) -> Option<&'a [u8]>>) -> Rests {
        let package = gimli::DwarfPackage::load(
            |id| id.dwo_name().map_or(Ok(loader.absent()), |name| loader.load(id, name)),
            loader.absent(),
        );
        Rests { package: package.ok(), known: HashMap::new(), abbreviations: HashMap::new() }
    }

    /// The rest of a unit of `parent`. An error is debug information that is too complex.
    pub(super) fn get(
        &mut self,
        id: DwoId,
        parent: &gimli::Dwarf<Metered>,
    ) -> Result<Option<Arc<gimli::Dwarf<Metered>>>, shape::TooComplex> {
        if let Some(known) = self.known.get(&id.0) {
            return Ok(known.clone());
        }
        let rest = self.read(id, parent).ok().flatten();
        if let Some(rest) = &rest {
            shape::examine_rest(rest)?;
        }
        let rest = rest.map(Arc::new);
        self.known.insert(id.0, rest.clone());
        Ok(rest)
    }

    fn read(
        &mut self,
        id: DwoId,
        parent: &gimli::Dwarf<Metered>,
    ) -> gimli::Result<Option<gimli::Dwarf<Metered>>> {
        let Some(package) = &self.package else { return Ok(None) };
        let Some(mut rest) = package.find_cu(id, parent)? else { return Ok(None) };
        let Some(header) = rest.units().next()? else { return Ok(None) };
        let offset = header.debug_abbrev_offset();
        let at = rest.debug_abbrev.reader().offset_id().0 + offset.0 as u64;
        let table = match self.abbreviations.entry(at) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let table = rest.debug_abbrev.abbreviations(offset)?;
                new.insert(Arc::new(table)).clone()
            }
        };
        rest.abbreviations_cache.set::<Metered>(offset, table);
        // The index may be wrong.
        let is_that = rest.unit(header)?.dwo_id == Some(id);
        Ok(is_that.then_some(rest))
    }
}

impl Reader {
    pub(super) fn split_units(&mut self) -> Result<Vec<SplitUnit>, shape::TooComplex> {
        let dwarf = self.dwarf.clone();
        let mut found = Vec::new();
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            let (Some(id), Ok(Some(name))) = (unit.dwo_id, unit.dwo_name()) else { continue };
            let unit = UnitRef::new(&dwarf, &unit);
            let Ok(file) = text(unit, name) else { continue };
            let folder = unit.comp_dir.as_ref();
            let folder = folder.and_then(|name| Some(name.to_string_lossy().ok()?.into_owned()));
            let found_rest = self.rests.get(id, &dwarf)?.is_some();
            found.push(SplitUnit { id: id.0, file, folder, found: found_rest });
        }
        match self.exhausted.load(Relaxed) {
            true => Err(shape::TooComplex),
            false => Ok(found),
        }
    }
}

fn text(unit: UnitRef<'_, Metered>, value: AttributeValue<Metered>) -> gimli::Result<String> {
    Ok(unit.attr_string(value)?.to_string_lossy()?.into_owned())
}
