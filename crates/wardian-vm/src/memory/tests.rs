//! Captures come back as they were, and embedders' memories are looked at.

use super::*;
use std::sync::atomic::AtomicUsize;

const PAGE: usize = 65536;

fn engine(guarded: bool, pages: u64) -> Memory {
    let ty = MemoryType::new(pages, Some(100));
    Memory::Engine(EngineMemory::new(&ty, guarded, None, None).unwrap())
}

fn custom(memory: Box<dyn LinearMemory>, pages: u64) -> Memory {
    let ty = MemoryType::new(pages, Some(100));
    Memory::Custom(CustomMemory::new(memory, &ty, true).unwrap())
}

/// One of each kind, of two pages.
fn all_kinds() -> Vec<(&'static str, Memory)> {
    let (min, max) = (2 * PAGE, 100 * PAGE);
    vec![
        ("guarded", engine(true, 2)),
        ("checked", engine(false, 2)),
        ("heap", custom(VecMemory::boxed(min, max).unwrap(), 2)),
        ("fixed", custom(FixedMemory::boxed(min, max).unwrap(), 2)),
        ("custom and guarded", custom(GuardedMemory::boxed(min, max).unwrap(), 2)),
        ("pooled", custom(MemorySlots::new(1, max).take(min, max).unwrap(), 2)),
    ]
}

fn bytes(memory: &mut Memory) -> &mut [u8] {
    // SAFETY: accessible, and borrowed exclusively.
    unsafe { std::slice::from_raw_parts_mut(memory.base(), memory.len()) }
}

fn restore(memory: &mut Memory, capture: &MemoryCapture) {
    // SAFETY: no code uses the memory.
    unsafe { memory.restore(capture).unwrap() }
}

#[test]
fn captures_come_back_in_any_order() {
    for (kind, mut memory) in all_kinds() {
        bytes(&mut memory)[5] = 1;
        bytes(&mut memory)[2 * PAGE - 1] = 2;
        let first = memory.capture().unwrap();
        bytes(&mut memory)[5] = 3;
        memory.grow_to(7 * PAGE, &|| false).unwrap();
        bytes(&mut memory)[6 * PAGE] = 4;
        let second = memory.capture().unwrap();
        bytes(&mut memory).fill(9);
        for _ in 0..3 {
            restore(&mut memory, &first);
            assert_eq!(memory.len(), 2 * PAGE, "{kind}");
            let seen = bytes(&mut memory);
            assert_eq!((seen[5], seen[6], seen[2 * PAGE - 1]), (1, 0, 2), "{kind}");
            seen.fill(7);
            restore(&mut memory, &second);
            assert_eq!((memory.len(), bytes(&mut memory)[6 * PAGE]), (7 * PAGE, 4), "{kind}");
            restore(&mut memory, &first);
            memory.grow_to(9 * PAGE, &|| false).unwrap();
            assert!(bytes(&mut memory)[2 * PAGE..].iter().all(|b| *b == 0), "{kind}: new is zero");
            bytes(&mut memory).fill(8);
            restore(&mut memory, &second);
            assert_eq!(memory.len(), 7 * PAGE, "{kind}");
            let seen = bytes(&mut memory);
            assert_eq!((seen[5], seen[6 * PAGE], seen[4 * PAGE]), (3, 4, 0), "{kind}");
            seen.fill(6);
            restore(&mut memory, &second);
            assert_eq!(bytes(&mut memory)[7], 0, "{kind}");
        }
        drop(first);
        restore(&mut memory, &second);
        assert_eq!(bytes(&mut memory)[6 * PAGE], 4, "{kind}");
    }
}

#[test]
fn a_capture_is_not_changed_by_who_goes_on() {
    for (kind, mut memory) in all_kinds() {
        let mut captures = Vec::new();
        for round in 0..5u8 {
            bytes(&mut memory)[100] = round;
            captures.push(memory.capture().unwrap());
        }
        for round in [3u8, 0, 4, 1, 2] {
            restore(&mut memory, &captures[usize::from(round)]);
            assert_eq!(bytes(&mut memory)[100], round, "{kind}");
        }
    }
}

