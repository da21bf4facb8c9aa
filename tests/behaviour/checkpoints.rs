//! Checkpoints: a guest is written down, and continues in another store as if nothing had happened.

pub(crate) mod bytes;
pub(crate) mod listened;
pub(crate) mod mapped;
pub(crate) mod noted;
pub(crate) mod references;
pub(crate) mod requests;
pub(crate) mod root;
pub(crate) mod store;
pub(crate) mod stored;
pub(crate) mod waits;

use crate::matrix::{Behaviour, module};
use wardian::{
    Caller, Engine, EngineKind, Error, Linker, Module, Result, Store, Val,
    checkpoint::{Checkpoint, CheckpointOptions, Checkpoints, ResumeOptions},
    fork::Fork,
    limits::StoreLimits,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a guest continues in a new store, whatever its frames hold", frames),
    ("a guest continues after every one of its host calls", every_call),
    ("memories, tables, globals and segments are carried", state),
    ("instances that share what they have are carried", linked_instances),
    ("types have other indices in other modules", other_indices),
    ("what the embedder gives is found again by name", host_items),
    ("frames are carried through tables, references and tail calls", indirect),
    ("two thousand frames are carried", deep),
    ("an exception is caught by a frame that was carried", thrown_after),
    ("a caught exception is carried", held_exceptions),
];

/// An engine with the same settings that interprets.
pub(crate) fn interpreter(engine: &Engine) -> Engine {
    let mut config = engine.config().clone();
    Engine::new(config.engine(EngineKind::Interpreted)).expect("the configuration works")
}

/// The engine, if what it compiles can be captured.
pub(crate) fn capturing(engine: &Engine, checkpoints: Checkpoints) -> Engine {
    let mut config = engine.config().clone();
    Engine::new(config.checkpoints(checkpoints)).expect("the configuration works")
}

/// Engines whose guests can be written down everywhere.
pub(crate) fn sources(engine: &Engine) -> [Engine; 2] {
    [interpreter(engine), capturing(engine, Checkpoints::CallsAndLoops)]
}

/// What host functions keep: arguments in order, and a checkpoint of the call at which one is wanted.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) reported: Vec<i64>,
    pub(crate) calls: usize,
    /// The call at which a checkpoint is taken.
    pub(crate) at: Option<usize>,
    pub(crate) taken: Option<Vec<u8>>,
    /// Whether the store is forked instead, and the fork.
    pub(crate) forks: bool,
    pub(crate) fork: Option<Box<Fork<Host>>>,
    /// Why it could not be taken.
    pub(crate) refused: Option<String>,
    /// Whether the next call throws.
    pub(crate) limits: StoreLimits,
}

