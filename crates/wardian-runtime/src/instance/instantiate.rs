//! From a module and its imports to an instance (core specification, "Instantiation").

use crate::ErrorKind;
use crate::call::builtins::ELEMENTS_CHUNK;
use crate::call::closing::CloseNotifier;
use crate::call::enter::Callable;
use crate::code::registry::LoadedCode;
use crate::error::LimitKind;
use crate::ids::{FuncId, InstanceId, MemoryId, TableId, TagId};
use crate::instance::memory::{Source, Supplier, Supply};
use crate::limiter::{Granted, Limiter};
use crate::listen::attach::compiled_in;
use crate::listen::hook::AttachmentState;
use crate::module::ModuleInner;
use crate::settings::EngineKind;
use crate::store::block::Block;
use crate::store::global::GlobalAt;
use crate::store::host::HostDef;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::instance::{ImportedFunc, InstanceData, Items, MemoryRef};
use crate::value::SharedMemory;
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use wardian_module::{ConstExpr, ModuleInfo, SegmentMode};
use wardian_types::{
    DataOffset, FuncIndex, GlobalIndex, GuestAddr, IndexVec, MemoryIndex, MemoryType,
    SegmentElementIndex, TableElementIndex, TableIndex, TagIndex, ValType,
};
use wardian_vm::EntryKind;
use wardian_vm::addr::{CtxOffset, VmCtxPtr};
use wardian_vm::compiled::MemoryVariant;
use wardian_vm::layout::{VmImport, VmMemory, instance};

/// An import whose type has been checked.
pub enum ImportItem {
    /// A function of the store.
    Func(FuncId),
    /// A function of the host that is no function of the store.
    Host(Arc<HostDef>),
    /// A table of the store.
    Table(TableId),
    /// A memory of the store.
    Memory(MemoryId),
    /// A memory that several stores share.
    Shared(SharedMemory),
    /// A global.
    Global(crate::value::Global),
    /// A tag of the store.
    Tag(TagId),
}

/// The imports, each kind in the order of its index space.
#[derive(Default)]
pub struct Imports {
    funcs: IndexVec<FuncIndex, ImportedFunc>,
    tables: IndexVec<TableIndex, TableId>,
    memories: IndexVec<MemoryIndex, MemoryRef>,
    globals: IndexVec<GlobalIndex, GlobalAt>,
    tags: IndexVec<TagIndex, TagId>,
}

impl Imports {
    /// Adds the item of the next import.
    pub fn push(&mut self, item: ImportItem) {
        match item {
            ImportItem::Func(func) => _ = self.funcs.push(ImportedFunc::Func(func)),
            ImportItem::Host(def) => _ = self.funcs.push(ImportedFunc::Host(def)),
            ImportItem::Table(table) => _ = self.tables.push(table),
            ImportItem::Memory(memory) => _ = self.memories.push(MemoryRef::Own(memory)),
            ImportItem::Shared(shared) => _ = self.memories.push(MemoryRef::Shared(shared)),
            ImportItem::Global(global) => _ = self.globals.push(global.at()),
            ImportItem::Tag(tag) => _ = self.tags.push(tag),
        }
    }
}

/// Options of an instance.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// The name that the embedder gives it.
    pub name: Option<&'a str>,
    /// Who is notified when it is closed.
    pub close_notifiers: &'a [Arc<dyn CloseNotifier>],
    /// Who supplies its memories, if it is not the engine.
    pub supplier: Option<&'a dyn Supplier>,
}

impl<T: Embedder> StoreData<T> {
    /// Makes an instance and runs its start function.
    pub fn instantiate(
        &mut self,
        module: &Arc<ModuleInner>,
        imports: Imports,
        options: &Options<'_>,
    ) -> Result<InstanceId> {
        let (instance, start) = self.prepare_instance(module, imports, options)?;
        if let Some(callable) = start {
            // SAFETY: a start function has neither parameters nor results.
            unsafe {
                StoreData::invoke(self, callable, std::ptr::NonNull::<u64>::dangling().as_ptr())?
            };
        }
        Ok(instance)
    }

