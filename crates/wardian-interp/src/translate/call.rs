//! Calls: to functions of the module, to imports, through tables, and in tail position.

use super::{Body, Outcome};
use crate::op;
use crate::operand::{Far, U32};
use crate::translation::TranslateError;
use wardian_module::operators::Call;
use wardian_types::{FuncIndex, FuncType, TypeIndex};
use wardian_vm::interpreted::FrameSlot;

impl<'a> Body<'a> {
    pub(super) fn call_operator(&mut self, operator: Call) -> Outcome {
        use Call as O;
        match operator {
            O::Call { function_index } => self.call(function_index)?,
            O::CallIndirect { type_index, table_index } => {
                self.table(table_index)?;
                let index = self.pop_far()?;
                let signature = self.signature(type_index)?;
                let (end, args) = self.args(signature, Some(index.0))?;
                let table = self.table_at(table_index);
                let ty = U32(type_index.as_u32());
                if self.env.options.tiering {
                    let site = self.noted_call();
                    self.append(op::call_indirect_noted { index, table, ty, end, args, site });
                } else {
                    self.append(op::call_indirect { index, table, ty, end, args });
                }
                self.returned(signature);
            }
            O::CallRef { type_index } => {
                let func = self.pop_far()?;
                let ty = self.signature(type_index)?;
                let (end, args) = self.args(ty, Some(func.0))?;
                if self.env.options.tiering {
                    let site = self.noted_call();
                    self.append(op::call_ref_noted { func, end, args, site });
                } else {
                    self.append(op::call_ref { func, end, args });
                }
                self.returned(ty);
            }
            O::ReturnCall { function_index } => self.tail_call(function_index)?,
            O::ReturnCallIndirect { type_index, table_index } => {
                self.table(table_index)?;
                let index = self.pop_far()?;
                let ty = self.signature(type_index)?;
                let (first, args) = (Far(self.take_args(ty, Some(index.0))?), slots(ty));
                let (table, own) = (self.table_at(table_index), U32(self.params as u32));
                let ty = U32(type_index.as_u32());
                self.append(op::return_call_indirect { index, table, ty, own, first, args });
                self.reachable = false;
            }
            O::ReturnCallRef { type_index } => {
                let func = self.pop_far()?;
                let ty = self.signature(type_index)?;
                let (first, args) = (Far(self.take_args(ty, Some(func.0))?), slots(ty));
                let own = U32(self.params as u32);
                self.append(op::return_call_ref { func, own, first, args });
                self.reachable = false;
            }
        }
        Ok(())
    }

    pub(super) fn signature(&self, index: TypeIndex) -> Outcome<&'a FuncType> {
        let ty = self.env.info.signature(index);
        ty.ok_or_else(|| TranslateError::new("there is no such type"))
    }

    fn function_type(&self, index: FuncIndex) -> Outcome<&'a FuncType> {
        let ty = self.env.info.functions.get(index).copied();
        self.signature(ty.ok_or_else(|| TranslateError::new("there is no such function"))?)
    }

    /// The number of the call at hand among those whose targets are noted.
    fn noted_call(&mut self) -> U32 {
        let site = U32(self.b.noted_calls.len() as u32);
        self.b.noted_calls.push(self.position);
        site
    }

    /// The call just appended leaves its results.
    fn returned(&mut self, ty: &FuncType) {
        self.push_types(ty.results());
        self.safepoint();
        self.point(true, None);
    }

    /// Takes the arguments; returns where they end and how many slots they take.
    fn args(&mut self, ty: &FuncType, callee: Option<FrameSlot>) -> Outcome<(Far, U32)> {
        let first = self.take_args(ty, callee)?;
        Ok((Far(first.add(ty.param_slots() as i32)), slots(ty)))
    }

    fn call(&mut self, function: FuncIndex) -> Outcome {
        let ty = self.function_type(function)?;
        let (end, args) = self.args(ty, None)?;
        match self.env.info.defined_function(function) {
            Some(defined) => {
                let target = U32(self.env.layout.target(defined).as_u32());
                self.append(op::call { target, end, defined: U32(defined.as_u32()), args });
            }
            None => {
                let import = U32(self.env.layout.import(function).as_u32());
                self.append(op::call_import { import, end, index: U32(function.as_u32()), args });
            }
        }
        self.returned(ty);
        Ok(())
    }

    fn tail_call(&mut self, function: FuncIndex) -> Outcome {
        let ty = self.function_type(function)?;
        let (first, args) = (Far(self.take_args(ty, None)?), slots(ty));
        let own = U32(self.params as u32);
        match self.env.info.defined_function(function) {
            Some(defined) => {
                let target = U32(self.env.layout.target(defined).as_u32());
                self.append(op::return_call {
                    target,
                    defined: U32(defined.as_u32()),
                    own,
                    first,
                    args,
                });
            }
            None => {
                let (import, index) =
                    (U32(self.env.layout.import(function).as_u32()), U32(function.as_u32()));
                self.append(op::return_call_import { import, index, own, first, args });
            }
        }
        self.reachable = false;
        Ok(())
    }
}

fn slots(ty: &FuncType) -> U32 {
    U32(ty.param_slots() as u32)
}
