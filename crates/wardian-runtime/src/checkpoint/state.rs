//! A store's state as data: what a checkpoint has besides modules and the contents of memories.
//!
//! ```text
//!   State ─┬─ modules                     by hash
//!          ├─ instances                   a module each, and what its imports are
//!          ├─ memories, tables, globals   each once, named by the first instance that has it
//!          ├─ objects, exceptions         of the heap, by number
//!          └─ call ─┬─ frames             the innermost first
//!                   └─ pending            the host function that was called, with its arguments
//! ```
//!
//! Nothing here is an address or a number of this process: functions are (instance, index), positions in code are
//! offsets of operators in the module's code section, and values have their types from the module. The encoding is
//! postcard's, in the order of the fields: a change of these types is a new version of the format.

pub use super::numbers::{ExceptionNumber, MemoryNumber, ModuleNumber, ObjectNumber, SharedNumber};
use super::numbers::{address, index, indices};
use crate::ids::InstanceId;
use crate::store::externrefs;
use crate::store::host::HostDef;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wardian_types::{CodeOffset, DataIndex, ElemIndex, GuestAddr, Index, MemoryIndex, TypeIndex};

/// A store's state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The modules.
    pub modules: Vec<ModuleState>,
    /// The instances, in their order.
    pub instances: Vec<InstanceState>,
    /// The memories.
    pub memories: Vec<MemoryState>,
    /// The tables.
    pub tables: Vec<TableState>,
    /// The globals.
    pub globals: Vec<GlobalState>,
    /// The objects of the heap.
    pub objects: Vec<ObjectState>,
    /// The exceptions that are held.
    pub exceptions: Vec<ExceptionState>,
    /// Where the guest is; none of an idle store.
    pub call: Option<CallState>,
    /// Fuel that is left, where the engine counts it. A guest may have overdrawn until its next check.
    pub fuel: Option<i64>,
    /// State of the embedder's, by name.
    pub host: Vec<(String, Vec<u8>)>,
    /// The root hash of the checkpoint that this one is the difference to.
    pub parent: Option<[u8; 32]>,
    /// Whether the root hash is made with a key.
    pub keyed: bool,
}

impl State {
    /// State of the embedder's by its name.
    pub fn host_state(&self, name: &str) -> Option<&[u8]> {
        let found = self.host.iter().find(|(known, _)| known == name);
        found.map(|(_, bytes)| bytes.as_slice())
    }

    /// The hash of the module of an instance that has something; zeroes if there is none.
    pub fn module_of(&self, item: Item) -> [u8; 32] {
        let instance = self.instances.get(item.instance().index());
        let module = instance.and_then(|instance| self.modules.get(instance.module.index()));
        module.map(|module| module.hash).unwrap_or_default()
    }
}

/// A module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModuleState {
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// The name that it has itself, for people.
    pub name: Option<String>,
}

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceState {
    /// Its module.
    #[serde(with = "index")]
    pub module: ModuleNumber,
    /// The name of the instance.
    pub name: Option<String>,
    /// What it imports, in the order of the module.
    pub imports: Vec<ImportState>,
    /// The segments that were dropped.
    #[serde(with = "indices")]
    pub(crate) dropped_elements: Vec<ElemIndex>,
    #[serde(with = "indices")]
    pub(crate) dropped_data: Vec<DataIndex>,
    /// The elements of segments that have objects.
    pub elements: Vec<SegmentState>,
    /// The exit code that it was closed with.
    pub closed: Option<u32>,
}

/// An element segment that has objects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SegmentState {
    /// Which it is.
    #[serde(with = "index")]
    pub segment: ElemIndex,
    /// Its elements.
    pub elements: Vec<Value>,
}

/// What an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportState {
    /// Something of the embedder's, which gives it again under the names of the import.
    Host,
    /// Something that an earlier instance has.
    Item(Item),
}

/// A function, memory, table, global or tag: of an instance, by its index in the space of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// Stores that are resumed have their instances in the same order.
    #[serde(with = "index")]
    instance: InstanceId,
    /// An index of that kind.
    index: u32,
}

