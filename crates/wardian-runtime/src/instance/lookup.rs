//! The functions of instances as functions of the store.

use crate::ids::{FuncId, InstanceId};
use crate::store::functions::FuncKind;
use crate::store::inner::StoreInner;
use crate::store::instance::ImportedFunc;
use crate::store::instance::MemoryRef;
use crate::value::{Extern, Func, Tag};
use wardian_module::ItemIndex;
use wardian_types::FuncIndex;
use wardian_vm::addr::VmCtxPtr;
use wardian_vm::layout::VmFunc;

impl StoreInner {
    /// Something of an instance, by its index there.
    pub fn instance_item(&mut self, instance: InstanceId, item: ItemIndex) -> Extern {
        let store = self.id();
        match item {
            ItemIndex::Func(func) => {
                Extern::Func(Func { store, index: self.instance_func(instance, func) })
            }
            ItemIndex::Table(table) => {
                Extern::Table(store, self.entities[instance].tables()[table])
            }
            ItemIndex::Global(global) => Extern::Global(self.instance_global(instance, global)),
            ItemIndex::Tag(tag) => {
                Extern::Tag(Tag { store, index: self.instance_tag(instance, tag) })
            }
            ItemIndex::Memory(memory) => match &self.entities[instance].memories()[memory] {
                MemoryRef::Own(index) => Extern::Memory(store, *index),
                MemoryRef::Shared(shared) => Extern::SharedMemory(shared.clone()),
            },
        }
    }

    /// The store's function for function `func` of an instance.
    pub fn instance_func(&mut self, instance: InstanceId, func: FuncIndex) -> FuncId {
        let data = &self.entities[instance];
        if let Some(known) = data.func_if_known(func) {
            return known;
        }
        let sig = {
            let info = data.module().decoded.info();
            data.module().signatures[info.functions[func]]
        };
        let index = match data.module().decoded.info().defined_function(func) {
            Some(defined) => {
                let ctx = data.vm().address();
                let (_, code, _) = self.code_of(instance, defined);
                self.add_func(code, ctx, sig, FuncKind::Wasm { instance, func })
            }
            None => match data.imports()[func].clone() {
                ImportedFunc::Func(known) => known,
                ImportedFunc::Host(def) => {
                    let code = data.import(func).code;
                    self.add_host_func(def, code, sig)
                }
            },
        };
        self.entities[instance].set_func(func, index);
        index
    }

    /// The instance whose context is at an address.
    pub(crate) fn instance_at(&self, vmctx: VmCtxPtr) -> Option<InstanceId> {
        if vmctx.is_null() {
            return None;
        }
        // SAFETY: addresses that reach this come from compiled code: they are contexts of
        // instances of this store, which hold their position in the store.
        Some(unsafe { vmctx.instance() })
    }

    /// The record of a function.
    pub(crate) fn vm_func(&self, func: FuncId) -> &VmFunc {
        // SAFETY: records live as long as the store and are only read while guests run.
        unsafe { self.entities.funcs().record(func).as_ref() }
    }
}
