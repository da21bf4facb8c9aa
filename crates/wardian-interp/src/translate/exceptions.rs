//! Exceptions: throwing them, and the blocks that catch them.
//!
//! ```text
//!   try_table ... end          body
//!                              br ──────────────────> behind the block
//!                   landing 1: values, exnref in slots; moves; br ──> label of the first clause
//!                   landing 2: ...
//! ```
//!
//! A handler is an entry in a table beside the code: of which instructions it catches exceptions, where it
//! is, and into which slots the runtime writes what was caught. Entering a block costs nothing.
//!
//! A `catch` of the older `try` blocks begins at its landing. What it has caught lies on the operand stack,
//! below the values, for `rethrow`; compiled code has it there too.

use super::control::{Frame, Kind};
use super::{Body, Outcome};
use crate::op;
use crate::operand::{Far, U32};
use crate::translation::{CodeUnit, FrameIndex, Handler, HandlerEntry, TranslateError};
use wardian_module::operators::Exception;
use wardian_types::{LabelIndex, OperandIndex, TagIndex, ValType};
use wardian_vm::interpreted::FrameSlot;
use wasmparser::{BlockType, Catch, TryTable};

/// A block whose body is inside of handlers.
#[derive(Debug)]
pub(super) struct Try {
    /// Where its body begins, and ends once it has.
    start: CodeUnit,
    end: CodeUnit,
    /// What a `try_table` catches, and the labels.
    clauses: Vec<Clause>,
}

#[derive(Clone, Copy, Debug)]
struct Clause {
    tag: Option<TagIndex>,
    by_reference: bool,
    label: LabelIndex,
}

