//! The instructions that exceptions had before WebAssembly 3.0: `try`, `catch`, `delegate`, `rethrow`.

use crate::log::Log;
use crate::matrix::{Behaviour, instance, module};
use wardian::{CoreFeatures, Engine, Instance, Linker, Module, Store};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a try block has the results of its body or of its handler", results),
    ("rethrow throws what an outer handler has caught", rethrown),
    ("delegate leaves an exception to the block that it names", delegated),
    ("loops in try blocks and in handlers get hot", hot),
    ("both kinds of blocks nest in each other", mixed),
    ("who listens hears of cleanups that throw again", cleanups),
    ("each kind of instructions has a feature of its own", features),
];

fn run(store: &mut Store<()>, i: Instance, name: &str, n: i32) -> i32 {
    i.typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, n).unwrap()
}

/// `throw` throws `$a` for 1, `$b` for 2, something else for 3, and returns what else it was given.
const THROW: &str = r#"
  (tag $a (param i32)) (tag $b (param i64 f32)) (tag $c)
  (func $throw (param i32) (result i32)
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a (i32.const 10))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b (i64.const 20) (f32.const 0.5))))
    (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $c)))
    (local.get 0))"#;

fn with_throw(store: &mut Store<()>, functions: &str) -> Instance {
    instance(store, &format!("(module {THROW} {functions})"))
}

fn results(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = with_throw(
        &mut store,
        r#"(func (export "run") (param i32) (result i32) (local $x i32)
             i32.const 1000
             i32.const 7 local.set $x
             i32.const 5
             try (param i32) (result i32 i32)
               local.get 0 call $throw
               i32.const 8 local.set $x
             catch $a
               i32.const 1
             catch $b
               drop i32.wrap_i64
               i32.const 2
               br 0
             catch_all
               local.get $x i32.const 3
             end
             i32.mul i32.add)
           ;; Handlers that leave the block, and one that nothing reaches.
           (func (export "leave") (param i32) (result i32)
             block $out (result i32)
               try $t
                 local.get 0 call $throw
                 br $out
               catch $a
                 br $out
               catch $c
                 i32.const 33 return
               catch_all
                 local.get 0 br_if $t
                 unreachable
               end
               i32.const 99
             end)
           (func (export "dead") (param i32) (result i32)
             try (result i32) local.get 0 catch_all unreachable end)
           (func (export "bare") (param i32) (result i32)
             try (result i32) local.get 0 i32.const 1 i32.add end)"#,
    );
    for _ in 0..4 {
        // The body's results are its parameter and what `throw` gave.
        for (n, wanted) in [(0, 1000), (4, 1020), (1, 1010), (2, 1040), (3, 1021)] {
            assert_eq!(run(&mut store, i, "run", n), wanted, "run {n}");
        }
        for (n, wanted) in [(0, 0), (1, 10), (2, 99), (3, 33)] {
            assert_eq!(run(&mut store, i, "leave", n), wanted, "leave {n}");
        }
        assert_eq!(run(&mut store, i, "dead", 6), 6);
        assert_eq!(run(&mut store, i, "bare", 6), 7);
    }
}

fn rethrown(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = with_throw(
        &mut store,
        r#"(func (export "run") (param i32) (result i32)
             try $all (result i32)
               try $outer (result i32)
                 local.get 0 call $throw
               catch $a
                 ;; Inside of this one another exception is caught, and the outer one is thrown again.
                 try $inner (param i32) (result i32)
                   drop
                   i32.const 2 call $throw
                 catch $b
                   drop drop
                   block rethrow $outer end
                   i32.const 0
                 end
               catch_all
                 rethrow $outer
               end
             catch $a
               i32.const 100 i32.add
             catch $b
               drop i32.wrap_i64 i32.const 200 i32.add
             catch_all
               i32.const 300
             end)"#,
    );
    for _ in 0..4 {
        for (n, wanted) in [(5, 5), (1, 110), (2, 220), (3, 300)] {
            assert_eq!(run(&mut store, i, "run", n), wanted, "{n}");
        }
    }
}

fn delegated(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = with_throw(
        &mut store,
        r#";; Past the block in between, which would catch it.
           (func (export "past") (param i32) (result i32)
             try $outer (result i32)
               try $between (result i32)
                 try (result i32)
                   local.get 0 call $throw
                 delegate $outer
               catch_all
                 i32.const -1
               end
             catch_all
               i32.const 7
             end)
           ;; To a block that catches nothing: to the next one around it.
           (func (export "through") (param i32) (result i32)
             try (result i32)
               block $plain (result i32)
                 try (result i32)
                   try (result i32) local.get 0 call $throw delegate $plain
                 catch_all
                   i32.const -1
                 end
               end
             catch_all
               i32.const 8
             end)
           ;; To the caller, past everything.
           (func $out (param i32) (result i32)
             try (result i32)
               try (result i32) local.get 0 call $throw delegate 1
             catch_all
               i32.const -1
             end)
           (func (export "caller") (param i32) (result i32)
             try (result i32) local.get 0 call $out catch $a i32.const 40 i32.add catch_all i32.const 9 end)
           ;; From inside of a handler to the block around the one whose handler it is.
           (func (export "handler") (param i32) (result i32)
             try $outer (result i32)
               try $inner (result i32)
                 i32.const 3 call $throw
               catch_all
                 try (result i32) local.get 0 call $throw delegate $inner
               end
             catch $a
             catch_all
               i32.const 6
             end)"#,
    );
    for _ in 0..4 {
        for (name, of_a, other) in
            [("past", 7, 7), ("through", 8, 8), ("caller", 50, 9), ("handler", 10, 6)]
        {
            for (n, wanted) in [(0, 0), (1, of_a), (3, other)] {
                assert_eq!(run(&mut store, i, name, n), wanted, "{name} {n}");
            }
        }
    }
}

