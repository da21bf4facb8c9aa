//! Import resolvers.

use crate::matrix::{Behaviour, instance, module};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use wardian::{
    AsContextMut, Caller, Engine, Error, ErrorKind, ExternKind, ExternRef, Func, Global,
    GlobalType, Instance, InstantiateOptions, Linker, Memory, MemoryType, Module, RefType, Result,
    SharedMemory, Store, StoreContextMut, Table, TableType, Val, ValType,
    limits::StoreLimits,
    resolver::{
        ImportAnswer, ImportRequest, ImportResolver, RecordingResolver, Resolution, ResolverChain,
        TrapStubs, UndefinedImport,
    },
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a resolver satisfies imports of every kind", every_kind),
    ("a resolver learns who asks, for what, and of which type", requests),
    ("two importers get different modules", by_importer),
    ("an instance without the field is an error, not a fall-through", missing_field),
    ("what a resolver answers is checked, and all problems are reported together", mismatches),
    ("the first answer of a chain counts, the linker comes last", chain),
    ("an imports list gives way to a resolver", list),
    ("a recorder writes down requests and answers", recorder),
    ("stubs stand for what is not defined", stubs),
    ("stubs of zeroes are of the wanted types, within limits", zeroes),
    ("a resolver in a host call of a running guest", nested),
    ("a resolver that fails or panics leaves the store usable", failing),
    ("a resolver instantiates what is needed", lazy),
    ("modules that need each other in a circle are an error", circle),
    ("what a resolver answers of another store is refused", foreign),
];

type Options = InstantiateOptions<()>;

/// An instance of a text, with imports from a resolver alone.
fn resolved(
    store: &mut Store<()>,
    text: &str,
    resolver: impl ImportResolver<()>,
) -> Result<Instance> {
    let module = module(store.engine(), text);
    let options = Options::new().with_import_resolver(resolver);
    Linker::new(store.engine()).instantiate_with(store, &module, &options)
}

fn run(store: &mut Store<()>, instance: Instance) -> i32 {
    instance.typed_func::<(), i32>(&mut *store, "run").unwrap().call(store, ()).unwrap()
}

/// Answers with a function that gives `value`, if the field has this name.
fn constant(name: &'static str, value: i32) -> impl ImportResolver<()> {
    move |store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| -> Result<Resolution> {
        let known = request.name() == name;
        Ok(known.then(|| Func::wrap(store, move || value)).into())
    }
}

const EVERY_KIND: &str = r#"(module (import "x" "f" (func $f (result i32)))
  (import "x" "g" (global $g i64)) (import "x" "m" (memory 1))
  (import "x" "t" (table $t 1 externref)) (import "x" "s" (memory $s 1 2 shared))
  (func (export "run") (result i32)
    (i32.store (i32.const 0) (i32.wrap_i64 (global.get $g)))
    (i32.atomic.store $s (i32.const 8) (table.size $t))
    (i32.add (call $f) (i32.load (i32.const 0)))))"#;

fn every_kind(engine: &Engine) {
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(2)) };
    let shared = SharedMemory::new(engine, ty).unwrap();
    let given = shared.clone();
    let resolver = move |mut store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| {
        Ok(match (request.name(), request.kind()) {
            ("f", ExternKind::Func) => Func::wrap(&mut store, || 40).into(),
            ("g", ExternKind::Global) => {
                let ty = GlobalType { content: ValType::I64, mutable: false };
                Global::new(&mut store, ty, Val::I64(2))?.into()
            }
            ("m", ExternKind::Memory) => Memory::new(&mut store, MemoryType::new(2, None))?.into(),
            ("s", ExternKind::Memory) => given.clone().into(),
            ("t", ExternKind::Table) => {
                let ty = TableType { element: RefType::EXTERN, min: 7, max: None, table64: false };
                let value = Val::ExternRef(Some(ExternRef::new("leaf")));
                Table::new(&mut store, ty, value)?.into()
            }
            other => panic!("{other:?} was not expected"),
        })
    };
    let mut store = Store::new(engine, ());
    let i = resolved(&mut store, EVERY_KIND, resolver).unwrap();
    assert_eq!(run(&mut store, i), 42);
    let mut size = [0; 4];
    shared.read(8, &mut size).unwrap();
    assert_eq!(u32::from_le_bytes(size), 7);
}