#[test]
fn empty_memories_and_moved_ones_are_captured() {
    for guarded in [true, false] {
        let mut memory = engine(guarded, 0);
        let empty = memory.capture().unwrap();
        assert!(empty.is_empty());
        memory.grow_to(PAGE, &|| false).unwrap();
        bytes(&mut memory).fill(1);
        let one = memory.capture().unwrap();
        restore(&mut memory, &empty);
        assert_eq!(memory.len(), 0);
        memory.grow_to(PAGE, &|| false).unwrap();
        assert_eq!(bytes(&mut memory)[9], 0);
        restore(&mut memory, &one);
        assert_eq!(bytes(&mut memory)[9], 1);
    }
    let ty = MemoryType { memory64: true, ..MemoryType::new(1, None) };
    let mut memory = Memory::Engine(EngineMemory::new(&ty, false, None, None).unwrap());
    bytes(&mut memory)[3] = 3;
    let refused = memory.grow_to(CHECKED_RESERVATIONS[0] + PAGE, &|| true);
    assert!(refused.is_err(), "there was no time");
    assert_eq!((memory.len(), bytes(&mut memory)[3]), (PAGE, 3));
    let before = memory.capture().unwrap();
    let base = memory.base();
    memory.grow_to(CHECKED_RESERVATIONS[0] + PAGE, &|| false).unwrap();
    assert_ne!(memory.base(), base);
    bytes(&mut memory)[3] = 4;
    restore(&mut memory, &before);
    assert_eq!((memory.len(), bytes(&mut memory)[3]), (PAGE, 3));
}

/// Pages that the range of a memory has room for, whatever else is in its file.
fn pages_kept(memory: &Memory) -> usize {
    let Memory::Engine(engine) = memory else { unreachable!() };
    engine.captured.as_ref().unwrap().kept()
}

/// Lines of a list of the process.
fn count(list: &str) -> usize {
    match std::fs::read_dir(list) {
        Ok(folder) => folder.count(),
        Err(_) => std::fs::read_to_string(list).unwrap().lines().count(),
    }
}

#[cfg(not(miri))]
#[test]
fn captures_are_right_however_written_pages_are_found() {
    for (scan, words) in [(true, true), (false, true), (false, false)] {
        crate::system::WAYS.set(crate::system::Ways { scan, words });
        captures_come_back_in_any_order();
        a_capture_is_not_changed_by_who_goes_on();
        empty_memories_and_moved_ones_are_captured();
        random_writes_come_back();
    }
}

/// Captures, restores, growths and drops in a random order, beside copies.
#[test]
fn random_writes_come_back() {
    let mut state = 88172645463325252u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    for guarded in [true, false] {
        let image = Arc::new(MemoryImage::new(3 * 4096, [(0, &[3; 3 * 4096][..])]).unwrap());
        let ty = MemoryType::new(1, Some(100));
        let memory = EngineMemory::new(&ty, guarded, Some(image), None).unwrap();
        let mut memory = Memory::Engine(memory);
        let mut kept: Vec<(MemoryCapture, Vec<u8>)> = Vec::new();
        for _ in 0..600 {
            let len = memory.len();
            match random(8) {
                0 if len < 40 * PAGE => memory.grow_to(len + PAGE, &|| false).unwrap(),
                1 | 2 if kept.len() < 9 => {
                    let capture = memory.capture().unwrap();
                    kept.push((capture, bytes(&mut memory).to_vec()));
                }
                3 | 4 if !kept.is_empty() => {
                    let (capture, copy) = &kept[random(kept.len())];
                    restore(&mut memory, capture);
                    assert!(bytes(&mut memory) == &copy[..]);
                }
                5 if !kept.is_empty() => drop(kept.swap_remove(random(kept.len()))),
                _ => {
                    for _ in 0..random(40) {
                        let value = random(3) as u8;
                        bytes(&mut memory)[random(len)] = value;
                    }
                }
            }
        }
        kept.clear();
        assert_eq!(pages_kept(&memory), 0, "nothing is kept for nobody");
    }
}

