//! Paths: the directory of the last component, and its name.
//!
//! Whatever comes before the last component is resolved by cap-std (on Linux
//! by `openat2` with `RESOLVE_BENEATH`), beneath the descriptor's directory.
//! What remains is one name in an open directory; the functions that take it
//! never follow it, so nothing that happens meanwhile can lead them outside.

use cap_std::fs::Dir as HostDir;

use crate::errno::Errno;
use crate::host;
use crate::types::{Filestat, Filetype};

/// A directory, the one a descriptor refers to or one below it.
pub(crate) enum Parent<'d> {
    Own(&'d HostDir),
    Below(HostDir),
}

/// A path whose last component is a name.
pub(crate) struct Place<'d, 'p> {
    pub(crate) parent: Parent<'d>,
    pub(crate) name: &'p str,
    /// The path ended in a slash, so it must name a directory.
    pub(crate) slash: bool,
}

/// What a path leads to.
pub(crate) enum Target<'d, 'p> {
    Named(Place<'d, 'p>),
    /// The path ends in `.`; it is a directory that is open already.
    Dot(HostDir),
    /// The path ends in `..`, inside the sandbox.
    DotDot(HostDir),
}

/// Errs if the path cannot be resolved in any directory.
pub(crate) fn relative(path: &str) -> Result<(), Errno> {
    if path.is_empty() {
        Err(Errno::Noent)
    } else if path.starts_with('/') {
        Err(Errno::Perm)
    } else {
        host::check_path(path)
    }
}

/// Resolves all but the last component of `path`.
///
/// # Errors
/// `perm` if it leads outside; `noent`, `notdir`, `loop` and what else the host
/// says.
pub(crate) fn locate<'d, 'p>(dir: &'d HostDir, path: &'p str) -> Result<Target<'d, 'p>, Errno> {
    relative(path)?;
    let trimmed = path.trim_end_matches('/');
    let (before, name) = match trimmed.rfind('/') {
        Some(at) => (&trimmed[..at], &trimmed[at + 1..]),
        None => ("", trimmed),
    };
    if name == "." {
        return Ok(Target::Dot(dir.open_dir(trimmed)?));
    }
    if name == ".." {
        return Ok(Target::DotDot(dir.open_dir(trimmed)?));
    }
    let parent = match before {
        "" => Parent::Own(dir),
        before => Parent::Below(dir.open_dir(before)?),
    };
    Ok(Target::Named(Place { parent, name, slash: trimmed.len() < path.len() }))
}

impl Target<'_, '_> {
    /// The name in its directory, or the errno for a path that ends in dots.
    pub(crate) fn named(&self, dot: Errno, dot_dot: Errno) -> Result<&Place<'_, '_>, Errno> {
        match self {
            Target::Named(place) => Ok(place),
            Target::Dot(_) => Err(dot),
            Target::DotDot(_) => Err(dot_dot),
        }
    }
}

impl Place<'_, '_> {
    /// The directory that the name is in.
    pub(crate) fn dir(&self) -> &HostDir {
        match &self.parent {
            Parent::Own(dir) => dir,
            Parent::Below(dir) => dir,
        }
    }

    /// The attributes of the name itself, even if it is a link.
    pub(crate) fn stat(&self) -> Result<Filestat, Errno> {
        host::stat_at(self.dir(), self.name)
    }

    /// Errs if the path ends in a slash and is not a directory.
    pub(crate) fn directory_if_slash(&self) -> Result<(), Errno> {
        if !self.slash || self.stat()?.filetype == Filetype::Directory {
            Ok(())
        } else {
            Err(Errno::Notdir)
        }
    }

    /// Errs if the path ends in a slash, where something that is not a
    /// directory is about to be created.
    pub(crate) fn no_slash(&self) -> Result<(), Errno> {
        if !self.slash {
            return Ok(());
        }
        Err(if self.stat()?.filetype == Filetype::Directory { Errno::Exist } else { Errno::Notdir })
    }
}
