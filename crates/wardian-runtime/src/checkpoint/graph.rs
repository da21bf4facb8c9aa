//! Naming what a store has by instances and indices.

use super::refused;
use crate::Result;
use crate::checkpoint::state::{ImportState, Item};
use crate::ids::{FuncId, InstanceId, MemoryId, TableId, TagId};
use crate::store::functions::FuncKind;
use crate::store::global::GlobalAt;
use crate::store::inner::StoreInner;
use crate::store::instance::{ImportedFunc, MemoryRef};
use crate::value::SharedMemory;
use std::collections::HashMap;
use std::sync::Arc;
use wardian_module::ItemIndex;
use wardian_types::IndexVec;
use wardian_vm::addr::OwnerPtr;

/// The names of what a store has: of each the first instance that has it, with its index there.
#[derive(Default)]
pub(super) struct Graph {
    /// By position in the store.
    pub(super) memories: IndexVec<MemoryId, Option<Item>>,
    /// Shared memories, each once.
    pub(super) shared: Vec<(SharedMemory, Item)>,
    pub(super) tables: IndexVec<TableId, Option<Item>>,
    pub(super) tags: IndexVec<TagId, Option<Item>>,
    /// By address of the value.
    pub(super) globals: HashMap<GlobalAt, Item>,
    /// Globals in the order in which they were found, and whether an instance defines them.
    pub(super) global_list: Vec<(Item, bool)>,
    /// Host functions, by address of their definitions.
    hosts: HashMap<OwnerPtr, Item>,
    /// By instance.
    pub(super) imports: IndexVec<InstanceId, Vec<ImportState>>,
}

impl Graph {
    /// Names everything that instances have.
    pub(super) fn new(store: &StoreInner) -> Graph {
        let mut graph = Graph {
            memories: vec![None; store.entities.memories().len()].into(),
            tables: vec![None; store.entities.tables().len()].into(),
            tags: vec![None; store.exceptions.tag_count()].into(),
            ..Graph::default()
        };
        for instance in store.entities.instances().indices() {
            graph.add(store, instance);
        }
        graph
    }

    fn add(&mut self, store: &StoreInner, instance: InstanceId) {
        let data = &store.entities[instance];
        let info = data.module().decoded.info();
        let imports = info.imports.iter().map(|import| self.import(store, instance, import.item));
        let imports = imports.collect();
        self.imports.push(imports);
        for (index, memory) in data.memories().enumerated() {
            let item = Item::new(instance, index);
            match memory {
                MemoryRef::Own(own) => {
                    self.memories[*own].get_or_insert(item);
                }
                MemoryRef::Shared(memory) => {
                    if self.shared_item(memory).is_none() {
                        self.shared.push((memory.clone(), item));
                    }
                }
            }
        }
        for (index, table) in data.tables().enumerated() {
            self.tables[*table].get_or_insert(Item::new(instance, index));
        }
        for (index, tag) in data.tags().enumerated() {
            self.tags[*tag].get_or_insert(Item::new(instance, index));
        }
        for index in info.globals.indices().skip(info.imported_globals as usize) {
            let at = GlobalAt(data.global(index).0);
            self.globals.insert(at, Item::new(instance, index));
            self.global_list.push((Item::new(instance, index), true));
        }
    }

    /// What an import is. Things of the embedder's are named by the first import of them.
    fn import(&mut self, store: &StoreInner, instance: InstanceId, item: ItemIndex) -> ImportState {
        let data = &store.entities[instance];
        let known = match item {
            ItemIndex::Func(index) => match &data.imports()[index] {
                ImportedFunc::Host(def) => {
                    self.hosts
                        .entry(OwnerPtr::of(Arc::as_ptr(def)))
                        .or_insert(Item::new(instance, index));
                    None
                }
                ImportedFunc::Func(func) => match store.entities.funcs().kind(*func) {
                    FuncKind::Wasm { instance, func } => Some(Item::new(*instance, *func)),
                    FuncKind::Host(def) => {
                        let at = OwnerPtr::of(Arc::as_ptr(def));
                        self.hosts.entry(at).or_insert(Item::new(instance, index));
                        None
                    }
                },
            },
            ItemIndex::Memory(index) => match &data.memories()[index] {
                MemoryRef::Own(own) => self.memories[*own],
                MemoryRef::Shared(memory) => self.shared_item(memory),
            },
            ItemIndex::Table(index) => self.tables[data.tables()[index]],
            ItemIndex::Tag(index) => self.tags[data.tags()[index]],
            ItemIndex::Global(index) => {
                let at = GlobalAt(data.global(index).0);
                let known = self.globals.get(&at).copied();
                if known.is_none() {
                    self.globals.insert(at, Item::new(instance, index));
                    self.global_list.push((Item::new(instance, index), false));
                }
                known
            }
        };
        // An instance that imports the same twice is given it twice by the embedder.
        let known = known.filter(|known| known.instance() < instance);
        known.map_or(ImportState::Host, ImportState::Item)
    }

    fn shared_item(&self, memory: &SharedMemory) -> Option<Item> {
        let found = self.shared.iter().find(|(known, _)| known.id == memory.id);
        found.map(|(_, item)| *item)
    }

    /// A function of the store.
    ///
    /// # Errors
    ///
    /// It is a function of the embedder's that no instance imports.
    pub(super) fn func(&self, store: &StoreInner, func: FuncId) -> Result<Item> {
        match store.entities.funcs().kind(func) {
            FuncKind::Wasm { instance, func } => Ok(Item::new(*instance, *func)),
            FuncKind::Host(def) => self.host(OwnerPtr::of(Arc::as_ptr(def))),
        }
    }

    /// A host function by the address of its definition.
    pub(super) fn host(&self, def: OwnerPtr) -> Result<Item> {
        self.hosts.get(&def).copied().ok_or_else(|| {
            refused(
                "the guest refers to a function of the host that no instance imports, so that it has no name \
                 under which it could be found again",
            )
        })
    }
}
