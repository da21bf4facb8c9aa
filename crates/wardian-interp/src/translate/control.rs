//! Blocks, branches and returns.

use super::emit::Chain;
use super::stack::{Entry, Value};
use super::{Body, Outcome};
use crate::op::{self, Opcode};
use crate::operand::{Branch, D, Far, I32, S, U16, U32, U64};
use crate::translation::{CodeUnit, FrameIndex, TranslateError};
use wardian_module::operators::Control;
use wardian_types::{LabelIndex, OperandIndex, TrapCode, TypeIndex, ValType};
use wardian_vm::interpreted::{FrameSlot, frame};
use wasmparser::{BlockType, BrTable, Operator};

/// What a block takes and gives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Empty,
    Result(ValType),
    Type(TypeIndex),
    /// As the function's.
    Function,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Function,
    Block,
    /// Where its header stands.
    Loop(CodeUnit),
    /// The part before an `else`, and who jumps to the other part.
    If(Chain),
    Else,
    TryTable,
    /// The body of a `try`.
    Try,
    /// What comes after a `catch` of it.
    Catch,
}

/// A block that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// The lowest of the block's parameters, or of what comes where they would be.
    pub(super) base: OperandIndex,
    /// Who jumps to its end.
    pub(super) exits: Chain,
    /// Who jumps to the stub of the table of branches that is being made.
    stub: Chain,
}

/// The frame to which a stub branches.
pub(super) type Stub = FrameIndex;

impl<'a> Body<'a> {
    /// What a function does before its first operator.
    pub(super) fn prologue(&mut self, locals: i32) {
        let (first, count) = (Far(FrameSlot::from_i32(frame::HEADER as i32)), U32(locals as u32));
        if self.env.options.tiering {
            self.append(op::enter_hot { first, count });
        } else if locals > 0 {
            self.append(op::enter { first, count });
        }
        self.check_fuel();
        self.open(Kind::Function, Shape::Function, OperandIndex::FIRST);
    }

    fn check_fuel(&mut self) {
        if self.env.options.fuel {
            self.append(op::check_fuel { top: Far(self.height) });
            self.safepoint();
        }
    }

    pub(super) fn operator(&mut self, operator: Operator<'_>) -> Outcome {
        if self.b.frames.is_empty() {
            return Err(TranslateError::new("there is code after the end of the body"));
        }
        if !self.reachable {
            return self.dead_operator(operator);
        }
        if self.env.options.fuel {
            let fuel = self.meter.step(&operator);
            if fuel > 0 {
                self.append(op::charge { fuel: U32(fuel) });
            }
        }
        self.live_operator(operator)
    }

    /// An operator that is never executed: only where blocks begin and end matters.
    fn dead_operator(&mut self, operator: Operator<'_>) -> Outcome {
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => {
                self.dead_depth += 1;
            }
            Operator::Catch { .. } | Operator::CatchAll | Operator::Delegate { .. }
                if self.dead_depth == 0 =>
            {
                return self.live_operator(operator);
            }
            Operator::Delegate { .. } => self.dead_depth -= 1,
            Operator::Else if self.dead_depth == 0 => self.begin_else()?,
            Operator::End if self.dead_depth == 0 => self.end()?,
            Operator::End => self.dead_depth -= 1,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn control_operator(&mut self, operator: Control<'_>) -> Outcome {
        use Control as O;
        match operator {
            O::Block { blockty } => {
                self.flush();
                self.begin(Kind::Block, blockty)?;
            }
            O::Loop { blockty } => self.begin_loop(blockty)?,
            O::If { blockty } => self.begin_if(blockty)?,
            O::Else => self.begin_else()?,
            O::End => self.end()?,
            O::Br { relative_depth } => {
                let to = self.frame(relative_depth)?;
                self.branch(to)?;
                self.reachable = false;
            }
            O::BrIf { relative_depth } => self.br_if(relative_depth)?,
            O::BrTable { ref targets } => self.br_table(targets)?,
            O::BrOnNull { relative_depth } => self.br_on_null(relative_depth)?,
            O::BrOnNonNull { relative_depth } => self.br_on_non_null(relative_depth)?,
            O::RefAsNonNull => self.as_non_null()?,
            O::Return => {
                self.branch(FrameIndex::FIRST)?;
                self.reachable = false;
            }
            O::Unreachable => self.trap(TrapCode::Unreachable),
        }
        Ok(())
    }

    pub(super) fn trap(&mut self, code: TrapCode) {
        self.append(op::trap { code: U16(code as u16) });
        self.reachable = false;
    }

    fn params(&self, shape: Shape) -> Outcome<&'a [ValType]> {
        match shape {
            Shape::Type(index) => Ok(self.signature(index)?.params()),
            _ => Ok(&[]),
        }
    }

