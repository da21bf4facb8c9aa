//! `wardian validate`.

use crate::args::ValidateArgs;
use crate::input::Input;
use crate::output;
use crate::report::{Exit, Result};

pub(crate) fn validate(args: &ValidateArgs) -> Result<Exit> {
    let input = Input::read_module(&args.file)?;
    let module = crate::inspect::decode(&input, args.features.set())?;
    let needed = module.features_needed();
    let line = if needed.is_empty() {
        format!("{} is valid, and needs no features beyond the first WebAssembly\n", input.name)
    } else {
        format!("{} is valid, and needs these features: {needed}\n", input.name)
    };
    output::write(line.as_bytes())?;
    Ok(Exit::SUCCESS)
}
