//! Where a guest was.

use crate::error::{Error, Trace};
use crate::module::ModuleInner;
use crate::value::AnyRef;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use wardian_module::{DebugInfo, SourceLocation};
use wardian_types::{CodeOffset, FuncIndex, LocalIndex};

/// The calls of a guest, the innermost first.
#[derive(Clone, Default)]
pub struct Backtrace {
    /// The innermost calls.
    pub frames: Vec<Frame>,
    /// The number of the others.
    pub omitted: usize,
}

/// A call of a backtrace.
#[derive(Clone)]
pub struct Frame {
    /// The module.
    pub module: Arc<ModuleInner>,
    /// The function, by its index in the module.
    pub func: FuncIndex,
    /// The operator that it waits in.
    pub offset: Option<CodeOffset>,
    /// The locals, in slots, if they are known.
    pub locals: Option<Box<[u64]>>,
    /// Objects that it refers to, with the local that does if that is known.
    pub objects: Vec<(Option<LocalIndex>, AnyRef)>,
}

impl Trace for Backtrace {
    fn boxed(&self) -> Box<dyn Trace> {
        Box::new(self.clone())
    }
}

impl Error {
    /// Where the guest was, as this runtime saw it.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        let trace: &dyn Any = self.trace()?;
        trace.downcast_ref()
    }
}

impl Frame {
    /// A call of which no more than where it is is known.
    pub fn new(module: Arc<ModuleInner>, func: FuncIndex, offset: Option<CodeOffset>) -> Frame {
        Frame { module, func, offset, locals: None, objects: Vec::new() }
    }

    /// Where in the file of the module it is, if that is known.
    pub fn file_offset(&self) -> Option<usize> {
        self.offset.map(|offset| self.module.decoded.info().code_section + offset.index())
    }

    /// Where in the source it is, the innermost inlined function first.
    pub fn source_locations(&self) -> Vec<SourceLocation> {
        self.offset.map(|o| self.module.decoded.source_locations(o)).unwrap_or_default()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.module.decoded.display_name(self.func))?;
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
        show(f, self.frames.iter(), self.omitted)
    }
}

/// Shows calls, the innermost first, and says how many others there are.
///
/// # Errors
///
/// As the formatter's.
pub fn show<'a>(
    f: &mut fmt::Formatter<'_>,
    frames: impl Iterator<Item = &'a Frame> + Clone,
    omitted: usize,
) -> fmt::Result {
    f.write_str("guest backtrace, innermost call first:")?;
    for (i, frame) in frames.clone().enumerate() {
        write!(f, "\n  {i:>3}: {frame}")?;
    }
    if omitted > 0 {
        write!(f, "\n  ... and {omitted} more")?;
    }
    match unknown_lines(frames) {
        Some(why) => write!(f, "\n  {why}"),
        None => Ok(()),
    }
}

/// Why source lines are missing that a module of these calls seems to have, after they were asked for.
pub fn unknown_lines<'a>(frames: impl Iterator<Item = &'a Frame>) -> Option<DebugInfo> {
    frames.map(|frame| frame.module.decoded.debug_info()).find(|i| *i == DebugInfo::TooComplex)
}