    /// Calls `f` with the types of a block's results.
    fn with_results<T>(&mut self, shape: Shape, f: impl FnOnce(&mut Self, &[ValType]) -> T) -> T {
        match shape {
            Shape::Empty => f(self, &[]),
            Shape::Result(ty) => f(self, &[ty]),
            Shape::Type(index) => {
                let ty = self.env.info.signature(index);
                f(self, ty.map_or(&[], |ty| ty.results()))
            }
            Shape::Function => {
                let ty = self.ty;
                f(self, ty.results())
            }
        }
    }

    fn result_count(&mut self, shape: Shape) -> usize {
        self.with_results(shape, |_, types| types.len())
    }

    fn open(&mut self, kind: Kind, shape: Shape, base: OperandIndex) {
        let (exits, stub) = Default::default();
        self.b.frames.push(Frame { kind, shape, base, exits, stub });
    }

    pub(super) fn begin(&mut self, kind: Kind, ty: BlockType) -> Outcome {
        let shape = match ty {
            BlockType::Empty => Shape::Empty,
            BlockType::Type(ty) => Shape::Result(self.value_type(ty)?),
            BlockType::FuncType(index) => Shape::Type(TypeIndex::from_u32(index)),
        };
        let base = self.below(self.params(shape)?.len())?;
        self.open(kind, shape, base);
        Ok(())
    }

    fn begin_loop(&mut self, ty: BlockType) -> Outcome {
        self.flush();
        self.separate();
        self.safepoint();
        self.point(false, None);
        let header = U32(self.position.as_u32().wrapping_add(1));
        self.begin(Kind::Loop(self.b.here()), ty)?;
        if self.env.options.tiering {
            self.append(op::loop_header_hot { header });
        } else {
            self.append(op::loop_header { header });
        }
        self.check_fuel();
        Ok(())
    }

    fn begin_if(&mut self, ty: BlockType) -> Outcome {
        let condition = self.pop()?;
        if !self.is_flushed() {
            match self.last_defining(condition.slot) {
                // So that comparison and branch are still neighbours.
                Some((start, _)) if condition.value == Value::Temp => {
                    self.before_last(start, Self::flush);
                }
                _ => self.flush(),
            }
        }
        let mut otherwise = Chain::default();
        self.branch_on(&condition, true);
        self.link(&mut otherwise);
        self.begin(Kind::If(otherwise), ty)
    }

    pub(super) fn top(&mut self) -> Outcome<&mut Frame> {
        self.b.frames.last_mut().ok_or_else(|| TranslateError::new("no block is open"))
    }

    /// Brings the results of the innermost block to where all who leave it have them.
    pub(super) fn settle(&mut self, shape: Shape) -> Outcome {
        let count = self.result_count(shape);
        let start = self.below(count)?;
        self.flush_from(start);
        Ok(())
    }

    fn begin_else(&mut self) -> Outcome {
        let Frame { kind, shape, base, mut exits, .. } = *self.top()?;
        let Kind::If(otherwise) = kind else {
            return Err(TranslateError::new("else without if"));
        };
        if self.reachable {
            self.settle(shape)?;
            self.jump(&mut exits);
        }
        let top = self.top()?;
        top.exits = exits;
        top.kind = Kind::Else;
        self.truncate(base);
        let params = self.params(shape)?;
        self.push_types(params);
        self.bind(otherwise);
        self.reachable = true;
        Ok(())
    }

    pub(super) fn end(&mut self) -> Outcome {
        self.end_try()?;
        let Frame { kind, shape, base, exits, .. } = *self.top()?;
        let without_else = matches!(kind, Kind::If(_));
        if without_else || !exits.is_empty() {
            if self.reachable {
                self.settle(shape)?;
            }
            if let Kind::If(otherwise) = kind {
                self.bind(otherwise);
            }
            self.bind(exits);
            self.truncate(base);
            self.with_results(shape, |body, types| body.push_types(types));
            self.reachable = true;
        } else if !self.reachable {
            self.truncate(base);
        }
        if matches!(kind, Kind::Function) && self.reachable {
            self.return_values()?;
        }
        self.b.frames.pop();
        Ok(())
    }

