//! A decoded module: its bytes, what they declare, and what they say for people.

use crate::go::{Go, GoAddr, GoCall};
use crate::operands::Answers;
use crate::validation::Unvalidated;
use crate::{
    DebugInfo, DecodeError, Dwarf, Import, ItemIndex, ModuleInfo, Names, SourceLocation, decode,
    features,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;
use wardian_types::{
    CodeOffset, CoreFeatures, DefinedFuncIndex, FuncIndex, GuestAddr, IndexVec, ModuleOffset,
    SubType, TypeNumber,
};

/// A valid module with its bytes. Names and debug information are read when first asked for.
///
/// Of a module that was decoded lazily only the declarations are known to be valid: see [`Module::ensure_valid`].
#[derive(Debug)]
pub struct Module {
    bytes: Vec<u8>,
    info: ModuleInfo,
    unvalidated: Option<Unvalidated>,
    names: OnceLock<Names>,
    dwarf: OnceLock<Dwarf>,
    /// The tables of Go's runtime, if the module has them.
    go: OnceLock<Option<Go>>,
    external: OnceLock<ExternalNames>,
    pub(crate) answers: Answers,
}

/// By which imports and exports functions are known. Modules may have a million of each.
#[derive(Debug)]
struct ExternalNames {
    /// The position of each imported function's import.
    imports: IndexVec<FuncIndex, usize>,
    /// The position of each exported function's first export.
    exports: HashMap<FuncIndex, usize>,
}

impl ExternalNames {
    fn of(info: &ModuleInfo) -> ExternalNames {
        let imports = info.imports.iter().enumerate();
        let imports = imports.filter(|(_, i)| matches!(i.item, ItemIndex::Func(_)));
        let exports = info.exports.iter().enumerate().rev();
        let exports = exports.filter_map(|(at, export)| match export.item {
            ItemIndex::Func(index) => Some((index, at)),
            _ => None,
        });
        ExternalNames { imports: imports.map(|(at, _)| at).collect(), exports: exports.collect() }
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
        Ok(Module::from_parts(bytes, info, None))
    }

    /// Decodes a binary module and validates its declarations; function bodies are validated by [`Module::ensure_valid`].
    /// With function references and without garbage collection, bodies are validated at once.
    ///
    /// # Errors
    ///
    /// As [`Module::decode`], but for what is wrong in bodies.
    pub fn decode_lazily(
        bytes: Vec<u8>,
        features: CoreFeatures,
        threads: usize,
    ) -> Result<Module, DecodeError> {
        let (info, unvalidated) = decode::decode_lazily(&bytes, features, threads)?;
        Ok(Module::from_parts(bytes, info, unvalidated))
    }

    /// Decodes a module that has been validated before; its bodies are not looked at.
    ///
    /// # Errors
    ///
    /// The module is malformed.
    pub fn decode_trusted(bytes: Vec<u8>) -> Result<Module, DecodeError> {
        let info = decode::decode_trusted(&bytes)?;
        Ok(Module::from_parts(bytes, info, None))
    }

    fn from_parts(bytes: Vec<u8>, info: ModuleInfo, unvalidated: Option<Unvalidated>) -> Module {
        Module {
            bytes,
            info,
            unvalidated,
            names: OnceLock::new(),
            dwarf: OnceLock::new(),
            go: OnceLock::new(),
            external: OnceLock::new(),
            answers: Answers::default(),
        }
    }

    /// Whether bodies are validated before they are used, rather than when the module was decoded.
    pub fn is_validated_lazily(&self) -> bool {
        self.unvalidated.is_some()
    }

    /// Makes sure that a body is valid, before anything is made from it.
    ///
    /// # Errors
    ///
    /// It is not, which is possible only in a module that was decoded lazily.
    #[inline]
    pub fn ensure_valid(&self, defined: DefinedFuncIndex) -> Result<(), DecodeError> {
        match &self.unvalidated {
            None => Ok(()),
            Some(unvalidated) => unvalidated.ensure(&self.bytes, &self.info, defined),
        }
    }

    /// Makes sure that all bodies are valid, on up to `threads` threads.
    ///
    /// # Errors
    ///
    /// One is not, which is possible only in a module that was decoded lazily.
    pub fn ensure_all_valid(&self, threads: usize) -> Result<(), DecodeError> {
        match &self.unvalidated {
            None => Ok(()),
            Some(unvalidated) => unvalidated.ensure_all(&self.bytes, &self.info, threads),
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
        number: impl FnMut(&[SubType]) -> Result<TypeNumber, E>,
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

    /// A function's name as the module has it: from the tables of Go's runtime, else the name section, else
    /// the export or import name; mangled if the module has it so.
    pub fn func_name(&self, index: FuncIndex) -> Option<&str> {
        // The name sections of Go's linker replace what is not a letter, so they come second.
        let is_named = !self.names().functions.is_empty();
        if (!is_named || self.custom_section("go:buildid").is_some())
            && let Some(name) = self.go().and_then(|go| go.func_name(&self.bytes, index))
        {
            return Some(name);
        }
        if let Some(name) = self.names().functions.get(&index) {
            return Some(name);
        }
        let external = self.external();
        let export = external.exports.get(&index).map(|at| &self.info.exports[*at]);
        export.map(|e| e.name.as_str()).or_else(|| self.func_import(index).map(|i| i.name.as_str()))
    }

    /// A function's name for people: demangled, or, if it has none, [`crate::unnamed`].
    pub fn display_name(&self, index: FuncIndex) -> String {
        self.func_name(index).map_or_else(|| crate::unnamed(index), crate::demangle)
    }

    /// What a function is imported by, if it is.
    pub fn func_import(&self, index: FuncIndex) -> Option<&Import> {
        self.external().imports.get(index).map(|at| &self.info.imports[*at])
    }

    fn external(&self) -> &ExternalNames {
        self.external.get_or_init(|| ExternalNames::of(&self.info))
    }

    /// Source lines of a code-section offset, the innermost inlined function first; empty without
    /// debug information.
    pub fn source_locations(&self, code_offset: CodeOffset) -> Vec<SourceLocation> {
        match self.lines_of_go() {
            Some(go) => go.locate(&self.bytes, &self.info, code_offset),
            None => self.dwarf().locate(code_offset),
        }
    }

    /// Where a function begins in its source, if the module says that of functions rather than of code.
    pub fn func_start(&self, index: FuncIndex) -> Option<SourceLocation> {
        self.lines_of_go()?.start(&self.bytes, index)
    }

    /// Reports which source files a range of code-section offsets comes from: see [`Dwarf::files`]. Nothing
    /// without debug information.
    pub fn source_files(&self, range: Range<CodeOffset>, reported: &mut dyn FnMut(&str, u32)) {
        let Some(go) = self.lines_of_go() else { return self.dwarf().files(range, reported) };
        let offset = |at: usize| self.info.code_offset(ModuleOffset::from_usize(at));
        let first =
            self.info.bodies.as_slice().partition_point(|body| offset(body.end) <= range.start);
        for (defined, body) in self.info.bodies.enumerated().skip(first) {
            let (start, end) = (offset(body.start), offset(body.end));
            if start >= range.end {
                break;
            }
            if let Some(place) = go.start(&self.bytes, self.info.func_index(defined)) {
                let (start, end) = (start.max(range.start), end.min(range.end));
                reported(&place.file, end.as_u32() - start.as_u32());
            }
        }
    }

    /// Whether source lines are known, and why not.
    pub fn debug_info(&self) -> DebugInfo {
        match self.lines_of_go() {
            Some(_) => DebugInfo::AtCalls,
            None => self.dwarf().info(),
        }
    }

    /// What is known of a module of Go that has no debug information.
    fn lines_of_go(&self) -> Option<&Go> {
        if self.dwarf().info() == DebugInfo::Absent { self.go() } else { None }
    }

    /// Calls of a goroutine outside of those that a backtrace has, the innermost first; none if the module is none of Go's.
    /// `frames` are the functions of a backtrace, the innermost first, of which those count that the goroutine ran since it
    /// was last entered; `sp` is Go's stack pointer, global 0, and `word` reads the 64 bits at an address of
    /// its memory. Gives also which of the frames the calls come behind.
    pub fn go_callers(
        &self,
        frames: &[FuncIndex],
        sp: GuestAddr,
        word: &dyn Fn(GuestAddr) -> Option<u64>,
    ) -> (usize, Vec<GoCall>) {
        let Some(go) = self.go() else { return (0, Vec::new()) };
        go.callers_of(&self.bytes, &self.info, frames, sp, word)
    }

    /// Between which addresses the functions of Go's runtime and program are, if the module has its tables.
    pub fn go_addresses(&self) -> Option<Range<GoAddr>> {
        self.go()?.addresses()
    }

    fn go(&self) -> Option<&Go> {
        self.go.get_or_init(|| Go::find(&self.bytes, &self.info)).as_ref()
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