/// `h.tell` notes its argument and returns its double; `h.note` notes it and returns nothing.
pub(crate) fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker: Linker<Host> = Linker::new(engine);
    linker.func_wrap("h", "tell", |caller: Caller<'_, Host>, x: i64| tell(caller, x)).unwrap();
    linker
        .func_wrap("h", "note", |caller: Caller<'_, Host>, x: i64| tell(caller, x).map(drop))
        .unwrap();
    linker
}

fn tell(mut caller: Caller<'_, Host>, x: i64) -> Result<i64> {
    if caller.data().at == Some(caller.data().calls) && caller.data().forks {
        let fork = caller.fork(Host::default());
        caller.data_mut().refused = fork.as_ref().err().map(Error::to_string);
        caller.data_mut().fork = Some(Box::new(fork?));
        return Err(Error::host("forked"));
    }
    if caller.data().at == Some(caller.data().calls) {
        let checkpoint = caller.checkpoint(&CheckpointOptions::new());
        caller.data_mut().refused = checkpoint.as_ref().err().map(Error::to_string);
        let bytes = checkpoint?.to_bytes()?;
        caller.data_mut().taken = Some(bytes);
        return Err(Error::host("carried"));
    }
    let host = caller.data_mut();
    host.calls += 1;
    host.reported.push(x);
    Ok(x.wrapping_mul(2))
}

/// Instantiates and calls `run`; a checkpoint is taken at the host call of this number. Returns the arguments of the calls before,
/// and the checkpoint.
fn until(engine: &Engine, module: &Module, at: usize) -> Option<(Vec<i64>, Checkpoint)> {
    let mut store = Store::new(engine, Host { at: Some(at), ..Host::default() });
    // An error where it is not counted.
    let _ = store.set_fuel(1_000_000);
    let instance = linker(engine).instantiate(&mut store, module).unwrap();
    let run = instance.get_func(&mut store, "run").unwrap();
    let mut results = vec![Val::I32(0); run.ty(&store).results().len()];
    let done = run.call(&mut store, &[], &mut results);
    let host = store.into_data();
    assert_eq!(host.refused, None);
    let taken = host.taken?;
    assert_eq!(done.unwrap_err().to_string(), "carried");
    Some((host.reported, Checkpoint::from_bytes(&taken).unwrap()))
}

/// What a guest passes to the host, and returns.
type Outcome = (Vec<i64>, Result<Vec<Val>>);

/// What the guest tells and returns without being carried.
pub(crate) fn whole(engine: &Engine, module: &Module) -> Outcome {
    let mut store = Store::new(engine, Host::default());
    let instance = linker(engine).instantiate(&mut store, module).unwrap();
    let run = instance.get_func(&mut store, "run").unwrap();
    let mut results = vec![Val::I32(0); run.ty(&store).results().len()];
    let done = run.call(&mut store, &[], &mut results).map(|()| results);
    (store.into_data().reported, done)
}

/// Resumes a guest, and returns what it tells afterwards and returns.
fn rest(engine: &Engine, checkpoint: &Checkpoint) -> Outcome {
    let mut store = Store::new(engine, Host::default());
    let options = ResumeOptions::new();
    let resumed = checkpoint.resume(&mut store, &linker(engine), &options).unwrap();
    let done = resumed.run(&mut store);
    (store.into_data().reported, done)
}

/// Checks that the guest `run` of a module does the same if it is carried at each of its host calls, to this engine.
fn carried(engine: &Engine, text: &str) {
    sources(engine).iter().for_each(|from| carried_from(from, engine, text));
    carried_from(&capturing(engine, Checkpoints::Calls), engine, text);
    sources(engine).iter().for_each(|engine| crate::forks::forked(engine, text));
    listened::heard(engine, text);
}

fn carried_from(from: &Engine, engine: &Engine, text: &str) {
    let here = module(from, text);
    let expected = whole(from, &here);
    let mut calls = 0;
    while let Some((before, checkpoint)) = until(from, &here, calls) {
        let (after, done) = rest(engine, &checkpoint);
        let reported: Vec<i64> = before.into_iter().chain(after).collect();
        same(&(reported, done), &expected, &format!("carried at call {calls}"));
        calls += 1;
    }
    assert!(calls > 0, "the guest calls the host");
}

/// Checks that a guest has said and returned what it should.
pub(crate) fn same(found: &Outcome, expected: &Outcome, what: &str) {
    assert_eq!(found.0, expected.0, "{what}");
    match (&found.1, &expected.1) {
        (Ok(a), Ok(b)) => assert_eq!(a, b, "{what}"),
        (Err(a), Err(b)) => assert_eq!(a.trap(), b.trap(), "{what}: {a}"),
        (a, b) => panic!("{what}: {a:?}, not {b:?}"),
    }
}

fn frames(engine: &Engine) {
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (func $inner (param $v v128) (param $x i64) (result i64 v128)
            (local $k i32) (local $d f64) (local $w v128)
            (local.set $k (i32.const -3))
            (local.set $d (f64.const nan:0x4000000000001))
            (local.set $w (i8x16.add (local.get $v) (i8x16.splat (i32.const 7))))
            ;; Operands: a local, a constant, a vector, a value of its own.
            (local.get $x)
            (i64.const 1000)
            (i64.extend_i32_s (local.get $k))
            (i64.add)
            (local.get $w)
            (call $tell (i64.reinterpret_f64 (local.get $d)))
            (i64x2.splat)
            (i64x2.add)
            (local.set $w)
            (i64.mul)
            (local.get $w))
          (func (export "run") (result i64 i64 f32)
            (local $i i32) (local $sum i64) (local $v v128) (local $f f32)
            (local.set $f (f32.const 1.5))
            (loop $l
              (call $inner (local.get $v) (i64.add (local.get $sum) (i64.const 5)))
              (local.set $v)
              (local.set $sum (i64.xor (local.get $sum)))
              (local.set $f (f32.mul (local.get $f) (f32.const 1.25)))
              (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
            (local.get $sum) (i64x2.extract_lane 1 (local.get $v)) (local.get $f)))"#,
    );
}

fn every_call(engine: &Engine) {
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (import "h" "note" (func $note (param i64)))
          (memory 1 3)
          (func $fib (param i64) (result i64)
            (if (result i64) (i64.lt_u (local.get 0) (i64.const 2))
              (then (call $tell (local.get 0)))
              (else (i64.add (call $fib (i64.sub (local.get 0) (i64.const 1)))
                             (call $fib (i64.sub (local.get 0) (i64.const 2)))))))
          (func (export "run") (result i64)
            (i64.store (i32.const 8) (call $fib (i64.const 6)))
            (call $note (i64.load (i32.const 8)))
            (drop (memory.grow (i32.const 1)))
            (call $note (i64.extend_i32_u (memory.size)))
            (i64.store (i32.const 100000) (i64.const -1))
            (block (call $note (i64.load (i32.const 100000))))
            (call $tell (i64.div_u (i64.const 7) (i64.load (i32.const 16))))))"#,
    );
}

