//! Structured control flow, and the loop that reads a body.
//!
//! A block's results are parameters of the Cranelift block where it ends, a loop's parameters are
//! parameters of its header. What else is on the operand stack needs no parameters: those values
//! are defined above and stay valid. Code that cannot be reached is skipped, counting its blocks.

use super::capture::Homes;
use super::env::{Env, clif_type};
use super::exceptions::{Branches, Legacy};
use super::state::{Fail, Outcome, Translated, Translator};
use super::unroll::Copies;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, SourceLoc, Value};
use cranelift_frontend::FunctionBuilder;
use wardian_module::operators::{Control, Group};
use wardian_types::{
    CodeOffset, DefinedFuncIndex, FuncType, LabelIndex, LocalIndex, ModuleOffset, OperandIndex,
    TagIndex, TrapCode, TypeIndex, ValType,
};
use wasmparser::{BlockType, FunctionBody, Operator};

/// What a block takes and gives.
#[derive(Clone)]
pub(super) enum Shape {
    Empty,
    Result(ValType),
    Type(FuncType),
}

impl Shape {
    pub(super) fn params(&self) -> &[ValType] {
        match self {
            Shape::Type(ty) => ty.params(),
            _ => &[],
        }
    }

    pub(super) fn results(&self) -> &[ValType] {
        match self {
            Shape::Empty => &[],
            Shape::Result(ty) => std::slice::from_ref(ty),
            Shape::Type(ty) => ty.results(),
        }
    }
}

pub(super) enum Kind {
    /// The body itself; its results are the function's.
    Function,
    Block,
    Loop(Copies),
    /// The part of an `if` before its `else`.
    If {
        otherwise: Block,
        /// The block's parameters, for the other part.
        params: Vec<Value>,
    },
    /// The part after the `else`.
    Else,
    TryTable(Branches),
    /// The body of a `try`.
    Try,
    /// What comes after a `catch` of it.
    Catch(Legacy),
}

wardian_types::index_types! {
    /// A block while it is open, by how many are around it.
    pub(super) struct FrameIndex;
}

/// A block that is open.
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// Where the block ends; results are its parameters.
    exit: Block,
    exit_used: bool,
    /// Whether the loop that code begins at is in this block, or is it.
    pub(super) encloses_entry: bool,
    /// The lowest of the block's parameters, or of what comes where they would be.
    pub(super) height: OperandIndex,
    /// The cells that are up to date where the block begins, and on all paths to its end so far.
    homes_at_start: Homes,
    pub(super) homes_at_end: Option<Homes>,
}

impl Frame {
    /// How many values a branch to this block carries.
    fn branch_arity(&self) -> usize {
        match self.kind {
            Kind::Loop(_) => self.shape.params().len(),
            _ => self.shape.results().len(),
        }
    }
}

