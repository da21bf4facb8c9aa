//! Linear memories whose bytes the embedder supplies.

use crate::error::LimitKind;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;
use wardian_runtime::instance::memory::{Supplier, Wanted, unusable};
use wardian_types::MemoryType;
pub use wardian_vm::memory::{
    FileMemory, FixedMemory, GuardedMemory, LinearMemory, Reservation, VecMemory,
};
use wardian_vm::memory::{MemoryError, MemorySlots, SlotsError, size_in_bytes};

/// Supplies the bytes of linear memories: of those that a module defines, if it is instantiated with
/// [`crate::InstantiateOptions::with_memory_allocator`], and of those made with
/// [`crate::Memory::new_with_allocator`] or [`crate::SharedMemory::new_with_allocator`]. Imported
/// memories stay what they are.
///
/// It is asked once for each memory, after the store's limits have allowed its minimum; growth goes to
/// the [`LinearMemory`] that it gave. It has no way to the store.
///
/// A memory without a reservation of its own (see [`LinearMemory::reservation`]) has slower code, in
/// which every access is compared with the size. That code is compiled when the first instance needs
/// it. Instances without such memories are not affected.
#[doc(alias = "MemoryCreator")]
pub trait MemoryAllocator: Send + Sync + 'static {
    /// The memory for a request: of [`MemoryRequest::minimum`] bytes, all zero. An error is the
    /// instantiation's error.
    ///
    /// # Errors
    ///
    /// As the allocator likes: [`Error::host`] makes one of text.
    fn allocate(&self, request: &MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>>;
}

impl<A: MemoryAllocator + ?Sized> MemoryAllocator for Arc<A> {
    fn allocate(&self, request: &MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> {
        (**self).allocate(request)
    }
}

/// What a [`MemoryAllocator`] is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryRequest<'a> {
    /// The type that the module or the host gave.
    pub ty: MemoryType,
    /// Bytes that the memory has at first.
    pub minimum: usize,
    /// Bytes to which it can grow: what the type says, else what its addresses reach. Nearly all of
    /// the machine's addresses for a 64-bit memory without a maximum.
    pub maximum: usize,
    /// Whether several threads will use it, so that it must never move.
    pub shared: bool,
    /// Whether code without checks is possible, if the memory has a [`crate::allocator::Reservation`].
    pub wants_guard: bool,
    /// The name of the module that defines it, if it has one.
    pub module: Option<&'a str>,
    /// The name that the embedder gave the instance.
    pub instance: Option<&'a str>,
}

impl MemoryRequest<'_> {
    /// A request for a memory of a type, to try out an allocator.
    ///
    /// # Errors
    ///
    /// The minimum is more than a memory can be on this machine.
    pub fn new(ty: MemoryType) -> Result<MemoryRequest<'static>> {
        let bytes = |pages| size_in_bytes(&ty, pages);
        let minimum = bytes(ty.min).ok_or_else(|| unusable(&ty, MemoryError::TooLarge(ty.min)))?;
        Ok(MemoryRequest {
            ty,
            minimum,
            maximum: bytes(ty.max_pages()).unwrap_or(isize::MAX as usize),
            shared: ty.shared,
            wants_guard: false,
            module: None,
            instance: None,
        })
    }
}

