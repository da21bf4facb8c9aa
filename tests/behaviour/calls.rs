//! Calls in both directions.

use crate::matrix::{Behaviour, instance, linked};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian::{
    Caller, Engine, Error, ErrorKind, Func, FuncType, Linker, Store, TrapCode, Val, ValType,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("typed calls carry every number type", numbers),
    ("many parameters and results", many),
    (
        "functions with more results than registers are called by compiled and interpreted code",
        results,
    ),
    (
        "functions of a closed instance with more results than registers say that it is closed",
        closed,
    ),
    ("values and raw slots agree with typed calls", untyped),
    ("a host function calls back into the guest", reentrant),
    ("guest and host recurse into each other until the stack ends", mutual_recursion),
    ("guest recursion ends with a trap, again and again", overflow),
    ("backtraces count what they leave out", omitted_frames),
    ("large frames do not jump over the guard", large_frames),
    ("a host error reaches the caller as it was", host_error),
    ("a panic crosses the guest and the store stays usable", panics),
    ("an exit cannot be swallowed", sticky_exit),
    ("a trap can be caught by a host function", caught_trap),
    ("tail calls use no stack", tail_calls),
    ("wrong arguments are reported with the signature", wrong_arguments),
    ("the caller is known, also through a table", caller_instance),
    ("threads that share a store make handles of its functions", shared_handles),
];

const MIXED: &str = r#"(module
  (func (export "f") (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)
    (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0)))"#;

fn numbers(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, MIXED);
    let f = i
        .typed_func::<(i32, i64, f32, f64, u128), (u128, f64, f32, i64, i32)>(&mut store, "f")
        .unwrap();
    let nan = f64::from_bits(0x7ff8_dead_beef_0001);
    let (v, d, s, l, w) = f.call(&mut store, (-1, i64::MIN, -0.0, nan, u128::MAX - 5)).unwrap();
    assert_eq!((v, l, w), (u128::MAX - 5, i64::MIN, -1));
    assert_eq!((d.to_bits(), s.to_bits()), (nan.to_bits(), (-0.0f32).to_bits()));
}