fn requests(engine: &Engine) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let resolver = move |store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| {
        assert!(request.importer().export("run").is_some());
        let importer = request.importer_name().map(str::to_owned);
        let what = format!("{} {} {}", request.module(), request.name(), request.ty());
        log.lock().unwrap().push((importer, what));
        TrapStubs::with_zeroes().resolve(store, request)
    };
    let mut store = Store::new(engine, ());
    let m = module(engine, &EVERY_KIND.replace("(module", "(module $fern"));
    let options = Options::new().with_import_resolver(resolver);
    let linker = Linker::new(engine);
    linker.instantiate_with(&mut store, &m, &options).unwrap();
    linker.instantiate_with(&mut store, &m, &options.clone().with_name("moss")).unwrap();
    let mut expected = Vec::new();
    for importer in ["fern", "moss"] {
        for what in [
            "x f function () -> (i32)",
            "x g global i64",
            "x m memory 1.. pages",
            "x t table of externref 1..",
            "x s memory 1..=2 pages, shared",
        ] {
            expected.push((Some(importer.to_owned()), what.to_owned()));
        }
    }
    assert_eq!(*asked.lock().unwrap(), expected);
}

fn by_importer(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let [old, new] = [1, 2].map(|version| {
        let text = format!(r#"(module (func (export "get") (result i32) (i32.const {version})))"#);
        instance(&mut store, &text)
    });
    let resolver = move |_: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| {
        Ok(match (request.module(), request.importer_name()) {
            ("lib", Some("legacy")) => old.into(),
            ("lib", _) => new.into(),
            _ => Resolution::Unresolved,
        })
    };
    let m = module(
        engine,
        r#"(module (import "lib" "get" (func $get (result i32)))
          (func (export "run") (result i32) (call $get)))"#,
    );
    let options = Options::new().with_import_resolver(resolver);
    for (name, version) in [("legacy", 1), ("modern", 2)] {
        let options = options.clone().with_name(name);
        let i = Linker::new(engine).instantiate_with(&mut store, &m, &options).unwrap();
        assert_eq!(run(&mut store, i), version);
    }
}

fn missing_field(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let lib = r#"(module $lib (func (export "read_all") (result i32) (i32.const 1)))"#;
    let lib = instance(&mut store, lib);
    let mut linker = Linker::new(engine);
    linker.func_wrap("lib", "raed_all", || 5).unwrap();
    let m = module(engine, r#"(module (import "lib" "raed_all" (func (result i32))))"#);
    let answer = move |_: StoreContextMut<'_, ()>, _: &ImportRequest<'_>| Ok(lib.into());
    let options = Options::new().with_import_resolver(answer.or(TrapStubs::new()));
    let error = linker.instantiate_with(&mut store, &m, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 import cannot be satisfied:\n  `lib` `raed_all`: the resolver answered with the \
         instance `lib`, which has no export of this name; a function () -> (i32) is needed; did \
         you mean `read_all`?"
    );
}

fn mismatches(engine: &Engine) {
    let mut linker = Linker::new(engine);
    linker.func_wrap("env", "write", || 1).unwrap();
    let m = module(
        engine,
        r#"(module (import "env" "f" (func (param i64))) (import "env" "f" (memory 3))
          (import "env" "wirte" (func (result i32))) (import "env" "write" (func (result i32))))"#,
    );
    let resolver = |store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| {
        Ok((request.name() == "f").then(|| Func::wrap(store, |_: i32| {})).into())
    };
    let options = Options::new().with_import_resolver(resolver);
    let error = linker.instantiate_with(Store::new(engine, ()), &m, &options).unwrap_err();
    let ErrorKind::Link(problems) = error.kind() else { panic!("{error}") };
    let reported: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(
        reported,
        [
            "incompatible import type: a function (i64) -> () is needed, a function (i32) -> () is \
             defined",
            "incompatible import type: a memory 3.. pages is needed, a function (i32) -> () is \
             defined",
            "the resolver has no answer, and nothing is defined under this name; a function () -> \
             (i32) is needed; did you mean `env` `write`?",
        ]
    );
}

