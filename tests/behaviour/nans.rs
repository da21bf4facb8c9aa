//! The deterministic profile: with it no operator shows which processor runs it.

use crate::matrix::{Behaviour, instance};
use std::fmt::Write as _;
use wardian::{Engine, Store};

pub(crate) const TABLE: &[Behaviour] = &[
    ("canonical NaNs come from every operator that may choose", chosen),
    ("canonical NaNs come from operators on constants", constants),
    ("canonical NaNs do not replace bits that are only moved", moved),
    ("relaxed operators give what the deterministic profile says", relaxed),
];

/// NaNs with a sign, a payload, or signalling; as `f64`s too once shifted.
const NANS: [u32; 5] = [0x7fa0_0000, 0xffc0_0000, 0x7f80_0001, 0xffff_ffff, 0x7fc1_2345];
const CANONICAL32: u32 = 0x7fc0_0000;
const CANONICAL64: u64 = 0x7ff8_0000_0000_0000;

fn canonical(engine: &Engine) -> Store<()> {
    let mut config = engine.config().clone();
    config.deterministic(true);
    Store::new(&Engine::new(&config).unwrap(), ())
}

/// A NaN with the same sign, the same quiet bit and some payload.
fn wide(nan: u32) -> u64 {
    let (sign, quiet) = (u64::from(nan >> 31), u64::from(nan >> 22 & 1));
    sign << 63 | 0x7ff << 52 | quiet << 51 | 0x1234_5678_9abc
}

const UNARY: &[&str] = &["sqrt", "ceil", "floor", "trunc", "nearest"];
const BINARY: &[&str] = &["add", "sub", "mul", "div", "min", "max"];
const RELAXED: &[&str] = &["relaxed_min", "relaxed_max"];
const TERNARY: &[&str] = &["relaxed_madd", "relaxed_nmadd"];

/// Functions from bits to bits: name, bits of the operands, bits of the results, expression of `x`, `y`.
fn functions() -> Vec<(String, u32, u32, String)> {
    let mut all = Vec::new();
    for bits in [32, 64] {
        let (x, y) = (format!("(local.get $x{bits})"), format!("(local.get $y{bits})"));
        for op in UNARY {
            all.push((format!("f{bits}.{op}"), bits, bits, format!("(f{bits}.{op} {x})")));
        }
        for op in BINARY {
            all.push((format!("f{bits}.{op}"), bits, bits, format!("(f{bits}.{op} {x} {y})")));
        }
    }
    all.push(("promote".into(), 32, 64, "(f64.promote_f32 (local.get $x32))".into()));
    all.push(("demote".into(), 64, 32, "(f32.demote_f64 (local.get $x64))".into()));
    all
}

fn vector_functions() -> Vec<(String, u32, u32, String)> {
    let mut all = Vec::new();
    for (shape, bits) in [("f32x4", 32), ("f64x2", 64)] {
        let (x, y) = (
            format!("({shape}.splat (local.get $x{bits}))"),
            format!("({shape}.splat (local.get $y{bits}))"),
        );
        for op in UNARY {
            all.push((format!("{shape}.{op}"), bits, bits, format!("({shape}.{op} {x})")));
        }
        for op in BINARY.iter().chain(RELAXED) {
            all.push((format!("{shape}.{op}"), bits, bits, format!("({shape}.{op} {x} {y})")));
        }
        for op in TERNARY {
            all.push((format!("{shape}.{op}"), bits, bits, format!("({shape}.{op} {x} {y} {x})")));
        }
    }
    let x = "(f32x4.splat (local.get $x32))";
    all.push(("promote_low".into(), 32, 64, format!("(f64x2.promote_low_f32x4 {x})")));
    let x = "(f64x2.splat (local.get $x64))";
    all.push(("demote_zero".into(), 64, 32, format!("(f32x4.demote_f64x2_zero {x})")));
    all
}

