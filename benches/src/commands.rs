//! Where commands of other engines are.

use std::path::PathBuf;

/// The command that a variable names, or the one of this name on the path.
pub(crate) fn find(variable: &str, command: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(command)).find(|p| p.is_file())
}