    /// [`StoreData::instantiate`] up to the start function, which is still to be called if there is one.
    pub fn prepare_instance(
        &mut self,
        module: &Arc<ModuleInner>,
        imports: Imports,
        options: &Options<'_>,
    ) -> Result<(InstanceId, Option<Callable>)> {
        let (inner, mut limiter) = self.split();
        if let Some(limiter) = &mut limiter
            && inner.entities.instances().len() >= limiter.instances()
        {
            return Err(Error::limit(
                LimitKind::Store,
                "the store's limits allow no further instance",
            ));
        }
        let supplier = options.supplier.map(|supplier| Supply {
            supplier,
            module: module.decoded.name(),
            instance: options.name,
        });
        let instance = inner.allocate(module, imports, supplier, &mut limiter)?;
        inner.entities[instance].set_name(options.name.map(str::to_owned));
        inner.note_sampled_memory(instance);
        inner.link_closing(instance);
        inner.notify_of_closing(instance, options.close_notifiers);
        let listened = compiled_in(module);
        if !listened.is_empty() {
            inner.attach(instance, listened, &AttachmentState::lasting())?;
        }
        inner.initialize(instance, &mut limiter)?;
        let start = module.decoded.info().start.map(|start| {
            let func = inner.instance_func(instance, start);
            inner.callable(func)
        });
        Ok((instance, start.transpose()?))
    }
}

