//! `wardian doctor`.

use crate::args::DoctorArgs;
use crate::report::{Exit, Result};
use crate::{engine, output};
use serde::Serialize;
use std::fmt::Write;
use wardian::{Config, Engine, EngineKind, Instance, Module, Store, platform::Ability};

/// Programs run, in a lesser way.
const LACKS: Exit = Exit(3);

/// What was found.
#[derive(Serialize)]
struct Diagnosis {
    version: &'static str,
    system: &'static str,
    processor: &'static str,
    /// The engine that programs get without an option.
    engine: &'static str,
    /// Why programs do not run, if they do not.
    failure: Option<String>,
    abilities: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    there: bool,
    found: String,
    /// What is done without it.
    instead: &'static str,
}

impl From<Ability> for Row {
    fn from(ability: Ability) -> Row {
        let Ability { name, is_there, found, instead, .. } = ability;
        Row { name, there: is_there, found, instead }
    }
}

pub(crate) fn doctor(args: &DoctorArgs) -> Result<Exit> {
    // Before an engine changes what it says of signals.
    let mut abilities: Vec<Row> =
        wardian::platform::abilities().into_iter().map(Row::from).collect();
    abilities.push(cache());
    let tried = try_program();
    let diagnosis = Diagnosis {
        version: env!("CARGO_PKG_VERSION"),
        system: std::env::consts::OS,
        processor: std::env::consts::ARCH,
        engine: tried.as_ref().map_or("none", |kind| name(*kind)),
        failure: tried.err().map(|error| error.to_string()),
        abilities,
    };
    let text =
        if args.json { serde_json::to_string_pretty(&diagnosis)? + "\n" } else { text(&diagnosis) };
    output::write(text.as_bytes())?;
    Ok(exit(&diagnosis))
}

fn exit(diagnosis: &Diagnosis) -> Exit {
    match &diagnosis.failure {
        Some(_) => Exit::ERROR,
        None if diagnosis.abilities.iter().all(|row| row.there) => Exit::SUCCESS,
        None => LACKS,
    }
}

/// Runs a program that stores and loads, by the engine that programs get without an option; returns which that is.
fn try_program() -> wardian::Result<EngineKind> {
    /// `(module (memory 1) (func (export "f") (result i32)
    ///    (i32.store (i32.const 8) (i32.const 42)) (i32.load (i32.const 8))))`
    const PROGRAM: &[u8] = b"\0asm\x01\0\0\0\
        \x01\x05\x01\x60\0\x01\x7f\
        \x03\x02\x01\0\
        \x05\x03\x01\0\x01\
        \x07\x05\x01\x01f\0\0\
        \x0a\x10\x01\x0e\0\x41\x08\x41\x2a\x36\x02\0\x41\x08\x28\x02\0\x0b";
    let engine = Engine::new(&Config::new())?;
    let module = Module::new(&engine, PROGRAM)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let answer: i32 = instance.typed_func::<(), i32>(&mut store, "f")?.call(&mut store, ())?;
    assert_eq!(answer, 42, "the engine computes something else");
    Ok(engine.kind())
}

fn name(kind: EngineKind) -> &'static str {
    crate::args::EngineArg::of(kind).name()
}

fn cache() -> Row {
    let found = engine::cache().map_err(|error| error.to_string()).and_then(|cache| {
        // Also a folder that is there may refuse files.
        match tempfile::Builder::new().prefix("probe-").tempfile_in(cache.dir()) {
            Ok(_) => Ok(cache.dir().display().to_string()),
            Err(error) => Err(format!("no file can be made in {}: {error}", cache.dir().display())),
        }
    });
    Row {
        name: "cache folder",
        there: found.is_ok(),
        found: found.unwrap_or_else(|error| error),
        instead: "compiled code is not kept: programs begin as if it were the first time",
    }
}

fn text(diagnosis: &Diagnosis) -> String {
    let Diagnosis { version, system, processor, .. } = diagnosis;
    let mut text = format!("wardian {version} on {system}, {processor}\n\n");
    let width = diagnosis.abilities.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in &diagnosis.abilities {
        let sign = if row.there { "yes" } else { "NO " };
        let _ = writeln!(text, "{sign}  {:width$}  {}", row.name, row.found);
        if !row.there {
            let _ = writeln!(text, "     {:width$}  instead: {}", "", row.instead);
        }
    }
    let lacks = diagnosis.abilities.iter().filter(|row| !row.there).count();
    let conclusion = match (&diagnosis.failure, lacks) {
        (Some(failure), _) => format!("Programs do not run: {failure}"),
        (None, 0) => format!("Programs run, by the {} engine.", diagnosis.engine),
        (None, 1) => {
            format!("Programs run, by the {} engine; one thing is missing.", diagnosis.engine)
        }
        (None, _) => {
            format!("Programs run, by the {} engine; {lacks} things are missing.", diagnosis.engine)
        }
    };
    let _ = writeln!(text, "\n{conclusion}");
    text
}
