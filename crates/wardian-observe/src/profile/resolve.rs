//! From places to names and lines.

use super::kind::ProfileKind;
use super::model::{Function, FunctionKind, Line, Location, Meta, Profile, Stack, TimelineSample};
use super::stacks::{ROOT, StackTable};
use crate::symbols::{ModuleId, Place, Symbols};
use std::collections::HashMap;
use std::sync::Arc;
use wardian::inspect::SourceLocation;

/// Bytes of a function's code in which its first line is looked for.
const LOOKED_AT: usize = 64;

/// Makes a profile of stacks. Points of the time line refer to nodes of the table.
pub(crate) fn resolve(
    kind: ProfileKind,
    mut meta: Meta,
    symbols: &Symbols,
    table: &StackTable,
    mut timeline: Vec<TimelineSample>,
) -> Profile {
    let program = meta.program.clone();
    let mut resolver = Resolver::new(symbols, &program);
    // The root is no stack of the profile, so all others move up by one.
    let of_node = |node: u32| (node != ROOT).then(|| node as usize - 1);
    let stacks = table.nodes[1..].iter().map(|node| Stack {
        parent: of_node(node.parent),
        location: resolver.location(node.place),
        values: node.values,
    });
    let stacks = stacks.collect();
    for sample in &mut timeline {
        sample.stack = sample.stack.and_then(|node| of_node(node as u32));
    }
    let Resolver { modules, functions, locations, .. } = resolver;
    meta.notes.extend(symbols.missing_lines());
    Profile { kind, meta, modules, functions, locations, stacks, timeline }
}

struct Resolver<'a> {
    symbols: &'a Symbols,
    /// What modules without a name are called.
    program: &'a str,
    modules: Vec<Arc<str>>,
    functions: Vec<Function>,
    locations: Vec<Location>,
    known_modules: HashMap<ModuleId, usize>,
    known_functions: HashMap<FunctionKey, usize>,
    known_locations: HashMap<Place, usize>,
    files: HashMap<String, Arc<str>>,
}

/// What makes functions the same one.
#[derive(PartialEq, Eq, Hash)]
enum FunctionKey {
    Own(ModuleId, u32),
    /// Of imports the name counts, for all who import it get the same.
    Named(String),
    Inlined(ModuleId, String, Option<Arc<str>>),
    /// Of a program that an interpreter runs.
    Script(u32),
}

