//! `wardian cache`.

use crate::args::{CacheAction, CacheArgs};
use crate::report::{Exit, Result};
use crate::{engine, output};

pub(crate) fn cache(args: &CacheArgs) -> Result<Exit> {
    let text = match args.action {
        // Also where it cannot be used: who looks for it may be about to find out why.
        CacheAction::Dir => format!("{}\n", engine::cache_folder()?.display()),
        CacheAction::Clear => {
            let cache = engine::cache()?;
            format!("{} removed from {}\n", output::bytes(cache.clear()?), cache.dir().display())
        }
        CacheAction::Size => {
            let cache = engine::cache()?;
            format!("{} in {}\n", output::bytes(cache.size()?), cache.dir().display())
        }
    };
    output::write(text.as_bytes())?;
    Ok(Exit::SUCCESS)
}
