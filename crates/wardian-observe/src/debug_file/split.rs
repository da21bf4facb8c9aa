//! Debug information of units of a module, in files of their own (split DWARF: `.dwo`, and packages of them, `.dwp`).

use super::{DebugFileError, Parts, Sections};
use wardian::inspect::{Package, SplitUnit, split_units};

/// The units of a binary module that have only a skeleton in its debug information, while the rest is in other files.
pub fn units_in_other_files(module: &[u8]) -> Vec<SplitUnit> {
    match Parts::of(module) {
        Ok(parts) => split_units(|name| parts.custom(module, name)),
        Err(_) => Vec::new(),
    }
}

/// The module with the rest of its split units, of files (`.dwo`) that `open` gives, as a package. Files that are of other
/// units, or that cannot be read, are left out: [`units_in_other_files`] says what is missing after that. None if
/// nothing was found, or if the module has a package.
///
/// `open` is asked for each unit that no file before it had. A hostile module has many units that name one file, so `open`
/// should give a file once: all units of it are taken then.
pub fn with_split_units(
    module: &[u8],
    open: &mut dyn FnMut(&SplitUnit) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let parts = Parts::of(module).ok()?;
    if parts.custom(module, INDEX).is_some() {
        return None;
    }
    let mut package = Package::default();
    let units = split_units(|name| parts.custom(module, name));
    for unit in &units {
        if !package.has(unit.id)
            && let Some(file) = open(unit)
            && let Ok(other) = Parts::of(&file)
        {
            let mut one = Package::default();
            let section = |name: &str| other.custom(&file, name);
            // The file may be of another build.
            if one.add(section).is_ok() && one.has(unit.id) {
                let _ = package.add(section);
            }
        }
    }
    let sections = package.sections();
    if sections.is_empty() { None } else { Some(parts.with(module, &sections)) }
}

const INDEX: &str = ".debug_cu_index";
const UNITS: &str = ".debug_info.dwo";

/// The sections of a package of units, if the file is one, or is the file of some.
pub(super) fn sections(file: &[u8], parts: &Parts) -> Option<Result<Sections, DebugFileError>> {
    let is_read = |name: &str| name == INDEX || name.ends_with(".dwo");
    if parts.custom(file, INDEX).is_some() {
        let wanted = parts.customs.iter().filter(|(name, _)| is_read(name));
        return Some(Ok(wanted
            .map(|(name, at)| (name.clone(), file[at.clone()].to_vec()))
            .collect()));
    }
    parts.custom(file, UNITS)?;
    let mut package = Package::default();
    let added = package.add(|name| parts.custom(file, name));
    Some(match added {
        Ok(()) => Ok(package.sections()),
        Err(why) => Err(DebugFileError::Split(why.to_string())),
    })
}

/// Whether a module has one of the units of these sections.
pub(super) fn has_one(module: &[u8]) -> bool {
    units_in_other_files(module).iter().any(|unit| unit.found)
}
