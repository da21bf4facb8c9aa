//! The heap by itself: random graphs against a model.

use super::shape::{STRUCT, array_size, round_up};
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use wardian_types::{ObjectOffset, TypeNumber};

/// Structs with two references and a number, arrays of references, arrays of bytes, a box of a handle.
struct Types([Shape; 4]);

const PAIR: TypeNumber = TypeNumber::from_u32(0);
const REFS: TypeNumber = TypeNumber::from_u32(1);
const BYTES: TypeNumber = TypeNumber::from_u32(2);
const HELD: TypeNumber = TypeNumber::from_u32(3);

impl Shapes for Types {
    fn shape(&self, number: TypeNumber) -> Option<&Shape> {
        self.0.get(number.index())
    }
}

fn types() -> Types {
    let pair = Shape::Struct {
        size: 20,
        references: [8, 12].map(ObjectOffset::from_u32).into(),
        handles: [].into(),
    };
    let held = Shape::Struct {
        size: 16,
        references: [].into(),
        handles: [8].map(ObjectOffset::from_u32).into(),
    };
    let refs = Shape::Array { element: 4, holds: Holds::References };
    Types([pair, refs, Shape::Array { element: 1, holds: Holds::Data }, held])
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

struct Setting {
    heap: Heap,
    words: HeapWords,
    types: Types,
}

impl Setting {
    fn new(capacity: usize) -> Setting {
        let mut words = HeapWords::default();
        let mut heap = Heap::new(&mut words).unwrap();
        heap.grow(capacity).unwrap();
        Setting { heap, words, types: types() }
    }

    fn write(&self, object: HeapRef, offset: u32, value: u32) {
        let offset = ObjectOffset::from_u32(offset);
        let at = self.heap.bytes(object, offset, 4).unwrap().cast::<u32>();
        // SAFETY: in the heap.
        unsafe { at.write_unaligned(value) };
    }

    fn refer(&self, object: HeapRef, offset: u32, to: HeapRef) {
        self.write(object, offset, to.as_u32());
    }

    fn read(&self, object: HeapRef, offset: u32) -> u32 {
        let offset = ObjectOffset::from_u32(offset);
        let at = self.heap.bytes(object, offset, 4).unwrap().cast::<u32>();
        // SAFETY: in the heap.
        unsafe { at.read_unaligned() }
    }

    /// Allocates; checks that all of it is zero.
    fn make(&mut self, number: TypeNumber, length: u32) -> Option<HeapRef> {
        let size = self.types.0[number.index()].size(length).unwrap();
        let object = self.heap.take(&mut self.words, size)?;
        for offset in (0..size as u32).step_by(4) {
            assert_eq!(self.read(object, offset), 0, "at {offset} of {size}");
        }
        self.write(object, 0, number.as_u32());
        self.write(object, 4, length);
        Some(object)
    }

    fn collect(&mut self, roots: impl IntoIterator<Item = HeapRef>) -> Vec<u64> {
        let mut handles = Vec::new();
        self.heap.begin(&mut self.words);
        roots.into_iter().for_each(|root| self.heap.mark(root));
        let traced = self.heap.trace(&self.types, &mut |h| handles.push(h), &|| false);
        assert_eq!(traced, mark::Traced::Done);
        self.heap.finish();
        handles
    }
}

/// What the heap should hold.
#[derive(Default)]
struct Model {
    /// Type, length, and what it refers to.
    objects: BTreeMap<HeapRef, (TypeNumber, u32, Vec<HeapRef>)>,
    roots: Vec<HeapRef>,
}

impl Model {
    fn reachable(&self) -> BTreeSet<HeapRef> {
        let mut seen = BTreeSet::new();
        let mut pending = self.roots.clone();
        while let Some(object) = pending.pop() {
            if !object.is_null() && !object.is_integer() && seen.insert(object) {
                pending.extend(&self.objects[&object].2);
            }
        }
        seen
    }

    fn check(&self, setting: &Setting) {
        let mut end = 0;
        for (at, (number, length, fields)) in &self.objects {
            assert!(at.as_u32() >= end, "objects overlap");
            end = at.as_u32() + setting.types.0[number.index()].size(*length).unwrap() as u32;
            assert_eq!(setting.heap.header(*at), Some((*number, *length)));
            for (i, field) in fields.iter().enumerate() {
                assert_eq!(setting.read(*at, 8 + 4 * i as u32), field.as_u32());
            }
        }
    }
}

fn grow_model(setting: &mut Setting, model: &mut Model, random: &mut Random) -> bool {
    let most = if random.below(50) == 0 { 100_000 } else { 60 };
    let (number, length) = match random.below(8) {
        0 => (REFS, random.below(3000) as u32),
        1 => (BYTES, random.below(most) as u32),
        _ => (PAIR, STRUCT),
    };
    let Some(object) = setting.make(number, length) else { return false };
    let known: Vec<HeapRef> = model.objects.keys().copied().collect();
    let count = match number {
        PAIR => 2,
        REFS => length,
        _ => 0,
    };
    let mut fields = Vec::new();
    for i in 0..count {
        let field = match random.below(4) {
            0 => HeapRef::NULL,
            1 => HeapRef::of_integer(random.below(1 << 31) as u32),
            _ if known.is_empty() => object,
            _ => known[random.below(known.len() as u64) as usize],
        };
        setting.refer(object, 8 + 4 * i, field);
        fields.push(field);
    }
    model.objects.insert(object, (number, length, fields));
    if random.below(3) == 0 {
        model.roots.push(object);
    }
    true
}

fn random_graphs(capacity: usize, poison: bool, rounds: u32) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ capacity as u64);
    let mut setting = Setting::new(capacity);
    setting.heap.set_poison(poison);
    let mut model = Model::default();
    for _ in 0..rounds {
        let steps = 1 + random.below(200);
        let mut full = false;
        for _ in 0..steps {
            full |= !grow_model(&mut setting, &mut model, &mut random);
        }
        let kept = random.below(if full { 8 } else { 60 }) as usize;
        while model.roots.len() > kept {
            let at = random.below(model.roots.len() as u64) as usize;
            model.roots.swap_remove(at);
        }
        let alive = model.reachable();
        setting.collect(model.roots.clone());
        model.objects.retain(|at, _| alive.contains(at));
        assert_eq!(setting.heap.stats().live_objects, alive.len());
        let bytes = model.objects.values().map(|(number, length, _)| {
            setting.types.0[number.index()].size(*length).unwrap() as usize
        });
        assert_eq!(setting.heap.stats().live_bytes, bytes.sum::<usize>());
        model.check(&setting);
    }
}

