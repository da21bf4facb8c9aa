//! Profiles of modules in files.

use crate::args::ProfileUseArgs;
use crate::input::Input;
use anyhow::{Context, anyhow};
use std::path::{Path, PathBuf};
use wardian::{Module, profile::ModuleProfile};

/// A profile that was read from a file.
pub(crate) struct ProfileFile {
    path: PathBuf,
    pub(crate) profile: ModuleProfile,
}

impl ProfileFile {
    /// The one of the command line.
    pub(crate) fn of(args: &ProfileUseArgs) -> anyhow::Result<Option<ProfileFile>> {
        args.profile_use.as_deref().map(ProfileFile::read).transpose()
    }

    pub(crate) fn read(path: &Path) -> anyhow::Result<ProfileFile> {
        let Input { name, bytes } = Input::read(path)?;
        let profile = ModuleProfile::from_bytes(&bytes);
        let profile = profile.with_context(|| format!("{name} cannot be used as a profile"))?;
        Ok(ProfileFile { path: path.to_owned(), profile })
    }

    /// An error if it is a profile of another module than this one, which has that name.
    pub(crate) fn check(&self, module: &Module, name: &str) -> anyhow::Result<()> {
        match self.profile.is_of(module) {
            true => Ok(()),
            false => Err(self.of_another(name)),
        }
    }

    /// That it is a profile of another module.
    pub(crate) fn of_another(&self, name: &str) -> anyhow::Error {
        anyhow!("the profile in {} is of another module than {name}", self.path.display())
    }
}