fn chain(engine: &Engine) {
    let m = module(
        engine,
        r#"(module (import "x" "a" (func $a (result i32))) (import "x" "b" (func $b (result i32)))
          (import "x" "c" (func $c (result i32)))
          (func (export "run") (result i32) (i32.add (i32.add (call $a)
            (i32.mul (i32.const 10) (call $b))) (i32.mul (i32.const 100) (call $c)))))"#,
    );
    let mut linker = Linker::new(engine);
    for name in ["a", "b", "c"] {
        linker.func_wrap("x", name, || 9).unwrap();
    }
    let first: Arc<dyn ImportResolver<()>> = Arc::new(constant("a", 1));
    let second = constant("a", 2).or(constant("b", 3));
    let chain = ResolverChain::new().or_else(first).or_else(second);
    let mut store = Store::new(engine, ());
    for (options, expected) in [
        (Options::new().with_import_resolver(chain.clone()), 931),
        (Options::new().with_import_resolver(chain.or_else(TrapStubs::new())), 0),
        (Options::new().with_import_resolver(ResolverChain::new()), 999),
        (Options::new(), 999),
    ] {
        let i = linker.instantiate_with(&mut store, &m, &options).unwrap();
        let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap_or(0), expected);
    }
}

fn list(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let m = module(
        engine,
        r#"(module (import "x" "a" (func $a (result i32))) (import "x" "b" (func $b (result i32)))
          (func (export "run") (result i32) (i32.sub (call $a) (call $b))))"#,
    );
    let given = [Func::wrap(&mut store, || 50).into(), Func::wrap(&mut store, || 8).into()];
    let options = Options::new().with_import_resolver(constant("b", 3));
    let i = Instance::new_with(&mut store, &m, &given, &options).unwrap();
    assert_eq!(run(&mut store, i), 47);
    assert!(Instance::new_with(&mut store, &m, &given[..1], &options).is_err());
}

fn recorder(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let lib = instance(&mut store, r#"(module $lib (func (export "i")))"#);
    let inner = move |store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| {
        Ok(match request.name() {
            "i" => lib.into(),
            "f" => Func::wrap(store, || {}).into(),
            "u" => Resolution::Unresolved,
            name => return Err(Error::host(format!("no {name}"))),
        })
    };
    let recorder = RecordingResolver::wrapping(inner);
    let log = recorder.log();
    let text = r#"(module $fern (import "m" "i" (func)) (import "m" "f" (func))
      (import "m" "u" (memory 1)) (import "m" "e" (func)))"#;
    assert!(resolved(&mut store, text, recorder).is_err());
    let read = std::thread::spawn(move || log.imports()).join().unwrap();
    assert!(read.iter().all(|i| i.importer.as_deref() == Some("fern") && i.module == "m"));
    let answers: Vec<_> = read.iter().map(|i| (i.name.as_str(), i.answer.clone())).collect();
    assert_eq!(
        answers,
        [
            ("i", ImportAnswer::Instance(Some("lib".into()))),
            ("f", ImportAnswer::Extern(ExternKind::Func)),
            ("u", ImportAnswer::Unresolved),
            ("e", ImportAnswer::Failed("no e".into())),
        ]
    );
    assert_eq!(read[2].ty.to_string(), "memory 1.. pages");
}

fn stubs(engine: &Engine) {
    let mut linker = Linker::new(engine);
    linker.func_wrap("env", "known", || 7).unwrap();
    let m = module(
        engine,
        r#"(module (import "env" "known" (func $known (result i32)))
          (import "env" "unknown" (func $unknown (param f64 funcref) (result i32 v128)))
          (func (export "run") (result i32) (call $known))
          (func (export "fail") (call $unknown (f64.const 1) (ref.null func)) drop drop))"#,
    );
    let resolver = linker.clone().or(TrapStubs::new());
    let options = Options::new().with_import_resolver(resolver);
    let mut store = Store::new(engine, ());
    let i = linker.instantiate_with(&mut store, &m, &options).unwrap();
    assert_eq!(run(&mut store, i), 7);
    let error =
        i.typed_func::<(), ()>(&mut store, "fail").unwrap().call(&mut store, ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the guest called `env` `unknown`, an import that is not defined"
    );
    let undefined = UndefinedImport { module: "env".into(), name: "unknown".into() };
    assert_eq!(error.downcast_ref::<UndefinedImport>(), Some(&undefined));
    assert_eq!(error.backtrace().unwrap().frames()[0].func_name(), Some("fail"));
    let reported =
        resolved(&mut store, r#"(module (import "e" "m" (memory 1)))"#, TrapStubs::new());
    assert!(reported.unwrap_err().to_string().contains("a memory 1.. pages is needed"));
}