fn many(engine: &Engine) {
    let (params, results) = (0..16).fold((String::new(), String::new()), |(p, r), i| {
        (format!("{p} i64"), format!("(local.get {i}) {r}"))
    });
    let text =
        format!(r#"(module (func (export "f") (param {params}) (result {params}) {results}))"#);
    let mut store = Store::new(engine, ());
    let f = instance(&mut store, &text).get_func(&mut store, "f").unwrap();
    let arguments: Vec<Val> = (0..16i64).map(Val::from).collect();
    let mut out = vec![Val::I32(0); 16];
    f.call(&mut store, &arguments, &mut out).unwrap();
    let out: Vec<i64> = out.iter().filter_map(Val::i64).collect();
    assert_eq!(out, (0..16).rev().collect::<Vec<_>>());
}

/// Results that do not fit into registers are returned in memory, and whoever is called gets its address.
/// A tiered engine interprets what is called for the first time: by code that is compiled, in all ways in
/// which that calls, and host functions likewise.
fn results(engine: &Engine) {
    for (integers, floats) in [(8, 8), (9, 0), (0, 9), (8, 9), (9, 8), (16, 16), (7, 1), (1, 12)] {
        let types = "i64 ".repeat(integers) + &"f64 ".repeat(floats);
        let values = |first: usize| -> String {
            let number = |i: usize| first + 3 * i;
            let integer = |i| format!("(i64.const {}) ", number(i));
            let float = |i| format!("(f64.const {}) ", number(integers + i));
            (0..integers).map(integer).chain((0..floats).map(float)).collect()
        };
        let drops = "(drop) ".repeat(integers + floats - 1);
        let keep = if floats > 0 { "(i64.trunc_f64_s)" } else { "" };
        let last = format!("{keep} (local.set $last) {drops} (local.get $last)");
        let text = format!(
            r#"(module
            (type $t (func (param i32 i64) (result {types})))
            (import "h" "many" (func $host (type $t)))
            (table funcref (elem $second $host $third))
            (func $first (type $t) {first})
            (func $second (type $t) {second})
            (func $third (type $t) (return_call $first (local.get 0) (local.get 1)))
            (func $fourth (type $t)
              (return_call_indirect (type $t) (local.get 0) (local.get 1) (i32.const 0)))
            (func (export "run") (param $which i32) (result i64) (local $last i64)
              (if (result i64) (i32.eqz (local.get $which)) (then (i64.const -1)) (else
              (if (result i64) (i32.eq (local.get $which) (i32.const 1))
                (then (call $first (i32.const 7) (i64.const 8)) {last}) (else
              (if (result i64) (i32.eq (local.get $which) (i32.const 2))
                (then (call $third (i32.const 7) (i64.const 8)) {last}) (else
              (if (result i64) (i32.eq (local.get $which) (i32.const 3))
                (then (call $fourth (i32.const 7) (i64.const 8)) {last}) (else
              (if (result i64) (i32.eq (local.get $which) (i32.const 4))
                (then (call $host (i32.const 7) (i64.const 8)) {last}) (else
              (call_indirect (type $t) (i32.const 7) (i64.const 8)
                (i32.sub (local.get $which) (i32.const 5))) {last}))))))))))))"#,
            first = values(1000),
            second = values(2000),
        );
        let mut linker: Linker<()> = Linker::new(engine);
        let ty = FuncType::new(
            [ValType::I32, ValType::I64],
            std::iter::repeat_n(ValType::I64, integers)
                .chain(std::iter::repeat_n(ValType::F64, floats)),
        );
        linker
            .func_new("h", "many", ty, move |_, params: &[Val], out: &mut [Val]| {
                assert_eq!((params[0].i32(), params[1].i64()), (Some(7), Some(8)));
                for (i, out) in out.iter_mut().enumerate() {
                    let number = 3000 + 3 * i as i64;
                    *out = if i < integers { number.into() } else { (number as f64).into() };
                }
                Ok(())
            })
            .unwrap();
        let end = 3 * (integers + floats - 1) as i64;
        let expected = [1000, 1000, 2000, 3000, 2000, 3000, 1000].map(|first| first + end);
        for which in 1..=7 {
            let mut store = Store::new(engine, ());
            let i = linked(&mut store, &linker, &text);
            let run = i.typed_func::<i32, i64>(&mut store, "run").unwrap();
            // Until it is compiled, without having called anything.
            (0..4).for_each(|_| assert_eq!(run.call(&mut store, 0).unwrap(), -1));
            for _ in 0..5 {
                let found = run.call(&mut store, which).unwrap();
                assert_eq!(found, expected[which as usize - 1], "{which}: {integers} and {floats}");
            }
        }
    }
}

fn closed(engine: &Engine) {
    for count in [1, 8, 9, 20] {
        let types = "i64 ".repeat(count);
        let mut store = Store::new(engine, ());
        let values = "(i64.const 5) ".repeat(count);
        let far = instance(
            &mut store,
            &format!(r#"(module (func (export "f") (param i32) (result {types}) {values}))"#),
        );
        let mut linker: Linker<()> = Linker::new(engine);
        linker.instance(&mut store, "far", far).unwrap();
        let drops = "(drop) ".repeat(count);
        let near = linked(
            &mut store,
            &linker,
            &format!(
                r#"(module (import "far" "f" (func $f (param i32) (result {types})))
                (func (export "run") (call $f (i32.const 3)) {drops}))"#
            ),
        );
        let run = near.typed_func::<(), ()>(&mut store, "run").unwrap();
        (0..5).for_each(|_| run.call(&mut store, ()).unwrap());
        far.close_with_exit_code(&mut store, 7);
        for _ in 0..3 {
            let error = run.call(&mut store, ()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Closed(7)), "{count}: {error:?}");
        }
    }
}

