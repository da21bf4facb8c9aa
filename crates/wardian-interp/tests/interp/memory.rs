//! Bounds of memories of all kinds.

use crate::ask::{results, run};
use crate::world::{End, World};
use wardian_interp::Options;
use wardian_types::TrapCode;

fn is_trap(end: &End, code: TrapCode) -> bool {
    matches!(end, End::Trapped(c, _) if *c == code)
}

#[test]
fn offsets_do_not_wrap() {
    for (offset, address, fits) in [
        (0_u64, 65532_u64, true),
        (0, 65533, false),
        (4, 65528, true),
        (4, 65529, false),
        (0xffff_ffff, 0, false),
        (0xffff_ffff, 0xffff_ffff, false),
        (0xffff_fffc, 8, false),
        (1, 0xffff_ffff, false),
        (65532, 0, true),
    ] {
        let wat = format!(
            r#"(module (memory 1)
                (func (export "load") (param i32) (result i32) local.get 0 i32.load offset={offset})
                (func (export "sum") (param i32) (result i32)
                    local.get 0 i32.const 1 i32.sub local.set 0
                    local.get 0 i32.const 1 local.get 0 i32.const 0 i32.mul i32.add
                    i32.add i32.load offset={offset})
                (func (export "store") (param i32) (result i32)
                    local.get 0 i32.const 7 i32.store offset={offset} i32.const 0))"#
        );
        for name in ["load", "sum", "store"] {
            let end = run(&wat, name, &[address]);
            if fits {
                assert_eq!(end, End::Returned(vec![0]), "{name} {offset} {address}");
            } else {
                assert!(is_trap(&end, TrapCode::MemoryOutOfBounds), "{name} {offset} {address}");
            }
        }
    }
}

#[test]
fn addresses_of_64_bits() {
    let wat = r#"(module (memory i64 1)
        (func (export "f") (param i64) (result i32)
            local.get 0 i32.const 9 i32.store offset=8 local.get 0 i32.load offset=8)
        (func (export "far") (param i64) (result i32) local.get 0 i32.load offset=0xffffffffffffffff))"#;
    assert_eq!(results(wat, "f", &[65524]), [9]);
    for address in [65525, u64::MAX, u64::MAX - 8, 1 << 63, (1 << 63) - 9] {
        assert!(is_trap(&run(wat, "f", &[address]), TrapCode::MemoryOutOfBounds), "{address:x}");
    }
    for address in [0, 1, u64::MAX] {
        assert!(is_trap(&run(wat, "far", &[address]), TrapCode::MemoryOutOfBounds));
    }
}

#[test]
fn a_shared_memory_that_grew_is_seen() {
    let wat = r#"(module (memory 1 10 shared)
        (func (export "f") (param i32) (result i32)
            (loop local.get 0 i32.load drop local.get 0 i32.eqz br_if 0)
            local.get 0 i32.load i32.const 1 i32.add))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    let end = world.call(0, "f", &[70000]);
    assert!(is_trap(&end, TrapCode::MemoryOutOfBounds));
    // Interrupted in the loop, so that the length at hand is old when it goes on.
    world.store.interrupt = 1.into();
    assert_eq!(world.call(0, "f", &[70000]), End::Ended);
    world.store.interrupt = 0.into();
    world.instances[0].grow(0, 65536);
    assert_eq!(world.go_on(), End::Returned(vec![1]));
}

#[test]
fn other_memories_are_selected_for_an_access() {
    let wat = r#"(module (memory $a 1) (memory $b 2)
        (data (memory $a) (i32.const 0) "\01") (data (memory $b) (i32.const 0) "\02")
        (func (export "f") (param i32) (result i32)
            local.get 0 i32.load8_u $b i32.const 10 i32.mul local.get 0 i32.load8_u $a i32.add)
        (func (export "g") (param i32) (result i32)
            local.get 0 i32.const 5 i32.store $b local.get 0 i32.load $b local.get 0 i32.load $a i32.add))"#;
    assert_eq!(results(wat, "f", &[0]), [21]);
    assert!(is_trap(&run(wat, "g", &[70000]), TrapCode::MemoryOutOfBounds));
    let only = r#"(module (memory $a 1) (memory $b 2)
        (func (export "f") (param i32) (result i32) local.get 0 i32.load $b))"#;
    assert_eq!(results(only, "f", &[70000]), [0]);
    assert!(is_trap(&run(only, "f", &[140_000]), TrapCode::MemoryOutOfBounds));
}

#[test]
fn atomic_accesses_check_alignment_first() {
    let wat = r#"(module (memory 1 1 shared) (memory $own 1)
        (func (export "load") (param i32) (result i32) local.get 0 i32.atomic.load)
        (func (export "wait") (param i32) (result i32)
            local.get 0 i32.const 0 i64.const 0 memory.atomic.wait32 $own))"#;
    for name in ["load", "wait"] {
        assert!(is_trap(&run(wat, name, &[0xffff_ffff]), TrapCode::UnalignedAtomic), "{name}");
        assert!(is_trap(&run(wat, name, &[0xffff_fffc]), TrapCode::MemoryOutOfBounds), "{name}");
    }
    assert!(is_trap(&run(wat, "wait", &[8]), TrapCode::AtomicWaitNonShared));
}

#[test]
fn builtins_get_their_arguments() {
    let wat = r#"(module (memory 1 1 shared) (table $t 1 funcref) (elem $e func)
        (data $d "abc") (type $x (func))
        (func (export "notify") (result i32)
            i32.const 16 i32.const 3 memory.atomic.notify offset=8)
        (func (export "wait") (result i32)
            i32.const 16 i32.const 7 i64.const -1 memory.atomic.wait32 offset=4)
        (func (export "init") i32.const 1 i32.const 2 i32.const 3 table.init $t $e)
        (func (export "tgrow") (result i32) ref.null func i32.const 5 table.grow $t))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    // The stubs answer with all ones, which is cut to what the operator gives.
    assert_eq!(world.call(0, "notify", &[]), End::Returned(vec![0xffff_ffff]));
    assert_eq!(world.call(0, "wait", &[]), End::Returned(vec![0xffff_ffff]));
    assert_eq!(world.call(0, "init", &[]), End::Returned(vec![]));
    assert_eq!(world.call(0, "tgrow", &[]), End::Returned(vec![0xffff_ffff]));
    let asked: Vec<_> = world.log.iter().map(|(_, args)| args.clone()).collect();
    let minus_one = u64::MAX;
    assert_eq!(
        asked,
        [vec![0, 24, 3], vec![0, 20, 7, minus_one], vec![0, 0, 1, 2, 3], vec![0, 5, 0]]
    );
}
