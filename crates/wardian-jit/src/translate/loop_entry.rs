//! Code that begins at a loop, with the state of an interpreted frame at the loop's header.
//!
//! ```text
//!   entry: locals of the frame            the function as ever, from its beginning, which nothing
//!     │                                     reaches; but loops around the entered one do
//!     v                                     │
//!   operands of the frame ──> loop header <─┘
//! ```
//!
//! Operands that are on the stack when the loop begins have then two origins, and blocks around the loop are
//! reached with either. In the blocks that enclose the loop they are variables, like locals:
//! [`Translator::pin`] makes one of an operand when a block above it opens, and where paths meet
//! [`Translator::renew_pinned`] reads them. Everything else is defined on each path that leads to it.

use super::env::{Env, clif_type};
use super::state::{Fail, Outcome, Translator};
use cranelift_codegen::ir::{
    Block, BlockArg, Endianness, InstBuilder, MemFlagsData, Type, Value, types,
};
use cranelift_frontend::Variable;
use wardian_types::{CodeOffset, IndexVec, LocalIndex, ModuleOffset, OperandIndex, ValType};
use wardian_vm::interpreted::{FrameLayout, FrameSlot};
use wasmparser::{FunctionBody, Operator};

/// The state of such a translation.
pub(super) struct LoopEntry {
    shape: Surroundings,
    /// The interpreted frame.
    frame: Value,
    /// Where the frame's operand stack begins.
    stack: FrameSlot,
    /// The block that loads the operands, until it is written.
    operands: Option<Block>,
    /// Variables of the lowest operands.
    pinned: IndexVec<OperandIndex, Variable>,
}

/// What a look ahead finds out.
struct Surroundings {
    /// The loop.
    target: CodeOffset,
    /// The blocks around it, and itself, in order.
    enclosing: Vec<CodeOffset>,
    /// The locals that are read anywhere.
    read: IndexVec<LocalIndex, bool>,
}

impl Translator<'_, '_> {
    /// Begins the code: loads locals, and continues with the dead beginning of the function.
    pub(super) fn begin_at_loop(&mut self, body: &FunctionBody<'_>, target: CodeOffset) -> Outcome {
        let params = self.ty.params();
        let locals: IndexVec<LocalIndex, ValType> = self.locals.types().collect();
        let shape = Surroundings::read(body, self.env, target, locals.len())?;
        let declared = LocalIndex::from_usize(params.len());
        let layout = FrameLayout::new(params, locals[declared..].iter().copied());
        let entry = self.b.current_block().ok_or_else(|| Fail("no entry block".into()))?;
        let frame = self.b.block_params(entry)[1];
        if !self.env.tunables.signals {
            self.check_stack();
        }
        for (local, _) in shape.read.enumerated().filter(|(_, read)| **read) {
            let variable = self.local(local)?;
            let value = self.load_slot(clif_type(locals[local]), frame, layout.locals[local]);
            self.b.def_var(variable, value);
        }
        let (operands, dead) = (self.b.create_block(), self.b.create_block());
        self.b.ins().jump(operands, &[]);
        self.b.seal_block(operands);
        self.enter(dead);
        let (stack, operands) = (layout.stack, Some(operands));
        self.loop_entry =
            Some(LoopEntry { shape, frame, stack, operands, pinned: IndexVec::new() });
        Ok(())
    }

    /// Whether the block that the current operator opens is, or is around, the loop that code begins
    /// at.
    pub(super) fn encloses_loop_entry(&self) -> bool {
        let entry = self.loop_entry.as_ref();
        entry.is_some_and(|entry| entry.shape.enclosing.binary_search(&self.offset).is_ok())
    }

    /// Makes variables of the operands below `height`, if such a block is about to be opened there.
    pub(super) fn pin(&mut self, height: OperandIndex) -> Outcome {
        if !self.encloses_loop_entry() {
            return Ok(());
        }
        let Some(entry) = &mut self.loop_entry else { return Ok(()) };
        if height > self.stack.next_index() || height < entry.pinned.next_index() {
            return Err(Fail("blocks around the loop do not nest".into()));
        }
        for value in &self.stack[entry.pinned.next_index()..height] {
            let variable = self.b.declare_var(self.b.func.dfg.value_type(*value));
            if self.references.contains(value) {
                self.b.declare_var_needs_stack_map(variable);
            }
            self.b.def_var(variable, *value);
            entry.pinned.push(variable);
        }
        Ok(())
    }

