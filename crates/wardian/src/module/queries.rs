//! What is known of a module: its declarations, names and debug information.

use super::Module;
use crate::{Engine, Frame, inspect::FunctionDefinition};
use std::ops::Range;
use wardian_module::{DebugInfo, SourceLocation};
use wardian_runtime::stack::backtrace::Frame as RawFrame;
use wardian_types::{
    CodeOffset, CoreFeatures, ExternType, FieldIndex, FuncIndex, FuncType, GuestAddr, HeapType,
};

impl Module {
    /// The engine it was compiled by.
    pub fn engine(&self) -> &Engine {
        &self.1
    }

    /// The module in the binary format.
    pub fn bytes(&self) -> &[u8] {
        self.0.decoded.bytes()
    }

    /// The module's own name, from its name section.
    pub fn name(&self) -> Option<&str> {
        self.0.decoded.name()
    }

    /// What it declares, in its index spaces.
    pub fn info(&self) -> &wardian_module::ModuleInfo {
        self.0.decoded.info()
    }

    /// Imports in order, as (module, name, type).
    pub fn imports(&self) -> impl ExactSizeIterator<Item = (&str, &str, ExternType)> {
        let info = self.info();
        info.imports.iter().map(|i| (i.module.as_str(), i.name.as_str(), info.item_type(i.item)))
    }

    /// Exports in order, as (name, type).
    pub fn exports(&self) -> impl ExactSizeIterator<Item = (&str, ExternType)> {
        let info = self.info();
        info.exports.iter().map(|e| (e.name.as_str(), info.item_type(e.item)))
    }

    /// The type of an export.
    #[doc(alias = "get_export")]
    pub fn export(&self, name: &str) -> Option<ExternType> {
        self.0.export(name).map(|item| self.info().item_type(item))
    }

    /// Contents of a custom section, the first with this name.
    #[doc(alias = "CustomSections")]
    pub fn custom_section(&self, name: &str) -> Option<&[u8]> {
        self.0.decoded.custom_section(name)
    }

    /// The name of a function by its index: from the tables of Go's runtime, else the name section, else its
    /// export or import name.
    pub fn func_name(&self, index: u32) -> Option<&str> {
        self.0.decoded.func_name(FuncIndex::from_u32(index))
    }

    /// The definition of a function by its index, imports included.
    pub fn function(&self, index: u32) -> Option<FunctionDefinition<'_>> {
        let is_there = (index as usize) < self.info().functions.len();
        is_there.then(|| FunctionDefinition::of_module(&self.0, FuncIndex::from_u32(index)))
    }

    /// The name of a function for people: demangled, or, if it has none, `func:` and its index, which
    /// [`crate::listener::FunctionFilter::name`] understands too.
    pub fn display_name(&self, index: u32) -> String {
        self.0.decoded.display_name(FuncIndex::from_u32(index))
    }

    /// The signature of a function by its index, imports included.
    pub fn func_type(&self, index: u32) -> Option<&FuncType> {
        let info = self.info();
        info.functions.get(FuncIndex::from_u32(index)).and_then(|t| info.signature(*t))
    }

    /// Whether source lines are known, and why not. Debug information that would cost more than a module of
    /// its size may is not used; lookups may find that out.
    pub fn debug_info(&self) -> DebugInfo {
        self.0.decoded.debug_info()
    }

    /// Source lines of an offset in the code section, the innermost inlined function first. None if debug
    /// information is missing or [too complex](DebugInfo::TooComplex).
    pub fn source_locations(&self, code_offset: u32) -> Vec<SourceLocation> {
        self.0.decoded.source_locations(CodeOffset::from_u32(code_offset))
    }

    /// Where a function begins in its source. None unless the module has tables of that, as those of Go have:
    /// debug information says it of code, [`Module::source_locations`].
    pub fn func_start(&self, index: u32) -> Option<SourceLocation> {
        self.0.decoded.func_start(FuncIndex::from_u32(index))
    }

    /// The features without which the module would be invalid. Slow: for tools.
    pub fn features_needed(&self) -> CoreFeatures {
        self.0.decoded.features_needed()
    }

    /// Bytes of machine code compiled so far.
    pub fn code_size(&self) -> usize {
        self.0.code_size()
    }

    /// The name that the module has for a type that it declares, as values of this module's engine have it.
    pub fn type_name(&self, ty: HeapType) -> Option<&str> {
        self.0.type_name(ty)
    }

    /// The name that the module has for a field of a struct type: see [`Module::type_name`].
    pub fn field_name(&self, ty: HeapType, field: u32) -> Option<&str> {
        self.0.field_name(ty, FieldIndex::from_u32(field))
    }
}

/// What the tables of Go's runtime say.
impl Module {
    /// Between which addresses the functions of a program of Go are, as Go counts them; none if the module has no tables of
    /// Go's runtime.
    pub fn go_addresses(&self) -> Option<Range<u32>> {
        let found = self.0.decoded.go_addresses()?;
        Some(found.start.as_u32()..found.end.as_u32())
    }

    /// Calls of a goroutine outside of those that a backtrace has: Go leaves and enters its calls again as it switches
    /// between goroutines, and only those are on the stack of WebAssembly that were entered since. The calls are read from
    /// the goroutine's own stack, the innermost first; none if the module is none of Go's, or its stack makes no sense.
    ///
    /// `frames` are the functions of a backtrace, the innermost first; those that are none of this module can be
    /// `u32::MAX`. `sp` is the value of global 0, and `word` reads the 64 bits at an address of memory 0. The first result
    /// says how many of the frames are further in than these calls.
    pub fn go_callers(
        &self,
        frames: &[u32],
        sp: u32,
        word: &dyn Fn(u32) -> Option<u64>,
    ) -> (usize, Vec<Frame>) {
        let frames: Vec<_> = frames.iter().copied().map(FuncIndex::from_u32).collect();
        let sp = GuestAddr::from_u64(sp.into());
        let word = |at: GuestAddr| word(u32::try_from(at.as_u64()).ok()?);
        let (inner, calls) = self.0.decoded.go_callers(&frames, sp, &word);
        let frame = |func, offset| Frame::of(RawFrame::new(self.0.clone(), func, offset));
        (inner, calls.into_iter().map(|call| frame(call.func, call.offset)).collect())
    }
}