impl<'a, 'f> Translator<'a, 'f> {
    /// Translates a body. `code_section` is where code offsets count from.
    pub(crate) fn translate(
        env: &'a Env<'a>,
        builder: FunctionBuilder<'f>,
        ty: &'a FuncType,
        defined: DefinedFuncIndex,
        body: &FunctionBody<'_>,
        loop_entry: Option<CodeOffset>,
    ) -> Outcome<Translated<'f>> {
        let mut t = Translator::start(env, builder, ty, defined);
        let mut reader = body.get_locals_reader()?;
        let runs = reader.get_count();
        t.locate(ModuleOffset::from_u64(body.range().start));
        if loop_entry.is_none() {
            t.prologue()?;
        } else {
            t.locals.add_params(ty)?;
        }
        for _ in 0..runs {
            let (count, ty) = reader.read()?;
            t.locals.add(count, t.value_type(ty)?)?;
        }
        let mut reader = wasmparser::OperatorsReader::new(reader.get_binary_reader());
        t.begin_capture(body)?;
        match loop_entry {
            None => {
                t.zero_locals()?;
                t.locate(ModuleOffset::from_u64(reader.original_position()));
                t.poll_at_start(reader.clone().read().ok().as_ref())?;
            }
            Some(offset) => {
                t.begin_at_loop(body, offset)?;
                t.open(Kind::Function, Shape::Type(ty.clone()), OperandIndex::FIRST);
            }
        }
        // Where the body begins of the loop that is unrolled.
        let mut body_start = None;
        while !reader.eof() {
            let position = ModuleOffset::from_u64(reader.original_position());
            let op = reader.read()?;
            t.locate(position);
            t.look_ahead(&op, body)?;
            if matches!(op, Operator::Loop { .. }) {
                t.more_copies = t.copies_to_add(&reader);
                body_start = (t.more_copies > 0).then(|| reader.clone());
            }
            t.operator(op)?;
            if std::mem::take(&mut t.repeats) {
                reader
                    .clone_from(body_start.as_ref().ok_or_else(|| Fail("no loop is open".into()))?);
            }
        }
        if !t.frames.is_empty() {
            return Err(Fail("the body does not end".into()));
        }
        t.check_loop_entered()?;
        let points = t.end_capture();
        let scopes = t.entries.into_iter().map(|entry| entry.table).collect();
        let inlined = t.inlining.into_table();
        Ok(Translated { builder: t.b, scopes, points, inlined })
    }

    pub(super) fn locate(&mut self, position: ModuleOffset) {
        self.position = position;
        self.offset = self.env.info.code_offset(position);
        let shown = self.inlining.shown(self.offset);
        self.b.set_srcloc(SourceLoc::new(shown.as_u32()));
    }

    fn prologue(&mut self) -> Outcome {
        let entry = self.b.current_block().ok_or_else(|| Fail("no entry block".into()))?;
        let params = self.b.block_params(entry).to_vec();
        for (i, ty) in self.ty.params().iter().enumerate() {
            self.locals.add(1, *ty)?;
            let variable = self.local(LocalIndex::from_u32(i as u32))?;
            self.b.def_var(variable, params[i + 1]);
        }
        if !self.env.tunables.signals {
            self.check_stack();
            self.poll();
        }
        self.check_fuel();
        let shape = Shape::Type(self.ty.clone());
        self.open(Kind::Function, shape, OperandIndex::FIRST);
        Ok(())
    }

    pub(super) fn operator(&mut self, op: Operator<'_>) -> Outcome {
        if self.frames.is_empty() {
            return Err(Fail("there is code after the end of the body".into()));
        }
        if !self.reachable {
            return self.dead_operator(&op);
        }
        self.burn_fuel(&op);
        match Group::from(op) {
            Group::Local(op) => self.local_operator(op),
            Group::Global(op) => self.global_operator(op),
            Group::Control(op) => self.control_operator(op),
            Group::Call(op) => self.call_operator(op),
            Group::Exception(op) => self.exception_operator(op),
            Group::Memory(op) => self.memory_operator(op),
            Group::Bulk(op) => self.bulk_operator(op),
            Group::Table(op) => self.table_operator(op),
            Group::Integer(op) => self.integer_operator(op),
            Group::Comparison(op) => self.comparison_operator(op),
            Group::Float(op) => self.float_operator(op),
            Group::Conversion(op) => self.conversion_operator(op),
            Group::Object(op) => self.object_operator(op),
            Group::Array(op) => self.array_operator(op),
            Group::Cast(op) => self.cast_operator(op),
            Group::Atomic(op) => self.atomic_operator(op),
            Group::AtomicUpdate(op) => self.atomic_update_operator(op),
            Group::VectorMemory(op) => self.vector_memory_operator(op),
            Group::Lane(op) => self.lane_operator(op),
            Group::VectorBits(op) => self.vector_bit_operator(op),
            Group::VectorComparison(op) => self.vector_comparison_operator(op),
            Group::VectorInteger(op) => self.vector_integer_operator(op),
            Group::VectorFloat(op) => self.vector_float_operator(op),
            Group::VectorWidening(op) => self.vector_widening_operator(op),
            Group::VectorConversion(op) => self.vector_conversion_operator(op),
            Group::VectorRelaxed(op) => self.vector_relaxed_operator(op),
            Group::Unsupported(op) => Err(Fail(format!("{op:?} is not supported"))),
        }
    }

    /// An operator that is never executed: only where blocks begin and end matters.
    fn dead_operator(&mut self, op: &Operator<'_>) -> Outcome {
        match op {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => {
                self.dead_depth += 1;
                Ok(())
            }
            Operator::Else if self.dead_depth == 0 => self.begin_else(),
            Operator::Catch { tag_index } if self.dead_depth == 0 => {
                self.begin_catch(Some(TagIndex::from_u32(*tag_index)))
            }
            Operator::CatchAll if self.dead_depth == 0 => self.begin_catch(None),
            Operator::End | Operator::Delegate { .. } if self.dead_depth == 0 => self.end(),
            Operator::End | Operator::Delegate { .. } => {
                self.dead_depth -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn control_operator(&mut self, operator: Control<'_>) -> Outcome {
        use Control as O;
        match &operator {
            O::Unreachable => {
                self.cool_block();
                self.trap(TrapCode::Unreachable);
                self.reachable = false;
            }
            O::Block { blockty } => {
                let shape = self.shape(*blockty)?;
                let height = self.height_below(shape.params().len())?;
                self.pin(height)?;
                self.open(Kind::Block, shape, height);
            }
            O::Loop { blockty } => self.begin_loop(*blockty)?,
            O::If { blockty } => self.begin_if(*blockty)?,
            O::Else => self.begin_else()?,
            O::End => self.end()?,
            O::Br { relative_depth } => self.br(*relative_depth)?,
            O::BrIf { relative_depth } => self.br_if(*relative_depth)?,
            O::BrTable { targets } => self.br_table(targets)?,
            O::BrOnNull { relative_depth } => self.br_on_null(*relative_depth)?,
            O::BrOnNonNull { relative_depth } => self.br_on_non_null(*relative_depth)?,
            O::RefAsNonNull => {
                let reference = self.pop()?;
                self.trap_if_zero(reference, TrapCode::NullReference);
                self.push(reference);
            }
            O::Return => {
                let depth = self.frames.len() as u32 - 1;
                self.br(LabelIndex::from_u32(depth))?;
            }
        }
        Ok(())
    }

    pub(super) fn shape(&self, ty: BlockType) -> Outcome<Shape> {
        Ok(match ty {
            BlockType::Empty => Shape::Empty,
            BlockType::Type(ty) => Shape::Result(self.value_type(ty)?),
            BlockType::FuncType(i) => Shape::Type(self.signature(TypeIndex::from_u32(i))?.clone()),
        })
    }

    /// The type of a local or of a block's result.
    pub(super) fn value_type(&self, ty: wasmparser::ValType) -> Outcome<ValType> {
        self.env.info.val_type(ty).map_err(|e| Fail(e.to_string()))
    }

    pub(super) fn signature(&self, index: TypeIndex) -> Outcome<&'a FuncType> {
        let ty = self.env.info.signature(index);
        ty.ok_or_else(|| Fail(format!("there is no type {index}")))
    }

    pub(super) fn open(&mut self, kind: Kind, shape: Shape, height: OperandIndex) {
        let exit = self.b.create_block();
        for ty in shape.results() {
            let value = self.b.append_block_param(exit, clif_type(*ty));
            self.note_type(*ty, value);
        }
        let encloses_entry = self.encloses_loop_entry();
        let (homes_at_start, homes_at_end) = (self.homes(), None);
        self.frames.push(Frame {
            kind,
            shape,
            exit,
            exit_used: false,
            encloses_entry,
            height,
            homes_at_start,
            homes_at_end,
        });
    }

    /// The topmost operands as arguments of a branch.
    pub(super) fn branch_args(&self, count: usize) -> Outcome<Vec<BlockArg>> {
        let start = self.height_below(count)?;
        Ok(self.stack[start..].iter().map(|v| BlockArg::Value(*v)).collect())
    }

    fn begin_loop(&mut self, ty: BlockType) -> Outcome {
        let shape = self.shape(ty)?;
        let height = self.height_below(shape.params().len())?;
        let args = self.branch_args(shape.params().len())?;
        let header = self.loop_header(&shape);
        self.pin(height)?;
        self.store_ahead_of_loop()?;
        self.b.ins().jump(header, &args);
        self.enter_at_loop(header, height);
        self.b.switch_to_block(header);
        self.restack(height, header, self.encloses_loop_entry());
        self.begin_loop_homes(height, self.encloses_loop_entry());
        self.poll_at_loop()?;
        if !self.env.tunables.signals {
            self.poll();
        }
        self.check_fuel();
        let copies = self.begin_copies(header, &shape);
        self.open(Kind::Loop(copies), shape, height);
        Ok(())
    }

    /// A block that a loop's parameters are parameters of.
    pub(super) fn loop_header(&mut self, shape: &Shape) -> Block {
        let header = self.b.create_block();
        for ty in shape.params() {
            let value = self.b.append_block_param(header, clif_type(*ty));
            self.note_type(*ty, value);
        }
        header
    }

    fn begin_if(&mut self, ty: BlockType) -> Outcome {
        let shape = self.shape(ty)?;
        let condition = self.pop()?;
        let height = self.height_below(shape.params().len())?;
        let params = self.stack[height..].to_vec();
        self.pin(height)?;
        let condition = self.condition(condition);
        let (then, otherwise) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, then, &[], otherwise, &[]);
        self.b.seal_block(otherwise);
        self.enter(then);
        self.open(Kind::If { otherwise, params }, shape, height);
        Ok(())
    }

    pub(super) fn top(&mut self) -> Outcome<&mut Frame> {
        self.frames.last_mut().ok_or_else(|| Fail("no block is open".into()))
    }

    /// Leaves the innermost block with its results, if this point is reached.
    pub(super) fn fall_out(&mut self) -> Outcome {
        if self.reachable {
            self.merge_homes(self.innermost());
            let frame = self.top()?;
            frame.exit_used = true;
            let (exit, count) = (frame.exit, frame.shape.results().len());
            let args = self.branch_args(count)?;
            self.b.ins().jump(exit, &args);
        }
        Ok(())
    }

    fn begin_else(&mut self) -> Outcome {
        self.fall_out()?;
        let frame = self.top()?;
        let Kind::If { otherwise, params } = std::mem::replace(&mut frame.kind, Kind::Else) else {
            return Err(Fail("else without if".into()));
        };
        let (height, encloses_entry) = (frame.height, frame.encloses_entry);
        let homes = frame.homes_at_start;
        self.set_homes(homes);
        self.stack.truncate(height);
        self.b.switch_to_block(otherwise);
        if encloses_entry {
            self.renew_pinned(height);
        }
        self.stack.extend(params);
        self.reachable = true;
        Ok(())
    }

    /// The operands where a block begins: those below it, and its parameters.
    fn restack(&mut self, height: OperandIndex, block: Block, encloses_entry: bool) {
        self.stack.truncate(height);
        self.stack.extend(self.b.block_params(block).iter().copied());
        // Variables may become further parameters.
        if encloses_entry {
            self.renew_pinned(height);
        }
    }

    pub(super) fn end(&mut self) -> Outcome {
        if self.begin_next_copy()? {
            return Ok(());
        }
        match self.top()?.kind {
            // Without an else the parameters are the results.
            Kind::If { .. } => self.begin_else()?,
            Kind::TryTable(_) => return self.end_try_table(),
            Kind::Try => drop(self.scopes.pop()),
            // Below its results lies what it has caught.
            Kind::Catch(_) => self.fall_out()?,
            _ => {}
        }
        let frame = self.top()?;
        let last = matches!(frame.kind, Kind::Function);
        let is_catch = matches!(frame.kind, Kind::Catch(_));
        if !frame.exit_used && self.reachable && !is_catch {
            return self.run_on(last);
        }
        if !is_catch {
            self.fall_out()?;
        }
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        if let Kind::Loop(copies) = &frame.kind {
            self.b.seal_block(copies.header());
        }
        self.close(&frame);
        if last && frame.exit_used {
            self.return_values()?;
        }
        Ok(())
    }

    /// Continues behind a block that was just taken off, where branches to its end meet.
    pub(super) fn close(&mut self, frame: &Frame) {
        self.stack.truncate(frame.height);
        self.reachable = frame.exit_used;
        if frame.exit_used {
            self.enter(frame.exit);
            self.restack(frame.height, frame.exit, frame.encloses_entry);
            self.join_homes(frame.homes_at_end, frame.height);
        }
        self.unpin(frame.encloses_entry);
    }

    /// Ends a block that no branch leaves: the code continues where it is.
    fn run_on(&mut self, last: bool) -> Outcome {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        if let Kind::Loop(copies) = &frame.kind {
            self.b.seal_block(copies.header());
        }
        let results = self.height_below(frame.shape.results().len())?;
        if results != frame.height {
            return Err(Fail("a block leaves operands behind".into()));
        }
        self.unpin(frame.encloses_entry);
        if last {
            self.return_values()?;
        }
        Ok(())
    }

    fn return_values(&mut self) -> Outcome {
        let start = self.height_below(self.ty.results().len())?;
        if self.env.tells {
            self.notify_return(start);
        }
        self.b.ins().return_(&self.stack[start..]);
        self.reachable = false;
        Ok(())
    }

    pub(super) fn frame_at(&mut self, depth: LabelIndex) -> Outcome<&mut Frame> {
        let frame = self.frame_index(depth)?;
        Ok(&mut self.frames[frame])
    }

    fn frame_index(&self, depth: LabelIndex) -> Outcome<FrameIndex> {
        let index = (self.frames.len() - 1).checked_sub(depth.index());
        let index = index.ok_or_else(|| Fail("a branch leads out of the function".into()))?;
        Ok(FrameIndex::from_usize(index))
    }

    /// The innermost block that is open.
    fn innermost(&self) -> FrameIndex {
        FrameIndex::from_usize(self.frames.len() - 1)
    }

    /// The block that a branch of this depth goes to, and how many operands it takes.
    pub(super) fn target(&mut self, depth: LabelIndex) -> Outcome<(Block, usize)> {
        let index = self.frame_index(depth)?;
        self.merge_homes(index);
        let frame = &mut self.frames[index];
        let block = match &mut frame.kind {
            Kind::Loop(copies) => copies.target(),
            _ => {
                frame.exit_used = true;
                frame.exit
            }
        };
        Ok((block, frame.branch_arity()))
    }

    pub(super) fn br(&mut self, depth: LabelIndex) -> Outcome {
        if matches!(self.frame_at(depth)?.kind, Kind::Function) {
            return self.return_values();
        }
        let (block, count) = self.target(depth)?;
        let args = self.branch_args(count)?;
        self.b.ins().jump(block, &args);
        self.reachable = false;
        Ok(())
    }

    fn br_if(&mut self, depth: LabelIndex) -> Outcome {
        let condition = self.pop()?;
        let condition = self.condition(condition);
        let (block, count) = self.target(depth)?;
        let args = self.branch_args(count)?;
        let next = self.b.create_block();
        self.b.ins().brif(condition, block, &args, next, &[]);
        self.enter(next);
        Ok(())
    }

    fn br_on_null(&mut self, depth: LabelIndex) -> Outcome {
        let reference = self.pop()?;
        let (block, count) = self.target(depth)?;
        let args = self.branch_args(count)?;
        let next = self.b.create_block();
        self.b.ins().brif(reference, next, &[], block, &args);
        self.enter(next);
        self.push(reference);
        Ok(())
    }

    /// The reference is the last operand that the branch takes along.
    fn br_on_non_null(&mut self, depth: LabelIndex) -> Outcome {
        let (block, count) = self.target(depth)?;
        let args = self.branch_args(count)?;
        let reference = self.pop()?;
        let next = self.b.create_block();
        self.b.ins().brif(reference, block, &args, next, &[]);
        self.enter(next);
        Ok(())
    }
}
