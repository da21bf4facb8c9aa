//! Snapshots of guests' stacks, and their way back.

use crate::engines::{self, WARDIAN};
use crate::hooks::WITHOUT;
use crate::measure::{Contender, Row, difference, measure};
use crate::options::{Options, Result};
use wardian::{
    Caller, Engine, EngineKind, Instance, Linker, Module, Store, Val, snapshot::Snapshot,
};

/// What wazero takes, measured elsewhere, in nanoseconds, for snapshots at a small depth, 8 KiB, 64 KiB
/// and 512 KiB of used stack. With restore at 0, 170 and 2,730 calls: 20, 25 and 94 µs.
const WAZERO: (&str, [f64; 4]) = ("wazero elsewhere", [2_700.0, 32_000.0, 84_000.0, 238_000.0]);

const GUEST: &str = r#"(module
  (import "host" "mark" (func $mark (result i32)))
  (import "host" "jump" (func $jump))
  (func $down (export "down") (param $depth i32) (param $n i32) (param $both i32) (result i64)
    (if (local.get $depth) (then (return (i64.add (i64.const 1)
      (call $down (i32.sub (local.get $depth) (i32.const 1)) (local.get $n) (local.get $both))))))
    (if (local.get $both)
      (then (loop $again
        (if (i32.eqz (call $mark)) (then (call $jump)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (else (loop $again
        (drop (call $mark))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
    (i64.const 0)))"#;

type Guest = (Store<Option<Snapshot>>, Instance);

/// A guest whose host functions take snapshots and restore them, or do nothing.
fn guest(engine: &Engine, module: &Module, really: bool) -> Result<Guest> {
    let mut linker = Linker::<Option<Snapshot>>::new(engine);
    if really {
        linker.func_wrap("host", "mark", |mut caller: Caller<'_, Option<Snapshot>>| -> i32 {
            let snapshot = caller.get_snapshotter().map(|mut s| s.snapshot());
            *caller.data_mut() = snapshot;
            0
        })?;
        linker.func_wrap("host", "jump", |mut caller: Caller<'_, Option<Snapshot>>| {
            let snapshot = caller.data_mut().take().expect("there is a mark");
            Err::<(), _>(snapshot.restore(&mut caller, &[Val::I32(1)]))
        })?;
    } else {
        linker.func_wrap("host", "mark", |_: Caller<'_, Option<Snapshot>>| -> i32 { 0 })?;
        linker.func_wrap("host", "jump", |_: Caller<'_, Option<Snapshot>>| {})?;
    }
    let mut store = Store::new(engine, None);
    store.enable_snapshots(true);
    let instance = linker.instantiate(&mut store, module)?;
    Ok((store, instance))
}

/// How many calls of `down` fit a whole stack.
fn calls_in_a_stack((store, instance): &mut Guest) -> Result<usize> {
    let down = instance.typed_func::<(i32, i32, i32), i64>(&mut *store, "down")?;
    let (mut fits, mut too_many) = (1, 1 << 24);
    while too_many - fits > 1 {
        let middle = (fits + too_many) / 2;
        match down.call(&mut *store, (middle, 1, 0)) {
            Ok(_) => fits = middle,
            Err(_) => too_many = middle,
        }
    }
    Ok(usize::try_from(fits)?)
}

fn contender<'a>(
    (store, instance): &'a mut Guest,
    column: &'static str,
    depth: i32,
    both: bool,
) -> Result<Contender<'a>> {
    let down = instance.typed_func::<(i32, i32, i32), i64>(&mut *store, "down")?;
    Ok(Contender::new(column, move |n| {
        Ok(down.call(&mut *store, (depth, i32::try_from(n)?, both.into()))?)
    }))
}

/// What a snapshot adds at a depth of so many calls, and its restore if both are wanted.
pub(crate) fn added(
    options: &Options,
    kind: EngineKind,
    name: &str,
    depth: i32,
    both: bool,
) -> Result<Row> {
    let engine = engines::wardian_of(kind)?;
    let module = Module::new(&engine, GUEST)?;
    let mut with = guest(&engine, &module, true)?;
    let mut without = guest(&engine, &module, false)?;
    // The second sets how much is done in a measurement, and the first takes no time beside it.
    let contenders = vec![
        contender(&mut without, WITHOUT, depth, both)?,
        contender(&mut with, WARDIAN, depth, both)?,
    ];
    Ok(difference(measure(options, name, contenders)?, WITHOUT))
}

/// What a snapshot adds to the host call that takes it, and a restore to that which asks for it.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian()?;
    let module = Module::new(&engine, GUEST)?;
    let mut without = guest(&engine, &module, false)?;
    // Some room for the host calls at the end.
    let stack = engines::STACK - (16 << 10);
    let in_all = calls_in_a_stack(&mut without)?;
    let mut rows = Vec::new();
    for (kind, both) in [("snapshot", false), ("snapshot+restore", true)] {
        let sizes =
            [("small depth", 0), ("8 KiB", 8 << 10), ("64 KiB", 64 << 10), ("496 KiB", stack)];
        for ((size, bytes), wazero) in sizes.into_iter().zip(WAZERO.1) {
            let name = format!("{kind}, {size}");
            if !options.wants(&name) {
                continue;
            }
            let depth = i32::try_from(in_all * bytes / engines::STACK)?;
            let mut row = added(options, EngineKind::Compiled, &name, depth, both)?;
            if !both {
                row.add(WAZERO.0, wazero);
            }
            rows.push(row);
        }
    }
    Ok(rows)
}
