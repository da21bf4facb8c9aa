//! The state of a translation and the small steps that all operators are made of: operand stack,
//! memory flags, constants, traps, builtin calls.

use super::capture::{Captured, Points};
use super::control::{Frame, FrameIndex};
use super::env::{Env, stub_convention};
use super::exceptions::{Entry, Scope};
use super::inlined::Inlining;
use super::loop_entry::LoopEntry;
use super::variable::Locals;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value, types};
use cranelift_codegen::ir::{
    AbiParam, AliasRegion, AliasRegionData, Endianness, InstructionData, Opcode, SigRef, Signature,
    Type, ValueDef,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use std::collections::{HashMap, HashSet};
use wardian_module::{FuelMeter, LegacyTry};
use wardian_types::{
    CodeOffset, DefinedFuncIndex, DefinedGlobalIndex, FuncType, IndexVec, MemoryIndex,
    ModuleOffset, OperandIndex, StructLayout, TrapCode, TypeIndex,
};
use wardian_vm::compiled::{HandlerNumber, Inlined, Scope as HandlerScope, ScopeIndex};
use wardian_vm::layout::{Builtin, instance, store_ctx};

/// Why a body could not be translated.
#[derive(Debug)]
pub(crate) struct Fail(pub(crate) String);

impl From<wasmparser::Error> for Fail {
    fn from(e: wasmparser::Error) -> Fail {
        Fail(e.to_string())
    }
}

pub(super) type Outcome<T = ()> = Result<T, Fail>;

/// Kinds of memory that never overlap, for alias analysis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    /// Words of the store context.
    Store,
    /// Code addresses: entry table, imports, function references.
    Code,
    /// Bases and lengths of memories and tables. Compiled code never writes them.
    Bounds,
    /// Elements of all tables.
    Elements,
    /// Values of imported globals.
    ImportedGlobals,
    /// Value of one of the module's own globals; all after the first few share one.
    Global(DefinedGlobalIndex),
    /// Bytes of one of the module's own memories; all after the first few share one.
    OwnMemory(MemoryIndex),
    /// Bytes of all imported and shared memories: some of these may be the same memory.
    OtherMemories,
    /// Fields and elements of objects.
    Heap,
    /// Headers of objects.
    Headers,
    /// Where objects are allocated.
    HeapWords,
    /// Cells of the frame, for captures.
    Frame,
}

impl Region {
    const COUNT: usize = 29;

    fn number(self) -> u32 {
        match self {
            Region::Store => 0,
            Region::Code => 1,
            Region::Bounds => 2,
            Region::Elements => 3,
            Region::ImportedGlobals => 4,
            Region::OtherMemories => 5,
            Region::OwnMemory(i) => 6 + i.as_u32().min(3),
            Region::Global(i) => 10 + i.as_u32().min(14),
            Region::Heap => 25,
            Region::Headers => 26,
            Region::HeapWords => 27,
            Region::Frame => 28,
        }
    }
}

/// The translation of one body.
pub(crate) struct Translator<'a, 'f> {
    pub(super) env: &'a Env<'a>,
    pub(super) b: FunctionBuilder<'f>,
    pub(super) ty: &'a FuncType,
    /// The function's position among those that the module defines.
    pub(super) defined: DefinedFuncIndex,
    pub(super) vmctx: Value,
    pub(super) stack: IndexVec<OperandIndex, Value>,
    pub(super) frames: IndexVec<FrameIndex, Frame>,
    pub(super) locals: Locals,
    /// Whether the current operator can be executed.
    pub(super) reachable: bool,
    /// How many blocks were opened in the current stretch of dead code.
    pub(super) dead_depth: u32,
    pub(super) type_sigs: HashMap<TypeIndex, SigRef>,
    /// Those of calls with handlers, by the signatures that functions are declared with.
    pub(super) preserving_sigs: HashMap<SigRef, SigRef>,
    builtin_sigs: [Option<SigRef>; 7],
    raise_sig: Option<SigRef>,
    pub(super) meter: FuelMeter,
    /// The current operator.
    pub(super) offset: CodeOffset,
    /// Its position in the module.
    pub(super) position: ModuleOffset,
    /// The handlers around it, innermost last.
    pub(super) scopes: Vec<Scope>,
    /// Where exceptions enter, of all blocks with handlers so far.
    pub(super) entries: IndexVec<ScopeIndex, Entry>,
    /// The number of the next handler.
    pub(super) next_handler: HandlerNumber,
    /// What is known ahead of `try` blocks, once one has come.
    pub(super) tries: HashMap<ModuleOffset, LegacyTry>,
    /// Where the code begins instead of at the beginning.
    pub(super) loop_entry: Option<LoopEntry>,
    /// Stores to guest memory so far.
    pub(super) stores: u32,
    /// Where results are when listeners are notified.
    pub(super) result_slots: Option<ir::StackSlot>,
    regions: [Option<AliasRegion>; Region::COUNT],
    /// Values that are references to objects.
    pub(super) references: HashSet<Value>,
    pub(super) layouts: HashMap<TypeIndex, StructLayout>,
    /// If the function can be captured.
    pub(super) captured: Option<Captured>,
    /// How many copies follow the first one of the body of the loop that begins.
    pub(super) more_copies: u32,
    /// Whether the body of the loop whose end was read is translated once more.
    pub(super) repeats: bool,
    /// The functions whose bodies are in this one.
    pub(super) inlining: Inlining,
}

