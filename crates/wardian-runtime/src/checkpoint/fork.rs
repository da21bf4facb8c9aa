//! Forking a store: another store of the same engine that has its state.
//!
//! ```text
//!   parent                                child
//!   instances, by position       ──>      instances of the same modules, at the same positions
//!   host functions               ──>      the same definitions, called with the data of the child
//!   things of the embedder's     ──>      new ones of the same type and contents
//!   memories                     ──>      views of the same pages: see `wardian_vm::memory`
//!   frames                       ──>      as through a checkpoint
//! ```

use super::capture::{Captured, Purpose};
use super::graph::Graph;
use super::restore::{Origin, Restored};
use super::targets::Target;
use super::values::func_of;
use super::{Standing, unusable};
use crate::checkpoint::state::{ImportState, Item, Shared};
use crate::error::UsageKind;
use crate::ids::{FuncId, InstanceId, MemoryId, TableId, TagId};
use crate::instance::link::{Definition, Lookup};
use crate::instance::memory::Source;
use crate::module::ModuleInner;
use crate::store::functions::FuncKind;
use crate::store::global::GlobalAt;
use crate::store::inner::{Embedder, StoreData, StoreInner};
use crate::store::instance::{ImportedFunc, MemoryRef};
use crate::value::{Extern, Func, Global, Tag};
use crate::{Error, ErrorKind, Result};
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;
use wardian_module::ItemIndex;
use wardian_types::{GlobalIndex, Index, IndexVec, MemoryIndex, TableIndex};

/// What the child of a store has for what the store has.
pub struct Kin(Graph);

impl<T: Embedder> StoreData<T> {
    /// Makes the state of `child`, which is empty, that of this store.
    pub fn fork_into(
        &mut self,
        child: &mut StoreData<T>,
        standing: Standing,
        data: TypeId,
    ) -> Result<(Option<Restored>, Kin)> {
        let captured = self.inner.capture(standing, Purpose::Fork).map_err(as_fork)?;
        let Captured { mut state, modules, memories, shared, graph, .. } = captured;
        child.inner.allow_snapshots(self.inner.allows_snapshots());
        let parent = &mut self.inner;
        let origin = Parent {
            store: parent,
            memories,
            shared,
            made: Made::default(),
            instance: InstanceId::FIRST,
        };
        // No restored module is looked up by its hash.
        state.modules.clear();
        let restored = child.restore(&state, &modules, data, origin)?;
        Ok((restored, Kin(graph)))
    }
}

/// Says of what cannot be written down that it cannot be forked.
fn as_fork(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Checkpoint(why) => Error::new(ErrorKind::Checkpoint(why.as_fork())),
        _ => error,
    }
}

/// The store that is forked.
struct Parent<'a> {
    store: &'a mut StoreInner,
    /// The positions of the memories that are forked.
    memories: Vec<MemoryId>,
    shared: Vec<Shared>,
    made: Made,
    /// The next instance.
    instance: InstanceId,
}

/// What the child has for things of the embedder's, by their positions in the parent.
#[derive(Default)]
struct Made {
    funcs: HashMap<FuncId, FuncId>,
    memories: HashMap<MemoryId, MemoryId>,
    tables: HashMap<TableId, TableId>,
    tags: HashMap<TagId, TagId>,
    /// By address.
    globals: HashMap<GlobalAt, GlobalAt>,
}

impl<T: Embedder> Origin<T> for Parent<'_> {
    fn imports(
        &mut self,
        child: &mut StoreData<T>,
        imports: &[ImportState],
        module: &Arc<ModuleInner>,
    ) -> Result<Vec<Lookup>> {
        let mut found = Vec::with_capacity(imports.len());
        for (import, what) in module.decoded.info().imports.iter().zip(imports) {
            found.push(match what {
                // The one who asks knows.
                ImportState::Item(_) => {
                    Lookup::Missing { why: "it is not looked up".into(), near: None }
                }
                ImportState::Host => Lookup::Found(self.definition(child, import.item)?),
            });
        }
        self.instance = InstanceId::from_u32(self.instance.as_u32() + 1);
        Ok(found)
    }

    fn fill(&mut self, memories: Vec<Target<'_>>) -> Result<()> {
        for (child, parent) in memories.into_iter().zip(&self.memories) {
            let child = child.into_own().expect("a store with a shared memory is not forked");
            self.store.entities[*parent].fork_into(child)?;
        }
        Ok(())
    }

    fn shared(&mut self) -> Option<Vec<Shared>> {
        Some(std::mem::take(&mut self.shared))
    }
}

