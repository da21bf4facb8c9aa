//! An instance of a store.

use super::block::Block;
use super::host::HostDef;
use super::segments::Segments;
use crate::call::closing::CloseState;
use crate::ids::{FuncId, InterpretedIndex, MemoryId, TableId, TagId};
use crate::module::ModuleInner;
use crate::settings::EngineKind;
use crate::value::SharedMemory;
use std::ptr::NonNull;
use std::sync::Arc;
use wardian_types::{
    DefinedFuncIndex, FuncIndex, GlobalIndex, GlobalType, IndexVec, MemoryIndex, TableIndex,
    TagIndex,
};
use wardian_vm::addr::{CodeAddr, CtxOffset};
use wardian_vm::compiled::MemoryVariant;
use wardian_vm::layout::{InterpretedFunc, Listened, VmImport, instance};

/// An instance of a store.
pub struct InstanceData {
    module: Arc<ModuleInner>,
    /// The name that the embedder gave it.
    name: Option<String>,
    /// What compiled code is given as its context.
    vm: Block,
    /// Which code fits its memories.
    variant: MemoryVariant,
    /// Which functions run compiled, where not all do: a bit for each, as far as there are words.
    installed: Vec<u64>,
    /// For each function that the module defines two `*InterpretedFunc`, or null; none where compiled
    /// code never calls interpreted functions. Such code reads it, so it is never replaced.
    interpreted: Option<Block>,
    /// For each function that the module defines a `*Listened`, or null; empty as long as nobody ever
    /// listened. Wrappers read it, so it is never replaced.
    listened: Box<[usize]>,
    /// The code that it was closed with, once the store has acted on that.
    closed: Option<u32>,
    /// What it shares with those who close it and those who want to know, once there are any.
    state: Option<Arc<CloseState>>,
    items: Items,
    /// The store's function for each function, or [`NONE`]; empty as long as nobody asked for any.
    funcs: IndexVec<FuncIndex, FuncId>,
    segments: Segments,
}

/// What an instance refers to: what it imports, and what of the store it owns.
pub(crate) struct Items {
    pub(crate) memories: IndexVec<MemoryIndex, MemoryRef>,
    pub(crate) tables: IndexVec<TableIndex, TableId>,
    pub(crate) tags: IndexVec<TagIndex, TagId>,
    /// What the imported functions are.
    pub(crate) imports: IndexVec<FuncIndex, ImportedFunc>,
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
    /// An instance whose context is filled: `variant` is the code that fits its memories, and `interpreted` the table
    /// that the context has of interpreted functions.
    pub(crate) fn new(
        module: Arc<ModuleInner>,
        vm: Block,
        variant: MemoryVariant,
        interpreted: Option<Block>,
        items: Items,
    ) -> InstanceData {
        let info = module.decoded.info();
        let segments = Segments::new(info.elements.len(), info.data.len());
        InstanceData {
            module,
            name: None,
            vm,
            variant,
            installed: Vec::new(),
            interpreted,
            listened: Box::default(),
            closed: None,
            state: None,
            items,
            funcs: IndexVec::new(),
            segments,
        }
    }

    /// Its module.
    #[inline]
    pub fn module(&self) -> &Arc<ModuleInner> {
        &self.module
    }

    /// The name that the embedder gave it.
    pub(crate) fn given_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// That name, or else the name of its module.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref().or_else(|| self.module.decoded.name())
    }

    /// Gives it a name.
    pub(crate) fn set_name(&mut self, name: Option<String>) {
        self.name = name;
    }

    /// What compiled code is given as its context.
    #[inline]
    pub(crate) fn vm(&self) -> &Block {
        &self.vm
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn vm_mut(&mut self) -> &mut Block {
        &mut self.vm
    }

    /// Which code fits its memories.
    #[inline]
    pub(crate) fn variant(&self) -> MemoryVariant {
        self.variant
    }

    /// Its memories.
    #[inline]
    pub fn memories(&self) -> &IndexVec<MemoryIndex, MemoryRef> {
        &self.items.memories
    }

    /// Its tables.
    #[inline]
    pub fn tables(&self) -> &IndexVec<TableIndex, TableId> {
        &self.items.tables
    }

    /// Its tags.
    #[inline]
    pub fn tags(&self) -> &IndexVec<TagIndex, TagId> {
        &self.items.tags
    }

    /// What its imported functions are.
    pub(crate) fn imports(&self) -> &IndexVec<FuncIndex, ImportedFunc> {
        &self.items.imports
    }

    /// Its segments.
    pub(crate) fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The same, to be changed.
    pub(crate) fn segments_mut(&mut self) -> &mut Segments {
        &mut self.segments
    }

    /// Which store's function a function is.
    pub(crate) fn set_func(&mut self, func: FuncIndex, index: FuncId) {
        if self.funcs.is_empty() {
            self.funcs = vec![NONE; self.module.decoded.info().functions.len()].into();
        }
        self.funcs[func] = index;
    }

    /// Tells compiled code of an interpreted function.
    pub(crate) fn set_interpreted(
        &mut self,
        which: InterpretedIndex,
        record: NonNull<InterpretedFunc>,
    ) {
        if let Some(table) = &mut self.interpreted {
            let bytes = which.index() * size_of::<usize>();
            table.write(CtxOffset::from_u32(bytes as u32), record.as_ptr());
        }
    }

    /// What wrappers read of a function that the instance defines, if anybody ever listened to it.
    pub(crate) fn listened(&self, defined: DefinedFuncIndex) -> Option<NonNull<Listened>> {
        NonNull::new(self.listened.get(defined.index()).copied()? as *mut Listened)
    }

    /// Sets what wrappers read of a function, which lives as long as the store.
    pub(crate) fn set_listened(&mut self, defined: DefinedFuncIndex, listened: NonNull<Listened>) {
        if self.listened.is_empty() {
            self.listened = vec![0; self.module.decoded.info().bodies.len()].into();
        }
        self.listened[defined.index()] = listened.as_ptr() as usize;
        // Wrappers find the table by this word.
        self.set_is_listened(true);
    }

    /// Notes for compiled code whether anybody listens to a function of the instance.
    pub(crate) fn set_is_listened(&mut self, is_listened: bool) {
        if !self.listened.is_empty() {
            let nobody = if is_listened { 0 } else { instance::NOBODY_LISTENS };
            let word = self.listened.as_ptr() as usize | nobody;
            self.vm.write(CtxOffset::of(instance::LISTENED), word);
        }
    }

    /// The code that it was closed with, once the store has acted on that.
    #[inline]
    pub(crate) fn closed(&self) -> Option<u32> {
        self.closed
    }

    /// Notes whether it is closed, and with which code. Returns what was so before.
    pub(super) fn set_closed(&mut self, code: Option<u32>) -> Option<u32> {
        std::mem::replace(&mut self.closed, code)
    }

    /// What it shares with those who close it and those who want to know, once there are any.
    pub(crate) fn close_state(&self) -> Option<&Arc<CloseState>> {
        self.state.as_ref()
    }

    /// Sets that: for an instance that has none, or that begins a new life.
    pub(crate) fn set_close_state(&mut self, state: Arc<CloseState>) {
        self.state = Some(state);
    }

    /// Address of a global's value, and its type.
    pub fn global(&self, index: GlobalIndex) -> (NonNull<u64>, GlobalType) {
        let ty = self.module.decoded.info().globals[index];
        let at = self.vm.read::<*mut u64>(self.module.layout.global_ref(index));
        let at = NonNull::new(at).expect("instantiation filled it");
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
        !self.vm.read::<CodeAddr>(layout.entry(defined)).is_null()
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
