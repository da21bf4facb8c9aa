//! One pass over a validated body.
//!
//! An operand that WebAssembly pushes is, until somebody uses it, a note: a constant, a local that has
//! not changed since, or what an instruction left in the operand's own slot. So most operators that
//! only move values cost nothing, and the others name their operands where they are.
//!
//! At the beginning of a block all operands below it are brought into their own slots. So whoever
//! leaves the block, by whatever way, finds the same.

mod accumulate;
mod bulk;
mod call;
mod casts;
mod compare;
mod control;
mod emit;
mod exceptions;
mod fields;
mod latch;
mod memory;
mod numeric;
mod objects;
mod operators;
mod safepoints;
mod shifted;
mod stack;
mod updates;
mod variable;
mod vector;

use crate::frame_map::{FrameMap, FrameMaps, Wanted};
use crate::op::Opcode;
use crate::operand::Register;
use crate::translation::{CodeUnit, Env, HandlerEntry, References, TranslateError, Translation};
use control::Frame;
use stack::{Entry, Local};
use std::sync::atomic::AtomicI32;
use wardian_module::FuelMeter;
use wardian_types::{
    CodeOffset, DefinedFuncIndex, FuncType, IndexVec, MemoryIndex, ModuleOffset, OperandIndex,
    ValType,
};
use wardian_vm::addr::CtxOffset;
use wardian_vm::interpreted::{FrameSlot, Function, frame};
use wasmparser::{BinaryReader, FunctionBody, OperatorsReader};

type Outcome<T = ()> = Result<T, TranslateError>;

/// More locals than this are refused, as validation does.
const MAX_LOCALS: usize = 50_000;

/// Translates functions, one after the other; its buffers serve again.
#[derive(Debug, Default)]
pub struct Translator {
    buffers: Buffers,
}

/// Why a function is translated.
#[derive(Clone, Copy)]
enum Purpose<'a> {
    Code,
    Locations,
    References,
    Frames(Wanted<'a>),
}

/// What is allocated once.
#[derive(Debug, Default)]
struct Buffers {
    code: Vec<u16>,
    stack: IndexVec<OperandIndex, Entry>,
    locals: Vec<Local>,
    frames: Vec<Frame>,
    /// Where each instruction comes from; filled only if somebody asks.
    locations: Vec<(CodeUnit, CodeOffset)>,
    /// Stubs of a table of branches.
    stubs: Vec<control::Stub>,
    /// Open blocks that have handlers.
    tries: Vec<exceptions::Try>,
    /// Handlers, innermost first.
    handlers: Vec<HandlerEntry>,
    /// The code offsets of calls through tables and references whose targets are noted.
    noted_calls: Vec<CodeOffset>,
}

impl Buffers {
    /// Where the next instruction begins.
    fn here(&self) -> CodeUnit {
        CodeUnit::from_u32(self.code.len() as u32)
    }
}

/// A function while it is translated.
struct Body<'a> {
    env: &'a Env<'a>,
    ty: &'a FuncType,
    /// Slots of the parameters.
    params: i32,
    b: Buffers,
    /// Where the last instruction begins and ends, if it defines its first operand and nothing
    /// jumps behind it.
    last: Option<(CodeUnit, CodeUnit)>,
    /// The register in which it leaves what it defines.
    left: Option<Register>,
    /// Where the last instruction begins.
    begin: CodeUnit,
    /// Where the one before it begins, and where that leaves what it defines; if it does, and nothing
    /// jumps between them.
    before: Option<(CodeUnit, Option<Register>)>,
    /// The same of the one before that.
    before_that: Option<(CodeUnit, Option<Register>)>,
    /// Where the last instruction begins and ends that writes to an object, if nothing jumps behind it.
    written: Option<(CodeUnit, CodeUnit)>,
    /// Where the last instruction begins, and what it becomes when the next one is appended.
    variant: Option<(CodeUnit, Opcode)>,
    /// The first slot that is free.
    height: FrameSlot,
    /// The highest that was ever needed.
    max_height: FrameSlot,
    /// Operands below this position lie in their own slots.
    flushed: OperandIndex,
    reachable: bool,
    /// Blocks that are open in code that is never executed.
    dead_depth: u32,
    meter: FuelMeter,
    /// Code offset of the operator.
    position: CodeOffset,
    locating: bool,
    /// Where references are, if somebody asks: see [`safepoints`].
    references: Option<References>,
    /// Where frames have their values, if somebody asks.
    frame_maps: Option<FrameMaps<'a>>,
}

impl Translator {
    /// A translator.
    pub fn new() -> Translator {
        Translator::default()
    }

    /// Translates a function that the module defines.
    pub fn translate(&mut self, env: &Env<'_>, defined: DefinedFuncIndex) -> Outcome<Translation> {
        let body = self.run(env, defined, Purpose::Code)?;
        let function = body.function(defined)?;
        let translation =
            Translation::new(&body.b.code, function, &body.b.handlers, &body.b.noted_calls);
        self.buffers = body.b;
        Ok(translation)
    }

    /// The operator of each instruction of a function. The function is translated again, which gives the same code.
    pub fn locations(
        &mut self,
        env: &Env<'_>,
        defined: DefinedFuncIndex,
    ) -> Outcome<Vec<(CodeUnit, CodeOffset)>> {
        let body = self.run(env, defined, Purpose::Locations)?;
        let locations = body.b.locations.clone();
        self.buffers = body.b;
        Ok(locations)
    }