impl<'a> Resolver<'a> {
    fn new(symbols: &'a Symbols, program: &'a str) -> Resolver<'a> {
        Resolver {
            symbols,
            program,
            modules: Vec::new(),
            functions: Vec::new(),
            locations: Vec::new(),
            known_modules: HashMap::new(),
            known_functions: HashMap::new(),
            known_locations: HashMap::new(),
            files: HashMap::new(),
        }
    }

    fn location(&mut self, place: Place) -> usize {
        if let Some(known) = self.known_locations.get(&place) {
            return *known;
        }
        let location = match place {
            Place::Code { module, func, offset } => self.code(module, func, offset),
            Place::Import { module, func } => {
                let names = self.symbols.import_name(module, func);
                self.named(names, FunctionKind::Host)
            }
            Place::Script { func, line } => self.script(func, line),
            Place::Runtime(what) => {
                let name = format!("[runtime] {what}");
                self.named((name.clone(), name), FunctionKind::Host)
            }
            Place::Kernel => self.named(twice("[kernel]"), FunctionKind::Host),
            Place::Host => self.named(twice("<host>"), FunctionKind::Host),
            Place::Unknown => self.named(twice("<unknown>"), FunctionKind::Other),
            Place::Other => self.named(twice("<other>"), FunctionKind::Other),
        };
        self.locations.push(location);
        self.known_locations.insert(place, self.locations.len() - 1);
        self.locations.len() - 1
    }

    fn code(&mut self, module: ModuleId, func: u32, offset: Option<u32>) -> Location {
        let of = self.module(module);
        let places = offset.map(|o| self.symbols.lines(module, o)).unwrap_or_default();
        let count = places.len();
        let mut lines = Vec::new();
        for (position, place) in places.into_iter().enumerate() {
            let file = Some(self.file(place.file));
            let function = match place.function {
                Some(name) if position + 1 < count => {
                    self.inlined(module, of, name, file.clone(), place.line)
                }
                _ => self.own_at(module, of, func, &file, place.line),
            };
            lines.push(Line { function, file, line: place.line });
        }
        if lines.is_empty() {
            lines.push(Line { function: self.own(module, of, func), file: None, line: None });
        }
        Location { module: Some(of), offset, lines }
    }

    /// A function of a module itself, of which a line is known.
    fn own_at(
        &mut self,
        module: ModuleId,
        of: usize,
        func: u32,
        file: &Option<Arc<str>>,
        line: Option<u32>,
    ) -> usize {
        let index = self.own(module, of, func);
        let function = &mut self.functions[index];
        if function.file.is_none() {
            (function.file, function.line) = (file.clone(), line);
        }
        index
    }

    /// A function of a module itself.
    fn own(&mut self, module: ModuleId, of: usize, func: u32) -> usize {
        let key = FunctionKey::Own(module, func);
        if let Some(known) = self.known_functions.get(&key) {
            return *known;
        }
        let start = self.start(module, func);
        let (file, line) = start.map(|s| (s.file, s.line)).unzip();
        let (name, system_name) = self.symbols.function_name(module, func);
        let file = file.map(|f| self.file(f));
        let kind = FunctionKind::Guest;
        let function =
            Function { name, system_name, module: Some(of), file, line: line.flatten(), kind };
        self.function(key, function)
    }

    /// Where a function begins in its source: what belongs to the first of its code that has a line.
    fn start(&self, module: ModuleId, func: u32) -> Option<SourceLocation> {
        if let Some(start) = self.symbols.start(module, func) {
            return Some(start);
        }
        let mut offsets = self.symbols.range(module, func)?.take(LOOKED_AT);
        offsets.find_map(|offset| {
            self.symbols.lines(module, offset).pop().filter(|place| place.line.is_some())
        })
    }

    fn inlined(
        &mut self,
        module: ModuleId,
        of: usize,
        name: String,
        file: Option<Arc<str>>,
        line: Option<u32>,
    ) -> usize {
        let key = FunctionKey::Inlined(module, name.clone(), file.clone());
        if let Some(known) = self.known_functions.get(&key) {
            return *known;
        }
        let kind = FunctionKind::Guest;
        let function =
            Function { system_name: name.clone(), name, module: Some(of), file, line, kind };
        self.function(key, function)
    }

    /// A place in a program that an interpreter runs.
    fn script(&mut self, func: u32, line: u32) -> Location {
        let Some(script) = self.symbols.script_function(func) else {
            return self.named(twice("<other>"), FunctionKind::Other);
        };
        let known = |line: u32| Some(line).filter(|line| *line > 0);
        let file = Some(script.file.clone()).filter(|file| !file.is_empty());
        let key = FunctionKey::Script(func);
        let function = match self.known_functions.get(&key) {
            Some(known) => *known,
            None => {
                let function = Function {
                    name: script.display_name(),
                    system_name: script.name.to_string(),
                    module: None,
                    file: file.clone(),
                    line: known(script.line),
                    kind: FunctionKind::Guest,
                };
                self.function(key, function)
            }
        };
        let lines = vec![Line { function, file, line: known(line) }];
        Location { module: None, offset: None, lines }
    }

    /// The place that is all of a function which has no code.
    fn named(&mut self, (name, system_name): (String, String), kind: FunctionKind) -> Location {
        let key = FunctionKey::Named(system_name.clone());
        let function = match self.known_functions.get(&key) {
            Some(known) => *known,
            None => {
                let function =
                    Function { name, system_name, module: None, file: None, line: None, kind };
                self.function(key, function)
            }
        };
        Location {
            module: None,
            offset: None,
            lines: vec![Line { function, file: None, line: None }],
        }
    }

    fn function(&mut self, key: FunctionKey, function: Function) -> usize {
        self.functions.push(function);
        self.known_functions.insert(key, self.functions.len() - 1);
        self.functions.len() - 1
    }

    fn module(&mut self, module: ModuleId) -> usize {
        let (modules, symbols, program) = (&mut self.modules, self.symbols, self.program);
        *self.known_modules.entry(module).or_insert_with(|| {
            modules.push(symbols.module_name(module).unwrap_or(program).into());
            modules.len() - 1
        })
    }

    fn file(&mut self, name: String) -> Arc<str> {
        self.files.entry(name).or_insert_with_key(|name| name.as_str().into()).clone()
    }
}

fn twice(name: &str) -> (String, String) {
    (name.to_owned(), name.to_owned())
}
