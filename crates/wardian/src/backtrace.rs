//! Where a guest was.

use crate::Module;
use crate::error::Error;
use crate::handles::AnyRef;
use crate::inspect::FunctionDefinition;
use std::any::Any;
use std::fmt;
use wardian_module::{DebugInfo, SourceLocation};
use wardian_runtime::stack::backtrace::{show, unknown_lines};
use wardian_types::{CodeOffset, LocalIndex, ValType};

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
#[derive(Clone)]
#[doc(alias = "FrameInfo")]
pub struct Frame {
    inner: wardian_runtime::stack::backtrace::Frame,
    module: Module,
    /// Objects that it refers to, and by which local.
    objects: Vec<(Option<LocalIndex>, AnyRef)>,
}

impl Error {
    /// The guest's calls when it happened, innermost first.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.shown_trace(|trace| {
            let trace: &dyn Any = trace;
            trace.downcast_ref().cloned().map(Backtrace::of).unwrap_or_default()
        })
    }
}

impl Backtrace {
    /// A backtrace of the runtime's.
    pub(crate) fn of(found: wardian_runtime::stack::backtrace::Backtrace) -> Backtrace {
        let frames = found.frames.into_iter().map(Frame::of).collect();
        Backtrace { frames, omitted: found.omitted }
    }

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
        unknown_lines(self.frames.iter().map(|frame| &frame.inner))
    }
}

impl Frame {
    /// A call of the runtime's.
    pub(crate) fn of(mut found: wardian_runtime::stack::backtrace::Frame) -> Frame {
        let objects = std::mem::take(&mut found.objects);
        let objects = objects.into_iter().map(|(local, object)| (local, AnyRef(object))).collect();
        Frame { module: Module::of(found.module.clone()), inner: found, objects }
    }

    /// The module of the function.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The function's index in its module, imports included.
    pub fn func_index(&self) -> u32 {
        self.inner.func.as_u32()
    }

    /// The function.
    pub fn definition(&self) -> FunctionDefinition<'_> {
        FunctionDefinition::of_module(&self.module.0, self.inner.func)
    }

    /// The function's name as the module has it, without demangling.
    pub fn func_name(&self) -> Option<&str> {
        self.module.func_name(self.inner.func.as_u32())
    }

    /// Offset of the instruction in the module's code section, if it is known.
    pub fn code_offset(&self) -> Option<u32> {
        self.inner.offset.map(CodeOffset::as_u32)
    }

    /// Offset of the instruction in the module's bytes, if it is known: what tools that disassemble modules
    /// print.
    pub fn file_offset(&self) -> Option<usize> {
        self.inner.file_offset()
    }

    /// The values of the function's locals, parameters first, as they were then; as raw slots, of which a
    /// `v128` takes two and everything else one, and references are handles that mean something to the
    /// store alone. There are as many as [`Frame::local_types`] says.
    ///
    /// None if nobody asked for them ([`crate::Config::backtrace_locals`]), or the function ran compiled:
    /// such code keeps what it needs wherever it likes.
    pub fn locals(&self) -> Option<&[u64]> {
        self.inner.locals.as_deref()
    }

    /// The structs and arrays that the call refers to, each with the local that does. They stay alive as long as
    /// the frame or a clone of it. Of compiled functions it is not known which local it is, and of the innermost call
    /// they are not known at all.
    ///
    /// There are none if nobody asked for values ([`crate::Config::backtrace_locals`]).
    pub fn objects(&self) -> impl ExactSizeIterator<Item = (Option<u32>, &AnyRef)> {
        self.objects.iter().map(|(local, object)| (local.map(LocalIndex::as_u32), object))
    }

    /// The types of the function's locals, parameters first; of more than a thousand the first ones.
    pub fn local_types(&self) -> Vec<ValType> {
        self.module.0.local_types(self.inner.func)
    }

    /// Source lines, the innermost inlined function first; empty without debug information.
    pub fn source_locations(&self) -> Vec<SourceLocation> {
        self.inner.source_locations()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.frames.iter().map(|frame| &frame.inner), self.omitted)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("module", &self.module)
            .field("func", &self.inner.func)
            .field("offset", &self.inner.offset)
            .field("locals", &self.inner.locals)
            .field("objects", &self.objects)
            .finish()
    }
}
