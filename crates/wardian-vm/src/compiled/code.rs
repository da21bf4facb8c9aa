//! The code of a module with its tables, and how it is stored.
//!
//! All tables are sorted arrays with offsets from the start of the text, searched by bisection.

mod stored;

use super::error::CompileError;
use super::frames::{CapturedFrame, FrameTable, FrameTables};
use super::handlers::{Call, CallHandlers, HandlerNumber, InstanceAt, Scope, ScopeIndex};
use super::inlined::Inlined;
use super::maps::{SpOffset, StackMap, StackMaps};
use super::source_loc::SourceLoc;
use super::{CompiledIndex, TextOffset};
use crate::unwind::Saved;
use std::ops::Range;
use wardian_types::{CodeOffset, DefinedFuncIndex, IndexVec, TrapCode};

/// An instruction that can trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Where it is.
    pub offset: TextOffset,
    /// Why: the number of a [`TrapCode`].
    pub code: u8,
}

/// The beginning of the code of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Where its code begins; it reaches to the next location.
    pub offset: TextOffset,
    /// The operator.
    pub operator: SourceLoc,
}

/// The code of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompiledFunction {
    /// Machine code, and constants behind it.
    pub text: Vec<u8>,
    /// Alignment in bytes that the text needs.
    pub align: u32,
    /// How many bytes behind the beginning of a line of the instruction cache it is to begin: a multiple of
    /// [`CompiledFunction::LEAST_ALIGN`].
    pub lead: u32,
    /// What can trap, by offset in the text.
    pub traps: Vec<Trap>,
    /// What comes from where, by offset in the text.
    pub locations: Vec<Location>,
    /// Where references to objects lie during calls, by offset in the text. A call without one has none.
    pub maps: Vec<StackMap>,
    /// Which callee-saved registers it saves in its frame.
    pub saved: Saved,
    /// Calls with handlers of exceptions around them, by offset in the text.
    pub calls: Vec<Call>,
    /// The blocks that these are in.
    pub scopes: Vec<Scope>,
    /// Where its frames can be captured.
    pub frames: FrameTable,
    /// The bodies of other functions in it, in the order of [`Inlined::first`].
    pub inlined: Vec<Inlined>,
}

impl CompiledFunction {
    /// What constants behind the code need.
    pub const LEAST_ALIGN: u32 = 16;

    /// The reason of a trap at this offset.
    pub fn trap_at(&self, offset: TextOffset) -> Option<TrapCode> {
        let i = self.traps.binary_search_by_key(&offset, |t| t.offset).ok()?;
        TrapCode::from_u8(self.traps[i].code)
    }

    /// The operator of a location, also where it is one of a body that is in this function.
    pub fn innermost(&self, location: Location) -> Option<CodeOffset> {
        let inlined = self.inlined.iter().find_map(|body| body.offset(location.operator));
        inlined.or_else(|| location.operator.own_offset())
    }

    /// The operator whose code is at this offset. For a return address ask for the byte before it.
    pub fn location(&self, offset: TextOffset) -> Option<CodeOffset> {
        let i = self.locations.partition_point(|l| l.offset <= offset).checked_sub(1)?;
        let operator = self.locations[i].operator;
        let body = self.inlined.iter().find(|body| body.offset(operator).is_some());
        body.map_or_else(|| operator.own_offset(), |body| Some(body.site))
    }
}

/// The code of a module's functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompiledCode {
    origin: Origin,
    align: u32,
    text: Vec<u8>,
    /// Start and end of each function's code, in order.
    functions: IndexVec<CompiledIndex, [u32; 2]>,
    /// Which registers each of them saves: as [`Saved`].
    saved: IndexVec<CompiledIndex, u8>,
    trap_offsets: Vec<u32>,
    trap_codes: Vec<u8>,
    location_offsets: Vec<u32>,
    location_wasm: Vec<u32>,
    maps: StackMaps,
    /// Calls that have handlers: where they return to.
    call_offsets: Vec<u32>,
    /// For each of them frame size, place of the instance, entry, scope, and the function's first scope.
    call_frames: Vec<[u32; 5]>,
    /// Blocks with handlers: the position of the one around it plus one, or zero; the number of its first
    /// handler; and where its handlers begin in the list of all.
    scopes: Vec<[u32; 3]>,
    handlers: Vec<u32>,
    frames: FrameTables,
    /// Where each function's bodies of others end in the list of all.
    inlined_ends: Vec<u32>,
    inlined: Vec<[u32; Inlined::WORDS]>,
    notes: Vec<u8>,
}

/// Names what code was made from, and under which settings, so that it is not run for anything else. What
/// is hashed, is up to who loads code.
pub type Origin = [u8; 32];