fn untyped(engine: &Engine) {
    let ty = FuncType::new(
        [ValType::I32, ValType::V128, ValType::F64],
        [ValType::F64, ValType::V128, ValType::I32],
    );
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_new("h", "values", ty.clone(), |_, params, results| {
            results.clone_from_slice(&[params[2].clone(), params[1].clone(), params[0].clone()]);
            Ok(())
        })
        .unwrap();
    linker
        .func_raw("h", "raw", ty, |_, slots| {
            let [i, low, high, d] = [slots[0], slots[1], slots[2], slots[3]];
            slots.copy_from_slice(&[d, low, high, i]);
            Ok(())
        })
        .unwrap();
    let text = |name: &str| {
        format!(
            r#"(module (import "h" "{name}" (func $f (param i32 v128 f64) (result f64 v128 i32)))
            (func (export "f") (param i32 v128 f64) (result f64 v128 i32)
              (call $f (local.get 0) (local.get 1) (local.get 2))))"#
        )
    };
    for name in ["values", "raw"] {
        let mut store = Store::new(engine, ());
        let i = linked(&mut store, &linker, &text(name));
        let f = i.typed_func::<(i32, u128, f64), (f64, u128, i32)>(&mut store, "f").unwrap();
        let found = f.call(&mut store, (-7, 1 << 100 | 3, 2.5)).unwrap();
        assert_eq!(found, (2.5, 1 << 100 | 3, -7), "{name}");
    }
}

const FACTORIAL: &str = r#"(module
  (import "h" "times" (func $times (param i64 i64) (result i64)))
  (func (export "fac") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1))
      (else (call $times (local.get 0) (i64.sub (local.get 0) (i64.const 1)))))))"#;

fn reentrant(engine: &Engine) {
    let mut linker: Linker<u32> = Linker::new(engine);
    linker
        .func_wrap("h", "times", |mut caller: Caller<'_, u32>, n: i64, rest: i64| {
            *caller.data_mut() += 1;
            let fac = caller.get_export("fac").and_then(|e| e.into_func()).expect("an export");
            let fac = fac.typed::<i64, i64>(&caller)?;
            Ok::<_, Error>(n * fac.call(&mut caller, rest)?)
        })
        .unwrap();
    let mut store = Store::new(engine, 0);
    let i = linked(&mut store, &linker, FACTORIAL);
    let fac = i.typed_func::<i64, i64>(&mut store, "fac").unwrap();
    for _ in 0..3 {
        assert_eq!(fac.call(&mut store, 20).unwrap(), 2432902008176640000);
    }
    assert_eq!(*store.data(), 60);
}

fn mutual_recursion(engine: &Engine) {
    let engine = engine.clone();
    // A small thread stack, so that it is the host's stack that ends.
    let run = move || {
        let mut linker: Linker<()> = Linker::new(&engine);
        linker
            .func_wrap("h", "again", |mut caller: Caller<'_, ()>| {
                let f = caller.get_export("f").and_then(|e| e.into_func()).expect("an export");
                f.typed::<(), ()>(&caller)?.call(&mut caller, ())
            })
            .unwrap();
        let mut store = Store::new(&engine, ());
        let text = r#"(module (import "h" "again" (func $again)) (func (export "f") (call $again))
            (func (export "ok") (result i32) (i32.const 5)))"#;
        let i = linked(&mut store, &linker, text);
        let f = i.typed_func::<(), ()>(&mut store, "f").unwrap();
        let ok = i.typed_func::<(), i32>(&mut store, "ok").unwrap();
        for _ in 0..2 {
            let error = f.call(&mut store, ()).unwrap_err();
            let reported = error.to_string();
            assert!(reported.contains("stack"), "{reported}");
            assert_eq!(ok.call(&mut store, ()).unwrap(), 5);
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

fn overflow(engine: &Engine) {
    let text = r#"(module
        (func $f (export "f") (param i64) (result i64)
          (i64.add (local.get 0) (call $f (i64.add (local.get 0) (i64.const 1)))))
        (func (export "ok") (result i32) (i32.const 5)))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let f = i.typed_func::<i64, i64>(&mut store, "f").unwrap();
    let ok = i.typed_func::<(), i32>(&mut store, "ok").unwrap();
    for _ in 0..5 {
        let error = f.call(&mut store, 1).unwrap_err();
        assert_eq!(error.trap(), Some(TrapCode::StackOverflow));
        let backtrace = error.backtrace().expect("a backtrace");
        assert_eq!(backtrace.frames()[3].func_name(), Some("f"));
        assert!(backtrace.omitted() > 1000);
        assert_eq!(ok.call(&mut store, ()).unwrap(), 5);
    }
}