fn state(engine: &Engine) {
    carried(
        engine,
        r#"(module (import "h" "note" (func $note (param i64)))
          (memory $m 1) (memory $n i64 2)
          (global $g (mut i64) (i64.const 1)) (global $w (mut v128) (v128.const i64x2 1 2))
          (global $r (mut funcref) (ref.null func)) (global $c i64 (i64.const 11))
          (table $t 3 20 funcref) (table $u 2 externref)
          (data $d "abcdefgh") (data $k "12345678") (elem $e func $one $two)
          (func $one (result i64) (i64.const 1)) (func $two (result i64) (i64.const 2))
          (elem declare func $one $two)
          (type $f (func (result i64)))
          (func $show
            (call $note (global.get $g))
            (call $note (i64x2.extract_lane 1 (global.get $w)))
            (call $note (i64.extend_i32_u (table.size $t)))
            (call $note (call_indirect $t (type $f) (i32.const 1)))
            (call $note (i64.extend_i32_u (ref.is_null (table.get $t (i32.const 2)))))
            (call $note (i64.load $m (i32.const 16)))
            (call $note (i64.load $n (i64.const 131000)))
            (call $note (global.get $c)))
          (func (export "run")
            (global.set $g (i64.const 77))
            (global.set $w (v128.const i64x2 3 4))
            (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2))
            (drop (table.grow $t (ref.func $one) (i32.const 4)))
            (memory.init $m $d (i32.const 16) (i32.const 0) (i32.const 8))
            (memory.copy $n $m (i64.const 131000) (i32.const 16) (i32.const 8))
            (data.drop $d)
            (call $show)
            (memory.init $m $k (i32.const 16) (i32.const 0) (i32.const 8))
            (table.set $t (i32.const 1) (ref.func $one))
            (call $show)
            (elem.drop $e)
            (call $note (i64.const 0))
            (memory.init $m $d (i32.const 0) (i32.const 0) (i32.const 1))))"#,
    );
}

