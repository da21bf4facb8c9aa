//! Calls get an error when the system refuses what they need. The requests fail on purpose: see
//! CONTRIBUTING.md.

use std::time::Duration;
use wardian::torture::{self, Plan};
use wardian::{
    CallOptions, Config, Engine, EngineKind, ErrorKind, Instance, Module, StopReason, Store,
    TrapCode,
    sampler::{Sampler, SamplerOptions},
};
#[cfg(feature = "jit")]
use wardian::{
    Func, FuncType, Linker,
    listener::{Call, FunctionFilter, FunctionListenerFunc},
    stack::StackIterator,
};

const MODULE: &str = r#"(module (func (export "one") (result i32) (i32.const 1))
  (func (export "spin") (loop $l (br $l)))
  (func $deep (export "deep") (call $deep)))"#;

fn interpreted() -> (Engine, Module) {
    let engine = Engine::new(Config::new().engine(EngineKind::Interpreted)).unwrap();
    let module = Module::new(&engine, MODULE).unwrap();
    (engine, module)
}

/// Lets all requests fail from now on.
fn refuse_all() {
    torture::begin(Plan { nth: 1, lasting: true, ..Plan::default() });
}

/// A plan is for the whole process, and a watchdog or a signal stack that is there is not asked for again: so
/// all of it is one test.
#[test]
fn refusals_are_errors_and_pass() {
    let (engine, module) = interpreted();
    no_watchdog(&engine, &module);
    no_signal_stack(&engine, &module);
    no_pages();
    #[cfg(feature = "jit")]
    {
        no_code_memory();
        no_trampoline();
        no_noting_code();
    }
}

/// A store with a memory that was written in three places, of which images were taken at one and at four pages.
struct Imaged {
    store: Store<()>,
    memory: wardian::Memory,
    images: Vec<wardian::image::Image>,
}

impl Imaged {
    fn new() -> Imaged {
        let (engine, _) = interpreted();
        let text = r#"(module (memory (export "m") 1) (data (i32.const 9000) "from the start"))"#;
        let module = Module::new(&engine, text).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "m").unwrap();
        Imaged { store, memory, images: Vec::new() }
    }

    /// One more image, after some more writes.
    fn image(&mut self) {
        self.images.push(self.store.image().unwrap());
        self.memory.grow(&mut self.store, 3).unwrap();
        let value = self.images.len() as u8;
        for at in [5, 9001, 50_000, 150_000] {
            self.memory.write(&mut self.store, at, &[value]).unwrap();
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.memory.data(&self.store).to_vec()
    }
}

/// Each request of an image and of a reset is refused, in turn. An image that fails changes nothing; a reset that fails
/// changes nothing or says that the store is lost.
fn no_pages() {
    for images in 0..3 {
        for reset in (0..images).map(Some).chain([None]) {
            for (nth, lasting) in (1..).flat_map(|nth| [(nth, false), (nth, true)]) {
                let mut imaged = Imaged::new();
                (0..images).for_each(|_| imaged.image());
                let before = imaged.bytes();
                torture::begin(Plan { nth, lasting, ..Plan::default() });
                let done = match reset {
                    None => imaged.store.image().map(|image| imaged.images.push(image)),
                    Some(which) => imaged.store.reset_to(&imaged.images[which]),
                };
                let failed = torture::end().failed;
                if let Err(error) = &done {
                    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
                    let lost = error.to_string().contains("drop it");
                    assert!(!lost || reset.is_some(), "{error}");
                    if lost {
                        continue;
                    }
                }
                if reset.is_none() || done.is_err() {
                    assert_eq!(imaged.bytes(), before, "{failed:?}");
                }
                // It works as if nothing had been.
                imaged.image();
                imaged.image();
                for image in imaged.images.clone() {
                    imaged.store.reset_to(&image).unwrap();
                    assert_eq!(&imaged.bytes()[9002..9014], b"om the start");
                }
                imaged.store.reset_to(&imaged.images[0]).unwrap();
                assert_eq!((imaged.bytes().len(), imaged.bytes()[5]), (65536, 0));
                if failed.is_empty() {
                    break;
                }
            }
        }
    }
}

/// No thread can watch a deadline: the guest must not run without its limit, nor is it a panic.
fn no_watchdog(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, module, &[]).unwrap();
    let one = i.typed_func::<(), i32>(&mut store, "one").unwrap();
    assert_eq!(one.call(&mut store, ()).unwrap(), 1);
    let mut other = Store::new(engine, ());
    let j = Instance::new(&mut other, module, &[]).unwrap();
    j.typed_func::<(), i32>(&mut other, "one").unwrap().call(&mut other, ()).unwrap();
    let spin = j.typed_func::<(), ()>(&mut other, "spin").unwrap();
    refuse_all();
    let options = CallOptions::new().with_timeout(Duration::from_secs(3600));
    let error = one.call_with(&mut store, &options, ()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    assert!(error.to_string().contains("no thread to watch"), "{error}");
    assert_eq!(one.call(&mut store, ()).unwrap(), 1, "without a deadline it runs");
    store.set_timeout(Duration::from_secs(3600));
    assert!(matches!(one.call(&mut store, ()).unwrap_err().kind(), ErrorKind::Limit(_)));
    let sampler = Sampler::start(&mut store, SamplerOptions::new());
    assert!(sampler.is_err_and(|e| matches!(e.kind(), ErrorKind::Limit(_))));
    // A stop from outside does without.
    let token = other.cancel_token();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            token.cancel();
        });
        let error = spin.call(&mut other, ()).unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Cancelled), "{error}");
    });
    torture::end();
    store.set_timeout(Duration::from_secs(3600));
    assert_eq!(one.call(&mut store, ()).unwrap(), 1, "the thread was to be had later");
    drop(Sampler::start(&mut store, SamplerOptions::new()).unwrap());
}

