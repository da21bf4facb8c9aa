//! Compiling what is not hot yet, and not compiling what nobody needs any more.

use crate::matrix::{Behaviour, HAS_JIT, module};
use std::time::{Duration, Instant};
use wardian::{
    Config, Engine, EngineKind, Instance, Memory, MemoryType, Module, Store, TypedFunc,
    allocator::{MemoryAllocatorFunc, VecMemory},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("what is warm is compiled while nothing is hot", warm_functions),
    ("a function that is compiled needs no code of its loops", compiled_elsewhere),
];

/// Adds the numbers up to the parameter.
const SUM: &str = r#"(import "h" "m" (memory 1 1)) (func (export "sum") (param i32) (result i32) (local i32)
  (loop $l
    (local.set 1 (i32.add (local.get 1) (local.get 0)))
    (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
  (local.get 1))"#;

struct Guest {
    store: Store<()>,
    instance: Instance,
    sum: TypedFunc<i32, i32>,
}

impl Guest {
    /// A guest whose memory is the engine's, or one on the heap.
    fn new(engine: &Engine, module: &Module, on_heap: bool) -> Guest {
        let mut store = Store::new(engine, ());
        let heap = MemoryAllocatorFunc::new(|r| Ok(VecMemory::boxed(r.minimum, r.maximum)?));
        let ty = MemoryType::new(1, Some(1));
        let memory = match on_heap {
            true => Memory::new_with_allocator(&mut store, ty, &heap).unwrap(),
            false => Memory::new(&mut store, ty).unwrap(),
        };
        let instance = Instance::new(&mut store, module, &[memory.into()]).unwrap();
        let sum = instance.typed_func(&mut store, "sum").unwrap();
        Guest { store, instance, sum }
    }

    fn sum(&mut self, to: i32) {
        assert_eq!(self.sum.call(&mut self.store, to).unwrap(), (1..=to).sum::<i32>());
    }

    fn has_code(&mut self, function: u32) -> bool {
        self.instance.internal(&mut self.store).machine_code(function).is_some()
    }
}

/// Two threads' worth of processors: one compiles.
fn in_background(mut config: Config, hot_after: u32) -> Engine {
    config.engine(EngineKind::Tiered).background_compilation(true).compile_threads(2);
    Engine::new(config.hot_after(Some(hot_after))).unwrap()
}

fn warm_functions(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    const HOT: u32 = 100_000;
    for (is_on, on_heap) in [(true, false), (true, true), (false, false)] {
        let mut config = if is_on { engine.config().clone() } else { Config::new() };
        let engine = in_background(config.idle_compilation(is_on).clone(), HOT);
        let text = format!(
            r#"(module {SUM} (func (export "hot") (loop $l (br_if $l (call 2))))
          (func (result i32) (global.set 0 (i32.sub (global.get 0) (i32.const 1))) (global.get 0))
          (global (mut i32) (i32.const 300000)))"#
        );
        let m = module(&engine, &text);
        let mut guest = Guest::new(&engine, &m, on_heap);
        // A tenth of what makes it hot.
        guest.sum(HOT as i32 / 10);
        let hot = guest.instance.typed_func::<(), ()>(&mut guest.store, "hot").unwrap();
        hot.call(&mut guest.store, ()).unwrap();
        let limit = Instant::now() + Duration::from_secs(if is_on { 60 } else { 1 });
        while Instant::now() < limit && !guest.has_code(0) {
            guest.sum(1);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(guest.has_code(0), is_on);
        assert!(m.code_size() > 0, "something was hot");
    }
}

/// The function became hot in another instance.
fn compiled_elsewhere(engine: &Engine) {
    if !HAS_JIT {
        return;
    }
    let mut config = engine.config().clone();
    config.engine(EngineKind::Tiered).background_compilation(false).hot_after(Some(1000));
    let engine = Engine::new(&config).unwrap();
    let m = module(&engine, &format!("(module {SUM})"));
    let (mut first, mut second) = (Guest::new(&engine, &m, false), Guest::new(&engine, &m, false));
    while !first.has_code(0) {
        first.sum(1);
    }
    let compiled = m.code_size();
    assert!(!second.has_code(0));
    // It notices in the loop, and does not have that compiled for the rest.
    second.sum(900);
    assert_eq!((second.has_code(0), m.code_size()), (true, compiled));
    second.sum(5000);
    assert_eq!(m.code_size(), compiled);
}