fn linked_instances(engine: &Engine) {
    let from = interpreter(engine);
    let provider = r#"(module $provider (import "h" "tell" (func $tell (param i64) (result i64)))
      (memory (export "m") 1) (table (export "t") 4 funcref) (global (export "g") (mut i64) (i64.const 5))
      (func (export "bump") (param i64) (result i64)
        (global.set 0 (i64.add (global.get 0) (call $tell (local.get 0))))
        (i64.store (i32.const 0) (global.get 0))
        (global.get 0)))"#;
    let user = r#"(module $user (import "p" "m" (memory 1)) (import "p" "t" (table 4 funcref))
      (import "p" "g" (global $g (mut i64))) (import "p" "bump" (func $bump (param i64) (result i64)))
      (type $f (func (param i64) (result i64)))
      (elem (i32.const 2) $bump)
      (func (export "run") (result i64) (local $n i64)
        (loop $l
          (drop (call_indirect (type $f) (local.get $n) (i32.const 2)))
          (drop (call $bump (i64.load (i32.const 0))))
          (br_if $l (i64.lt_u (local.tee $n (i64.add (local.get $n) (i64.const 1))) (i64.const 3))))
        (global.get $g)))"#;
    let run = |at: Option<usize>| {
        let mut linker = linker(&from);
        let mut store = Store::new(&from, Host { at, ..Host::default() });
        let first = linker.instantiate(&mut store, &module(&from, provider)).unwrap();
        linker.instance(&mut store, "p", first).unwrap();
        let second = linker.instantiate(&mut store, &module(&from, user)).unwrap();
        let run = second.typed_func::<(), i64>(&mut store, "run").unwrap();
        let done = run.call(&mut store, ());
        (store.into_data(), done)
    };
    let (host, expected) = run(None);
    let expected = expected.unwrap();
    for at in 0..host.reported.len() {
        let (before, _) = run(Some(at));
        let checkpoint = Checkpoint::from_bytes(&before.taken.unwrap()).unwrap();
        assert_eq!(
            checkpoint.modules().map(|m| m.name.unwrap()).collect::<Vec<_>>(),
            ["provider", "user"]
        );
        let (after, done) = rest(engine, &checkpoint);
        assert_eq!(done.unwrap(), [Val::I64(expected)]);
        assert_eq!([before.reported, after].concat(), host.reported);
    }
}

fn other_indices(engine: &Engine) {
    // Elements of a segment that are objects of a declared type.
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (type $node (struct (field i64)))
          (elem $s (ref $node) (item (struct.new $node (i64.const 7))))
          (table $t 2 (ref null $node))
          (func (export "run") (result i64)
            (drop (call $tell (i64.const 1)))
            (table.init $t $s (i32.const 0) (i32.const 0) (i32.const 1))
            (struct.get $node 0 (table.get $t (i32.const 0)))))"#,
    );
    let from = interpreter(engine);
    // The result's type is one of the same shape, at another index.
    let provider = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (type $other (struct (field f32))) (type $node (struct (field i64)))
      (func (export "make") (result (ref $node)) (struct.new $node (call $tell (i64.const 4)))))"#;
    let user = r#"(module (type $node (struct (field i64))) (import "p" "make" (func $make (result (ref $node))))
      (func (export "run") (result i64) (struct.get $node 0 (call $make))))"#;
    let mut linker = linker(&from);
    let mut store = Store::new(&from, Host { at: Some(0), ..Host::default() });
    let first = linker.instantiate(&mut store, &module(&from, provider)).unwrap();
    linker.instance(&mut store, "p", first).unwrap();
    let second = linker.instantiate(&mut store, &module(&from, user)).unwrap();
    let run = second.typed_func::<(), i64>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap_err();
    let taken = store.into_data().taken.unwrap();
    let (_, done) = rest(engine, &Checkpoint::from_bytes(&taken).unwrap());
    assert_eq!(done.unwrap(), [Val::I64(8)]);
}

