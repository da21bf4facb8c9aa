//! Modules that are made to hurt.

use crate::matrix::{Behaviour, instance, linked};
use wardian::{Engine, Instance, Linker, Module, Store, TrapCode};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a hundred thousand nested blocks", nested_blocks),
    ("fifty thousand locals", locals),
    ("huge tables and memories", huge),
    ("a memory bomb gets -1 in the end", memory_bomb),
    ("random bytes are no module", random),
    ("a branch table of fifty thousand targets", branch_table),
    ("a stack that ends in a call into the host is a trap, wherever it ends", edge),
];

/// A module with one function, whose body is given in the binary format without its length.
fn with_body(body: &[u8]) -> Vec<u8> {
    let leb = |mut n: usize| {
        let mut out = Vec::new();
        loop {
            let byte = (n & 0x7f) as u8;
            n >>= 7;
            out.push(if n == 0 { byte } else { byte | 0x80 });
            if n == 0 {
                return out;
            }
        }
    };
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
    bytes.extend_from_slice(b"\x07\x05\x01\x01f\0\0");
    let mut code = vec![1];
    code.extend(leb(body.len()));
    code.extend_from_slice(body);
    bytes.push(10);
    bytes.extend(leb(code.len()));
    bytes.extend(code);
    bytes
}

/// Compiles, and runs if that works: either is fine, a crash is not.
fn try_run(engine: &Engine, bytes: &[u8]) {
    let Ok(module) = Module::new(engine, bytes) else { return };
    let mut store = Store::new(engine, ());
    let Ok(i) = Instance::new(&mut store, &module, &[]) else { return };
    let Ok(f) = i.typed_func::<(), ()>(&mut store, "f") else { return };
    let _ = f.call(&mut store, ());
}

fn nested_blocks(engine: &Engine) {
    let mut body = vec![0];
    body.extend(std::iter::repeat_n([0x02, 0x40], 100_000).flatten());
    body.extend(std::iter::repeat_n(0x0b, 100_001));
    try_run(engine, &with_body(&body));
}

fn locals(engine: &Engine) {
    for count in [49_999u32, 50_001] {
        let mut body = vec![1];
        body.extend_from_slice(&[count as u8 & 0x7f | 0x80, (count >> 7) as u8 & 0x7f | 0x80]);
        body.extend_from_slice(&[(count >> 14) as u8, 0x7e, 0x0b]);
        try_run(engine, &with_body(&body));
    }
}

fn huge(engine: &Engine) {
    for text in [
        "(module (memory 65536))",
        "(module (memory i64 0x1000000000000))",
        "(module (table 4294967295 funcref))",
        "(module (table i64 0xffffffffffffffff funcref))",
        "(module (memory 65536 65536 shared))",
        "(module (memory i64 0 0x1000000000000))",
    ] {
        let Ok(module) = Module::new(engine, text) else { continue };
        let mut store = Store::new(engine, ());
        if let Err(error) = Instance::new(&mut store, &module, &[]) {
            assert!(!error.to_string().is_empty());
        }
    }
}

fn memory_bomb(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module (memory 1) (func (export "grow") (result i32)
          (loop $l (br_if $l (i32.ne (memory.grow (i32.const 64)) (i32.const -1))))
          (memory.size)))"#,
    );
    let grow = i.typed_func::<(), i32>(&mut store, "grow").unwrap();
    let pages = grow.call(&mut store, ()).unwrap();
    assert!((1..=65536).contains(&pages), "{pages}");
}

fn random(engine: &Engine) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..300 {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for _ in 0..state % 100 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.push(state as u8);
        }
        state = state.wrapping_add(1);
        try_run(engine, &bytes);
    }
}

fn branch_table(engine: &Engine) {
    let mut body = vec![0, 0x02, 0x40, 0x41, 0x05, 0x0e, 0xd0, 0x86, 0x03];
    body.extend(std::iter::repeat_n(0, 50_001));
    body.extend_from_slice(&[0x0b, 0x0b]);
    try_run(engine, &with_body(&body));
}

/// Recursion that calls a host function or a builtin at its end, from frames of many sizes.
/// The largest number that `fits`, of which `near` is an estimate.
fn deepest_near(near: i32, mut fits: impl FnMut(i32) -> bool) -> i32 {
    let (mut low, mut high) = (near, near + 1);
    let mut step = 8;
    while !fits(low) {
        assert!(low > 0, "not even none");
        (low, high) = ((low - step).max(0), low);
        step *= 2;
    }
    while fits(high) {
        (low, high) = (high, high + step);
        step *= 2;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

fn edge(engine: &Engine) {
    // Each call is as deep as the stack: the smaller it is, the sooner this ends.
    // Frames have the same size in each, since a tiered engine has compiled all before.
    let mut config = engine.config().clone();
    config.stack_size(256 << 10).hot_after(Some(2)).background_compilation(false);
    let engine = &Engine::new(&config).unwrap();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("h", "none", || {}).unwrap();
    linker.func_wrap("h", "result", || 7i32).unwrap();
    linker.func_wrap("h", "many", || (1i32, 2i64, 3f64, 4i32, 5i64, 6i64, 7i64)).unwrap();
    let head = r#"(module (import "h" "none" (func $none)) (import "h" "result" (func $result (result i32)))
      (import "h" "many" (func $many (result i32 i64 f64 i32 i64 i64 i64)))
      (memory 1 2)"#;
    let calls = [
        "(call $none)",
        "(drop (call $result))",
        "(call $many) drop drop drop drop drop drop drop",
        "(drop (memory.grow (i32.const 0)))",
    ];
    // The stacks of the modules differ little.
    let mut near = 1000;
    for call in calls {
        for kept in 0..6 {
            // So many values are kept in the frame at the end.
            let load: String =
                (0..kept).map(|i| format!("(i64.load offset={} (i32.const 0))", i * 8)).collect();
            let text = format!(
                r#"{head} (func $end {load} {call} {})
                  (func $down (export "down") (param i32) (result i32)
                    (if (i32.eqz (local.get 0)) (then (call $end) (return (i32.const 0))))
                    (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1))))))"#,
                "drop ".repeat(kept)
            );
            let mut store = Store::new(engine, ());
            let i = linked(&mut store, &linker, &text);
            let down = i.typed_func::<i32, i32>(&mut store, "down").unwrap();
            (0..10).for_each(|depth| assert_eq!(down.call(&mut store, depth).unwrap(), depth));
            let deepest = deepest_near(near, |depth| match down.call(&mut store, depth) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.trap(), Some(TrapCode::StackOverflow));
                    false
                }
            });
            assert_eq!(down.call(&mut store, deepest).unwrap(), deepest);
            near = deepest;
        }
    }
}
