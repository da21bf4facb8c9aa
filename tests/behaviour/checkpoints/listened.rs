//! Listeners of resumed guests: they are notified of the calls that are open again, and of all that follows.

use super::{Host, linker, sources, until};
use crate::matrix::{Behaviour, module};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use wardian::{
    CompileOptions, Engine, Instance, Module, Store, Val,
    checkpoint::ResumeOptions,
    fork::Fork,
    listener::{AbortReason, Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("listeners hear of resumed calls what they would have heard without", resumed),
    ("listeners that are attached before a guest is resumed hear of its calls", attached),
    ("listeners of a forked guest's module hear of it in both stores", forked),
    ("a listener that panics when a call is resumed ends the guest", panicking),
];

/// A guest with two calls of its own around each call of the host, with calls that return, throw and are tail calls.
const TEXT: &str = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
  (tag $e (param i64))
  (func $twice (param i64) (result i64) (i64.mul (i64.const 2) (call $tell (local.get 0))))
  (func $tail (param i64) (result i64) (return_call $twice (local.get 0)))
  (func $throws (param i64) (throw $e (call $tail (local.get 0))))
  (func $catches (param i64) (result i64)
    (block $h (result i64)
      (try_table (result i64) (catch $e $h) (call $throws (local.get 0)) (i64.const 0))))
  (func (export "run") (result i64)
    (i64.add (call $catches (i64.const 1)) (call $tail (i64.const 2)))))"#;

/// What a listener was notified of: in which store, what, of which function, and whether it is the host's.
type Event = (u64, &'static str, u32, bool);

/// Writes down what it is notified of.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    fn note(&self, what: &'static str, call: &Call<'_>) {
        let func = call.definition().index().unwrap_or(u32::MAX);
        let is_host = call.module().is_none();
        self.0.lock().unwrap().push((call.store_id(), what, func, is_host));
    }

    fn compile(&self, engine: &Engine, text: &str) -> Module {
        let factory = Arc::new(FunctionFilter::all().listen(self.clone()));
        let options = CompileOptions::new().with_function_listener_factory(factory);
        Module::new_with(engine, text, &options).unwrap()
    }

    /// Those of one store, without its number.
    fn of_store(&self, store: u64) -> Vec<(&'static str, u32, bool)> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|event| event.0 == store).map(|(_, a, b, c)| (*a, *b, *c)).collect()
    }

    /// Those of the only store, or of the last one.
    fn of_last(&self) -> Vec<(&'static str, u32, bool)> {
        let store = self.0.lock().unwrap().last().map_or(0, |event| event.0);
        self.of_store(store)
    }
}

impl FunctionListener for Events {
    fn before(&self, call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.note("begins", call);
    }

    fn after(&self, call: &Call<'_>, _: &[u64]) {
        self.note(if call.is_tail_call() { "tail calls" } else { "returns" }, call);
    }

    fn abort(&self, call: &Call<'_>, _: &AbortReason<'_>) {
        self.note("is aborted", call);
    }

    fn resumed(&self, call: &Call<'_>) {
        self.note("is resumed", call);
    }
}

