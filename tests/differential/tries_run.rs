//! A tree of `tries` in both forms, on all engines, with listeners and without: all must do the same.
//!
//! With `WARDIAN_FUZZ_DUMP=DIR` both modules are kept with what they did in the interpreter, for other runtimes,
//! and nothing is compared. With `WARDIAN_FUZZ_OTHERS=DIR` modules `SEED.….wasm` that other tools made of them must
//! do the same too, but for what listeners hear.

use crate::heard;
use crate::tries::{self, Tree};
use crate::tries_text::{self, Form};
use crate::ways::{WAYS, Way};
use libtest_mimic::Failed;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use wardian::{
    Caller, CompileOptions, Error, Extern, Func, FuncType, Global, Instance, Memory, Module,
    Result, Store, Tag, TagType, Val, ValType,
    listener::{AbortReason, Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};

/// Calls from outside.
const CALLS: usize = 24;
/// What each of them may do: function entries and rounds of loops.
const BUDGET: i32 = 400;

/// Both forms do the same on all engines, and one form also with host functions that do everything.
pub(crate) fn compare(seed: u64) -> std::result::Result<(), Failed> {
    let tree = tries::tree(seed);
    let forms =
        [Form::Legacy, Form::References].map(|form| (form, tries_text::module(&tree, form)));
    if let Some(folder) = std::env::var_os("WARDIAN_FUZZ_DUMP") {
        dump(Path::new(&folder), seed, &forms, &run(&WAYS[0], seed, &tree, &forms[0].1));
        return Ok(());
    }
    let mut reported = Vec::new();
    for (form, bytes) in &forms {
        for way in WAYS.iter() {
            reported.push((format!("{form:?}"), way, run(way, seed, &tree, bytes)));
        }
    }
    let listened = reported.iter().find(|t| t.1.listened).expect("there is one");
    for one in &reported {
        same(seed, &reported[0], one, false)?;
        if one.1.listened {
            same(seed, listened, one, true)?;
        }
    }
    for (name, bytes) in others(seed) {
        for way in WAYS.iter().filter(|way| !way.listened) {
            let one = (name.clone(), way, run(way, seed, &tree, &bytes));
            same(seed, &reported[0], &one, false)?;
        }
        crate::RAN[1].fetch_add(1, Ordering::Relaxed);
    }
    crate::RAN[1].fetch_add(1, Ordering::Relaxed);
    // One of them with hosts that do everything, which takes as long as all before.
    crate::run::compare(seed, &forms[seed as usize / 2 % 2].1)
}

/// What the module of this name did.
type Reported<'a> = (String, &'a Way, Vec<String>);

fn same(
    seed: u64,
    a: &Reported<'_>,
    b: &Reported<'_>,
    heard: bool,
) -> std::result::Result<(), Failed> {
    let lines = |t: &Reported<'_>| {
        let all = t.2.iter().filter(|l| heard || !l.starts_with(heard::LISTENER));
        all.cloned().collect::<Vec<_>>()
    };
    let (x, y) = (lines(a), lines(b));
    crate::RAN[2].fetch_add(x.len() as u64, Ordering::Relaxed);
    if x == y {
        return Ok(());
    }
    let at = x.iter().zip(&y).take_while(|(x, y)| x == y).count();
    Err(format!(
        "seed {seed}: line {at} differs, after\n  {}\n{}, {}:\n  {:?}\n{}, {}:\n  {:?}\n\
         again: WARDIAN_FUZZ_SEEDS={seed}..{} cargo test --test differential tries",
        x[at.saturating_sub(6)..at].join("\n  "),
        a.0,
        a.1.name,
        x.get(at),
        b.0,
        b.1.name,
        y.get(at),
        seed + 1,
    )
    .into())
}

/// What other tools made of the modules of a seed.
fn others(seed: u64) -> Vec<(String, Vec<u8>)> {
    let Some(folder) = std::env::var_os("WARDIAN_FUZZ_OTHERS") else { return Vec::new() };
    let entries = std::fs::read_dir(folder).expect("the folder is there").flatten();
    let paths = entries.map(|e| e.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{seed}.")) && name.ends_with(".wasm")
    });
    paths.map(|p| (p.display().to_string(), std::fs::read(&p).expect("a file"))).collect()
}

