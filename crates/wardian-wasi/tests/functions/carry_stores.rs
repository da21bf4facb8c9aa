//! Saved states of programs that run in stores: interrupted waits, and programs with threads, which are not saved.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wardian::{Caller, Engine, Linker, Module, Store};
use wardian_wasi::{RestoreOptions, SaveError, WasiCtx, WasiState, WasiThreads};

/// The main thread makes a thread, waits until that has made a WASI call, asks for the state, lets the thread end,
/// and asks again once it has.
const PROGRAM: &str = r#"(module
    (import "env" "memory" (memory 1 1 shared))
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (import "host" "save" (func $save (result i32)))
    (export "memory" (memory 0))
    (func (export "wasi_thread_start") (param i32 i32)
        (drop (call $yield))
        (i32.atomic.store (i32.const 0) (i32.const 1))
        (loop $wait (br_if $wait (i32.eqz (i32.atomic.load (i32.const 4))))))
    (func (export "_start")
        (drop (call $save))
        (drop (call $spawn (i32.const 0)))
        (loop $wait (br_if $wait (i32.eqz (i32.atomic.load (i32.const 0)))))
        (drop (call $save))
        (i32.atomic.store (i32.const 4) (i32.const 1))
        (loop $again (br_if $again (i32.eqz (call $save))))))"#;

#[test]
fn a_program_with_threads_is_saved_before_and_after() {
    let engine = Engine::default();
    let module = Module::new(&engine, PROGRAM).unwrap();
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let saved = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&saved);
    let save = move |caller: Caller<'_, WasiCtx>| {
        let outcome = caller.data().save().map(drop);
        let done = i32::from(outcome.is_ok());
        log.lock().unwrap().push(outcome);
        done
    };
    linker.func_wrap("host", "save", save).unwrap();
    let wasi = WasiCtx::builder().build();
    let mut store = Store::new(&engine, wasi.clone());
    let threads = WasiThreads::builder(&module, move |_| wasi.clone()).build(&linker).unwrap();
    threads.run(&mut store).unwrap();
    let saved = saved.lock().unwrap();
    assert_eq!(saved[..2], [Ok(()), Err(SaveError::Threads(1))]);
    assert_eq!(saved.last(), Some(&Ok(())));
    assert!(store.data().save().is_ok());
}

/// Sleeps for three seconds.
const SLEEPER: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "sleep") (result i32)
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3000000000))
        (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))"#;

#[test]
fn a_wait_that_the_store_interrupted_is_carried() {
    let engine = Engine::default();
    let module = Module::new(&engine, SLEEPER).unwrap();
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let sleep = |wasi: WasiCtx, cancel_after: Option<Duration>| {
        let mut store = Store::new(&engine, wasi);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let sleep = instance.typed_func::<(), i32>(&mut store, "sleep").unwrap();
        if let Some(after) = cancel_after {
            let token = store.cancel_token();
            std::thread::spawn(move || {
                std::thread::sleep(after);
                token.cancel();
            });
        }
        let start = Instant::now();
        (sleep.call(&mut store, ()), start.elapsed())
    };
    let wasi = WasiCtx::builder().build();
    let (stopped, _) = sleep(wasi.clone(), Some(Duration::from_millis(1000)));
    assert!(stopped.unwrap_err().stop_reason().is_some());
    let bytes = wasi.save().unwrap().to_bytes();
    let state = WasiState::from_bytes(&bytes).unwrap();
    let waited = state.pending_poll().unwrap();
    let restored = WasiCtx::builder().restore(&state, &RestoreOptions::new()).unwrap();
    let (done, rest) = sleep(restored, None);
    assert_eq!(done.unwrap(), 0);
    assert!(rest < Duration::from_millis(2900), "{waited:?} and {rest:?}");
    let all = waited + rest + Duration::from_millis(500);
    assert!(all >= Duration::from_millis(3000), "{waited:?} and {rest:?}");
}
