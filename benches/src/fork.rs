//! Forks of stores: the first and later ones, and what parent and child take for their writes afterwards.

use crate::engines::{self, WARDIAN};
use crate::image::{ANEW, Guest, PAGE, PLAIN, WRITING, ways};
use crate::instantiate::SMALL;
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use std::time::{Duration, Instant};
use wardian::{Engine, Instance, Module, Store, fork::Fork};

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
    let all = (0, PAGE, PAGES);
    add("the child writes 100 MiB after a fork", &|| writes(&plain, &module, all, Who::Child))?;
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
