//! `wardian compile`.

use crate::args::CompileArgs;
use crate::engine;
use crate::input::Input;
use crate::output;
use crate::report::{Exit, Result};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use wardian::{EngineKind, Module};

pub(crate) fn compile(args: &CompileArgs) -> Result<Exit> {
    let input = Input::read_module(&args.file)?;
    let name = input.name.clone();
    let engine = engine::engine(args.features.set(), |config| {
        config.engine(EngineKind::Compiled);
    })?;
    match &args.output {
        Some(path) => {
            let module = engine::compile(&engine, input)?;
            let artifact = module.serialize()?;
            write(path, &artifact)?;
            let size = output::bytes(artifact.len() as u64);
            told(&name, &module, &format!("{size} written to {}", path.display()))?;
        }
        None => {
            let cache = engine::cache()?;
            engine.set_cache(Some(Arc::new(cache.clone())));
            let module = engine::compile(&engine, input)?;
            told(&name, &module, &format!("it is in the cache, {}", cache.dir().display()))?;
        }
    }
    Ok(Exit::SUCCESS)
}

fn told(name: &str, module: &Module, done: &str) -> anyhow::Result<()> {
    let functions = match module.info().bodies.len() {
        1 => "1 function".to_owned(),
        count => format!("{count} functions"),
    };
    let code = output::bytes(module.code_size() as u64);
    let line = format!("{name}: {functions}, {code} of machine code; {done}\n");
    output::write(line.as_bytes())
}

/// Writes a file as a whole, so that a half-written artifact is never there under its name.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = std::fs::write(temporary, bytes).and_then(|()| std::fs::rename(temporary, path));
    if written.is_err() {
        // What is left of it is of no use; that it may not be there is fine.
        let _ = std::fs::remove_file(temporary);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}
