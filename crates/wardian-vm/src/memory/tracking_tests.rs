//! Random operations on memories with marks: whatever differs from what a part was at a mark is said to have changed.

use super::*;
use std::io::Read;

const PAGE: usize = 65536;

fn bytes(memory: &mut Memory) -> &mut [u8] {
    // SAFETY: accessible, and borrowed exclusively.
    unsafe { std::slice::from_raw_parts_mut(memory.base(), memory.len()) }
}

fn engine(guarded: bool, pages: u64) -> Memory {
    let ty = MemoryType::new(pages, Some(60));
    Memory::Engine(EngineMemory::new(&ty, guarded, None, None).unwrap())
}

/// Whether this system can tell.
fn is_tracked() -> bool {
    engine(true, 1).mark().is_some()
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// A memory with what it was at its marks, and its captures.
struct Watched {
    memory: Memory,
    marks: Vec<(Mark, Vec<u8>)>,
    captures: Vec<MemoryCapture>,
}

impl Watched {
    fn new(memory: Memory) -> Watched {
        Watched { memory, marks: Vec::new(), captures: Vec::new() }
    }

    /// Takes a mark, and compares what is said about those before with what has changed. Returns how many parts are
    /// said to be as before.
    fn check(&mut self, what: &str) -> usize {
        let Some(mark) = self.memory.mark() else { return 0 };
        let now = bytes(&mut self.memory).to_vec();
        let mut same = 0;
        for (before, then) in &self.marks {
            let Some(is_changed) = self.memory.changed_since(*before) else { continue };
            for (part, now) in now.chunks(TRACKED_PART).enumerate() {
                let then = then.get(part * TRACKED_PART..).unwrap_or_default();
                let differs = then.get(..now.len()) != Some(now);
                assert!(is_changed(part) || !differs, "{what}: part {part} has changed");
                same += usize::from(!is_changed(part));
            }
        }
        self.marks.push((mark, now));
        same
    }

    fn step(&mut self, random: &mut Random) {
        let len = self.memory.len();
        match random.below(12) {
            0..=4 if len > 0 => {
                let at = random.below(len);
                bytes(&mut self.memory)[at] = random.below(256) as u8;
            }
            5 if len > 0 => {
                // The system writes.
                let at = random.below(len);
                let end = len.min(at + 1 + random.below(9000));
                let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
                file.read_exact(&mut bytes(&mut self.memory)[at..end]).unwrap();
            }
            6 => {
                let want = len + random.below(4) * PAGE;
                let _ = self.memory.grow_to(want.min(60 * PAGE), &|| false);
            }
            7 => self.captures.push(self.memory.capture().unwrap()),
            8 if !self.captures.is_empty() => {
                let capture = &self.captures[random.below(self.captures.len())];
                // SAFETY: no code uses the memory.
                unsafe { self.memory.restore(capture).unwrap() };
            }
            9 if !self.marks.is_empty() => {
                let at = random.below(self.marks.len());
                self.marks.swap_remove(at);
            }
            10 if len > 0 => {
                // Read only.
                assert!(bytes(&mut self.memory).iter().step_by(4096).count() > 0);
            }
            _ => {}
        }
    }

    /// A child, which knows nothing of the marks.
    fn fork(&mut self, guarded: bool) -> Watched {
        let mut child = engine(guarded, (self.memory.len() / PAGE) as u64);
        self.memory.fork_into(&mut child).unwrap();
        let mut child = Watched::new(child);
        for (mark, _) in &self.marks {
            assert!(child.memory.changed_since(*mark).is_none(), "a mark of another memory");
        }
        child.check("child");
        child
    }
}

#[test]
fn marks_miss_no_change() {
    let mut same = 0;
    for seed in 0..40 {
        let mut random = Random(seed);
        let guarded = seed % 2 == 0;
        let mut all = vec![Watched::new(engine(guarded, 3 + random.below(20) as u64))];
        for step in 0..150 {
            let at = random.below(all.len());
            all[at].step(&mut random);
            if random.below(3) == 0 {
                same += all[at].check(&format!("seed {seed}, step {step}"));
            }
            if random.below(40) == 0 && all.len() < 4 {
                let child = all[at].fork(guarded);
                all.push(child);
            }
        }
    }
    assert_eq!(same > 0, is_tracked(), "unchanged parts are known as such");
}

#[test]
fn only_what_was_written_has_changed() {
    if !is_tracked() {
        return;
    }
    for kind in ["zero", "written", "restored", "forked", "forkable"] {
        let mut memory = engine(true, 32);
        if kind == "forkable" {
            let ty = MemoryType::new(32, Some(60));
            memory = Memory::Engine(EngineMemory::new_forkable(&ty, true, None).unwrap());
        }
        if kind != "zero" {
            bytes(&mut memory).fill(7);
        }
        if kind == "restored" {
            let capture = memory.capture().unwrap();
            bytes(&mut memory)[3 * PAGE] = 8;
            // SAFETY: no code uses the memory.
            unsafe { memory.restore(&capture).unwrap() };
        }
        if kind == "forked" {
            let mut child = engine(true, 32);
            memory.fork_into(&mut child).unwrap();
            memory = child;
        }
        let first = memory.mark().unwrap();
        assert!(bytes(&mut memory).iter().map(|b| u64::from(*b)).sum::<u64>() < u64::MAX);
        bytes(&mut memory)[5 * PAGE] = 1;
        let second = memory.mark().unwrap();
        bytes(&mut memory)[9 * PAGE - 1] = 1;
        memory.grow_to(34 * PAGE, &|| false).unwrap();
        let third = memory.mark().unwrap();
        let changed = |memory: &Memory, mark| {
            let is_changed = memory.changed_since(mark).unwrap();
            (0..35).filter(|part| is_changed(*part)).collect::<Vec<usize>>()
        };
        assert_eq!(changed(&memory, first), [5, 8, 32, 33, 34], "{kind}");
        assert_eq!(changed(&memory, second), [8, 32, 33, 34], "{kind}");
        assert_eq!(changed(&memory, third), [34], "{kind}");
    }
}

#[test]
fn a_memory_that_is_used_again_knows_no_marks() {
    let pool = MemoryPool::default();
    let ty = MemoryType::new(4, Some(60));
    let mut memory = Memory::Engine(EngineMemory::new(&ty, true, None, Some(&pool)).unwrap());
    bytes(&mut memory).fill(1);
    let Some(mark) = memory.mark() else { return };
    let Memory::Engine(memory) = memory else { unreachable!() };
    pool.give_back(memory, false);
    let mut memory = Memory::Engine(EngineMemory::new(&ty, true, None, Some(&pool)).unwrap());
    assert!(memory.changed_since(mark).is_none());
    memory.mark().unwrap();
    assert!(memory.changed_since(mark).is_none());
    assert!(bytes(&mut memory).iter().all(|byte| *byte == 0));
}