    /// The frame to which a branch goes.
    pub(super) fn frame(&self, depth: LabelIndex) -> Outcome<FrameIndex> {
        let position = self.b.frames.len().checked_sub(1 + depth.index());
        position
            .map(FrameIndex::from_usize)
            .ok_or_else(|| TranslateError::new("a branch goes nowhere"))
    }

    /// How many operands a branch takes along.
    fn arity(&mut self, frame: FrameIndex) -> Outcome<usize> {
        let Frame { kind, shape, .. } = self.b.frames[frame.index()];
        match kind {
            Kind::Loop(_) => Ok(self.params(shape)?.len()),
            _ => Ok(self.result_count(shape)),
        }
    }

    /// Whether the operands of a branch already lie where it takes them.
    pub(super) fn in_place(&mut self, frame: FrameIndex) -> Outcome<bool> {
        let Frame { kind, base, .. } = self.b.frames[frame.index()];
        if matches!(kind, Kind::Function) {
            return Ok(false);
        }
        let count = self.arity(frame)?;
        let start = self.below(count)?;
        let are_temps = self.b.stack[start..].iter().all(|e| e.value == Value::Temp);
        Ok(count == 0 || (start == base && are_temps))
    }

    /// The branch just appended goes to a frame.
    pub(super) fn link_frame(&mut self, frame: FrameIndex) {
        match self.b.frames[frame.index()].kind {
            Kind::Loop(header) => self.link_back(header),
            _ => {
                let mut exits = self.b.frames[frame.index()].exits;
                self.link(&mut exits);
                self.b.frames[frame.index()].exits = exits;
            }
        }
    }

    /// Goes to a frame, with the operands it takes. Those stay noted as they were.
    pub(super) fn branch(&mut self, frame: FrameIndex) -> Outcome {
        if matches!(self.b.frames[frame.index()].kind, Kind::Function) {
            return self.return_values();
        }
        if !self.in_place(frame)? {
            self.move_operands(frame)?;
        }
        self.append(op::br { target: Branch(0) });
        self.link_frame(frame);
        Ok(())
    }

    /// The targets lie below the sources, or are these: going upwards, nothing is overwritten that is
    /// still needed.
    pub(super) fn move_operands(&mut self, frame: FrameIndex) -> Outcome {
        let count = self.arity(frame)?;
        let start = self.below(count)?;
        let mut to = self.slot_at(self.b.frames[frame.index()].base);
        let from = self.slot_at(start);
        if count > 2 && self.b.stack[start..].iter().all(|e| e.value == Value::Temp) {
            self.copy_far(to, from, self.height.slots_from(from));
            return Ok(());
        }
        for operand in OperandIndex::range(start..self.b.stack.next_index()) {
            let entry = self.b.stack[operand];
            self.move_to(to, &entry);
            to = to.add(1 + i32::from(entry.wide));
        }
        Ok(())
    }

    fn br_if(&mut self, depth: LabelIndex) -> Outcome {
        let frame = self.frame(depth)?;
        let condition = self.pop()?;
        if self.in_place(frame)? {
            self.branch_on(&condition, false);
            self.link_frame(frame);
            return Ok(());
        }
        let mut skip = Chain::default();
        self.branch_on(&condition, true);
        self.link(&mut skip);
        self.branch(frame)?;
        self.bind(skip);
        Ok(())
    }

    /// The slot of the topmost operand, a reference, which stays where it is.
    pub(super) fn reference(&mut self) -> Outcome<FrameSlot> {
        let top = self.below(1)?;
        self.flush_from(top);
        Ok(self.slot_at(top))
    }

    /// Branches to a frame if a slot is not zero, or with `negate` if it is, with the operands that the branch
    /// takes.
    pub(super) fn branch_if(
        &mut self,
        frame: FrameIndex,
        slot: FrameSlot,
        negate: bool,
    ) -> Outcome {
        if self.in_place(frame)? {
            self.branch_on_slot(slot, negate);
            self.link_frame(frame);
            return Ok(());
        }
        let mut skip = Chain::default();
        self.branch_on_slot(slot, !negate);
        self.link(&mut skip);
        self.branch(frame)?;
        self.bind(skip);
        Ok(())
    }

    /// The branch does not take the reference; without the branch it stays on the operand stack.
    fn br_on_null(&mut self, depth: LabelIndex) -> Outcome {
        let frame = self.frame(depth)?;
        let reference = self.pop()?;
        let slot = self.slot_of(&reference);
        self.branch_if(frame, slot, true)?;
        self.push_again(&reference)
    }

