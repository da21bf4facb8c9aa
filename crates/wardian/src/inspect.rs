//! Looking into an instance: everything by index and name, exported or not.

mod change;
mod memory;
mod objects;
mod types;

use crate::Module;
pub use crate::definition::FunctionDefinition;
use crate::handles::{Instance, SharedMemory};
use crate::testing::TestModule;
use crate::value::Val;
pub use change::InternalModuleMut;
use memory::Data;
pub use memory::MemoryView;
pub use objects::ObjectView;
use std::collections::HashMap;
pub use wardian_module::{DebugInfo, ItemIndex, ModuleInfo, SourceLocation, demangle};
#[cfg(feature = "dwarf")]
pub use wardian_module::{Package, PackageError, SplitUnit, split_units};
use wardian_runtime::ids::InstanceId;
use wardian_runtime::store::functions::FuncKind;
use wardian_runtime::store::inner::StoreInner;
use wardian_runtime::store::instance::MemoryRef;
use wardian_types::TableElementIndex;
pub use wardian_types::{
    DataIndex, DefinedFuncIndex, DefinedGlobalIndex, DefinedTableIndex, ElemIndex, FuncIndex,
    GlobalIndex, Index, IndexVec, MemoryIndex, TableIndex, TagIndex,
};
use wardian_types::{GlobalType, MemoryType, TableType};

/// An instance as listeners and tools see it: read-only, everything in it, exported or not.
///
/// A listener gets one with each event; an embedder by [`Instance::internal`]. Looking costs the
/// guest nothing, and its code is not changed by it. To change things see
/// [`Instance::internal_mut`].
#[derive(Clone, Copy)]
pub struct InternalModule<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Live { store: &'a StoreInner, instance: InstanceId },
    Double(&'a TestModule),
}

impl<'a> InternalModule<'a> {
    pub(crate) fn live(store: &'a StoreInner, instance: InstanceId) -> InternalModule<'a> {
        InternalModule(Source::Live { store, instance })
    }

    pub(crate) fn of_double(double: &'a TestModule) -> InternalModule<'a> {
        InternalModule(Source::Double(double))
    }

    /// Its name: what the embedder gave the instance, else the module's own.
    pub fn name(&self) -> Option<&'a str> {
        match self.0 {
            Source::Live { store, instance } => {
                let data = store.instance(instance);
                data.name()
            }
            Source::Double(double) => Some(&double.name),
        }
    }

    /// The instance; none for a double.
    pub fn instance(&self) -> Option<Instance> {
        match self.0 {
            Source::Live { store, instance } => {
                Some(Instance { store: store.id(), index: instance })
            }
            Source::Double(_) => None,
        }
    }

    /// The module that it was made from; none for a double.
    pub fn module(&self) -> Option<Module> {
        match self.0 {
            Source::Live { store, instance } => {
                Some(Module::of(store.instance(instance).module().clone()))
            }
            Source::Double(_) => None,
        }
    }

    /// The code that it was closed with, if it was.
    pub fn exit_code(&self) -> Option<u32> {
        match self.0 {
            Source::Live { store, instance } => store.instance(instance).exit_code(),
            Source::Double(double) => double.exit_code,
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.exit_code().is_some()
    }

    /// How many globals it has, imported ones included.
    pub fn num_globals(&self) -> usize {
        match self.0 {
            Source::Live { store, instance } => {
                store.instance(instance).module().decoded.info().globals.len()
            }
            Source::Double(double) => double.globals.len(),
        }
    }

    /// The value of a global by its index.
    pub fn global(&self, index: u32) -> Option<Val> {
        self.global_type(index)?;
        Some(match self.0 {
            Source::Live { store, instance } => store
                .global_get(&store.instance_global(instance, GlobalIndex::from_u32(index)))
                .into(),
            Source::Double(double) => double.globals[index as usize].1.clone(),
        })
    }

    /// The type of a global by its index.
    pub fn global_type(&self, index: u32) -> Option<GlobalType> {
        match self.0 {
            Source::Live { store, instance } => {
                let info = store.instance(instance).module().decoded.info();
                info.globals.get(GlobalIndex::from_u32(index)).copied()
            }
            Source::Double(double) => double.globals.get(index as usize).map(|g| g.0),
        }
    }

    /// Index of a global by the name that it is exported by, or has in the name section.
    pub fn global_index(&self, name: &str) -> Option<u32> {
        self.index_of(name, |item| match item {
            ItemIndex::Global(index) => Some(index.as_u32()),
            _ => None,
        })
    }

    /// How many memories it has, imported ones included.
    pub fn num_memories(&self) -> usize {
        match self.0 {
            Source::Live { store, instance } => store.instance(instance).memories().len(),
            Source::Double(double) => usize::from(double.memory.is_some()),
        }
    }

    /// A memory by its index.
    pub fn memory(&self, index: u32) -> Option<MemoryView<'a>> {
        match self.0 {
            Source::Live { store, instance } => {
                let memories = store.instance(instance).memories();
                Some(match memories.get(MemoryIndex::from_u32(index))? {
                    MemoryRef::Own(own) => {
                        let memory = store.memory(*own);
                        let ty = MemoryType { min: memory.pages(), ..memory.ty() };
                        MemoryView { ty, data: Data::Own(memory.bytes()) }
                    }
                    MemoryRef::Shared(shared) => {
                        MemoryView { ty: shared.ty(), data: Data::Shared(SharedMemory::of(shared)) }
                    }
                })
            }
            Source::Double(double) => {
                let bytes = double.memory.as_deref().filter(|_| index == 0)?;
                let ty = MemoryType::new(bytes.len() as u64 >> 16, None);
                Some(MemoryView { ty, data: Data::Own(bytes) })
            }
        }
    }

    /// Index of a memory by the name that it is exported by, or has in the name section.
    pub fn memory_index(&self, name: &str) -> Option<u32> {
        self.index_of(name, |item| match item {
            ItemIndex::Memory(index) => Some(index.as_u32()),
            _ => None,
        })
    }

    /// How many tables it has, imported ones included.
    pub fn num_tables(&self) -> usize {
        match self.0 {
            Source::Live { store, instance } => store.instance(instance).tables().len(),
            Source::Double(_) => 0,
        }
    }

    /// The type of a table by its index, with the current length as minimum.
    pub fn table_type(&self, index: u32) -> Option<TableType> {
        let Source::Live { store, instance } = self.0 else { return None };
        let table = *store.instance(instance).tables().get(TableIndex::from_u32(index))?;
        let table = store.table(table);
        Some(TableType { min: table.len() as u64, ..table.ty() })
    }

    /// An element of a table; none if the index is out of bounds.
    pub fn table_element(&self, table: u32, element: u64) -> Option<Val> {
        let Source::Live { store, instance } = self.0 else { return None };
        let table = *store.instance(instance).tables().get(TableIndex::from_u32(table))?;
        store.table_get(table, TableElementIndex::from_u64(element)).map(Val::from)
    }

    /// Index of a table by the name that it is exported by, or has in the name section.
    pub fn table_index(&self, name: &str) -> Option<u32> {
        self.index_of(name, |item| match item {
            ItemIndex::Table(index) => Some(index.as_u32()),
            _ => None,
        })
    }

    /// How many functions it has, imported ones included.
    pub fn num_functions(&self) -> usize {
        match self.0 {
            Source::Live { store, instance } => {
                store.instance(instance).module().decoded.info().functions.len()
            }
            Source::Double(double) => double.functions.len(),
        }
    }

    /// The definition of a function by its index.
    pub fn function(&self, index: u32) -> Option<FunctionDefinition<'a>> {
        if index as usize >= self.num_functions() {
            return None;
        }
        Some(match self.0 {
            Source::Live { store, instance } => FunctionDefinition::of_module(
                store.instance(instance).module(),
                FuncIndex::from_u32(index),
            ),
            Source::Double(double) => double.functions[index as usize].definition(),
        })
    }

