//! Where a guest was.

use crate::Module;
use crate::error::{Error, Trace};
use crate::handles::AnyRef;
use crate::inspect::FunctionDefinition;
use std::any::Any;
use std::fmt;
use wardian_module::{DebugInfo, SourceLocation};
use wardian_types::ValType;

/// The calls of a guest, innermost first.
///
/// Only positions are recorded; names and source lines are looked up when it is shown.
#[derive(Clone, Debug, Default)]
#[doc(alias = "WasmBacktrace")]
pub struct Backtrace {
    pub(crate) frames: Vec<Frame>,
    /// How many more frames there were than are kept.
    pub(crate) omitted: usize,
}

/// A call of a guest.
#[derive(Clone, Debug)]
#[doc(alias = "FrameInfo")]
pub struct Frame {
    pub(crate) module: Module,
    pub(crate) func: u32,
    pub(crate) offset: Option<u32>,
    /// Raw slots of the locals, as far as they are known.
    pub(crate) locals: Option<Box<[u64]>>,
    /// Objects that it refers to, and by which local.
    pub(crate) objects: Vec<(Option<u32>, AnyRef)>,
}

impl Trace for Backtrace {}

impl Error {
    /// The guest's calls when it happened, innermost first.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        let trace: &dyn Any = self.trace()?;
        trace.downcast_ref()
    }
}

impl Backtrace {
    /// The frames, innermost first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// How many outer frames were left out because the stack was deep
    /// ([`crate::Config::backtrace_frames`]).
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl Backtrace {
    /// Why source lines are missing that a module seems to have, after they were asked for.
    pub fn unknown_lines(&self) -> Option<DebugInfo> {
        let infos = self.frames.iter().map(|frame| frame.module.debug_info());
        infos.into_iter().find(|info| *info == DebugInfo::TooComplex)
    }
}

impl Frame {
    pub(crate) fn new(module: &Module, func: u32, offset: Option<u32>) -> Frame {
        Frame { module: module.clone(), func, offset, locals: None, objects: Vec::new() }
    }

    /// The module of the function.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The function's index in its module, imports included.
    pub fn func_index(&self) -> u32 {
        self.func
    }

    /// The function.
    pub fn definition(&self) -> FunctionDefinition<'_> {
        FunctionDefinition::of_module(&self.module.0, self.func)
    }

    /// The function's name as the module has it, without demangling.
    pub fn func_name(&self) -> Option<&str> {
        self.module.func_name(self.func)
    }

    /// Offset of the instruction in the module's code section, if it is known.
    pub fn code_offset(&self) -> Option<u32> {
        self.offset
    }

    /// Offset of the instruction in the module's bytes, if it is known: what tools that disassemble modules
    /// print.
    pub fn file_offset(&self) -> Option<usize> {
        self.offset.map(|offset| self.module.info().code_section + offset as usize)
    }

    /// The values of the function's locals, parameters first, as they were then; as raw slots, of which a
    /// `v128` takes two and everything else one, and references are handles that mean something to the
    /// store alone. There are as many as [`Frame::local_types`] says.
    ///
    /// None if nobody asked for them ([`crate::Config::backtrace_locals`]), or the function ran compiled:
    /// such code keeps what it needs wherever it likes.
    pub fn locals(&self) -> Option<&[u64]> {
        self.locals.as_deref()
    }

    /// The structs and arrays that the call refers to, each with the local that does. They stay alive as long as
    /// the frame or a clone of it. Of compiled functions it is not known which local it is, and of the innermost call
    /// they are not known at all.
    ///
    /// There are none if nobody asked for values ([`crate::Config::backtrace_locals`]).
    pub fn objects(&self) -> impl ExactSizeIterator<Item = (Option<u32>, &AnyRef)> {
        self.objects.iter().map(|(local, object)| (*local, object))
    }

    /// The types of the function's locals, parameters first; of more than a thousand the first ones.
    pub fn local_types(&self) -> Vec<ValType> {
        self.module.0.local_types(self.func)
    }

    /// Source lines, the innermost inlined function first; empty without debug information.
    pub fn source_locations(&self) -> Vec<SourceLocation> {
        self.offset.map(|o| self.module.source_locations(o)).unwrap_or_default()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.module.display_name(self.func))?;
        if let Some(offset) = self.file_offset() {
            write!(f, " (offset {offset:#x})")?;
        }
        for place in self.source_locations() {
            write!(f, "\n        at {}", place.file)?;
            if let Some(line) = place.line {
                write!(f, ":{line}")?;
            }
            if place.approximate {
                f.write_str(" (approximate)")?;
            }
            if let Some(function) = place.function {
                write!(f, " in {function}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("guest backtrace, innermost call first:")?;
        for (i, frame) in self.frames.iter().enumerate() {
            write!(f, "\n  {i:>3}: {frame}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n  ... and {} more", self.omitted)?;
        }
        match self.unknown_lines() {
            Some(why) => write!(f, "\n  {why}"),
            None => Ok(()),
        }
    }
}
