//! What validation says of the locals and operands of a function at some of its operators.
//!
//! ```text
//!   i32.const 1   call $f   drop
//!                 ├ before: i32 …        operands that the operator finds
//!                 └ after:  i64          operands that it leaves
//! ```
//!
//! A function is validated again, up to the last operator that is asked for, so the cost is bounded by the
//! function and the number of operands in the answers.

use crate::{DecodeError, Module, ModuleInfo, features};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use wardian_types::{
    CodeOffset, CoreFeatures, DeclaredType, DefinedFuncIndex, FuncIndex, IndexVec, LocalIndex,
    MemoryIndex, ModuleOffset, TypeIndex, TypeNumber, ValType,
};
use wasmparser::{
    BinaryReader, BinaryReaderError, FuncToValidate, FuncValidator, FuncValidatorAllocations,
    FunctionBody, MemArg, MemArgTarget, Operator, OperatorsReader, Parser, UnpackedIndex,
    ValidPayload, Validator, ValidatorResources, WasmModuleResources,
};

/// The types around an operator.
#[derive(Clone, Debug)]
pub struct OperatorTypes {
    /// The offset of the operator in the code section.
    pub offset: CodeOffset,
    /// The operands before it, from the bottom; its own are on top.
    pub before: Vec<ValType>,
    /// The operands after it.
    pub after: Vec<ValType>,
    /// What the frame waits for while the operator is executed, if it may wait for something.
    pub called: Option<Called>,
    /// Whether it is the header of a loop or the first operator of the body.
    pub is_target: bool,
    /// The locals that have no default value and are not set before it.
    pub unset: Vec<LocalIndex>,
}

/// What a frame waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// A function of this type. Tail calls are none: their frame is gone.
    Function(TypeIndex),
    /// A notification: `memory.atomic.wait32` or `memory.atomic.wait64`, in a memory.
    Wait {
        /// The memory.
        memory: MemoryIndex,
        /// Whether it compares 64 bits.
        wide: bool,
    },
}

impl Called {
    /// The types of the operands that it leaves.
    pub fn results(self, info: &ModuleInfo) -> Option<&[ValType]> {
        match self {
            Called::Function(ty) => info.signature(ty).map(|ty| ty.results()),
            Called::Wait { .. } => Some(&[ValType::I32]),
        }
    }

    /// How many operands it takes.
    fn taken(self, info: &ModuleInfo) -> usize {
        match self {
            Called::Function(ty) => info.signature(ty).map_or(0, |ty| ty.params().len()),
            Called::Wait { .. } => 3,
        }
    }
}

/// The functions of one module, for questions about their operands.
pub struct Operands<'a> {
    module: &'a Module,
    declared: Arc<Declared>,
}

/// What is known of the declarations of a module. To find it out takes as long as they are many.
struct Declared {
    features: wasmparser::WasmFeatures,
    resources: Option<ValidatorResources>,
    /// The module's index of a type by the validator's.
    types: HashMap<wasmparser::types::CoreTypeId, TypeIndex>,
}

/// What a module keeps of earlier answers: who forks a guest again and again asks for the same operators.
#[derive(Default)]
pub(crate) struct Answers {
    declared: OnceLock<Arc<Declared>>,
    /// By function and offset.
    types: Mutex<HashMap<(DefinedFuncIndex, CodeOffset), OperatorTypes>>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// Answers that are kept at most, and the operands of the largest of them.
const KEPT: usize = 1024;
const LARGEST: usize = 64;

impl std::fmt::Debug for Operands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operands").finish_non_exhaustive()
    }
}

