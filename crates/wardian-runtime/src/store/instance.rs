//! An instance of a store.

use super::block::Block;
use super::host::HostDef;
use crate::call::closing::CloseState;
use crate::ids::{FuncId, MemoryId, TableId, TagId};
use crate::module::ModuleInner;
use crate::settings::EngineKind;
use crate::value::SharedMemory;
use std::ptr::NonNull;
use std::sync::Arc;
use wardian_types::{
    DataIndex, DefinedFuncIndex, ElemIndex, FuncIndex, GlobalIndex, GlobalType, IndexVec,
    MemoryIndex, TableIndex, TagIndex,
};
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::MemoryVariant;
use wardian_vm::layout::VmImport;

/// An instance of a store.
pub struct InstanceData {
    /// Its module.
    pub module: Arc<ModuleInner>,
    /// The name that the embedder gave it.
    pub name: Option<String>,
    /// What compiled code is given as its context.
    pub(crate) vm: Block,
    /// Which code fits its memories.
    pub(crate) variant: MemoryVariant,
    /// Which functions run compiled, where not all do: a bit for each, as far as there are words.
    pub(crate) installed: Vec<u64>,
    /// For each function that the module defines two `*InterpretedFunc`, or null; none where compiled
    /// code never calls interpreted functions. Such code reads it, so it is never replaced.
    pub(crate) interpreted: Option<Block>,
    /// For each function that the module defines its hook, or null; empty as long as nobody ever
    /// listened. Wrappers read it, so it is never replaced.
    pub(crate) listened: Box<[usize]>,
    /// The code that it was closed with, once the store has acted on that.
    pub(crate) closed: Option<u32>,
    /// What it shares with those who close it and those who want to know, once there are any.
    pub state: Option<Arc<CloseState>>,
    /// Its memories.
    pub memories: IndexVec<MemoryIndex, MemoryRef>,
    /// Its tables.
    pub tables: IndexVec<TableIndex, TableId>,
    /// Its tags.
    pub tags: IndexVec<TagIndex, TagId>,
    /// What its imported functions are.
    pub(crate) imports: IndexVec<FuncIndex, ImportedFunc>,
    /// The store's function for each function, or [`NONE`].
    pub(crate) funcs: IndexVec<FuncIndex, FuncId>,
    /// Whether each element segment has been dropped.
    pub(crate) dropped_elements: IndexVec<ElemIndex, bool>,
    /// The elements of segments whose expressions make objects. The others are evaluated when they are used.
    pub(crate) elements: IndexVec<ElemIndex, Option<Arc<[u64]>>>,
    /// Whether each data segment has been dropped.
    pub(crate) dropped_data: IndexVec<DataIndex, bool>,
}

/// A memory of an instance.
#[derive(Clone)]
pub enum MemoryRef {
    /// One of the store.
    Own(MemoryId),
    /// One that several stores share.
    Shared(SharedMemory),
}

/// An imported function.
#[derive(Clone)]
pub enum ImportedFunc {
    /// A function of the store.
    Func(FuncId),
    /// A host function of a linker, which is no function of the store until somebody asks.
    Host(Arc<HostDef>),
}

/// Means "none yet" in [`InstanceData::funcs`].
const NONE: FuncId = FuncId::from_u32(u32::MAX);

impl InstanceData {
    pub(crate) fn no_funcs(count: usize) -> IndexVec<FuncIndex, FuncId> {
        vec![NONE; count].into()
    }

    /// Address of a global's value, and its type.
    pub fn global(&self, index: GlobalIndex) -> (NonNull<u64>, GlobalType) {
        let ty = self.module.decoded.info().globals[index];
        let at = self.vm.read::<usize>(self.module.layout.global_ref(index));
        let at = NonNull::new(at as *mut u64).expect("instantiation filled it");
        (at, ty)
    }

    /// The code that it was closed with, if it was, maybe just now by another thread.
    pub fn exit_code(&self) -> Option<u32> {
        self.state.as_ref().and_then(|state| state.code())
    }

    /// The compiled code of a function that the instance defines, as it is without listeners; none if
    /// it is interpreted.
    pub(crate) fn plain(&self, defined: DefinedFuncIndex) -> Option<CodeAddr> {
        let installed = || {
            let word = self.installed.get(defined.index() / 64);
            word.is_some_and(|word| word & 1 << (defined.index() % 64) != 0)
        };
        let is_compiled = self.module.engine.kind() == EngineKind::Compiled || installed();
        if is_compiled { self.module.compiled(self.variant, defined) } else { None }
    }

    /// Whether anything leads to a function that the instance defines.
    pub(crate) fn is_linked(&self, defined: DefinedFuncIndex) -> bool {
        let (layout, info) = (self.module.layout, self.module.decoded.info());
        self.vm.read::<usize>(layout.entry(defined)) != 0
            || self.vm.read::<u64>(layout.target(defined)) != 0
            || self.func_if_known(info.func_index(defined)).is_some()
    }

    /// Notes that a function runs compiled. Returns whether it did not before.
    pub(crate) fn set_installed(&mut self, defined: DefinedFuncIndex) -> bool {
        let (word, bit) = (defined.index() / 64, 1 << (defined.index() % 64));
        if self.installed.len() <= word {
            self.installed.resize(word + 1, 0);
        }
        let before = self.installed[word];
        self.installed[word] = before | bit;
        before & bit == 0
    }

    /// The store's function for a function, if it has one yet.
    pub(crate) fn func_if_known(&self, func: FuncIndex) -> Option<FuncId> {
        self.funcs.get(func).copied().filter(|f| *f != NONE)
    }

    pub(crate) fn import(&self, index: FuncIndex) -> VmImport {
        self.vm.read(self.module.layout.import(index))
    }
}
