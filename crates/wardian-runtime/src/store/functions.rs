//! The functions of a store: their records, which references lead to, and what stands behind each.
//!
//! ```text
//!   a reference as guests hold it ── address ──> VmFunc (index, handle, code, signature)
//!   a function's index            ── all ──────> the record and its FuncKind
//!   what an object holds          ── records ──> the record: by one more than the index, so that null is zero
//! ```

use super::arena::Arena;
use super::host::HostDef;
use crate::code::signatures::Signature;
use crate::ids::{FuncId, InstanceId};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;
use wardian_types::{FuncIndex, IndexVec, TypeNumber};
use wardian_vm::addr::{CodeAddr, FuncIdentity, FuncPtr, VmCtxPtr};
use wardian_vm::layout::{HostFunc, InterpretedFunc, Noted, StoreCtx, VmFunc};

/// Records are in arenas, since code and references have their addresses: they live as long as the store.
#[derive(Default)]
pub struct Functions {
    /// By [`VmFunc::index`].
    all: IndexVec<FuncId, FuncData>,
    arena: Arena<VmFunc>,
    /// Addresses of the records by what objects hold. The context of the store refers to it.
    records: Vec<FuncPtr>,
    /// What compiled code calls host functions with.
    hosts: Arena<HostFunc>,
    /// What compiled code calls interpreted functions with.
    interpreted: Arena<InterpretedFunc>,
    /// What notes the caller of an import, by importing instance and import.
    noted: HashMap<(VmCtxPtr, FuncIndex), NonNull<Noted>>,
    noted_arena: Arena<Noted>,
    /// Of host functions and tags that no module of the store needs to have.
    signatures: Vec<Signature>,
}

/// A function of a store.
struct FuncData {
    vm: NonNull<VmFunc>,
    kind: FuncKind,
}

/// What stands behind a function.
#[derive(Clone)]
pub enum FuncKind {
    /// A function that an instance defines.
    Wasm {
        /// The instance.
        instance: InstanceId,
        /// Which function of the instance.
        func: FuncIndex,
    },
    /// A host function.
    Host(Arc<HostDef>),
}

impl Functions {
    /// Keeps a signature, with its number and its trampolines, as long as the store.
    pub(crate) fn keep_signature(&mut self, signature: Signature) {
        if self.signatures.iter().all(|kept| kept.number() != signature.number()) {
            self.signatures.push(signature);
        }
    }

    /// Adds what compiled code calls host functions with: these records, one behind the other. Returns the first.
    pub(crate) fn add_hosts(&mut self, records: Vec<HostFunc>) -> NonNull<HostFunc> {
        self.hosts.extend(records)
    }

    /// Adds what compiled code calls a host function with.
    pub(crate) fn add_host(&mut self, record: HostFunc) -> NonNull<HostFunc> {
        self.hosts.push(record)
    }

    /// Adds what compiled code calls an interpreted function with.
    pub(crate) fn add_interpreted(&mut self, record: InterpretedFunc) -> NonNull<InterpretedFunc> {
        self.interpreted.push(record)
    }

    /// What stands behind a function.
    #[inline]
    pub fn kind(&self, func: FuncId) -> &FuncKind {
        &self.all[func].kind
    }

    /// The same, if there is a function of that index.
    pub fn find(&self, func: FuncId) -> Option<&FuncKind> {
        self.all.get(func).map(|data| &data.kind)
    }

    /// The record of a function.
    #[inline]
    pub fn record(&self, func: FuncId) -> NonNull<VmFunc> {
        self.all[func].vm
    }

    /// The record of a function, if there is one of that index.
    pub(crate) fn get(&self, func: FuncId) -> Option<NonNull<VmFunc>> {
        self.all.get(func).map(|data| data.vm)
    }

    /// Adds a function of the store with the number `store`.
    ///
    /// # Safety
    ///
    /// `ctx` is the context of that store, and no code of its guests runs: they wait for the caller, if there are any.
    pub(crate) unsafe fn add(
        &mut self,
        store: u64,
        ctx: *mut StoreCtx,
        (code, code_ctx, sig): (CodeAddr, VmCtxPtr, TypeNumber),
        (kind, identity): (FuncKind, FuncIdentity),
    ) -> FuncId {
        let index = self.all.next_index();
        // The store's number makes a handle of one store useless in another.
        let handle = (store << 32) | (u64::from(index.as_u32()) + 1);
        let (target, entry) = (0, 0.into());
        let vm = VmFunc { code, ctx: code_ctx, sig, index, handle, target, entry, identity };
        let vm = self.arena.push(vm);
        self.all.push(FuncData { vm, kind });
        if self.records.is_empty() {
            // For null.
            self.records.push(FuncPtr::NULL);
        }
        self.records.push(FuncPtr::of(vm.as_ptr()));
        // SAFETY: the caller's promise. Code reads these words anew each time.
        unsafe {
            (*ctx).func_records = self.records.as_ptr();
            (*ctx).func_record_count = self.records.len() as u64;
        }
        index
    }

    /// The record that notes the caller of an import, made by `make` if there is none yet.
    pub(crate) fn noted(
        &mut self,
        import: (VmCtxPtr, FuncIndex),
        make: impl FnOnce() -> Noted,
    ) -> NonNull<Noted> {
        let arena = &mut self.noted_arena;
        *self.noted.entry(import).or_insert_with(|| arena.push(make()))
    }
}