    /// The branch takes the reference; without the branch it is dropped.
    fn br_on_non_null(&mut self, depth: LabelIndex) -> Outcome {
        let frame = self.frame(depth)?;
        let slot = self.reference()?;
        self.branch_if(frame, slot, false)?;
        self.pop()?;
        Ok(())
    }

    fn as_non_null(&mut self) -> Outcome {
        let a = Far(self.top_slot()?);
        self.append(op::trap_if_null { a, code: U16(TrapCode::NullReference as u16) });
        Ok(())
    }

    fn br_table(&mut self, targets: &BrTable<'_>) -> Outcome {
        let entry = self.pop()?;
        let sum = self.last_sum(&entry);
        let index = Far(sum.map_or_else(|| self.slot_of(&entry), |(a, _)| a.0));
        let default = self.frame(LabelIndex::from_u32(targets.default()))?;
        let count = self.arity(default)?;
        let start = self.below(count)?;
        self.flush_from(start);
        let count = U32(targets.len());
        match sum {
            Some((_, by)) => self.append(op::br_table_plus { index, by, count }),
            None => self.append(op::br_table { index, count }),
        }
        self.b.stubs.clear();
        for depth in targets.targets() {
            let frame = self.frame(LabelIndex::from_u32(depth?))?;
            self.table_entry(frame)?;
        }
        self.table_entry(default)?;
        for i in 0..self.b.stubs.len() {
            let frame = self.b.stubs[i];
            let stub = std::mem::take(&mut self.b.frames[frame.index()].stub);
            self.bind(stub);
            self.branch(frame)?;
        }
        self.reachable = false;
        Ok(())
    }

    /// Takes back the addition of a constant that made this operand just now, and tells what it added to
    /// what.
    pub(super) fn last_sum(&mut self, entry: &Entry) -> Option<(S, I32)> {
        if entry.value != Value::Temp || self.is_far() {
            return None;
        }
        let (start, Opcode::i32_add_imm) = self.last_defining(entry.slot)? else { return None };
        let op::i32_add_imm { a, b, .. } = self.read(start);
        self.retract(start);
        Some((a, b))
    }

    fn table_entry(&mut self, frame: FrameIndex) -> Outcome {
        let in_place = self.in_place(frame)?;
        self.append(op::br { target: Branch(0) });
        if in_place {
            self.link_frame(frame);
            return Ok(());
        }
        let mut stub = self.b.frames[frame.index()].stub;
        if stub.is_empty() {
            self.b.stubs.push(frame);
        }
        self.link(&mut stub);
        self.b.frames[frame.index()].stub = stub;
        Ok(())
    }

    /// Returns the topmost operands.
    fn return_values(&mut self) -> Outcome {
        let results = self.ty.results();
        let start = self.below(results.len())?;
        let to = Far(FrameSlot::from_i32(-self.params));
        match self.b.stack[start..] {
            [] => self.append(op::return_none { to }),
            [Entry { value: Value::Const(bits), .. }] => {
                self.append(op::return_const { to, value: U64(bits) });
            }
            [entry] if !entry.wide && !self.is_far() => {
                let value = S(self.slot_of(&entry));
                self.append(op::return_one { to, value });
            }
            _ => {
                let from = self.slot_at(start);
                for operand in OperandIndex::range(start..self.b.stack.next_index()) {
                    let entry = self.b.stack[operand];
                    self.move_to(entry.slot, &entry);
                }
                let count = U32(self.height.slots_from(from) as u32);
                self.append(op::return_many { to, from: Far(from), count });
            }
        }
        Ok(())
    }

    pub(super) fn select(&mut self) -> Outcome {
        let condition = self.pop_slot()?;
        let (b, a) = (self.pop()?, self.pop()?);
        let (b_slot, a_slot) = (self.slot_of(&b), self.slot_of(&a));
        if a.wide {
            let d = crate::operand::DW(self.push_wide());
            let (a, b) = (crate::operand::SW(a_slot), crate::operand::SW(b_slot));
            self.emit(op::select_wide { d, a, b, cond: condition });
        } else {
            let d = D(self.push_temp());
            self.emit(op::select { d, a: S(a_slot), b: S(b_slot), cond: condition });
            if a.traced || b.traced {
                self.mark_reference();
            }
        }
        Ok(())
    }
}
