//! How long a function would take to compile, before anybody begins.
//!
//! An optimising compiler takes time in proportion to the size of most functions, but not of all: loops
//! nested by thousands, or thousands of values that live at once, take it minutes. The estimate adds
//! what a few properties of a body cost, whatever they are in combination; its factors were measured
//! with Cranelift on functions that have much of one property.

use crate::ModuleInfo;
use wardian_types::{DefinedFuncIndex, FuncIndex, LocalIndex, TagIndex, TypeIndex};
use wasmparser::{BinaryReader, BlockType, FunctionBody, Operator};

/// What makes a function slow to compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Complexity {
    /// Bytes of the body.
    pub bytes: u64,
    /// Operators.
    pub operators: u64,
    /// Loops.
    pub loops: u64,
    /// Loops around each other at most.
    pub depth: u64,
    /// Places where control flow divides or meets. A call inside of handlers is one.
    pub blocks: u64,
    /// Locals that are used.
    pub locals: u64,
    /// Operands on the stack at once, about.
    pub height: u64,
}

impl Complexity {
    /// Of a function, whose body is valid.
    pub fn of(info: &ModuleInfo, bytes: &[u8], defined: DefinedFuncIndex) -> Complexity {
        let range = info.bodies.get(defined).cloned();
        let Some(body) = range.and_then(|range| bytes.get(range)) else {
            return Complexity::default();
        };
        let mut reading = Reading::new(info, body.len());
        let body = FunctionBody::new(BinaryReader::new(body, 0));
        if let Ok(operators) = body.get_operators_reader() {
            operators.into_iter().map_while(Result::ok).for_each(|op| reading.operator(&op));
        }
        reading.found
    }

    /// Microseconds that compiling it takes, about and at most: mostly it takes less.
    pub fn micros(&self) -> u64 {
        let of = |factors: [u64; 3], unit: f64| {
            factors.iter().map(|factor| *factor as f64).product::<f64>() * unit
        };
        let sum = of([self.bytes, 1, 1], 1.0)
            + of([self.loops, self.loops, self.locals], 6e-3)
            + of([self.depth, self.depth, self.loops], 2e-4)
            + of([self.height, self.operators, 1], 1e-2)
            + of([self.blocks, self.locals, 1], 0.2)
            + of([self.blocks, self.blocks, 1], 1.5e-3);
        sum as u64
    }
}

struct Reading<'a> {
    info: &'a ModuleInfo,
    found: Complexity,
    used: Vec<bool>,
    /// The blocks that are open.
    open: Vec<Open>,
    depth: u64,
    /// Handlers around the operator.
    handlers: u64,
    height: u64,
}

struct Open {
    is_loop: bool,
    /// Operands when it ends.
    height: u64,
    /// Handlers that it has for what is inside of it.
    handlers: u64,
}