    /// Reads the lowest operands again, where paths have met.
    pub(super) fn renew_pinned(&mut self, height: OperandIndex) {
        let Some(entry) = &self.loop_entry else { return };
        for (value, variable) in
            self.stack.iter_mut().zip(&entry.pinned[OperandIndex::FIRST..height])
        {
            let renewed = self.b.use_var(*variable);
            if self.references.contains(value) {
                self.references.insert(renewed);
            }
            *value = renewed;
        }
    }

    /// A block was closed: operands that no open block protects can be taken again.
    pub(super) fn unpin(&mut self, encloses_entry: bool) {
        let height = self.frames.last().map_or(OperandIndex::FIRST, |frame| frame.height);
        if let Some(entry) = self.loop_entry.as_mut().filter(|_| encloses_entry) {
            entry.pinned.truncate(height);
        }
    }

    /// Where the loop that code begins at is translated: loads the operands, goes to its header.
    pub(super) fn enter_at_loop(&mut self, header: Block, height: OperandIndex) {
        let Some(entry) = &mut self.loop_entry else { return };
        if entry.shape.target != self.offset {
            return;
        }
        let Some(block) = entry.operands.take() else { return };
        let (frame, mut slot) = (entry.frame, entry.stack);
        let pinned = entry.pinned.clone();
        let mut args = Vec::new();
        self.b.switch_to_block(block);
        for i in self.stack.indices() {
            let ty = self.b.func.dfg.value_type(self.stack[i]);
            let value = self.load_slot(ty, frame, slot);
            if self.references.contains(&self.stack[i]) {
                self.note_reference(value);
            }
            slot = slot.add(if ty == types::I8X16 { 2 } else { 1 });
            match pinned.get(i).filter(|_| i < height) {
                Some(variable) => self.b.def_var(*variable, value),
                None => args.push(BlockArg::Value(value)),
            }
        }
        self.b.ins().jump(header, &args);
    }

    /// Errs if the loop was not found where code can be reached.
    pub(super) fn check_loop_entered(&self) -> Outcome {
        match &self.loop_entry {
            Some(LoopEntry { operands: Some(_), .. }) => {
                Err(Fail("the loop to begin at is never reached".into()))
            }
            _ => Ok(()),
        }
    }

    /// Slots of 64 bits have no greater alignment, whatever they hold.
    fn load_slot(&mut self, ty: Type, frame: Value, slot: FrameSlot) -> Value {
        let flags = MemFlagsData::new().with_notrap().with_endianness(Endianness::Little);
        self.b.ins().load(ty, flags, frame, slot.bytes_from_fp())
    }
}

impl Surroundings {
    fn read(
        body: &FunctionBody<'_>,
        env: &Env<'_>,
        target: CodeOffset,
        locals: usize,
    ) -> Outcome<Surroundings> {
        let mut read: IndexVec<LocalIndex, bool> = vec![false; locals].into();
        let (mut open, mut enclosing) = (Vec::new(), None);
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let offset = env.info.code_offset(ModuleOffset::from_u64(reader.original_position()));
            match reader.read()? {
                Operator::Block { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. }
                | Operator::Try { .. } => open.push(offset),
                Operator::Loop { .. } => {
                    open.push(offset);
                    if offset == target {
                        enclosing = Some(open.clone());
                    }
                }
                Operator::End | Operator::Delegate { .. } => drop(open.pop()),
                Operator::LocalGet { local_index } => {
                    let read = read.get_mut(LocalIndex::from_u32(local_index));
                    *read.ok_or_else(|| Fail(format!("there is no local {local_index}")))? = true;
                }
                _ => {}
            }
        }
        let enclosing = enclosing.ok_or_else(|| Fail(format!("there is no loop at {target}")))?;
        Ok(Surroundings { target, enclosing, read })
    }
}
