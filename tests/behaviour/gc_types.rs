//! Types that modules declare: subtypes, recursive groups, casts, imports.

use crate::gc::{call, number};
use crate::matrix::{Behaviour, instance, linked, module};
use std::fmt::Write;
use std::time::{Duration, Instant};
use wardian::{
    Config, CoreFeatures, Engine, ErrorKind, ExternRef, Linker, Module, Store, TrapCode, Val,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("casts follow declared subtypes of any depth", casts),
    ("casts and branches tell all kinds of references apart", kinds),
    ("casts and calls through tables accept subtypes of functions", functions),
    ("objects are of equal types if the groups of these are equal", groups),
    ("imports are matched with subtypes", imports),
    ("features name what garbage collection allows", features),
    ("malformed types are refused in time", malformed),
    ("many types and deep ones are accepted in time", many),
];

/// A chain of struct types, each with one field more, and functions that make and test the one at each depth.
fn chain(depth: usize) -> String {
    let mut text = String::from("(module (type $t0 (sub (struct (field i32))))");
    for at in 1..depth {
        let fields = "(field i32)".repeat(at + 1);
        write!(text, "(type $t{at} (sub $t{} (struct {fields})))", at - 1).unwrap();
    }
    write!(text, "(type $other (sub $t0 (struct (field i32) (field i64))))").unwrap();
    write!(text, "(global $made (mut (ref null $t0)) (ref.null $t0))").unwrap();
    for at in 0..depth {
        write!(
            text,
            "(func (export \"make{at}\") (global.set $made (struct.new_default $t{at})))
             (func (export \"test{at}\") (result i32) (ref.test (ref $t{at}) (global.get $made)))
             (func (export \"cast{at}\") (result i32)
               (struct.get $t{at} {at} (ref.cast (ref $t{at}) (global.get $made))))
             (func (export \"branch{at}\") (result i32)
               (block $no (result (ref null $t0))
                 (block $yes (result (ref $t{at}))
                   (br $no (br_on_cast $yes (ref null $t0) (ref $t{at}) (global.get $made))))
                 (struct.get $t{at} {at}) (return (i32.add (i32.const 1))))
               (return (i32.const 0)) (drop))"
        )
        .unwrap();
    }
    text + "(func (export \"other\") (global.set $made (struct.new_default $other)))
      (func (export \"null\") (global.set $made (ref.null none))))"
}

fn casts(engine: &Engine) {
    // Deeper than the table has columns that code reads.
    const DEPTH: usize = 20;
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, &chain(DEPTH));
    let check = |store: &mut Store<()>, below: usize| {
        for at in 0..DEPTH {
            let is = i32::from(at < below);
            assert_eq!(number(store, i, &format!("test{at}"), &[]), is, "{at} of {below}");
            assert_eq!(number(store, i, &format!("branch{at}"), &[]), is, "{at} of {below}");
            match call(store, i, &format!("cast{at}"), &[]) {
                Ok(value) => assert_eq!((is, value.i32()), (1, Some(0))),
                Err(error) => {
                    assert_eq!((is, error.trap()), (0, Some(TrapCode::CastFailure)));
                }
            }
        }
    };
    for made in [0, 1, 6, 7, 8, 9, DEPTH - 1] {
        call(&mut store, i, &format!("make{made}"), &[]).unwrap();
        check(&mut store, made + 1);
    }
    call(&mut store, i, "other", &[]).unwrap();
    check(&mut store, 1);
    call(&mut store, i, "null", &[]).unwrap();
    check(&mut store, 0);
}

fn kinds(engine: &Engine) {
    const KINDS: [&str; 6] = ["any", "eq", "i31", "struct", "array", "none"];
    let mut text = String::from(
        "(module (type $s (struct)) (type $a (array i8))
         (func $make (param i32) (param externref) (result anyref)
           (if (i32.eq (local.get 0) (i32.const 0)) (then (return (ref.null none))))
           (if (i32.eq (local.get 0) (i32.const 1)) (then (return (ref.i31 (i32.const -1)))))
           (if (i32.eq (local.get 0) (i32.const 2)) (then (return (struct.new $s))))
           (if (i32.eq (local.get 0) (i32.const 3)) (then (return (array.new_fixed $a 0))))
           (any.convert_extern (local.get 1)))",
    );
    for kind in KINDS {
        for null in ["", "null"] {
            write!(
                text,
                "(func (export \"{kind}{null}\") (param i32 externref) (result i32)
                   (ref.test (ref {null} {kind}) (call $make (local.get 0) (local.get 1))))
                 (func (export \"on {kind}{null}\") (param i32 externref) (result i32)
                   (drop (block $l (result anyref)
                     (drop (br_on_cast $l anyref (ref {null} {kind}) (call $make (local.get 0) (local.get 1))))
                     (return (i32.const 0))))
                   (i32.const 1))
                 (func (export \"fail {kind}{null}\") (param i32 externref) (result i32)
                   (drop (block $l (result anyref)
                     (drop (br_on_cast_fail $l anyref (ref {null} {kind}) (call $make (local.get 0) (local.get 1))))
                     (return (i32.const 1))))
                   (i32.const 0))"
            )
            .unwrap();
        }
    }
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, &(text + ")"));
    // For null, an integer, a struct, an array and a value of the embedder's, whether each is of the kind.
    let expected = [
        ("any", [0, 1, 1, 1, 1]),
        ("eq", [0, 1, 1, 1, 0]),
        ("i31", [0, 1, 0, 0, 0]),
        ("struct", [0, 0, 1, 0, 0]),
        ("array", [0, 0, 0, 1, 0]),
        ("none", [0; 5]),
    ];
    for (kind, is) in expected {
        for (null, prefix) in
            ["", "null"].into_iter().flat_map(|n| ["", "on ", "fail "].map(|p| (n, p)))
        {
            for (made, is) in (0..).zip(is) {
                let name = format!("{prefix}{kind}{null}");
                let value = Val::ExternRef(Some(ExternRef::new(1)));
                let found = call(&mut store, i, &name, &[Val::I32(made), value]).unwrap();
                let wanted = if made == 0 { i32::from(!null.is_empty()) } else { is };
                assert_eq!(found.i32(), Some(wanted), "{name} of {made}");
            }
        }
    }
}

fn functions(engine: &Engine) {
    let mut store = Store::new(engine, ());
    let i = instance(
        &mut store,
        r#"(module
      (type $top (sub (func (param i32) (result anyref))))
      (type $mid (sub $top (func (param i32) (result eqref))))
      (type $low (sub final $mid (func (param i32) (result i31ref))))
      (type $other (func (param i32) (result anyref)))
      (func $f (type $low) (ref.i31 (local.get 0)))
      (func $m (type $mid) (ref.i31 (i32.add (local.get 0) (i32.const 100))))
      (table $t 3 funcref)
      (elem (table $t) (i32.const 0) func $f $m)
      (func (export "call") (param i32 i32) (result i32)
        (i31.get_s (ref.cast i31ref (call_indirect $t (type $top) (local.get 1) (local.get 0)))))
      (func (export "exact") (param i32 i32) (result i32)
        (i31.get_s (call_indirect $t (type $low) (local.get 1) (local.get 0))))
      (func (export "wrong") (param i32 i32) (result i32)
        (drop (call_indirect $t (type $other) (local.get 1) (local.get 0))) (i32.const 0))
      (func $tail (param i32 i32) (result anyref)
        (return_call_indirect $t (type $mid) (local.get 1) (local.get 0)))
      (func (export "tail") (param i32 i32) (result i32)
        (i31.get_s (ref.cast i31ref (call $tail (local.get 0) (local.get 1)))))
      (func (export "test") (param i32 i32) (result i32)
        (i32.or (ref.test (ref $top) (table.get $t (local.get 0)))
          (i32.or (i32.shl (ref.test (ref $mid) (table.get $t (local.get 0))) (i32.const 1))
            (i32.or (i32.shl (ref.test (ref $low) (table.get $t (local.get 0))) (i32.const 2))
              (i32.shl (ref.test (ref $other) (table.get $t (local.get 0))) (i32.const 3))))))
      (func (export "cast") (param i32 i32) (result i32)
        (i31.get_s (call_ref $low (local.get 1) (ref.cast (ref $low) (table.get $t (local.get 0)))))))"#,
    );
    for _ in 0..4 {
        assert_eq!(number(&mut store, i, "call", &[0, 7]), 7);
        assert_eq!(number(&mut store, i, "call", &[1, 7]), 107);
        assert_eq!(number(&mut store, i, "exact", &[0, 8]), 8);
        assert_eq!(number(&mut store, i, "tail", &[0, 9]), 9);
        assert_eq!(number(&mut store, i, "tail", &[1, 9]), 109);
        assert_eq!(number(&mut store, i, "test", &[0, 0]), 0b111);
        assert_eq!(number(&mut store, i, "test", &[1, 0]), 0b011);
        assert_eq!(number(&mut store, i, "test", &[2, 0]), 0);
        assert_eq!(number(&mut store, i, "cast", &[0, 10]), 10);
        for (name, at, code) in [
            ("exact", 1, TrapCode::BadSignature),
            ("wrong", 0, TrapCode::BadSignature),
            ("call", 2, TrapCode::IndirectCallToNull),
            ("call", 3, TrapCode::UndefinedElement),
            ("cast", 1, TrapCode::CastFailure),
            ("cast", 2, TrapCode::CastFailure),
        ] {
            let error = call(&mut store, i, name, &[Val::I32(at), Val::I32(1)]).unwrap_err();
            assert_eq!(error.trap(), Some(code), "{name} {at}: {error:#}");
        }
    }
}

fn groups(engine: &Engine) {
    // The same group, at another place and by other names.
    const ONE: &str = r#"(module
      (rec (type $a (sub (struct (field (ref null $b))))) (type $b (sub (struct (field (ref null $a) i32)))))
      (func (export "a") (result anyref) (struct.new $a (struct.new $b (ref.null $a) (i32.const 5)))))"#;
    const OTHER: &str = r#"(module
      (type $first (struct)) (type (sub (struct (field i64))))
      (rec (type $x (sub (struct (field (ref null $y))))) (type $y (sub (struct (field (ref null $x) i32)))))
      (rec (type $p (sub (struct (field (ref null $q))))) (type $q (sub (struct (field (ref null $p) i64)))))
      (type $alone (sub (struct (field (ref null $y)))))
      (func (export "read") (param anyref) (result i32)
        (struct.get $y 1 (struct.get $x 0 (ref.cast (ref $x) (local.get 0)))))
      (func (export "wrong") (param anyref) (result i32)
        (i32.or (ref.test (ref $p) (local.get 0)) (ref.test (ref $alone) (local.get 0)))))"#;
    let mut store = Store::new(engine, ());
    let one = instance(&mut store, ONE);
    let other = instance(&mut store, OTHER);
    let made = call(&mut store, one, "a", &[]).unwrap();
    assert_eq!(
        call(&mut store, other, "read", std::slice::from_ref(&made)).unwrap().i32(),
        Some(5)
    );
    assert_eq!(call(&mut store, other, "wrong", &[made]).unwrap().i32(), Some(0));
}

fn imports(engine: &Engine) {
    const EXPORTER: &str = r#"(module
      (type $s (sub (struct (field i32)))) (type $t (sub $s (struct (field i32) (field i32))))
      (type $f (sub (func (result (ref null $s))))) (type $g (sub $f (func (result (ref $t)))))
      (func (export "f") (type $f) (struct.new $s (i32.const 1)))
      (func (export "g") (type $g) (struct.new $t (i32.const 2) (i32.const 3)))
      (global (export "t") (ref $t) (struct.new $t (i32.const 4) (i32.const 5)))
      (global (export "m") (mut (ref null $t)) (ref.null $t))
      (table (export "tab") 1 (ref null $t)))"#;
    const TYPES: &str = r#"
      (type $s (sub (struct (field i32)))) (type $t (sub $s (struct (field i32) (field i32))))
      (type $f (sub (func (result (ref null $s))))) (type $g (sub $f (func (result (ref $t)))))"#;
    let mut store = Store::new(engine, ());
    let exporter = instance(&mut store, EXPORTER);
    let mut linker: Linker<()> = Linker::new(engine);
    linker.instance(&mut store, "e", exporter).unwrap();
    for (import, fits) in [
        ("(func (import \"e\" \"f\") (type $f))", true),
        ("(func (import \"e\" \"g\") (type $f))", true),
        ("(func (import \"e\" \"g\") (type $g))", true),
        ("(func (import \"e\" \"f\") (type $g))", false),
        ("(type $p (func (result (ref null $s)))) (func (import \"e\" \"f\") (type $p))", false),
        ("(global (import \"e\" \"t\") (ref $t))", true),
        ("(global (import \"e\" \"t\") (ref null $s))", true),
        ("(global (import \"e\" \"t\") (ref struct))", true),
        ("(global (import \"e\" \"t\") anyref)", true),
        ("(global (import \"e\" \"t\") arrayref)", false),
        ("(global (import \"e\" \"m\") (mut (ref null $t)))", true),
        ("(global (import \"e\" \"m\") (mut (ref null $s)))", false),
        ("(table (import \"e\" \"tab\") 1 (ref null $t))", true),
        ("(table (import \"e\" \"tab\") 1 (ref null $s))", false),
    ] {
        let module = module(engine, &format!("(module {TYPES} {import})"));
        let done = linker.instantiate(&mut store, &module);
        assert_eq!(done.is_ok(), fits, "{import}: {done:?}");
        if let Err(error) = done {
            assert!(matches!(error.kind(), ErrorKind::Link(_)), "{import}: {error}");
            assert!(error.to_string().contains("is needed"), "{import}: {error}");
        }
    }
    let reader = linked(
        &mut store,
        &linker,
        &format!(
            "(module {TYPES} (func $f (import \"e\" \"g\") (type $f))
               (func (export \"sum\") (result i32)
                 (struct.get $t 1 (ref.cast (ref $t) (call $f)))))"
        ),
    );
    assert_eq!(number(&mut store, reader, "sum", &[]), 3);
}

fn features(engine: &Engine) {
    let without = |features: CoreFeatures| {
        let mut config: Config = engine.config().clone();
        Engine::new(config.features(CoreFeatures::all() - features)).unwrap()
    };
    let text = "(module (type $s (struct (field i32))) (func (drop (struct.new_default $s))))";
    Module::new(engine, text).unwrap();
    let error = Module::new(&without(CoreFeatures::GC), text).unwrap_err().to_string();
    assert!(error.contains("the feature `gc`, which is off, would allow it"), "{error}");
    let error = Module::new(&without(CoreFeatures::FUNCTION_REFERENCES), text).unwrap_err();
    assert!(error.to_string().contains("`function-references`, which is off"), "{error}");
    let needed = Module::new(engine, text).unwrap().features_needed();
    assert!(needed.contains(CoreFeatures::GC | CoreFeatures::FUNCTION_REFERENCES), "{needed}");
    assert!(CoreFeatures::V3.contains(CoreFeatures::GC));
}

fn malformed(engine: &Engine) {
    let deep = |depth| {
        let mut text = String::from("(module (type $t0 (sub (struct)))");
        for at in 1..depth {
            write!(text, "(type $t{at} (sub $t{} (struct)))", at - 1).unwrap();
        }
        text + ")"
    };
    Module::new(engine, deep(60)).unwrap();
    let cases = [
        ("(module (type $a (sub $a (struct))))".into(), "must be defined before"),
        ("(module (rec (type $a (sub $b (struct))) (type $b (sub $a (struct)))))".into(), "must be defined before"),
        ("(module (type $a (struct (field (ref $b)))) (type $b (struct)))".into(), "unknown type 1"),
        ("(module (type $a (struct)) (type (sub $a (struct))))".into(), "final"),
        ("(module (type $a (sub (struct (field i32)))) (type (sub $a (struct))))".into(), "sub type"),
        ("(module (type $a (sub (array i8))) (type (sub $a (struct))))".into(), "sub type"),
        ("(module (type $a (struct)) (func (type $a)))".into(), "not a function type"),
        ("(module (func (param (ref 7))))".into(), "unknown type 7"),
        ("(module (type $a (struct (field i8))) (func (param (ref $a)) (result i32) (struct.get $a 0 (local.get 0))))".into(), "packed"),
        ("(module (type $a (array (ref any))) (func (drop (array.new_default $a (i32.const 1)))))".into(), "defaultable"),
        (deep(200), "too deep"),
    ];
    for (text, why) in cases {
        let begin = Instant::now();
        let error = Module::new(engine, text).unwrap_err();
        let reported = error.to_string().to_lowercase();
        assert!(reported.contains(why), "{why}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(60), "{why}");
    }
}

fn many(engine: &Engine) {
    // 100,000 groups, of which each names the one before.
    let mut bytes = b"\0asm\x01\0\0\0\x01".to_vec();
    let leb = |mut n: usize| {
        let mut out = Vec::new();
        loop {
            let more = n > 0x7f;
            out.push(n as u8 & 0x7f | if more { 0x80 } else { 0 });
            n >>= 7;
            if !more {
                return out;
            }
        }
    };
    const GROUPS: usize = 100_000;
    let mut section = leb(GROUPS);
    for at in 0..GROUPS {
        // A struct with a reference to the type before, and one to itself.
        section.extend([0x4e, 1, 0x5f, 2]);
        for of in [at.saturating_sub(1), at] {
            // Indices are signed numbers: one more bit.
            let mut index = leb(of);
            if index.last().is_some_and(|last| last & 0x40 != 0) {
                *index.last_mut().unwrap() |= 0x80;
                index.push(0);
            }
            section.push(0x63);
            section.extend(index);
            section.push(0);
        }
    }
    bytes.extend(leb(section.len()));
    bytes.extend(section);
    let begin = Instant::now();
    let first = Module::new(engine, &bytes).unwrap();
    let again = Module::new(engine, &bytes).unwrap();
    let mut store = Store::new(engine, ());
    for module in [&first, &again] {
        wardian::Instance::new(&mut store, module, &[]).unwrap();
    }
    assert_eq!(first.info().types.len(), GROUPS);
    assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", begin.elapsed());
}
