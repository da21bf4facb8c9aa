//! What cannot be carried, and bytes that are no checkpoint or a forged one.

use super::root::root;
use super::{Host, carried, interpreter, linker, until};
use crate::matrix::{Behaviour, module};
use wardian::{
    Caller, Engine, Linker, Result, Store, Val,
    checkpoint::{Checkpoint, CheckpointOptions, ResumeOptions},
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("what cannot be carried is refused by name", refusals),
    ("bytes that are no checkpoint are refused", damaged),
    ("forged checkpoints break nothing", forged),
    ("a forged frame in a function that is not valid is refused", forged_invalid),
    ("a store may be reset or closed before its guest is resumed", reset),
    ("a forged pending call takes no more room than its frame has", forged_pending),
    ("a forged operand gives the local that it is no value of another type", forged_operand),
];

fn refusals(engine: &Engine) {
    let from = interpreter(engine);
    let refused = |engine: &Engine, text: &str, expected: &str| {
        let mut store = Store::new(engine, Host { at: Some(0), ..Host::default() });
        let mut linker = linker(engine);
        let call = |mut caller: Caller<'_, Host>| -> Result<()> {
            let inner = caller.get_export("inner").and_then(|e| e.into_func()).expect("it exists");
            inner.call(&mut caller, &[], &mut [])
        };
        linker.func_wrap("h", "call", call).unwrap();
        linker.func_wrap("h", "extern", || Some(wardian::ExternRef::new(5u8))).unwrap();
        let instance = linker.instantiate(&mut store, &module(engine, text)).unwrap();
        let run = instance.get_func(&mut store, "run").unwrap();
        let error = run.call(&mut store, &[], &mut []).unwrap_err();
        assert!(matches!(error.kind(), wardian::ErrorKind::Checkpoint(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let tell = r#"(import "h" "tell" (func $tell (param i64) (result i64)))"#;
    refused(
        &from,
        &format!(
            r#"(module {tell} (import "h" "extern" (func $x (result externref))) (table 1 externref)
               (func (export "run") (table.set (i32.const 0) (call $x)) (drop (call $tell (i64.const 1)))))"#
        ),
        "externref",
    );
    refused(
        &from,
        &format!(
            r#"(module {tell} (import "h" "call" (func $call)) (func (export "run") (call $call))
               (func (export "inner") (drop (call $tell (i64.const 1)))))"#
        ),
        "by a host function that another guest called",
    );
    refused(
        &from,
        &format!(
            r#"(module {tell} (memory 1 1 shared) (func (export "run") (drop (call $tell (i64.const 1)))))"#
        ),
        "shared memory",
    );
    refused(
        &from,
        r#"(module (import "h" "note" (func $note (param i64)))
          (func (export "run") (return_call $note (i64.const 3))))"#,
        "its caller has ended with the call",
    );
    if crate::matrix::is_compiled(engine) {
        refused(
            engine,
            &format!(
                r#"(module $m {tell} (func $middle (drop (call $tell (i64.const 1)))) (func $run (export "run") (call $middle)))"#
            ),
            "m.middle is being run by compiled code",
        );
    }
    // An idle store with a function that no instance imports.
    let mut store = Store::new(engine, ());
    let ty =
        wardian::TableType { element: wardian::RefType::FUNC, min: 1, max: None, table64: false };
    let func = wardian::Func::wrap(&mut store, || {});
    let table = wardian::Table::new(&mut store, ty, Val::FuncRef(Some(func))).unwrap();
    let importer = module(engine, r#"(module (import "" "" (table 1 funcref)))"#);
    wardian::Instance::new(&mut store, &importer, &[table.into()]).unwrap();
    let error = store.checkpoint(&CheckpointOptions::new()).unwrap_err();
    assert!(error.to_string().contains("that no instance imports"), "{error}");
}

/// A module whose checkpoint has something of everything.
const RICH: &str = include_str!("rich.wat");

/// The bytes of a checkpoint in the middle of [`RICH`].
fn rich(engine: &Engine) -> (Vec<u8>, Engine) {
    let from = interpreter(engine);
    let (_, checkpoint) = until(&from, &module(&from, RICH), 1).unwrap();
    (checkpoint.to_bytes().unwrap(), from)
}

fn damaged(engine: &Engine) {
    carried(engine, RICH);
    let (bytes, _) = rich(engine);
    let refused = |bytes: &[u8], expected: &str| {
        let error = Checkpoint::from_bytes(bytes).unwrap_err();
        assert!(matches!(error.kind(), wardian::ErrorKind::Checkpoint(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused(b"", "no checkpoint");
    refused(b"\0asm\x01\0\0\0 and more", "no checkpoint");
    for len in (12..bytes.len()).step_by(7) {
        refused(&bytes[..len], "ends too early");
    }
    refused(&[&*bytes, b"x"].concat(), "follow it");
    let mut other = bytes.clone();
    other[8] = 77;
    refused(&other, "version 77");
    for at in (12..bytes.len()).step_by(5) {
        let mut other = bytes.clone();
        other[at] ^= 0x20;
        assert!(Checkpoint::from_bytes(&other).is_err(), "byte {at}");
    }
    // Lengths that are not there take no memory.
    let mut other = bytes.clone();
    other[13..21].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    refused(&other, "ends too early");
}

/// Reads the checkpoint with each of these changes of each byte of its state, and a hash that fits.
pub(crate) fn each_change(bytes: &[u8], changes: &[u8], mut use_it: impl FnMut(Checkpoint)) {
    let len = u64::from_le_bytes(bytes[13..21].try_into().unwrap()) as usize;
    for at in 21..21 + len {
        for change in changes {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= change;
            let end = bytes.len() - 32;
            let hash = root(&bytes).unwrap();
            bytes[end..].copy_from_slice(&hash);
            if let Ok(checkpoint) = Checkpoint::from_bytes(&bytes) {
                use_it(checkpoint);
            }
        }
    }
}

fn forged(engine: &Engine) {
    let mut config = engine.config().clone();
    let engine = &Engine::new(config.fuel(true)).expect("the configuration works");
    let (bytes, _) = rich(engine);
    let ready = module(engine, RICH);
    let (mut read, mut ran, mut refused) = (0, 0, 0);
    each_change(&bytes, &[1, 2, 3, 4, 5, 8, 0x10, 0x20, 0x40, 0x80, 0xff], |checkpoint| {
        read += 1;
        let mut store = Store::new(engine, Host::default());
        store.set_fuel(1000).unwrap();
        let options = ResumeOptions::new().with_module(&ready);
        let Ok(resumed) = checkpoint.resume(&mut store, &linker(engine), &options) else {
            refused += 1;
            return;
        };
        store.set_fuel(3000).unwrap();
        // However it ends, the store is in order.
        let _ = resumed.run(&mut store);
        store.gc();
        ran += 1;
    });
    assert!(read > 500 && ran > 100 && refused > 100, "{read} {ran} {refused}");
}

/// The functions are alike up to the call; a frame of the first is made one of the second, which nobody has validated.
fn forged_invalid(engine: &Engine) {
    if crate::matrix::is_compiled(engine) {
        return;
    }
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (func (export "run") (result i64) (call $tell (i64.const 1)))
      (func (result i64) (call $tell (i64.const 1)) i32.add))"#;
    let engine = &Engine::new(engine.config().clone().lazy_validation(true)).unwrap();
    let from = interpreter(engine);
    let (_, checkpoint) = until(&from, &module(&from, text), 0).unwrap();
    let bytes = checkpoint.to_bytes().unwrap();
    let resume = |bytes: &[u8]| {
        let checkpoint = Checkpoint::from_bytes(bytes)?;
        let mut store = Store::new(engine, Host::default());
        let resumed = checkpoint.resume(&mut store, &linker(engine), &ResumeOptions::new())?;
        Ok::<bool, wardian::Error>(resumed.run(&mut store).is_ok())
    };
    assert!(resume(&bytes).unwrap());
    // The function and the offset of the call, wherever they are written.
    let at =
        |value: u8| (21..bytes.len() - 32).filter(|at| bytes[*at] == value).collect::<Vec<_>>();
    let mut refused = 0;
    for function in at(1) {
        for offset in at(5) {
            let mut forged = bytes.clone();
            (forged[function], forged[offset]) = (2, 12);
            let end = forged.len() - 32;
            let hash = root(&forged).unwrap();
            forged[end..].copy_from_slice(&hash);
            let error = resume(&forged).err().map(|error| error.to_string());
            refused += usize::from(error.is_some_and(|error| error.contains("type mismatch")));
        }
    }
    assert!(refused > 0);
}

fn reset(engine: &Engine) {
    let (bytes, _) = rich(engine);
    let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
    let resume = |store: &mut Store<Host>| {
        checkpoint.resume(store, &linker(engine), &ResumeOptions::new()).unwrap()
    };
    // The store may be used, collected and reset before its guest is resumed.
    let mut store = Store::new(engine, Host::default());
    let resumed = resume(&mut store);
    let image = store.image().unwrap();
    store.gc();
    store.reset_to(&image).unwrap();
    let first = resumed.run(&mut store);
    let mut other = Store::new(engine, Host::default());
    let second = resume(&mut other).run(&mut other);
    assert_eq!(first.unwrap(), second.unwrap());
    // Frames of an instance that was closed are not run.
    let mut store = Store::new(engine, Host::default());
    let resumed = resume(&mut store);
    resumed.instances()[0].close_with_exit_code(&mut store, 9);
    let error = resumed.run(&mut store).unwrap_err();
    assert!(matches!(error.kind(), wardian::ErrorKind::Closed(9)), "{error}");
}

fn forged_pending(engine: &Engine) {
    const MARK: u64 = 0x1122_3344_5566_7788;
    const MANY: usize = 1000;
    let small = |engine: &Engine| {
        let mut config = engine.config().clone();
        Engine::new(config.stack_size(64 << 10)).expect("the configuration works")
    };
    let (from, engine) = (&small(&interpreter(engine)), &small(engine));
    let text = format!(
        r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
          (import "h" "many" (func (param {}) (result i64)))
          (func $down (export "run") (param i32) (result i64)
            (if (result i64) (local.get 0)
              (then (call $down (i32.sub (local.get 0) (i32.const 1))))
              (else (call $tell (i64.const {MARK}))))))"#,
        "i64 ".repeat(MANY)
    );
    let ready = module(from, &text);
    let run = |at, depth: i32| {
        let mut store = Store::new(from, Host { at, ..Host::default() });
        let instance = many(from, MANY).instantiate(&mut store, &ready).unwrap();
        let run = instance.typed_func::<i32, i64>(&mut store, "run").unwrap();
        let done = run.call(&mut store, depth);
        (store.into_data().taken, done)
    };
    let overflows = |depth: &i32| run(None, *depth).1.is_err();
    let most = (0..10_000).step_by(16).find(overflows).expect("the stack has an end");
    for depth in [0, most - 16, most - 32, most - 64, most - 128] {
        let bytes = forge_pending(run(Some(0), depth).0.unwrap(), MARK, MANY);
        let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
        let mut store = Store::new(engine, Host::default());
        let linker = many(engine, MANY);
        let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
        let done = resumed.run(&mut store);
        match done {
            Ok(results) => assert_eq!(results, [Val::I64(1)], "at {depth} of {most}"),
            Err(error) => {
                assert_eq!(error.trap(), Some(wardian::TrapCode::StackOverflow));
                assert!(depth > 0, "there is room");
            }
        }
    }
}

/// With a host function of so many arguments, which returns 1.
fn many(engine: &Engine, count: usize) -> Linker<Host> {
    use wardian::{FuncType, ValType::I64};
    let mut linker = linker(engine);
    let answer = |_: Caller<'_, Host>, _: &[Val], results: &mut [Val]| {
        results[0] = Val::I64(1);
        Ok(())
    };
    linker.func_new("h", "many", FuncType::new(vec![I64; count], [I64]), answer).unwrap();
    linker
}

/// Makes the pending call, of function 0 with one argument, one of function 1 with many.
fn forge_pending(mut bytes: Vec<u8>, mark: u64, count: usize) -> Vec<u8> {
    let call = [&[0, 0, 1, 0][..], &varint(mark)].concat();
    let at = bytes.windows(call.len()).position(|part| part == call).expect("it is there");
    let forged = [&[0, 1][..], &varint(count as u64), &vec![0; 2 * count]].concat();
    let more = forged.len() - call.len();
    bytes.splice(at..at + call.len(), forged);
    let len = u64::from_le_bytes(bytes[13..21].try_into().unwrap()) + more as u64;
    bytes[13..21].copy_from_slice(&len.to_le_bytes());
    let end = bytes.len() - 32;
    let hash = root(&bytes).unwrap();
    bytes[end..].copy_from_slice(&hash);
    bytes
}

/// A number as the format has it: seven bits a byte, the lowest first.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// An operand that is a local can have a wider type than the local.
const WIDENED: &str = include_str!("widened.wat");

fn forged_operand(engine: &Engine) {
    carried(engine, WIDENED);
    let from = interpreter(engine);
    let ready = module(engine, WIDENED);
    let mut refused = 0;
    let mut call = 0;
    while let Some((_, checkpoint)) = until(&from, &module(&from, WIDENED), call) {
        refused += forge_all(engine, &ready, &checkpoint);
        call += 1;
    }
    assert!(call == 3 && refused > 0, "the operand is refused");
}

/// Resumes every change of a byte, and counts how often an operand is refused since it is a local.
fn forge_all(engine: &Engine, ready: &wardian::Module, checkpoint: &Checkpoint) -> usize {
    let mut refused = 0;
    each_change(&checkpoint.to_bytes().unwrap(), &[1, 2, 3, 4, 5, 6, 7], |checkpoint| {
        let mut store = Store::new(engine, Host::default());
        let options = ResumeOptions::new().with_module(ready);
        match checkpoint.resume(&mut store, &linker(engine), &options) {
            Ok(resumed) if resumed.is_running() => {
                if let Ok(results) = resumed.run_with(&mut store, &[Val::I64(2)]) {
                    assert_eq!(results, [Val::I32(1)]);
                }
            }
            Ok(_) => {}
            Err(error) => refused += usize::from(error.to_string().contains("is no value of type")),
        }
    });
    refused
}
