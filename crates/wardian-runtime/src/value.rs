//! Values, and what they refer to, as the runtime knows them: which store, and which of its things.

use crate::exception::Exception;
use crate::gc::roots::Root;
use crate::ids::{FuncId, MemoryId, TableId, TagId};
use crate::store::global::GlobalAt;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use wardian_types::{GlobalType, ValType};

/// A function of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Func {
    /// The store.
    pub store: u64,
    /// Which of its functions.
    pub index: FuncId,
}

/// A tag of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// The store.
    pub store: u64,
    /// Which of its tags.
    pub index: TagId,
}

/// A global of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Global {
    pub(crate) store: u64,
    pub(crate) at: GlobalAt,
    pub(crate) ty: GlobalType,
}

impl Global {
    /// The store.
    pub fn store(&self) -> u64 {
        self.store
    }

    /// Its type.
    pub fn ty(&self) -> GlobalType {
        self.ty
    }
}

/// A memory that several stores share.
#[derive(Clone)]
pub struct SharedMemory {
    /// The memory.
    pub memory: Arc<wardian_vm::memory::SharedMemory>,
    /// Its number in the process.
    pub id: u64,
    /// What the embedding API shows of it, once it has.
    shown: Arc<OnceLock<Box<dyn Any + Send + Sync>>>,
}

impl SharedMemory {
    /// A memory with this number.
    pub fn new(memory: Arc<wardian_vm::memory::SharedMemory>, id: u64) -> SharedMemory {
        SharedMemory { memory, id, shown: Arc::default() }
    }

    /// What the embedding API shows of it, made once.
    pub fn shown<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> &T {
        let shown = self.shown.get_or_init(|| Box::new(make()));
        shown.downcast_ref().expect("one type of values is shown")
    }
}

/// A value of garbage collection, which this keeps alive.
#[derive(Clone)]
pub struct AnyRef {
    /// The store.
    pub store: u64,
    /// What keeps the object alive.
    pub root: Arc<Root>,
}

/// A value that guests can hold but not look into.
#[derive(Clone)]
pub enum ExternRef {
    /// The embedder's.
    Value(Arc<dyn Any + Send + Sync>),
    /// A guest's object that it converted.
    Object(AnyRef),
}

/// Something that can be imported or exported.
#[derive(Clone)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table of a store: the store, and which of its tables.
    Table(u64, TableId),
    /// A memory of one store: the store, and which of its memories.
    Memory(u64, MemoryId),
    /// A memory that several stores share.
    SharedMemory(SharedMemory),
    /// A global.
    Global(Global),
    /// A tag of exceptions.
    Tag(Tag),
}

impl Extern {
    /// The store that it belongs to; none for what several stores share.
    pub fn store(&self) -> Option<u64> {
        match self {
            Extern::Func(f) => Some(f.store),
            Extern::Table(store, _) | Extern::Memory(store, _) => Some(*store),
            Extern::Global(g) => Some(g.store),
            Extern::Tag(t) => Some(t.store),
            Extern::SharedMemory(_) => None,
        }
    }
}

/// A WebAssembly value. Floats are bits.
#[derive(Clone)]
pub enum Val {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// A 32-bit float, as bits.
    F32(u32),
    /// A 64-bit float, as bits.
    F64(u64),
    /// A vector; lane 0 in the lowest bits.
    V128(u128),
    /// A reference to a function, or null.
    FuncRef(Option<Func>),
    /// A reference to a value of the embedder's, or null.
    ExternRef(Option<ExternRef>),
    /// A reference to a value of garbage collection, or null.
    AnyRef(Option<AnyRef>),
    /// A reference to an exception, or null.
    ExnRef(Option<Exception>),
}

impl Val {
    /// Its type.
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FUNCREF,
            Val::ExternRef(_) => ValType::EXTERNREF,
            Val::AnyRef(_) => ValType::ANYREF,
            Val::ExnRef(_) => ValType::EXNREF,
        }
    }
}
