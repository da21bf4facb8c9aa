//! Memories, tables and stacks that are used again show nothing of a former user, however that one ended.

use crate::matrix::{Behaviour, instance, linked};
use std::collections::HashSet;
use std::time::Duration;
use wardian::{Caller, Engine, Error, Linker, Store, TrapCode, Val, snapshot::Snapshot};

pub(crate) const TABLE: &[Behaviour] = &[
    ("memories are clean, however their former user ended", memories),
    ("tables are null, however their former user ended", tables),
    ("locals are zero on a stack that another guest has filled", stacks),
];

/// How a guest ends.
const ENDS: [&str; 6] = ["return", "trap", "exit", "stop", "stopped growth", "restore"];

/// Its memory has 40 pages, which it fills as well as what it grows by.
const SECRETS: &str = r#"(module
  (import "h" "take" (func $take (result i32))) (import "h" "back" (func $back))
  (import "h" "exit" (func $exit))
  (memory (export "m") 40 100) (memory $wide i64 1 300000)
  (table $t (export "t") 20000 30000 funcref) (elem declare func $f) (func $f)
  (func $fill
    (memory.fill (i32.const 0) (i32.const 0xee) (i32.mul (memory.size) (i32.const 65536)))
    (table.fill $t (i32.const 0) (ref.func $f) (table.size $t)))
  (func $more
    (drop (memory.grow (i32.const 7)))
    (drop (table.grow $t (ref.func $f) (i32.const 5000)))
    (call $fill))
  (func (export "return") (call $fill) (call $more))
  (func (export "trap") (call $more) (drop (i32.load (i32.const -8))))
  (func (export "exit") (call $more) (call $exit))
  (func (export "stop") (call $more) (loop $l (br $l)))
  (func (export "stopped growth") (call $more)
    (loop $l
      (drop (memory.grow $wide (i64.const 1)))
      (i64.store $wide
        (i64.mul (i64.sub (memory.size $wide) (i64.const 1)) (i64.const 65536)) (i64.const -1))
      (br $l)))
  (func (export "restore") (call $fill)
    (if (i32.eqz (call $take)) (then (call $more) (call $back)))
    (call $fill)))"#;

fn host(engine: &Engine) -> Linker<Option<Snapshot>> {
    let mut linker: Linker<Option<Snapshot>> = Linker::new(engine);
    linker
        .func_wrap("h", "take", |mut caller: Caller<'_, Option<Snapshot>>| {
            let mut snapshotter = caller.get_snapshotter().expect("snapshots are enabled");
            let taken = snapshotter.snapshot_with_state()?;
            *caller.data_mut() = Some(taken);
            Ok::<i32, Error>(0)
        })
        .unwrap()
        .func_wrap("h", "back", |mut caller: Caller<'_, Option<Snapshot>>| {
            let snapshot = caller.data().clone().expect("it was taken");
            Err::<(), Error>(snapshot.restore(&mut caller, &[Val::I32(1)]))
        })
        .unwrap()
        .func_wrap("h", "exit", || Err::<(), Error>(Error::exit(3)))
        .unwrap();
    linker
}

/// A guest fills all that it has, and ends in this way. Returns where its memory was.
fn leave_secrets(engine: &Engine, linker: &Linker<Option<Snapshot>>, end: &str) -> usize {
    let mut store = Store::new(engine, None);
    store.enable_snapshots(true);
    let i = linked(&mut store, linker, SECRETS);
    let memory = i.get_memory(&mut store, "m").unwrap();
    let base = memory.data(&store).as_ptr() as usize;
    if end.starts_with("stop") {
        store.set_timeout(Duration::from_millis(10));
    }
    let run = i.typed_func::<(), ()>(&mut store, end).unwrap();
    let ended = run.call(&mut store, ());
    match end {
        "return" | "restore" => ended.unwrap(),
        "trap" => assert_eq!(ended.unwrap_err().trap(), Some(TrapCode::MemoryOutOfBounds)),
        "exit" => assert_eq!(ended.unwrap_err().exit_code(), Some(3)),
        _ => assert!(ended.unwrap_err().stop_reason().is_some()),
    }
    let is_secret = |page: &[u8]| page.iter().all(|byte| *byte == 0xee);
    assert!(end.starts_with("stop") || is_secret(&memory.data(&store)[..40 << 16]), "{end}");
    base
}