impl<'a> Operands<'a> {
    /// Reads the declarations of a module that is valid under these features.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn new(module: &'a Module, features: CoreFeatures) -> Result<Operands<'a>, DecodeError> {
        let features = features::to_parser(features) | wasmparser::WasmFeatures::GC;
        let known = &module.answers.declared;
        let declared = match known.get().filter(|known| known.features == features) {
            Some(known) => known.clone(),
            None => {
                let declared = Arc::new(Declared::read(module, features)?);
                let _ = known.set(declared.clone());
                declared
            }
        };
        Ok(Operands { module, declared })
    }

    /// The types around the operators of a function that begin at these offsets in the code section, which are in
    /// ascending order. Beside each offset is how many operands there may be, without those that a call takes.
    /// Offsets at which no reachable operator begins, or at which there are more, are not in the answer: so that is no
    /// larger than who asks expects.
    ///
    /// # Errors
    ///
    /// The function does not exist, or is not valid.
    pub fn at(
        &self,
        defined: DefinedFuncIndex,
        offsets: &[(CodeOffset, usize)],
    ) -> Result<Vec<OperatorTypes>, DecodeError> {
        if let Some(known) = self.known(defined, offsets) {
            return Ok(known);
        }
        let info = self.module.info();
        let missing = || DecodeError::new(format!("there is no function body {defined}"), None);
        let range = info.bodies.get(defined).ok_or_else(missing)?.clone();
        let Declared { resources, features, .. } = &*self.declared;
        let resources = resources.as_ref().ok_or_else(missing)?;
        let index = info.func_index(defined);
        let ty = info.functions[index].as_u32();
        let func = FuncToValidate { resources, index: index.as_u32(), ty, features: *features };
        let start = range.start as u64;
        let body = FunctionBody::new(BinaryReader::new(&self.module.bytes()[range], start));
        let mut pass = Pass {
            operands: self,
            validator: func.into_validator(FuncValidatorAllocations::default()),
            unset: Unset::default(),
            found: Vec::new(),
        };
        pass.run(&body, offsets).map_err(DecodeError::parser)?;
        let found: Vec<OperatorTypes> = pass.found.into_iter().collect::<Result<_, _>>()?;
        self.keep(defined, &found);
        Ok(found)
    }

    /// The answer, if all of it was given before.
    fn known(
        &self,
        defined: DefinedFuncIndex,
        offsets: &[(CodeOffset, usize)],
    ) -> Option<Vec<OperatorTypes>> {
        if !self.is_kept() {
            return None;
        }
        let known = self.module.answers.types.lock().unwrap_or_else(|e| e.into_inner());
        let mut found = Vec::with_capacity(offsets.len());
        for (offset, most) in offsets {
            let types = known.get(&(defined, *offset))?;
            if types.before.len() <= self.module.info().most_operands(types.called, *most) {
                found.push(types.clone());
            }
        }
        Some(found)
    }

    fn keep(&self, defined: DefinedFuncIndex, found: &[OperatorTypes]) {
        if !self.is_kept() {
            return;
        }
        let mut known = self.module.answers.types.lock().unwrap_or_else(|e| e.into_inner());
        let small = |types: &&OperatorTypes| {
            types.before.len().max(types.after.len()).max(types.unset.len()) <= LARGEST
        };
        for types in found.iter().filter(small) {
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert((defined, types.offset), types.clone());
        }
    }

    /// Whether answers are those of the features that the module keeps them for.
    fn is_kept(&self) -> bool {
        let kept = self.module.answers.declared.get();
        kept.is_some_and(|kept| Arc::ptr_eq(kept, &self.declared))
    }

    fn val_type(&self, ty: wasmparser::ValType) -> Result<ValType, DecodeError> {
        let wasmparser::ValType::Ref(r) = ty else { return self.module.info().val_type(ty) };
        let wasmparser::HeapType::Concrete(UnpackedIndex::Id(id)) = r.heap_type() else {
            return Ok(ValType::Ref(self.module.info().ref_type(r)?));
        };
        let unknown = || DecodeError::new("an operand is of a type that the module lacks", None);
        let index = *self.declared.types.get(&id).ok_or_else(unknown)?;
        let heap = wasmparser::HeapType::Concrete(UnpackedIndex::Module(index.as_u32()));
        let r = wasmparser::RefType::new(r.is_nullable(), heap).ok_or_else(unknown)?;
        Ok(ValType::Ref(self.module.info().ref_type(r)?))
    }
}

impl ModuleInfo {
    /// Operands before an operator that calls this type, if there are so many without those that it takes.
    fn most_operands(&self, called: Option<Called>, most: usize) -> usize {
        let taken = called.map_or(0, |called| called.taken(self));
        // And the operand that says what is called.
        most.saturating_add(taken + 1)
    }
}

impl Declared {
    fn read(module: &Module, features: wasmparser::WasmFeatures) -> Result<Declared, DecodeError> {
        let mut validator = Validator::new_with_features(features);
        let mut resources = None;
        for payload in Parser::new(0).parse_all(module.bytes()) {
            let payload = payload.map_err(DecodeError::parser)?;
            if let wasmparser::Payload::CodeSectionEntry(_) = payload
                && resources.is_some()
            {
                // Bodies have nothing new.
                break;
            }
            let valid = validator.payload(&payload).map_err(DecodeError::parser)?;
            if let ValidPayload::Func(func, _) = valid {
                resources = Some(func.resources);
            }
        }
        let mut types = HashMap::new();
        if let Some(resources) = &resources {
            // Of equal types the first.
            for index in module.info().types.indices().rev() {
                let of = UnpackedIndex::Module(index.as_u32());
                let mut heap = wasmparser::HeapType::Concrete(of);
                resources.check_heap_type(&mut heap, 0).map_err(DecodeError::parser)?;
                if let wasmparser::HeapType::Concrete(UnpackedIndex::Id(id)) = heap {
                    types.insert(id, index);
                }
            }
        }
        Ok(Declared { features, resources, types })
    }
}