impl StoreInner {
    /// Everything up to the segments. If it fails nothing is left of it.
    fn allocate(
        &mut self,
        module: &Arc<ModuleInner>,
        imports: Imports,
        supplier: Option<Supply<'_>>,
        limiter: &mut Option<&mut dyn Limiter>,
    ) -> Result<InstanceId> {
        let before = self.entities.mark();
        let mut granted = limiter.as_deref_mut().map(Granted::new);
        let mut recorder = granted.as_mut().map(|granted| granted as &mut dyn Limiter);
        // Limiter and allocator are the embedder's, and may panic.
        let build = || self.build(module, imports, supplier, &mut recorder);
        let done = catch_unwind(AssertUnwindSafe(build));
        if !matches!(done, Ok(Ok(_))) {
            // Their bounds are in the instance that is given up.
            for memory in self.entities.give_up_since(before) {
                memory.release(self.engine());
            }
            if let Some(granted) = granted {
                granted.give_back();
            }
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn build(
        &mut self,
        module: &Arc<ModuleInner>,
        mut imports: Imports,
        supplier: Option<Supply<'_>>,
        limiter: &mut Option<&mut dyn Limiter>,
    ) -> Result<InstanceId> {
        let info = module.decoded.info();
        let layout = module.layout;
        let mut vm = Block::new(layout.size() as usize);
        let position = self.entities.instances().next_index();
        vm.write(CtxOffset::of(instance::STORE), self.ctx());
        vm.write(CtxOffset::of(instance::OWNER), position);
        vm.write(CtxOffset::of(instance::BUILTINS), wardian_vm::builtin_stubs().as_ptr());
        vm.write(CtxOffset::of(instance::SIGNATURES), module.signatures.as_slice().as_ptr());
        self.fill_imports(module, &mut vm, &imports)?;

        self.make_memories(module, &mut vm, &mut imports, supplier, limiter)?;
        self.make_tables(module, &mut vm, &mut imports, limiter)?;

        for (index, at) in imports.globals.enumerated() {
            vm.write(layout.global_ref(index), at.0);
        }
        for index in info.globals.indices() {
            let Some(defined) = info.defined_global(index) else { continue };
            let at = vm.field::<u64>(layout.global(defined));
            vm.write(layout.global_ref(index), at);
        }

        self.add_object_types(module)?;
        vm.write(CtxOffset::of(instance::HEAP), self.heap_base());
        for (index, ty) in info.tags.enumerated().skip(info.imported_tags as usize) {
            let sig = module.signatures[*ty];
            let ty = info.signature(*ty).expect("validated: a tag has a function type");
            let origin = Some((position, index));
            imports.tags.push(self.add_tag(ty.clone(), sig, origin));
        }

        let variant = self.variant(module, &imports.memories);
        let interpreted = self.prepare_code(module, variant, &mut vm)?;
        let Imports { memories, tables, tags, funcs, .. } = imports;
        let items = Items { memories, tables, tags, imports: funcs };
        self.entities.add_instance(InstanceData::new(
            module.clone(),
            vm,
            variant,
            interpreted,
            items,
        ));
        Ok(position)
    }

    /// Makes the tables that the module defines, and refers to all.
    fn make_tables(
        &mut self,
        module: &ModuleInner,
        vm: &mut Block,
        imports: &mut Imports,
        limiter: &mut Option<&mut dyn Limiter>,
    ) -> Result<()> {
        let (info, layout) = (module.decoded.info(), module.layout);
        for (index, ty) in info.tables.enumerated() {
            let Some(defined) = info.defined_table(index) else { continue };
            let at = vm.field(layout.table(defined));
            if limiter.as_mut().is_some_and(|l| self.entities.tables().len() >= l.tables()) {
                let message = "the store's limits allow no further table";
                return Err(Error::limit(LimitKind::Store, message));
            }
            imports.tables.push(self.add_table(ty, Some(at), reborrow(limiter))?);
        }
        for (index, table) in imports.tables.enumerated() {
            vm.write(layout.table_ref(index), self.entities[*table].vm());
        }
        Ok(())
    }

    /// Makes sure that guests of the instance can allocate objects, if its module has types of them.
    fn add_object_types(&mut self, module: &ModuleInner) -> Result<()> {
        for (ty, declared) in module.decoded.info().types.enumerated() {
            if declared.func().is_none() {
                self.add_object_type(module.signature(ty))?;
            }
        }
        self.publish_displays();
        Ok(())
    }

    /// Makes sure that the instance's functions can be called: by their code, or by the stub that leads to
    /// the interpreter. Returns the table of interpreted functions.
    fn prepare_code(
        &mut self,
        module: &Arc<ModuleInner>,
        variant: MemoryVariant,
        vm: &mut Block,
    ) -> Result<Option<Block>> {
        let count = module.decoded.info().bodies.len();
        match self.engine().kind() {
            EngineKind::Interpreted => Ok(None),
            EngineKind::Compiled => {
                let code = match module.loaded(variant) {
                    Some(code) => code,
                    None => self.compile_variant(module, variant)?,
                };
                for (defined, entry) in code.functions() {
                    vm.write(module.layout.entry(defined), entry);
                }
                Ok(None)
            }
            EngineKind::Tiered => {
                let types = &module.decoded.info().types;
                let mut funcs = types.iter().filter_map(|ty| ty.func());
                let in_memory = funcs.any(wardian_vm::returns_in_memory);
                for in_memory in [Some(false), in_memory.then_some(true)].into_iter().flatten() {
                    wardian_vm::make_interpreted_entries(
                        count as u32,
                        EntryKind { noted: true, in_memory },
                    )
                    .map_err(crate::call::runtime_calls::no_code_memory)?;
                }
                let table = Block::new(2 * count * size_of::<usize>());
                vm.write(CtxOffset::of(instance::INTERPRETED), table.address());
                Ok(Some(table))
            }
        }
    }

    /// Compiles the code for other memories than usual; the store's deadline covers that too.
    fn compile_variant<'m>(
        &mut self,
        module: &'m Arc<ModuleInner>,
        variant: MemoryVariant,
    ) -> Result<&'m Arc<LoadedCode>> {
        let stop = self.stop_check();
        module.code(variant, &|| stop().is_some()).map_err(|error| match stop() {
            Some(reason) => Error::new(ErrorKind::Stopped(reason)),
            None => error,
        })
    }