impl Parent<'_> {
    /// What an import of the present instance is in the child, of something that is the embedder's.
    fn definition<T: Embedder>(
        &mut self,
        child: &mut StoreData<T>,
        item: ItemIndex,
    ) -> Result<Definition> {
        let data = &self.store.entities[self.instance];
        let store = child.inner.id();
        let found = match item {
            ItemIndex::Func(index) => match &data.imports()[index] {
                ImportedFunc::Host(def) => return Ok(Definition::Host(def.clone())),
                ImportedFunc::Func(func) => {
                    let func = *func;
                    Extern::Func(Func { store, index: self.host_func(child, func)? })
                }
            },
            ItemIndex::Memory(index) => match &data.memories()[index] {
                MemoryRef::Own(own) => {
                    let own = *own;
                    Extern::Memory(store, self.memory(child, own)?)
                }
                MemoryRef::Shared(_) => return Err(unusable("a memory is shared")),
            },
            ItemIndex::Table(index) => {
                let table = data.tables()[index];
                Extern::Table(store, self.table(child, table)?)
            }
            ItemIndex::Tag(index) => {
                let tag = data.tags()[index];
                Extern::Tag(Tag { store, index: self.tag(child, tag)? })
            }
            ItemIndex::Global(index) => Extern::Global(self.global(child, index)?),
        };
        Ok(Definition::Extern(found))
    }

    fn host_func<T: Embedder>(&mut self, child: &mut StoreData<T>, func: FuncId) -> Result<FuncId> {
        if let Some(known) = self.made.funcs.get(&func) {
            return Ok(*known);
        }
        let FuncKind::Host(def) = self.store.entities.funcs().kind(func) else {
            return Err(unusable("an instance imports a function of a later one"));
        };
        let made = child.inner.host_func(def.clone())?;
        self.made.funcs.insert(func, made);
        Ok(made)
    }

    fn memory<T: Embedder>(
        &mut self,
        child: &mut StoreData<T>,
        memory: MemoryId,
    ) -> Result<MemoryId> {
        if let Some(known) = self.made.memories.get(&memory) {
            return Ok(*known);
        }
        let data = &self.store.entities[memory];
        let (ty, pages) = (data.ty(), data.pages());
        let (inner, limiter) = child.split();
        // With the size of now, which the importing instances rely on.
        let sized = wardian_types::MemoryType { min: pages, ..ty };
        let made = inner.add_memory(&sized, Source::Engine(None), None, limiter)?;
        inner.entities[made].set_type(ty);
        self.made.memories.insert(memory, made);
        Ok(made)
    }

    fn table<T: Embedder>(&mut self, child: &mut StoreData<T>, table: TableId) -> Result<TableId> {
        if let Some(known) = self.made.tables.get(&table) {
            return Ok(*known);
        }
        let data = &self.store.entities[table];
        let (ty, len) = (data.ty(), data.len() as u64);
        let (inner, limiter) = child.split();
        let sized = wardian_types::TableType { min: len, ..ty };
        let made = inner.add_table(&sized, None, limiter)?;
        inner.entities[made].set_type(ty);
        self.made.tables.insert(table, made);
        Ok(made)
    }

    fn tag<T: Embedder>(&mut self, child: &mut StoreData<T>, tag: TagId) -> Result<TagId> {
        if let Some(known) = self.made.tags.get(&tag) {
            return Ok(*known);
        }
        let made = child.inner.add_host_tag(self.store.tag_type(tag))?;
        self.made.tags.insert(tag, made);
        Ok(made)
    }

    /// A global with the same number. A reference is put in its place later.
    fn global<T: Embedder>(
        &mut self,
        child: &mut StoreData<T>,
        index: GlobalIndex,
    ) -> Result<Global> {
        let (address, ty) = self.store.entities[self.instance].global(index);
        let known = self.made.globals.get(&GlobalAt(address)).copied();
        let at = match known {
            Some(known) => known,
            None => {
                // SAFETY: globals live as long as their store, and have 16 bytes.
                let words = unsafe { [address.read(), address.add(1).read()] };
                let words = if ty.content.is_ref() { [0; 2] } else { words };
                let made = child.inner.add_global_words(&ty, words);
                self.made.globals.insert(GlobalAt(address), made);
                made
            }
        };
        Ok(Global { store: child.inner.id(), at, ty })
    }
}

impl Kin {
    /// How many instances there were.
    pub fn instances(&self) -> usize {
        self.0.imports.len()
    }

    /// The error of a handle that names nothing in the child.
    pub fn newer(what: &str) -> Error {
        Error::usage(
            UsageKind::NotFound,
            format!(
                "the {what} has no counterpart in the fork: no instance has it, or it was made later"
            ),
        )
    }

    /// The child's function for one of the parent's.
    pub fn func(
        &self,
        parent: &StoreInner,
        child: &mut StoreInner,
        func: FuncId,
    ) -> Result<FuncId> {
        match self.0.func(parent, func) {
            Ok(item) if item.instance().index() >= self.instances() => Err(Kin::newer("function")),
            Ok(item) => func_of(child, item),
            Err(_) => match parent.entities.funcs().kind(func) {
                FuncKind::Host(def) => child.host_func(Arc::clone(def)),
                FuncKind::Wasm { .. } => Err(Kin::newer("function")),
            },
        }
    }

    /// The child's memory for one of the parent's.
    pub fn memory(&self, child: &StoreInner, memory: MemoryId) -> Result<MemoryId> {
        let item = known(&self.0.memories, memory, "memory")?;
        match &child.entities[item.instance()].memories()[item.index::<MemoryIndex>()] {
            MemoryRef::Own(own) => Ok(*own),
            MemoryRef::Shared(_) => Err(Kin::newer("memory")),
        }
    }

    /// The child's table for one of the parent's.
    pub fn table(&self, child: &StoreInner, table: TableId) -> Result<TableId> {
        let item = known(&self.0.tables, table, "table")?;
        Ok(child.entities[item.instance()].tables()[item.index::<TableIndex>()])
    }

    /// The child's tag for one of the parent's.
    pub fn tag(&self, child: &StoreInner, tag: TagId) -> Result<TagId> {
        let item = known(&self.0.tags, tag, "tag")?;
        Ok(child.instance_tag(item.instance(), item.index()))
    }

    /// The child's global for one of the parent's.
    pub fn global(&self, child: &StoreInner, global: &Global) -> Result<Global> {
        let item = self.0.globals.get(&global.at()).ok_or_else(|| Kin::newer("global"))?;
        Ok(child.instance_global(item.instance(), item.index()))
    }
}

fn known<I: Index>(items: &IndexVec<I, Option<Item>>, at: I, what: &str) -> Result<Item> {
    items.get(at).copied().flatten().ok_or_else(|| Kin::newer(what))
}