/// What became of a body.
pub(crate) struct Translated<'f> {
    pub(crate) builder: FunctionBuilder<'f>,
    /// Blocks with handlers.
    pub(crate) scopes: Vec<HandlerScope>,
    /// Where frames can be captured.
    pub(crate) points: Option<Points>,
    /// Bodies of other functions in it.
    pub(crate) inlined: Vec<Inlined>,
}

impl<'a, 'f> Translator<'a, 'f> {
    pub(super) fn start(
        env: &'a Env<'a>,
        mut b: FunctionBuilder<'f>,
        ty: &'a FuncType,
        defined: DefinedFuncIndex,
    ) -> Self {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let vmctx = b.block_params(entry)[0];
        Translator {
            env,
            b,
            ty,
            defined,
            vmctx,
            stack: IndexVec::new(),
            frames: IndexVec::new(),
            locals: Locals::default(),
            reachable: true,
            dead_depth: 0,
            type_sigs: HashMap::new(),
            preserving_sigs: HashMap::new(),
            builtin_sigs: [None; 7],
            raise_sig: None,
            meter: FuelMeter::default(),
            offset: CodeOffset::FIRST,
            position: ModuleOffset::default(),
            scopes: Vec::new(),
            entries: IndexVec::new(),
            next_handler: HandlerNumber::FIRST,
            tries: HashMap::new(),
            loop_entry: None,
            stores: 0,
            result_slots: None,
            regions: [None; Region::COUNT],
            references: HashSet::new(),
            layouts: HashMap::new(),
            captured: None,
            more_copies: 0,
            repeats: false,
            inlining: Inlining::default(),
        }
    }

