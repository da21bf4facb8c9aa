//! A decoded module: its bytes, what they declare, and what they say for people.

use crate::{
    DebugInfo, DecodeError, Dwarf, Import, ItemIndex, ModuleInfo, Names, SourceLocation, decode,
    features,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;
use wardian_types::{CoreFeatures, SubType};

/// A valid module with its bytes. Names and debug information are read when first asked for.
#[derive(Debug)]
pub struct Module {
    bytes: Vec<u8>,
    info: ModuleInfo,
    names: OnceLock<Names>,
    dwarf: OnceLock<Dwarf>,
    public: OnceLock<Public>,
}

/// Where functions stand among imports and exports. Modules may have a million of each.
#[derive(Debug)]
struct Public {
    /// Of each imported function its import.
    imports: Vec<usize>,
    /// By function, its first export.
    exports: HashMap<u32, usize>,
}

impl Public {
    fn of(info: &ModuleInfo) -> Public {
        let imports = info.imports.iter().enumerate();
        let imports = imports.filter(|(_, i)| matches!(i.item, ItemIndex::Func(_)));
        let exports = info.exports.iter().enumerate().rev();
        let exports = exports.filter_map(|(at, export)| match export.item {
            ItemIndex::Func(index) => Some((index, at)),
            _ => None,
        });
        Public { imports: imports.map(|(at, _)| at).collect(), exports: exports.collect() }
    }
}

impl Module {
    /// Decodes and validates a binary module; bodies on up to `threads` threads.
    ///
    /// # Errors
    ///
    /// The module is malformed, invalid, or uses a feature not in `features`. The error has the byte offset,
    /// what is wrong there, and which feature would allow it.
    pub fn decode(
        bytes: Vec<u8>,
        features: CoreFeatures,
        threads: usize,
    ) -> Result<Module, DecodeError> {
        let info = decode::decode(&bytes, features, threads)?;
        Ok(Module::from_parts(bytes, info))
    }

    /// Decodes a module that has been validated before; its bodies are not looked at.
    ///
    /// # Errors
    ///
    /// The module is malformed.
    pub fn decode_trusted(bytes: Vec<u8>) -> Result<Module, DecodeError> {
        let info = decode::decode_trusted(&bytes)?;
        Ok(Module::from_parts(bytes, info))
    }

    fn from_parts(bytes: Vec<u8>, info: ModuleInfo) -> Module {
        Module {
            bytes,
            info,
            names: OnceLock::new(),
            dwarf: OnceLock::new(),
            public: OnceLock::new(),
        }
    }

    /// The binary module.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Names types by the numbers of an engine: see [`ModuleInfo::number_types`].
    ///
    /// # Errors
    ///
    /// Those of `number`.
    pub fn number_types<E>(
        &mut self,
        number: impl FnMut(&[SubType]) -> Result<u32, E>,
    ) -> Result<(), E> {
        self.info.number_types(number)
    }

    /// What it declares.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// Contents of the first custom section with this name.
    pub fn custom_section(&self, name: &str) -> Option<&[u8]> {
        let section = self.info.customs.iter().find(|s| s.name == name)?;
        Some(&self.bytes[section.range.clone()])
    }

    /// The name section.
    pub fn names(&self) -> &Names {
        self.names.get_or_init(|| self.custom_section("name").map(Names::read).unwrap_or_default())
    }

    /// The module's own name.
    pub fn name(&self) -> Option<&str> {
        self.names().module.as_deref()
    }

    /// A function's name as the module has it: from the name section, else the export or import
    /// name; mangled if the module has it so.
    pub fn func_name(&self, index: u32) -> Option<&str> {
        if let Some(name) = self.names().functions.get(&index) {
            return Some(name);
        }
        let public = self.public();
        let export = public.exports.get(&index).map(|at| &self.info.exports[*at]);
        export.map(|e| e.name.as_str()).or_else(|| self.func_import(index).map(|i| i.name.as_str()))
    }

    /// What a function is imported by, if it is.
    pub fn func_import(&self, index: u32) -> Option<&Import> {
        self.public().imports.get(index as usize).map(|at| &self.info.imports[*at])
    }

    fn public(&self) -> &Public {
        self.public.get_or_init(|| Public::of(&self.info))
    }

    /// Source lines of a code-section offset, the innermost inlined function first; empty without
    /// debug information.
    pub fn source_locations(&self, code_offset: u32) -> Vec<SourceLocation> {
        self.dwarf().locate(code_offset)
    }

    /// Reports which source files a range of code-section offsets comes from: see [`Dwarf::files`]. Nothing
    /// without debug information.
    pub fn source_files(&self, range: Range<u32>, told: &mut dyn FnMut(&str, u32)) {
        self.dwarf().files(range, told);
    }

    /// Whether source lines are known, and why not.
    pub fn debug_info(&self) -> DebugInfo {
        self.dwarf().info()
    }

    fn dwarf(&self) -> &Dwarf {
        self.dwarf.get_or_init(|| Dwarf::read(|name| self.custom_section(name)))
    }

    /// The features without any one of which the module would be invalid.
    ///
    /// This validates the module several times: for tools, not for hot paths.
    pub fn features_needed(&self) -> CoreFeatures {
        features::needed(|set| decode::first_error(&self.bytes, set).is_none())
    }
}
