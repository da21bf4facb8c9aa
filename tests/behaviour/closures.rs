//! Closures as hooks: each kind of hook that has one method which matters is implemented by closures.

use crate::matrix::{Behaviour, module};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wardian::{
    AsContextMut, Engine, Func, InstantiateOptions, Linker, Result, Store, StoreContextMut,
    allocator::{LinearMemory, MemoryRequest, VecMemory},
    close::ClosingInstance,
    inspect::FunctionDefinition,
    listener::{Call, FunctionFilter, FunctionListener},
    resolver::{ImportRequest, ImportResolverFunc, Resolution},
    stack::StackIterator,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a closure is a listener, and a factory of listeners", listeners),
    ("a closure is an allocator, a resolver and a close notifier", options),
];

const GUEST: &str = r#"(module
    (import "numbers" "40" (func $forty (result i32)))
    (memory (export "memory") 1)
    (func $add (param i32) (result i32) (i32.add (local.get 0) (call $forty)))
    (func (export "run") (param i32) (result i32) (call $add (local.get 0))))"#;

fn numbers(store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>) -> Result<Resolution> {
    let number = request.name().parse::<i32>().map_err(wardian::Error::host)?;
    Ok(Func::wrap(store, move || number).into())
}

fn listeners(engine: &Engine) {
    let sum = Arc::new(AtomicU64::new(0));
    let seen = sum.clone();
    let listener = move |call: &Call<'_>, params: &[u64], _: &mut StackIterator<'_>| {
        if call.definition().name() == Some("add") {
            seen.fetch_add(params[0], Ordering::Relaxed);
        }
    };
    let listener: Arc<dyn FunctionListener> = Arc::new(listener);
    let chosen = listener.clone();
    let factory =
        move |function: &FunctionDefinition<'_>| function.name().is_some().then(|| chosen.clone());

    let mut store = Store::new(engine, ());
    let options = InstantiateOptions::new().with_import_resolver(numbers);
    let instance = Linker::new(engine)
        .instantiate_with(&mut store, &module(engine, GUEST), &options)
        .expect("it instantiates");
    let run = instance.typed_func::<i32, i32>(&mut store, "run").expect("it is exported");
    assert_eq!(run.call(&mut store, 1).expect("it returns"), 41);
    assert_eq!(sum.load(Ordering::Relaxed), 0);

    let by_factory = instance.attach(&mut store, factory).expect("it attaches");
    assert_eq!(run.call(&mut store, 2).expect("it returns"), 42);
    assert_eq!(sum.load(Ordering::Relaxed), 2);
    by_factory.detach(&mut store);

    let by_filter = FunctionFilter::all().listen(
        move |call: &Call<'_>, p: &[u64], s: &mut StackIterator<'_>| {
            listener.before(call, p, s);
        },
    );
    let _attached = instance.attach(&mut store, by_filter).expect("it attaches");
    assert_eq!(run.call(&mut store, 3).expect("it returns"), 43);
    assert_eq!(sum.load(Ordering::Relaxed), 5);
}

fn options(engine: &Engine) {
    let asked = Arc::new(AtomicU64::new(0));
    let closed = Arc::new(AtomicU64::new(0));
    let (count, code) = (asked.clone(), closed.clone());
    let allocate = move |request: &MemoryRequest<'_>| -> Result<Box<dyn LinearMemory>> {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(VecMemory::boxed(request.minimum, request.maximum.min(1 << 20))?)
    };
    // The types of the closure's parameters are inferred.
    let resolver = ImportResolverFunc::<(), _>::new(|mut store, request| {
        assert_eq!(request.module(), "numbers");
        numbers(store.as_context_mut(), request)
    });
    let options = InstantiateOptions::new()
        .with_memory_allocator(allocate)
        .with_import_resolver(resolver)
        .with_close_notifier(move |_: &ClosingInstance, exit_code: u32| {
            code.store(exit_code.into(), Ordering::Relaxed);
        });
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine)
        .instantiate_with(&mut store, &module(engine, GUEST), &options)
        .expect("it instantiates");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let run = instance.typed_func::<i32, i32>(&mut store, "run").expect("it is exported");
    assert_eq!(run.call(&mut store, 2).expect("it returns"), 42);
    instance.close_with_exit_code(&mut store, 7);
    assert_eq!(closed.load(Ordering::Relaxed), 7);
}