    /// The definition of a function that a reference refers to, of whatever instance or of the host. None of another
    /// store's, and of a double.
    pub fn definition_of(&self, func: &crate::Func) -> Option<FunctionDefinition<'a>> {
        let Source::Live { store, .. } = self.0 else { return None };
        if func.store != store.id() {
            return None;
        }
        Some(match store.func_kind(func.index)? {
            FuncKind::Wasm { instance, func } => {
                FunctionDefinition::of_module(store.instance(*instance).module(), *func)
            }
            FuncKind::Host(def) => FunctionDefinition::of_host(def),
        })
    }

    /// Index of a function by the name that it is exported by, or has in the name section.
    pub fn function_index(&self, name: &str) -> Option<u32> {
        if let Source::Double(double) = self.0 {
            let named = |f: &&crate::testing::TestFunction| f.name.as_deref() == Some(name);
            return double.functions.iter().find(named).map(|f| f.index);
        }
        self.index_of(name, |item| match item {
            ItemIndex::Func(index) => Some(index.as_u32()),
            _ => None,
        })
    }

    /// The machine code that calls of a function run now: the function's own, or, while it has listeners, the
    /// wrapper that notifies them. None for imports and for what is interpreted.
    pub fn machine_code(&self, function: u32) -> Option<Vec<u8>> {
        let Source::Live { store, instance } = self.0 else { return None };
        store.machine_code(instance, FuncIndex::from_u32(function))
    }

    /// Looks a name up among the exports, then in the name section.
    fn index_of(&self, name: &str, pick: impl Fn(ItemIndex) -> Option<u32>) -> Option<u32> {
        let Source::Live { store, instance } = self.0 else { return None };
        let module = store.instance(instance).module();
        if let Some(index) = module.export(name).and_then(&pick) {
            return Some(index);
        }
        let names = module.decoded.names();
        let mut found = named(&names.functions, name, ItemIndex::Func)
            .chain(named(&names.globals, name, ItemIndex::Global))
            .chain(named(&names.memories, name, ItemIndex::Memory))
            .chain(named(&names.tables, name, ItemIndex::Table))
            .chain(named(&names.tags, name, ItemIndex::Tag));
        found.find_map(&pick)
    }
}

/// What has a name, of one kind.
fn named<I: Copy>(
    names: &HashMap<I, String>,
    name: &str,
    item: fn(I) -> ItemIndex,
) -> impl Iterator<Item = ItemIndex> {
    names.iter().filter(move |(_, n)| *n == name).map(move |(index, _)| item(*index))
}

impl TestModule {
    /// The module as listeners see it.
    pub fn internal(&self) -> InternalModule<'_> {
        InternalModule::of_double(self)
    }
}

impl std::fmt::Debug for InternalModule<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InternalModule").field("name", &self.name()).finish_non_exhaustive()
    }
}