impl CompiledCode {
    /// Lays functions out one behind the other.
    pub fn assemble(
        functions: Vec<CompiledFunction>,
        align: u32,
    ) -> Result<CompiledCode, CompileError> {
        let size =
            functions.iter().map(|f| f.text.len() + (f.align.max(align) + f.lead) as usize).sum();
        let mut code = CompiledCode { align, ..CompiledCode::default() };
        code.functions.reserve(functions.len());
        code.saved.reserve(functions.len());
        code.text.reserve_exact(size);
        code.trap_offsets.reserve_exact(functions.iter().map(|f| f.traps.len()).sum());
        code.trap_codes.reserve_exact(functions.iter().map(|f| f.traps.len()).sum());
        code.location_offsets.reserve_exact(functions.iter().map(|f| f.locations.len()).sum());
        code.location_wasm.reserve_exact(functions.iter().map(|f| f.locations.len()).sum());
        // Each function is dropped when it was copied.
        for (index, f) in functions.into_iter().enumerate() {
            let index = CompiledIndex::from_usize(index);
            let start = start_behind(code.text.len(), f.align.max(align) as usize, f.lead as usize);
            code.text.resize(start, 0);
            code.text.extend_from_slice(&f.text);
            let end = u32::try_from(code.text.len()).map_err(|_| CompileError::TooLarge)?;
            let start = TextOffset(start as u32);
            code.functions.push([start.0, end]);
            code.saved.push(f.saved.0);
            for trap in &f.traps {
                code.trap_offsets.push(trap.offset.within(start).0);
                code.trap_codes.push(trap.code);
            }
            // Code before a function's first operator belongs to none, not to the function before.
            let begins_later = f.locations.first().is_some_and(|l| l.offset > TextOffset::FIRST);
            if begins_later && start > TextOffset::FIRST {
                code.location_offsets.push(start.0);
                code.location_wasm.push(SourceLoc::NONE.as_u32());
            }
            for location in &f.locations {
                code.location_offsets.push(location.offset.within(start).0);
                code.location_wasm.push(location.operator.as_u32());
            }
            f.maps.iter().for_each(|map| code.maps.push(map, start));
            code.frames.push(&f.frames, index);
            code.push_inlined(&f.inlined, index);
            let base = code.scopes.len() as u32;
            for call in &f.calls {
                code.call_offsets.push(call.offset.within(start).0);
                let (entry, scope) = (call.entry.within(start).0, base + call.scope.as_u32());
                let instance = call.instance.to_word();
                code.call_frames.push([call.frame_size, instance, entry, scope, base]);
            }
            for scope in f.scopes.iter().filter(|_| !f.calls.is_empty()) {
                let parent = scope.parent.map_or(0, |parent| base + parent.as_u32() + 1);
                code.scopes.push([parent, scope.first.as_u32(), code.handlers.len() as u32]);
                code.handlers.extend_from_slice(&scope.handlers);
            }
        }
        Ok(code)
    }