#[test]
fn what_can_be_reached_stays_and_the_rest_is_used_again() {
    random_graphs(1 << 20, false, 150);
    random_graphs(256 << 10, true, 150);
}

#[test]
fn garbage_makes_room() {
    let mut setting = Setting::new(256 << 10);
    let mut kept = HeapRef::NULL;
    for _ in 0..200 {
        while let Some(object) = setting.make(PAIR, STRUCT) {
            kept = object;
        }
        setting.collect([kept]);
        assert_eq!(setting.heap.stats().live_objects, 1);
    }
    assert!(setting.heap.stats().allocated_bytes > 40 << 20);
}

#[test]
fn long_lists_and_wide_arrays_need_a_bounded_stack() {
    let mut setting = Setting::new(64 << 20);
    // Of each pair the first field leads to a pair that leads nowhere, the second one on.
    let mut list = HeapRef::NULL;
    for _ in 0..300_000 {
        let leaf = setting.make(PAIR, STRUCT).unwrap();
        let node = setting.make(PAIR, STRUCT).unwrap();
        setting.refer(node, 8, list);
        setting.refer(node, 12, leaf);
        list = node;
    }
    let wide = setting.make(REFS, 1_000_000).unwrap();
    for i in 0..1_000_000 {
        let leaf = setting.make(PAIR, STRUCT).unwrap();
        setting.refer(wide, 8 + 4 * i, leaf);
    }
    setting.collect([list, wide]);
    assert_eq!(setting.heap.stats().live_objects, 1_600_001);
    // The same with next to no room.
    setting.heap.begin(&mut setting.words);
    setting.heap.limit_pending(8);
    setting.heap.mark(wide);
    setting.heap.mark(list);
    setting.heap.trace(&setting.types, &mut |_| (), &|| false);
    setting.heap.finish();
    assert_eq!(setting.heap.stats().live_objects, 1_600_001);
}

#[test]
fn handles_in_objects_are_reported() {
    let mut setting = Setting::new(64 << 10);
    let held = setting.make(HELD, STRUCT).unwrap();
    setting.write(held, 8, 7);
    setting.write(held, 12, 3);
    assert_eq!(setting.collect([held]), [3 << 32 | 7]);
    assert_eq!(setting.collect([]), [0; 0]);
}