/// The text of a function that takes two `i64`s with the operands' bits and gives the result's.
fn text(name: &str, to: u32, expression: &str) -> String {
    let bits = match to {
        32 => format!("(i64.extend_i32_u (i32.reinterpret_f32 {expression}))"),
        _ => format!("(i64.reinterpret_f64 {expression})"),
    };
    let mut text = format!(
        "(func (export \"{name}\") (param i64 i64) (result i64)
           (local $x32 f32) (local $y32 f32) (local $x64 f64) (local $y64 f64)"
    );
    for (i, name) in ["x", "y"].into_iter().enumerate() {
        let _ = write!(
            text,
            "(local.set ${name}32 (f32.reinterpret_i32 (i32.wrap_i64 (local.get {i}))))
             (local.set ${name}64 (f64.reinterpret_i64 (local.get {i})))"
        );
    }
    text + &bits + ")"
}

fn scalars() -> String {
    functions().iter().map(|(name, _, to, e)| text(name, *to, e)).collect()
}

fn vectors() -> String {
    let extracted = |(name, _, to, e): &(String, u32, u32, String)| {
        let shape = if *to == 32 { "f32x4" } else { "f64x2" };
        text(name, *to, &format!("({shape}.extract_lane 0 {e})"))
    };
    vector_functions().iter().map(extracted).collect()
}

fn chosen(engine: &Engine) {
    let mut store = canonical(engine);
    let i = instance(&mut store, &format!("(module {} {})", scalars(), vectors()));
    for (name, from, to, _) in functions().into_iter().chain(vector_functions()) {
        let f = i.typed_func::<(i64, i64), i64>(&mut store, &name).unwrap();
        let expected = if to == 32 { u64::from(CANONICAL32) } else { CANONICAL64 };
        for nan in NANS {
            let (nan, one) = match from {
                32 => (u64::from(nan), u64::from(1f32.to_bits())),
                _ => (wide(nan), 1f64.to_bits()),
            };
            let unary = UNARY.iter().any(|op| name.ends_with(op)) || name.contains("mote");
            for (x, y) in [(nan, one), (one, nan), (nan, nan ^ 2)] {
                if unary && x == one {
                    continue;
                }
                let found = f.call(&mut store, (x as i64, y as i64)).unwrap() as u64;
                assert_eq!(found, expected, "{name} {x:x} {y:x}: {found:x}");
            }
        }
    }
}

/// What is known when it is compiled, and NaNs of operands that are none.
fn constants(engine: &Engine) {
    let mut store = canonical(engine);
    let i = instance(
        &mut store,
        r#"(module
          (func (export "folded") (result f32) (f32.add (f32.const nan:0x200000) (f32.const 1)))
          (func (export "unchanged") (result f32) (f32.mul (f32.const -nan:0x212345) (f32.const 1)))
          (func (export "zeros") (result f32) (f32.div (f32.const 0) (f32.const 0)))
          (func (export "root") (param f32) (result f32) (f32.sqrt (local.get 0)))
          (func (export "infinities") (param f32) (result f32)
            (f32.sub (local.get 0) (local.get 0))))"#,
    );
    for name in ["folded", "unchanged", "zeros"] {
        let f = i.typed_func::<(), f32>(&mut store, name).unwrap();
        assert_eq!(f.call(&mut store, ()).unwrap().to_bits(), CANONICAL32, "{name}");
    }
    for (name, operand) in [("root", -1.0), ("infinities", f32::INFINITY)] {
        let f = i.typed_func::<f32, f32>(&mut store, name).unwrap();
        assert_eq!(f.call(&mut store, operand).unwrap().to_bits(), CANONICAL32, "{name}");
    }
}

fn moved(engine: &Engine) {
    let mut store = canonical(engine);
    let moves = [
        ("get", "(local.get $x64)", 0u64, 0u64),
        ("neg", "(f64.neg (local.get $x64))", 0, 1 << 63),
        ("abs", "(f64.abs (local.get $x64))", 1 << 63, 0),
        ("copysign", "(f64.copysign (local.get $x64) (f64.const -1))", 1 << 63, 1 << 63),
        ("select", "(select (local.get $x64) (f64.const 0) (i32.const 1))", 0, 0),
        ("memory", "(f64.store (i32.const 8) (local.get $x64)) (f64.load (i32.const 8))", 0, 0),
        (
            "pmin",
            "(f64x2.extract_lane 1 (f64x2.pmin (f64x2.splat (local.get $x64)) (v128.const f64x2 1 1)))",
            0,
            0,
        ),
        ("lane", "(f64x2.extract_lane 0 (f64x2.neg (f64x2.splat (local.get $x64))))", 0, 1 << 63),
    ];
    let functions = moves.map(|(name, expression, ..)| {
        format!(
            "(func (export \"{name}\") (param i64) (result i64) (local $x64 f64)
               (local.set $x64 (f64.reinterpret_i64 (local.get 0)))
               {expression} i64.reinterpret_f64)"
        )
    });
    let i = instance(&mut store, &format!("(module (memory 1) {})", functions.concat()));
    for (name, _, cleared, flipped) in moves {
        let f = i.typed_func::<i64, i64>(&mut store, name).unwrap();
        for nan in NANS.map(wide) {
            let found = f.call(&mut store, nan as i64).unwrap() as u64;
            assert_eq!(found, nan & !cleared ^ flipped, "{name} {nan:x}: {found:x}");
        }
    }
}

