//! What lies around memories and stacks is inaccessible, and what is used again is clean. The system's own
//! list of mappings is asked.

use crate::mapping::round_up;
use crate::memory::{EngineMemory, GuardedMemory, MEMORY_GUARD, Memory, MemoryPool};
use crate::stack::{GUARD, StackPool, WasmStack};
use std::ops::Range;
use wardian_types::MemoryType;

const PAGE: usize = 65536;

/// Rights that some address of the range has, if any has some; and whether all of it is mapped.
fn rights(range: Range<usize>) -> (String, bool) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut found = String::new();
    let mut covered = range.start;
    for line in maps.lines() {
        let (addresses, rest) = line.split_once(' ').unwrap();
        let (start, end) = addresses.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
        if start >= range.end || end <= range.start {
            continue;
        }
        if start <= covered {
            covered = end;
        }
        found.extend(rest.chars().take(3).filter(|right| *right != '-'));
    }
    (found, covered >= range.end)
}

#[track_caller]
fn is_guard(range: Range<usize>) {
    assert_eq!(rights(range.clone()), (String::new(), true), "{range:x?} is a guard");
}

#[track_caller]
fn is_usable(range: Range<usize>) {
    let (rights, whole) = rights(range.clone());
    assert!(whole && rights.contains("rw") && !rights.contains('x'), "{range:x?}: {rights}");
}

fn memory(guarded: bool, ty: &MemoryType, pool: Option<&MemoryPool>) -> EngineMemory {
    EngineMemory::new(ty, guarded, None, pool).unwrap()
}

#[test]
fn a_memory_has_a_guard_of_all_that_an_address_reaches() {
    let ty = MemoryType::new(1, Some(100));
    let mut guarded = memory(true, &ty, None);
    for len in [PAGE, 3 * PAGE, 100 * PAGE] {
        guarded.grow_to(len, &|| false).unwrap();
        let base = guarded.base() as usize;
        is_usable(base..base + len);
        is_guard(base + len..base + (4 << 30) + MEMORY_GUARD);
    }
    let empty = memory(true, &MemoryType::new(0, None), None);
    let base = empty.base() as usize;
    is_guard(base..base + (4 << 30) + MEMORY_GUARD);
    let supplied = GuardedMemory::boxed(PAGE, 100 * PAGE).unwrap();
    let base = supplied.base() as usize;
    is_usable(base..base + PAGE);
    is_guard(base + PAGE..base + (4 << 30) + MEMORY_GUARD);
}

#[test]
fn a_checked_memory_ends_where_its_rights_end() {
    let mut ty = MemoryType::new(100, Some(10_000));
    ty.page_size_log2 = 0;
    let mut memory = memory(false, &ty, None);
    for len in [100, 4096, 4097, 9_999] {
        memory.grow_to(len, &|| false).unwrap();
        let base = memory.base() as usize;
        let end = base + round_up(len).unwrap();
        is_usable(base..end);
        let reserved = base + round_up(10_000).unwrap();
        if end < reserved {
            is_guard(end..reserved);
        }
    }
}

#[test]
fn a_memory_shrinks_with_its_rights() {
    let ty = MemoryType::new(1, Some(100));
    let mut one = Memory::Engine(memory(true, &ty, None));
    let capture = one.capture().unwrap();
    one.grow_to(50 * PAGE, &|| false).unwrap();
    // SAFETY: accessible, and nobody else has the memory.
    unsafe { one.base().write_bytes(7, 50 * PAGE) };
    // SAFETY: no code uses the memory.
    unsafe { one.restore(&capture).unwrap() };
    let base = one.base() as usize;
    is_usable(base..base + PAGE);
    is_guard(base + PAGE..base + (4 << 30) + MEMORY_GUARD);
    one.grow_to(50 * PAGE, &|| false).unwrap();
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts(one.base(), 50 * PAGE) };
    assert!(bytes.iter().all(|byte| *byte == 0));
}

