//! Places in guests, and what people call them.

use std::collections::HashMap;
use std::ops::Range;
use wardian::{DebugInfo, Module, SourceLocation, demangle};

/// Where a guest, or its host, can be: small and without names, so that it can be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// In a function of a module, or where it called from.
    Code { module: ModuleId, func: u32, offset: Option<u32> },
    /// In the host function that is this import of a module.
    Import { module: ModuleId, func: u32 },
    /// In the runtime, for an instruction that is not done by the guest's own code.
    Runtime(&'static str),
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
}

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
        let item = wardian::ItemIndex::Func(func);
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
        let body = info.bodies.get(func.checked_sub(info.imported_functions)? as usize)?;
        let offset = |at: usize| u32::try_from(at.checked_sub(info.code_section)?).ok();
        Some(offset(body.start)?..offset(body.end)?)
    }

    /// Who is at work for a guest that is at this offset: what the instruction there calls.
    pub(crate) fn host_at(&self, module: ModuleId, offset: u32) -> Place {
        let info = self.get(module).info();
        let bytes = self.get(module).bytes().get(info.code_section + offset as usize..);
        let mut reader = wasmparser::BinaryReader::new(bytes.unwrap_or_default(), 0);
        match (reader.read_u8(), reader.read_var_u32()) {
            (Ok(0x10), Ok(func)) if func < info.imported_functions => {
                Place::Import { module, func }
            }
            (Ok(0x12), Ok(func)) if func < info.imported_functions => {
                Place::Import { module, func }
            }
            // The first call of a function: what it leads to is looked up, and the interpreter translates it.
            (Ok(0x10 | 0x12), Ok(_)) => Place::Runtime("translate"),
            // It may also be a host function that a table or a reference leads to.
            (Ok(0x11 | 0x13 | 0x14 | 0x15), _) => Place::Runtime("indirect call"),
            // Loops count their rounds, and ask to be compiled when they are hot.
            (Ok(0x03), _) => Place::Runtime("compile"),
            (Ok(0x08 | 0x0a), _) => Place::Runtime("throw"),
            (Ok(0x40), _) => Place::Runtime("memory.grow"),
            // Operators of structs and arrays that the runtime does are those that allocate, or touch many.
            (Ok(0xfb), _) => Place::Runtime("collect"),
            (Ok(0xfc), Ok(8)) => Place::Runtime("memory.init"),
            (Ok(0xfc), Ok(10)) => Place::Runtime("memory.copy"),
            (Ok(0xfc), Ok(11)) => Place::Runtime("memory.fill"),
            (Ok(0xfc), Ok(12)) => Place::Runtime("table.init"),
            (Ok(0xfc), Ok(14)) => Place::Runtime("table.copy"),
            (Ok(0xfc), Ok(15)) => Place::Runtime("table.grow"),
            (Ok(0xfc), Ok(17)) => Place::Runtime("table.fill"),
            (Ok(0xfe), Ok(0)) => Place::Runtime("memory.atomic.notify"),
            (Ok(0xfe), Ok(1)) => Place::Runtime("memory.atomic.wait32"),
            (Ok(0xfe), Ok(2)) => Place::Runtime("memory.atomic.wait64"),
            _ => Place::Host,
        }
    }
}
