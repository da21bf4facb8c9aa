//! How costs grow with the size of modules, the number of instances, the depth of stacks, and the number of
//! functions that are listened to.

mod depth;
mod instances;
mod listeners;
mod size;

use crate::measure::Row;
use crate::options::{Options, Result};

/// All curves, each a table of its own.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = size::run(options)?;
    rows.extend(instances::run(options)?);
    rows.extend(depth::run(options)?);
    rows.extend(listeners::run(options)?);
    Ok(rows)
}
