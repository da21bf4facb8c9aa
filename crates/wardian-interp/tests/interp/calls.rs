//! Calls, returns, tail calls, and what the runtime sees of them.

use crate::ask::{positions, results, run};
use crate::world::{End, World};
use wardian_interp::Options;
use wardian_types::TrapCode;
use wardian_vm::interpreted::target;

const FIB: &str = r#"(module (func $fib (export "fib") (param i32) (result i32)
    local.get 0 i32.const 2 i32.lt_s
    if (result i32) local.get 0
    else local.get 0 i32.const 1 i32.sub call $fib local.get 0 i32.const 2 i32.sub call $fib i32.add
    end))"#;

#[test]
fn recursion() {
    assert_eq!(results(FIB, "fib", &[20]), [6765]);
}

#[test]
fn results_may_overwrite_the_header() {
    let wat = r#"(module
        (func $five (result i32 i64 i32 i64 i32)
            i32.const 1 i64.const 2 i32.const 3 i64.const 4 i32.const 5)
        (func (export "f") (result i32 i64 i32 i64 i32 i32) (local i32)
            i32.const 77 local.set 0 call $five local.get 0))"#;
    assert_eq!(results(wat, "f", &[]), [1, 2, 3, 4, 5, 77]);
}

#[test]
fn the_stack_overflows_at_the_call() {
    let wat = r#"(module (func $f (export "f") (param i32) (result i32)
        local.get 0 i32.const 1 i32.add call $f i32.const 1 i32.add))"#;
    let mut world = World::with_slots(10_000);
    world.add(wat, Options::default());
    let at = positions(&world, 0, 0, "Call")[0];
    assert_eq!(world.call(0, "f", &[0]), End::Trapped(TrapCode::StackOverflow, at));
}

#[test]
fn calls_through_tables_are_checked_in_order() {
    let wat = r#"(module (type $i (func (result i32))) (type $l (func (result i64)))
        (table 4 funcref) (elem (i32.const 0) $one $two)
        (func $one (result i32) i32.const 1) (func $two (result i64) i64.const 2)
        (func (export "f") (param i32) (result i32) local.get 0 call_indirect (type $i))
        (func (export "t") (param i32) (result i32) local.get 0 return_call_indirect (type $i)))"#;
    for name in ["f", "t"] {
        assert_eq!(results(wat, name, &[0]), [1]);
        for (index, code) in [
            (1, TrapCode::BadSignature),
            (2, TrapCode::IndirectCallToNull),
            (4, TrapCode::UndefinedElement),
            (0xffff_ffff, TrapCode::UndefinedElement),
        ] {
            assert!(matches!(run(wat, name, &[index]), End::Trapped(c, _) if c == code), "{index}");
        }
    }
}

#[test]
fn tail_calls_take_no_room() {
    let wat = r#"(module (type $t (func (param i32 i64) (result i64)))
        (table 1 funcref) (elem (i32.const 0) $odd)
        (func $even (export "f") (type $t)
            local.get 0 i32.eqz if local.get 1 return end
            i64.const 9 local.get 0 i32.const 1 i32.sub local.get 1 i64.const 2 i64.add
            i32.const 0 return_call_indirect (type $t))
        (func $odd (type $t) (local i64 i64)
            local.get 0 i32.const 1 i32.sub local.get 1 i64.const 3 i64.add local.get 2 i64.add
            call $more)
        (func $more (type $t) local.get 0 local.get 1 i32.const 7 i32.const 8 return_call $wide)
        (func $wide (param i32 i64 i32 i32) (result i64)
            local.get 0 local.get 1 return_call $even))"#;
    let wat = wat.replace("call $more)", "return_call $more)");
    let mut world = World::with_slots(200);
    world.add(&wat, Options::default());
    assert_eq!(world.call(0, "f", &[1_000_000, 0]), End::Returned(vec![2_500_000]));
    let forever = r#"(module (func $f (export "f") (param i32) local.get 0 return_call $f))"#;
    let mut world = World::with_slots(200);
    world.add(forever, Options::default());
    world.store.interrupt = 1.into();
    assert_eq!(world.call(0, "f", &[1]), End::Ended);
    assert_eq!([world.location()], positions(&world, 0, 0, "ReturnCall")[..]);
}

#[test]
fn interrupts_stop_calls_before_they_are_made() {
    let mut world = World::new();
    world.add(FIB, Options::default());
    world.store.interrupt = 1.into();
    assert_eq!(world.call(0, "fib", &[10]), End::Ended);
    assert_eq!(world.location(), positions(&world, 0, 0, "Call")[0]);
    world.store.interrupt = 0.into();
    assert_eq!(world.go_on(), End::Returned(vec![55]));
}