impl Item {
    /// Something of an instance.
    pub fn new(instance: InstanceId, index: impl Index) -> Item {
        Item { instance, index: index.index() as u32 }
    }

    /// The instance.
    pub fn instance(self) -> InstanceId {
        self.instance
    }

    /// Its index there. Of which kind it is is known from where the item is.
    pub fn index<I: Index>(self) -> I {
        I::from_usize(self.index as usize)
    }

    /// Its index there, as a number of 32 bits.
    pub fn index_number(self) -> u32 {
        self.index
    }
}

/// A memory. Its contents are apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemoryState {
    /// What it is called.
    pub item: Item,
    /// Bytes.
    pub len: u64,
    /// Whether chunks that are missing are as in the parent. Otherwise they are what the module puts there.
    pub on_parent: bool,
}

/// A table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TableState {
    /// What it is called.
    pub item: Item,
    /// Elements.
    pub len: u64,
    /// Runs of elements that are not null, by where they begin.
    pub runs: Vec<(u64, Vec<Value>)>,
}

/// A global that can be changed or refers to an object; or one of the embedder's, with which that of the embedder
/// who resumes the guest is compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GlobalState {
    /// What it is called.
    pub item: Item,
    /// Its value.
    pub value: Value,
}

/// A struct or an array.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObjectState {
    /// The module that declares its type.
    #[serde(with = "index")]
    pub module: ModuleNumber,
    /// The type.
    #[serde(with = "index")]
    pub ty: TypeIndex,
    /// Its fields or elements.
    pub values: Vec<Value>,
}

/// An exception that somebody holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExceptionState {
    /// Its tag.
    pub tag: Item,
    /// What it carries.
    pub values: Vec<Value>,
}

/// A value. Its type is known from where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// An integer or a float, as bits.
    Bits(u64),
    /// A vector.
    Vector(u128),
    /// No reference.
    Null,
    /// A function.
    Func(Item),
    /// An integer in place of a reference to an object.
    I31(u32),
    /// An object.
    Object(#[serde(with = "index")] ObjectNumber),
    /// An exception.
    Exception(#[serde(with = "index")] ExceptionNumber),
    /// Something of the embedder's in this process, one of the [`Shared`] of a fork. It is in no
    /// checkpoint.
    #[serde(skip)]
    Shared(SharedNumber),
}

/// What stores of one process can share, but no checkpoint can hold.
#[derive(Clone)]
pub enum Shared {
    /// A host function that no instance imports.
    Func(Arc<HostDef>),
    /// A value of the embedder's.
    Value(externrefs::Value),
}

/// A call of the embedder's that has not returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallState {
    /// The innermost first.
    pub frames: Vec<FrameState>,
    /// The host function that was called.
    pub pending: Option<PendingState>,
    /// What the innermost waits for, if it is in an atomic wait.
    pub wait: Option<WaitState>,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameState {
    /// The function.
    pub func: Item,
    /// The operator.
    #[serde(with = "index")]
    pub offset: CodeOffset,
    /// Where at the operator.
    pub at: At,
    /// Parameters first.
    pub locals: Vec<Value>,
    /// From the bottom. Of a frame that waits in a call without the operands of that call and its results.
    pub operands: Vec<Value>,
    /// The exceptions that its open `catch` blocks have caught, the outermost first.
    pub caught: Vec<Value>,
}

/// Where a frame stands with respect to the operator at its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum At {
    /// It is the next to be executed: a call, the header of a loop, or the first of the body.
    Before,
    /// It is a call that has not returned.
    InCall,
    /// It is a call that has returned.
    After,
}

/// An atomic wait of the innermost frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitState {
    /// The memory of the frame's instance.
    #[serde(with = "index")]
    pub memory: MemoryIndex,
    /// The address in the memory.
    #[serde(with = "address")]
    pub address: GuestAddr,
    /// Nanoseconds that are left; none if it waits for ever.
    pub left: Option<u64>,
    /// How many waited longer at the address; none if the guest was notified already.
    pub place: Option<u32>,
}

/// A call of a host function that has not returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingState {
    /// The function, as an import of an instance.
    pub func: Item,
    /// What it was called with.
    pub arguments: Vec<Value>,
}
