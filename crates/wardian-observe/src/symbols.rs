//! Places in guests, and what people call them.

use crate::script::ScriptFunction;
use std::collections::HashMap;
use std::ops::Range;
use wardian::{
    Module,
    inspect::{DebugInfo, FuncIndex, SourceLocation, demangle},
};
use wasmparser::{Operator, OperatorsReader};

/// Where a guest, or its host, can be: small and without names, so that it can be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// In a function of a module, or where it called from.
    Code { module: ModuleId, func: u32, offset: Option<u32> },
    /// In the host function that is this import of a module.
    Import { module: ModuleId, func: u32 },
    /// In a function of the program that an interpreter in the guest runs. The line is its first one where none is
    /// known.
    Script { func: u32, line: u32 },
    /// In the runtime, for an instruction that is not done by the guest's own code.
    Runtime(&'static str),
    /// In the system's kernel, for the code that it was entered from: as when a page is touched for the first time.
    Kernel,
    /// In the host; which function is not known.
    Host,
    /// In code that is gone.
    Unknown,
    /// Places that there was no room for.
    Other,
}

/// A module among [`Symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModuleId(u32);

impl ModuleId {
    /// No module.
    pub(crate) const NONE: ModuleId = ModuleId(u32::MAX);
}

/// The modules that places are in. It keeps them, so that names can be looked up at the end, once.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    modules: Vec<Module>,
    /// By where their bytes lie, which are unique as long as the module is kept.
    known: HashMap<usize, ModuleId>,
    /// Functions of programs that interpreters run.
    scripts: Vec<ScriptFunction>,
    known_scripts: HashMap<ScriptFunction, u32>,
}

/// Functions of programs that are distinguished; further ones are one.
const SCRIPTS: usize = 1 << 17;

impl Symbols {
    /// The number of a module.
    pub(crate) fn module(&mut self, module: &Module) -> ModuleId {
        *self.known.entry(module.bytes().as_ptr() as usize).or_insert_with(|| {
            self.modules.push(module.clone());
            ModuleId(self.modules.len() as u32 - 1)
        })
    }

    /// The module of a number.
    pub(crate) fn get(&self, id: ModuleId) -> &Module {
        &self.modules[id.0 as usize]
    }

    /// The number of a function of a program.
    pub(crate) fn script(&mut self, function: &ScriptFunction) -> u32 {
        if let Some(known) = self.known_scripts.get(function) {
            return *known;
        }
        if self.scripts.len() >= SCRIPTS {
            // The first of them stands for all that there is no room for.
            return 0;
        }
        if self.scripts.is_empty() {
            let other = ScriptFunction { name: "<other>".into(), file: "".into(), line: 0 };
            self.scripts.push(other);
        }
        let number = self.scripts.len() as u32;
        self.scripts.push(function.clone());
        self.known_scripts.insert(function.clone(), number);
        number
    }

    /// The function of a number.
    pub(crate) fn script_function(&self, number: u32) -> Option<&ScriptFunction> {
        self.scripts.get(number as usize)
    }

    /// The name of the first module that has one.
    pub(crate) fn first_name(&self) -> Option<&str> {
        self.modules.iter().find_map(|module| module.name())
    }

    /// A module's name, if it has one.
    pub(crate) fn module_name(&self, id: ModuleId) -> Option<&str> {
        self.get(id).name()
    }

    /// A function's name for people, and the one that the module has.
    pub(crate) fn function_name(&self, module: ModuleId, func: u32) -> (String, String) {
        match self.get(module).func_name(func) {
            Some(raw) => (demangle(raw), raw.to_owned()),
            None => (self.get(module).display_name(func), self.get(module).display_name(func)),
        }
    }

    /// The name of an imported host function for people, and in full.
    pub(crate) fn import_name(&self, module: ModuleId, func: u32) -> (String, String) {
        let imports = &self.get(module).info().imports;
        let item = wardian::inspect::ItemIndex::Func(FuncIndex::from_u32(func));
        let Some(import) = imports.iter().find(|import| import.item == item) else {
            return ("<host>".into(), "<host>".into());
        };
        let of = match import.module.as_str() {
            "wasi_snapshot_preview1" | "wasi_unstable" => "wasi",
            other => other,
        };
        (format!("[host] {of}:{}", import.name), format!("{}.{}", import.module, import.name))
    }

    /// Source lines of a place, the innermost inlined function first.
    pub(crate) fn lines(&self, module: ModuleId, offset: u32) -> Vec<SourceLocation> {
        self.get(module).source_locations(offset)
    }

    /// Where a function begins, if its module says so.
    pub(crate) fn start(&self, module: ModuleId, func: u32) -> Option<SourceLocation> {
        self.get(module).func_start(func)
    }

    /// Why lines are missing or not exact, a sentence for each module that this is true of.
    pub(crate) fn missing_lines(&self) -> impl Iterator<Item = String> {
        let notable = |info: &DebugInfo| matches!(info, DebugInfo::TooComplex | DebugInfo::AtCalls);
        self.modules.iter().filter_map(move |module| {
            let info = Some(module.debug_info()).filter(notable)?;
            Some(match module.name() {
                Some(name) => format!("{name}: {info}"),
                None => info.to_string(),
            })
        })
    }