impl<'a> Reading<'a> {
    fn new(info: &'a ModuleInfo, bytes: usize) -> Reading<'a> {
        let found = Complexity { bytes: bytes as u64, ..Complexity::default() };
        let (used, open) = (Vec::new(), Vec::new());
        Reading { info, found, used, open, depth: 0, handlers: 0, height: 0 }
    }

    fn operator(&mut self, op: &Operator<'_>) {
        use Operator as O;
        self.found.operators += 1;
        match *op {
            O::Block { blockty } => self.begin(false, blockty, 0),
            O::Loop { blockty } => self.begin(true, blockty, 0),
            O::If { blockty } => {
                self.pop(1);
                self.begin(false, blockty, 0);
            }
            O::Else => self.found.blocks += 1,
            O::End => self.end(),
            O::Br { .. } | O::Return | O::Unreachable => {}
            O::BrIf { .. } => {
                self.found.blocks += 1;
                self.pop(1);
            }
            O::BrTable { ref targets } => self.found.blocks += u64::from(targets.len()) / 8 + 1,
            O::LocalGet { local_index } => {
                self.local(LocalIndex::from_u32(local_index));
                self.push(1);
            }
            O::LocalSet { local_index } => {
                self.local(LocalIndex::from_u32(local_index));
                self.pop(1);
            }
            O::LocalTee { local_index } => self.local(LocalIndex::from_u32(local_index)),
            O::Call { function_index } => {
                let index = self.info.functions.get(FuncIndex::from_u32(function_index)).copied();
                self.call(index, 0);
            }
            O::CallIndirect { type_index, .. } | O::CallRef { type_index } => {
                self.call(Some(TypeIndex::from_u32(type_index)), 1);
            }
            // The reference stays on the operand stack where there is no branch.
            O::BrOnNull { .. }
            | O::BrOnCast { .. }
            | O::BrOnCastFail { .. }
            | O::RefCastNullable { .. }
            | O::RefCastNonNull { .. } => self.found.blocks += 1,
            O::BrOnNonNull { .. } => {
                self.found.blocks += 1;
                self.pop(1);
            }
            O::I32Const { .. }
            | O::I64Const { .. }
            | O::F32Const { .. }
            | O::F64Const { .. }
            | O::V128Const { .. }
            | O::GlobalGet { .. }
            | O::MemorySize { .. }
            | O::TableSize { .. }
            | O::RefNull { .. }
            | O::RefFunc { .. } => self.push(1),
            O::Drop | O::GlobalSet { .. } => self.pop(1),
            O::Select | O::TypedSelect { .. } => self.pop(2),
            ref other => self.later_operator(other),
        }
    }

    /// Operators of exceptions and of garbage collection that need more than a number.
    fn later_operator(&mut self, op: &Operator<'_>) {
        use Operator as O;
        match *op {
            O::TryTable { ref try_table } => {
                let handlers = try_table.catches.len() as u64;
                self.found.blocks += handlers;
                self.begin(false, try_table.ty, handlers);
            }
            // How many there will be is not known here; mostly it is one.
            O::Try { blockty } => self.begin(false, blockty, 1),
            O::Catch { tag_index } => self.begin_catch(Some(TagIndex::from_u32(tag_index))),
            O::CatchAll => self.begin_catch(None),
            O::Delegate { .. } => self.end(),
            O::Throw { .. } | O::ThrowRef | O::Rethrow { .. } => {
                self.found.blocks += self.handlers.min(1);
            }
            O::StructNew { struct_type_index } => {
                let ty = self.info.types.get(TypeIndex::from_u32(struct_type_index));
                let fields = ty.and_then(|ty| ty.structure()).map_or(0, |ty| ty.fields().len());
                self.pop(fields as u64);
                self.push(1);
            }
            O::StructNewDefault { .. } => self.push(1),
            O::ArrayNewFixed { array_size, .. } => {
                self.pop(array_size.into());
                self.push(1);
            }
            ref other => self.pop(fewer(other)),
        }
    }

    fn push(&mut self, count: u64) {
        self.height += count;
        self.found.height = self.found.height.max(self.height);
    }

    fn pop(&mut self, count: u64) {
        self.height = self.height.saturating_sub(count);
    }

    fn local(&mut self, index: LocalIndex) {
        let index = index.index();
        if self.used.len() <= index {
            self.used.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.used[index], true) {
            self.found.locals += 1;
        }
    }

    fn call(&mut self, ty: Option<TypeIndex>, further: u64) {
        let Some(ty) = ty.and_then(|ty| self.info.signature(ty)) else { return };
        self.pop(ty.params().len() as u64 + further);
        self.push(ty.results().len() as u64);
        self.found.blocks += self.handlers.min(1);
    }

    fn begin_catch(&mut self, tag: Option<TagIndex>) {
        self.found.blocks += 1;
        if let Some(tag) = tag.and_then(|tag| self.info.tags.get(tag)) {
            let ty = self.info.signature(*tag);
            self.push(ty.map_or(0, |ty| ty.params().len() as u64));
        }
    }

    fn begin(&mut self, is_loop: bool, ty: BlockType, handlers: u64) {
        let (params, results) = match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(ty) => {
                let ty = self.info.signature(TypeIndex::from_u32(ty));
                ty.map_or((0, 0), |ty| (ty.params().len() as u64, ty.results().len() as u64))
            }
        };
        let height = self.height.saturating_sub(params) + results;
        self.open.push(Open { is_loop, height, handlers });
        self.handlers += handlers;
        self.found.blocks += 1;
        if is_loop {
            self.found.loops += 1;
            self.depth += 1;
            self.found.depth = self.found.depth.max(self.depth);
        }
    }

    fn end(&mut self) {
        let Some(Open { is_loop, height, handlers }) = self.open.pop() else { return };
        self.depth -= u64::from(is_loop);
        self.handlers -= handlers;
        self.height = 0;
        self.push(height);
    }
}