fn memories(engine: &Engine) {
    let linker = host(engine);
    let (mut places, mut again) = (HashSet::new(), 0);
    for end in ENDS.into_iter().cycle().take(12) {
        places.insert(leave_secrets(engine, &linker, end));
        for text in [
            r#"(module (memory (export "m") 1 64) (func (export "grow") (drop (memory.grow (i32.const 63)))))"#,
            r#"(module (memory (export "m") 64) (data (i32.const 70000) "\00") (func (export "grow")))"#,
        ] {
            let mut store = Store::new(engine, ());
            let i = instance(&mut store, text);
            let memory = i.get_memory(&mut store, "m").unwrap();
            again += usize::from(places.contains(&(memory.data(&store).as_ptr() as usize)));
            let grow = i.typed_func::<(), ()>(&mut store, "grow").unwrap();
            grow.call(&mut store, ()).unwrap();
            let bytes = memory.data(&store);
            assert_eq!(bytes.len(), 64 << 16);
            assert!(bytes.iter().all(|byte| *byte == 0), "after {end}");
        }
    }
    // Only memories with guards are kept for others.
    let keeps = !format!("{:?}", engine.config()).contains("signals: false");
    assert!(again > 0 || !keeps, "no memory was used again");
}

fn tables(engine: &Engine) {
    let linker = host(engine);
    for end in ENDS {
        leave_secrets(engine, &linker, end);
        let mut store = Store::new(engine, ());
        let i = instance(
            &mut store,
            r#"(module (table $t 20000 30000 funcref)
              (func (export "nulls") (result i32) (local $n i32) (local $i i32)
                (drop (table.grow $t (ref.null func) (i32.const 5000)))
                (loop $l
                  (local.set $n (i32.add (local.get $n) (ref.is_null (table.get $t (local.get $i)))))
                  (local.set $i (i32.add (local.get $i) (i32.const 1)))
                  (br_if $l (i32.lt_u (local.get $i) (table.size $t))))
                (local.get $n)))"#,
        );
        let nulls = i.typed_func::<(), i32>(&mut store, "nulls").unwrap();
        assert_eq!(nulls.call(&mut store, ()).unwrap(), 25_000, "after {end}");
    }
}

/// The second guest has more locals than registers, and reads each before it is written, if it ever is.
fn stacks(engine: &Engine) {
    let params = "i64 ".repeat(30);
    let arguments = "(local.get 0) ".repeat(30);
    let secrets = format!(
        r#"(module (func $deep (export "deep") (param i64) (call $more {arguments}))
          (func $more (param {params}) (call $deep (i64.add (local.get 29) (i64.const 1)))))"#
    );
    let locals = "i64 ".repeat(600);
    let sum: String =
        (2..602).map(|n| format!("(local.set 1 (i64.or (local.get 1) (local.get {n})))")).collect();
    let sets: String = (2..602).map(|n| format!("(local.set {n} (local.get 0))")).collect();
    let zero = format!(
        r#"(module (func (export "zero") (param i64) (result i64) (local i64 {locals})
          (loop $l {sum} (if (i64.ne (local.get 0) (i64.const 0)) (then {sets} (local.set 0 (i64.const 0)))))
          (local.get 1)))"#
    );
    for _ in 0..4 {
        let mut store = Store::new(engine, ());
        let i = instance(&mut store, &secrets);
        let deep = i.typed_func::<i64, ()>(&mut store, "deep").unwrap();
        let error = deep.call(&mut store, 0x5ec5_e7e5_ec5e_7000).unwrap_err();
        assert_eq!(error.trap(), Some(TrapCode::StackOverflow));
        drop(store);
        let mut store = Store::new(engine, ());
        let i = instance(&mut store, &zero);
        let zero = i.typed_func::<i64, i64>(&mut store, "zero").unwrap();
        for argument in [0, 1, 0, 1] {
            assert_eq!(zero.call(&mut store, argument).unwrap(), 0);
        }
    }
}
