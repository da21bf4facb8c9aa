//! What is live where.

use super::{Liveness, ReadIndex};
use crate::Module;
use wardian_types::{DefinedFuncIndex, ModuleOffset};
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// What is live at the calls of the last function of a module, then at its loops, then at its beginning.
fn live(body: &str) -> Vec<Vec<u32>> {
    let text =
        format!("(module (tag $t) (func $f) (func (param i32 i32 i32) (local i32 i32) {body}))");
    let bytes = wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let module = Module::decode(bytes, wardian_types::CoreFeatures::all(), 1).expect("valid");
    let range = module.info().bodies.last().expect("it has two").clone();
    let start = range.start as u64;
    let body = FunctionBody::new(BinaryReader::new(&module.bytes()[range], start));
    let liveness = Liveness::of(&body).expect("well-formed");
    let names =
        |set: Vec<ReadIndex>| set.into_iter().map(|at| liveness.read()[at].as_u32()).collect();
    let mut found: Vec<Vec<u32>> = Vec::new();
    for wanted in [false, true] {
        let mut reader = body.get_operators_reader().expect("well-formed");
        while !reader.eof() {
            let position = ModuleOffset::from_u64(reader.original_position());
            match reader.read().expect("well-formed") {
                Operator::Call { .. } if !wanted => found.push(names(liveness.live_at(position))),
                Operator::Loop { .. } if wanted => found.push(names(liveness.live_at(position))),
                _ => {}
            }
        }
    }
    found.push(names(liveness.live_at_start()));
    found
}

#[test]
fn what_is_read_later_is_live() {
    let table: &[(&str, &[&[u32]])] = &[
        ("call $f", &[&[], &[]]),
        ("call $f (drop (local.get 1))", &[&[1], &[1]]),
        // What is written first is not.
        ("call $f (local.set 1 (i32.const 0)) (drop (local.get 1))", &[&[], &[]]),
        ("(local.set 1 (local.get 0)) call $f (drop (local.get 1))", &[&[1], &[0]]),
        // Of either branch.
        (
            "(if (local.get 0) (then call $f (drop (local.get 1))) (else (drop (local.get 2))))",
            &[&[1], &[0, 1, 2]],
        ),
        (
            "(if (local.get 0) (then (local.set 1 (i32.const 1)))) call $f (drop (local.get 1))",
            &[&[1], &[0, 1]],
        ),
        ("(block (br_if 0 (local.get 0)) call $f return) (drop (local.get 2))", &[&[], &[0, 2]]),
        // Around a loop: what an earlier operator of the next round reads.
        (
            "(loop $l (drop (local.get 1)) (local.set 3 (i32.const 1)) call $f                     (br_if $l (local.get 3)))",
            &[&[1, 3], &[1], &[1]],
        ),
        (
            "(loop $a (loop $b (drop (local.get 2)) call $f (br_if $b (local.get 0)))                     (local.set 2 (local.get 1)) (br $a))",
            &[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], &[0, 1, 2]],
        ),
        // Where an exception continues.
        (
            "(block $h (try_table (catch_all $h) call $f) return) (drop (local.get 1))",
            &[&[1], &[1]],
        ),
        (
            "try call $f catch $t (drop (local.get 1)) catch_all (drop (local.get 2)) end",
            &[&[1, 2], &[1, 2]],
        ),
        ("try try call $f delegate 0 catch $t (drop (local.get 1)) end", &[&[1], &[1]]),
        (
            "(block (block (br_table 0 1 (local.get 0))) call $f (drop (local.get 1)))                 (drop (local.get 2))",
            &[&[1, 2], &[0, 1, 2]],
        ),
        ("(return_call $f)", &[&[]]),
        // Code that is never reached reads nothing.
        ("call $f unreachable (drop (local.get 1))", &[&[], &[]]),
    ];
    for (body, expected) in table {
        assert_eq!(live(body), *expected, "{body}");
    }
}

#[test]
fn of_a_function_that_is_too_large_all_is_live() {
    let mut body = "call $f ".repeat(70_000);
    body.extend((0..3_000).map(|local| format!("(drop (local.get {local})) ")));
    let text = format!("(module (func $f) (func (local {}) {body}))", "i32 ".repeat(3_000));
    let bytes = wat::parse_str(&text).expect("well-formed");
    let module = Module::decode(bytes, wardian_types::CoreFeatures::all(), 1).expect("valid");
    let range = module.info().bodies[DefinedFuncIndex::from_u32(1)].clone();
    let body = FunctionBody::new(BinaryReader::new(&module.bytes()[range], 0));
    let liveness = Liveness::of(&body).expect("well-formed");
    assert!(liveness.coarse && liveness.live_at(ModuleOffset::default()).len() == 3_000);
}