/// A validation of one body.
struct Pass<'a> {
    operands: &'a Operands<'a>,
    validator: FuncValidator<&'a ValidatorResources>,
    unset: Unset,
    found: Vec<Result<OperatorTypes, DecodeError>>,
}

impl Pass<'_> {
    fn run(
        &mut self,
        body: &FunctionBody<'_>,
        offsets: &[(CodeOffset, usize)],
    ) -> Result<(), BinaryReaderError> {
        let mut reader = body.get_binary_reader();
        self.validator.read_locals(&mut reader)?;
        let index = FuncIndex::from_u32(self.validator.index());
        let parameters = self.operands.module.info().functions[index];
        let parameters = self.operands.module.info().signature(parameters);
        self.unset.declare(&self.validator, parameters.map_or(0, |ty| ty.params().len()));
        let mut wanted = offsets.iter().copied().peekable();
        let mut reader = OperatorsReader::new(reader);
        let mut first = true;
        while !reader.eof() && wanted.peek().is_some() {
            let position = reader.original_position();
            let operator = reader.read()?;
            let info = self.operands.module.info();
            let offset = info.code_offset(ModuleOffset::from_u64(position));
            while wanted.peek().is_some_and(|w| w.0 < offset) {
                wanted.next();
            }
            let most = wanted.next_if(|w| w.0 == offset).map(|w| w.1);
            let called = called(&operator, &info.functions);
            let most = most.map(|most| info.most_operands(called, most));
            let height = self.validator.operand_stack_height() as usize;
            let is_wanted = most.is_some_and(|most| height <= most);
            let before = is_wanted.then(|| (self.stack(), self.unset.list()));
            self.validator.op(position, &operator)?;
            self.unset.step(&operator);
            let is_target = first || matches!(operator, Operator::Loop { .. });
            first = false;
            let Some((Some(before), unset)) = before else { continue };
            let answer = before.and_then(|before| {
                let after = self.stack().transpose()?.unwrap_or_default();
                Ok(OperatorTypes { offset, before, after, called, is_target, unset })
            });
            self.found.push(answer);
        }
        Ok(())
    }

    /// The types of the operand stack; none in code that is never executed.
    fn stack(&self) -> Option<Result<Vec<ValType>, DecodeError>> {
        if self.validator.get_control_frame(0).is_some_and(|frame| frame.unreachable) {
            return None;
        }
        let height = self.validator.operand_stack_height() as usize;
        (0..height)
            .rev()
            .map(|depth| {
                let ty = self.validator.get_operand_type(depth).flatten()?;
                Some(self.operands.val_type(ty))
            })
            .collect()
    }
}

/// What an operator that comes back to its frame waits for.
fn called(operator: &Operator<'_>, functions: &IndexVec<FuncIndex, TypeIndex>) -> Option<Called> {
    match operator {
        Operator::Call { function_index } => {
            functions.get(FuncIndex::from_u32(*function_index)).copied().map(Called::Function)
        }
        Operator::CallIndirect { type_index, .. } | Operator::CallRef { type_index } => {
            Some(Called::Function(TypeIndex::from_u32(*type_index)))
        }
        Operator::MemoryAtomicWait32 { memarg } => wait(memarg, false),
        Operator::MemoryAtomicWait64 { memarg } => wait(memarg, true),
        _ => None,
    }
}

fn wait(memarg: &MemArg, wide: bool) -> Option<Called> {
    match memarg.target {
        MemArgTarget::Memory(memory) => {
            Some(Called::Wait { memory: MemoryIndex::from_u32(memory), wide })
        }
        _ => None,
    }
}

/// The locals that are not set yet (core specification, "Local Types"): what a block sets, it sets for itself.
#[derive(Debug, Default)]
struct Unset {
    /// By local whether it is unset. Empty for most functions, in which all locals have a default.
    locals: HashMap<LocalIndex, bool>,
    /// What was set, in order, and where the open blocks began in that list.
    set: Vec<LocalIndex>,
    blocks: Vec<usize>,
}

impl Unset {
    fn declare(&mut self, validator: &FuncValidator<&ValidatorResources>, parameters: usize) {
        for local in parameters as u32..validator.len_locals() {
            if let Some(wasmparser::ValType::Ref(r)) = validator.get_local_type(local)
                && !r.is_nullable()
            {
                self.locals.insert(LocalIndex::from_u32(local), true);
            }
        }
    }

    fn list(&self) -> Vec<LocalIndex> {
        let mut list: Vec<LocalIndex> =
            self.locals.iter().filter_map(|(l, unset)| unset.then_some(*l)).collect();
        list.sort_unstable();
        list
    }