/// Calls of two functions with frames of different sizes, in turns of uneven length, through the host at one
/// depth; then a trap.
fn omitted_frames(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .func_wrap("h", "again", |mut caller: Caller<'_, ()>, n: i64| -> Result<i64, Error> {
            let f = caller.get_export("f").and_then(|e| e.into_func()).expect("an export");
            f.typed::<i64, i64>(&caller)?.call(&mut caller, n)
        })
        .unwrap();
    let text = r#"(module (import "h" "again" (func $again (param i64) (result i64)))
        (func $f (export "f") (param $n i64) (result i64) (local $next i64)
          (if (i64.eqz (local.get $n)) (then unreachable))
          (local.set $next (i64.sub (local.get $n) (i64.const 1)))
          (if (i64.eq (local.get $n) (i64.const 300))
            (then (return (i64.add (local.get $n) (call $again (local.get $next))))))
          (if (i64.eqz (i64.rem_u (local.get $n) (i64.const 7)))
            (then (return (i64.add (local.get $n) (call $wide (local.get $next))))))
          (i64.add (local.get $n) (call $f (local.get $next))))
        (func $wide (param $n i64) (result i64) (local $a i64) (local $b i64) (local $c i64)
          (local.set $a (i64.mul (local.get $n) (local.get $n)))
          (local.set $b (i64.mul (local.get $a) (local.get $n)))
          (local.set $c (i64.mul (local.get $b) (local.get $a)))
          (i64.add (call $f (local.get $n))
            (i64.xor (i64.add (local.get $a) (local.get $b)) (local.get $c)))))"#;
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, text);
    let f = i.typed_func::<i64, i64>(&mut store, "f").unwrap();
    // How many calls there are: `wide` takes none of the number away.
    let frames = |n: i64| {
        let through_wide = (1..=n).filter(|n| *n != 300 && n % 7 == 0).count();
        n as usize + 1 + through_wide
    };
    for n in [10, 63, 64, 65, 200, 299, 300, 301, 1000] {
        let error = f.call(&mut store, n).unwrap_err();
        assert_eq!(error.trap(), Some(TrapCode::Unreachable));
        let backtrace = error.backtrace().expect("a backtrace");
        let all = backtrace.frames().len() + backtrace.omitted();
        assert_eq!(all, frames(n), "{n}");
        assert_eq!(backtrace.frames().len(), frames(n).min(64), "{n}");
    }
}

fn large_frames(engine: &Engine) {
    // Thousands of live values, so that a frame is tens of kilobytes: with the guard's size and
    // more, but below what code without signals may take.
    for count in [3000, 12_000] {
        let mut body = String::new();
        for i in 0..count {
            body.push_str(&format!("(call $g (i64.const {i}))\n"));
        }
        body.push_str("(drop (call $f (i32.const 1)))\n");
        body.push_str(&"(i64.add)\n".repeat(count - 1));
        let text = format!(
            r#"(module (func $g (param i64) (result i64) (local.get 0))
            (func $f (export "f") (param i32) (result i64) {body}))"#
        );
        let mut store = Store::new(engine, ());
        let f = instance(&mut store, &text).typed_func::<i32, i64>(&mut store, "f").unwrap();
        for _ in 0..3 {
            assert_eq!(f.call(&mut store, 1).unwrap_err().trap(), Some(TrapCode::StackOverflow));
        }
    }
}

