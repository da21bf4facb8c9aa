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
//! postcard's, in the order of the fields: a change of these types is a new [`super::format::VERSION`].

use crate::handles::ExternRef;
use crate::raw::parts::host::HostDef;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A store's state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) modules: Vec<ModuleState>,
    pub(crate) instances: Vec<InstanceState>,
    pub(crate) memories: Vec<MemoryState>,
    pub(crate) tables: Vec<TableState>,
    pub(crate) globals: Vec<GlobalState>,
    pub(crate) objects: Vec<ObjectState>,
    pub(crate) exceptions: Vec<ExceptionState>,
    /// Where the guest is; none of an idle store.
    pub(crate) call: Option<CallState>,
    /// Fuel that is left, where the engine counts it. A guest may have overdrawn until its next check.
    pub(crate) fuel: Option<i64>,
    /// State of the embedder's, by name.
    pub(crate) host: Vec<(String, Vec<u8>)>,
    /// The root hash of the checkpoint that this one is the difference to.
    pub(crate) parent: Option<[u8; 32]>,
    /// Whether the root hash is made with a key.
    pub(crate) keyed: bool,
}

impl State {
    /// State of the embedder's by its name.
    pub(crate) fn host_state(&self, name: &str) -> Option<&[u8]> {
        let found = self.host.iter().find(|(known, _)| known == name);
        found.map(|(_, bytes)| bytes.as_slice())
    }

    /// The hash of the module of an instance that has something; zeroes if there is none.
    pub(crate) fn module_of(&self, item: Item) -> [u8; 32] {
        let instance = self.instances.get(item.instance as usize);
        let module = instance.and_then(|instance| self.modules.get(instance.module as usize));
        module.map(|module| module.hash).unwrap_or_default()
    }
}

/// A module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ModuleState {
    /// BLAKE3 of its bytes.
    pub(crate) hash: [u8; 32],
    /// The name that it has itself, for people.
    pub(crate) name: Option<String>,
}

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceState {
    /// Its module, by position.
    pub(crate) module: u32,
    pub(crate) name: Option<String>,
    /// What it imports, in the order of the module.
    pub(crate) imports: Vec<ImportState>,
    /// The segments that were dropped, by index.
    pub(crate) dropped_elements: Vec<u32>,
    pub(crate) dropped_data: Vec<u32>,
    /// The elements of segments that have objects, by index.
    pub(crate) elements: Vec<(u32, Vec<Value>)>,
    /// The exit code that it was closed with.
    pub(crate) closed: Option<u32>,
}

/// What an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ImportState {
    /// Something of the embedder's, which gives it again under the names of the import.
    Host,
    /// Something that an earlier instance has.
    Item(Item),
}

/// A function, memory, table, global or tag: of an instance, by its index in the space of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) instance: u32,
    pub(crate) index: u32,
}

/// A memory. Its contents are apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MemoryState {
    pub(crate) item: Item,
    /// Bytes.
    pub(crate) len: u64,
    /// Whether chunks that are missing are as in the parent. Otherwise they are what the module puts there.
    pub(crate) on_parent: bool,
}

/// A table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TableState {
    pub(crate) item: Item,
    pub(crate) len: u64,
    /// Runs of elements that are not null, by where they begin.
    pub(crate) runs: Vec<(u64, Vec<Value>)>,
}

/// A global that can be changed or refers to an object; or one of the embedder's, with which that of the embedder
/// who resumes the guest is compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GlobalState {
    pub(crate) item: Item,
    pub(crate) value: Value,
}

/// A struct or an array.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ObjectState {
    /// Its type: of a module, by its index there.
    pub(crate) module: u32,
    pub(crate) ty: u32,
    /// Its fields or elements.
    pub(crate) values: Vec<Value>,
}

/// An exception that somebody holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExceptionState {
    /// Its tag.
    pub(crate) tag: Item,
    pub(crate) values: Vec<Value>,
}

/// A value. Its type is known from where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// An integer or a float, as bits.
    Bits(u64),
    Vector(u128),
    Null,
    Func(Item),
    /// An integer in place of a reference to an object.
    I31(u32),
    Object(u32),
    Exception(u32),
    /// Something of the embedder's in this process, by its position among the [`Shared`] of a fork. It is in no
    /// checkpoint.
    #[serde(skip)]
    Shared(u32),
}

/// What stores of one process can share, but no checkpoint can hold.
#[derive(Clone)]
pub(crate) enum Shared {
    /// A host function that no instance imports.
    Func(Arc<HostDef>),
    /// A value of the embedder's.
    Value(ExternRef),
}

/// A call of the embedder's that has not returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CallState {
    /// The innermost first.
    pub(crate) frames: Vec<FrameState>,
    pub(crate) pending: Option<PendingState>,
    /// What the innermost waits for, if it is in an atomic wait.
    pub(crate) wait: Option<WaitState>,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FrameState {
    pub(crate) func: Item,
    /// The offset of an operator in the module's code section.
    pub(crate) offset: u32,
    pub(crate) at: At,
    /// Parameters first.
    pub(crate) locals: Vec<Value>,
    /// From the bottom. Of a frame that waits in a call without the operands of that call and its results.
    pub(crate) operands: Vec<Value>,
    /// The exceptions that its open `catch` blocks have caught, the outermost first.
    pub(crate) caught: Vec<Value>,
}

/// Where a frame stands with respect to the operator at its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum At {
    /// It is the next to be executed: a call, the header of a loop, or the first of the body.
    Before,
    /// It is a call that has not returned.
    InCall,
    /// It is a call that has returned.
    After,
}

/// An atomic wait of the innermost frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitState {
    /// The memory, by its index in the frame's instance.
    pub(crate) memory: u32,
    pub(crate) address: u64,
    /// Nanoseconds that are left; none if it waits for ever.
    pub(crate) left: Option<u64>,
    /// How many waited longer at the address; none if the guest was notified already.
    pub(crate) place: Option<u32>,
}

/// A call of a host function that has not returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PendingState {
    /// The function, as an import of an instance.
    pub(crate) func: Item,
    pub(crate) arguments: Vec<Value>,
}
