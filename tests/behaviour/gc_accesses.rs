//! Accesses to fields and elements beside each other, of all widths: an engine may make one of several.

use crate::matrix::{Behaviour, instance};
use std::fmt::Write;
use wardian::{Engine, Store, Val};

pub(crate) const TABLE: &[Behaviour] =
    &[("what is read, changed and written again is right for each width", updates)];

/// How a field is stored, and how it is read.
#[derive(Clone, Copy)]
struct Width {
    storage: &'static str,
    get: &'static str,
    bits: u32,
    signed: bool,
}

const WIDTHS: [Width; 6] = [
    Width { storage: "i8", get: "get_s", bits: 8, signed: true },
    Width { storage: "i8", get: "get_u", bits: 8, signed: false },
    Width { storage: "i16", get: "get_s", bits: 16, signed: true },
    Width { storage: "i16", get: "get_u", bits: 16, signed: false },
    Width { storage: "i32", get: "get", bits: 32, signed: true },
    Width { storage: "i64", get: "get", bits: 64, signed: true },
];

impl Width {
    fn ty(self) -> &'static str {
        if self.bits == 64 { "i64" } else { "i32" }
    }

    /// A value as it is read after it was written.
    fn kept(self, value: i64) -> i64 {
        let unused = 64 - self.bits;
        match self.signed {
            true => value << unused >> unused,
            false => ((value as u64) << unused >> unused) as i64,
        }
    }
}

type Binary = fn(i64, i64) -> i64;

const OPERATIONS: [(&str, Binary); 5] = [
    ("add", i64::wrapping_add),
    ("sub", i64::wrapping_sub),
    ("and", |a, b| a & b),
    ("or", |a, b| a | b),
    ("xor", |a, b| a ^ b),
];

/// What the other operand is: text, and its value for the second argument and what the other field holds.
const OPERANDS: [(&str, Binary); 4] = [
    ("(local.get $b)", |b, _| b),
    ("({ty}.const -77)", |_, _| -77),
    ("{other}", |_, other| other),
    ("({ty}.mul (local.get $b) ({ty}.const 3))", |b, _| b.wrapping_mul(3)),
];

/// Gets and sets of one thing, and of another one.
fn places(width: Width) -> [[String; 3]; 2] {
    let Width { storage, get, .. } = width;
    let s = format!("${storage}s");
    let a = format!("${storage}a");
    [
        [
            format!("(struct.{get} {s} 0 (local.get $p))"),
            format!("(struct.set {s} 0 (local.get $p) {{value}})"),
            format!("(struct.{get} {s} 1 (local.get $p))"),
        ],
        [
            format!("(array.{get} {a} (local.get $x) (local.get $i))"),
            format!("(array.set {a} (local.get $x) (local.get $i) {{value}})"),
            format!("(array.{get} {a} (local.get $x) (i32.sub (local.get $i) (i32.const 1)))"),
        ],
    ]
}

/// The value that all second fields and first elements have.
const OTHER: i64 = 0x1122_3344_f566_7788;

fn text() -> String {
    let mut text = String::from("(module (func $nothing)");
    for storage in ["i8", "i16", "i32", "i64"] {
        write!(
            text,
            "(type ${storage}s (struct (field (mut {storage})) (field (mut {storage}))))
            (type ${storage}a (array (mut {storage})))"
        )
        .unwrap();
    }
    for (w, width) in WIDTHS.iter().enumerate() {
        let (ty, storage) = (width.ty(), width.storage);
        let other = if ty == "i64" { OTHER } else { i64::from(OTHER as i32) };
        for (p, [get, set, second]) in places(*width).iter().enumerate() {
            for (o, (operation, _)) in OPERATIONS.iter().enumerate() {
                for (r, (operand, _)) in OPERANDS.iter().enumerate() {
                    let operand = operand.replace("{ty}", ty).replace("{other}", second);
                    let forth = format!("({ty}.{operation} {get} {operand})");
                    let back = format!("({ty}.{operation} {operand} {get})");
                    for (d, value) in [forth, back].iter().enumerate() {
                        let update = set.replace("{value}", value);
                        write!(
                            text,
                            r#"(func (export "f{w}{p}{o}{r}{d}") (param $a {ty}) (param $b {ty})
                              (result {ty} {ty})
                              (local $p (ref null ${storage}s)) (local $x (ref null ${storage}a)) (local $i i32)
                              (local.set $p (struct.new ${storage}s (local.get $a) ({ty}.const {other})))
                              (local.set $x (array.new_fixed ${storage}a 2
                                ({ty}.const {other}) (local.get $a)))
                              (local.set $i (i32.const 1))
                              (call $nothing) {update} {get} (call $nothing) {update} {update} {get})"#
                        )
                        .unwrap();
                    }
                }
            }
        }
    }
    text + ")"
}

fn updates(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, &text());
    for (w, width) in WIDTHS.iter().enumerate() {
        for p in 0..2 {
            for (o, (_, operation)) in OPERATIONS.iter().enumerate() {
                for (r, (_, operand)) in OPERANDS.iter().enumerate() {
                    for d in 0..2 {
                        let name = format!("f{w}{p}{o}{r}{d}");
                        let f = i.get_func(&mut store, &name).expect("it is exported");
                        for (a, b) in [(5, 3), (0x7f, 0x81), (-1, 0x7fff), (0x1234_5678, -9)] {
                            let by = operand(b, width.kept(OTHER));
                            let update = |x: i64| {
                                let new = if d == 0 { operation(x, by) } else { operation(by, x) };
                                width.kept(new)
                            };
                            let once = update(width.kept(a));
                            let expected = [once, update(update(once))];
                            let [a, b] = [a, b].map(|value| match width.bits {
                                64 => Val::I64(value),
                                _ => Val::I32(value as i32),
                            });
                            let mut results = [Val::I32(0), Val::I32(0)];
                            f.call(&mut store, &[a.clone(), b.clone()], &mut results).unwrap();
                            let found = results.map(|result| match result {
                                Val::I64(value) => value,
                                // As 32 bits are kept.
                                value => i64::from(value.i32().expect("a number")),
                            });
                            assert_eq!(found, expected, "{name} {a:?} {b:?}");
                        }
                    }
                }
            }
        }
    }
}
