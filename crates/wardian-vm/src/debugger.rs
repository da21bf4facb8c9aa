//! Object files in memory by which debuggers know compiled code: the interface that GDB defines for this.
//!
//! ```text
//!   __jit_debug_descriptor
//!   ┌───────────────────┐        ┌─────────────┐        ┌─────────────┐
//!   │ version, action   │        │ next        │ ─────> │ next        │ ──> null
//!   │ entry concerned   │ <───── │ previous    │ <───── │ previous    │
//!   │ first entry       │ ─────> │ object file │        │ object file │
//!   └───────────────────┘        └─────────────┘        └─────────────┘
//! ```
//!
//! A debugger that is attached stops where `__jit_debug_register_code` begins, and reads which entry came or goes; one that
//! comes later reads the whole list. It does so while the process stands still, so all that is needed is that the list is
//! whole whenever the function is called.
//!
//! The two names are those of the interface, one of each for a process. They are weak symbols, so that a program may contain
//! another just-in-time compiler that defines them. Each of them has a lock of its own, so while both
//! change the list an entry can be lost to debuggers.

use std::ptr;
use std::sync::{Mutex, PoisonError};

/// An element of the list: `jit_code_entry` of the interface.
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    object: *const u8,
    size: u64,
}

/// `jit_descriptor` of the interface.
#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    concerned: *mut Entry,
    first: *mut Entry,
}

const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

/// Where there is compiled code and debuggers look for the symbols in ELF files, the two are defined here.
#[cfg(all(
    any(target_arch = "aarch64", target_arch = "x86_64"),
    any(target_os = "linux", target_os = "android"),
    not(miri)
))]
mod symbols {
    use super::Descriptor;

    std::arch::global_asm!(
        ".pushsection .text.__jit_debug_register_code, \"ax\", @progbits",
        ".weak __jit_debug_register_code",
        ".type __jit_debug_register_code, @function",
        "__jit_debug_register_code:",
        "ret",
        ".size __jit_debug_register_code, . - __jit_debug_register_code",
        ".popsection",
        ".pushsection .data.__jit_debug_descriptor, \"aw\", @progbits",
        ".balign 8",
        ".weak __jit_debug_descriptor",
        ".type __jit_debug_descriptor, @object",
        "__jit_debug_descriptor:",
        // The version, no action, no entries.
        ".long 1, 0",
        ".quad 0, 0",
        ".size __jit_debug_descriptor, . - __jit_debug_descriptor",
        ".popsection",
    );

    unsafe extern "C" {
        #[link_name = "__jit_debug_register_code"]
        pub(super) fn register_code();
        #[link_name = "__jit_debug_descriptor"]
        pub(super) static mut DESCRIPTOR: Descriptor;
    }
}

/// Elsewhere nothing looks for them.
#[cfg(not(all(
    any(target_arch = "aarch64", target_arch = "x86_64"),
    any(target_os = "linux", target_os = "android"),
    not(miri)
)))]
mod symbols {
    use super::Descriptor;
    use std::ptr;

    pub(super) unsafe extern "C" fn register_code() {}

    pub(super) static mut DESCRIPTOR: Descriptor =
        Descriptor { version: 1, action: 0, concerned: ptr::null_mut(), first: ptr::null_mut() };
}

/// Who has it may change the list.
static LIST: Mutex<()> = Mutex::new(());

/// An object file that debuggers can find. It is taken out of the list when this is dropped.
#[derive(Debug)]
pub struct RegisteredObject {
    /// Made by [`Box::into_raw`].
    entry: *mut Entry,
    #[expect(dead_code, reason = "the entry points to it")]
    object: Box<[u8]>,
}

// SAFETY: the entry is only reached with the lock of the list.
unsafe impl Send for RegisteredObject {}

impl RegisteredObject {
    /// Registers an object file: one of the format ELF, whose sections of code have their addresses.
    pub fn new(object: Box<[u8]>) -> RegisteredObject {
        let _lock = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the entries of the list are valid, for each is taken out before it is freed, and only who has the lock
        // uses them or the descriptor. Debuggers read both while this thread stands still.
        let entry = unsafe {
            let first = symbols::DESCRIPTOR.first;
            let entry = Box::into_raw(Box::new(Entry {
                next: first,
                previous: ptr::null_mut(),
                object: object.as_ptr(),
                size: object.len() as u64,
            }));
            if !first.is_null() {
                (*first).previous = entry;
            }
            symbols::DESCRIPTOR.first = entry;
            notify(REGISTER, entry);
            entry
        };
        RegisteredObject { entry, object }
    }
}

impl Drop for RegisteredObject {
    fn drop(&mut self) {
        let _lock = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: as in `new`; the entry is in the list, and when it has been taken out nothing leads to it.
        unsafe {
            let Entry { next, previous, .. } = *self.entry;
            match previous.is_null() {
                true => symbols::DESCRIPTOR.first = next,
                false => (*previous).next = next,
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            notify(UNREGISTER, self.entry);
            drop(Box::from_raw(self.entry));
        }
    }
}

/// Lets a debugger that is attached know what has changed.
///
/// # Safety
///
/// The caller has the lock, and the entry is valid.
unsafe fn notify(action: u32, entry: *mut Entry) {
    // SAFETY: the lock says that nobody else uses the descriptor. The function does nothing. It is foreign code, so that all
    // that was written is in memory when it begins.
    unsafe {
        symbols::DESCRIPTOR.action = action;
        symbols::DESCRIPTOR.concerned = entry;
        symbols::register_code();
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, LIST, RegisteredObject, symbols};

    /// The sizes of the objects in the list.
    fn sizes() -> Vec<u64> {
        let _lock = LIST.lock().unwrap();
        let mut sizes = Vec::new();
        // SAFETY: the lock says that nobody changes the list.
        unsafe {
            let (mut at, mut before): (_, *mut Entry) =
                (symbols::DESCRIPTOR.first, std::ptr::null_mut());
            while !at.is_null() {
                assert_eq!((*at).previous, before);
                sizes.push((*at).size);
                (before, at) = (at, (*at).next);
            }
        }
        sizes
    }

    #[test]
    fn objects_are_in_the_list_as_long_as_they_are_there() {
        let object = |size: usize| RegisteredObject::new(vec![0; size].into());
        let [a, b, c] = [1, 2, 3].map(object);
        assert_eq!(sizes(), [3, 2, 1]);
        drop(b);
        assert_eq!(sizes(), [3, 1]);
        drop(c);
        let d = object(4);
        assert_eq!(sizes(), [4, 1]);
        drop(a);
        assert_eq!(sizes(), [4]);
        drop(d);
        assert!(sizes().is_empty());
    }
}
