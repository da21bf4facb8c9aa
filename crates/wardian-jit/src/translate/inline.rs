//! Small functions, or what is usual of them, compiled into their callers.
//!
//! ```text
//!   call $f           does anybody listen to a function of the instance? ── yes ──> the call ──┐
//!                       └─ no ──> body of $f ───────────────────────────────────────────────> next
//!                                   └─ gives up ──> the call
//!
//!   call_indirect, call_ref
//!                     is it $f of this instance, and is nobody listening to it? ── yes ──> body of $f ──┐
//!                       └─ no ──> is it $g, …? ── yes ──> body of $g ───────────────────────────────────┤
//!                                   └─ no ──> the call ────────────────────────────────────────────────> next
//! ```
//!
//! **Nothing has to be taken back.** What was assumed is asked again at each call: [`instance::LISTENED`] is positive
//! while somebody listens to a function of the instance; the [identity](func::IDENTITY) of a function's record is zero
//! while somebody listens to it. So frames that are open when a listener comes make the next call as a call, and code
//! stays as it is.
//!
//! **The body can be left by a trap or a signal only**, since it calls nothing and has no loops: where its function would
//! call, the body gives up, and the function is called instead (see [`super::leaf`]). So none of its frames waits
//! for anything: no listener, stack iterator, snapshot, checkpoint or collection meets one. A backtrace or sample that ends
//! in a body has a frame for it: its operators have places of their own ([`Inlined`]).

use super::call::Callee;
use super::capture::Captured;
use super::control::{Frame, FrameIndex, Kind, Shape};
use super::env::clif_type;
use super::leaf::{self, Exits, MOST_BYTES};
use super::loop_entry::LoopEntry;
use super::state::{Fail, Outcome, Region, Translator, user};
use super::variable::Locals;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Value, types};
use wardian_types::{
    DefinedFuncIndex, FuncIndex, FuncType, IndexVec, LocalIndex, ModuleOffset, OperandIndex,
    TrapCode, TypeIndex,
};
use wardian_vm::compiled::{Capture, Inlined, OptLevel, SourceLoc};
use wardian_vm::layout::{func, instance, store_ctx};
use wasmparser::{BinaryReader, FunctionBody};

/// Bytes of all bodies that a function may have in it.
const MOST_BYTES_TOGETHER: u32 = 1000;

/// A function that can be compiled into its callers.
pub(super) struct Leaf<'a> {
    defined: DefinedFuncIndex,
    ty: &'a FuncType,
    body: FunctionBody<'a>,
    exits: Exits,
}

impl Leaf<'_> {
    fn bytes(&self) -> u32 {
        let range = self.body.range();
        (range.end - range.start) as u32
    }
}

/// The state of the caller meanwhile.
struct Outside<'a> {
    ty: &'a FuncType,
    position: ModuleOffset,
    stack: IndexVec<OperandIndex, Value>,
    frames: IndexVec<FrameIndex, Frame>,
    locals: Locals,
    captured: Option<Captured>,
    loop_entry: Option<LoopEntry>,
}

