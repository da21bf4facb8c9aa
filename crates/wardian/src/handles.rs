//! Handles of things in stores: which store, and which of its things. What can be done with them, with the store at
//! hand, is in the files named after each.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use wardian_runtime::ids::{FuncId, InstanceId, MemoryId, TableId, TagId};
use wardian_runtime::value;

/// A function of a store: a guest's or the host's. A cheap handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Func {
    pub(crate) store: u64,
    pub(crate) index: FuncId,
}

/// A module brought to life in a store. A cheap handle; the instance itself lives as long as the
/// store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    pub(crate) store: u64,
    pub(crate) index: InstanceId,
}

/// A table of a store. A cheap handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    pub(crate) store: u64,
    pub(crate) index: TableId,
}

/// A global variable of a store. A cheap handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Global(pub(crate) value::Global);

/// A tag of a store: it identifies exceptions, and says which values they carry (core specification, "Tags").
/// A cheap handle.
///
/// Two handles are equal if they are of the same tag. Tags of the same type are different tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    pub(crate) store: u64,
    pub(crate) index: TagId,
}

/// An unshared linear memory of a store. A cheap handle.
///
/// Its bytes can be borrowed as slices: a borrow holds the store, so no guest runs and nothing
/// grows meanwhile. Shared memories are [`SharedMemory`].
///
/// So a slice cannot be kept across a call, which might grow the memory and move it:
///
/// ```compile_fail
/// # use wardian::{Memory, Store, TypedFunc};
/// fn keeps(memory: Memory, store: &mut Store<()>, grow: TypedFunc<(), ()>) -> u8 {
///     let bytes = memory.data(&*store);
///     grow.call(&mut *store, ()).unwrap();
///     bytes[0]
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    pub(crate) store: u64,
    pub(crate) index: MemoryId,
}

/// A linear memory that several threads, each with a store of its own, use at once. Clones are the
/// same memory.
///
/// Guests change it at any time, so it can never be borrowed as a slice: bytes are copied, or read
/// and written atomically.
#[derive(Clone, Debug)]
pub struct SharedMemory(
    pub(crate) Arc<wardian_vm::memory::SharedMemory>,
    /// See [`SharedMemory::id`].
    pub(crate) u64,
);

/// A value of garbage collection: a struct, an array, an integer of 31 bits, or a value of the embedder's that a
/// guest converted (`anyref` without null).
///
/// The object that it refers to stays alive as long as this or a clone of it does: it is a root of the store's
/// collections. Objects of one store mean nothing in another one, which refuses them. Cheap to clone.
///
/// ```
/// use wardian::{Engine, Store, Val, ValType, gc::{StructRef, StructRefPre}, types::{FieldType, StorageType, StructType}};
/// let mut store = Store::new(&Engine::default(), ());
/// let field = FieldType { mutable: true, storage: StorageType::Val(ValType::I32) };
/// let ty = StructRefPre::new(&mut store, StructType::new([field, field]))?;
/// let point = StructRef::new(&mut store, &ty, &[Val::I32(3), Val::I32(4)])?;
/// point.set_field(&mut store, 1, Val::I32(5))?;
/// assert_eq!(point.field(&store, 1)?.i32(), Some(5));
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "Rooted", alias = "OwnedRooted", alias = "ManuallyRooted")]
pub struct AnyRef(pub(crate) value::AnyRef);

impl fmt::Debug for AnyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.root.word() {
            Some(word) => match word.integer() {
                Some(integer) => write!(f, "AnyRef(i31 {integer})"),
                None => write!(f, "AnyRef({word:?})"),
            },
            None => f.write_str("AnyRef(gone)"),
        }
    }
}

/// A value of the embedder's that guests can hold but not look into. Cheap to clone.
///
/// A guest may also convert a reference to one of its objects to an `externref`: then the value is an [`AnyRef`].
#[derive(Clone)]
pub struct ExternRef(Arc<dyn Any + Send + Sync>);

