//! What of a store is carried besides its guest, and what the new store adds.

use super::{Host, interpreter, linker, rest, until};
use crate::matrix::{Behaviour, module};
use wardian::{
    Caller, Engine, Error, Func, InstantiateOptions, Linker, Result, Store, StoreContextMut, Val,
    checkpoint::{Checkpoint, CheckpointOptions, ResumeOptions},
    limits::StoreLimits,
    resolver::{ImportRequest, Resolution},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("an idle store is carried", idle),
    ("fuel that is left is carried", fuel),
    ("modules can be given instead of embedded", given_modules),
    ("state of the embedder's is carried by name", host_state),
    ("a closed instance stays closed", closed),
    ("a host function that is called again takes no snapshots, the next one does", snapshots),
    ("limits of the new store hold", limits),
    ("an import resolver gives what the embedder gave", resolved),
    ("frames that do not fit the stack are an overflow", small_stack),
];

fn idle(engine: &Engine) {
    let text = r#"(module (memory 1) (global $n (mut i64) (i64.const 0))
      (func (export "next") (result i64)
        (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 2)))
        (global.set $n (i64.add (global.get $n) (i64.const 1)))
        (i64.mul (i64.load (i32.const 0)) (global.get $n)))
      (start $begin) (func $begin (i64.store (i32.const 0) (i64.const 100))))"#;
    // Any engine can be written down while no guest runs.
    let mut store = Store::new(engine, ());
    let linker: Linker<()> = Linker::new(engine);
    let instance = linker.instantiate(&mut store, &module(engine, text)).unwrap();
    let next = instance.typed_func::<(), i64>(&mut store, "next").unwrap();
    for expected in [102, 208, 318] {
        assert_eq!(next.call(&mut store, ()).unwrap(), expected);
    }
    let checkpoint = store.checkpoint(&CheckpointOptions::new()).unwrap();
    assert_eq!(next.call(&mut store, ()).unwrap(), 432, "it goes on undisturbed");
    for _ in 0..2 {
        let mut store = Store::new(engine, ());
        let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
        assert!(!resumed.is_running() && resumed.pending().is_none());
        let next = resumed.instances()[0].typed_func::<(), i64>(&mut store, "next").unwrap();
        assert_eq!(next.call(&mut store, ()).unwrap(), 432);
        let error = resumed.run(&mut store).unwrap_err();
        assert!(error.to_string().contains("no guest was running"), "{error}");
        let again = checkpoint.resume(&mut store, &linker, &ResumeOptions::new());
        assert!(again.unwrap_err().to_string().contains("use a new one"));
    }
}

fn fuel(engine: &Engine) {
    let mut config = engine.config().clone();
    let engine = &Engine::new(config.fuel(true)).expect("the configuration works");
    let from = interpreter(engine);
    let text = r#"(module (import "h" "note" (func $note (param i64)))
      (func (export "run") (result i64) (local $n i64)
        (loop $l
          (if (i64.eq (local.get $n) (i64.const 50)) (then (call $note (i64.const 1))))
          (br_if $l (i64.lt_u (local.tee $n (i64.add (local.get $n) (i64.const 1))) (i64.const 100))))
        (local.get $n)))"#;
    let left = |at: Option<usize>| {
        let mut store = Store::new(&from, Host { at, ..Host::default() });
        store.set_fuel(100_000).unwrap();
        let instance = linker(&from).instantiate(&mut store, &module(&from, text)).unwrap();
        let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
        let _ = run.call(&mut store, ());
        (store.fuel().unwrap(), store.into_data().taken)
    };
    let (expected, _) = left(None);
    let checkpoint = Checkpoint::from_bytes(&left(Some(0)).1.unwrap()).unwrap();
    let mut store = Store::new(engine, Host::default());
    let resumed = checkpoint.resume(&mut store, &linker(engine), &ResumeOptions::new()).unwrap();
    assert!(store.fuel().unwrap() > expected);
    resumed.run(&mut store).unwrap();
    assert_eq!(store.fuel().unwrap(), expected);
}

const SIMPLE: &str = r#"(module $simple (import "h" "tell" (func $tell (param i64) (result i64)))
  (func (export "run") (result i64) (i64.add (i64.const 1) (call $tell (i64.const 20)))))"#;

