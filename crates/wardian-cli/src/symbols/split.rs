//! Units of debug information in files beside (split DWARF), which are found by their names.

use crate::input::Input;
use crate::report;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use wardian::inspect::SplitUnit;
use wardian_observe::{units_in_other_files, with_split_units};

/// Adds the rest of the units that the module has only skeletons of, and notes what is missing: lines are there all the
/// same. `beside` is the file with the skeletons; `is_named` if the user named it, and its compiler's folders with it.
pub(super) fn add(input: &mut Input, beside: &Path, is_named: bool) {
    if missing(input).is_empty() {
        return;
    }
    let opened = match package(input, beside) {
        true => Vec::new(),
        false => files(input, beside, is_named),
    };
    note(input, beside, &opened);
}

fn missing(input: &Input) -> Vec<SplitUnit> {
    let module = wardian_module::to_binary(&input.bytes);
    let mut units = module.map_or(Vec::new(), |module| units_in_other_files(&module));
    units.retain(|unit| !unit.found);
    units
}

/// Adds units from files of their own. Gives the ids and files of those that were there.
fn files(input: &mut Input, beside: &Path, is_named: bool) -> Vec<(u64, PathBuf)> {
    let mut opened = Vec::new();
    // A module of a megabyte has room for a hundred thousand units that name one file.
    let mut read = HashSet::new();
    let Ok(module) = wardian_module::to_binary(&input.bytes) else { return opened };
    let joined = with_split_units(&module, &mut |unit| {
        let path = candidates(unit, beside, is_named).into_iter().find(|path| path.is_file())?;
        let bytes = if read.insert(path.clone()) { std::fs::read(&path).ok() } else { None };
        opened.push((unit.id, path));
        bytes
    });
    if let Some(joined) = joined {
        input.bytes = joined;
    }
    opened
}

/// Adds the units of a package beside the file, named as tools name it. False if there is none that fits.
fn package(input: &mut Input, beside: &Path) -> bool {
    let mut appended = beside.as_os_str().to_owned();
    appended.push(".dwp");
    let names = [PathBuf::from(appended), beside.with_extension("dwp")];
    let Some(path) = names.iter().find(|path| path.is_file()) else { return false };
    let joined = match std::fs::read(path) {
        Ok(package) => super::join(input, &package, None),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = &joined {
        report::note(&format!("no debug information from {}: {why}", path.display()));
    }
    joined.is_ok()
}

/// Where the file of a unit may be. Modules are not trusted, so only the folder of the file is looked in, and those
/// below it, unless the user asked for what the file says.
fn candidates(unit: &SplitUnit, beside: &Path, is_named: bool) -> Vec<PathBuf> {
    let folder = beside.parent().unwrap_or(Path::new(""));
    let file = Path::new(&unit.file);
    let mut paths = Vec::new();
    if file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        paths.push(folder.join(file));
    }
    paths.extend(file.file_name().map(|name| folder.join(name)));
    if is_named {
        let root = unit.folder.as_deref().unwrap_or("");
        paths.push(folder.join(root).join(file));
    }
    paths
}

/// Says which units are missing.
fn note(input: &Input, beside: &Path, opened: &[(u64, PathBuf)]) {
    let missing = missing(input);
    let Some(first) = missing.first() else { return };
    let count = match missing.len() {
        1 => "a unit".to_owned(),
        count => format!("{count} units"),
    };
    let why = match opened.iter().find(|(id, _)| *id == first.id) {
        Some((_, path)) => format!("{} is of another build", path.display()),
        None => format!("{} is not beside {}", first.file.escape_debug(), beside.display()),
    };
    report::note(&format!(
        "no functions from the debug information of {count}: {why}; --symbols FILE names a package (.dwp)"
    ));
}