fn host_items(engine: &Engine) {
    use wardian::{
        Global, GlobalType, Memory, MemoryType, RefType, Table, TableType, Tag, TagType, ValType,
    };
    let from = interpreter(engine);
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (import "h" "m" (memory 1)) (import "h" "t" (table 2 funcref))
      (import "h" "g" (global $g (mut i64))) (import "h" "c" (global $c i32)) (import "h" "e" (tag $e (param i64)))
      (elem declare func $run)
      (func $run (export "run") (result i64)
        (global.set $g (i64.const 9))
        (table.set (i32.const 1) (ref.func $run))
        (i64.store (i32.const 40) (i64.const 30))
        (block $h (result i64)
          (try_table (result i64) (catch $e $h)
            (i64.store (i32.const 48) (call $tell (i64.const 3)))
            (throw $e (i64.add (i64.load (i32.const 40)) (i64.load (i32.const 48)))))
          (unreachable))
        (i64.add (global.get $g))
        (i64.add (i64.extend_i32_u (i32.add (global.get $c) (ref.is_null (table.get (i32.const 1))))))))"#;
    let give = |store: &mut Store<Host>, constant: i32| {
        let mut linker = linker(&store.engine().clone());
        let memory = Memory::new(&mut *store, MemoryType::new(1, Some(4))).unwrap();
        let ty = TableType { element: RefType::FUNC, min: 2, max: None, table64: false };
        let table = Table::new(&mut *store, ty, Val::FuncRef(None)).unwrap();
        let ty = GlobalType { content: ValType::I64, mutable: true };
        let global = Global::new(&mut *store, ty, Val::I64(1)).unwrap();
        let ty = GlobalType { content: ValType::I32, mutable: false };
        let fixed = Global::new(&mut *store, ty, Val::I32(constant)).unwrap();
        let tag = TagType { ty: wardian::FuncType::new([ValType::I64], []) };
        let tag = Tag::new(&mut *store, &tag).unwrap();
        linker.define("h", "m", memory).unwrap();
        linker.define("h", "t", table).unwrap();
        linker.define("h", "g", global).unwrap();
        linker.define("h", "c", fixed).unwrap();
        linker.define("h", "e", tag).unwrap();
        linker
    };
    let mut store = Store::new(&from, Host { at: Some(0), ..Host::default() });
    let linker = give(&mut store, 100);
    let instance = linker.instantiate(&mut store, &module(&from, text)).unwrap();
    let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap_err();
    let checkpoint = Checkpoint::from_bytes(&store.into_data().taken.unwrap()).unwrap();
    let mut store = Store::new(engine, Host::default());
    let linker = give(&mut store, 100);
    let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
    let pending = resumed.pending().unwrap();
    assert_eq!((&*pending.module, &*pending.name), ("h", "tell"));
    assert_eq!(pending.arguments, [Val::I64(3)]);
    assert_eq!(resumed.run(&mut store).unwrap(), [Val::I64(30 + 6 + 9 + 100)]);
    // What cannot be set is compared.
    let mut store = Store::new(engine, Host::default());
    let linker = give(&mut store, 101);
    let error = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap_err();
    assert!(error.to_string().contains("has another value than before"), "{error}");
}

fn indirect(engine: &Engine) {
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (type $f (func (param i64) (result i64)))
          (table 3 funcref) (elem (i32.const 0) $tell $add $tail)
          (elem declare func $add $tell)
          (func $add (param i64) (result i64)
            (i64.add (i64.const 3) (call_ref $f (local.get 0) (ref.func $tell))))
          (func $tail (param $x i64) (result i64)
            (return_call_indirect (type $f) (i64.add (local.get $x) (i64.const 1)) (i32.const 0)))
          (func $other (param $a i64) (param $b i64) (param $c i64) (result i64)
            (return_call $tail (i64.add (local.get $a) (i64.add (local.get $b) (local.get $c)))))
          (func $wide (param $a i64) (result i64)
            (local $r (ref null $f))
            (local.set $r (ref.func $add))
            (i64.mul (local.get $a)
              (call_ref $f (call $other (local.get $a) (i64.const 10) (i64.const 20)) (local.get $r))))
          (func (export "run") (result i64)
            (call_indirect (type $f) (call $wide (i64.const 4)) (i32.const 2))
            (i64.add (call_indirect (type $f) (i64.const 2) (i32.const 1)))))"#,
    );
}

