//! What a module can do to the world, from what it imports.

use std::collections::HashMap;
use wardian_module::{Import, ModuleInfo};
use wardian_types::wasi::{Ability as Known, Function};

/// Of imports that are no functions of WASI.
const OTHER: &str = "whatever the embedder lets it do";

/// In the order in which they are shown, in words.
const ABILITIES: [(Known, &str); 11] = [
    (Known::ReadFiles, "reads files"),
    (Known::WriteFiles, "writes files"),
    (Known::Folders, "lists and changes folders"),
    (Known::Network, "network"),
    (Known::Clock, "uses the clock"),
    (Known::Random, "random numbers"),
    (Known::Arguments, "arguments and environment"),
    (Known::Exit, "ends the process"),
    (Known::Threads, "makes threads"),
    (Known::Descriptors, "looks after descriptors"),
    (Known::Yield, "lets others run"),
];

/// An ability with the imports that give it.
pub(super) struct Ability<'a> {
    pub(super) name: &'static str,
    /// The module that all imports are from, if nothing is known of it.
    pub(super) module: Option<&'a str>,
    pub(super) imports: Vec<&'a Import>,
}

/// The abilities that a module has, in the order of the table, and after them what is imported beside WASI,
/// module by module.
pub(super) fn of(info: &ModuleInfo) -> Vec<Ability<'_>> {
    let of = |(known, name): &(Known, &'static str)| {
        let gives = |import: &&Import| ability(import) == Some(*known);
        Ability { name, module: None, imports: info.imports.iter().filter(gives).collect() }
    };
    let mut all: Vec<Ability<'_>> = ABILITIES.iter().map(of).collect();
    all.retain(|ability| !ability.imports.is_empty());
    let mut unknown: Vec<Ability<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for import in info.imports.iter().filter(|import| ability(import).is_none()) {
        let module = import.module.as_str();
        let place = *places.entry(module).or_insert(unknown.len());
        if place == unknown.len() {
            unknown.push(Ability { name: OTHER, module: Some(module), imports: Vec::new() });
        }
        unknown[place].imports.push(import);
    }
    all.extend(unknown);
    all
}

/// What an import is good for, if it is a function of WASI.
fn ability(import: &Import) -> Option<Known> {
    Function::find(&import.module, &import.name).map(|function| function.ability)
}