    fn fill_imports(
        &mut self,
        module: &ModuleInner,
        vm: &mut Block,
        imports: &Imports,
    ) -> Result<()> {
        if imports.funcs.is_empty() {
            return Ok(());
        }
        let caller = vm.address();
        let trampolines = module.host_trampolines()?;
        // Host functions get a record for this importer, so that they know who calls.
        let defs = imports.funcs.iter().filter_map(|f| self.host_def(f));
        let records: Vec<_> = defs.map(|def| self.record_for(def, caller)).collect();
        let mut record = self.entities.funcs_mut().add_hosts(records);
        for (index, import) in imports.funcs.enumerated() {
            let entry = if self.host_def(import).is_some() {
                let ctx = VmCtxPtr::of(record.as_ptr());
                // SAFETY: there is a record for each host function, and this is at most one past
                // the last.
                record = unsafe { record.add(1) };
                VmImport { code: trampolines[index], ctx, target: 0 }
            } else {
                let ImportedFunc::Func(func) = import else { continue };
                match self.import_of_guest(caller, index, *func)? {
                    Some(entry) => entry,
                    None => continue,
                }
            };
            vm.write(module.layout.import(index), entry);
        }
        Ok(())
    }

    pub(crate) fn host_def<'a>(&'a self, import: &'a ImportedFunc) -> Option<&'a Arc<HostDef>> {
        match import {
            ImportedFunc::Host(def) => Some(def),
            ImportedFunc::Func(func) => match self.entities.funcs().kind(*func) {
                crate::store::functions::FuncKind::Host(def) => Some(def),
                crate::store::functions::FuncKind::Wasm { .. } => None,
            },
        }
    }

    /// The memories that the module defines, and where code finds all of them.
    fn make_memories(
        &mut self,
        module: &ModuleInner,
        vm: &mut Block,
        imports: &mut Imports,
        supplier: Option<Supply<'_>>,
        limiter: &mut Option<&mut dyn Limiter>,
    ) -> Result<()> {
        let (info, layout) = (module.decoded.info(), module.layout);
        let images = module.images();
        for (index, ty) in info.memories.enumerated().skip(info.imported_memories as usize) {
            let source = match supplier {
                Some(supplier) => Source::Allocator(supplier),
                None => Source::Engine(images.and_then(|i| i[index].clone())),
            };
            let at: NonNull<VmMemory> = vm.field(layout.memory(index));
            imports.memories.push(self.make_memory(ty, source, at, reborrow(limiter))?);
        }
        for (index, memory) in imports.memories.enumerated() {
            let at = match memory {
                MemoryRef::Own(own) => {
                    let memory = &mut self.entities[*own];
                    memory.rely_on(info.memories[index].min);
                    memory.vm().as_ptr().cast_const()
                }
                MemoryRef::Shared(shared) => std::ptr::from_ref(shared.vm()),
            };
            vm.write(layout.memory_ref(index), at);
        }
        Ok(())
    }

    fn make_memory(
        &mut self,
        ty: &MemoryType,
        source: Source<'_>,
        at: NonNull<VmMemory>,
        mut limiter: Option<&mut dyn Limiter>,
    ) -> Result<MemoryRef> {
        if let Some(limiter) = &mut limiter
            && self.entities.memories().len() >= limiter.memories()
        {
            return Err(Error::limit(
                LimitKind::Store,
                "the store's limits allow no further memory",
            ));
        }
        if ty.shared {
            let supplier = match source {
                Source::Allocator(supplier) => Some(supplier),
                Source::Engine(_) => None,
            };
            let shared = SharedMemory::with_limiter(self.engine(), ty, supplier, limiter)?;
            return Ok(MemoryRef::Shared(shared));
        }
        Ok(MemoryRef::Own(self.add_memory(ty, source, Some(at), limiter)?))
    }

    /// Which code fits the memories of an instance.
    fn variant(
        &self,
        module: &ModuleInner,
        memories: &IndexVec<MemoryIndex, MemoryRef>,
    ) -> MemoryVariant {
        let info = module.decoded.info();
        let all_guarded = memories.iter().zip(&info.memories).all(|(memory, ty)| {
            let guarded = match memory {
                MemoryRef::Own(own) => self.entities[*own].is_guarded(),
                MemoryRef::Shared(shared) => shared.is_guarded(),
            };
            // Memories that never can be are checked in either variant.
            guarded || !self.engine().can_guard(ty)
        });
        if all_guarded && module.usual_variant() == MemoryVariant::Guarded {
            MemoryVariant::Guarded
        } else {
            MemoryVariant::Checked
        }
    }

