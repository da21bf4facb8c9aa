//! Calls: to functions of the module, to imports, through tables, and in tail position.

use super::env::guest_signature;
use super::state::{Fail, Outcome, Region, Translator, user};
use crate::listen;
use crate::slots::store_slots;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, SigRef, Value, types};
use wardian_module::operators::Call;
use wardian_types::{FuncIndex, FuncType, OperandIndex, TableIndex, TrapCode, TypeIndex};
use wardian_vm::layout::{Builtin, func, instance, store_ctx};

/// What to call, and with which context.
pub(super) struct Callee {
    code: Value,
    ctx: Value,
}

impl<'a> Translator<'a, '_> {
    pub(super) fn call_operator(&mut self, operator: Call) -> Outcome {
        use Call as O;
        match operator {
            O::Call { function_index } => {
                let type_index = self.function_type(function_index)?;
                match self.inlinable(function_index) {
                    Some(leaf) => self.inline_or_call(type_index, function_index, leaf)?,
                    None => {
                        let callee = self.function(function_index);
                        self.call(type_index, &callee)?;
                    }
                }
            }
            O::CallIndirect { type_index, table_index } => {
                let element = self.table_element(table_index)?;
                let null = TrapCode::IndirectCallToNull;
                self.inline_or_call_referred(type_index, element, null, |t| {
                    t.checked_element(type_index, element)
                })?;
            }
            O::CallRef { type_index } => {
                let reference = self.pop()?;
                let null = TrapCode::NullFunctionReference;
                self.inline_or_call_referred(type_index, reference, null, |t| {
                    t.referred(type_index, reference)
                })?;
            }
            O::ReturnCall { function_index } => {
                let type_index = self.function_type(function_index)?;
                let callee = self.function(function_index);
                self.tail_call(type_index, &callee)?;
            }
            O::ReturnCallIndirect { type_index, table_index } => {
                let element = self.table_element(table_index)?;
                let callee = self.checked_element(type_index, element)?;
                self.tail_call(type_index, &callee)?;
            }
            O::ReturnCallRef { type_index } => {
                let reference = self.pop()?;
                let callee = self.referred(type_index, reference)?;
                self.tail_call(type_index, &callee)?;
            }
        }
        Ok(())
    }

    pub(super) fn function_type(&self, index: FuncIndex) -> Outcome<TypeIndex> {
        let ty = self.env.info.functions.get(index).copied();
        ty.ok_or_else(|| Fail(format!("there is no function {index}")))
    }

    /// Every call loads the code's address from the instance's entry table: entries are replaced while the guest runs,
    /// when a listener is attached or hot code is compiled.
    pub(super) fn function(&mut self, index: FuncIndex) -> Callee {
        let layout = self.env.layout;
        match self.env.info.defined_function(index) {
            Some(defined) => {
                let offset = layout.entry(defined).as_i32();
                let code = self.load_trusted(types::I64, Region::Code, self.vmctx, offset);
                Callee { code, ctx: self.vmctx }
            }
            None => {
                let offset = layout.import(index).as_i32();
                let code =
                    self.load_trusted(types::I64, Region::Code, self.vmctx, offset + func::CODE);
                // Changes with the code: see `wardian_vm::layout::Noted`.
                let ctx =
                    self.load_trusted(types::I64, Region::Code, self.vmctx, offset + func::CTX);
                Callee { code, ctx }
            }
        }
    }

    /// The element that a call through a table names, which may be null.
    fn table_element(&mut self, table: TableIndex) -> Outcome<Value> {
        let index = self.pop_extended()?;
        let address = self.element_address(table, index, TrapCode::UndefinedElement)?;
        Ok(self.load_trusted(types::I64, Region::Elements, address, 0))
    }

    /// The function of a table's element, after its type was compared.
    pub(super) fn checked_element(
        &mut self,
        type_index: TypeIndex,
        element: Value,
    ) -> Outcome<Callee> {
        self.signature(type_index)?;
        let flags = self.trusted(Region::Code);
        let found = if self.env.tunables.signals {
            // A null reference faults here: the first page is never mapped.
            let flags = flags.with_trap_code(Some(user(TrapCode::IndirectCallToNull)));
            self.b.ins().load(types::I32, flags, element, func::SIG)
        } else {
            self.trap_if_zero(element, TrapCode::IndirectCallToNull);
            self.b.ins().load(types::I32, flags, element, func::SIG)
        };
        let ids = self.load_fixed(types::I64, self.vmctx, instance::SIGNATURES);
        let offset = i32::try_from(u64::from(type_index.as_u32()) * 4)
            .map_err(|_| Fail("too many types".into()))?;
        let wanted = self.load_fixed(types::I32, ids, offset);
        let differs = self.b.ins().icmp(IntCC::NotEqual, found, wanted);
        self.check_signature(element, type_index, differs)?;
        self.note_caller();
        let code = self.load_trusted(types::I64, Region::Code, element, func::CODE);
        let ctx = self.load_trusted(types::I64, Region::Code, element, func::CTX);
        Ok(Callee { code, ctx })
    }

    /// The function that a reference is to, which validation has proved to be of this type.
    fn referred(&mut self, type_index: TypeIndex, reference: Value) -> Outcome<Callee> {
        self.signature(type_index)?;
        let null = TrapCode::NullFunctionReference;
        let mut flags = self.trusted(Region::Code);
        if self.env.tunables.signals {
            // A null reference faults at this load: the first page is never mapped.
            flags = flags.with_trap_code(Some(user(null)));
        } else {
            self.trap_if_zero(reference, null);
        }
        let code = self.b.ins().load(types::I64, flags, reference, func::CODE);
        let ctx = self.load_trusted(types::I64, Region::Code, reference, func::CTX);
        self.note_caller();
        Ok(Callee { code, ctx })
    }

    /// Notes which instance calls through a reference, for listeners of the callee.
    fn note_caller(&mut self) {
        let store = self.store_ctx();
        let flags: MemFlagsData = self.trusted(Region::Store);
        self.b.ins().store(flags, self.vmctx, store, store_ctx::INDIRECT_CALLER);
    }

    fn type_sig(&mut self, index: TypeIndex) -> Outcome<(SigRef, &'a FuncType)> {
        let ty = self.signature(index)?;
        let b = &mut self.b;
        let sig =
            *self.type_sigs.entry(index).or_insert_with(|| b.import_signature(guest_signature(ty)));
        Ok((sig, ty))
    }

    fn call_args(&mut self, ty: &FuncType, ctx: Value) -> Outcome<Vec<Value>> {
        let start = self.height_below(ty.params().len())?;
        let mut args = Vec::with_capacity(ty.params().len() + 1);
        args.push(ctx);
        args.extend(self.stack.truncate(start));
        Ok(args)
    }

    pub(super) fn call(&mut self, type_index: TypeIndex, callee: &Callee) -> Outcome {
        let (sig, ty) = self.type_sig(type_index)?;
        let args = self.call_args(ty, callee.ctx)?;
        let stored = self.store_for_call()?;
        let results = self.call_guest(sig, callee.code, &args, stored)?;
        for (value, ty) in results.iter().zip(ty.results()) {
            self.note_type(*ty, *value);
        }
        self.stack.extend(results);
        Ok(())
    }

    fn tail_call(&mut self, type_index: TypeIndex, callee: &Callee) -> Outcome {
        let (sig, ty) = self.type_sig(type_index)?;
        let args = self.call_args(ty, callee.ctx)?;
        if self.env.tells {
            let hook = listen::hook(&mut self.b, self.vmctx, self.defined);
            listen::notify(&mut self.b, self.vmctx, Builtin::ListenTail, &[hook]);
        }
        self.b.ins().return_call_indirect(sig, callee.code, &args);
        self.reachable = false;
        Ok(())
    }

    /// Notifies listeners that the function returns the operands from `start` on.
    pub(super) fn notify_return(&mut self, start: OperandIndex) {
        let b = &mut self.b;
        let hook = listen::hook(b, self.vmctx, self.defined);
        let slots = *self.result_slots.get_or_insert_with(|| listen::slots(b, self.ty));
        let slots = b.ins().stack_addr(types::I64, slots, 0);
        store_slots(b, self.ty.results(), slots, &self.stack[start..]);
        listen::notify(b, self.vmctx, Builtin::ListenAfter, &[hook, slots]);
    }
}