    /// The code offsets of a function.
    pub(crate) fn range(&self, module: ModuleId, func: u32) -> Option<Range<u32>> {
        let info = self.get(module).info();
        let body = info.body_offsets(info.defined_function(FuncIndex::from_u32(func))?)?;
        Some(body.start.as_u32()..body.end.as_u32())
    }

    /// Who is at work for a guest that is at this offset: what the instruction there calls. The interpreter does
    /// several operators at once, so it may be one of the next.
    pub(crate) fn host_at(&self, module: ModuleId, offset: u32) -> Place {
        let info = self.get(module).info();
        let bytes = self.get(module).bytes().get(info.code_section + offset as usize..);
        let reader = wasmparser::BinaryReader::new(bytes.unwrap_or_default(), 0);
        let mut operators = OperatorsReader::new(reader);
        for _ in 0..AT_ONCE {
            let Ok(operator) = operators.read() else { break };
            match operator {
                Operator::Call { function_index: func }
                | Operator::ReturnCall { function_index: func }
                    if func < info.imported_functions =>
                {
                    return Place::Import { module, func };
                }
                operator => {
                    if let Some(work) = runtime_work(&operator) {
                        return Place::Runtime(work);
                    }
                }
            }
        }
        Place::Host
    }
}

/// Operators that the interpreter does at once, at most.
const AT_ONCE: usize = 4;

/// What the runtime does for an operator, if it does something.
fn runtime_work(operator: &Operator<'_>) -> Option<&'static str> {
    Some(match operator {
        // The first call of a function: what it leads to is looked up, and the interpreter translates it.
        Operator::Call { .. } | Operator::ReturnCall { .. } => "translate",
        // It may also be a host function that a table or a reference leads to.
        Operator::CallIndirect { .. }
        | Operator::ReturnCallIndirect { .. }
        | Operator::CallRef { .. }
        | Operator::ReturnCallRef { .. } => "indirect call",
        // Loops count their rounds, and ask to be compiled when they are hot.
        Operator::Loop { .. }
        | Operator::Br { .. }
        | Operator::BrIf { .. }
        | Operator::BrTable { .. } => "compile",
        Operator::Throw { .. } | Operator::ThrowRef => "throw",
        Operator::MemoryGrow { .. } => "memory.grow",
        Operator::MemoryInit { .. } => "memory.init",
        Operator::MemoryCopy { .. } => "memory.copy",
        Operator::MemoryFill { .. } => "memory.fill",
        Operator::TableInit { .. } => "table.init",
        Operator::TableCopy { .. } => "table.copy",
        Operator::TableGrow { .. } => "table.grow",
        Operator::TableFill { .. } => "table.fill",
        Operator::MemoryAtomicNotify { .. } => "memory.atomic.notify",
        Operator::MemoryAtomicWait32 { .. } => "memory.atomic.wait32",
        Operator::MemoryAtomicWait64 { .. } => "memory.atomic.wait64",
        // Operators of structs and arrays that the runtime does are those that allocate, or touch many.
        Operator::StructNew { .. }
        | Operator::StructNewDefault { .. }
        | Operator::ArrayNew { .. }
        | Operator::ArrayNewDefault { .. }
        | Operator::ArrayNewFixed { .. }
        | Operator::ArrayNewData { .. }
        | Operator::ArrayNewElem { .. } => "collect",
        Operator::ArrayFill { .. } => "array.fill",
        Operator::ArrayCopy { .. } => "array.copy",
        Operator::ArrayInitData { .. } | Operator::ArrayInitElem { .. } => "array.init",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, Symbols};
    use wardian::{Engine, Module};

    #[test]
    fn who_is_at_work_is_what_the_next_operators_call() {
        let text = r#"(module (import "h" "f" (func $f)) (memory 1) (table 1 funcref) (tag $t)
          (func (loop (br 0)))
          (func (call 1))
          (func (call $f))
          (func (i32.const 0) (i32.load offset=8) (call_indirect))
          (func (drop (memory.grow (i32.const 1))))
          (func (throw $t))
          (func (nop) (nop) (nop) (nop) (nop) (call $f))
          (func (drop (i32.const 7))))"#;
        let module = Module::new(&Engine::default(), text).expect("it is valid");
        let mut symbols = Symbols::default();
        let id = symbols.module(&module);
        let work = ["compile", "translate", "", "indirect call", "memory.grow", "throw"];
        for (at, body) in module.info().bodies.iter().enumerate() {
            // Behind the number of locals.
            let offset = (body.start - module.info().code_section) as u32 + 1;
            let expected = match at {
                2 => Place::Import { module: id, func: 0 },
                0..6 => Place::Runtime(work[at]),
                _ => Place::Host,
            };
            assert_eq!(symbols.host_at(id, offset), expected, "{at}");
        }
        // There may be anything at an offset that is none of the code.
        assert_eq!(symbols.host_at(id, u32::MAX), Place::Host);
    }
}