#[test]
fn a_corrupt_heap_harms_nobody() {
    let mut random = Random(77);
    let mut setting = Setting::new(1 << 20);
    let mut objects = Vec::new();
    while let Some(object) = setting.make(REFS, random.below(40) as u32) {
        objects.push(object);
    }
    for _ in 0..200 {
        for _ in 0..500 {
            let object = objects[random.below(objects.len() as u64) as usize];
            let value = match random.below(3) {
                0 => random.below(1 << 32) as u32,
                1 => random.below(5) as u32,
                _ => random.below(1 << 20) as u32 & !7,
            };
            let offset = random.below(6) as u32 * 4;
            if setting.heap.bytes(object, ObjectOffset::from_u32(offset), 4).is_some() {
                setting.write(object, offset, value);
            }
        }
        let roots: Vec<HeapRef> = objects.iter().copied().step_by(7).collect();
        setting.collect(roots);
        for _ in 0..20 {
            let size = round_up(8 + random.below(3000));
            let _ = setting.heap.take(&mut setting.words, size);
        }
    }
}

#[test]
fn a_stopped_collection_frees_nothing() {
    let mut setting = Setting::new(1 << 20);
    let mut list = HeapRef::NULL;
    while let Some(node) = setting.make(PAIR, STRUCT) {
        setting.refer(node, 8, list);
        list = node;
    }
    setting.heap.begin(&mut setting.words);
    setting.heap.mark(list);
    assert_eq!(setting.heap.trace(&setting.types, &mut |_| (), &|| true), mark::Traced::Stopped);
    assert_eq!(setting.make(PAIR, STRUCT), None);
    setting.heap.grow(2 << 20).unwrap();
    assert!(setting.make(PAIR, STRUCT).is_some());
    setting.collect([]);
    assert!(setting.make(PAIR, STRUCT).unwrap() < list);
}

#[test]
fn an_image_brings_the_contents_back() {
    let mut setting = Setting::new(4 << 20);
    let old = setting.make(PAIR, STRUCT).unwrap();
    let bytes = setting.make(BYTES, 100_000).unwrap();
    setting.refer(old, 8, bytes);
    setting.write(bytes, 50_000, 5);
    let image = setting.heap.capture();
    setting.write(bytes, 50_000, 6);
    setting.collect([]);
    while setting.make(PAIR, STRUCT).is_some() {}
    setting.heap.restore(&mut setting.words, &image).unwrap();
    assert_eq!(setting.read(old, 8), bytes.as_u32());
    assert_eq!(setting.read(bytes, 50_000), 5);
    assert_eq!(setting.heap.header(bytes), Some((BYTES, 100_000)));
    setting.collect([old]);
    assert_eq!(setting.heap.stats().live_objects, 2);
    while setting.make(PAIR, STRUCT).is_some() {}
    assert_eq!(setting.read(bytes, 50_000), 5);
}

#[test]
fn large_objects_use_free_runs_and_fresh_memory() {
    let mut setting = Setting::new(8 << 20);
    let first = setting.make(BYTES, 3 << 20).unwrap();
    setting.write(first, 8, u32::MAX);
    let second = setting.make(BYTES, 3 << 20).unwrap();
    assert_eq!(setting.make(BYTES, 3 << 20), None);
    setting.collect([second]);
    let third = setting.make(BYTES, 3 << 20).unwrap();
    assert_eq!(third, first);
    assert_eq!(setting.make(BYTES, 3 << 20), None);
    setting.collect([second, third]);
    assert_eq!(setting.heap.stats().live_bytes as u64, 2 * array_size(1, 3 << 20));
    // No array can be larger than the reach of references.
    let most = array_size(16, u32::MAX);
    assert_eq!(setting.heap.take(&mut setting.words, most), None);
    assert!(setting.heap.grow(REACH).is_err());
}

#[test]
fn one_object_at_a_time() {
    let mut setting = Setting::new(256 << 10);
    let mut last = 0;
    for round in 0..3 {
        let mut objects = Vec::new();
        while let Some(object) = setting.heap.take_alone(&mut setting.words, 24) {
            assert_eq!(setting.words.next, setting.words.limit);
            setting.write(object, 0, PAIR.as_u32());
            setting.write(object, 4, STRUCT);
            objects.push(object);
        }
        assert!(round == 0 || objects.len() >= last, "{last} {}", objects.len());
        last = objects.len();
        assert!(objects.windows(2).all(|pair| pair[0].as_u32() + 24 <= pair[1].as_u32()));
        setting.collect([]);
    }
}
