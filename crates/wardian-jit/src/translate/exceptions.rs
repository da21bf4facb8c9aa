//! Exceptions: throwing them, and the blocks that catch them.
//!
//! ```text
//!   try_table (catch $t $l)        a call inside of it      normal return ──> next block
//!     ...                             │ exception: payload = address of the values
//!   end                               v
//!                                  entry of the block ── which handler? ──> entry of the block around it
//!                                     │
//!                                     v
//!                                  landing of a clause ── values, exnref ──> label $l
//! ```
//!
//! A call inside of such a block names the block, and the instance in which its tags count. The runtime
//! searches the block's handlers and those of the blocks around it (see `wardian_vm::compiled::CallHandlers`), and
//! returns the number of what it found. So a call has one further edge, however many handlers are around it,
//! and code that throws nothing runs no instruction for them. The handler finds the callee-saved registers as
//! they were at the call: see `wardian_vm::unwind`.
//!
//! A `catch` of the older `try` blocks begins at its landing. What it has caught is on the operand stack,
//! below the values, for `rethrow`: interpreted code has it there too.

use super::capture::{Homes, Stored};
use super::control::{FrameIndex, Kind};
use super::env::{clif_type, preserving_signature};
use super::state::{Fail, Outcome, Region, Translator, user};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, BlockCall, Endianness, ExceptionTableData, ExceptionTableItem,
    ExceptionTag, InstBuilder, MemFlagsData, SigRef, Signature, StackSlotData, StackSlotKind,
    Value, types,
};
use cranelift_codegen::isa::CallConv;
use wardian_module::operators::Exception;
use wardian_module::{LegacyTry, legacy_tries};
use wardian_types::{FuncType, LabelIndex, OperandIndex, TagIndex, TrapCode, ValType};
use wardian_vm::compiled::{self, HandlerNumber, ScopeIndex, handler_word};
use wardian_vm::layout::{Builtin, instance, store_ctx};
use wasmparser::{BlockType, Catch, FunctionBody, Operator, TryTable};

/// A block whose body is inside of handlers.
pub(super) struct Scope {
    /// The block.
    frame: FrameIndex,
    clauses: Vec<Clause>,
    /// Where a call inside of it enters, by its number; none if nothing here catches and nothing further out.
    entry: Option<ScopeIndex>,
}

/// Where exceptions enter the code of a function.
pub(super) struct Entry {
    /// Takes the payload, and finds out which handler is meant.
    block: Block,
    /// Whether anything leads there.
    used: bool,
    pub(super) table: compiled::Scope,
}

/// A handler.
#[derive(Clone, Copy)]
struct Clause {
    tag: Option<TagIndex>,
    by_reference: bool,
    landing: Block,
    /// Its number in the function.
    number: HandlerNumber,
    /// Whether it can be reached.
    used: bool,
}

/// What a `try_table` still has to do at its end.
pub(super) struct Branches(Vec<LabelIndex>);

/// A `try` block of the older kind.
pub(super) struct Legacy {
    /// Its clauses, from when its body has ended.
    clauses: Vec<Clause>,
    /// How many of them have begun.
    begun: usize,
}