const CALLS_HOST: &str = r#"(module (import "h" "f" (func $f)) (func (export "run") (call $f)))"#;

fn host_error(engine: &Engine) {
    #[derive(Debug)]
    struct Empty(u32);
    impl std::fmt::Display for Empty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "shelf {} is empty", self.0)
        }
    }
    impl std::error::Error for Empty {}
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "f", || Err::<(), _>(Error::host(Empty(3)))).unwrap();
    let mut store = Store::new(engine, ());
    let run = linked(&mut store, &linker, CALLS_HOST);
    let error =
        run.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Empty>().map(|e| e.0), Some(3));
    assert_eq!(error.to_string(), "shelf 3 is empty");
    assert_eq!(error.backtrace().unwrap().frames()[0].func_name(), Some("run"));
}

fn panics(engine: &Engine) {
    let mut linker: Linker<u32> = Linker::new(engine);
    linker
        .func_wrap("h", "f", |mut caller: Caller<'_, u32>| {
            *caller.data_mut() += 1;
            // Quietly: the message of a panic that is expected only disturbs.
            if *caller.data() > 0 {
                std::panic::resume_unwind(Box::new("boom"));
            }
        })
        .unwrap();
    let mut store = Store::new(engine, 0);
    let run = linked(&mut store, &linker, CALLS_HOST);
    let run = run.typed_func::<(), ()>(&mut store, "run").unwrap();
    for n in 1..4 {
        let caught = catch_unwind(AssertUnwindSafe(|| run.call(&mut store, ())));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"boom"));
        assert_eq!(*store.data(), n);
    }
}

/// `outer` calls the host, which calls `inner` and swallows whatever it says.
const SWALLOWED: &str = r#"(module
  (import "h" "swallow" (func $swallow)) (import "h" "end" (func $end))
  (global $after (export "after") (mut i32) (i32.const 0))
  (func (export "inner") (call $end))
  (func (export "outer") (call $swallow) (global.set $after (i32.const 1))))"#;

fn swallowing(
    engine: &Engine,
    end: fn() -> Error,
    instead: fn() -> Result<(), Error>,
) -> (Result<(), Error>, i32) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "end", move || Err::<(), _>(end())).unwrap();
    linker
        .func_wrap("h", "swallow", move |mut caller: Caller<'_, ()>| {
            let inner = caller.get_export("inner").and_then(|e| e.into_func()).expect("an export");
            let inner = inner.typed::<(), ()>(&caller)?;
            assert!(inner.call(&mut caller, ()).is_err());
            instead()
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let i = linked(&mut store, &linker, SWALLOWED);
    let done = i.typed_func::<(), ()>(&mut store, "outer").unwrap().call(&mut store, ());
    let after = i.get_global(&mut store, "after").unwrap().get(&store).i32().unwrap();
    (done, after)
}

fn sticky_exit(engine: &Engine) {
    let answers: [fn() -> Result<(), Error>; 2] = [|| Ok(()), || Err(Error::host("another"))];
    for instead in answers {
        let (done, after) = swallowing(engine, || Error::exit(7), instead);
        assert_eq!(done.unwrap_err().exit_code(), Some(7));
        assert_eq!(after, 0);
    }
}

fn caught_trap(engine: &Engine) {
    let (done, after) = swallowing(engine, || TrapCode::Unreachable.into(), || Ok(()));
    done.unwrap();
    assert_eq!(after, 1);
}