    fn step(&mut self, operator: &Operator<'_>) {
        if self.locals.is_empty() {
            return;
        }
        match operator {
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                let local = LocalIndex::from_u32(*local_index);
                if let Some(unset @ true) = self.locals.get_mut(&local) {
                    *unset = false;
                    self.set.push(local);
                }
            }
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Try { .. }
            | Operator::TryTable { .. } => self.blocks.push(self.set.len()),
            Operator::Else | Operator::Catch { .. } | Operator::CatchAll => {
                self.take_back(self.blocks.last().copied().unwrap_or_default());
            }
            Operator::End | Operator::Delegate { .. } => {
                let start = self.blocks.pop().unwrap_or_default();
                self.take_back(start);
            }
            _ => {}
        }
    }

    fn take_back(&mut self, start: usize) {
        for local in self.set.drain(start..) {
            self.locals.insert(local, true);
        }
    }
}

/// A type of a module's function by the numbers of an engine.
pub fn engine_type(ty: ValType, numbers: &IndexVec<TypeIndex, TypeNumber>) -> ValType {
    let mut rename = |named| match named {
        DeclaredType::Module(index) => DeclaredType::Engine(numbers[index]),
        other => other,
    };
    match ty {
        ValType::Ref(r) => ValType::Ref(r.renamed(&mut rename)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Operands, OperatorTypes};
    use crate::{Module, to_binary};
    use wardian_types::{CodeOffset, CoreFeatures, DefinedFuncIndex, ValType};

    /// The types at all operators of the first function.
    fn all(text: &str) -> Vec<OperatorTypes> {
        let bytes = to_binary(text.as_bytes()).unwrap().into_owned();
        let module = Module::decode(bytes, CoreFeatures::default(), 1).unwrap();
        let operands = Operands::new(&module, CoreFeatures::default()).unwrap();
        let end = module.bytes().len() as u32;
        operands
            .at(
                DefinedFuncIndex::FIRST,
                &(0..end).map(|at| (CodeOffset::from_u32(at), usize::MAX)).collect::<Vec<_>>(),
            )
            .unwrap()
    }

    #[test]
    fn operands_have_the_types_of_validation() {
        let found = all("(module (func (param i64) (result i32)
               (i32.const 1) (f64.const 2) (local.get 0) (call 1) (drop) (drop) (drop))
             (func (param i64) (result f32 v128) (unreachable)))");
        use ValType::{F32, F64, I32, I64, V128};
        let call = found.iter().find(|o| o.called.is_some()).unwrap();
        assert_eq!(call.before, [I32, F64, I64]);
        assert_eq!(call.after, [I32, F64, F32, V128]);
    }

    #[test]
    fn there_is_no_answer_where_there_are_more_operands() {
        let text = "(module (func (i32.const 1) (i32.const 2) (i32.const 3) (call 1) (drop) (drop)) (func (param i32)))";
        let bytes = to_binary(text.as_bytes()).unwrap().into_owned();
        let module = Module::decode(bytes, CoreFeatures::default(), 1).unwrap();
        let operands = Operands::new(&module, CoreFeatures::default()).unwrap();
        let end = module.bytes().len() as u32;
        let found = |most| {
            let offsets: Vec<_> = (0..end).map(|at| (CodeOffset::from_u32(at), most)).collect();
            let found = operands.at(DefinedFuncIndex::FIRST, &offsets).unwrap();
            (found.len(), found.iter().any(|operator| operator.called.is_some()))
        };
        // Of a call that which it takes is not counted; one more may say what is called.
        assert_eq!(found(usize::MAX), (7, true));
        assert_eq!(found(1), (7, true));
        assert_eq!(found(0), (4, false));
    }

    #[test]
    fn unreachable_operators_have_none() {
        let found = all("(module (func (loop (br 0) (nop) (drop)) ))");
        let offsets: Vec<_> = found.iter().map(|o| (o.is_target, o.before.len())).collect();
        assert_eq!(
            offsets,
            [(true, 0), (false, 0), (false, 0)],
            "loop, br, and the end of the body"
        );
    }

    #[test]
    fn locals_without_default_are_unset_outside_of_the_block_that_sets_them() {
        let found = all("(module (type $f (func)) (func $g (local (ref $f)) (local i32)
             (nop)
             (block (local.set 0 (ref.func $g)) (nop) )
             (nop)
             (local.set 0 (ref.func $g))
             (nop)) (elem declare func $g))");
        let unset: Vec<usize> = found.iter().map(|o| o.unset.len()).collect();
        assert_eq!(unset, [1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0], "{found:?}");
    }
}