/// What is to be heard of a guest that is resumed at the host call of this number, if this is heard of it without.
fn expected(whole: &[(&'static str, u32, bool)], at: usize) -> Vec<(&'static str, u32, bool)> {
    let mut calls = whole.iter().enumerate().filter(|(_, e)| e.2 && e.0 == "begins");
    let (position, _) = calls.nth(at).expect("it makes this call");
    let mut open: Vec<u32> = Vec::new();
    for (what, func, _) in &whole[..position] {
        match *what {
            "begins" => open.push(*func),
            _ => assert_eq!(open.pop(), Some(*func)),
        }
    }
    let resumed = open.into_iter().map(|func| ("is resumed", func, false));
    resumed.chain(whole[position..].iter().copied()).collect()
}

/// What is heard of a guest without a checkpoint.
fn whole(engine: &Engine, text: &str) -> Vec<(&'static str, u32, bool)> {
    let events = Events::default();
    let _ = super::whole(engine, &events.compile(engine, text));
    events.of_last()
}

fn resumed(engine: &Engine) {
    heard(engine, TEXT);
}

/// Checks what listeners hear of a guest that is resumed after each of its host calls.
pub(crate) fn heard(engine: &Engine, text: &str) {
    let whole = whole(engine, text);
    for from in sources(engine) {
        let here = module(&from, text);
        for at in 0.. {
            let Some((_, checkpoint)) = until(&from, &here, at) else { break };
            let events = Events::default();
            let options = ResumeOptions::new().with_module(&events.compile(engine, text));
            let mut store = Store::new(engine, Host::default());
            let resumed = checkpoint.resume(&mut store, &linker(engine), &options).unwrap();
            let _ = resumed.run(&mut store);
            assert_eq!(events.of_last(), expected(&whole, at), "resumed at call {at} of {text}");
        }
    }
}

fn attached(engine: &Engine) {
    let from = super::interpreter(engine);
    let (_, checkpoint) = until(&from, &module(&from, TEXT), 0).unwrap();
    let (events, ended) = (Events::default(), Events::default());
    let mut store = Store::new(engine, Host::default());
    let resumed = checkpoint.resume(&mut store, &linker(engine), &ResumeOptions::new()).unwrap();
    let instance: Instance = resumed.instances()[0];
    let listen = |events: &Events| FunctionFilter::all().listen(events.clone());
    let detached = instance.attach(&mut store, listen(&ended)).unwrap();
    instance.attach(&mut store, listen(&events)).unwrap().keep();
    drop(detached);
    resumed.run(&mut store).unwrap();
    assert_eq!(events.of_last(), expected(&whole(engine, TEXT), 0));
    assert_eq!(ended.of_last(), []);
}

fn forked(engine: &Engine) {
    for engine in &sources(engine) {
        let whole = whole(engine, TEXT);
        for at in 0..2 {
            let events = Events::default();
            let host = Host { at: Some(at), forks: true, ..Host::default() };
            let mut store = Store::new(engine, host);
            let module = events.compile(engine, TEXT);
            let instance = linker(engine).instantiate(&mut store, &module).unwrap();
            let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
            run.call(&mut store, ()).unwrap_err();
            let parent = events.of_last();
            let Fork { store: mut child, resumed, .. } = *store.into_data().fork.unwrap();
            resumed.run(&mut child).unwrap();
            assert_eq!(events.of_last(), expected(&whole, at), "forked at call {at}");
            let aborted = parent.iter().filter(|event| event.0 == "is aborted").count();
            assert!(aborted >= 3, "the parent's call failed: {parent:?}");
        }
    }
}

fn panicking(engine: &Engine) {
    struct Panics(Events);
    impl FunctionListener for Panics {
        fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {}
        fn abort(&self, call: &Call<'_>, _: &AbortReason<'_>) {
            self.0.note("is aborted", call);
        }
        fn resumed(&self, call: &Call<'_>) {
            self.0.note("is resumed", call);
            if call.definition().index() == Some(1) {
                panic!("no");
            }
        }
    }
    let from = super::interpreter(engine);
    let (_, checkpoint) = until(&from, &module(&from, TEXT), 1).unwrap();
    let events = Events::default();
    let mut store = Store::new(engine, Host::default());
    let resumed = checkpoint.resume(&mut store, &linker(engine), &ResumeOptions::new()).unwrap();
    let instance = resumed.instances()[0];
    let factory = FunctionFilter::all().listen(Panics(events.clone()));
    let attachment = instance.attach(&mut store, factory).unwrap();
    catch_unwind(AssertUnwindSafe(|| resumed.run(&mut store))).unwrap_err();
    let heard = [("is resumed", 5), ("is resumed", 1), ("is aborted", 1), ("is aborted", 5)];
    let heard = heard.map(|(what, func)| (what, func, false));
    assert_eq!(events.of_last(), heard);
    assert_eq!(store.data().calls, 0, "the guest was not resumed");
    // The store can be used.
    attachment.detach(&mut store);
    let run = instance.get_func(&mut store, "run").unwrap();
    run.call(&mut store, &[], &mut [Val::I64(0)]).unwrap();
}
