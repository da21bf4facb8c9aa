//! Forks of stores: the first and later ones, and what parent and child take for their writes afterwards.

use crate::children;
use crate::engines::{self, WARDIAN};
use crate::image::{ANEW, Guest, PAGE, PLAIN, WRITING, ways};
use crate::instantiate::SMALL;
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use std::time::{Duration, Instant};
use wardian::{Caller, Engine, Instance, Linker, Module, Store, fork::Fork};

/// Pages of 100 MiB.
const PAGES: i32 = 25_600;

/// All rows.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let plain = engines::wardian()?;
    let forkable = engines::wardian_with(|config| {
        config.forkable_memories(true);
    })?;
    let mut rows = Vec::new();
    let mut add = |name: &str, make: &dyn Fn() -> Result<Vec<Contender<'static>>>| -> Result<()> {
        if options.wants(name) {
            rows.push(measure(options, name, make()?)?);
        }
        Ok(())
    };
    add("fork, small", &|| small(&plain))?;
    for (engine, what) in [(&forkable, "forkable"), (&plain, "others")] {
        let module = Module::new(engine, WRITING)?;
        add(&format!("first fork, 100 MiB, {what}"), &|| first(engine, &module))?;
        for (way, how) in ways(PAGES) {
            let name = format!("later fork, 100 MiB, 1 MiB written, {way}, {what}");
            add(&name, &|| later(engine, &module, how))?;
        }
    }
    let module = Module::new(&plain, WRITING)?;
    for (way, how) in ways(PAGES) {
        for who in [Who::Parent, Who::Child] {
            let name = format!("the {who:?} writes 1 MiB after a fork, {way}").to_lowercase();
            add(&name, &|| writes(&plain, &module, how, who))?;
        }
    }
    for (what, functions) in [("small", 0), ("of 2.4 MiB", 12_000)] {
        let name = format!("fork in a host call, module {what}, 10 functions with frames");
        add(&name, &|| in_call(functions))?;
    }
    let all = (0, PAGE, PAGES);
    add("the child writes 100 MiB after a fork", &|| writes(&plain, &module, all, Who::Child))?;
    const CHILDREN: usize = 1000;
    if options.wants(&format!("memory of {CHILDREN} children")) {
        rows.push(children::forks(options, CHILDREN)?);
    }
    Ok(rows)
}

/// A small store that is forked and called, or made anew and called.
fn small(engine: &Engine) -> Result<Vec<Contender<'static>>> {
    let module = Module::new(engine, SMALL)?;
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    instance.typed_func::<i32, i64>(&mut store, "fill")?.call(&mut store, 2048)?;
    let fork = Contender::timed(WARDIAN, move |n, _| {
        let (mut sum, mut time) = (0, Duration::ZERO);
        for _ in 0..n {
            let start = Instant::now();
            let Fork { store: mut child, resumed, .. } = store.fork(())?;
            let fill = resumed.instances()[0].typed_func::<i32, i64>(&mut child, "fill")?;
            sum += fill.call(&mut child, 2048)?;
            drop(child);
            time += start.elapsed();
        }
        Ok((sum, time))
    });
    let engine = engine.clone();
    let anew = Contender::timed(ANEW, move |n, _| {
        let start = Instant::now();
        let mut sum = 0;
        for _ in 0..n {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[])?;
            let fill = instance.typed_func::<i32, i64>(&mut store, "fill")?;
            sum += fill.call(&mut store, 2048)?;
        }
        Ok((sum, start.elapsed()))
    });
    Ok(vec![fork, anew])
}

/// A module in which ten functions call each other, and the last one the host; and so many others.
fn deep(functions: usize) -> String {
    let mut text = String::from("(module (import \"host\" \"fork\" (func $fork)) (memory 1)");
    for number in 0..functions {
        text.push_str(&format!("(func $other{number} (param i32) (result i32)"));
        for at in 0..12 {
            let factor = 1_234_567 + number * 31 + at;
            text.push_str(&format!(
                "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const {factor})) (i32.load (i32.const {at}))))"
            ));
        }
        text.push_str("(local.get 0))");
    }
    for number in 0..10 {
        let called = if number == 9 { "$fork".to_owned() } else { format!("$f{}", number + 1) };
        text.push_str(&format!("(func $f{number} (export \"f{number}\") (local i32)"));
        for at in 0..20 {
            text.push_str(&format!("(local.set 0 (i32.add (local.get 0) (i32.const {at})))"));
        }
        text.push_str(&format!("(call {called}))"));
    }
    text + ")"
}