impl<'a> Translator<'a, '_> {
    /// A function of the module as what is compiled into its callers, if it can be.
    pub(super) fn inlinable(&self, function: FuncIndex) -> Option<Leaf<'a>> {
        self.leaf(self.env.info.defined_function(function)?, 0)
    }

    /// The functions that a call through a table or a reference with this type is expected to call, as far as they can be
    /// compiled into their callers.
    fn expected_leaves(&self, type_index: TypeIndex) -> Vec<Leaf<'a>> {
        let (info, calls) = (self.env.info, self.env.expected);
        let from = calls.partition_point(|call| call.0 < self.offset);
        let expected = calls[from..].iter().take_while(|call| call.0 == self.offset);
        let (mut leaves, mut bytes) = (Vec::new(), 0);
        for (_, defined) in expected {
            let ty = info.functions.get(info.func_index(*defined));
            let leaf = self.leaf(*defined, bytes).filter(|_| ty == Some(&type_index));
            if let Some(leaf) = leaf {
                bytes += leaf.bytes();
                leaves.push(leaf);
            }
        }
        leaves
    }

    /// A function as what is compiled into its callers, beside so many bytes of others, if it can be.
    fn leaf(&self, defined: DefinedFuncIndex, beside: u32) -> Option<Leaf<'a>> {
        let tunables = self.env.tunables;
        let wanted = tunables.inlining && tunables.opt_level == OptLevel::Speed && !self.env.tells;
        let info = self.env.info;
        let range = info.bodies.get(defined).filter(|_| wanted)?.clone();
        let fits = range.len() <= MOST_BYTES
            && self.inlining.bytes() + beside + range.len() as u32 <= MOST_BYTES_TOGETHER
            && range.end.saturating_sub(info.code_section) < SourceLoc::INLINED.index();
        let (start, bytes) = (range.start, self.env.bytes.get(range).filter(|_| fits)?);
        let body = FunctionBody::new(BinaryReader::new(bytes, start as u64));
        let ty = info.functions.get(info.func_index(defined)).and_then(|ty| info.signature(*ty))?;
        // Fuel that a body has burned would be burned again.
        let exits = leaf::exits(&body).filter(|exits| exits.is_empty() || !tunables.fuel)?;
        Some(Leaf { defined, ty, body, exits })
    }

    /// A call of a function by its index.
    pub(super) fn inline_or_call(
        &mut self,
        type_index: TypeIndex,
        function: FuncIndex,
        leaf: Leaf<'a>,
    ) -> Outcome {
        let (call, body) =
            (self.block_for_call(std::slice::from_ref(&leaf)), self.b.create_block());
        self.branch_if_asking(call);
        let listened = self.load_trusted(types::I64, Region::Code, self.vmctx, instance::LISTENED);
        let listened = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, listened, 0);
        self.b.ins().brif(listened, call, &[], body, &[]);
        self.bodies(type_index, call, &[(body, leaf)], |t| Ok(t.function(function)))
    }

    /// A call of the function that a reference from a table or from the operand stack is to. A null reference is the trap
    /// `null`; `callee` gives what is called where no body is used.
    pub(super) fn inline_or_call_referred(
        &mut self,
        type_index: TypeIndex,
        reference: Value,
        null: TrapCode,
        callee: impl FnOnce(&mut Self) -> Outcome<Callee>,
    ) -> Outcome {
        let leaves = self.expected_leaves(type_index);
        if leaves.is_empty() {
            let callee = callee(self)?;
            return self.call(type_index, &callee);
        }
        let call = self.block_for_call(&leaves);
        let mut flags = self.trusted(Region::Code);
        if self.env.tunables.signals {
            // A null reference faults here: the first page is never mapped.
            flags = flags.with_trap_code(Some(user(null)));
        } else {
            self.trap_if_zero(reference, null);
        }
        let found = self.b.ins().load(types::I64, flags, reference, func::IDENTITY);
        self.branch_if_asking(call);
        let last = leaves.len() - 1;
        let mut bodies = Vec::with_capacity(leaves.len());
        for (at, leaf) in leaves.into_iter().enumerate() {
            let entry = i64::from(self.env.layout.entry(leaf.defined).as_u32());
            let expected = self.b.ins().iadd_imm_s(self.vmctx, entry);
            let is_this = self.b.ins().icmp(IntCC::Equal, found, expected);
            let otherwise = if at == last { call } else { self.b.create_block() };
            let body = self.b.create_block();
            self.b.ins().brif(is_this, body, &[], otherwise, &[]);
            if at != last {
                self.enter(otherwise);
            }
            bodies.push((body, leaf));
        }
        self.bodies(type_index, call, &bodies, callee)
    }

    /// A block for the call that bodies stand for. It is rare, unless a body has a usual path that calls.
    fn block_for_call(&mut self, leaves: &[Leaf<'a>]) -> Block {
        match leaves.iter().all(|leaf| leaf.exits.are_failures) {
            true => self.cold_block(),
            false => self.b.create_block(),
        }
    }

    /// Continues here unless the condition holds.
    fn branch_unless(&mut self, condition: Value, otherwise: Block) {
        let next = self.b.create_block();
        self.b.ins().brif(condition, otherwise, &[], next, &[]);
        self.enter(next);
    }

    /// Branches to the call if the function would ask the runtime for something where it begins: for more fuel, or
    /// whether a checkpoint is wanted, which loops do not ask where only calls can be captured.
    fn branch_if_asking(&mut self, call: Block) {
        if self.env.tunables.capture == Capture::Calls && self.captured.is_some() {
            let word = self.load_wanted();
            self.branch_unless(word, call);
        }
        if self.env.tunables.fuel {
            let store = self.store_ctx();
            let left = self.load_trusted(types::I64, Region::Store, store, store_ctx::FUEL);
            let is_empty = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, left, 0);
            self.branch_unless(is_empty, call);
        }
    }

    /// Translates the call and the bodies of what it may call, in their blocks.
    fn bodies(
        &mut self,
        type_index: TypeIndex,
        call: Block,
        bodies: &[(Block, Leaf<'a>)],
        callee: impl FnOnce(&mut Self) -> Outcome<Callee>,
    ) -> Outcome {
        let ty = self.signature(type_index)?;
        let start = self.height_below(ty.params().len())?;
        let args = self.stack[start..].to_vec();
        let results = Shape::Type(FuncType::new([], ty.results().iter().copied()));
        let next = self.block_with_results(&results);
        let before = self.homes();
        for (body, leaf) in bodies {
            self.enter(*body);
            self.set_homes(before);
            self.stack.truncate(start);
            if let Some(results) = self.inline(leaf, &args, call)? {
                self.stack.extend(results);
                self.jump_with(next, start);
            }
        }
        self.stack.truncate(start);
        self.stack.extend(args);
        self.enter(call);
        self.set_homes(before);
        let callee = callee(self)?;
        self.call(type_index, &callee)?;
        self.jump_with(next, start);
        // The call has stored what it needs; the bodies have not.
        let after = self.homes();
        self.set_homes(before.and(&after));
        self.stack.truncate(start);
        self.enter(next);
        self.stack.extend(self.b.block_params(next).iter().copied());
        Ok(())
    }

    fn block_with_results(&mut self, shape: &Shape) -> Block {
        let block = self.b.create_block();
        for ty in shape.results() {
            let value = self.b.append_block_param(block, clif_type(*ty));
            self.note_type(*ty, value);
        }
        block
    }

    fn jump_with(&mut self, block: Block, start: OperandIndex) {
        let args: Vec<_> = self.stack[start..].iter().map(|v| BlockArg::Value(*v)).collect();
        self.b.ins().jump(block, &args);
    }

    /// Translates the body of a function in the current block, with branches to the call where it gives up. Returns its
    /// results, if it returns.
    fn inline(
        &mut self,
        leaf: &Leaf<'a>,
        args: &[Value],
        call: Block,
    ) -> Outcome<Option<Vec<Value>>> {
        let outside = Outside {
            ty: std::mem::replace(&mut self.ty, leaf.ty),
            position: self.position,
            stack: std::mem::take(&mut self.stack),
            frames: std::mem::take(&mut self.frames),
            locals: std::mem::take(&mut self.locals),
            captured: self.captured.take(),
            loop_entry: self.loop_entry.take(),
        };
        let start = self.env.info.code_offset(ModuleOffset::from_u64(leaf.body.range().start));
        let (defined, len) = (leaf.defined, leaf.bytes());
        self.inlining.begin(Inlined {
            first: SourceLoc::INLINED,
            len,
            defined,
            start,
            site: self.offset,
        });
        let results = self.inlined_body(leaf, args, call);
        self.inlining.end();
        let Outside { ty, position, stack, frames, locals, captured, loop_entry } = outside;
        (self.ty, self.stack, self.frames, self.locals) = (ty, stack, frames, locals);
        (self.captured, self.loop_entry) = (captured, loop_entry);
        self.locate(position);
        results
    }

    fn inlined_body(
        &mut self,
        leaf: &Leaf<'a>,
        args: &[Value],
        call: Block,
    ) -> Outcome<Option<Vec<Value>>> {
        self.locals.add_params(leaf.ty)?;
        for (index, value) in (0..).zip(args) {
            let variable = self.local(LocalIndex::from_u32(index))?;
            self.b.def_var(variable, *value);
        }
        let mut reader = leaf.body.get_locals_reader()?;
        for _ in 0..reader.get_count() {
            let (count, ty) = reader.read()?;
            self.locals.add(count, self.value_type(ty)?)?;
        }
        self.zero_locals()?;
        let results = FuncType::new([], leaf.ty.results().iter().copied());
        self.open(Kind::Block, Shape::Type(results), OperandIndex::FIRST);
        let mut reader = wasmparser::OperatorsReader::new(reader.get_binary_reader());
        while !reader.eof() {
            let position = ModuleOffset::from_u64(reader.original_position());
            let operator = reader.read()?;
            self.locate(position);
            if self.reachable && leaf.exits.contains(position) {
                self.give_up(call);
            }
            self.operator(operator)?;
        }
        if !self.frames.is_empty() {
            return Err(Fail("the body does not end".into()));
        }
        let returns = std::mem::replace(&mut self.reachable, true);
        Ok(returns.then(|| std::mem::take(&mut self.stack).into_iter().collect()))
    }

    /// Calls the function whose body this is; what comes next in the body cannot be reached.
    fn give_up(&mut self, call: Block) {
        self.b.ins().jump(call, &[]);
        self.reachable = false;
    }
}
