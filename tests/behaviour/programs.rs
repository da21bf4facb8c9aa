//! Programs that compilers made. `tests/programs/` and `examples/guests/` hold their sources.

use crate::matrix::{Behaviour, is_compiled};
use wardian::{Engine, Instance, Linker, Module, Store, TrapCode};
use wardian_wasi::{MemoryOutput, WasiCtx};

pub(crate) const TABLE: &[Behaviour] = &[
    ("the fern of the README is drawn, the same everywhere", fern),
    ("source lines of a backtrace, through inlined functions", source_lines),
    ("a program over a megabyte of code", large),
];

fn fern(engine: &Engine) {
    let mut linker: Linker<WasiCtx> = Linker::new(engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let fern = include_bytes!("../../examples/guests/fern.wasm");
    let module = Module::new(engine, fern).unwrap();
    let output = MemoryOutput::new(1 << 20);
    let wasi = WasiCtx::builder().args(["fern", "30", "15"]).unwrap();
    let mut store = Store::new(engine, wasi.stdout_memory(output.clone()).build());
    let i = linker.instantiate(&mut store, &module).unwrap();
    i.typed_func::<(), ()>(&mut store, "_start").unwrap().call(&mut store, ()).unwrap();
    // Without the colours, which are between ESC and `m`.
    let text = output.text();
    let plain: String = text
        .split('\x1b')
        .map(|piece| piece.split_once('m').map_or(piece, |(_, letters)| letters))
        .collect();
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), 15);
    assert!(lines.iter().all(|l| l.chars().count() == 30));
    // By FNV-1a. Floats are exact, so every engine must draw the same.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    assert_eq!(hash, FERN, "{hash:#x}\n{plain}");
}

/// Another runtime (the one of Node) draws the same.
const FERN: u64 = 0x38fc_2975_a455_7eba;

fn source_lines(engine: &Engine) {
    let module = Module::new(engine, include_bytes!("../programs/lines.wasm")).unwrap();
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &module, &[]).unwrap();
    let entry = i.typed_func::<i32, i32>(&mut store, "entry").unwrap();
    let error = entry.call(&mut store, 5).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::Unreachable));
    let frames = error.backtrace().unwrap().frames();
    let places: Vec<Vec<(String, u32)>> = frames
        .iter()
        .map(|frame| {
            let places = frame.source_locations().into_iter();
            places
                .filter(|p| p.file.ends_with("lines.rs"))
                .map(|p| (p.function.unwrap_or_default(), p.line.unwrap_or(0)))
                .collect()
        })
        .collect();
    let place = |function: &str, line: u32| (function.to_owned(), line);
    assert_eq!(
        places,
        [vec![place("lines::divide", 16)], vec![place("lines::average", 23), place("entry", 29)]]
    );
    assert!(format!("{error:#}").contains("programs/lines.rs:23"));
}

/// Thousands of different functions, as compilers of languages make them, calling each other.
fn large(engine: &Engine) {
    const FUNCTIONS: u32 = 6000;
    let mut text = String::from("(module (memory 1) (global $g (mut i64) (i64.const 1))\n");
    for f in 0..FUNCTIONS {
        let next = f + 1;
        let call = if next < FUNCTIONS && next % 500 != 0 {
            format!("(call $f{next} (i32.add (local.get 0) (i32.const 1)))")
        } else {
            "(i64.const 3)".to_owned()
        };
        text.push_str(&format!(
            r#"(func $f{f} (export "f{f}") (param i32) (result i64) (local i64 f64)
              (local.set 1 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const {f})))
              (i64.store (i32.and (local.get 0) (i32.const 0xfff8)) (local.get 1))
              (local.set 2 (f64.convert_i64_s (local.get 1)))
              (if (f64.gt (local.get 2) (f64.const {f})) (then
                (global.set $g (i64.xor (global.get $g) (i64.rotl (local.get 1) (i64.const {})))))
              (else (local.set 1 (i64.load offset={} (i32.and (local.get 0) (i32.const 1023))))))
              (i64.add (local.get 1) {call}))
            "#,
            f % 63,
            8 * (f % 100),
        ));
    }
    text.push(')');
    let module = Module::new(engine, &text).unwrap();
    // Over a megabyte on x86-64; other processors need less.
    if is_compiled(engine) {
        assert!(module.code_size() > 1 << 19, "{}", module.code_size());
    }
    let mut store = Store::new(engine, ());
    let i = Instance::new(&mut store, &module, &[]).unwrap();
    let sums: Vec<i64> = [0, 500, 5999]
        .map(|f| i.typed_func::<i32, i64>(&mut store, &format!("f{f}")).unwrap())
        .map(|f| f.call(&mut store, 7).unwrap())
        .into();
    assert_eq!(sums, SUMS);
}

/// From a model of the functions in another language.
const SUMS: [i64; 3] = [42415003, 106540003, 41996];