fn zeroes(engine: &Engine) {
    let text = r#"(module (import "z" "f" (global $f (mut f64))) (import "z" "r" (global externref))
      (import "z" "v" (global v128)) (import "z" "t" (table $t 3 5 funcref))
      (import "z" "m" (memory 2 3)) (import "z" "s" (memory $s 1 1 shared))
      (func (export "run") (result i32)
        (global.set $f (f64.add (global.get $f) (f64.const 4)))
        (i32.add (i32.trunc_f64_s (global.get $f)) (i32.add (i32.load (i32.const 131068))
          (i32.add (ref.is_null (table.get $t (i32.const 2))) (memory.size $s))))))"#;
    let mut store = Store::new(engine, ());
    for _ in 0..2 {
        let i = resolved(&mut store, text, TrapStubs::with_zeroes()).unwrap();
        assert_eq!(run(&mut store, i), 6);
    }
    let limits = StoreLimits { memory_bytes: 2 << 16, ..StoreLimits::default() };
    let mut limited = Store::new(engine, limits);
    limited.limiter(|limits| limits);
    let options = InstantiateOptions::new().with_import_resolver(TrapStubs::with_zeroes());
    let error = Linker::new(engine)
        .instantiate_with(&mut limited, &module(engine, text), &options)
        .unwrap_err();
    assert!(error.to_string().contains("limits"), "{error}");
}

fn nested(engine: &Engine) {
    let inner = module(
        engine,
        r#"(module (import "x" "a" (func $a (result i32)))
          (func (export "run") (result i32) (i32.add (call $a) (i32.const 1))))"#,
    );
    let options = Options::new().with_import_resolver(constant("a", 41));
    let mut linker = Linker::new(engine);
    let spawn = move |mut caller: Caller<'_, ()>| -> Result<i32> {
        let linker = Linker::new(caller.engine());
        let i = linker.instantiate_with(&mut caller, &inner, &options)?;
        i.typed_func::<(), i32>(&mut caller, "run")?.call(&mut caller, ())
    };
    linker.func_wrap("host", "spawn", spawn).unwrap();
    let mut store = Store::new(engine, ());
    let outer = module(
        engine,
        r#"(module (import "host" "spawn" (func $spawn (result i32)))
          (func (export "run") (result i32) (i32.add (call $spawn) (call $spawn))))"#,
    );
    let i = linker.instantiate(&mut store, &outer).unwrap();
    assert_eq!(run(&mut store, i), 84);
}

fn failing(engine: &Engine) {
    let text = r#"(module (import "x" "a" (func $a (result i32)))
      (import "x" "b" (func $b (result i32))) (memory 1)
      (func (export "run") (result i32) (i32.sub (call $a) (call $b))))"#;
    let mut store = Store::new(engine, ());
    let panics = |_: StoreContextMut<'_, ()>, _: &ImportRequest<'_>| -> Result<Resolution> {
        // As a panic, but without its message, seventy times over.
        resume_unwind(Box::new("no leaf left"))
    };
    let fails = |_: StoreContextMut<'_, ()>, _: &ImportRequest<'_>| -> Result<Resolution> {
        Err(Error::exit(3))
    };
    for _ in 0..3 {
        // More often than resolvers may be nested, so that none is left counted.
        for _ in 0..70 {
            let done = catch_unwind(AssertUnwindSafe(|| {
                drop(resolved(&mut store, text, constant("a", 1).or(panics)));
            }));
            assert_eq!(done.unwrap_err().downcast_ref(), Some(&"no leaf left"));
        }
        let error = resolved(&mut store, text, constant("a", 1).or(fails)).unwrap_err();
        assert_eq!(error.exit_code(), Some(3));
        let i = resolved(&mut store, text, constant("a", 50).or(constant("b", 8))).unwrap();
        assert_eq!(run(&mut store, i), 42);
    }
}