    /// Globals and segments.
    fn initialize(
        &mut self,
        instance: InstanceId,
        limiter: &mut Option<&mut dyn Limiter>,
    ) -> Result<()> {
        let module = self.entities[instance].module().clone();
        let info = module.decoded.info();
        let defined = info.globals.indices().skip(info.imported_globals as usize);
        for (index, init) in defined.zip(&info.global_inits) {
            let value = self.evaluate(instance, init, limiter)?;
            let (at, ty) = self.entities[instance].global(index);
            // SAFETY: a global has 16 bytes; no guest runs in the new instance yet.
            unsafe {
                at.write(value[0]);
                if ty.content == ValType::V128 {
                    at.add(1).write(value[1]);
                }
            }
        }
        self.fill_tables(instance, info, limiter)?;
        self.evaluate_segments(instance, info, limiter)?;
        self.initialize_tables(instance, info)?;
        self.initialize_memories(instance, &module)
    }

    /// Fills the tables that the module defines with their initial values. A table may be large: the store's
    /// deadline and its cancellation end that.
    fn fill_tables(
        &mut self,
        instance: InstanceId,
        info: &ModuleInfo,
        limiter: &mut Option<&mut dyn Limiter>,
    ) -> Result<()> {
        let defined = info.tables.indices().skip(info.imported_tables as usize);
        for (index, init) in defined.zip(&info.table_inits) {
            let Some(init) = init else { continue };
            let value = self.evaluate(instance, init, limiter)?[0];
            if value == 0 {
                continue;
            }
            let stop = self.stop_check();
            let table = self.entities[instance].tables()[index];
            for chunk in self.entities[table].elements_mut().chunks_mut(ELEMENTS_CHUNK) {
                if let Some(reason) = stop() {
                    return Err(Error::new(ErrorKind::Stopped(reason)));
                }
                chunk.fill(value);
            }
        }
        Ok(())
    }

    fn initialize_tables(&mut self, instance: InstanceId, info: &ModuleInfo) -> Result<()> {
        for (segment, elements) in info.elements.enumerated() {
            if let SegmentMode::Active { index, offset } = &elements.mode {
                let to = self.offset(instance, offset, info.tables[*index].table64)?;
                let len = elements.items.len() as u64;
                let to = (*index, TableElementIndex::from_u64(to));
                let from = (segment, SegmentElementIndex::FIRST);
                self.init_table(instance, to, from, len, true)?;
            }
            if elements.mode != SegmentMode::Passive {
                self.entities[instance].segments_mut().drop_elements(segment);
            }
        }
        Ok(())
    }

    fn initialize_memories(&mut self, instance: InstanceId, module: &ModuleInner) -> Result<()> {
        let info = module.decoded.info();
        let in_image = module.images().is_some();
        for (segment, data) in info.data.enumerated() {
            let SegmentMode::Active { index, offset } = &data.mode else { continue };
            // Images are only for memories of the engine's own.
            let written = in_image && !self.has_custom_memory(instance, *index);
            if !written {
                let to = self.offset(instance, offset, info.memories[*index].memory64)?;
                let len = data.range.len() as u64;
                let to = (*index, GuestAddr::from_u64(to));
                self.init_memory(instance, to, (segment, DataOffset::FIRST), len, true)?;
            }
            self.entities[instance].segments_mut().drop_data(segment);
        }
        Ok(())
    }

    fn has_custom_memory(&self, instance: InstanceId, memory: MemoryIndex) -> bool {
        match self.entities[instance].memories()[memory] {
            MemoryRef::Own(own) => self.entities[own].is_custom(),
            MemoryRef::Shared(_) => false,
        }
    }

    fn offset(&mut self, instance: InstanceId, offset: &ConstExpr, is_64: bool) -> Result<u64> {
        let value = self.evaluate(instance, offset, &mut None)?[0];
        Ok(if is_64 { value } else { u64::from(value as u32) })
    }
}

/// A limiter for one of several uses.
pub(crate) fn reborrow<'a>(
    limiter: &'a mut Option<&mut dyn Limiter>,
) -> Option<&'a mut dyn Limiter> {
    match limiter {
        Some(limiter) => Some(&mut **limiter),
        None => None,
    }
}