    /// What it was made from; zeroes if nobody has said.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The same code, made from this.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> CompiledCode {
        CompiledCode { origin, ..self }
    }

    /// The same code, with bytes that say something for who made it: they are stored with it, and change nothing.
    #[must_use]
    pub fn with_notes(self, notes: Vec<u8>) -> CompiledCode {
        CompiledCode { notes, ..self }
    }

    /// The bytes of [`CompiledCode::with_notes`], which the code then no longer has.
    pub fn take_notes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.notes)
    }

    /// The same code, with the text that was discarded.
    #[must_use]
    pub fn with_text(&self, text: Vec<u8>) -> CompiledCode {
        CompiledCode { text, ..self.clone() }
    }

    /// Machine code of all functions.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Frees the text, once it has been copied to where it runs; the tables stay.
    pub fn discard_text(&mut self) {
        self.text = Vec::new();
    }

    /// Alignment in bytes that the text needs.
    pub fn align(&self) -> u32 {
        self.align
    }

    /// How many functions there are.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether there are no functions.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Where in the text a function's code lies. Empty if there is no such function.
    pub fn function(&self, at: CompiledIndex) -> Range<TextOffset> {
        let [start, end] = self.functions.get(at).copied().unwrap_or_default();
        TextOffset(start)..TextOffset(end)
    }

    /// Whether there is code for every function: what a program ran may be all that was compiled.
    pub fn is_complete(&self) -> bool {
        self.functions.iter().all(|[start, end]| start < end)
    }

    /// The code of one function as it was before it was laid out; `text` is that of all functions. None if there is no code for it.
    pub fn extract(&self, at: CompiledIndex, text: &[u8]) -> Option<CompiledFunction> {
        let Range { start: TextOffset(start), end: TextOffset(end) } = self.function(at);
        let range = start..end;
        let code = text.get(range.start as usize..range.end as usize).filter(|c| !c.is_empty())?;
        let within = |offsets: &[u32]| {
            let start = offsets.partition_point(|o| *o < range.start);
            start..start.max(offsets.partition_point(|o| *o < range.end))
        };
        let own = |offset: u32| TextOffset(offset - range.start);
        let traps = within(&self.trap_offsets)
            .map(|i| Trap { offset: own(self.trap_offsets[i]), code: self.trap_codes[i] });
        let locations = within(&self.location_offsets).map(|i| Location {
            offset: own(self.location_offsets[i]),
            operator: SourceLoc::from_u32(self.location_wasm[i]),
        });
        let calls = within(&self.call_offsets).map(|i| {
            let [frame_size, instance, entry, scope, base] = self.call_frames[i];
            Call {
                offset: own(self.call_offsets[i]),
                frame_size,
                instance: InstanceAt::from_word(instance),
                scope: ScopeIndex::from_u32(scope - base),
                entry: own(entry),
            }
        });
        Some(CompiledFunction {
            calls: calls.collect(),
            scopes: self.scopes_of(within(&self.call_offsets)),
            text: code.to_vec(),
            align: self.align,
            lead: range.start % self.align.max(1),
            traps: traps.collect(),
            locations: locations.collect(),
            saved: Saved(self.saved.get(at).copied().unwrap_or_default()),
            maps: self.maps.extract(TextOffset(start)..TextOffset(end)),
            frames: FrameTable::from_words(self.frames.of(at)),
            inlined: self.inlined_in(at).iter().copied().map(Inlined::from_words).collect(),
        })
    }

    /// Where a function has references to objects while it waits in the call that returns to this offset in
    /// the text; none if it has none. Bytes from the stack pointer at the call to the frame pointer, then the
    /// references, counted from the stack pointer; four bytes each.
    pub fn references_at(&self, offset: TextOffset) -> Option<(u32, &[SpOffset])> {
        self.maps.at(offset).map(|found| (found.frame, found.slots))
    }

    /// What a frame has that waits in the call which returns to this offset in the text; or, if `before`, that asks
    /// whether a checkpoint is wanted. None if it cannot be captured there.
    pub fn captured_at(&self, offset: TextOffset, before: bool) -> Option<CapturedFrame<'_>> {
        let call = TextOffset(offset.0.checked_sub(1)?);
        let words = self.frames.of(self.find(call)?);
        CapturedFrame::find(words, self.location(call)?, before)
    }

    /// The function whose code is at this offset in the text.
    pub fn find(&self, TextOffset(offset): TextOffset) -> Option<CompiledIndex> {
        let i = self.functions.as_slice().partition_point(|f| f[0] <= offset).checked_sub(1)?;
        let found = CompiledIndex::from_usize(i);
        (offset < self.functions[found][1]).then_some(found)
    }

    /// Which registers the function around this offset in the text saves in its frame.
    pub fn saved_at(&self, offset: TextOffset) -> Option<Saved> {
        self.saved.get(self.find(offset)?).copied().map(Saved)
    }

    /// The reason of a trap of the instruction at this offset in the text.
    pub fn trap_at(&self, TextOffset(offset): TextOffset) -> Option<TrapCode> {
        let i = self.trap_offsets.binary_search(&offset).ok()?;
        TrapCode::from_u8(self.trap_codes[i])
    }

    /// The handlers around the call that returns to this offset in the text; none if it has none.
    pub fn handlers_at(&self, TextOffset(offset): TextOffset) -> Option<CallHandlers<'_>> {
        let i = self.call_offsets.binary_search(&offset).ok()?;
        let [frame_size, instance, entry, scope, _] = self.call_frames[i];
        let entry = TextOffset(entry);
        let instance = InstanceAt::from_word(instance);
        let scope = ScopeIndex::from_u32(scope);
        Some(CallHandlers { frame_size, instance, entry, scope, code: self })
    }

    /// The scopes of a function whose calls with handlers are these.
    fn scopes_of(&self, calls: Range<usize>) -> Vec<Scope> {
        let Some(base) = self.call_frames.get(calls.start).map(|call| call[4]) else {
            return Vec::new();
        };
        let end = self.call_frames.get(calls.end).map_or(self.scopes.len() as u32, |call| call[4]);
        let scope = |scope: u32| {
            let scope = ScopeIndex::from_u32(scope);
            let (first, handlers) = self.scope(scope);
            let parent = self.parent(scope);
            let parent = parent.map(|parent| ScopeIndex::from_u32(parent.as_u32() - base));
            Scope { parent, first, handlers: handlers.to_vec() }
        };
        if calls.is_empty() { Vec::new() } else { (base..end).map(scope).collect() }
    }

    /// The scope around a scope.
    pub(crate) fn parent(&self, scope: ScopeIndex) -> Option<ScopeIndex> {
        // It lies before, so that the chain ends whatever the tables say.
        let parent = self.scopes.get(scope.index())?[0].checked_sub(1)?;
        let parent = ScopeIndex::from_u32(parent);
        (parent < scope).then_some(parent)
    }

    /// The number of a scope's first handler, and the handlers.
    pub(crate) fn scope(&self, scope: ScopeIndex) -> (HandlerNumber, &[u32]) {
        let at = |scope: usize| self.scopes.get(scope).map(|scope| scope[2] as usize);
        let start = at(scope.index()).unwrap_or(self.handlers.len());
        let end = at(scope.index() + 1).unwrap_or(self.handlers.len());
        let first = self.scopes.get(scope.index()).map_or(0, |scope| scope[1]);
        let first = HandlerNumber::from_u32(first);
        (first, self.handlers.get(start..end).unwrap_or_default())
    }

    /// The operator, as offset in the code section, whose code is at this offset in the text. For
    /// a return address ask for the byte before it. None in prologues.
    pub fn location(&self, offset: TextOffset) -> Option<CodeOffset> {
        let function = self.find(offset)?;
        let operator = self.operator_at(offset)?;
        let body = self.inlined_body(function, operator);
        body.map_or_else(|| operator.own_offset(), |body| Some(body.site))
    }

    /// Where that is in another function whose body is here, if the code is of one: the function
    /// and the offset of the operator in the code section.
    /// [`CompiledCode::location`] is where that would have been called.
    pub fn inlined_at(&self, offset: TextOffset) -> Option<(DefinedFuncIndex, CodeOffset)> {
        let function = self.find(offset)?;
        let operator = self.operator_at(offset)?;
        let body = self.inlined_body(function, operator)?;
        Some((body.defined, body.offset(operator)?))
    }

    fn operator_at(&self, TextOffset(offset): TextOffset) -> Option<SourceLoc> {
        let i = self.location_offsets.partition_point(|o| *o <= offset).checked_sub(1)?;
        Some(SourceLoc::from_u32(self.location_wasm[i])).filter(|found| *found != SourceLoc::NONE)
    }

    /// The body of another function in this one that has the operator.
    fn inlined_body(&self, function: CompiledIndex, operator: SourceLoc) -> Option<Inlined> {
        let bodies = self.inlined_in(function);
        let at = bodies.partition_point(|body| body[0] <= operator.as_u32()).checked_sub(1)?;
        Some(Inlined::from_words(bodies[at])).filter(|body| body.offset(operator).is_some())
    }

    /// The bodies of others that a function has.
    fn inlined_in(&self, function: CompiledIndex) -> &[[u32; Inlined::WORDS]] {
        let end = |function: usize| self.inlined_ends.get(function).map(|end| *end as usize);
        let start = function.index().checked_sub(1).map_or(Some(0), &end);
        let all = self.inlined.len();
        let start = start.unwrap_or(all);
        self.inlined.get(start..end(function.index()).unwrap_or(all)).unwrap_or_default()
    }

    /// Adds the bodies that the next function has. Most have none, and most modules no function that has one.
    fn push_inlined(&mut self, bodies: &[Inlined], function: CompiledIndex) {
        if !bodies.is_empty() || !self.inlined_ends.is_empty() {
            self.inlined_ends.resize(function.index(), self.inlined.len() as u32);
            self.inlined.extend(bodies.iter().map(|body| body.to_words()));
            self.inlined_ends.push(self.inlined.len() as u32);
        }
    }

    /// As [`CompiledCode::location`]; where that is not known, as of code that was moved by the
    /// optimiser, an operator nearby in the same function: the last one before, else the first after.
    pub fn location_near(&self, offset: TextOffset) -> Option<CodeOffset> {
        let [start, end] = self.functions[self.find(offset)?];
        let is_known = |i: &usize| self.location_wasm[*i] != SourceLoc::NONE.as_u32();
        let after = self.location_offsets.partition_point(|o| *o <= offset.0);
        let mut before = (0..after).rev().take_while(|i| self.location_offsets[*i] >= start);
        let mut after =
            (after..self.location_offsets.len()).take_while(|i| self.location_offsets[*i] < end);
        let found = before.find(is_known).or_else(|| after.find(is_known))?;
        self.location(TextOffset(self.location_offsets[found]))
    }
}

/// The first place from an offset on that lies so many bytes behind a multiple of the alignment.
fn start_behind(offset: usize, align: usize, lead: usize) -> usize {
    let lead = lead % align.max(1);
    offset.saturating_sub(lead).next_multiple_of(align.max(1)) + lead
}