fn dump(folder: &Path, seed: u64, forms: &[(Form, Vec<u8>)], lines: &[String]) {
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(format!("{seed}.{name}")), bytes).expect("the folder is there");
    };
    for (form, bytes) in forms {
        write(if *form == Form::Legacy { "legacy.wasm" } else { "references.wasm" }, bytes);
    }
    write("txt", lines.join("\n").as_bytes());
}

/// What the host function needs.
#[derive(Default)]
struct World {
    /// That of the import, and those that the module exports.
    tags: Vec<Tag>,
    foreign: Option<Tag>,
    instance: Option<Instance>,
    lines: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

fn run(way: &Way, seed: u64, tree: &Tree, bytes: &[u8]) -> Vec<String> {
    let mut store = Store::new(&way.engine, World::default());
    let lines = store.data().lines.clone();
    let done = calls(&mut store, way, seed, tree, bytes);
    let mut lines = std::mem::take(&mut *lines.lock().unwrap_or_else(|e| e.into_inner()));
    if let Err(error) = done {
        lines.push(format!("ended: {error}"));
    }
    lines
}

fn calls(store: &mut Store<World>, way: &Way, seed: u64, tree: &Tree, bytes: &[u8]) -> Result<()> {
    let mut options = CompileOptions::new();
    let lines = store.data().lines.clone();
    if way.listened {
        let filter =
            FunctionFilter::new(move |d| d.index().is_some_and(|i| u64::from(i) % 3 != seed % 3));
        options = options.with_function_listener_factory(filter.listen(Ear(lines.clone())));
    }
    let module = Module::new_with(&way.engine, bytes, &options)?;
    store.set_fuel(u64::MAX >> 1)?;
    let ty = FuncType::new([ValType::I32, ValType::I64], [ValType::I64]);
    let f = Func::new(&mut *store, ty, host);
    let tag = Tag::new(&mut *store, &TagType::new([ValType::I32, ValType::I64]))?;
    store.data_mut().foreign = Some(Tag::new(&mut *store, &TagType::new([ValType::I32]))?);
    let instance = Instance::new(&mut *store, &module, &[Extern::Func(f), Extern::Tag(tag)])?;
    let exported = (1..tree.tags.len())
        .filter_map(|i| instance.get_export(&mut *store, &format!("e{i}"))?.into_tag());
    let tags = std::iter::once(tag).chain(exported.collect::<Vec<_>>()).collect();
    store.data_mut().tags = tags;
    store.data_mut().instance = Some(instance);
    let functions: Vec<(String, Func)> = instance
        .exports(&mut *store)
        .into_iter()
        .filter_map(|(name, e)| Some((name, e.into_func()?)))
        .collect();
    let mut random = crate::random::Random::new(seed, "calls of tries");
    for turn in 0..CALLS {
        let (name, f) = &functions[turn % functions.len()];
        let (depth, x) = (turn as i32 / 4, random.next() as i64);
        global(store, instance, "budget")?.set(&mut *store, Val::I32(BUDGET))?;
        write(&lines, format!("call {name} {depth} {x}"));
        let ended = call(store, *f, depth, x);
        write(&lines, format!("{ended}; {}", state(store, instance)?));
    }
    Ok(())
}

fn write(lines: &Lines, line: String) {
    lines.lock().unwrap_or_else(|e| e.into_inner()).push(line);
}

fn global(store: &mut Store<World>, instance: Instance, name: &str) -> Result<Global> {
    let export = instance.get_export(&mut *store, name).and_then(Extern::into_global);
    export.ok_or_else(|| Error::host("no such global"))
}

/// How a call ends, in words that another host can find too.
fn call(store: &mut Store<World>, f: Func, depth: i32, x: i64) -> String {
    let mut results: Vec<_> = f.ty(&*store).results().iter().map(|ty| Val::zero(*ty)).collect();
    match f.call(&mut *store, &[Val::I32(depth), Val::I64(x)], &mut results) {
        Ok(()) => format!("results{}", shown(&results)),
        Err(error) => match error.exception() {
            Some(exception) => {
                let tag = store.data().tags.iter().position(|tag| *tag == exception.tag());
                format!("exception {}{}", tag.map_or(-1, |t| t as i64), shown(exception.values()))
            }
            None => error.trap().map_or(error.to_string(), |code| format!("trap {code:?}")),
        },
    }
}

fn shown(values: &[Val]) -> String {
    let one = |value: &Val| match value {
        Val::I32(n) => format!(" {n}"),
        Val::I64(n) => format!(" {n}"),
        Val::F32(bits) => format!(" {bits:x}"),
        Val::F64(bits) => format!(" {bits:x}"),
        Val::V128(bits) => format!(" {bits:x}"),
        _ => " reference".to_owned(),
    };
    values.iter().map(one).collect()
}

fn state(store: &mut Store<World>, instance: Instance) -> Result<String> {
    let values = ["g", "budget"].map(|name| Ok(global(store, instance, name)?.get(&mut *store)));
    let values: Vec<Val> = values.into_iter().collect::<Result<_>>()?;
    let memory: Option<Memory> =
        instance.get_export(&mut *store, "m").and_then(Extern::into_memory);
    let memory = memory.ok_or_else(|| Error::host("no memory"))?;
    let mut bytes = vec![0; 1024];
    memory.read(&*store, 0, &mut bytes)?;
    let hash = bytes.iter().fold(0u32, |hash, b| hash.wrapping_mul(31).wrapping_add((*b).into()));
    Ok(format!("state{} {hash}", shown(&values)))
}

/// Throws, calls back and passes on or swallows what comes out, or returns.
fn host(mut caller: Caller<'_, World>, params: &[Val], results: &mut [Val]) -> Result<()> {
    let [Val::I32(depth), Val::I64(x)] = *params else { return Err(Error::host("parameters")) };
    let world = caller.data();
    results[0] = Val::I64(x.wrapping_mul(3).wrapping_add(1));
    match x.rem_euclid(8) {
        4 => return Err(Error::exception_with(world.tags[0], [Val::I32(depth), Val::I64(x)])),
        5 => {
            let foreign = world.foreign.ok_or_else(|| Error::host("no tag"))?;
            return Err(Error::exception_with(foreign, [Val::I32(depth)]));
        }
        kind @ (6 | 7) if depth > 0 => {
            let instance = world.instance.ok_or_else(|| Error::host("no instance"))?;
            let back = instance.get_export(&mut caller, "f1").and_then(Extern::into_func);
            let back = back.ok_or_else(|| Error::host("no function"))?;
            let params = [Val::I32(depth - 1), Val::I64(x >> 3)];
            match back.call(&mut caller, &params, results) {
                Err(error) if kind == 7 && error.exception().is_some() => {
                    results[0] = Val::I64(77);
                }
                done => return done,
            }
        }
        _ => {}
    }
    Ok(())
}

/// Writes down what a listener hears, without places, which the forms do not share.
struct Ear(Lines);

impl Ear {
    fn write(&self, what: &str, call: &Call<'_>, more: &str) {
        write(&self.0, format!("{}{what} {:?} {more}", heard::LISTENER, call.definition().index()));
    }
}

impl FunctionListener for Ear {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        let mut text = format!("{} {} at", params[0] as u32, params[1]);
        for _ in 0..8 {
            if stack.next() {
                text += &format!(" {:?}", stack.function().definition().index());
            }
        }
        self.write("before", call, &text);
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let what = if call.is_tail_call() { "tail" } else { "after" };
        self.write(what, call, &results.first().map_or(String::new(), |_| format!("{results:x?}")));
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        let reason = reason.error().map_or_else(|| reason.to_string(), heard::kind);
        self.write("abort", call, &reason);
    }

    fn resumed(&self, call: &Call<'_>) {
        self.write("resumed", call, "");
    }
}
