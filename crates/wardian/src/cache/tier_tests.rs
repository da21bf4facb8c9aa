//! What tiered engines keep in a cache, and begin with.
#![allow(unsafe_code, reason = "a cache in memory")]

use super::{CodeCache, CodeKey, CompiledCode};
use crate::{Config, Engine, EngineKind, Instance, Module, Store};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps code in memory, and counts how often some was put there.
#[derive(Default)]
struct Memory(Mutex<(HashMap<CodeKey, CompiledCode>, u32)>);

// SAFETY: it gives what was put there under the same key.
unsafe impl CodeCache for Memory {
    fn get(&self, key: &CodeKey) -> Option<CompiledCode> {
        self.0.lock().unwrap().0.get(key).cloned()
    }

    fn put(&self, key: &CodeKey, code: &CompiledCode) {
        let mut kept = self.0.lock().unwrap();
        kept.0.insert(*key, code.clone());
        kept.1 += 1;
    }
}

impl Memory {
    fn puts(&self) -> u32 {
        self.0.lock().unwrap().1
    }
}

/// A module of a tiered engine, as in a process of its own, that has this cache and compiles while the guest waits.
fn module(cache: &Arc<Memory>, hot_after: u32, text: &str) -> Module {
    let mut config = Config::new();
    config.engine(EngineKind::Tiered).hot_after(Some(hot_after)).background_compilation(false);
    let engine = Engine::new(&config).unwrap();
    engine.set_cache(Some(cache.clone()));
    Module::new(&engine, text).unwrap()
}

/// Calls the export `f` so often; the last result, or the error.
fn call(module: &Module, argument: i32, times: u32) -> Result<i32, String> {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    let f = instance.typed_func::<i32, i32>(&mut store, "f").unwrap();
    let mut last = Ok(0);
    for _ in 0..times {
        last = f.call(&mut store, argument).map_err(|error| format!("{error:?}"));
    }
    last
}

/// How much of its first function was interpreted.
fn counted(module: &Module) -> u64 {
    module.profile().functions().find(|f| f.index() == 0).map_or(0, |f| f.count())
}

/// Adds up the numbers below the argument, and traps if there are a million of them.
const LOOP: &str = r#"(module (func (export "f") (param i32) (result i32) (local i32 i32)
  (loop $l (local.set 1 (i32.add (local.get 1) (local.get 2)))
    (br_if $l (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (local.get 0))))
  (if (i32.eq (local.get 0) (i32.const 1000000)) (then unreachable))
  (local.get 1)))"#;

/// The main loop of a program is entered once: so it is its loop that is kept, not the function.
#[test]
fn code_of_hot_loops_is_kept() {
    let cache = Arc::new(Memory::default());
    let rounds = 200_000;
    let sum = (0..rounds).fold(0, i32::wrapping_add);
    let first = module(&cache, 1000, LOOP);
    assert_eq!(call(&first, rounds, 1), Ok(sum));
    let trap = call(&module(&Arc::default(), 1000, LOOP), 1_000_000, 1);
    drop(first);
    assert_eq!(cache.puts(), 1);
    for (argument, expected) in [(rounds, Ok(sum)), (1_000_000, trap)] {
        let next = module(&cache, 1000, LOOP);
        assert!(next.0.code_size() > 0, "it begins with compiled code");
        assert_eq!(call(&next, argument, 1), expected);
        assert!(counted(&next) < 2000, "{} rounds were interpreted", counted(&next));
    }
    assert_eq!(cache.puts(), 1, "nothing else was compiled");
    // Called again and again it is compiled as a whole, and the loop is not needed any more.
    let next = module(&cache, 1000, LOOP);
    assert_eq!(call(&next, rounds, 3), Ok(sum));
    drop(next);
    assert_eq!(cache.puts(), 2);
    let next = module(&cache, 1000, LOOP);
    assert_eq!(call(&next, rounds, 3), Ok(sum));
    assert_eq!(counted(&next), 0, "it was never interpreted");
}

/// Without notes it is not known what there is code of.
#[test]
fn code_with_unreadable_notes_is_not_used() {
    let cache = Arc::new(Memory::default());
    assert_eq!(call(&module(&cache, 1000, LOOP), 20_000, 1), Ok((0..20_000).sum()));
    assert!(module(&cache, 1000, LOOP).0.code_size() > 0);
    for code in cache.0.lock().unwrap().0.values_mut() {
        *code = code.clone().with_notes(vec![1, 2, 3]);
    }
    for is_known in [false, true] {
        let next = module(&cache, 1000, LOOP);
        assert_eq!(next.0.code_size() > 0, is_known);
        assert_eq!(call(&next, 20_000, 1), Ok((0..20_000).sum()));
    }
}

const IDENTITY: &str = r#"(module (func (export "f") (param i32) (result i32) (local.get 0)))"#;

/// What was interpreted often, but not so often that it was hot, is compiled when the next process begins.
#[test]
fn what_was_warm_is_compiled_early() {
    for (calls, is_early) in [(10, false), (100, true)] {
        let cache = Arc::new(Memory::default());
        let first = module(&cache, 1000, IDENTITY);
        call(&first, 1, calls).unwrap();
        assert_eq!(first.0.code_size(), 0);
        drop(first);
        assert_eq!(cache.puts(), u32::from(is_early));
        let next = module(&cache, 1000, IDENTITY);
        assert_eq!(next.0.code_size() > 0, is_early, "after {calls} calls");
        call(&next, 1, 1).unwrap();
        drop(next);
        assert_eq!(cache.puts(), 2 * u32::from(is_early));
    }
}

/// That a module is valid is worth keeping if it takes long to find out.
#[test]
fn large_modules_are_kept_although_nothing_is_hot() {
    for (copies, puts) in [(10, 0), (10_000, 1)] {
        let cache = Arc::new(Memory::default());
        let more = "(func (drop (i64.const 0x1234567890)) (drop (i64.const 0x1234567890)))";
        let text = IDENTITY.replace("(module", &format!("(module {}", more.repeat(copies)));
        for _ in 0..2 {
            let module = module(&cache, 1000, &text);
            assert_eq!(call(&module, 7, 1), Ok(7));
            drop(module);
            assert_eq!(cache.puts(), puts, "{copies} functions");
        }
    }
}

#[test]
fn what_is_kept_on_request_is_kept_once() {
    let cache = Arc::new(Memory::default());
    let first = module(&cache, 10, IDENTITY);
    call(&first, 1, 5).unwrap();
    first.keep_compiled(Duration::ZERO);
    assert_eq!(cache.puts(), 1);
    call(&first, 1, 50).unwrap();
    for _ in 0..2 {
        first.keep_compiled(Duration::from_secs(1));
    }
    drop(first);
    assert_eq!(cache.puts(), 2);
    let next = module(&cache, 10, IDENTITY);
    call(&next, 1, 5).unwrap();
    assert_eq!((counted(&next), cache.puts()), (0, 2));
}