/// Forks by a host function that a guest has called, which is interpreted.
fn in_call(functions: usize) -> Result<Vec<Contender<'static>>> {
    let engine = engines::wardian_of(wardian::EngineKind::Interpreted)?;
    let module = Module::new(&engine, deep(functions))?;
    let mut linker = Linker::<(u64, Duration)>::new(&engine);
    linker.func_wrap("host", "fork", |mut caller: Caller<'_, (u64, Duration)>| {
        for _ in 0..caller.data().0 {
            let start = Instant::now();
            let fork = caller.fork((0, Duration::ZERO))?;
            let took = start.elapsed();
            drop(fork);
            caller.data_mut().1 += took;
        }
        Ok::<(), wardian::Error>(())
    })?;
    let mut store = Store::new(&engine, (0, Duration::ZERO));
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.typed_func::<(), ()>(&mut store, "f0")?;
    Ok(vec![Contender::timed(WARDIAN, move |n, _| {
        *store.data_mut() = (n, Duration::ZERO);
        run.call(&mut store, ())?;
        Ok((0, store.data().1))
    })])
}

/// The first fork of a store.
fn first(engine: &Engine, module: &Module) -> Result<Vec<Contender<'static>>> {
    let (engine, module) = (engine.clone(), module.clone());
    Ok(vec![Contender::timed(WARDIAN, move |n, _| {
        let mut time = Duration::ZERO;
        for _ in 0..n {
            let mut guest = Guest::new(&engine, &module, PAGES)?;
            let start = Instant::now();
            let fork = guest.store.fork(())?;
            time += start.elapsed();
            drop(fork);
        }
        Ok((0, time))
    })])
}

/// A fork of a store that has been forked before, with the child of before still there.
fn later(
    engine: &Engine,
    module: &Module,
    how: (i32, i32, i32),
) -> Result<Vec<Contender<'static>>> {
    let mut guest = Guest::new(engine, module, PAGES)?;
    let mut child = guest.store.fork(())?;
    Ok(vec![Contender::timed(WARDIAN, move |n, _| {
        let mut time = Duration::ZERO;
        for _ in 0..n {
            guest.touch(how)?;
            let start = Instant::now();
            let next = guest.store.fork(())?;
            time += start.elapsed();
            child = next;
        }
        std::hint::black_box(&child);
        Ok((0, time))
    })])
}

/// Who writes after a fork.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Parent,
    Child,
}

/// The time that a guest takes to write after a fork, and without any.
fn writes(
    engine: &Engine,
    module: &Module,
    how: (i32, i32, i32),
    who: Who,
) -> Result<Vec<Contender<'static>>> {
    let mut guest = Guest::new(engine, module, PAGES)?;
    // Of the parent only the first write to a page after a fork makes a copy: each round has a new range.
    let forked = Contender::timed(WARDIAN, move |n, _| {
        let mut time = Duration::ZERO;
        for _ in 0..n {
            let Fork { store, resumed, .. } = guest.store.fork(())?;
            let mut child = Guest::of(store, resumed.instances()[0])?;
            let writer = if who == Who::Child { &mut child } else { &mut guest };
            let start = Instant::now();
            writer.touch(how)?;
            time += start.elapsed();
        }
        Ok((0, time))
    });
    let mut guest = Guest::new(engine, module, PAGES)?;
    let plain = Contender::timed(PLAIN, move |n, _| {
        let start = Instant::now();
        for _ in 0..n {
            guest.touch(how)?;
        }
        Ok((0, start.elapsed()))
    });
    Ok(vec![forked, plain])
}
