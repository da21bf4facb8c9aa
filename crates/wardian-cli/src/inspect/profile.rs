//! `wardian inspect --profile-data`: what a profile of a module says.

use crate::input::Input;
use crate::profile_file::ProfileFile;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::fmt::Write;
use wardian::{
    CompileOptions, Config, CoreFeatures, Engine, EngineKind, Module,
    profile::{CallProfile, FunctionProfile},
};
use wardian_observe::{printable, shorten};

/// Functions and calls that are shown.
const ROWS: usize = 50;

/// The profile as text, or as JSON.
pub(super) fn show(
    profile: &ProfileFile,
    mut input: Input,
    as_json: bool,
) -> anyhow::Result<String> {
    input.no_checkpoint()?;
    // Nothing of it is run.
    let mut config = Config::new();
    config.engine(EngineKind::Interpreted).features(CoreFeatures::all());
    let bytes = std::mem::take(&mut input.bytes);
    let module = Module::from_vec(&Engine::new(&config)?, bytes, &CompileOptions::new());
    let module = module.map_err(|error| input.unusable(error))?;
    profile.check(&module, &input.name)?;
    let mut functions: Vec<_> = profile.profile.functions().collect();
    functions.sort_by_key(|function| (Reverse(is_hot(function)), Reverse(function.count())));
    if as_json {
        let functions: Vec<_> = functions.iter().map(|f| json(&module, f)).collect();
        return Ok(serde_json::to_string_pretty(&json!({ "functions": functions }))? + "\n");
    }
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = table(&mut out, &module, &functions);
    let _ = calls(&mut out, &module, &functions);
    Ok(out)
}

/// Whether anything of it is.
fn is_hot(function: &FunctionProfile<'_>) -> bool {
    function.is_hot() || function.hot_loops().len() != 0
}

fn table(out: &mut String, module: &Module, functions: &[FunctionProfile<'_>]) -> std::fmt::Result {
    let hot = functions.iter().filter(|function| is_hot(function)).count();
    writeln!(
        out,
        "{} of {} functions were interpreted, {hot} were hot",
        functions.len(),
        module.info().bodies.len()
    )?;
    if functions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {:>12}  {:<12}  function", "counted", "hot")?;
    for function in functions.iter().take(ROWS) {
        let hot = match (function.is_hot(), function.hot_loops().len()) {
            (true, _) => "yes",
            (false, 0) => "",
            (false, 1) => "a loop",
            (false, _) => "loops",
        };
        let name = name(module, function.index());
        writeln!(out, "  {:>12}  {hot:<12}  {name}", function.count())?;
    }
    more(out, functions.len())
}

fn calls(out: &mut String, module: &Module, functions: &[FunctionProfile<'_>]) -> std::fmt::Result {
    let mut calls: Vec<(u32, CallProfile<'_>)> = Vec::new();
    for function in functions {
        calls.extend(function.calls().map(|call| (function.index(), call)));
    }
    calls.sort_by_key(|(_, call)| Reverse(call.count()));
    if calls.is_empty() {
        return Ok(());
    }
    writeln!(out, "\ncalls through tables and references")?;
    for (caller, call) in calls.iter().take(ROWS) {
        let (caller, place) = (name(module, *caller), place(module, call.code_offset()));
        writeln!(out, "  {:>12}  in {caller} {place}", call.count())?;
        for target in call.targets() {
            let (least, most) = (target.at_least, target.at_most);
            let range =
                if least == most { least.to_string() } else { format!("{least} to {most}") };
            writeln!(out, "  {range:>24}  {}", name(module, target.function))?;
        }
    }
    more(out, calls.len())
}

/// That there are more than those that are shown.
fn more(out: &mut String, all: usize) -> std::fmt::Result {
    match all.checked_sub(ROWS).filter(|more| *more > 0) {
        Some(more) => writeln!(out, "  ... and {more} more"),
        None => Ok(()),
    }
}

/// A function in a line.
fn name(module: &Module, index: u32) -> String {
    shorten(&printable(&module.display_name(index)), 160)
}

/// The line of the source, or the offset in the code section if it is not known.
fn place(module: &Module, code_offset: u32) -> String {
    let line = module.source_locations(code_offset).into_iter().next();
    match line.and_then(|at| Some((at.line?, at.file))) {
        Some((line, file)) => format!("at {}:{line}", shorten(&printable(&file), 160)),
        None => format!("at 0x{code_offset:x}"),
    }
}

fn json(module: &Module, function: &FunctionProfile<'_>) -> Value {
    let calls = function.calls().map(|call| {
        let targets = call.targets().map(|target| {
            json!({
                "function": target.function,
                "name": module.display_name(target.function),
                "at_least": target.at_least,
                "at_most": target.at_most,
            })
        });
        json!({
            "code_offset": call.code_offset(),
            "count": call.count(),
            "targets": targets.collect::<Vec<_>>(),
        })
    });
    json!({
        "function": function.index(),
        "name": module.display_name(function.index()),
        "count": function.count(),
        "hot": function.is_hot(),
        "hot_loops": function.hot_loops().collect::<Vec<_>>(),
        "calls": calls.collect::<Vec<_>>(),
    })
}
