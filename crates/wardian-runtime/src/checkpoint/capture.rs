//! Writing a store down.

use super::graph::Graph;
use super::values::{ObjectTypes, ValueWriter};
use super::{Standing, refused};
use crate::Result;
use crate::checkpoint::SharedMemories;
use crate::checkpoint::state::{
    GlobalState, InstanceState, MemoryState, ModuleNumber, SegmentState, Shared, State, TableState,
    Value,
};
use crate::ids::{InstanceId, MemoryId};
use crate::module::ModuleInner;
use crate::store::inner::StoreInner;
use crate::store::instance::MemoryRef;
use crate::value::SharedMemory;
use std::sync::Arc;
use wardian_types::ValType;

/// A store that was written down.
pub struct Captured {
    /// All but modules and contents of memories.
    pub state: State,
    /// The modules, in the order of the state.
    pub modules: Vec<Arc<ModuleInner>>,
    /// The memories of the state.
    pub memories: Vec<MemoryId>,
    /// The shared memories of the state, which follow the others.
    pub shared_memories: Vec<SharedMemory>,
    /// What a fork shares with the store.
    pub(super) shared: Vec<Shared>,
    pub(super) graph: Graph,
}

/// What a store is written down for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Bytes.
    Checkpoint(SharedMemories),
    /// Another store of this process.
    Fork,
}

impl StoreInner {
    /// Writes down the store with its guest, without the contents of memories and what modules are.
    pub fn capture(&mut self, standing: Standing, purpose: Purpose) -> Result<Captured> {
        if matches!(standing, Standing::Idle) && !self.is_idle() {
            return Err(refused("a guest is running: use Caller::checkpoint in its host function"));
        }
        let shared_memories = match purpose {
            Purpose::Checkpoint(shared) => shared,
            Purpose::Fork => SharedMemories::Refuse,
        };
        if shared_memories == SharedMemories::Refuse && self.has_shared_memory() {
            let advice = match purpose {
                Purpose::Checkpoint(_) => ": see CheckpointOptions::shared_memories",
                Purpose::Fork => "",
            };
            return Err(refused(format!(
                "an instance has a shared memory, which other threads change at any time{advice}"
            )));
        }
        let graph = Graph::new(self);
        let modules = self.modules();
        let mut writer = ValueWriter::new(&graph, purpose == Purpose::Fork);
        let call = self.capture_call(standing, &mut writer)?;
        let instances = self.capture_instances(&modules, &mut writer)?;
        let tables = self.capture_tables(&mut writer)?;
        let globals = self.capture_globals(&mut writer, purpose)?;
        let types = ObjectTypes::new(modules.iter().map(|module| &module.signatures));
        let (objects, exceptions, shared) = writer.finish(self, &types)?;
        let (mut memories, positions) = self.capture_memories(&graph);
        let mut included = Vec::new();
        if shared_memories == SharedMemories::Include {
            for (memory, item) in &graph.shared {
                let len = memory.len() as u64;
                memories.push(MemoryState { item: *item, len, on_parent: false });
                included.push(memory.clone());
            }
        }
        let state = State {
            instances,
            memories,
            tables,
            globals,
            objects,
            exceptions,
            call,
            fuel: self.engine().settings().fuel.then(|| self.fuel_word()),
            ..State::default()
        };
        Ok(Captured {
            state,
            modules,
            memories: positions,
            shared_memories: included,
            shared,
            graph,
        })
    }

    fn has_shared_memory(&self) -> bool {
        let mut memories =
            self.entities.instances().iter().flat_map(|instance| instance.memories());
        memories.any(|memory| matches!(memory, MemoryRef::Shared(_)))
    }

    /// The modules of the instances, each once.
    fn modules(&self) -> Vec<Arc<ModuleInner>> {
        let mut modules: Vec<Arc<ModuleInner>> = Vec::new();
        for instance in self.entities.instances() {
            if !modules.iter().any(|module| Arc::ptr_eq(module, instance.module())) {
                modules.push(instance.module().clone());
            }
        }
        modules
    }

