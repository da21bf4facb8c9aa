//! Relatives have the contents that their ancestors had, and nothing of what happened to others since.

use super::*;
use crate::system::{WAYS, Ways, written};

const PAGE: usize = 65536;
const MOST: usize = 40;

/// A memory with what it should have, and captures of it with what it had.
struct Relative {
    memory: Memory,
    model: Vec<u8>,
    captures: Vec<(MemoryCapture, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    guarded: bool,
    forkable: bool,
    image: bool,
    custom: bool,
}

impl Kind {
    fn all() -> impl Iterator<Item = Kind> {
        (0..16).map(|bits| Kind {
            guarded: bits & 1 != 0,
            forkable: bits & 2 != 0,
            image: bits & 4 != 0,
            custom: bits & 8 != 0,
        })
    }

    fn memory(self, pages: u64) -> Memory {
        let ty = MemoryType::new(pages, Some(MOST as u64));
        if self.custom {
            let memory = VecMemory::boxed(pages as usize * PAGE, MOST * PAGE).unwrap();
            return Memory::Custom(CustomMemory::new(memory, &ty, true).unwrap());
        }
        let image = self.image.then(|| {
            Arc::new(MemoryImage::new(3 * PAGE + 9, [(0, &[7; 3 * PAGE + 9][..])]).unwrap())
        });
        let memory = match self.forkable {
            true => EngineMemory::new_forkable(&ty, self.guarded, image),
            false => EngineMemory::new(&ty, self.guarded, image, None),
        };
        Memory::Engine(memory.unwrap())
    }
}

fn bytes(memory: &mut Memory) -> &mut [u8] {
    // SAFETY: accessible, and borrowed exclusively.
    unsafe { std::slice::from_raw_parts_mut(memory.base(), memory.len()) }
}

impl Relative {
    fn new(kind: Kind) -> Relative {
        let mut memory = kind.memory(6);
        let model = bytes(&mut memory).to_vec();
        Relative { memory, model, captures: Vec::new() }
    }

    fn write(&mut self, at: usize, len: usize, byte: u8) {
        let at = at % self.model.len();
        let end = (at + len).min(self.model.len());
        self.model[at..end].fill(byte);
        bytes(&mut self.memory)[at..end].fill(byte);
    }

    fn fork(&mut self, kind: Kind) -> Relative {
        let mut memory = kind.memory(6);
        memory.grow_to(self.model.len(), &|| false).unwrap();
        self.memory.fork_into(&mut memory).unwrap();
        Relative { memory, model: self.model.clone(), captures: Vec::new() }
    }

    fn restore(&mut self, which: usize) {
        let (capture, model) = &self.captures[which % self.captures.len()];
        // SAFETY: no code uses the memory.
        unsafe { self.memory.restore(capture).unwrap() };
        self.model.clone_from(model);
    }

    fn step(&mut self, random: &mut impl FnMut(usize) -> usize) {
        match random(8) {
            0..4 => {
                let len = [1, 5000, 300_000][random(3)];
                self.write(random(MOST * PAGE), len, random(256) as u8);
            }
            4 if self.model.len() < MOST * PAGE => {
                self.model.resize(self.model.len() + PAGE, 0);
                self.memory.grow_to(self.model.len(), &|| false).unwrap();
            }
            5 => self.captures.push((self.memory.capture().unwrap(), self.model.clone())),
            6 if !self.captures.is_empty() => self.restore(random(9)),
            7 => drop(self.captures.pop()),
            _ => {}
        }
    }
}

fn family(kind: Kind, steps: usize, seed: u64) {
    let mut state = seed;
    let mut random = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut relatives = vec![Relative::new(kind)];
    for step in 0..steps {
        let at = random(relatives.len());
        match random(4) {
            0 if relatives.len() < 6 => {
                let child = relatives[at].fork(kind);
                relatives.push(child);
            }
            1 if relatives.len() > 3 => drop(relatives.swap_remove(at)),
            _ => relatives[at].step(&mut random),
        }
        for (number, relative) in relatives.iter_mut().enumerate() {
            let same = bytes(&mut relative.memory) == relative.model;
            assert!(same, "{kind:?}, seed {seed}, step {step}: relative {number} of {}", at);
        }
    }
}

#[test]
fn families_of_memories_keep_their_contents() {
    for (scan, words) in [(true, true), (false, true), (false, false)] {
        WAYS.set(Ways { scan, words });
        for (seed, kind) in Kind::all().enumerate() {
            family(kind, 60, seed as u64);
        }
    }
    WAYS.set(Ways::ALL);
}

#[test]
fn what_a_memory_brought_along_is_forked_before_anything_was_written() {
    for kind in Kind::all() {
        let mut parent = Relative::new(kind);
        let mut child = parent.fork(kind);
        let mut grandchild = child.fork(kind);
        parent.write(0, PAGE, 1);
        child.write(PAGE, PAGE, 2);
        drop(child);
        assert_eq!(bytes(&mut grandchild.memory), grandchild.model, "{kind:?}");
        assert_eq!(bytes(&mut parent.memory), parent.model, "{kind:?}");
    }
}

#[test]
fn forks_share_their_pages() {
    let size = MOST * PAGE;
    for forkable in [false, true] {
        let kind = Kind { guarded: true, forkable, image: false, custom: false };
        let mut parent = Relative::new(kind);
        parent.memory.grow_to(size, &|| false).unwrap();
        parent.model.resize(size, 0);
        parent.write(0, size, 3);
        let mut children: Vec<Relative> = (0..50).map(|_| parent.fork(kind)).collect();
        for child in &mut children {
            child.write(PAGE, 9, 4);
            let own = written(child.memory.base(), size).unwrap().runs;
            let own: Vec<_> = own.iter().map(|run| (run.start, run.len())).collect();
            assert_eq!(own, [(PAGE, crate::system::page_size())], "one page was written");
        }
        // What the parent has written since is copied to the next child, as long as it is little.
        parent.write(5 * PAGE, 1, 5);
        let child = parent.fork(kind);
        let own = written(child.memory.base(), size).unwrap().runs;
        assert_eq!(own.len(), 1);
        parent.write(0, size, 6);
        let mut child = parent.fork(kind);
        let own = written(child.memory.base(), size).unwrap().runs;
        assert_eq!(own.len(), 0, "a new range");
        assert!(bytes(&mut child.memory).iter().all(|byte| *byte == 6));
        assert!(children.iter_mut().all(|child| bytes(&mut child.memory) == child.model));
    }
}