/// A thread without memory for its signal stack: an overflow of the guest's stack would end the process.
fn no_signal_stack(engine: &Engine, module: &Module) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut store = Store::new(engine, ());
            let i = Instance::new(&mut store, module, &[]).unwrap();
            let deep = i.typed_func::<(), ()>(&mut store, "deep").unwrap();
            refuse_all();
            let error = deep.call(&mut store, ()).unwrap_err();
            torture::end();
            assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
            let error = deep.call(&mut store, ()).unwrap_err();
            assert_eq!(error.trap(), Some(TrapCode::StackOverflow));
        });
        thread.join().unwrap();
    });
}

/// Code memory that was refused once is asked for again, and code that could not be unmapped at once is later.
#[cfg(feature = "jit")]
fn no_code_memory() {
    let engine = Engine::new(Config::new().engine(EngineKind::Compiled)).unwrap();
    refuse_all();
    assert!(Module::new(&engine, MODULE).is_err());
    torture::end();
    for _ in 0..3 {
        let module = Module::new(&engine, MODULE).unwrap();
        let mut store = Store::new(&engine, ());
        let i = Instance::new(&mut store, &module, &[]).unwrap();
        let one = i.typed_func::<(), i32>(&mut store, "one").unwrap();
        assert_eq!(one.call(&mut store, ()).unwrap(), 1);
        refuse_all();
        drop((store, module));
        torture::end();
    }
}

/// A host function needs code by which guests call it. Without memory for it there is an error, and a panic
/// where the documentation says so; the store is as before.
#[cfg(feature = "jit")]
fn no_trampoline() {
    let engine = Engine::new(Config::new().engine(EngineKind::Compiled)).unwrap();
    let mut store = Store::new(&engine, ());
    refuse_all();
    let error = Func::try_wrap(&mut store, |a: i32, b: i64| i64::from(a) + b).unwrap_err();
    let ty = FuncType::new([], []);
    let other = Func::try_new(&mut store, ty, |_, _, _| Ok(())).unwrap_err();
    torture::end();
    for error in [error, other] {
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    }
    let sum = Func::try_wrap(&mut store, |a: i32, b: i64| i64::from(a) + b).unwrap();
    let sum = sum.typed::<(i32, i64), i64>(&store).unwrap();
    assert_eq!(sum.call(&mut store, (2, 3)).unwrap(), 5);
}

/// An import of a function to which somebody listens is called by way of code that notes the caller. Without
/// memory for that there is no instance, rather than one whose import leads nowhere.
#[cfg(feature = "jit")]
fn no_noting_code() {
    let listener = FunctionListenerFunc(|_: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>| {});
    let mut config = Config::new();
    config.function_listener_factory(FunctionFilter::all().listen(listener));
    config.engine(EngineKind::Tiered).hot_after(Some(2)).background_compilation(false);
    let far = r#"(module (func (export "f") (param i32) (result i32) (local.get 0)))"#;
    let near = r#"(module (import "far" "f" (func $f (param i32) (result i32)))
      (func (export "run") (result i32) (call $f (i32.const 3))))"#;
    let mut refused = 0;
    for nth in 1..20 {
        // What an engine has made once it does not ask for again.
        let engine = Engine::new(&config).unwrap();
        let [far, near] = [far, near].map(|text| Module::new(&engine, text).unwrap());
        let mut store = Store::new(&engine, ());
        let callee = Instance::new(&mut store, &far, &[]).unwrap();
        let mut linker = Linker::new(&engine);
        linker.instance(&mut store, "far", callee).unwrap();
        for plan in [Plan { nth, ..Plan::default() }, Plan::default()] {
            torture::begin(plan);
            let made = linker.instantiate(&mut store, &near);
            let i = match made {
                Ok(i) => i,
                Err(error) => {
                    torture::end();
                    assert!(
                        plan.nth != 0 && matches!(error.kind(), ErrorKind::Limit(_)),
                        "{error}"
                    );
                    refused += 1;
                    continue;
                }
            };
            let run = i.typed_func::<(), i32>(&mut store, "run").unwrap();
            for _ in 0..5 {
                match run.call(&mut store, ()) {
                    Ok(result) => assert_eq!(result, 3),
                    Err(error) => assert!(plan.nth != 0, "{error}"),
                }
            }
            torture::end();
        }
    }
    assert!(refused > 0, "no request failed in an instantiation");
}
