//! Locals, globals and constants.

use super::env::clif_type;
use super::objects::is_object_ref;
use super::state::{Fail, Outcome, Region, Translator};
use cranelift_codegen::ir::{ConstantData, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::Variable;
use wardian_module::ConstOp;
use wardian_module::operators::{Global, Local};
use wardian_types::{FuncType, GlobalIndex, LocalIndex, ValType};

/// More locals than this are refused, as validation does.
const MAX_LOCALS: u32 = 50_000;

/// Locals that are set to zero at once. Functions with more are rare, and mostly made by machines.
const ZEROED: usize = 256;

/// The locals of a function, parameters included.
///
/// A variable is declared when an operator first names it. A variable that is read before it is
/// written is zero: Cranelift defines it so in the entry block, which is what WebAssembly wants.
#[derive(Default)]
pub(super) struct Locals {
    /// Runs of locals of one type: the index after the run, and the type.
    runs: Vec<(u32, ValType)>,
    variables: Vec<Option<Variable>>,
}

impl Locals {
    /// Adds locals of a type.
    pub(super) fn add(&mut self, count: u32, ty: ValType) -> Outcome {
        let start = self.runs.last().map_or(0, |r| r.0);
        let end = start.checked_add(count).filter(|end| *end <= MAX_LOCALS);
        let end = end.ok_or_else(|| Fail(format!("more than {MAX_LOCALS} locals")))?;
        self.runs.push((end, ty));
        self.variables.resize(end as usize, None);
        Ok(())
    }

    /// Adds the parameters of a type.
    pub(super) fn add_params(&mut self, ty: &FuncType) -> Outcome {
        ty.params().iter().try_for_each(|ty| self.add(1, *ty))
    }

    /// The types of all locals, parameters included.
    pub(super) fn types(&self) -> impl Iterator<Item = ValType> {
        (0..self.variables.len()).map(|index| self.ty(LocalIndex::from_usize(index)))
    }

    pub(super) fn ty(&self, index: LocalIndex) -> ValType {
        let run = self.runs.partition_point(|r| r.0 <= index.as_u32());
        self.runs[run].1
    }
}

impl Translator<'_, '_> {
    pub(super) fn local(&mut self, index: LocalIndex) -> Outcome<Variable> {
        match self.locals.variables.get(index.index()) {
            Some(Some(variable)) => Ok(*variable),
            Some(None) => {
                let ty = self.locals.ty(index);
                let variable = self.b.declare_var(clif_type(ty));
                if is_object_ref(ty) {
                    self.b.declare_var_needs_stack_map(variable);
                }
                self.locals.variables[index.index()] = Some(variable);
                Ok(variable)
            }
            None => Err(Fail(format!("there is no local {index}"))),
        }
    }

    /// Sets the first locals that are no parameters to zero, in order. Cranelift would do so when it
    /// finds a read before a write, but then the order depends on the code, and with it, to a degree
    /// that can be measured, what the register allocator spills.
    pub(super) fn zero_locals(&mut self) -> Outcome {
        let last = self.locals.variables.len().min(ZEROED);
        for index in self.ty.params().len()..last {
            let variable = self.local(LocalIndex::from_u32(index as u32))?;
            let zero = match clif_type(self.locals.ty(LocalIndex::from_u32(index as u32))) {
                types::F32 => self.b.ins().f32const(0.0),
                types::F64 => self.b.ins().f64const(0.0),
                ty if ty.is_vector() => {
                    let zero =
                        self.b.func.dfg.constants.insert(ConstantData::from([0; 16].to_vec()));
                    self.b.ins().vconst(ty, zero)
                }
                ty => self.b.ins().iconst(ty, 0),
            };
            self.b.def_var(variable, zero);
        }
        Ok(())
    }

    pub(super) fn local_operator(&mut self, operator: Local) -> Outcome {
        use Local as O;
        match operator {
            O::LocalGet { local_index } => {
                let variable = self.local(local_index)?;
                let value = self.b.use_var(variable);
                self.note_type(self.locals.ty(local_index), value);
                self.push(value);
            }
            O::LocalSet { local_index } => {
                let value = self.pop()?;
                self.set_local(local_index, value)?;
            }
            O::LocalTee { local_index } => {
                let value = self.pop()?;
                self.set_local(local_index, value)?;
                self.push(value);
            }
            O::I32Const { value } => {
                let value = self.iconst(types::I32, i64::from(value));
                self.push(value);
            }
            O::I64Const { value } => {
                let value = self.iconst(types::I64, value);
                self.push(value);
            }
            O::F32Const { value } => self.push_f32(value.bits()),
            O::F64Const { value } => self.push_f64(value.bits()),
            O::V128Const { value } => self.push_v128(u128::from_le_bytes(*value.bytes())),
            O::Drop => {
                self.pop()?;
            }
            O::Select | O::TypedSelect { .. } => {
                let (x, y, condition) = self.pop3()?;
                let condition = self.condition(condition);
                let value = self.b.ins().select(condition, x, y);
                if self.references.contains(&x) || self.references.contains(&y) {
                    self.note_reference(value);
                }
                self.push(value);
            }
            O::Nop => {}
        }
        Ok(())
    }

    pub(super) fn global_operator(&mut self, operator: Global) -> Outcome {
        use Global as O;
        match operator {
            O::GlobalGet { global_index } => self.global_get(global_index)?,
            O::GlobalSet { global_index } => self.global_set(global_index)?,
        }
        Ok(())
    }

    fn set_local(&mut self, index: LocalIndex, value: Value) -> Outcome {
        let variable = self.local(index)?;
        self.local_written(index);
        self.b.try_def_var(variable, value).map_err(|_| Fail("a local has another type".into()))
    }

    fn push_f32(&mut self, bits: u32) {
        let value = self.b.ins().f32const(f32_bits(bits));
        self.push(value);
    }

    fn push_f64(&mut self, bits: u64) {
        let value = self.b.ins().f64const(f64_bits(bits));
        self.push(value);
    }

    pub(super) fn push_v128(&mut self, bits: u128) {
        let value = self.v128(bits.to_le_bytes());
        self.push(value);
    }

    pub(super) fn v128(&mut self, bytes: [u8; 16]) -> Value {
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
        self.b.ins().vconst(types::I8X16, constant)
    }

    /// The value of a global whose initial value is a plain constant and never changes.
    fn constant_global(&mut self, index: GlobalIndex) -> bool {
        let info = self.env.info;
        let Some(defined) = info.defined_global(index) else { return false };
        if info.globals[index].mutable {
            return false;
        }
        let init = info.global_inits.get(defined).map(|e| e.ops.as_slice());
        let Some(&[op]) = init else { return false };
        match op {
            ConstOp::I32(v) => {
                let value = self.iconst(types::I32, i64::from(v));
                self.push(value);
            }
            ConstOp::I64(v) => {
                let value = self.iconst(types::I64, v);
                self.push(value);
            }
            ConstOp::F32(bits) => self.push_f32(bits),
            ConstOp::F64(bits) => self.push_f64(bits),
            ConstOp::V128(bits) => self.push_v128(bits),
            _ => return false,
        }
        true
    }

    /// Base, offset and flags of a global's value, and its type.
    fn global(&mut self, index: GlobalIndex) -> Outcome<(Value, i32, MemFlagsData, ValType)> {
        let info = self.env.info;
        let ty =
            *info.globals.get(index).ok_or_else(|| Fail(format!("there is no global {index}")))?;
        let (base, offset, region) = match info.defined_global(index) {
            Some(defined) => {
                (self.vmctx, self.env.layout.global(defined).as_i32(), Region::Global(defined))
            }
            None => {
                let offset = self.env.layout.global_ref(index).as_i32();
                let base = self.load_fixed(types::I64, self.vmctx, offset);
                (base, 0, Region::ImportedGlobals)
            }
        };
        let flags = if ty.mutable { self.trusted(region) } else { super::state::fixed() };
        Ok((base, offset, flags, ty.content))
    }

    fn global_get(&mut self, index: GlobalIndex) -> Outcome {
        if index.index() < self.env.info.globals.len() && self.constant_global(index) {
            return Ok(());
        }
        let (base, offset, flags, ty) = self.global(index)?;
        let value = self.b.ins().load(clif_type(ty), flags, base, offset);
        self.note_type(ty, value);
        self.push(value);
        Ok(())
    }

    fn global_set(&mut self, index: GlobalIndex) -> Outcome {
        let value = self.pop()?;
        let (base, offset, flags, _) = self.global(index)?;
        self.b.ins().store(flags, value, base, offset);
        Ok(())
    }
}

pub(super) fn f32_bits(bits: u32) -> cranelift_codegen::ir::immediates::Ieee32 {
    cranelift_codegen::ir::immediates::Ieee32::with_bits(bits)
}

pub(super) fn f64_bits(bits: u64) -> cranelift_codegen::ir::immediates::Ieee64 {
    cranelift_codegen::ir::immediates::Ieee64::with_bits(bits)
}