fn given_modules(engine: &Engine) {
    let from = interpreter(engine);
    let mut linker: Linker<Option<Checkpoint>> = Linker::new(&from);
    let save = |mut caller: Caller<'_, Option<Checkpoint>>, _: i64| -> Result<i64> {
        let options = CheckpointOptions::new().embed_modules(false);
        let checkpoint = caller.checkpoint(&options)?;
        *caller.data_mut() = Some(checkpoint);
        Ok(0)
    };
    linker.func_wrap("h", "tell", save).unwrap();
    let mut store = Store::new(&from, None);
    let instance = linker.instantiate(&mut store, &module(&from, SIMPLE)).unwrap();
    let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 1);
    let bytes = store.into_data().unwrap().to_bytes().unwrap();
    let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
    let resume = |options: &ResumeOptions<Host>| {
        let mut store = Store::new(engine, Host::default());
        let resumed = checkpoint.resume(&mut store, &self::linker(engine), options)?;
        resumed.run(&mut store)
    };
    let same = module(engine, SIMPLE);
    let given = ResumeOptions::new().with_module(&module(engine, "(module)")).with_module(&same);
    assert_eq!(resume(&given).unwrap(), [Val::I64(41)]);
    for options in [ResumeOptions::new(), ResumeOptions::new().with_module(&module(&from, SIMPLE))]
    {
        let error = resume(&options).unwrap_err().to_string();
        assert!(error.contains("simple") && error.contains("with_module"), "{error}");
    }
}

fn host_state(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let options =
        CheckpointOptions::new().with_host_state("journal", [1, 2, 3]).with_host_state("files", []);
    let bytes = store.checkpoint(&options).unwrap().to_bytes().unwrap();
    let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
    assert_eq!(checkpoint.host_state("journal"), Some(&[1, 2, 3][..]));
    assert_eq!(checkpoint.host_state("files"), Some(&[][..]));
    assert_eq!(checkpoint.host_state("other"), None);
}

fn snapshots(engine: &Engine) {
    let from = interpreter(engine);
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (func (export "run") (result i64) (local $n i64)
        (local.set $n (call $tell (i64.const 1)))
        (i64.add (local.get $n) (call $tell (i64.const 2)))))"#;
    let (_, checkpoint) = until(&from, &module(&from, text), 0).unwrap();
    let mut linker: Linker<Option<wardian::snapshot::Snapshot>> = Linker::new(engine);
    linker
        .func_wrap(
            "h",
            "tell",
            |mut caller: Caller<'_, Option<wardian::snapshot::Snapshot>>, x: i64| {
                let taken = caller.get_snapshotter().map(|mut snapshotter| snapshotter.snapshot());
                assert_eq!(taken.is_some(), x == 2);
                match taken {
                    Some(taken) if caller.data().is_none() => {
                        *caller.data_mut() = Some(taken.clone());
                        Err(taken.restore(&mut caller, &[Val::I64(50)]))
                    }
                    _ => Ok(x),
                }
            },
        )
        .unwrap();
    let mut store = Store::new(engine, None);
    store.enable_snapshots(true);
    let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
    assert_eq!(resumed.run(&mut store).unwrap(), [Val::I64(51)]);
}

fn closed(engine: &Engine) {
    let text = r#"(module (func (export "f")))"#;
    let mut store = Store::new(engine, ());
    let linker: Linker<()> = Linker::new(engine);
    let module = module(engine, text);
    let first = linker.instantiate(&mut store, &module).unwrap();
    linker.instantiate(&mut store, &module).unwrap();
    first.close_with_exit_code(&mut store, 7);
    let checkpoint = store.checkpoint(&CheckpointOptions::new()).unwrap();
    let mut store = Store::new(engine, ());
    let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
    let call = |store: &mut Store<()>, at: usize| {
        let f = resumed.instances()[at].typed_func::<(), ()>(&mut *store, "f").unwrap();
        f.call(store, ())
    };
    assert!(call(&mut store, 1).is_ok());
    let error = call(&mut store, 0).unwrap_err();
    assert!(matches!(error.kind(), wardian::ErrorKind::Closed(7)), "{error}");
}