impl ExternRef {
    /// A reference to `value`.
    pub fn new(value: impl Any + Send + Sync) -> ExternRef {
        ExternRef(Arc::new(value))
    }

    /// The value.
    pub fn data(&self) -> &(dyn Any + Send + Sync) {
        &*self.0
    }

    /// Whether both refer to the same value.
    pub fn same(a: &ExternRef, b: &ExternRef) -> bool {
        match (a.0.downcast_ref::<AnyRef>(), b.0.downcast_ref::<AnyRef>()) {
            (Some(a), Some(b)) => AnyRef::ref_eq(a, b),
            _ => Arc::ptr_eq(&a.0, &b.0),
        }
    }
}

impl fmt::Debug for ExternRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternRef({:p})", self.0)
    }
}

/// Something that can be imported or exported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A memory of one store.
    Memory(Memory),
    /// A memory that several stores share.
    SharedMemory(SharedMemory),
    /// A global.
    Global(Global),
    /// A tag of exceptions.
    Tag(Tag),
}

#[doc(hidden)]
impl From<value::Func> for Func {
    #[inline]
    fn from(value::Func { store, index }: value::Func) -> Func {
        Func { store, index }
    }
}

#[doc(hidden)]
impl From<Func> for value::Func {
    #[inline]
    fn from(Func { store, index }: Func) -> value::Func {
        value::Func { store, index }
    }
}

#[doc(hidden)]
impl From<value::Tag> for Tag {
    fn from(value::Tag { store, index }: value::Tag) -> Tag {
        Tag { store, index }
    }
}

#[doc(hidden)]
impl From<Tag> for value::Tag {
    fn from(Tag { store, index }: Tag) -> value::Tag {
        value::Tag { store, index }
    }
}

#[doc(hidden)]
impl From<value::ExternRef> for ExternRef {
    fn from(value: value::ExternRef) -> ExternRef {
        match value {
            value::ExternRef::Value(value) => ExternRef(value),
            value::ExternRef::Object(any) => ExternRef::new(AnyRef(any)),
        }
    }
}

#[doc(hidden)]
impl From<ExternRef> for value::ExternRef {
    fn from(value: ExternRef) -> value::ExternRef {
        match value.data().downcast_ref::<AnyRef>() {
            Some(any) => value::ExternRef::Object(any.0.clone()),
            None => value::ExternRef::Value(value.0),
        }
    }
}

impl SharedMemory {
    /// A memory of the runtime's.
    pub(crate) fn of(memory: &value::SharedMemory) -> &SharedMemory {
        memory.shown(|| SharedMemory(memory.memory.clone(), memory.id))
    }

    /// The same as the runtime knows it.
    pub(crate) fn inner(&self) -> value::SharedMemory {
        value::SharedMemory::new(self.0.clone(), self.1)
    }
}

#[doc(hidden)]
impl From<value::Extern> for Extern {
    fn from(item: value::Extern) -> Extern {
        match item {
            value::Extern::Func(func) => Extern::Func(func.into()),
            value::Extern::Table(store, index) => Extern::Table(Table { store, index }),
            value::Extern::Memory(store, index) => Extern::Memory(Memory { store, index }),
            value::Extern::SharedMemory(shared) => {
                Extern::SharedMemory(SharedMemory::of(&shared).clone())
            }
            value::Extern::Global(global) => Extern::Global(Global(global)),
            value::Extern::Tag(tag) => Extern::Tag(tag.into()),
        }
    }
}

#[doc(hidden)]
impl From<Extern> for value::Extern {
    fn from(item: Extern) -> value::Extern {
        match item {
            Extern::Func(func) => value::Extern::Func(func.into()),
            Extern::Table(table) => value::Extern::Table(table.store, table.index),
            Extern::Memory(memory) => value::Extern::Memory(memory.store, memory.index),
            Extern::SharedMemory(shared) => value::Extern::SharedMemory(shared.inner()),
            Extern::Global(global) => value::Extern::Global(global.0),
            Extern::Tag(tag) => value::Extern::Tag(tag.into()),
        }
    }
}