/// A closure is an allocator.
impl<F> MemoryAllocator for F
where
    F: Fn(&MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> + Send + Sync + 'static,
{
    fn allocate(&self, request: &MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> {
        self(request)
    }
}

/// A closure as a [`MemoryAllocator`], whose parameter needs no type.
///
/// Together with the built-in memories, no unsafe code is needed. Here every memory reserves at most 1 MiB,
/// on the heap, and modules by the name "big" are refused:
///
/// ```
/// use wardian::{Engine, Error, Instance, InstantiateOptions, Module, Store, allocator::MemoryAllocatorFunc};
/// use wardian::allocator::VecMemory;
///
/// let allocator = MemoryAllocatorFunc::new(|request| {
///     if request.module == Some("big") {
///         return Err(Error::host("nothing for the big one"));
///     }
///     Ok(VecMemory::boxed(request.minimum, request.maximum.min(1 << 20))?)
/// });
/// let engine = Engine::default();
/// let mut store = Store::new(&engine, ());
/// let options = InstantiateOptions::new().with_memory_allocator(allocator);
///
/// let small = Module::new(&engine, r#"(module (memory 1)
///     (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#)?;
/// let instance = Instance::new_with(&mut store, &small, &[], &options)?;
/// let grow = instance.typed_func::<i32, i32>(&mut store, "grow")?;
/// assert_eq!(grow.call(&mut store, 15)?, 1);
/// assert_eq!(grow.call(&mut store, 1)?, -1);
///
/// let big = Module::new(&engine, "(module $big (memory 1))")?;
/// let refused = Instance::new_with(&mut store, &big, &[], &options).unwrap_err();
/// assert_eq!(refused.to_string(), "nothing for the big one");
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct MemoryAllocatorFunc<F>(F);

impl<F> MemoryAllocatorFunc<F>
where
    F: Fn(&MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> + Send + Sync + 'static,
{
    /// Answers requests by calling `allocate`.
    pub fn new(allocate: F) -> MemoryAllocatorFunc<F> {
        MemoryAllocatorFunc(allocate)
    }
}

impl<F> MemoryAllocator for MemoryAllocatorFunc<F>
where
    F: Fn(&MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> + Send + Sync + 'static,
{
    fn allocate(&self, request: &MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> {
        (self.0)(request)
    }
}

impl<F> fmt::Debug for MemoryAllocatorFunc<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryAllocatorFunc")
    }
}

/// A bounded number of memories of a bounded size, used again and again. Clones are the same pool.
///
/// Each slot is a reservation of a bit more than 4 GiB of addresses. It is made on first use and then kept,
/// so code for its memories needs no bounds checks and nothing is reserved again. A slot is emptied before it
/// is used again: its pages go back to the system, and new pages are zero. If all slots are in use, or a
/// minimum does not fit, the request is refused. So is growth past the end of a slot.
///
/// ```
/// use wardian::{MemoryType, allocator::{MemoryAllocator, MemoryRequest, PoolingAllocator}};
/// let pool = PoolingAllocator::new(1, 1 << 20);
/// let request = MemoryRequest::new(MemoryType::new(1, None))?;
/// let memory = pool.allocate(&request)?;
/// assert_eq!(
///     pool.allocate(&request).err().unwrap().to_string(),
///     "all 1 slots of the memory pool are in use",
/// );
/// memory.free();
/// assert_eq!(pool.in_use(), 0);
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "PoolingAllocationConfig", alias = "InstanceAllocationStrategy")]
pub struct PoolingAllocator(Arc<MemorySlots>);

impl PoolingAllocator {
    /// A pool of so many memories of at most `slot_bytes` each, and 4 GiB.
    pub fn new(slots: usize, slot_bytes: usize) -> PoolingAllocator {
        PoolingAllocator(MemorySlots::new(slots, slot_bytes))
    }

    /// Slots that are taken.
    pub fn in_use(&self) -> usize {
        self.0.used()
    }
}

impl MemoryAllocator for PoolingAllocator {
    fn allocate(&self, request: &MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> {
        let taken = self.0.take(request.minimum, request.maximum);
        taken.map_err(|error| match error {
            SlotsError::System(error) => Error::system("a slot of the memory pool", error),
            _ => Error::limit(LimitKind::Allocator, error.to_string()),
        })
    }
}
/// An allocator as the runtime knows it.
pub(crate) struct Supplying<'a>(pub(crate) &'a dyn MemoryAllocator);

impl Supplier for Supplying<'_> {
    fn supply(&self, wanted: &Wanted<'_>) -> wardian_runtime::Result<Box<dyn LinearMemory>> {
        let request = MemoryRequest {
            wants_guard: wanted.wants_guard,
            module: wanted.module,
            instance: wanted.instance,
            ..MemoryRequest::new(wanted.ty)?
        };
        Ok(self.0.allocate(&request)?)
    }
}
