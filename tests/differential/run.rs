//! Runs a module in all ways and compares what they wrote down.

use crate::heard::{self, Ear, LISTENER, Log};
use crate::kept;
use crate::ways::{WAYS, Way};
use crate::world::{self, World};
use libtest_mimic::Failed;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wardian::{
    CallOptions, CompileOptions, Extern, Instance, Module, Store,
    listener::{FunctionFilter, FunctionListenerFactory},
    profile::ModuleProfile,
};

/// What each call from outside may burn.
const FUEL: u64 = 3_000;
/// Calls from outside.
const CALLS: usize = 16;

/// What was written down in a way.
#[derive(Clone, Copy)]
pub(crate) struct Reported<'a> {
    pub(crate) way: &'a Way,
    pub(crate) lines: &'a [String],
}

/// Fails with the first difference. Wardian must refuse a module on all engines or on none.
pub(crate) fn compare(seed: u64, bytes: &[u8]) -> Result<(), Failed> {
    let lines: Vec<_> = WAYS.iter().map(|way| Run::new(way, seed, bytes).run()).collect();
    if lines[0].len() > 1 {
        crate::RAN[1].fetch_add(1, Ordering::Relaxed);
    }
    let mut all = WAYS.iter().zip(&lines).map(|(way, lines)| Reported { way, lines });
    let listened = all.clone().find(|reported| reported.way.listened).expect("there is one");
    let first = [Reported { way: &WAYS[0], lines: &lines[0] }, listened];
    all.try_for_each(|reported| check(seed, bytes, first, reported))?;
    if cfg!(feature = "jit") { kept::compare(seed, bytes, first) } else { Ok(()) }
}

/// Compares with the first way all but what listeners heard, and with the first that is listened all of it.
pub(crate) fn check(
    seed: u64,
    bytes: &[u8],
    [first, listened]: [Reported<'_>; 2],
    other: Reported<'_>,
) -> Result<(), Failed> {
    let without = |reported: Reported<'_>, listeners: bool| {
        let heard = reported.lines.iter().filter(|l| listeners || !l.starts_with(LISTENER));
        heard
            .map(|l| if other.way.counts_fuel { l.clone() } else { without_fuel(l) })
            .collect::<Vec<_>>()
    };
    let pairs = [(first, false), (listened, true)];
    for (one, listeners) in pairs.into_iter().filter(|pair| !pair.1 || other.way.listened) {
        let (a, b) = (without(one, listeners), without(other, listeners));
        same(seed, bytes, (one.way, &a), (other.way, &b))?;
    }
    Ok(())
}

/// A line without how much fuel is left.
fn without_fuel(line: &str) -> String {
    let Some((before, after)) = line.rsplit_once(" fuel") else { return line.to_owned() };
    let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
    format!("{before}no fuel{after}")
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

/// A module that is run in a way.
pub(crate) struct Run<'a> {
    pub(crate) way: &'a Way,
    pub(crate) seed: u64,
    pub(crate) bytes: &'a [u8],
    /// What it is made with.
    pub(crate) profile: Option<&'a ModuleProfile>,
    /// Whether what is compiled is kept while it runs, too.
    pub(crate) keeps: bool,
    /// What its functions did.
    pub(crate) found: Option<ModuleProfile>,
}

impl<'a> Run<'a> {
    fn new(way: &'a Way, seed: u64, bytes: &'a [u8]) -> Run<'a> {
        Run { way, seed, bytes, profile: None, keeps: false, found: None }
    }

    /// What happens then.
    pub(crate) fn run(&mut self) -> Vec<String> {
        let world = World::new(self.seed);
        let log = world.log.clone();
        let module = match self.module(&log) {
            Ok(module) => module,
            Err(error) => return vec![heard::kind(&error)],
        };
        let mut store = Store::new(&self.way.engine, world);
        store.limiter(|world| &mut world.limits);
        store.enable_snapshots(self.seed.is_multiple_of(2));
        match instantiate(&mut store, &module) {
            Ok(instance) => {
                store.data_mut().instance = Some(instance);
                log.write(state(&store, instance));
                self.calls(&mut store, &module, instance);
            }
            Err(error) => log.write(heard::error(&error)),
        }
        drop(store);
        self.found = Some(module.profile());
        log.take()
    }

    fn module(&self, log: &Log) -> wardian::Result<Module> {
        let mut options = CompileOptions::new();
        if self.way.listened && !self.seed.is_multiple_of(4) {
            let chosen = self.listener("", log);
            options = options.with_function_listener_factory(chosen);
        }
        if let Some(profile) = self.profile {
            options = options.with_profile(profile);
        }
        // Where validation is lazy, a module of which something is not valid would run until that is called.
        Module::validate(&self.way.engine, self.bytes)?;
        Module::new_with(&self.way.engine, self.bytes, &options)
    }

    /// Listens to two thirds of the functions.
    fn listener(&self, name: &'static str, log: &Log) -> impl FunctionListenerFactory + use<> {
        let remainder = self.seed % 3;
        let filter =
            FunctionFilter::new(move |d| d.index().is_some_and(|i| u64::from(i) % 3 != remainder));
        filter.listen(Ear(log.clone(), name))
    }

    /// Calls all exports, by turns.
    fn calls(&self, store: &mut Store<World>, module: &Module, instance: Instance) {
        let log = store.data().log.clone();
        let exports = instance.exports(&mut *store).into_iter();
        let functions: Vec<_> = exports
            .filter_map(|(name, e)| if let Extern::Func(f) = e { Some((name, f)) } else { None })
            .collect();
        let mut attachment = None;
        for turn in 0..if functions.is_empty() { 0 } else { CALLS.max(functions.len() + 4) } {
            if self.way.listened && turn == 3 {
                attachment = instance.attach(&mut *store, self.listener("later ", &log)).ok();
            } else if turn == 9
                && let Some(attachment) = attachment.take()
            {
                attachment.detach(&mut *store);
            } else if turn == 6 && self.keeps {
                module.keep_compiled(Duration::ZERO);
            }
            let (name, f) = &functions[turn % functions.len()];
            store.data_mut().begin();
            refuel(store).expect("there is room for it");
            let options = CallOptions::new().with_snapshotter();
            // How it ends is written down.
            drop(world::call(&mut *store, name, *f, |store, params, results| {
                f.call_with(store, &options, params, results)
            }));
            log.write(state(store, instance));
        }
    }
}

fn instantiate(store: &mut Store<World>, module: &Module) -> wardian::Result<Instance> {
    refuel(store)?;
    let imports = world::imports(store, module)?;
    Instance::new(store, module, &imports)
}

/// Sets what the next call may burn, if that is counted.
fn refuel(store: &mut Store<World>) -> wardian::Result<()> {
    if store.fuel().is_ok() { store.set_fuel(FUEL) } else { Ok(()) }
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