#[test]
fn a_capture_costs_what_differs_and_no_descriptors_or_mappings() {
    let mut memory = engine(true, 100);
    bytes(&mut memory).fill(1);
    let first = memory.capture().unwrap();
    let mut later = vec![memory.capture().unwrap()];
    assert_eq!(pages_kept(&memory), 0);
    let before = (count("/proc/self/fd"), count("/proc/self/maps"));
    for i in 0..1000 {
        // Far apart, so that each would be a mapping of its own if pages were mapped one by one.
        bytes(&mut memory)[i % 100 * PAGE] += 1;
        later.push(memory.capture().unwrap());
    }
    assert_eq!(pages_kept(&memory), 1000);
    let after = (count("/proc/self/fd"), count("/proc/self/maps"));
    // Other tests run at the same time.
    assert!(after.0 < before.0 + 100 && after.1 < before.1 + 300, "{before:?}, {after:?}");
    restore(&mut memory, &later[500]);
    assert_eq!((bytes(&mut memory)[99 * PAGE], bytes(&mut memory)[0]), (6, 6));
    drop(later);
    restore(&mut memory, &first);
    assert_eq!((bytes(&mut memory)[99 * PAGE], bytes(&mut memory)[0]), (1, 1));
    assert!(pages_kept(&memory) <= 200, "few that nobody needs");
    drop(first);
    assert_eq!(pages_kept(&memory), 0);
}

#[test]
fn zero_pages_take_no_room_in_a_capture() {
    let before = {
        let mut memory = engine(true, 100);
        bytes(&mut memory)[50 * PAGE] = 1;
        bytes(&mut memory)[100 * PAGE - 1] = 1;
        memory.capture().unwrap();
        let mut list = vec![0; 100 * PAGE / 4096];
        let len = 100 * PAGE;
        // SAFETY: the list has a byte for each page of the memory.
        assert_eq!(unsafe { libc::mincore(memory.base().cast(), len, list.as_mut_ptr()) }, 0);
        list.iter().filter(|byte| **byte & 1 != 0).count()
    };
    assert!(before <= 16, "{before} pages of the file");
}

