//! Chains of checkpoints for which the system notes what is written: nothing that has changed is missed, whatever happens
//! to the memory between.

use crate::matrix::{Behaviour, module};
use std::io::Read;
use wardian::{
    Engine, Instance, Linker, Result, Store,
    checkpoint::{Checkpoint, CheckpointIndex, CheckpointOptions, ResumeOptions},
    fork::Fork,
    image::Image,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("chains miss no change, whatever is done to the memory", chains_miss_nothing),
    ("a parent's marks are of use in the store that it was taken of alone", other_stores),
];

const GUEST: &str = r#"(module (memory (export "m") 20 60)
  (data (i32.const 65530) "over the end")
  (func (export "set") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grow") (drop (memory.grow (i32.const 1)))))"#;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// A checkpoint as bytes, with what the memory was.
struct Taken {
    bytes: Vec<u8>,
    index: CheckpointIndex,
    memory: Vec<u8>,
}

struct Guest {
    store: Store<()>,
    instance: Instance,
    images: Vec<Image>,
    taken: Vec<Taken>,
}

impl Guest {
    fn new(engine: &Engine) -> Guest {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &module(engine, GUEST), &[]).unwrap();
        Guest { store, instance, images: Vec::new(), taken: Vec::new() }
    }

    fn memory(&mut self) -> wardian::Memory {
        self.instance.get_memory(&mut self.store, "m").unwrap()
    }

    fn contents(&mut self) -> Vec<u8> {
        let memory = self.memory();
        memory.data(&self.store).to_vec()
    }

    fn call<P: wardian::WasmParams>(&mut self, name: &str, params: P) {
        let func = self.instance.typed_func::<P, ()>(&mut self.store, name).unwrap();
        func.call(&mut self.store, params).unwrap();
    }

    /// Something that may change the memory. Gives a fork, if it makes one.
    fn step(&mut self, random: &mut Random) -> Option<Guest> {
        let memory = self.memory();
        let len = memory.data(&self.store).len();
        let at = random.below(len);
        match random.below(14) {
            0..=3 => self.call("set", (at as i32, random.below(256) as i32)),
            4 | 5 => memory.data_mut(&mut self.store)[at] = random.below(256) as u8,
            6 => {
                // The system writes.
                let end = len.min(at + random.below(9000));
                let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
                file.read_exact(&mut memory.data_mut(&mut self.store)[at..end]).unwrap();
            }
            7 => {
                let count = random.below(200_000).min(len - at);
                self.call("fill", (at as i32, random.below(3) as i32, count as i32));
            }
            8 | 9 => self.call("grow", ()),
            10 => self.images.push(self.store.image().unwrap()),
            11 if !self.images.is_empty() => {
                let image = self.images[random.below(self.images.len())].clone();
                self.store.reset_to(&image).unwrap();
            }
            12 if random.below(3) == 0 => {
                let Fork { store, resumed, .. } = self.store.fork(()).unwrap();
                let instance = resumed.instances()[0];
                return Some(Guest { store, instance, images: Vec::new(), taken: Vec::new() });
            }
            _ => {}
        }
        None
    }

    /// Takes a checkpoint since one of those before, or a whole one, and looks whether it is what the memory is.
    fn take(&mut self, random: &mut Random) {
        let options = match random.below(self.taken.len() + 1) {
            0 => CheckpointOptions::new().for_children(random.below(4) > 0),
            // Mostly a late one.
            _ => {
                let late = self.taken.len().saturating_sub(3);
                let at = random.below(self.taken.len()).max(late * random.below(2));
                CheckpointOptions::new().since(&self.taken[at].index)
            }
        };
        let mut bytes = Vec::new();
        let index = self.store.checkpoint_to(&options, &mut bytes).unwrap();
        let memory = self.contents();
        self.taken.push(Taken { bytes, index, memory });
        let last = &self.taken[self.taken.len() - 1];
        let read = Checkpoint::from_bytes(&last.bytes).unwrap();
        let find = |hash: &[u8; 32]| -> Result<Checkpoint> {
            let found = self.taken.iter().find(|taken| taken.index.hash() == hash);
            Checkpoint::from_bytes(&found.expect("it is one of them").bytes)
        };
        let whole = read.compact(find).unwrap();
        let engine = self.store.engine().clone();
        let mut store = Store::new(&engine, ());
        let resumed = whole.resume(&mut store, &Linker::new(&engine), &ResumeOptions::new());
        let resumed = resumed.unwrap().instances()[0].get_memory(&mut store, "m").unwrap();
        assert!(resumed.data(&store) == last.memory, "another memory");
    }
}

fn chains_miss_nothing(engine: &Engine) {
    for seed in 0..6 {
        let mut random = Random(seed);
        let mut all = vec![Guest::new(engine)];
        for _ in 0..60 {
            let at = random.below(all.len());
            if let Some(child) = all[at].step(&mut random)
                && all.len() < 3
            {
                all.push(child);
            }
            if random.below(3) == 0 {
                all[at].take(&mut random);
            }
        }
    }
}

fn other_stores(engine: &Engine) {
    let (mut one, mut other) = (Guest::new(engine), Guest::new(engine));
    one.call("fill", (0, 1, 20 << 16));
    other.call("fill", (0, 2, 20 << 16));
    let parent = one.store.checkpoint(&CheckpointOptions::new().for_children(true)).unwrap();
    let _ = other.store.checkpoint(&CheckpointOptions::new().for_children(true)).unwrap();
    let options = CheckpointOptions::new().since(&parent.index().unwrap());
    let child = other.store.checkpoint(&options).unwrap();
    let whole = child.compact(|_| Ok(parent.clone())).unwrap();
    let mut store = Store::new(engine, ());
    let resumed = whole.resume(&mut store, &Linker::new(engine), &ResumeOptions::new()).unwrap();
    let memory = resumed.instances()[0].get_memory(&mut store, "m").unwrap();
    assert!(memory.data(&store) == other.contents());
    // In its own store it is of use, with and without what is written afterwards.
    one.call("set", (5 << 16, 7));
    let child = one.store.checkpoint(&options).unwrap();
    let stored = child.memories().next().unwrap().1;
    assert!(stored > 0 && stored < 5000, "{stored}");
    // Whoever asks for nothing to be noted gets what is right nevertheless.
    one.call("set", (9 << 16, 7));
    let child = one.store.checkpoint(&options.clone().for_children(false)).unwrap();
    let whole = child.compact(|_| Ok(parent.clone())).unwrap();
    let mut store = Store::new(engine, ());
    let resumed = whole.resume(&mut store, &Linker::new(engine), &ResumeOptions::new()).unwrap();
    let memory = resumed.instances()[0].get_memory(&mut store, "m").unwrap();
    assert!(memory.data(&store) == one.contents());
}