    // The operand stack.

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self) -> Outcome<Value> {
        self.stack.pop().ok_or_else(|| Fail("the operand stack is empty".into()))
    }

    pub(super) fn pop2(&mut self) -> Outcome<(Value, Value)> {
        let y = self.pop()?;
        Ok((self.pop()?, y))
    }

    pub(super) fn pop3(&mut self) -> Outcome<(Value, Value, Value)> {
        let z = self.pop()?;
        let (x, y) = self.pop2()?;
        Ok((x, y, z))
    }

    /// The lowest of the topmost `n` operands.
    pub(super) fn height_below(&self, n: usize) -> Outcome<OperandIndex> {
        let lowest = self.stack.len().checked_sub(n).map(OperandIndex::from_usize);
        lowest.ok_or_else(|| Fail("too few operands".into()))
    }

    /// Pops a 32- or 64-bit integer as 64 bits.
    pub(super) fn pop_extended(&mut self) -> Outcome<Value> {
        let value = self.pop()?;
        Ok(self.extend(value))
    }

    pub(super) fn extend(&mut self, value: Value) -> Value {
        if self.b.func.dfg.value_type(value) == types::I32 {
            if let Some(bits) = self.as_const(value) {
                return self.iconst(types::I64, bits as i64);
            }
            self.b.ins().uextend(types::I64, value)
        } else {
            value
        }
    }

    /// Pushes a 64-bit number as the type of an address or index.
    pub(super) fn push_address(&mut self, value: Value, is64: bool) {
        let value = if is64 { value } else { self.b.ins().ireduce(types::I32, value) };
        self.push(value);
    }

    // Values.

    pub(super) fn iconst(&mut self, ty: Type, value: i64) -> Value {
        self.b.ins().iconst(ty, value)
    }

    /// The instruction that a value is the result of.
    pub(super) fn defining(&self, value: Value) -> Option<&InstructionData> {
        let dfg = &self.b.func.dfg;
        match dfg.value_def(dfg.resolve_aliases(value)) {
            ValueDef::Result(inst, 0) => Some(&dfg.insts[inst]),
            _ => None,
        }
    }

    /// The value of a constant, zero-extended from its type.
    pub(super) fn as_const(&self, value: Value) -> Option<u64> {
        match self.defining(value)? {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
                let bits = imm.bits() as u64;
                let ty = self.b.func.dfg.value_type(value);
                Some(if ty.bits() == 64 { bits } else { bits & ((1 << ty.bits()) - 1) })
            }
            _ => None,
        }
    }

    /// A vector seen with these lanes.
    pub(super) fn as_vector(&mut self, value: Value, ty: Type) -> Value {
        if self.b.func.dfg.value_type(value) == ty {
            return value;
        }
        if let Some(&InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. }) =
            self.defining(value)
            && self.b.func.dfg.value_type(arg) == ty
        {
            return arg;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.b.ins().bitcast(ty, flags, value)
    }

    pub(super) fn pop_vector(&mut self, ty: Type) -> Outcome<Value> {
        let value = self.pop()?;
        Ok(self.as_vector(value, ty))
    }

    /// Pushes a vector of any lanes in its canonical form.
    pub(super) fn push_vector(&mut self, value: Value) {
        let value = self.as_vector(value, types::I8X16);
        self.push(value);
    }

    /// Pushes a condition as an `i32`.
    pub(super) fn push_bool(&mut self, condition: Value) {
        let value = self.b.ins().uextend(types::I32, condition);
        self.push(value);
    }

    /// The comparison that an `i32` was made from, or the number itself: whatever branches cheapest.
    pub(super) fn condition(&self, value: Value) -> Value {
        match self.defining(value) {
            Some(&InstructionData::Unary { opcode: Opcode::Uextend, arg })
                if self.b.func.dfg.value_type(arg) == types::I8 && self.is_comparison(arg) =>
            {
                arg
            }
            _ => value,
        }
    }

    fn is_comparison(&self, value: Value) -> bool {
        matches!(
            self.defining(value),
            Some(InstructionData::IntCompare { .. } | InstructionData::FloatCompare { .. })
        )
    }

    /// Whether an integer is zero; the negation of a comparison is a comparison.
    pub(super) fn is_zero(&mut self, value: Value) -> Value {
        let condition = self.condition(value);
        if condition != value {
            match self.defining(condition) {
                Some(&InstructionData::IntCompare { cond, args: [x, y], .. }) => {
                    return self.b.ins().icmp(cond.complement(), x, y);
                }
                Some(&InstructionData::FloatCompare { cond, args: [x, y], .. }) => {
                    return self.b.ins().fcmp(cond.complement(), x, y);
                }
                _ => {}
            }
        }
        self.b.ins().icmp_imm_s(IntCC::Equal, value, 0)
    }

    // Memory flags.

    pub(super) fn region(&mut self, region: Region) -> AliasRegion {
        let number = region.number();
        if let Some(known) = self.regions[number as usize] {
            return known;
        }
        let data = AliasRegionData { user_id: number, description: "".into() };
        let new = self.b.func.dfg.alias_regions.insert(data);
        self.regions[number as usize] = Some(new);
        new
    }

    /// Flags of accesses that cannot fault, to one region.
    pub(super) fn trusted(&mut self, region: Region) -> MemFlagsData {
        let region = self.region(region);
        MemFlagsData::trusted().with_alias_region(Some(region))
    }

    /// A word of the instance, or of what it points to, that never changes.
    pub(super) fn load_fixed(&mut self, ty: Type, base: Value, offset: i32) -> Value {
        self.b.ins().load(ty, fixed(), base, offset)
    }

    pub(super) fn load_trusted(
        &mut self,
        ty: Type,
        region: Region,
        base: Value,
        offset: i32,
    ) -> Value {
        let flags = self.trusted(region);
        self.b.ins().load(ty, flags, base, offset)
    }

    /// The store context.
    pub(super) fn store_ctx(&mut self) -> Value {
        self.load_fixed(types::I64, self.vmctx, instance::STORE)
    }

    // Blocks.

    /// A block that is rarely run, placed away from the others.
    pub(super) fn cold_block(&mut self) -> ir::Block {
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        block
    }

    /// The current block is rarely run: it is placed away from the others, unless the function begins
    /// with it.
    pub(super) fn cool_block(&mut self) {
        // Blocks are in the layout once they have an instruction.
        let entry = self.b.func.layout.entry_block();
        if let Some(block) = self.b.current_block()
            && entry.is_some_and(|entry| entry != block)
        {
            self.b.set_cold_block(block);
        }
    }

    /// Continues in a block all of whose predecessors are known.
    pub(super) fn enter(&mut self, block: ir::Block) {
        self.b.seal_block(block);
        self.b.switch_to_block(block);
    }

    // Traps.

    /// Ends the block with a trap.
    pub(super) fn trap(&mut self, code: TrapCode) {
        if !self.env.tunables.signals {
            let number = self.iconst(types::I64, i64::from(code as u8));
            let code = self.builtin_code(Builtin::Raise);
            // It does not return: with this convention no register need be saved for its sake.
            let sig = builtin_signature(&[number], stub_convention());
            let sig = self.raise_sig.unwrap_or_else(|| self.b.import_signature(sig));
            self.raise_sig = Some(sig);
            self.call_with(sig, code, &[number]);
        } else {
            // Without it branches to this block could become conditional traps, which have the
            // branch's position.
            self.b.ins().sequence_point();
        }
        self.b.ins().trap(user(code));
    }

    /// Traps if the condition is not zero.
    pub(super) fn trap_if(&mut self, condition: Value, code: TrapCode) {
        if self.env.tunables.signals {
            self.b.ins().trapnz(condition, user(code));
            return;
        }
        let (raise, go_on) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(condition, raise, &[], go_on, &[]);
        self.enter(raise);
        self.trap(code);
        self.enter(go_on);
    }

    /// Traps if the value is zero.
    pub(super) fn trap_if_zero(&mut self, value: Value, code: TrapCode) {
        if self.env.tunables.signals {
            self.b.ins().trapz(value, user(code));
        } else {
            let zero = self.b.ins().icmp_imm_s(IntCC::Equal, value, 0);
            self.trap_if(zero, code);
        }
    }

    // Builtins.

    /// Calls a builtin with 64-bit arguments.
    pub(super) fn builtin(&mut self, builtin: Builtin, args: &[Value]) -> Value {
        let code = self.builtin_code(builtin);
        self.call_builtin(code, args)
    }

    /// These loads are not marked as movable: the calls are rare, and it does not pay to keep their
    /// targets in registers or to hoist them out of loops.
    pub(super) fn builtin_code(&mut self, builtin: Builtin) -> Value {
        let table = self.load_trusted(types::I64, Region::Code, self.vmctx, instance::BUILTINS);
        self.load_trusted(types::I64, Region::Code, table, builtin.offset())
    }

    fn call_builtin(&mut self, code: Value, args: &[Value]) -> Value {
        let b = &mut self.b;
        let sig = *self.builtin_sigs[args.len()]
            .get_or_insert_with(|| b.import_signature(builtin_signature(args, stub_convention())));
        self.call_with(sig, code, args)
    }

    fn call_with(&mut self, sig: SigRef, code: Value, args: &[Value]) -> Value {
        let mut all = [self.vmctx; 7];
        all[1..=args.len()].copy_from_slice(args);
        let call = self.b.ins().call_indirect(sig, code, &all[..=args.len()]);
        self.b.inst_results(call)[0]
    }

    // Where there are no signals.

    /// Compares the stack pointer, which includes this function's frame, with the limit.
    pub(super) fn check_stack(&mut self) {
        let sp = self.b.ins().get_stack_pointer(types::I64);
        let store = self.load_trusted(types::I64, Region::Code, self.vmctx, instance::STORE);
        let limit = self.load_trusted(types::I64, Region::Code, store, store_ctx::STACK_LIMIT);
        let over = self.b.ins().icmp(IntCC::UnsignedLessThan, sp, limit);
        self.trap_if(over, TrapCode::StackOverflow);
    }

    /// Asks whether the guest must stop, where nothing else can stop it.
    pub(super) fn poll(&mut self) {
        let store = self.store_ctx();
        // Another thread writes the word: an atomic load is never merged with an earlier one.
        let address = self.b.ins().iadd_imm_s(store, i64::from(store_ctx::INTERRUPT));
        let word = self.b.ins().atomic_load(types::I64, MemFlagsData::trusted(), address);
        let (stop, go_on) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(word, stop, &[], go_on, &[]);
        self.enter(stop);
        let code = self.builtin_code(Builtin::Interrupt);
        self.call_builtin(code, &[]);
        self.b.ins().jump(go_on, &[]);
        self.enter(go_on);
    }
}

fn builtin_signature(args: &[Value], convention: CallConv) -> Signature {
    let mut signature = Signature::new(convention);
    signature.params = vec![AbiParam::new(types::I64); args.len() + 1];
    signature.returns = vec![AbiParam::new(types::I64)];
    signature
}

/// Flags of loads that always give the same value while the function runs.
pub(super) fn fixed() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

/// Cranelift's form of a trap code.
pub(super) fn user(code: TrapCode) -> ir::TrapCode {
    ir::TrapCode::unwrap_user(code as u8)
}
