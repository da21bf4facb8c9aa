//! Memories from allocators: operations from inside and outside, compared with a model.

use crate::input::Input;
use crate::outcome::note;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use wardian::{
    Config, Engine, EngineKind, Error, Instance, InstantiateOptions, Memory, Module, Result, Store,
    TrapCode, Val,
    allocator::{
        FixedMemory, GuardedMemory, MemoryAllocatorFunc, MemoryRequest, PoolingAllocator, VecMemory,
    },
};

const PAGE: usize = 1 << 16;
/// Pages that a memory grows to at most: what its type says.
const MOST: usize = 6;
const DATA: &[u8] = b"passive data, which is copied in parts";

/// Operations on a memory whose addresses have this type.
fn text(address: &str) -> String {
    let index = if address == "i64" { "i64 1 6" } else { "1 6" };
    format!(
        r#"(module (memory (export "m") {index}) (data $d "passive data, which is copied in parts")
        (func (export "load") (param {address}) (result i64) (i64.load (local.get 0)))
        (func (export "byte") (param {address}) (result i32) (i32.load8_u offset=7 (local.get 0)))
        (func (export "store") (param {address} i64) (i64.store offset=3 (local.get 0) (local.get 1)))
        (func (export "vector") (param {address} i64)
          (v128.store (local.get 0) (i64x2.splat (local.get 1))))
        (func (export "fill") (param {address} i32 {address})
          (memory.fill (local.get 0) (local.get 1) (local.get 2)))
        (func (export "copy") (param {address} {address} {address})
          (memory.copy (local.get 0) (local.get 1) (local.get 2)))
        (func (export "init") (param {address} i32 i32)
          (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
        (func (export "drop") (data.drop $d))
        (func (export "grow") (param {address}) (result {address}) (memory.grow (local.get 0)))
        (func (export "size") (result {address}) (memory.size)))"#
    )
}

/// Engines, each with the module for both types of addresses.
static ENGINES: LazyLock<Vec<(Engine, [Module; 2])>> = LazyLock::new(|| {
    let ways = [
        (EngineKind::Interpreted, true),
        (EngineKind::Interpreted, false),
        (EngineKind::Compiled, true),
        (EngineKind::Compiled, false),
        (EngineKind::Tiered, true),
    ];
    let make = |(kind, signals)| {
        let mut config = Config::new();
        config.engine(kind).signals(signals).hot_after(Some(1)).compile_threads(1);
        config.background_compilation(false);
        let engine = Engine::new(&config).expect("the configuration works");
        let modules =
            ["i32", "i64"].map(|a| Module::new(&engine, text(a)).expect("it is a module"));
        (engine, modules)
    };
    ways.into_iter().map(make).collect()
});

/// What a memory is to be.
struct Model {
    bytes: Vec<u8>,
    dropped: bool,
    wide: bool,
    /// Bytes that the allocator gives at most.
    most: usize,
}

impl Model {
    fn range(&self, at: u64, len: u64) -> Option<std::ops::Range<usize>> {
        let end = at.checked_add(len).filter(|end| *end <= self.bytes.len() as u64)?;
        Some(at as usize..end as usize)
    }
}

struct World {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
    model: Model,
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (engine, modules) = &ENGINES[input.below(ENGINES.len())];
    let wide = input.flag();
    let module = &modules[usize::from(wide)];
    let mut store = Store::new(engine, ());
    let (options, most) = allocator(&mut input);
    let made =
        catch_unwind(AssertUnwindSafe(|| Instance::new_with(&mut store, module, &[], &options)));
    let instance = match made {
        Ok(Ok(instance)) => instance,
        Ok(Err(error)) => {
            assert!(error.to_string().contains("on purpose"), "{error}");
            return again(store, module);
        }
        Err(_) => return again(store, module),
    };
    let memory =
        instance.get_export(&mut store, "m").and_then(|e| e.into_memory()).expect("exported");
    let model = Model { bytes: vec![0; PAGE], dropped: false, wide, most };
    let mut world = World { store, instance, memory, model };
    world.same();
    while !input.is_empty() {
        world.step(&mut input);
    }
    world.same();
}

/// After a refusal or a panic the store is as good as before.
fn again(mut store: Store<()>, module: &Module) {
    note("refused, or a panic");
    let instance = Instance::new(&mut store, module, &[]).expect("nothing refuses now");
    let size = instance.get_func(&mut store, "size").expect("it is exported");
    let mut results = [Val::I32(0)];
    size.call(&mut store, &[], &mut results).expect("it does not trap");
    assert!(matches!(results[0], Val::I32(1) | Val::I64(1)));
}

/// An allocator, and how many bytes its memories have at most.
fn allocator(input: &mut Input<'_>) -> (InstantiateOptions<()>, usize) {
    let kind = input.below(7);
    let most = (1 + input.below(MOST)) * PAGE - if input.flag() { 0 } else { input.below(PAGE) };
    let most = most.max(PAGE);
    note(format!("allocator {kind}"));
    let options = InstantiateOptions::new();
    let made = move |make: fn(
        usize,
        usize,
    )
        -> std::io::Result<Box<dyn wardian::allocator::LinearMemory>>| {
        MemoryAllocatorFunc::new(move |request: &MemoryRequest<'_>| {
            Ok(make(request.minimum, request.maximum.min(most))?)
        })
    };
    match kind {
        0 => (options, MOST * PAGE),
        1 => (options.with_memory_allocator(made(VecMemory::boxed)), most),
        2 => (options.with_memory_allocator(made(FixedMemory::boxed)), most),
        3 => (options.with_memory_allocator(made(GuardedMemory::boxed)), most),
        4 => {
            let slot = most.next_multiple_of(PAGE);
            (options.with_memory_allocator(PoolingAllocator::new(1 + input.below(3), slot)), slot)
        }
        5 => {
            let refuse =
                |_: &MemoryRequest<'_>| -> Result<Box<dyn wardian::allocator::LinearMemory>> {
                    Err(Error::host("refused on purpose"))
                };
            (options.with_memory_allocator(MemoryAllocatorFunc::new(refuse)), 0)
        }
        _ => {
            // The first panics; silent, since the payload is no text and the hook is not asked.
            let count = Arc::new(AtomicUsize::new(0));
            let panics =
                move |_: &MemoryRequest<'_>| -> Result<Box<dyn wardian::allocator::LinearMemory>> {
                    count.fetch_add(1, Ordering::Relaxed);
                    std::panic::resume_unwind(Box::new(7))
                };
            (options.with_memory_allocator(MemoryAllocatorFunc::new(panics)), 0)
        }
    }
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let (at, value) = (self.address(input), input.number());
        match input.below(13) {
            0 => {
                let expected = self.model.range(at, 8).map(|r| self.model.bytes[r].to_vec());
                let got = self.call("load", &[self.index(at)], Val::I64(0));
                let expected = expected.map(|b| i64::from_le_bytes(b.try_into().expect("eight")));
                assert_eq!(got, expected.map(|n| format!("{:?}", Val::I64(n))), "load {at:#x}");
            }
            1 => {
                let place = at.checked_add(7).and_then(|at| self.model.range(at, 1));
                let expected =
                    place.map(|r| format!("{:?}", Val::I32(self.model.bytes[r][0].into())));
                let got = self.call("byte", &[self.index(at)], Val::I32(0));
                assert_eq!(got, expected, "byte {at:#x}");
            }
            2 => {
                let place = at.checked_add(3).and_then(|at| self.model.range(at, 8));
                let arguments = [self.index(at), Val::I64(value as i64)];
                self.write("store", &arguments, place, &value.to_le_bytes());
            }
            3 => {
                let place = self.model.range(at, 16);
                let bytes = [value.to_le_bytes(), value.to_le_bytes()].concat();
                self.write("vector", &[self.index(at), Val::I64(value as i64)], place, &bytes);
            }
            4 => {
                let len = self.length(input);
                let place = self.model.range(at, len);
                let bytes = vec![value as u8; place.clone().map_or(0, |r| r.len())];
                let arguments = [self.index(at), Val::I32(value as i32), self.index(len)];
                self.write("fill", &arguments, place, &bytes);
            }
            5 => {
                let (from, len) = (self.address(input), self.length(input));
                let source = self.model.range(from, len);
                let place = self.model.range(at, len).filter(|_| source.is_some());
                let bytes = source.map_or(Vec::new(), |r| self.model.bytes[r].to_vec());
                let arguments = [self.index(at), self.index(from), self.index(len)];
                self.write("copy", &arguments, place, &bytes);
            }
            6 => {
                let (from, len) = (input.below(64), input.below(64));
                let data = if self.model.dropped { &[] } else { DATA };
                let source = data.get(from..).and_then(|d| d.get(..len));
                let place = self.model.range(at, len as u64).filter(|_| source.is_some());
                let arguments = [self.index(at), Val::I32(from as i32), Val::I32(len as i32)];
                self.write("init", &arguments, place, source.unwrap_or_default());
            }
            7 if input.below(8) == 0 => {
                self.write("drop", &[], Some(0..0), &[]);
                self.model.dropped = true;
            }
            action => self.outside(action, at, input),
        }
    }

    /// Growth, and what the host does.
    fn outside(&mut self, action: usize, at: u64, input: &mut Input<'_>) {
        match action {
            8 => self.grow(input, false),
            9 => self.grow(input, true),
            10 => {
                let length = input.below(300);
                let bytes = input.take(length).to_vec();
                let place = self.model.range(at, bytes.len() as u64);
                let done = self.memory.write(&mut self.store, at as usize, &bytes);
                assert_eq!(done.is_ok(), place.is_some(), "the host writes to {at:#x}");
                if let Some(place) = place {
                    self.model.bytes[place].copy_from_slice(&bytes);
                }
            }
            11 => {
                let mut bytes = vec![0; input.below(300)];
                let place = self.model.range(at, bytes.len() as u64);
                let done = self.memory.read(&self.store, at as usize, &mut bytes);
                assert_eq!(done.is_ok(), place.is_some(), "the host reads at {at:#x}");
                assert!(place.is_none_or(|r| self.model.bytes[r] == bytes));
            }
            _ => self.same(),
        }
    }

    fn same(&self) {
        let found = self.memory.data(&self.store);
        assert_eq!(found.len(), self.model.bytes.len(), "the memory's length");
        assert!(found == self.model.bytes, "the memory's contents differ from the model's");
    }

    /// An address: most lie near an end.
    fn address(&self, input: &mut Input<'_>) -> u64 {
        let size = self.model.bytes.len() as u64;
        let number = match input.below(5) {
            0 => u64::from(input.byte()),
            1 => size.wrapping_sub(u64::from(input.byte() % 24)),
            2 => input.number() % size.max(1),
            3 => (1u64 << 32).wrapping_sub(u64::from(input.byte())),
            _ => input.number(),
        };
        if self.model.wide { number } else { number & 0xffff_ffff }
    }

    fn length(&self, input: &mut Input<'_>) -> u64 {
        match input.below(3) {
            0 => u64::from(input.byte()),
            1 => input.number() % (self.model.bytes.len() as u64 + 2),
            _ => self.address(input),
        }
    }

    fn index(&self, number: u64) -> Val {
        if self.model.wide { Val::I64(number as i64) } else { Val::I32(number as i32) }
    }

    /// The result, for people; nothing if it is out of bounds.
    fn call(&mut self, name: &str, arguments: &[Val], zero: Val) -> Option<String> {
        let f = self.instance.get_func(&mut self.store, name).expect("it is exported");
        let mut results = vec![zero; f.ty(&self.store).results().len()];
        match f.call(&mut self.store, arguments, &mut results) {
            Ok(()) => Some(results.first().map_or(String::new(), |v| format!("{v:?}"))),
            Err(error) => {
                assert_eq!(error.trap(), Some(TrapCode::MemoryOutOfBounds), "{name}: {error}");
                note(format!("{name} is out of bounds"));
                None
            }
        }
    }

    /// Writes as the model does, or is out of bounds.
    fn write(
        &mut self,
        name: &str,
        arguments: &[Val],
        place: Option<std::ops::Range<usize>>,
        bytes: &[u8],
    ) {
        let done = self.call(name, arguments, Val::I32(0)).is_some();
        assert_eq!(done, place.is_some(), "{name} {arguments:?}");
        if let Some(place) = place {
            self.model.bytes[place].copy_from_slice(bytes);
        }
    }

    fn grow(&mut self, input: &mut Input<'_>, host: bool) {
        let pages = if input.below(8) == 0 { input.number() } else { input.below(4) as u64 };
        let pages = if self.model.wide { pages } else { pages & 0xffff_ffff };
        let old = (self.model.bytes.len() / PAGE) as u64;
        let new = old.checked_add(pages).filter(|n| *n <= MOST as u64);
        let new = new.filter(|n| *n as usize * PAGE <= self.model.most);
        let got = if host {
            self.memory.grow(&mut self.store, pages).ok()
        } else {
            let zero = self.index(0);
            let text =
                self.call("grow", &[self.index(pages)], zero).expect("growing does not trap");
            let refused = format!("{:?}", self.index(u64::MAX));
            let answer = format!("{:?}", self.index(old));
            assert!(text == refused || text == answer, "grow {pages}: {text}");
            (text == answer).then_some(old)
        };
        note(format!("grown by host {host}: {}", got.is_some()));
        assert_eq!(
            got,
            new.map(|_| old),
            "grow from {old} by {pages} of at most {}",
            self.model.most
        );
        if let Some(new) = new {
            self.model.bytes.resize(new as usize * PAGE, 0);
        }
    }
}
