//! Manual pages.

use crate::args::Cli;
use crate::output;
use crate::report::{Exit, Result};
use anyhow::Context;
use clap::CommandFactory;
use std::path::Path;

/// Writes the pages of all commands to a folder; without one, prints the page of `wardian` itself.
pub(crate) fn man(folder: Option<&Path>) -> Result<Exit> {
    let command = Cli::command();
    match folder {
        Some(folder) => {
            let failed = || format!("cannot write manual pages to {}", folder.display());
            std::fs::create_dir_all(folder).with_context(failed)?;
            clap_mangen::generate_to(command, folder).with_context(failed)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            output::write(&page)?;
        }
    }
    Ok(Exit::SUCCESS)
}