/// Each choice that the specification leaves, at operands for which the choices differ.
fn relaxed(engine: &Engine) {
    let mut store = canonical(engine);
    // The square of `x` has more digits than there is room for; rounded twice, all else cancels out.
    let x = format!("(f64x2.splat (f64.const {:?}))", 1.0 + f64::EPSILON);
    let square = format!("(f64x2.mul {x} {x})");
    let x4 = format!("(f32x4.splat (f32.const {:?}))", 1.0 + f32::EPSILON);
    let square4 = format!("(f32x4.mul {x4} {x4})");
    let least = "(i8x16.splat (i32.const -128))";
    let select =
        "(v128.const i64x2 0x0f0f 0) (v128.const i64x2 0xf0f0 0) (v128.const i64x2 0x80ff 0)";
    let rows = [
        ("f64x2.relaxed_madd", format!("{x} {x} (f64x2.neg {square})"), 0),
        ("f64x2.relaxed_nmadd", format!("{x} {x} {square}"), 0),
        ("f32x4.relaxed_madd", format!("{x4} {x4} (f32x4.neg {square4})"), 0),
        ("f32x4.relaxed_nmadd", format!("{x4} {x4} {square4}"), 0),
        ("i8x16.relaxed_swizzle", format!("{least} (i8x16.splat (i32.const 0x1f))"), 0),
        ("i32x4.relaxed_trunc_f32x4_s", "(f32x4.splat (f32.const nan))".into(), 0),
        ("i32x4.relaxed_trunc_f32x4_u", "(f32x4.splat (f32.const 1e30))".into(), u64::MAX),
        (
            "i32x4.relaxed_trunc_f64x2_s_zero",
            "(f64x2.splat (f64.const -1e30))".into(),
            0x8000_0000_8000_0000,
        ),
        ("i32x4.relaxed_trunc_f64x2_u_zero", "(f64x2.splat (f64.const -1))".into(), 0),
        ("i8x16.relaxed_laneselect", select.into(), 0x700f),
        ("f64x2.relaxed_min", "(v128.const f64x2 -0 0) (v128.const f64x2 0 0)".into(), 1 << 63),
        (
            "f64x2.relaxed_max",
            "(v128.const f64x2 -0 0) (v128.const f64x2 nan 0)".into(),
            CANONICAL64,
        ),
        (
            "i16x8.relaxed_q15mulr_s",
            "(i16x8.splat (i32.const -32768)) (i16x8.splat (i32.const -32768))".into(),
            0x7fff_7fff_7fff_7fff,
        ),
        ("i16x8.relaxed_dot_i8x16_i7x16_s", format!("{least} {least}"), 0x7fff_7fff_7fff_7fff),
        (
            "i32x4.relaxed_dot_i8x16_i7x16_add_s",
            format!("{least} {least} (v128.const i32x4 1 0 0 0)"),
            0x0000_fffe_0000_ffff,
        ),
    ];
    let function = |(name, operands, _): &(&str, String, u64)| {
        format!(
            "(func (export \"{name}\") (result i64) (i64x2.extract_lane 0 ({name} {operands})))"
        )
    };
    let functions: String = rows.iter().map(function).collect();
    let i = instance(&mut store, &format!("(module {functions})"));
    for (name, operands, expected) in rows {
        let f = i.typed_func::<(), i64>(&mut store, name).unwrap();
        let found = f.call(&mut store, ()).unwrap() as u64;
        assert_eq!(found, expected, "{name} {operands}: {found:x}");
    }
}
