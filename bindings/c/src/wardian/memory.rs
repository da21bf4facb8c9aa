//! Bytes of memories by copies, also of those that threads share.

use crate::reference::Reference;
use wardian::Extern;

/// False if they are not all in the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_memory_read(
    memory: *const Reference,
    offset: usize,
    bytes: *mut u8,
    count: usize,
) -> bool {
    if count == 0 {
        return true;
    }
    // SAFETY: see the crate's documentation; there are so many bytes, and nobody else uses them.
    unsafe {
        let into = std::slice::from_raw_parts_mut(bytes, count);
        match (*memory).item() {
            Some(Extern::Memory(of)) => {
                (*memory).store.with(|context| of.read(&context, offset, into)).is_ok()
            }
            Some(Extern::SharedMemory(of)) => of.read(offset, into).is_ok(),
            _ => false,
        }
    }
}

/// False if they would not all be in the memory: nothing is written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_memory_write(
    memory: *mut Reference,
    offset: usize,
    bytes: *const u8,
    count: usize,
) -> bool {
    if count == 0 {
        return true;
    }
    // SAFETY: as above.
    unsafe {
        let bytes = std::slice::from_raw_parts(bytes, count);
        match (*memory).item() {
            Some(Extern::Memory(of)) => {
                (*memory).store.with(|context| of.write(context, offset, bytes)).is_ok()
            }
            Some(Extern::SharedMemory(of)) => of.write(offset, bytes).is_ok(),
            _ => false,
        }
    }
}
