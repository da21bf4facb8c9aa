//! What the translator takes and gives.

use crate::call_targets::{self, CallTargets};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64};
use wardian_module::ModuleInfo;
use wardian_types::{CodeOffset, TagIndex};
use wardian_vm::addr::CtxOffset;
use wardian_vm::interpreted::{FrameSlot, Function};
use wardian_vm::layout::InstanceLayout;

/// What translated code does besides what WebAssembly says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether functions and loops count down, so that the runtime can compile what is hot.
    pub tiering: bool,
    /// Whether fuel is counted.
    pub fuel: bool,
    /// Whether every NaN that arithmetic makes has the same bits.
    pub canonical_nans: bool,
    /// Whether vectors are multiplied and added with two roundings, whatever the machine can do.
    pub deterministic_simd: bool,
}

/// The module to which a function belongs.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// Its declarations.
    pub info: &'a ModuleInfo,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where its instances have what code uses.
    pub layout: InstanceLayout,
    /// What code is to do.
    pub options: Options,
}

/// Why a function cannot be translated. A valid module has no reason but its size.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a function cannot be translated: {0}")]
pub struct TranslateError(pub(crate) String);

impl TranslateError {
    #[cold]
    pub(crate) fn new(reason: impl Into<String>) -> TranslateError {
        TranslateError(reason.into())
    }
}

impl From<wasmparser::BinaryReaderError> for TranslateError {
    fn from(error: wasmparser::BinaryReaderError) -> TranslateError {
        TranslateError(error.to_string())
    }
}

wardian_types::index_types! {
    /// A place in the code of a translated function, in units of 16 bits.
    pub struct CodeUnit;

    /// A block while it is open, by how many are around it.
    pub(crate) struct FrameIndex;
}

/// A handler of exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Where it is.
    pub target: CodeUnit,
    /// The tag that it catches; none if it catches every one.
    pub tag: Option<TagIndex>,
    /// The slot from which on it wants the values.
    pub values: FrameSlot,
    /// The slot in which it wants a reference to the exception.
    pub reference: Option<FrameSlot>,
}

/// An entry in the table of handlers.
#[derive(Clone, Debug)]
pub(crate) struct HandlerEntry {
    /// The code in which exceptions are caught.
    body: Range<CodeUnit>,
    /// The block that catches.
    block: FrameIndex,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Catch(Handler),
    /// The search continues with this block, and those around it.
    Delegate(FrameIndex),
}

impl HandlerEntry {
    pub(crate) fn catch(
        body: Range<CodeUnit>,
        block: FrameIndex,
        handler: Handler,
    ) -> HandlerEntry {
        HandlerEntry { body, block, action: Action::Catch(handler) }
    }

    pub(crate) fn delegate(
        body: Range<CodeUnit>,
        block: FrameIndex,
        to: FrameIndex,
    ) -> HandlerEntry {
        HandlerEntry { body, block, action: Action::Delegate(to) }
    }
}

/// A translated function: its code, and the record by which it is called. Neither moves as long as
/// this lives.
///
/// Both are also reached by addresses that frames and records hold. A `Box` would claim to be the only way to them.
#[derive(Debug)]
pub struct Translation {
    code: Arc<[u16]>,
    function: Arc<Function>,
    /// Innermost first.
    handlers: Box<[HandlerEntry]>,
    /// What calls through tables and references called, and the code offsets of these calls.
    targets: Arc<[AtomicU64]>,
    noted_calls: Box<[CodeOffset]>,
}

impl Translation {
    #[allow(
        clippy::arc_with_non_send_sync,
        reason = "the whole is shared by threads, see `Function`"
    )]
    pub(crate) fn new(
        code: &[u16],
        function: Function,
        handlers: &[HandlerEntry],
        noted_calls: &[CodeOffset],
    ) -> Translation {
        let mut code = code.to_vec();
        crate::execute::link(&mut code);
        let code: Arc<[u16]> = code.into();
        let words = noted_calls.len() * call_targets::WORDS;
        let targets: Arc<[AtomicU64]> = (0..words).map(|_| AtomicU64::new(0)).collect();
        let (entry, noted) = (code.as_ptr(), targets.as_ptr());
        let function = Arc::new(Function { entry, targets: noted, ..function });
        let (handlers, noted_calls) = (handlers.into(), noted_calls.into());
        Translation { code, function, handlers, targets, noted_calls }
    }

    /// The record by which it is called.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The handlers for exceptions of the instruction at a unit of code, innermost first.
    pub fn handlers_at(&self, unit: CodeUnit) -> impl Iterator<Item = &Handler> {
        let mut innermost = FrameIndex::from_u32(u32::MAX);
        self.handlers.iter().filter(move |entry| entry.body.contains(&unit)).filter_map(
            move |entry| match &entry.action {
                _ if entry.block > innermost => None,
                Action::Catch(handler) => Some(handler),
                Action::Delegate(to) => {
                    innermost = innermost.min(*to);
                    None
                }
            },
        )
    }

    /// What its calls through tables and references called so far: the code offsets of the calls, in order, and where the
    /// instance has the entries of the functions. An entry may be of another instance, and then means nothing.
    pub fn call_targets(&self) -> impl Iterator<Item = (CodeOffset, CallTargets<CtxOffset>)> {
        let noted = self.noted_calls.iter().zip(self.targets.chunks(call_targets::WORDS));
        noted.map(|(offset, words)| (*offset, call_targets::noted(words)))
    }

    /// Its code, in units.
    pub fn code(&self) -> &[u16] {
        &self.code
    }

    /// The countdown, which starts at the greatest number.
    pub fn countdown(&self) -> &AtomicI32 {
        &self.function.countdown
    }
}

/// Where the frames of a function have references that the collector has to know, by the frame's ip while it
/// waits for a call or is to be resumed.
#[derive(Clone, Debug, Default)]
pub struct References {
    locals: Box<[FrameSlot]>,
    /// Units of code, in ascending order, and where the operands of each end.
    ends: Vec<(CodeUnit, u32)>,
    operands: Vec<FrameSlot>,
    /// Whether there would be so many that they are not kept.
    too_many: bool,
}

impl References {
    /// Operands that are kept for each unit of code, and in any case: more than real functions have.
    const PER_UNIT: usize = 4;
    const LEAST: usize = 1 << 12;

    pub(crate) fn set_locals(&mut self, locals: impl Iterator<Item = FrameSlot>) {
        self.locals = locals.collect();
    }

    /// Forgets what was noted of this position, the last one, if something was.
    pub(crate) fn forget(&mut self, at: CodeUnit) {
        if self.ends.last().is_some_and(|last| last.0 == at) {
            self.ends.pop();
            self.operands.truncate(self.ends.last().map_or(0, |last| last.1 as usize));
        }
    }

    pub(crate) fn push(&mut self, at: CodeUnit, operands: impl Iterator<Item = FrameSlot>) {
        let room = Self::LEAST.max(Self::PER_UNIT * at.index());
        if self.too_many || self.operands.len() > room {
            self.too_many = true;
            return;
        }
        // One position alone has no more than a frame has slots.
        self.operands.extend(operands);
        self.ends.push((at, self.operands.len() as u32));
    }

    /// The slots that hold references where a frame's ip is at this unit of the code; none if nothing is known of
    /// it, so that each slot may hold one.
    pub fn at(&self, unit: CodeUnit) -> Option<impl Iterator<Item = FrameSlot> + '_> {
        let i = self.ends.binary_search_by_key(&unit, |end| end.0).ok()?;
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let operands = &self.operands[start as usize..self.ends[i].1 as usize];
        Some(self.locals.iter().chain(operands).copied())
    }
}