fn limits(engine: &Engine) {
    let from = interpreter(engine);
    let text = r#"(module (import "h" "note" (func $note (param i64))) (memory 1)
      (func (export "run") (drop (memory.grow (i32.const 9))) (call $note (i64.const 1))))"#;
    let (_, checkpoint) = until(&from, &module(&from, text), 0).unwrap();
    assert_eq!(checkpoint.memories().map(|m| m.0).collect::<Vec<_>>(), [10 << 16]);
    let resume = |bytes: usize| {
        let limits = StoreLimits { memory_bytes: bytes, ..StoreLimits::default() };
        let mut store = Store::new(engine, Host { limits, ..Host::default() });
        store.limiter(|host| &mut host.limits);
        checkpoint.resume(&mut store, &linker(engine), &ResumeOptions::new()).map(drop)
    };
    assert!(resume(10 << 16).is_ok());
    let error = resume(9 << 16).unwrap_err();
    assert!(matches!(error.kind(), wardian::ErrorKind::Limit(_)), "{error}");
}

fn small_stack(engine: &Engine) {
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (func $down (param i64) (result i64)
        (if (result i64) (i64.eqz (local.get 0))
          (then (call $tell (i64.const 1)))
          (else (i64.add (i64.const 1) (call $down (i64.sub (local.get 0) (i64.const 1)))))))
      (func (export "run") (result i64) (call $down (i64.const 9000))))"#;
    let from = interpreter(engine);
    let (_, checkpoint) = until(&from, &module(&from, text), 0).unwrap();
    let mut config = engine.config().clone();
    let small = Engine::new(config.stack_size(64 << 10)).unwrap();
    let (reported, done) = rest(&small, &checkpoint);
    assert_eq!(
        (reported.len(), done.unwrap_err().trap()),
        (0, Some(wardian::TrapCode::StackOverflow))
    );
    let (_, done) = rest(engine, &checkpoint);
    assert_eq!(done.unwrap(), [Val::I64(9002)]);
}

fn resolved(engine: &Engine) {
    let from = interpreter(engine);
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (import "made" "seven" (func $seven (result i64)))
      (func (export "run") (result i64)
        (i64.add (call $tell (i64.const 1)) (i64.add (call $tell (i64.const 2)) (call $seven)))))"#;
    let here = module(&from, text);
    // The resolver of the first store gives what no linker has.
    let sevens = |store: StoreContextMut<'_, Host>, request: &ImportRequest<'_>| {
        Ok(match request.module() {
            "made" => Func::wrap(store, || 7i64).into(),
            _ => Resolution::Unresolved,
        })
    };
    let mut store = Store::new(&from, Host { at: Some(1), ..Host::default() });
    let options = InstantiateOptions::new().with_import_resolver(sevens);
    let instance = linker(&from).instantiate_with(&mut store, &here, &options).unwrap();
    let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap_err().to_string(), "carried");
    let checkpoint = Checkpoint::from_bytes(&store.into_data().taken.unwrap()).unwrap();
    let resume = |options: &ResumeOptions<Host>| -> Result<Vec<Val>> {
        let mut store = Store::new(engine, Host::default());
        checkpoint.resume(&mut store, &linker(engine), options)?.run(&mut store)
    };
    let error = resume(&ResumeOptions::new()).unwrap_err();
    assert!(error.to_string().contains("seven"), "{error}");
    let options = ResumeOptions::new().with_import_resolver(sevens);
    assert_eq!(resume(&options).unwrap(), [Val::I64(2 + 4 + 7)]);
    // It may also stand in for what the linker has, and give the function that the guest waits for.
    let all = |store: StoreContextMut<'_, Host>, request: &ImportRequest<'_>| {
        Ok(match request.name() {
            "tell" => Func::wrap(store, |x: i64| x * 100).into(),
            _ => Func::wrap(store, || 8i64).into(),
        })
    };
    assert_eq!(
        resume(&ResumeOptions::new().with_import_resolver(all)).unwrap(),
        [Val::I64(2 + 200 + 8)]
    );
    // An error is passed on; an instance has no place.
    let fails = |_: StoreContextMut<'_, Host>, _: &ImportRequest<'_>| Err(Error::host("not today"));
    let error = resume(&ResumeOptions::new().with_import_resolver(fails)).unwrap_err();
    assert_eq!(error.to_string(), "not today");
    let other = module(engine, r#"(module (func (export "seven") (result i64) (i64.const 7)))"#);
    let makes = move |mut store: StoreContextMut<'_, Host>, request: &ImportRequest<'_>| {
        Ok(match request.module() {
            "made" => wardian::Instance::new(&mut store, &other, &[])?.into(),
            _ => Resolution::Unresolved,
        })
    };
    let error = resume(&ResumeOptions::new().with_import_resolver(makes)).unwrap_err();
    assert!(error.to_string().contains("no place"), "{error}");
}
