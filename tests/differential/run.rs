//! Runs a module in all ways and compares what they wrote down.

use crate::heard::{self, Ear, LISTENER, Log};
use crate::ways::{WAYS, Way};
use crate::world::{self, World};
use libtest_mimic::Failed;
use std::sync::atomic::Ordering;
use wardian::{
    CallOptions, CompileOptions, Extern, Instance, Module, Store, listener::FunctionFilter,
};

/// What each call from outside may burn.
const FUEL: u64 = 3_000;
/// Calls from outside.
const CALLS: usize = 16;

/// Fails with the first difference. Wardian must refuse a module on all engines or on none.
pub(crate) fn compare(seed: u64, bytes: &[u8]) -> Result<(), Failed> {
    let lines: Vec<_> = WAYS.iter().map(|way| run(way, seed, bytes)).collect();
    if lines[0].len() > 1 {
        crate::RAN[1].fetch_add(1, Ordering::Relaxed);
    }
    let all = WAYS.iter().zip(&lines);
    let listened = all.clone().find(|(way, _)| way.listened).expect("there is one");
    for (way, reported) in all {
        // Compared with the first way: all but listeners; with the first listened way: all.
        let (first, second) =
            (&(&WAYS[0], without_listeners(&lines[0])), without_listeners(reported));
        same(seed, bytes, (first.0, &first.1), (way, &second))?;
        if way.listened {
            same(seed, bytes, (listened.0, listened.1), (way, reported))?;
        }
    }
    Ok(())
}

fn without_listeners(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|l| !l.starts_with(LISTENER)).cloned().collect()
}

/// How deep a stack may be depends on the engine, so there is nothing to compare once one overflowed.
fn overflowed(line: Option<&String>) -> bool {
    line.is_some_and(|l| l.contains("StackOverflow") || l.contains("HostStackExhausted"))
}

fn same(
    seed: u64,
    bytes: &[u8],
    (one, a): (&Way, &[String]),
    (other, b): (&Way, &[String]),
) -> Result<(), Failed> {
    for i in 0..a.len().max(b.len()) {
        let (x, y) = (a.get(i), b.get(i));
        if overflowed(x) || overflowed(y) {
            return Ok(());
        }
        if x == y {
            crate::RAN[2].fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let path = std::env::temp_dir().join(format!("wardian-seed-{seed}.wasm"));
        std::fs::write(&path, bytes).expect("the module can be kept");
        let none = "(nothing)".to_owned();
        return Err(format!(
            "seed {seed}: engines differ.\nboth:\n  {}\n{}:\n  {}\n{}:\n  {}\n\
             module: {}; again: WARDIAN_FUZZ_SEEDS={seed}..{} cargo test --test differential",
            a[i.saturating_sub(6)..i].join("\n  "),
            one.name,
            x.unwrap_or(&none),
            other.name,
            y.unwrap_or(&none),
            path.display(),
            seed + 1,
        )
        .into());
    }
    Ok(())
}

/// What happens when a module is run in a way.
fn run(way: &Way, seed: u64, bytes: &[u8]) -> Vec<String> {
    let world = World::new(seed);
    let log = world.log.clone();
    let chosen = move |place: &str, log: &Log| {
        let remainder = seed % 3;
        let filter =
            FunctionFilter::new(move |d| d.index().is_some_and(|i| u64::from(i) % 3 != remainder));
        filter.listen(Ear(log.clone(), if place == "compiled in" { "" } else { "later " }))
    };
    let mut options = CompileOptions::new();
    if way.listened && !seed.is_multiple_of(4) {
        options = options.with_function_listener_factory(chosen("compiled in", &log));
    }
    // Where validation is lazy, a module of which something is not valid would run until that is called.
    let valid = Module::validate(&way.engine, bytes);
    let module = match valid.and_then(|()| Module::new_with(&way.engine, bytes, &options)) {
        Ok(module) => module,
        Err(error) => return vec![heard::kind(&error)],
    };
    let mut store = Store::new(&way.engine, world);
    store.limiter(|world| &mut world.limits);
    store.enable_snapshots(seed.is_multiple_of(2));
    let instance = match instantiate(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => {
            log.write(heard::error(&error));
            return log.take();
        }
    };
    store.data_mut().instance = Some(instance);
    log.write(state(&store, instance));
    let exports = instance.exports(&mut store).into_iter();
    let functions: Vec<_> = exports
        .filter_map(|(name, e)| if let Extern::Func(f) = e { Some((name, f)) } else { None })
        .collect();
    let mut attachment = None;
    for turn in 0..if functions.is_empty() { 0 } else { CALLS.max(functions.len() + 4) } {
        if way.listened && turn == 3 {
            attachment = instance.attach(&mut store, chosen("later", &log)).ok();
        } else if turn == 9
            && let Some(attachment) = attachment.take()
        {
            attachment.detach(&mut store);
        }
        let (name, f) = &functions[turn % functions.len()];
        store.data_mut().begin();
        store.set_fuel(FUEL).expect("fuel is counted");
        let options = CallOptions::new().with_snapshotter();
        // How it ends is written down.
        drop(world::call(&mut store, name, *f, |store, params, results| {
            f.call_with(store, &options, params, results)
        }));
        log.write(state(&store, instance));
    }
    drop(store);
    log.take()
}

fn instantiate(store: &mut Store<World>, module: &Module) -> wardian::Result<Instance> {
    store.set_fuel(FUEL)?;
    let imports = world::imports(store, module)?;
    Instance::new(store, module, &imports)
}

/// The whole state of an instance.
pub(crate) fn state<T: 'static>(store: &Store<T>, instance: Instance) -> String {
    let inside = instance.internal(store);
    let mut text = String::from("state:");
    for i in 0..inside.num_globals() {
        text += &format!(" {};", world::show(store, &inside.global(i as u32).expect("exists")));
    }
    for i in 0..inside.num_memories() {
        let memory = inside.memory(i as u32).expect("exists");
        let mut bytes = vec![0; memory.len()];
        memory.read(0, &mut bytes).expect("so long");
        text += &format!(" memory {} {:x};", bytes.len(), hash(&bytes));
    }
    for i in 0..inside.num_tables() {
        let length = inside.table_type(i as u32).expect("exists").min;
        text += &format!(" table {length}");
        for at in 0..length {
            let value = inside.table_element(i as u32, at).expect("in bounds");
            let text_of = world::show(store, &value);
            if !text_of.contains("None") {
                text += &format!(" {at}={text_of}");
            }
        }
    }
    text
}

fn hash(bytes: &[u8]) -> u64 {
    let words = bytes
        .chunks(8)
        .map(|chunk| chunk.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte)));
    words.fold(0, |hash, word| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}
