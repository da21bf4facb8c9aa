//! `wardian compile`.

use crate::args::CompileArgs;
use crate::engine;
use crate::input::Input;
use crate::outfile::OutFile;
use crate::output;
use crate::profile_file::ProfileFile;
use crate::report::{Exit, Result};
use std::io::Write;
use std::sync::Arc;
use wardian::{Engine, EngineKind, Module};

pub(crate) fn compile(args: &CompileArgs) -> Result<Exit> {
    let profile = ProfileFile::of(&args.profile)?;
    let profile = profile.as_ref();
    let input = Input::read_module(&args.file)?;
    let name = input.name.clone();
    let engine = engine::engine(args.features.set(), |config| {
        config.engine(EngineKind::Compiled);
    })?;
    match &args.output {
        Some(path) => {
            let file = OutFile::open(path.clone())?;
            // What was there stays until there is something to replace it.
            let made = artifact(&engine, input, profile);
            if made.is_err() {
                file.discard();
            }
            let (module, artifact) = made?;
            file.replace("artifact", |writer| writer.write_all(&artifact))?;
            let size = output::bytes(artifact.len() as u64);
            reported(&name, &module, &format!("{size} written to {}", path.display()))?;
        }
        None => {
            let cache = engine::cache()?;
            engine.set_cache(Some(Arc::new(cache.clone())));
            let module = engine::compile(&engine, input, profile)?;
            reported(&name, &module, &format!("it is in the cache, {}", cache.dir().display()))?;
        }
    }
    Ok(Exit::SUCCESS)
}

fn artifact(
    engine: &Engine,
    input: Input,
    profile: Option<&ProfileFile>,
) -> anyhow::Result<(Module, Vec<u8>)> {
    let module = engine::compile(engine, input, profile)?;
    let artifact = module.serialize()?;
    Ok((module, artifact))
}

fn reported(name: &str, module: &Module, done: &str) -> anyhow::Result<()> {
    let functions = match module.info().bodies.len() {
        1 => "1 function".to_owned(),
        count => format!("{count} functions"),
    };
    let code = output::bytes(module.code_size() as u64);
    let line = format!("{name}: {functions}, {code} of machine code; {done}\n");
    output::write(line.as_bytes())
}