    /// Where references that the collector has to know are in the frames of a function. The function is
    /// translated again.
    pub fn references(&mut self, env: &Env<'_>, defined: DefinedFuncIndex) -> Outcome<References> {
        let body = self.run(env, defined, Purpose::References)?;
        self.buffers = body.b;
        Ok(body.references.unwrap_or_default())
    }

    /// Where frames of a function have their values. The function is translated again.
    pub fn frame_maps(
        &mut self,
        env: &Env<'_>,
        defined: DefinedFuncIndex,
        wanted: Wanted<'_>,
    ) -> Outcome<Vec<FrameMap>> {
        let body = self.run(env, defined, Purpose::Frames(wanted))?;
        self.buffers = body.b;
        Ok(body.frame_maps.map(|maps| maps.found).unwrap_or_default())
    }

    fn run<'a>(
        &mut self,
        env: &'a Env<'a>,
        defined: DefinedFuncIndex,
        purpose: Purpose<'a>,
    ) -> Outcome<Body<'a>> {
        let info = env.info;
        let missing = || TranslateError::new(format!("there is no function {defined}"));
        let range = info.bodies.get(defined).ok_or_else(missing)?.clone();
        let start = range.start as u64;
        let bytes = env.bytes.get(range).ok_or_else(missing)?;
        let ty = info.functions.get(info.func_index(defined)).and_then(|t| info.signature(*t));
        let ty = ty.ok_or_else(missing)?;
        let mut body = Body::new(env, ty, std::mem::take(&mut self.buffers), purpose);
        body.translate(&FunctionBody::new(BinaryReader::new(bytes, start)))?;
        Ok(body)
    }
}

impl<'a> Body<'a> {
    fn new(env: &'a Env<'a>, ty: &'a FuncType, mut b: Buffers, purpose: Purpose<'a>) -> Body<'a> {
        b.code.clear();
        b.stack.clear();
        b.locals.clear();
        b.frames.clear();
        b.locations.clear();
        b.tries.clear();
        b.handlers.clear();
        b.noted_calls.clear();
        Body {
            env,
            ty,
            params: ty.param_slots() as i32,
            b,
            last: None,
            left: None,
            begin: CodeUnit::FIRST,
            before: None,
            before_that: None,
            written: None,
            variant: None,
            height: FrameSlot::default(),
            max_height: FrameSlot::default(),
            flushed: OperandIndex::FIRST,
            reachable: true,
            dead_depth: 0,
            meter: FuelMeter::default(),
            position: CodeOffset::FIRST,
            locating: matches!(purpose, Purpose::Locations),
            references: matches!(purpose, Purpose::References).then(References::default),
            frame_maps: match purpose {
                Purpose::Frames(wanted) => Some(FrameMaps::new(wanted)),
                _ => None,
            },
        }
    }

    fn translate(&mut self, body: &FunctionBody<'_>) -> Outcome {
        let mut reader = body.get_locals_reader()?;
        self.locate(ModuleOffset::from_u64(body.range().start));
        let mut slot = FrameSlot::from_i32(-self.params);
        for ty in self.ty.params() {
            slot = self.add_locals(1, *ty, slot)?;
        }
        let first = FrameSlot::from_i32(frame::HEADER as i32);
        slot = first;
        for _ in 0..reader.get_count() {
            let (count, ty) = reader.read()?;
            slot = self.add_locals(count, self.value_type(ty)?, slot)?;
        }
        self.note_locals();
        self.height = slot;
        self.max_height = slot;
        self.prologue(slot.slots_from(first));
        let mut reader = OperatorsReader::new(reader.get_binary_reader());
        self.locate(ModuleOffset::from_u64(reader.original_position()));
        self.point(false, None);
        while !reader.eof() {
            let position = ModuleOffset::from_u64(reader.original_position());
            let operator = reader.read()?;
            self.locate(position);
            self.operator(operator)?;
        }
        self.accept();
        if self.b.frames.is_empty() {
            Ok(())
        } else {
            Err(TranslateError::new("the body does not end"))
        }
    }

    fn locate(&mut self, position: ModuleOffset) {
        self.position = self.env.info.code_offset(position);
    }

    /// Adds locals of a type from a slot on, and tells which slot is next.
    fn add_locals(&mut self, count: u32, ty: ValType, mut slot: FrameSlot) -> Outcome<FrameSlot> {
        if self.b.locals.len() + count as usize > MAX_LOCALS {
            return Err(TranslateError::new(format!("more than {MAX_LOCALS} locals")));
        }
        let wide = ty == ValType::V128;
        for _ in 0..count {
            self.b.locals.push(Local::new(slot, ty));
            slot = slot.add(1 + i32::from(wide));
        }
        Ok(slot)
    }

    fn value_type(&self, ty: wasmparser::ValType) -> Outcome<ValType> {
        self.env.info.val_type(ty).map_err(|e| TranslateError::new(e.to_string()))
    }

    fn function(&self, defined: DefinedFuncIndex) -> Outcome<Function> {
        let slots = self.max_height.add(emit::SCRATCH).as_i32();
        Ok(Function {
            entry: std::ptr::null(),
            frame_slots: u32::try_from(slots).map_err(|_| TranslateError::new("too many slots"))?,
            param_slots: self.params as u32,
            result_slots: self.ty.result_slots() as u32,
            memory0: match self.env.info.memories.is_empty() {
                true => CtxOffset::NONE,
                false => self.env.layout.memory_ref(MemoryIndex::FIRST),
            },
            countdown: AtomicI32::new(i32::MAX),
            defined,
            targets: std::ptr::null(),
        })
    }
}