#[test]
fn host_functions_are_called_directly() {
    let wat = r#"(module (import "h" "add" (func $add (param i32 i32) (result i32)))
        (import "h" "end" (func $end (result i32)))
        (import "h" "grow" (func $grow)) (memory 1)
        (func (export "f") (param i32) (result i32)
            i32.const 1000 local.get 0 i32.const 5 call $add i32.add)
        (func (export "e") (result i32) call $end i32.const 1 i32.add)
        (func (export "g") (result i32) call $grow i32.const 65536 i32.load i32.const 3 i32.add))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    assert_eq!(world.call(0, "f", &[30]), End::Returned(vec![1035]));
    assert_eq!(world.call(0, "g", &[]), End::Returned(vec![3]));
    assert_eq!(world.call(0, "e", &[]), End::Ended);
    // Resumed, it is behind the call, whose result is what the slot says.
    world.store.exit = 0;
    assert!(matches!(world.go_on(), End::Returned(_)));
}

#[test]
fn calls_to_other_instances_change_memory_and_come_back() {
    let other = r#"(module (memory 1) (data (i32.const 8) "\2a")
        (func (export "get") (param i32) (result i32) local.get 0 i32.load8_u)
        (func (export "tail") (param i32 i32 i32) (result i32) local.get 2 i32.load8_u))"#;
    let main = r#"(module (import "m0" "get" (func $get (param i32) (result i32)))
        (import "m0" "tail" (func $tail (param i32 i32 i32) (result i32)))
        (memory 2) (data (i32.const 8) "\07") (table 1 funcref)
        (func $jump (param i32) (result i32)
            i32.const 0 i32.const 0 local.get 0 return_call $tail)
        (func (export "f") (param i32) (result i32)
            local.get 0 i32.load8_u i32.const 1000 i32.mul
            local.get 0 call $get i32.add
            local.get 0 call $jump i32.add
            i32.const 100000 i32.load8_u i32.add
            local.get 0 i32.load8_u i32.add))"#;
    let mut world = World::new();
    world.add(other, Options::default());
    world.add(main, Options::default());
    assert_eq!(world.call(1, "f", &[8]), End::Returned(vec![7000 + 42 + 42 + 7]));
}

#[test]
fn the_runtime_is_asked_for_calls() {
    let wat = r#"(module (func $other (param i32 i32) (result i32) unreachable)
        (func (export "f") (param i32) (result i32)
            i32.const 100 local.get 0 i32.const 3 call $other i32.add)
        (func (export "t") (param i32) (result i32) local.get 0 i32.const 3 return_call $other))"#;
    let mut world = World::new();
    world.add(wat, Options::default());
    world.by_runtime = true;
    assert_eq!(world.call(0, "f", &[5]), End::Call(target::RUNTIME, vec![5, 3], false));
    assert_eq!(world.store.call.defined, 0);
    assert_eq!(world.store.call.ctx, world.instances[0].vmctx());
    world.answer(&[11]);
    assert_eq!(world.go_on(), End::Returned(vec![111]));
    assert_eq!(world.call(0, "t", &[5]), End::Call(target::RUNTIME, vec![5, 3], true));
}

#[test]
fn the_native_stack_does_not_grow() {
    let other = r#"(module (memory 1) (func (export "id") (param i32) (result i32) local.get 0))"#;
    let main = r#"(module (type $t (func (param i32) (result i32)))
        (import "m0" "id" (func $id (param i32) (result i32)))
        (import "h" "add" (func $add (param i32 i32) (result i32)))
        (memory 1) (table 1 funcref) (elem (i32.const 0) $own) (global $g (mut i32) (i32.const 0))
        (func $own (param i32) (result i32) (local i64 f64) local.get 0)
        (func $tail (param i32) (result i32) local.get 0 return_call $own)
        (func $two (param i32) (result i32 i32) local.get 0 i32.const 0)
        (func (export "f") (param $n i32) (result i32) (local $i i32) (local $v v128) (local $d f64)
            (loop
                local.get $i call $own i32.const 0 call_indirect (type $t) call $id
                call $tail i32.const 0 call $add call $two i32.add
                i32.const 3 i32.div_u i32.const 3 i32.mul drop
                i32.const 64 local.get $i i32.store i32.const 64 i32.load global.set $g
                i32.const 8 local.get $v i32x4.neg v128.store
                i32.const 0 i32.const 16 i32.const 32 memory.copy
                (block (block (block local.get $i i32.const 3 i32.and br_table 0 1 2)))
                local.get $d f64.const 0.5 f64.add f64.floor local.set $d
                i32.const 72 local.get $i i32.atomic.rmw.add drop
                i32.const 0 memory.grow drop
                local.get $i i32.const 1 i32.add local.tee $i local.get $n i32.lt_u br_if 0)
            local.get $i))"#;
    let run = move || {
        let mut world = World::new();
        world.add(other, Options::default());
        world.add(
            main,
            Options { tiering: true, fuel: true, canonical_nans: true, ..Options::default() },
        );
        world.call(1, "f", &[200_000])
    };
    let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), End::Returned(vec![200_000]));
}