    fn capture_instances(
        &self,
        modules: &[Arc<ModuleInner>],
        writer: &mut ValueWriter<'_>,
    ) -> Result<Vec<InstanceState>> {
        let mut instances = Vec::with_capacity(self.entities.instances().len());
        for (instance, data) in self.entities.instances().iter().enumerate() {
            let module = modules.iter().position(|module| Arc::ptr_eq(module, data.module()));
            let mut elements = Vec::new();
            for (segment, words) in data.segments().all_objects() {
                let info = data.module().decoded.info();
                let ty = ValType::Ref(info.elements[segment].element);
                // SAFETY: they were evaluated as elements of this type, and are held as such.
                let values = unsafe { self.values(writer, ty, words)? };
                elements.push(SegmentState { segment, elements: values });
            }
            let dropped = data.segments().dropped();
            instances.push(InstanceState {
                module: ModuleNumber::from_usize(module.expect("it is among them")),
                name: data.given_name().map(str::to_owned),
                imports: writer.graph.imports[InstanceId::from_usize(instance)].clone(),
                dropped_elements: dropped.elements(),
                dropped_data: dropped.data(),
                elements,
                closed: data.exit_code().or(data.closed()),
            });
        }
        Ok(instances)
    }

    /// # Safety
    ///
    /// The words are references of this type as guests hold them.
    unsafe fn values(
        &self,
        writer: &mut ValueWriter<'_>,
        ty: ValType,
        words: &[u64],
    ) -> Result<Vec<Value>> {
        // SAFETY: the caller's promise.
        words.iter().map(|word| unsafe { writer.value(self, ty, &[*word]) }).collect()
    }

    fn capture_tables(&self, writer: &mut ValueWriter<'_>) -> Result<Vec<TableState>> {
        let mut tables = Vec::new();
        for (table, item) in self.entities.tables().iter().zip(writer.graph.tables.clone()) {
            let Some(item) = item else { continue };
            let ty = ValType::Ref(table.ty().element);
            let elements = table.elements();
            let mut runs = Vec::new();
            let mut at = 0;
            while let Some(skip) = elements[at..].iter().position(|element| *element != 0) {
                at += skip;
                let run = elements[at..].split(|element| *element == 0).next().unwrap_or_default();
                // SAFETY: a table has references of its type.
                runs.push((at as u64, unsafe { self.values(writer, ty, run)? }));
                at += run.len();
            }
            tables.push(TableState { item, len: elements.len() as u64, runs });
        }
        Ok(tables)
    }

    fn capture_globals(
        &self,
        writer: &mut ValueWriter<'_>,
        purpose: Purpose,
    ) -> Result<Vec<GlobalState>> {
        let mut globals = Vec::new();
        for (item, is_defined) in writer.graph.global_list.clone() {
            let (at, ty) = self.entities[item.instance()].global(item.index());
            // Others are what their initializers say, which may refer to globals of the embedder's: those of a fork get
            // their references afterwards.
            let is_made = match purpose {
                Purpose::Checkpoint(_) => ty.content.is_any_ref(),
                Purpose::Fork => ty.content.is_ref(),
            };
            if !ty.mutable && is_defined && !is_made {
                continue;
            }
            // SAFETY: globals live as long as the store, have 16 bytes and a value of their type.
            let value = unsafe { writer.value(self, ty.content, &[at.read(), at.add(1).read()])? };
            globals.push(GlobalState { item, value });
        }
        Ok(globals)
    }

    /// The memories, and which of the store they are.
    fn capture_memories(&self, graph: &Graph) -> (Vec<MemoryState>, Vec<MemoryId>) {
        let named = self.entities.memories().iter().zip(graph.memories.enumerated());
        let named = named.filter_map(|(memory, (at, item))| Some((at, memory, (*item)?)));
        named
            .map(|(at, memory, item)| {
                (MemoryState { item, len: memory.len() as u64, on_parent: false }, at)
            })
            .unzip()
    }
}