fn deep(engine: &Engine) {
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (func $down (param i64) (result i64) (local $keep i64)
        (local.set $keep (i64.mul (local.get 0) (i64.const 3)))
        (if (result i64) (i64.eqz (local.get 0))
          (then (call $tell (i64.const 1)))
          (else (i64.add (local.get $keep) (call $down (i64.sub (local.get 0) (i64.const 1)))))))
      (func (export "run") (result i64) (call $down (i64.const 2000))))"#;
    carried(engine, text);
    let from = interpreter(engine);
    let (_, checkpoint) = until(&from, &module(&from, text), 0).unwrap();
    assert_eq!(checkpoint.frames().len(), 2002);
    assert!(checkpoint.frames().all(|frame| frame.called));
}

fn thrown_after(engine: &Engine) {
    let from = interpreter(engine);
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (tag $e (export "e") (param i64))
      (func $middle (param i64) (result i64) (i64.add (i64.const 1) (call $tell (local.get 0))))
      (func (export "run") (result i64)
        (block $h (result i64)
          (try_table (result i64) (catch $e $h) (call $middle (i64.const 5)))
          (return))
        (i64.add (i64.const 1000))))"#;
    let (_, checkpoint) = until(&from, &module(&from, text), 0).unwrap();
    let mut store = Store::new(engine, Host::default());
    let mut linker: Linker<Host> = Linker::new(engine);
    linker
        .func_wrap("h", "tell", |mut caller: Caller<'_, Host>, x: i64| -> Result<i64> {
            let tag = caller.get_export("e").and_then(|e| e.into_tag()).expect("it is exported");
            Err(Error::exception_with(tag, [Val::I64(x + 2)]))
        })
        .unwrap();
    let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
    assert_eq!(resumed.run(&mut store).unwrap(), [Val::I64(1007)]);
    // An error that nobody catches has a backtrace through the frames that were carried.
    let mut store = Store::new(engine, Host::default());
    let mut linker: Linker<Host> = Linker::new(engine);
    linker.func_wrap("h", "tell", |_: i64| -> Result<i64> { Err(Error::host("no")) }).unwrap();
    let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
    let error = resumed.run(&mut store).unwrap_err();
    assert_eq!(error.to_string(), "no");
    assert_eq!(error.backtrace().unwrap().frames().len(), 2);
    // The store is as usable as after any call that failed.
    let mut store = Store::new(engine, Host::default());
    let resumed =
        checkpoint.resume(&mut store, &self::linker(engine), &ResumeOptions::new()).unwrap();
    let instance = resumed.instances()[0];
    let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 11, "before the guest is resumed");
    assert_eq!(resumed.run_with(&mut store, &[Val::I64(20)]).unwrap(), [Val::I64(21)]);
    assert_eq!(run.call(&mut store, ()).unwrap(), 11, "and afterwards");
}

fn held_exceptions(engine: &Engine) {
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (tag $e (param i64 externref))
          (global $kept (mut exnref) (ref.null exn))
          (func $catch (param i64) (result exnref)
            (block $h (result i64 externref exnref)
              (try_table (catch_ref $e $h) (throw $e (local.get 0) (ref.null extern)))
              (unreachable))
            (global.set $kept)
            (drop) (drop)
            (global.get $kept))
          (func (export "run") (result i64) (local $x exnref)
            (local.set $x (call $catch (i64.const 8)))
            (drop (call $tell (i64.const 1)))
            (block $h (result i64 externref)
              (try_table (catch $e $h) (throw_ref (local.get $x)))
              (unreachable))
            (drop)
            (drop (call $tell (i64.const 2)))
            (block $g (result i64 externref)
              (try_table (catch $e $g) (throw_ref (global.get $kept)))
              (unreachable))
            (drop)
            (i64.add)))"#,
    );
    carried(
        engine,
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (tag $e (param i64))
          (func (export "run") (result i64)
            try (result i64)
              try (result i64)
                i64.const 4
                throw $e
              catch $e
                i64.const 9
                call $tell
                i64.add
                i64.const 1
                i64.eq
                if
                  unreachable
                end
                rethrow 0
              end
            catch $e
              i64.const 1
              call $tell
              i64.add
            end))"#,
    );
}
