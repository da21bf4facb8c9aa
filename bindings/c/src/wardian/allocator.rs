//! Where the bytes of memories come from.

use super::instantiation::{Environment, Instantiation};
use super::text;
use crate::types::Type;
use crate::{give, take};
use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use wardian::{
    Error, ExternType, Result,
    allocator::{
        FileMemory, FixedMemory, GuardedMemory, LinearMemory, MemoryRequest, PoolingAllocator,
        Reservation, VecMemory,
    },
};

type Allocate =
    unsafe extern "C" fn(*mut c_void, *const Type, usize, usize, *mut GivenMemory) -> bool;

/// `wardian_linear_memory_t`.
#[repr(C)]
pub struct GivenMemory {
    base: *mut u8,
    capacity: usize,
    environment: *mut c_void,
    grow: Option<unsafe extern "C" fn(*mut c_void, usize, *mut *mut u8, *mut usize) -> bool>,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
    reserved: usize,
    never_moves: bool,
    shrink: Option<unsafe extern "C" fn(*mut c_void, usize) -> bool>,
}

// SAFETY: C has promised that its functions can be called on any thread that has the store.
unsafe impl Send for GivenMemory {}
// SAFETY: as above; it is only changed through `&mut`.
unsafe impl Sync for GivenMemory {}

// SAFETY: the header asks C for each of these promises.
unsafe impl LinearMemory for GivenMemory {
    fn base(&self) -> *mut u8 {
        self.base
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn reallocate(&mut self, size: usize) -> Option<*mut u8> {
        let (mut base, mut capacity) = (self.base, self.capacity);
        // SAFETY: as C has said.
        let grown = unsafe { self.grow?(self.environment, size, &mut base, &mut capacity) };
        if !grown {
            return None;
        }
        (self.base, self.capacity) = (base, capacity);
        Some(base)
    }

    fn never_moves(&self) -> bool {
        self.never_moves || self.reserved > 0
    }

    fn reservation(&self) -> Option<Reservation> {
        (self.reserved > 0).then_some(Reservation { bytes: self.reserved })
    }

    fn shrink(&mut self, size: usize) -> bool {
        // SAFETY: as C has said.
        let shrunk = self.shrink.is_some_and(|shrink| unsafe { shrink(self.environment, size) });
        if shrunk {
            self.capacity = size;
        }
        shrunk
    }

    fn free(self: Box<Self>) {
        if let Some(free) = self.free {
            // SAFETY: as C has said.
            unsafe { free(self.environment) }
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_allocator(
    options: *mut Instantiation,
    allocate: Allocate,
    environment: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) {
    let environment = Environment { pointer: environment, finalizer };
    let allocator = move |request: &MemoryRequest<'_>| -> Result<Box<dyn LinearMemory>> {
        let environment = &environment;
        let ty = Type::new(ExternType::Memory(request.ty));
        let mut given = GivenMemory {
            base: std::ptr::null_mut(),
            capacity: 0,
            environment: std::ptr::null_mut(),
            grow: None,
            free: None,
            reserved: 0,
            never_moves: false,
            shrink: None,
        };
        let (minimum, maximum) = (request.minimum, request.maximum);
        // SAFETY: the function takes these, as C has said.
        let done = unsafe { allocate(environment.pointer, &ty, minimum, maximum, &mut given) };
        if !done {
            return Err(Error::host(format!(
                "the allocator has refused a memory of {minimum} bytes"
            )));
        }
        Ok(Box::new(given))
    };
    let allocator = wardian::allocator::MemoryAllocatorFunc::new(allocator);
    // SAFETY: see the crate's documentation.
    unsafe { (*options).set(|options| options.with_memory_allocator(allocator)) }
}

#[unsafe(no_mangle)]
pub extern "C" fn wardian_guarded_size() -> usize {
    Reservation::GUARDED.bytes
}

/// Has the memories of instances be of a built-in kind.
unsafe fn supply(
    options: *mut Instantiation,
    allocate: impl Fn(&MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> + Send + Sync + 'static,
) {
    let allocator = wardian::allocator::MemoryAllocatorFunc::new(allocate);
    // SAFETY: the caller's promise.
    unsafe { (*options).set(|options| options.with_memory_allocator(allocator)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_memories(options: *mut Instantiation, kind: u32) {
    // SAFETY: see the crate's documentation.
    unsafe {
        supply(options, move |request| {
            let (minimum, maximum) = (request.minimum, request.maximum);
            Ok(match kind {
                0 => GuardedMemory::boxed(minimum, maximum)?,
                1 => VecMemory::boxed(minimum, maximum)?,
                _ => FixedMemory::boxed(minimum, maximum)?,
            })
        });
    }
}

/// False if the path is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_file(
    options: *mut Instantiation,
    path: *const c_char,
) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let Ok(path) = text(path).map(PathBuf::from) else { return false };
        supply(options, move |request| {
            // SAFETY: the header says that nobody else may change the file.
            let memory = FileMemory::open(&path, request.minimum, request.maximum);
            memory.map_err(|failed| Error::host(format!("{}: {failed}", path.display())))
        });
        true
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn wardian_memory_pool_new(
    slots: usize,
    slot_bytes: usize,
) -> *mut PoolingAllocator {
    give(PoolingAllocator::new(slots, slot_bytes))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_memory_pool_delete(pool: *mut PoolingAllocator) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(pool) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_memory_pool_in_use(pool: *const PoolingAllocator) -> usize {
    // SAFETY: see the crate's documentation.
    unsafe { (*pool).in_use() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_pool(
    options: *mut Instantiation,
    pool: *const PoolingAllocator,
) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let pool = (*pool).clone();
        (*options).set(|options| options.with_memory_allocator(pool));
    }
}
