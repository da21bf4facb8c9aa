//! Names and debug information from a file beside the module.

mod split;

use crate::input::Input;
use crate::report;
use anyhow::{Context, anyhow};
use std::path::Path;
use wardian_observe::{DebugFileReference, with_debug_file};

/// Adds what is in the file of `--symbols`.
pub(crate) fn add(input: &mut Input, file: &Path) -> anyhow::Result<()> {
    input.no_artifact()?;
    let symbols = std::fs::read(file);
    let symbols = symbols.with_context(|| format!("cannot read --symbols {}", file.display()))?;
    let folder = file.parent();
    join(input, &symbols, folder).map_err(|why| {
        anyhow!("cannot use --symbols {} for {}: {why}", file.display(), input.name)
    })?;
    split::add(input, file, true);
    Ok(())
}

/// Adds what the module says is in another file, if that is beside it. There may be none, or one that does not
/// fit any more; then names and lines are missing, as they would be without the reference.
pub(crate) fn follow(input: &mut Input, path: &Path) {
    follow_reference(input, path);
    split::add(input, path, false);
}

fn follow_reference(input: &mut Input, path: &Path) {
    // What is no module is reported by those who decode it.
    let Ok(module) = wardian_module::to_binary(&input.bytes) else { return };
    let Some(reference) = DebugFileReference::of(&module) else { return };
    let Some(name) = reference.file_name() else {
        report::note("the module's debug information is in another file; --symbols FILE names it");
        return;
    };
    let folder = path.parent();
    let file = path.with_file_name(name);
    let joined = match std::fs::read(&file) {
        Ok(symbols) => join(input, &symbols, folder),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = joined {
        let file = file.display();
        report::warning(&format!(
            "no debug information from {file}, which the module names: {why}"
        ));
    }
}

fn join(input: &mut Input, symbols: &[u8], folder: Option<&Path>) -> Result<(), String> {
    let module = wardian_module::to_binary(&input.bytes).map_err(|error| error.to_string())?;
    let symbols = match symbols.starts_with(b"\0asm") || symbols.trim_ascii().starts_with(b"{") {
        true => symbols.into(),
        false => wardian_module::to_binary(symbols).map_err(|error| error.to_string())?,
    };
    input.bytes = with_debug_file(&module, &symbols, folder).map_err(|error| error.to_string())?;
    Ok(())
}
