//! Artifacts, limits, deadlines, listeners, asynchronous functions.

use crate::engines;
use std::sync::Arc;
use std::time::Duration;
use wardian::{
    CallOptions, Caller, Config, Engine, EngineKind, ErrorKind, Instance, Linker, Module, Store,
    cache::DiskCache,
    gc::AnyRef,
    limits::StoreLimits,
    listener::{Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};

const LIST: &str = r#"(module
  (rec (type $l (struct (field i32) (field (ref null $l)))))
  (global $kept (mut (ref null $l)) (ref.null $l))
  (func (export "grow") (param $n i32) (result i32)
    (loop $more
      (global.set $kept (struct.new $l (local.get $n) (global.get $kept)))
      (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (struct.get $l 0 (global.get $kept)))
  (func (export "forever")
    (loop $more (global.set $kept (struct.new $l (i32.const 1) (global.get $kept))) (br $more)))
  (func $tree (export "run") (param $d i32) (result i32) (local $a (ref null $l))
    (local.set $a (struct.new $l (local.get $d) (ref.null $l)))
    (if (local.get $d) (then
      (drop (call $tree (i32.sub (local.get $d) (i32.const 1))))
      (drop (call $tree (i32.sub (local.get $d) (i32.const 1))))))
    (i32.add (i32.const 1) (struct.get $l 0 (local.get $a)))))"#;

#[test]
fn stored_code_has_its_stack_maps() {
    for (name, engine) in engines().into_iter().filter(|(name, _)| name.starts_with("Compiled")) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(DiskCache::new(folder.path().join("cache")).unwrap());
        engine.set_cache(Some(cache.clone()));
        Module::new(&engine, LIST).unwrap();
        let again = Engine::new(engine.config()).unwrap();
        again.set_cache(Some(cache));
        let module = Module::new(&again, LIST).unwrap();
        let mut store = Store::new(&again, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, 8).unwrap(), 9, "{name}");
    }
}

#[test]
fn the_limiter_ends_what_allocates_too_much() {
    for (name, engine) in engines().into_iter().filter(|(name, _)| name.contains("stress false")) {
        let module = Module::new(&engine, LIST).unwrap();
        let limits = StoreLimits { memory_bytes: 4 << 20, ..StoreLimits::default() };
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let forever = instance.typed_func::<(), ()>(&mut store, "forever").unwrap();
        let error = forever.call(&mut store, ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{name} {error}");
        assert!(error.to_string().contains("no room for an object of 16 bytes"), "{error}");
        assert!(store.data().used_bytes <= 4 << 20);
        assert!(store.gc_stats().live_bytes > 3 << 20);
        // The heap still works.
        let run = instance.typed_func::<i32, i32>(&mut store, "grow").unwrap();
        assert!(run.call(&mut store, 1).is_err());
        store.gc();
    }
}

#[test]
fn deadlines_end_guests_that_only_collect() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, LIST).unwrap();
        let mut store =
            Store::new(&engine, StoreLimits { memory_bytes: 64 << 20, ..StoreLimits::default() });
        store.limiter(|limits| limits);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let grow = instance.typed_func::<i32, i32>(&mut store, "grow").unwrap();
        if name.contains("stress true") {
            grow.call(&mut store, 2000).unwrap();
        }
        store.set_timeout(Duration::from_millis(30));
        let forever = instance.typed_func::<(), ()>(&mut store, "forever").unwrap();
        let error = forever.call(&mut store, ()).unwrap_err();
        let fits = matches!(error.kind(), ErrorKind::Stopped(_) | ErrorKind::Limit(_));
        assert!(fits, "{name} {error}");
        store.set_deadline(None);
        store.gc();
        assert!(name.contains("false") || store.gc_stats().live_objects >= 2000);
    }
}

#[test]
fn guests_that_wait_for_asynchronous_functions_keep_their_objects() {
    for (name, engine) in engines() {
        let text = r#"(module
          (type $s (struct (field i32)))
          (import "h" "wait" (func $wait (param anyref) (result anyref)))
          (func (export "run") (param $n i32) (result i32) (local $a (ref null $s))
            (local.set $a (struct.new $s (local.get $n)))
            (i32.add
              (struct.get $s 0 (ref.cast (ref $s) (call $wait (struct.new $s (i32.const 5)))))
              (struct.get $s 0 (local.get $a)))))"#;
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap_async("h", "wait", |mut caller: Caller<'_, ()>, (x,): (Option<AnyRef>,)| {
                Box::pin(async move {
                    use wardian::AsContextMut;
                    for _ in 0..3 {
                        let mut waited = false;
                        std::future::poll_fn(|context| {
                            if std::mem::replace(&mut waited, true) {
                                return std::task::Poll::Ready(());
                            }
                            context.waker().wake_by_ref();
                            std::task::Poll::Pending
                        })
                        .await;
                        caller.as_context_mut().gc();
                    }
                    x
                })
            })
            .unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
        let mut call = std::pin::pin!(run.call_async(&mut store, 37));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        let done = loop {
            if let std::task::Poll::Ready(done) = call.as_mut().poll(&mut context) {
                break done;
            }
        };
        assert_eq!(done.unwrap(), 42, "{name}");
    }
}

#[test]
fn a_heap_goes_with_its_store() {
    let mut config = Config::new();
    config.engine(EngineKind::Compiled);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, LIST).unwrap();
    for _ in 0..200 {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let grow = instance.typed_func::<i32, i32>(&mut store, "grow").unwrap();
        grow.call_with(&mut store, &CallOptions::default(), 10_000).unwrap();
    }
}

/// Sees every call.
struct Watch;

impl FunctionListener for Watch {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        assert_eq!(params.len(), call.definition().param_types().len());
        assert!(stack.next());
    }
}

#[test]
fn listeners_do_not_keep_objects_from_the_collector_nor_hide_them() {
    for (name, engine) in engines() {
        let mut config = engine.config().clone();
        config.function_listener_factory(FunctionFilter::all().listen(Watch));
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, LIST).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, 7).unwrap(), 8, "{name}");
        store.gc();
        assert_eq!(store.gc_stats().live_objects, 0, "{name}");
    }
}

#[test]
fn what_a_frame_does_not_need_any_more_is_freed() {
    let text = r#"(module
      (type $a (array (mut i64)))
      (import "h" "live" (func $live (result i32)))
      (func (export "run") (param $n i32) (result i32) (local $x (ref null $a)) (local $old i32)
        (local.set $x (array.new_default $a (local.get $n)))
        (array.set $a (local.get $x) (i32.const 0) (i64.const 3))
        (local.set $old (i32.wrap_i64 (array.get $a (local.get $x) (i32.const 0))))
        (local.set $x (array.new_default $a (i32.const 1)))
        (i32.add (call $live) (i32.sub (array.len (local.get $x)) (i32.const 1)))))"#;
    for (name, engine) in engines() {
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("h", "live", |mut caller: Caller<'_, ()>| {
                use wardian::{AsContext, AsContextMut};
                caller.as_context_mut().gc();
                caller.as_context().gc_stats().live_objects as i32
            })
            .unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.typed_func::<i32, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, 1000).unwrap(), 1, "{name}");
    }
}