/// The page map is one of the process that opened it, and the pages of a file may be in use by the other process.
#[test]
fn processes_that_fork_do_not_see_each_others_captures() {
    let mut memory = engine(true, 4);
    bytes(&mut memory).fill(1);
    let first = memory.capture().unwrap();
    bytes(&mut memory)[5] = 2;
    let second = memory.capture().unwrap();
    let go = |memory: &mut Memory, value: u8| {
        bytes(memory)[PAGE] = value;
        let third = memory.capture().unwrap();
        let mut good = true;
        for _ in 0..20 {
            restore(memory, &first);
            good &= (bytes(memory)[5], bytes(memory)[PAGE], bytes(memory)[3 * PAGE]) == (1, 1, 1);
            restore(memory, &third);
            good &=
                (bytes(memory)[5], bytes(memory)[PAGE], bytes(memory)[3 * PAGE]) == (2, value, 1);
            restore(memory, &second);
            good &= (bytes(memory)[5], bytes(memory)[PAGE], bytes(memory)[3 * PAGE]) == (2, 1, 1);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        good
    };
    // SAFETY: the child only uses the memory and leaves without running destructors.
    match unsafe { libc::fork() } {
        0 => {
            let good = go(&mut memory, 7);
            // SAFETY: ends this process.
            unsafe { libc::_exit(if good { 0 } else { 1 }) }
        }
        child => {
            assert!(go(&mut memory, 9));
            let mut status = -1;
            // SAFETY: the child is ours.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
        }
    }
}

#[test]
fn what_was_captured_is_not_in_the_pool_later() {
    let pool = MemoryPool::default();
    let ty = MemoryType::new(2, None);
    let Memory::Engine(mut memory) = engine(true, 2) else { unreachable!() };
    // SAFETY: accessible.
    unsafe { memory.base().write_bytes(5, 2 * PAGE) };
    memory.capture().unwrap();
    pool.give_back(memory, true);
    assert!(pool.free.lock().unwrap()[0].image.is_none(), "the capture's file is not kept");
    let mut again = Memory::Engine(EngineMemory::new(&ty, true, None, Some(&pool)).unwrap());
    assert!(bytes(&mut again).iter().all(|b| *b == 0));
}

#[test]
fn captures_of_other_kinds_are_refused() {
    let mut own = engine(true, 1);
    let mut other = custom(VecMemory::boxed(PAGE, PAGE).unwrap(), 1);
    let large = engine(true, 50).capture().unwrap();
    let (a, b) = (own.capture().unwrap(), other.capture().unwrap());
    let ty = MemoryType::new(1, Some(20));
    let mut small = Memory::Engine(EngineMemory::new(&ty, false, None, None).unwrap());
    // SAFETY: no code uses the memories.
    unsafe {
        assert!(own.restore(&b).is_err());
        assert!(other.restore(&a).is_err());
        assert!(small.restore(&large).is_err());
    }
}

/// A memory that says whatever the test wants.
struct Liar {
    base: usize,
    capacity: usize,
    reservation: Option<usize>,
    next: usize,
    fixed: bool,
}

static FREED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it does not keep its promises; the test touches no byte of it.
unsafe impl LinearMemory for Liar {
    fn base(&self) -> *mut u8 {
        self.base as *mut u8
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn reallocate(&mut self, _: usize) -> Option<*mut u8> {
        self.base = self.next;
        Some(self.next as *mut u8)
    }

    fn never_moves(&self) -> bool {
        self.fixed
    }

    fn reservation(&self) -> Option<Reservation> {
        self.reservation.map(|bytes| Reservation { bytes })
    }

    fn free(self: Box<Self>) {
        FREED.fetch_add(1, Ordering::Relaxed);
        panic!("this goes no further");
    }
}

#[test]
fn broken_promises_are_found() {
    let guarded = Some(GUARDED_SIZE);
    let ty = MemoryType::new(1, Some(9));
    for (base, capacity, reservation, word) in [
        (0, PAGE, None, "null"),
        (0x10008, PAGE, None, "multiple of 16"),
        (0x10010, PAGE, guarded, "multiple of"),
        (0x10000, PAGE - 1, None, "capacity is 65535"),
        (usize::MAX & !15, PAGE, None, "beyond the end"),
        (0x10000, 2 * PAGE, guarded, "inaccessible"),
    ] {
        let liar = Liar { base, capacity, reservation, next: base, fixed: false };
        let before = FREED.load(Ordering::Relaxed);
        let reported = CustomMemory::new(Box::new(liar), &ty, true).unwrap_err().to_string();
        assert!(reported.contains(word), "{reported}");
        assert_eq!(FREED.load(Ordering::Relaxed), before + 1, "freed exactly once");
    }
    let shared = MemoryType { shared: true, ..ty };
    let liar = |reservation, fixed| {
        let (base, next) = (0x10000, 0x20000);
        Box::new(Liar { base, capacity: 2 * PAGE, reservation, next, fixed })
    };
    let reported = CustomMemory::new(liar(None, false), &shared, true).unwrap_err().to_string();
    assert!(reported.contains("threads cannot share it"), "{reported}");
    for (ty, reservation, fixed) in [
        (ty, None, false),
        (ty, Some(PAGE), false),
        (ty, None, true),
        (shared, None, true),
        (shared, Some(PAGE), false),
    ] {
        let moves = !fixed && reservation.is_none();
        let mut memory = CustomMemory::new(liar(reservation, fixed), &ty, true).unwrap();
        let grown = memory.grow_to(2 * PAGE);
        let expected = if moves { (0x20000, 2 * PAGE) } else { (0x10000, PAGE) };
        assert_eq!((memory.base() as usize, memory.len()), expected);
        assert_eq!(grown.is_ok(), moves, "{grown:?}");
    }
}

#[test]
fn slots_are_bounded_and_come_back_clean() {
    let slots = MemorySlots::new(2, 3 * PAGE);
    assert!(matches!(slots.take(4 * PAGE, 4 * PAGE), Err(SlotsError::TooSmall { .. })));
    for _ in 0..5 {
        let mut a = custom(slots.take(PAGE, 100 * PAGE).unwrap(), 1);
        let b = slots.take(PAGE, 100 * PAGE).unwrap();
        assert!(matches!(slots.take(PAGE, PAGE), Err(SlotsError::Exhausted(2))));
        assert!(a.grow_to(4 * PAGE, &|| false).is_err(), "no slot is so large");
        a.grow_to(3 * PAGE, &|| false).unwrap();
        assert!(bytes(&mut a).iter().all(|b| *b == 0));
        bytes(&mut a).fill(0xee);
        drop(a);
        b.free();
        assert_eq!(slots.used(), 0);
    }
}