/// By how many operands an operator leaves fewer; of others than those that are frequent, it is said
/// to be none, so that the estimate is rather too high.
fn fewer(op: &Operator<'_>) -> u64 {
    use Operator as O;
    match op {
        O::I32Store { .. }
        | O::I64Store { .. }
        | O::F32Store { .. }
        | O::F64Store { .. }
        | O::I32Store8 { .. }
        | O::I32Store16 { .. }
        | O::I64Store8 { .. }
        | O::I64Store16 { .. }
        | O::I64Store32 { .. }
        | O::V128Store { .. }
        | O::I64Add128
        | O::I64Sub128
        | O::StructSet { .. } => 2,
        O::ArraySet { .. } => 3,
        O::ArrayFill { .. } | O::ArrayInitData { .. } | O::ArrayInitElem { .. } => 4,
        O::ArrayCopy { .. } => 5,
        O::ArrayNew { .. } | O::ArrayNewData { .. } | O::ArrayNewElem { .. } | O::RefEq => 1,
        O::ArrayGet { .. } | O::ArrayGetS { .. } | O::ArrayGetU { .. } => 1,
        O::MemoryCopy { .. } | O::MemoryFill { .. } | O::MemoryInit { .. } => 3,
        O::I32Add | O::I32Sub | O::I32Mul | O::I32And | O::I32Or | O::I32Xor => 1,
        O::I32Shl | O::I32ShrS | O::I32ShrU | O::I32Rotl | O::I32Rotr => 1,
        O::I32Eq | O::I32Ne | O::I32LtS | O::I32LtU | O::I32GtS | O::I32GtU => 1,
        O::I32LeS | O::I32LeU | O::I32GeS | O::I32GeU => 1,
        O::I32DivS | O::I32DivU | O::I32RemS | O::I32RemU => 1,
        O::I64Add | O::I64Sub | O::I64Mul | O::I64And | O::I64Or | O::I64Xor => 1,
        O::I64Shl | O::I64ShrS | O::I64ShrU | O::I64Rotl | O::I64Rotr => 1,
        O::I64Eq | O::I64Ne | O::I64LtS | O::I64LtU | O::I64GtS | O::I64GtU => 1,
        O::I64LeS | O::I64LeU | O::I64GeS | O::I64GeU => 1,
        O::I64DivS | O::I64DivU | O::I64RemS | O::I64RemU => 1,
        O::F32Add | O::F32Sub | O::F32Mul | O::F32Div | O::F32Min | O::F32Max => 1,
        O::F64Add | O::F64Sub | O::F64Mul | O::F64Div | O::F64Min | O::F64Max => 1,
        O::F32Eq | O::F32Ne | O::F32Lt | O::F32Gt | O::F32Le | O::F32Ge => 1,
        O::F64Eq | O::F64Ne | O::F64Lt | O::F64Gt | O::F64Le | O::F64Ge => 1,
        O::F32Copysign | O::F64Copysign => 1,
        O::V128And | O::V128Or | O::V128Xor | O::I8x16Shuffle { .. } => 1,
        O::I8x16Add | O::I16x8Add | O::I32x4Add | O::I64x2Add => 1,
        O::I8x16Sub | O::I16x8Sub | O::I32x4Sub | O::I64x2Sub => 1,
        O::I16x8Mul | O::I32x4Mul | O::I64x2Mul => 1,
        O::F32x4Add | O::F32x4Sub | O::F32x4Mul | O::F32x4Div => 1,
        O::F64x2Add | O::F64x2Sub | O::F64x2Mul | O::F64x2Div => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;
    use wardian_types::CoreFeatures;

    fn of(body: &str, locals: usize) -> Complexity {
        let text = format!(
            "(module (memory 1) (func (param i32) (result i32) (local{}) {body} local.get 0))",
            " i32".repeat(locals)
        );
        let bytes = wat::parse_str(text).unwrap();
        let module = Module::decode(bytes, CoreFeatures::all(), 1).unwrap();
        Complexity::of(module.info(), module.bytes(), DefinedFuncIndex::FIRST)
    }

    #[test]
    fn properties_of_a_body_are_counted() {
        let found = of(
            "loop loop local.get 1 local.set 2 end block local.get 0 br_if 0 end end \
             local.get 0 local.get 0 i32.load i32.const 1 i32.add i32.store",
            5,
        );
        let Complexity { loops, depth, locals, height, .. } = found;
        assert_eq!((loops, depth, locals, height), (2, 2, 3, 3), "{found:?}");
        assert!(found.micros() < 1000);
    }

    #[test]
    fn what_takes_a_compiler_long_is_known_before() {
        let second = 1_000_000;
        let nested =
            format!("{}{}", "loop ".repeat(20_000), "local.get 0 br_if 0 end ".repeat(20_000));
        assert!(of(&nested, 0).micros() > 60 * second);
        let loops: String =
            (0..4000).map(|i| format!("loop local.get {} br_if 0 end ", 1 + i % 250)).collect();
        assert!(of(&loops, 250).micros() > 20 * second);
        let high = format!("{}{}", "local.get 0 ".repeat(40_000), "i32.add ".repeat(39_999));
        assert!(of(&format!("{high} drop"), 0).micros() > 20 * second);
        // Long, but of the usual kind.
        let long = "local.get 0 if local.get 1 i32.load local.set 2 end ".repeat(10_000);
        assert!(of(&long, 3).micros() < 3 * second);
    }
}