fn tail_calls(engine: &Engine) {
    let text = r#"(module
      (type $t (func (param i32 i64 i64 i64 i64 i64 i64) (result i64)))
      (table funcref (elem $odd))
      (func $even (export "even") (type $t)
        (if (result i64) (i32.eqz (local.get 0)) (then (local.get 6))
          (else (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1))
            (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
            (i64.add (local.get 6) (i64.const 1)) (i32.const 0)))))
      (func $odd (type $t)
        (if (result i64) (i32.eqz (local.get 0)) (then (i64.const -1))
          (else (return_call $even (i32.sub (local.get 0) (i32.const 1))
            (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
            (i64.add (local.get 6) (i64.const 1)))))))"#;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, text);
    let even =
        i.typed_func::<(i32, i64, i64, i64, i64, i64, i64), i64>(&mut store, "even").unwrap();
    assert_eq!(even.call(&mut store, (1_000_000, 1, 2, 3, 4, 5, 0)).unwrap(), 1_000_000);
}

fn wrong_arguments(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, MIXED);
    let f = i.get_func(&mut store, "f").unwrap();
    let reported = f.call(&mut store, &[Val::I32(1)], &mut []).unwrap_err().to_string();
    assert!(
        reported.contains("(i32, i64, f32, f64, v128) -> (v128, f64, f32, i64, i32)"),
        "{reported}"
    );
    let reported = f.typed::<i32, ()>(&store).unwrap_err().to_string();
    assert!(reported.contains("not (i32) -> ()"), "{reported}");
    assert!(i.typed_func::<(), ()>(&mut store, "g").is_err());
}

fn caller_instance(engine: &Engine) {
    let mut linker: Linker<Vec<i32>> = Linker::new(engine);
    linker
        .func_wrap("h", "who", |mut caller: Caller<'_, Vec<i32>>| {
            let me = caller.get_export("me").and_then(|e| e.into_global()).expect("an export");
            let me = me.get(&caller).i32().expect("an i32");
            caller.data_mut().push(me);
        })
        .unwrap();
    let mut store = Store::new(engine, Vec::new());
    let first = linked(
        &mut store,
        &linker,
        r#"(module (import "h" "who" (func $who)) (global (export "me") i32 (i32.const 1))
          (table (export "t") 2 funcref) (elem (i32.const 0) $who)
          (func (export "run") (call_indirect (i32.const 0)) (call $who)))"#,
    );
    let table = first.get_table(&mut store, "t").unwrap();
    linker.define("first", "t", table).unwrap();
    let second = linked(
        &mut store,
        &linker,
        r#"(module (import "first" "t" (table 2 funcref)) (global (export "me") i32 (i32.const 2))
          (func (export "run") (call_indirect (i32.const 0))))"#,
    );
    for i in [first, second, first] {
        i.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    }
    assert_eq!(*store.data(), [1, 1, 2, 1, 1]);
    // Called by the host itself there is no caller.
    let alone = Func::wrap(&mut store, |caller: Caller<'_, Vec<i32>>| {
        i32::from(caller.instance().is_some())
    });
    assert_eq!(alone.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 0);
}

fn shared_handles(engine: &Engine) {
    let text = r#"(module (func (export "f") (param i32 i64) (result i64)
      (i64.add (i64.extend_i32_u (local.get 0)) (local.get 1))))"#;
    for _ in 0..20 {
        let mut store = Store::new(engine, ());
        let func = instance(&mut store, text).get_func(&mut store, "f").unwrap();
        let shared = &store;
        let handles = std::thread::scope(|scope| {
            let make = || func.typed::<(i32, i64), i64>(shared).unwrap();
            [scope.spawn(make), scope.spawn(make)].map(|thread| thread.join().unwrap())
        });
        for handle in handles {
            assert_eq!(handle.call(&mut store, (1, 2)).unwrap(), 3);
        }
    }
}