const HOT: &str = r#"(func (export "run") (param $n i32) (result i32) (local $s i32) (local $k i32)
             i32.const 1
             try (result i32)
               loop $l
                 try
                   ;; The loop below is inside of the body.
                   loop $m
                     local.get $s i32.const 1 i32.add local.set $s
                     local.get $n i32.const 3 i32.and call $throw drop
                     local.get $k i32.const 1 i32.add local.tee $k
                     i32.const 7 i32.and br_if $m
                   end
                 catch $a
                   drop
                   ;; The loop below is inside of the handler, above what it has caught.
                   i32.const 3 local.set $k
                   loop $h
                     local.get $s i32.const 10 i32.add local.set $s
                     local.get $k i32.const 1 i32.sub local.tee $k br_if $h
                   end
                   local.get $n i32.const 4001 i32.eq
                   if rethrow 1 end
                 catch_all
                   local.get $s i32.const 100 i32.add local.set $s
                 end
                 local.get $n i32.const 1 i32.sub local.tee $n br_if $l
               end
               local.get $s
             catch $a
               local.get $s i32.add
             end
             i32.add)"#;

fn hot(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = with_throw(&mut store, HOT);
    /// The same in Rust.
    fn model(mut n: i32) -> i32 {
        let (mut s, mut k) = (0i32, 0);
        loop {
            loop {
                s += 1;
                match n & 3 {
                    1 => {
                        s += 30;
                        k = 0;
                        if n == 4001 {
                            return s + 10 + 1;
                        }
                    }
                    2 | 3 => s += 100,
                    _ => {
                        k += 1;
                        if k & 7 != 0 {
                            continue;
                        }
                    }
                }
                break;
            }
            n -= 1;
            if n == 0 {
                return s + 1;
            }
        }
    }
    for n in [1, 9, 4000, 4003, 12] {
        assert_eq!(run(&mut store, i, "run", n), model(n), "{n}");
    }
}

fn mixed(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = with_throw(
        &mut store,
        r#"(func (export "run") (param i32) (result i32)
             block $h (result i32)
               try_table (catch $a $h)
                 try
                   block $c
                     try_table (catch $c $c)
                       local.get 0 call $throw drop
                     end
                     br 1
                   end
                   i32.const 30 return
                 catch $b
                   drop drop
                   i32.const 1 call $throw drop
                 end
               end
               i32.const 5
             end)"#,
    );
    for _ in 0..4 {
        for (n, wanted) in [(0, 5), (1, 10), (2, 10), (3, 30)] {
            assert_eq!(run(&mut store, i, "run", n), wanted, "{n}");
        }
    }
}

fn cleanups(engine: &Engine) {
    let log = Log::default();
    let mut config = engine.config().clone();
    config.function_listener_factory(log.factory());
    let engine = &Engine::new(&config).unwrap();
    let mut store = Store::new(engine, ());
    let i = with_throw(
        &mut store,
        r#"(func $drop)
           (func $guarded (param i32) (result i32)
             try (result i32) local.get 0 call $throw catch_all call $drop rethrow 0 end)
           (func $run (export "run") (param i32) (result i32)
             try (result i32) local.get 0 call $guarded catch $a end)"#,
    );
    for round in 0..5 {
        log.take();
        assert_eq!(run(&mut store, i, "run", 1), 10);
        let wanted = [
            "before run [1]",
            "before guarded [1]",
            "before throw [1]",
            "abort throw: exception `a` (10)",
            "before drop []",
            "after drop []",
            "abort guarded: exception `a` (10)",
            "after run [10]",
        ];
        assert_eq!(log.take(), wanted, "round {round}");
    }
    log.assert_balanced();
}

fn features(engine: &Engine) {
    let old = "(module (func try catch_all end))";
    let new = "(module (func (block $l (try_table (catch_all $l)))))";
    let tag = "(module (tag))";
    for (text, feature, name) in [
        (old, CoreFeatures::LEGACY_EXCEPTIONS, "legacy-exceptions"),
        (new, CoreFeatures::EXCEPTIONS, "exceptions"),
        (tag, CoreFeatures::EXCEPTIONS, "exceptions"),
    ] {
        let found = module(engine, text);
        assert!(found.features_needed().contains(feature), "{text}");
        let mut config = engine.config().clone();
        config.features(CoreFeatures::all() - feature);
        let without = Engine::new(&config).unwrap();
        let error = Module::new(&without, text).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        Linker::<()>::new(engine).instantiate(&mut Store::new(engine, ()), &found).unwrap();
    }
}