/// Instantiates modules of a set when they are asked for, each once.
struct Library {
    modules: Vec<(&'static str, Module)>,
    loaded: Mutex<Vec<(&'static str, Instance)>>,
    made: AtomicU32,
}

impl Library {
    fn new(engine: &Engine, texts: &[(&'static str, &str)]) -> Arc<Library> {
        let modules = texts.iter().map(|(name, text)| (*name, module(engine, text))).collect();
        Arc::new(Library { modules, loaded: Mutex::default(), made: AtomicU32::new(0) })
    }
}

/// How modules that it instantiates find theirs: from the same library.
struct Shelf(Arc<Library>);

impl ImportResolver<()> for Shelf {
    fn resolve(
        &self,
        mut store: StoreContextMut<'_, ()>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        let library = &self.0;
        let loaded = library.loaded.lock().unwrap();
        if let Some((_, instance)) = loaded.iter().find(|(name, _)| *name == request.module()) {
            return Ok((*instance).into());
        }
        drop(loaded);
        let known = library.modules.iter().find(|(name, _)| *name == request.module());
        let Some((name, module)) = known else { return Ok(Resolution::Unresolved) };
        let options = Options::new().with_name(*name).with_import_resolver(Shelf(library.clone()));
        let linker = Linker::new(store.engine());
        let instance = linker.instantiate_with(store.as_context_mut(), module, &options)?;
        library.made.fetch_add(1, Ordering::Relaxed);
        library.loaded.lock().unwrap().push((name, instance));
        Ok(instance.into())
    }
}

fn lazy(engine: &Engine) {
    let library = Library::new(
        engine,
        &[
            (
                "upper",
                r#"(module (import "lower" "count" (global $count (mut i32)))
                  (func $start (global.set $count (i32.add (global.get $count) (i32.const 1))))
                  (start $start) (func (export "twice") (result i32)
                    (i32.mul (i32.const 2) (global.get $count))))"#,
            ),
            ("lower", r#"(module (global (export "count") (mut i32) (i32.const 20)))"#),
            ("unused", "(module (func $start unreachable) (start $start))"),
        ],
    );
    let mut store = Store::new(engine, ());
    let text = r#"(module (import "upper" "twice" (func $twice (result i32)))
      (import "lower" "count" (global $count (mut i32)))
      (func (export "run") (result i32) (i32.add (call $twice) (global.get $count))))"#;
    for _ in 0..2 {
        let i = resolved(&mut store, text, Shelf(library.clone())).unwrap();
        assert_eq!(run(&mut store, i), 63);
    }
    assert_eq!(library.made.load(Ordering::Relaxed), 2);
}

fn circle(engine: &Engine) {
    let library = Library::new(
        engine,
        &[
            ("a", r#"(module (import "b" "f" (func)) (func (export "f")))"#),
            ("b", r#"(module (import "a" "f" (func)) (func (export "f")))"#),
        ],
    );
    let mut store = Store::new(engine, ());
    let text = r#"(module (import "a" "f" (func)))"#;
    let reported = resolved(&mut store, text, Shelf(library)).unwrap_err().to_string();
    assert!(reported.contains("in a circle"), "{reported}");
    resolved(&mut store, text, TrapStubs::new()).unwrap();
}

fn foreign(engine: &Engine) {
    let mut other = Store::new(engine, ());
    let instance = instance(&mut other, r#"(module (func (export "f")))"#);
    let func = instance.get_func(&mut other, "f").unwrap();
    let resolver = move |_: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| {
        Ok(if request.module() == "i" { instance.into() } else { func.into() })
    };
    let mut store = Store::new(engine, ());
    let text = r#"(module (import "i" "f" (func)) (import "f" "f" (func)))"#;
    let error = resolved(&mut store, text, RecordingResolver::wrapping(resolver)).unwrap_err();
    let ErrorKind::Link(problems) = error.kind() else { panic!("{error}") };
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|p| p.message.contains("another store")), "{error}");
}