impl<'a> Translator<'a, '_> {
    pub(super) fn exception_operator(&mut self, operator: Exception) -> Outcome {
        use Exception as O;
        match &operator {
            O::TryTable { try_table } => self.begin_try_table(try_table)?,
            O::Try { blockty } => self.begin_try(*blockty)?,
            O::Catch { tag_index } => self.begin_catch(Some(*tag_index))?,
            O::CatchAll => self.begin_catch(None)?,
            O::Delegate { .. } => self.end()?,
            O::Throw { tag_index } => self.throw(*tag_index)?,
            O::ThrowRef => {
                let exception = self.pop()?;
                self.throw_by(Builtin::ThrowRef, &[exception])?;
            }
            O::Rethrow { relative_depth } => {
                let height = self.frame_at(*relative_depth)?.height;
                let caught = self.stack.get(height).copied();
                let caught = caught.ok_or_else(|| Fail("nothing was caught there".into()))?;
                self.throw_by(Builtin::ThrowRef, &[caught])?;
            }
        }
        Ok(())
    }

    fn tag_type(&self, tag: TagIndex) -> Outcome<&'a FuncType> {
        let index = self.env.info.tags.get(tag);
        self.signature(*index.ok_or_else(|| Fail(format!("there is no tag {tag}")))?)
    }

    /// Reads what must be known of `try` blocks before their bodies, when the first one comes.
    pub(super) fn look_ahead(&mut self, op: &Operator<'_>, body: &FunctionBody<'_>) -> Outcome {
        if let Operator::Try { .. } = op
            && self.tries.is_empty()
        {
            self.tries = legacy_tries(body)?;
        }
        Ok(())
    }

    // Blocks.

    fn begin_try_table(&mut self, table: &TryTable) -> Outcome {
        let shape = self.shape(table.ty)?;
        let height = self.height_below(shape.params().len())?;
        self.pin(height)?;
        let mut branches = Vec::with_capacity(table.catches.len());
        let mut clauses = Vec::with_capacity(table.catches.len());
        for catch in &table.catches {
            let (tag, by_reference, label) = match *catch {
                Catch::One { tag, label } => (Some(tag), false, label),
                Catch::OneRef { tag, label } => (Some(tag), true, label),
                Catch::All { label } => (None, false, label),
                Catch::AllRef { label } => (None, true, label),
            };
            clauses.push(self.clause(tag.map(TagIndex::from_u32), by_reference));
            branches.push(LabelIndex::from_u32(label));
        }
        self.begin_scope(clauses, None);
        self.open(Kind::TryTable(Branches(branches)), shape, height);
        Ok(())
    }

    fn clause(&mut self, tag: Option<TagIndex>, by_reference: bool) -> Clause {
        let landing = self.payload_block();
        let number = self.next_handler;
        self.next_handler = number.add(1);
        Clause { tag, by_reference, landing, number, used: false }
    }

    fn payload_block(&mut self) -> Block {
        let block = self.cold_block();
        self.b.append_block_param(block, types::I64);
        block
    }

    /// Begins a block with handlers. Without any, or if it delegates to a block that is open around it, calls
    /// inside of it enter where those around it do.
    fn begin_scope(&mut self, clauses: Vec<Clause>, delegate: Option<FrameIndex>) {
        let frame = self.frames.next_index();
        let around =
            self.scopes.iter().rev().find(|scope| delegate.is_none_or(|to| scope.frame <= to));
        let around = around.and_then(|scope| scope.entry);
        let entry = match clauses.first() {
            None => around,
            Some(first) => {
                let words = clauses.iter();
                let words = words.map(|c| handler_word(c.tag, c.by_reference));
                let table = compiled::Scope {
                    parent: around,
                    first: first.number,
                    handlers: words.collect(),
                };
                let block = self.payload_block();
                Some(self.entries.push(Entry { block, used: false, table }))
            }
        };
        self.scopes.push(Scope { frame, clauses, entry });
    }

    /// Ends a block with handlers: its entry leads to the handler that is meant, or to the entry of the block
    /// around it. Nothing more is inside of it.
    fn end_scope(&mut self) -> Vec<Clause> {
        let Some(Scope { mut clauses, entry, .. }) = self.scopes.pop() else { return Vec::new() };
        let (Some(entry), Some(last)) = (entry, clauses.last().copied()) else { return clauses };
        let Entry { block, used, ref table } = self.entries[entry];
        let parent = table.parent;
        if !used {
            return clauses;
        }
        self.enter(block);
        let payload = [BlockArg::Value(self.b.block_params(block)[0])];
        // One that catches all leaves nothing to those around it.
        let parent = parent.filter(|_| last.tag.is_some());
        let (mut number, count) = (None, clauses.len());
        for (i, clause) in clauses.iter_mut().enumerate() {
            clause.used = true;
            if parent.is_none() && i + 1 == count {
                self.b.ins().jump(clause.landing, &payload);
                return clauses;
            }
            let found = match number {
                Some(found) => found,
                None => *number.insert(self.caught_by()),
            };
            let is_meant =
                self.b.ins().icmp_imm_s(IntCC::Equal, found, i64::from(clause.number.as_u32()));
            let next = self.cold_block();
            self.b.ins().brif(is_meant, clause.landing, &payload, next, &[]);
            self.enter(next);
        }
        if let Some(parent) = parent {
            let around = &mut self.entries[parent];
            around.used = true;
            let block = around.block;
            self.b.ins().jump(block, &payload);
        }
        clauses
    }

    /// The number of the handler that was found for the exception.
    fn caught_by(&mut self) -> Value {
        let store = self.store_of_handler();
        self.load_trusted(types::I64, Region::Store, store, store_ctx::CAUGHT_BY)
    }

    /// Ends a `try_table`: its landings branch to their labels.
    pub(super) fn end_try_table(&mut self) -> Outcome {
        self.fall_out()?;
        let clauses = self.end_scope();
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let Kind::TryTable(Branches(labels)) = &frame.kind else { return Ok(()) };
        for (clause, label) in clauses.iter().zip(labels) {
            if clause.used {
                self.land(clause, frame.height, frame.encloses_entry);
                self.push_values(clause)?;
                if clause.by_reference {
                    let caught = self.caught();
                    self.push(caught);
                }
                self.br(*label)?;
            }
        }
        self.close(&frame);
        Ok(())
    }

    fn begin_try(&mut self, ty: BlockType) -> Outcome {
        let shape = self.shape(ty)?;
        let height = self.height_below(shape.params().len())?;
        self.pin(height)?;
        let known = self.tries.get(&self.position).cloned();
        let LegacyTry { catches, delegate } =
            known.ok_or_else(|| Fail("a try block was not found".into()))?;
        // Interpreted code holds what it has caught, and a frame that was captured becomes an interpreted one.
        let holds = self.captured.is_some();
        let clauses: Vec<Clause> =
            catches.iter().map(|c| self.clause(c.tag, c.rethrown || holds)).collect();
        let depth = self.frames.len();
        let delegate =
            delegate.map(|label| FrameIndex::from_usize(depth.saturating_sub(1 + label.index())));
        self.begin_scope(clauses, delegate);
        self.open(Kind::Try, shape, height);
        Ok(())
    }

    /// Ends the body of a `try`, or the handler before, and begins the next one.
    pub(super) fn begin_catch(&mut self, tag: Option<TagIndex>) -> Outcome {
        self.fall_out()?;
        if matches!(self.top()?.kind, Kind::Try) {
            let clauses = self.end_scope();
            self.top()?.kind = Kind::Catch(Legacy { clauses, begun: 0 });
        }
        let Kind::Catch(legacy) = &mut self.top()?.kind else {
            return Err(Fail("catch without try".into()));
        };
        let clause = legacy.clauses.get(legacy.begun).copied();
        legacy.begun += 1;
        let clause = clause.filter(|clause| clause.tag == tag);
        let clause = clause.ok_or_else(|| Fail("a catch was not found".into()))?;
        let height = self.top()?.height;
        self.stack.truncate(height);
        self.reachable = clause.used;
        if clause.used {
            let encloses_entry = self.top()?.encloses_entry;
            self.land(&clause, height, encloses_entry);
            // Only `rethrow` looks at it.
            let caught = match clause.by_reference {
                true => self.caught(),
                false => self.iconst(types::I64, 0),
            };
            self.push(caught);
            self.push_values(&clause)?;
        }
        Ok(())
    }

    /// Continues where a handler is entered, with the operands below the block.
    fn land(&mut self, clause: &Clause, height: OperandIndex, encloses_entry: bool) {
        self.stack.truncate(height);
        self.enter(clause.landing);
        // It is reached from many calls.
        self.set_homes(Homes::default());
        if encloses_entry {
            self.renew_pinned(height);
        }
        self.reachable = true;
    }

    /// The store context, loaded anew: code that throws nothing should not have to keep it for handlers.
    fn store_of_handler(&mut self) -> Value {
        self.load_trusted(types::I64, Region::Code, self.vmctx, instance::STORE)
    }

    /// The exception that was caught just now.
    fn caught(&mut self) -> Value {
        let store = self.store_of_handler();
        self.load_trusted(types::I64, Region::Store, store, store_ctx::CAUGHT)
    }

    /// Pushes the values of the exception that was caught just now.
    fn push_values(&mut self, clause: &Clause) -> Outcome {
        let payload = self.b.block_params(clause.landing)[0];
        let Some(tag) = clause.tag else { return Ok(()) };
        let types = self.tag_type(tag)?.params();
        let flags = MemFlagsData::new().with_notrap().with_endianness(Endianness::Little);
        let mut offset = 0;
        for ty in types {
            let value = self.b.ins().load(clif_type(*ty), flags, payload, offset);
            self.note_type(*ty, value);
            self.push(value);
            offset += 8 * ty.slots() as i32;
        }
        Ok(())
    }

    // Calls.

    /// Calls guest code, with the handlers around it. Returns its results. `stored` is what was stored for it.
    pub(super) fn call_guest(
        &mut self,
        sig: SigRef,
        code: Value,
        args: &[Value],
        stored: Stored,
    ) -> Outcome<Vec<Value>> {
        let Some(entry) = self.scopes.last().and_then(|scope| scope.entry) else {
            let call = self.b.ins().call_indirect(sig, code, args);
            self.note_stored(call, stored);
            return Ok(self.b.inst_results(call).to_vec());
        };
        let landing = self.entries[entry].block;
        self.entries[entry].used = true;
        let sig = self.preserving(sig);
        let results: Vec<_> =
            self.b.func.dfg.signatures[sig].returns.iter().map(|r| r.value_type).collect();
        let next = self.b.create_block();
        for ty in &results {
            self.b.append_block_param(next, *ty);
        }
        let pool = &mut self.b.func.dfg.value_lists;
        let returned = (0..results.len() as u32).map(BlockArg::TryCallRet);
        let normal = BlockCall::new(next, returned, pool);
        let landing = BlockCall::new(landing, [BlockArg::TryCallExn(0)], pool);
        let items = [
            ExceptionTableItem::Context(self.vmctx),
            ExceptionTableItem::Tag(ExceptionTag::from_u32(entry.as_u32()), landing),
        ];
        let table = ExceptionTableData::new(sig, normal, items);
        let table = self.b.func.dfg.exception_tables.push(table);
        let call = self.b.ins().try_call_indirect(code, args, table);
        self.note_stored(call, stored);
        self.enter(next);
        Ok(self.b.block_params(next).to_vec())
    }

    /// The signature by which to call with handlers what is declared with this one.
    fn preserving(&mut self, declared: SigRef) -> SigRef {
        let b = &mut self.b;
        let make = || match preserving_signature(&b.func.dfg.signatures[declared]) {
            Some(preserving) => b.import_signature(preserving),
            None => declared,
        };
        *self.preserving_sigs.entry(declared).or_insert_with(make)
    }

    // Throwing.

    fn throw(&mut self, tag: TagIndex) -> Outcome {
        let ty = self.tag_type(tag)?;
        let start = self.height_below(ty.params().len())?;
        let values: Vec<_> = self.stack.truncate(start).collect();
        let slots = self.exception_slots(ty.params(), &values);
        let tag = self.iconst(types::I64, i64::from(tag.as_u32()));
        self.throw_by(Builtin::Throw, &[tag, slots])
    }

    /// Writes values to slots on the stack.
    fn exception_slots(&mut self, types: &[ValType], values: &[Value]) -> Value {
        let slots = types.iter().map(|t| t.slots()).sum::<usize>().max(1);
        let size = StackSlotData::new(StackSlotKind::ExplicitSlot, slots as u32 * 8, 4);
        let slot = self.b.create_sized_stack_slot(size);
        let address = self.b.ins().stack_addr(types::I64, slot, 0);
        crate::slots::store_slots(&mut self.b, types, address, values);
        address
    }

    /// Calls a builtin that throws. It is called as guest code is, since it can lead to a handler.
    fn throw_by(&mut self, builtin: Builtin, args: &[Value]) -> Outcome {
        let code = self.builtin_code(builtin);
        let mut signature = Signature::new(CallConv::Tail);
        signature.params = vec![AbiParam::new(types::I64); args.len() + 1];
        signature.returns = vec![AbiParam::new(types::I64)];
        let sig = self.b.import_signature(signature);
        let mut all = vec![self.vmctx];
        all.extend_from_slice(args);
        self.call_guest(sig, code, &all, Stored::new())?;
        self.b.ins().trap(user(TrapCode::Unreachable));
        self.reachable = false;
        Ok(())
    }
}