impl Body<'_> {
    pub(super) fn exception_operator(&mut self, operator: Exception) -> Outcome {
        use Exception as O;
        match &operator {
            O::TryTable { try_table } => self.begin_try_table(try_table)?,
            O::Try { blockty } => self.begin_try(*blockty, Vec::new(), Kind::Try)?,
            O::Catch { tag_index } => self.begin_catch(Some(*tag_index))?,
            O::CatchAll => self.begin_catch(None)?,
            O::Delegate { relative_depth } => self.end_delegate(*relative_depth)?,
            O::Throw { tag_index } => self.throw(*tag_index)?,
            O::ThrowRef => {
                let exception = self.pop_far()?;
                self.throw_ref(exception);
            }
            O::Rethrow { relative_depth } => {
                let frame = self.frame(*relative_depth)?;
                let base = self.b.frames[frame.index()].base;
                let exception = Far(self.slot_at(base));
                self.throw_ref(exception);
            }
        }
        Ok(())
    }

    /// The innermost block that is open.
    fn innermost(&self) -> FrameIndex {
        FrameIndex::from_usize(self.b.frames.len() - 1)
    }

    fn tag_types(&self, tag: Option<TagIndex>) -> Outcome<&[ValType]> {
        let Some(tag) = tag else { return Ok(&[]) };
        let ty = self.env.info.tags.get(tag).copied();
        let ty = ty.ok_or_else(|| TranslateError::new("there is no such tag"))?;
        Ok(self.signature(ty)?.params())
    }

    fn begin_try_table(&mut self, table: &TryTable) -> Outcome {
        let clauses = table.catches.iter().map(|catch| {
            let (tag, by_reference, label) = match *catch {
                Catch::One { tag, label } => (Some(tag), false, label),
                Catch::OneRef { tag, label } => (Some(tag), true, label),
                Catch::All { label } => (None, false, label),
                Catch::AllRef { label } => (None, true, label),
            };
            Clause {
                tag: tag.map(TagIndex::from_u32),
                by_reference,
                label: LabelIndex::from_u32(label),
            }
        });
        self.begin_try(table.ty, clauses.collect(), Kind::TryTable)
    }

    fn begin_try(&mut self, ty: BlockType, clauses: Vec<Clause>, kind: Kind) -> Outcome {
        self.flush();
        // Nothing before the block becomes one instruction with what is inside of it.
        self.separate();
        let start = self.b.here();
        self.b.tries.push(Try { start, end: start, clauses });
        self.begin(kind, ty)
    }

    /// What `end` does first for a block of these kinds.
    pub(super) fn end_try(&mut self) -> Outcome {
        let Frame { kind, shape, base, mut exits, .. } = *self.top()?;
        match kind {
            Kind::TryTable => {
                let Some(Try { start, clauses, .. }) = self.b.tries.pop() else { return Ok(()) };
                if clauses.is_empty() {
                    return Ok(());
                }
                if self.reachable {
                    self.settle(shape)?;
                    self.jump(&mut exits);
                    self.top()?.exits = exits;
                }
                let body = start..self.b.here();
                for clause in clauses {
                    self.land(body.clone(), base, clause)?;
                    let label = self.frame(LabelIndex::from_u32(1 + clause.label.as_u32()))?;
                    self.branch(label)?;
                }
                self.reachable = false;
                Ok(())
            }
            Kind::Try => {
                self.b.tries.pop();
                Ok(())
            }
            Kind::Catch => {
                self.b.tries.pop();
                self.leave_catch()
            }
            _ => Ok(()),
        }
    }

    /// Begins the code of a handler of a `try_table`: its values, and the reference, are operands.
    fn land(
        &mut self,
        body: std::ops::Range<CodeUnit>,
        base: OperandIndex,
        clause: Clause,
    ) -> Outcome {
        self.truncate(base);
        self.separate();
        let values = self.height;
        let types = self.tag_types(clause.tag)?.to_vec();
        self.push_types(&types);
        let reference = clause.by_reference.then(|| self.push_temp());
        self.handler(body, clause.tag, values, reference);
        self.reachable = true;
        Ok(())
    }

    fn handler(
        &mut self,
        body: std::ops::Range<CodeUnit>,
        tag: Option<TagIndex>,
        values: FrameSlot,
        reference: Option<FrameSlot>,
    ) {
        let target = self.b.here();
        let handler = Handler { target, tag, values, reference };
        self.b.handlers.push(HandlerEntry::catch(body, self.innermost(), handler));
    }

    fn begin_catch(&mut self, tag: Option<TagIndex>) -> Outcome {
        let Frame { kind, shape, base, mut exits, .. } = *self.top()?;
        match kind {
            Kind::Try => {
                if self.reachable {
                    self.settle(shape)?;
                    self.jump(&mut exits);
                    self.top()?.exits = exits;
                }
                let end = self.b.here();
                if let Some(block) = self.b.tries.last_mut() {
                    block.end = end;
                }
                self.top()?.kind = Kind::Catch;
            }
            Kind::Catch => self.leave_catch()?,
            _ => return Err(TranslateError::new("catch without try")),
        }
        let body = self.b.tries.last().map(|block| block.start..block.end);
        let body = body.unwrap_or(CodeUnit::FIRST..CodeUnit::FIRST);
        self.truncate(base);
        self.separate();
        let caught = self.push_temp();
        let values = self.height;
        let types = self.tag_types(tag)?.to_vec();
        self.push_types(&types);
        self.handler(body, tag, values, Some(caught));
        self.reachable = true;
        Ok(())
    }

    /// Leaves a handler with the block's results, if this point is reached. They go below what was caught.
    fn leave_catch(&mut self) -> Outcome {
        if self.reachable {
            let frame = self.innermost();
            if !self.in_place(frame)? {
                self.move_operands(frame)?;
            }
            let mut exits = self.top()?.exits;
            self.jump(&mut exits);
            self.top()?.exits = exits;
            self.reachable = false;
        }
        Ok(())
    }

    /// Ends a `try` that leaves what is thrown in it to another block.
    fn end_delegate(&mut self, label: LabelIndex) -> Outcome {
        let block = self.innermost();
        if let Some(attempt) = self.b.tries.last() {
            let body = attempt.start..self.b.here();
            let to = block.as_u32().saturating_sub(1 + label.as_u32());
            let to = FrameIndex::from_u32(to);
            self.b.handlers.push(HandlerEntry::delegate(body, block, to));
        }
        self.end()
    }

    fn throw(&mut self, tag: TagIndex) -> Outcome {
        let count = self.tag_types(Some(tag))?.len();
        let start = self.below(count)?;
        self.flush_from(start);
        let (first, top) = (Far(self.slot_at(start)), self.free());
        self.append(op::throw { tag: U32(tag.as_u32()), top, first });
        self.reachable = false;
        Ok(())
    }

    fn throw_ref(&mut self, exception: Far) {
        let top = self.free();
        self.append(op::throw_ref { top, exception });
        self.reachable = false;
    }
}