/// Of the last page only a part belongs to a memory of one-byte pages; the rest of it is zero when the memory
/// grows again.
#[test]
fn a_memory_that_shrinks_inside_a_page_is_zero_when_it_grows_again() {
    let mut ty = MemoryType::new(100, Some(10_000));
    ty.page_size_log2 = 0;
    let mut one = Memory::Engine(memory(false, &ty, None));
    let capture = one.capture().unwrap();
    for len in [200, 5000] {
        one.grow_to(len, &|| false).unwrap();
        // SAFETY: accessible, and nobody else has the memory.
        unsafe { one.base().write_bytes(7, len) };
        // SAFETY: no code uses the memory.
        unsafe { one.restore(&capture).unwrap() };
        assert_eq!(one.len(), 100);
        is_guard(one.base() as usize + 4096..one.base() as usize + 8192);
        one.grow_to(len, &|| false).unwrap();
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(one.base(), len) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        // SAFETY: no code uses the memory.
        unsafe { one.restore(&capture).unwrap() };
    }
}

/// A growth that needs another place, and is stopped on the way, changes nothing.
#[test]
fn a_growth_that_is_cancelled_leaves_the_memory_as_it_was() {
    let mut ty = MemoryType::new(1, None);
    ty.memory64 = true;
    let mut memory = memory(false, &ty, None);
    let reserved = 8 << 30;
    // SAFETY: accessible, and nobody else has the memory.
    unsafe { memory.base().write_bytes(7, PAGE) };
    let base = memory.base() as usize;
    assert!(memory.grow_to(reserved + PAGE, &|| true).is_err());
    assert_eq!((memory.base() as usize, memory.len()), (base, PAGE));
    is_usable(base..base + PAGE);
    is_guard(base + PAGE..base + reserved);
    // SAFETY: as above.
    assert!(unsafe { std::slice::from_raw_parts(memory.base(), PAGE) }.iter().all(|b| *b == 7));
}

#[test]
fn a_memory_that_is_used_again_is_clean_and_has_its_guard() {
    let pool = MemoryPool::default();
    let large = MemoryType::new(40, Some(100));
    let small = MemoryType::new(1, Some(2));
    for captured in [false, true] {
        let mut first = Memory::Engine(memory(true, &large, Some(&pool)));
        // SAFETY: accessible, and nobody else has the memory.
        unsafe { first.base().write_bytes(7, 40 * PAGE) };
        if captured {
            first.capture().unwrap();
            // SAFETY: as above.
            unsafe { first.base().write_bytes(8, 40 * PAGE) };
        }
        let before = first.base() as usize;
        let Memory::Engine(first) = first else { unreachable!() };
        pool.give_back(first, false);
        let mut second = memory(true, &small, Some(&pool));
        let base = second.base() as usize;
        assert_eq!(base, before, "it is the same place");
        is_guard(base + PAGE..base + (4 << 30) + MEMORY_GUARD);
        second.grow_to(2 * PAGE, &|| false).unwrap();
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(second.base(), 2 * PAGE) };
        assert!(bytes.iter().all(|byte| *byte == 0), "captured {captured}");
        pool.give_back(second, true);
        let third = memory(true, &large, Some(&pool));
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(third.base(), 40 * PAGE) };
        assert!(bytes.iter().all(|byte| *byte == 0), "captured {captured}");
        pool.give_back(third, false);
    }
}

#[test]
fn a_stack_has_a_guard_below_it_also_when_it_is_used_again() {
    let mut store = Box::new(crate::layout::StoreCtx::default());
    let mut look = |stack: &WasmStack| {
        stack.attach(&mut store);
        is_guard(store.guard_start.as_usize()..store.guard_end.as_usize());
        assert_eq!(store.guard_end.bytes_from(store.guard_start), GUARD);
        let (low, high) = (store.guard_end.as_usize(), store.interp_limit.as_usize());
        is_usable(low..high);
        (low, high)
    };
    let pool = StackPool::new(1 << 20, 1 << 20, false);
    let first = pool.take().unwrap();
    let (low, high) = look(&first);
    // SAFETY: accessible, and nobody uses the stack.
    unsafe { (low as *mut u8).write_bytes(7, high - low) };
    pool.give_back(first, true);
    let second = pool.take().unwrap();
    assert_eq!(look(&second), (low, high), "it is the same place");
    // What a deep recursion wrote is gone; what lies nearest to the top, a guest writes before it reads.
    // SAFETY: accessible, and nobody uses the stack.
    let bytes = unsafe { std::slice::from_raw_parts(low as *const u8, 512 << 10) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    // The same of interpreted frames, of which the last are the deepest.
    let end = high - (512 << 10);
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts(end as *const u8, 512 << 10) };
    assert!(bytes.iter().all(|byte| *byte == 0));
}
