//! Every instruction, again and again, on a small stack: a handler that calls the next one where it is to
//! jump uses up the thread's stack, and the process ends with the thread's name, which is the instruction's.
//!
//! The code is made from the table of instructions, so a new instruction is run as well. Those that need
//! something else around them are named in `tests/interp/apart.txt`, and run by `tests/interp/jumps.rs`.

use super::execute;
use crate::Translation;
use crate::op::{self, HEAD, Instruction, Opcode};
use crate::operand::{Branch, D, D32, D64, DW, Far, I32, S, SW, U16, U32, U64, V128, W};
use crate::table::instructions;
use std::ptr;
use std::sync::atomic::AtomicI32;
use wardian_types::{CodeOffset, DefinedFuncIndex};
use wardian_vm::addr::{CtxOffset, StackAddr};
use wardian_vm::heap::HeapWords;
use wardian_vm::interpreted::{FrameSlot, Function, SERVICES, exit, flag, header};
use wardian_vm::layout::{Builtin, StoreCtx, VmMemory, VmTable, instance};

const APART: &str = include_str!("../../tests/interp/apart.txt");

/// The stack of the thread that runs an instruction.
const STACK: usize = 256 << 10;
/// Times that an instruction stands in the loop, and rounds of it. A call takes 8 bytes of stack at least.
const COPIES: usize = 32;
const ROUNDS: i32 = 16_000;
const _: () = assert!(COPIES * ROUNDS as usize * 8 > 3 * STACK);

/// Where the instance has its memory, its table, an imported global and a global.
const MEMORY: u32 = 1024;
const TABLE: u32 = 1032;
const IMPORTED: u32 = 1040;
const GLOBAL: u32 = 1056;

/// Slots: the counter of the rounds, the first operand, the other operands, what is written.
const COUNTER: FrameSlot = FrameSlot::from_i32(8);
const FIRST: FrameSlot = FrameSlot::from_i32(10);
const OTHER: FrameSlot = FrameSlot::from_i32(12);
const WRITTEN: FrameSlot = FrameSlot::from_i32(20);
const FAR: FrameSlot = FrameSlot::from_i32(40);
const SLOTS: usize = 80;

/// The operands of an instruction that changes nothing that a later one depends on.
struct Operands {
    reads: usize,
    writes: i32,
}

/// An operand of an instruction, by its name there.
trait Made {
    fn made(operands: &mut Operands, instruction: &str, field: &str) -> Self;
}

macro_rules! read {
    ($($kind:ident)+) => { $(impl Made for $kind {
        fn made(operands: &mut Operands, _: &str, _: &str) -> Self {
            operands.reads += 1;
            $kind(if operands.reads == 1 { FIRST } else { OTHER })
        }
    })+ };
}
read! { S SW }

macro_rules! written {
    ($($kind:ident)+) => { $(impl Made for $kind {
        fn made(operands: &mut Operands, _: &str, _: &str) -> Self {
            operands.writes += 2;
            $kind(WRITTEN.add(operands.writes))
        }
    })+ };
}
written! { D D32 D64 DW W }

macro_rules! constant {
    ($($kind:ident $value:expr;)+) => { $(impl Made for $kind {
        fn made(_: &mut Operands, _: &str, _: &str) -> Self {
            $kind($value)
        }
    })+ };
}
constant! { Far FAR; U64 8; V128 0; Branch 0; }

impl Made for I32 {
    fn made(_: &mut Operands, instruction: &str, _: &str) -> Self {
        // The frame stays where it is.
        I32(if instruction == "window" { 0 } else { 8 })
    }
}

impl Made for U16 {
    fn made(_: &mut Operands, _: &str, field: &str) -> Self {
        U16(u16::from(field == "align"))
    }
}

impl Made for U32 {
    fn made(_: &mut Operands, instruction: &str, field: &str) -> Self {
        U32(match field {
            "memory" => MEMORY,
            "table" => TABLE,
            "at" if instruction.starts_with("imported") => IMPORTED,
            "at" => GLOBAL,
            "count" => 2,
            "offset" | "from" | "header" | "index" | "i" | "j" | "ty" | "size" => 0,
            "fuel" => 1,
            _ => panic!("{instruction}: what is the operand `{field}`?"),
        })
    }
}

macro_rules! put {
    ($($shape:tt => $($name:ident)+;)*) => {
        fn put(opcode: Opcode, code: &mut Vec<u16>) {
            match opcode { $($(Opcode::$name => put_one!($name $shape, code),)+)* }
        }
    };
}
macro_rules! put_one {
    ($name:ident { $($field:ident: $kind:ident),* }, $code:ident) => {{
        #[allow(unused, reason = "some have no operands")]
        let mut operands = Operands { reads: 0, writes: 0 };
        op::$name { $($field: Made::made(&mut operands, stringify!($name), stringify!($field)),)* }
            .put($code)
    }};
}
instructions!(put);

/// A loop in which an instruction stands many times, each time after one that leaves the first operand in
/// the register.
fn looped(opcode: Opcode) -> Vec<u16> {
    let mut code = Vec::new();
    let name = format!("{opcode:?}");
    op::loop_header { header: U32(0) }.put(&mut code);
    for _ in 0..COPIES {
        op::copy { d: D(WRITTEN), a: S(FIRST) }.put(&mut code);
        put(opcode, &mut code);
        // A branch back does on the way what the header does, and continues behind it.
        match &name {
            name if name.ends_with("back_hot") => {
                op::loop_header_hot { header: U32(0) }.put(&mut code);
            }
            name if name.ends_with("back") => op::loop_header { header: U32(0) }.put(&mut code),
            _ => {}
        }
    }
    let length = code.len() + <op::inc_br_ne_imm_back as Instruction>::UNITS;
    let target = Branch(-(length as i32));
    op::inc_br_ne_imm_back { a: S(COUNTER), by: I32(1), b: I32(ROUNDS), target }.put(&mut code);
    op::return_none { to: Far(FrameSlot::default()) }.put(&mut code);
    code
}

/// All builtins and services but one: they answer zero, whatever they are asked.
extern "C" fn zero() -> u64 {
    0
}

/// Whether a reference is of a type.
extern "C" fn one() -> u64 {
    1
}

/// Runs it in a store and an instance that are made by hand, with this first operand. If `asks`, the
/// runtime is asked wherever code has run long enough for that.
fn run(opcode: Opcode, first: u64, asks: bool) {
    let mut builtins = [zero as *const (); Builtin::COUNT + SERVICES];
    builtins[Builtin::RefTest as usize] = one as *const ();
    let mut bytes = vec![0_u64; 8192];
    let memory = VmMemory { base: bytes.as_mut_ptr().cast(), len: (8 * bytes.len()).into() };
    let mut elements = [0_u64; 64];
    let table = VmTable { base: elements.as_mut_ptr(), len: 64 };
    let mut global = [0_u128; 1];
    // SAFETY: all fields are numbers, null pointers or none.
    let mut store: StoreCtx = unsafe { std::mem::zeroed() };
    store.fuel = if asks { -1 } else { i64::MAX };
    store.builtins = builtins.as_ptr();
    // Whatever is read there is a header of an array of 1000 elements. What is allocated takes room; a struct of size
    // zero takes none.
    let allocated =
        if opcode == Opcode::array_new && !asks { COPIES * ROUNDS as usize * 2 } else { 0 };
    let mut heap = vec![1000_u64 << 32; 1024 + allocated];
    let limit = if asks { 0 } else { 64 + 8 * allocated as u64 };
    store.heap = HeapWords { base: heap.as_mut_ptr().cast(), next: 64, limit };
    let signatures = [0_u32; 1];
    let mut block = vec![0_u64; 512];
    block[instance::SIGNATURES as usize / 8] = signatures.as_ptr() as u64;
    block[instance::STORE as usize / 8] = &raw mut store as u64;
    block[instance::HEAP as usize / 8] = store.heap.base as u64;
    block[MEMORY as usize / 8] = &raw const memory as u64;
    block[TABLE as usize / 8] = &raw const table as u64;
    block[IMPORTED as usize / 8] = global.as_mut_ptr() as u64;
    let function = Function {
        entry: ptr::null(),
        frame_slots: SLOTS as u32,
        param_slots: 0,
        result_slots: 0,
        memory0: CtxOffset::from_u32(MEMORY),
        countdown: AtomicI32::new(if asks { 0 } else { i32::MAX }),
        defined: DefinedFuncIndex::from_u32(0),
        targets: ptr::null(),
    };
    let translation = Translation::new(&looped(opcode), function, &[], &[CodeOffset::FIRST]);
    let mut slots = vec![8_u64; SLOTS];
    slots[header::PREVIOUS as usize] = flag::BOUNDARY as u64;
    slots[header::IP as usize] = translation.function().entry as u64;
    slots[header::FUNCTION as usize] = translation.function() as *const Function as u64;
    slots[header::VMCTX as usize] = block.as_ptr() as u64;
    slots[COUNTER.as_i32() as usize] = 0;
    slots[FIRST.as_i32() as usize] = first;
    if format!("{opcode:?}").ends_with("set_func") {
        slots[OTHER.as_i32() as usize] = 0;
    }
    store.interp_fp = StackAddr::of(slots.as_mut_ptr());
    store.interp_limit = StackAddr::of(slots.as_ptr_range().end);
    // SAFETY: the frame is that of code whose operands are slots of it and places of the instance, which
    // all live; no address in it is more than a few bytes, so each access is inside the memory. What is
    // asked for takes no more arguments than registers hold, so it may leave them where they are.
    let status = unsafe { execute(&raw mut store) };
    assert_eq!(status, exit::RETURN, "{opcode:?} with {first}, trap {}", store.trap_code);
    assert_eq!(slots[COUNTER.as_i32() as usize], ROUNDS as u64, "{opcode:?} with {first}");
}

/// Whether zero, as first operand, is null where there must be an object.
fn traps_on_zero(opcode: Opcode) -> bool {
    let name = format!("{opcode:?}");
    let kinds = ["field_", "element_", "array_", "i31_get", "ref_cast", "trap_if_null"];
    kinds.iter().any(|kind| name.starts_with(kind))
}

#[test]
fn no_handler_uses_up_the_stack() {
    let apart: Vec<&str> = APART.lines().collect();
    let mut found = 0;
    for opcode in Opcode::ALL.iter().copied() {
        let name = format!("{opcode:?}");
        if apart.contains(&name.as_str()) {
            found += 1;
            continue;
        }
        let thread = std::thread::Builder::new().name(name.clone()).stack_size(STACK);
        // What a branch depends on is true, another number, and false.
        let work = move || {
            let firsts = if traps_on_zero(opcode) { &[8, 16][..] } else { &[8, 16, 0] };
            firsts.iter().for_each(|first| run(opcode, *first, false));
            run(opcode, 8, true);
        };
        thread.spawn(work).unwrap().join().unwrap_or_else(|_| panic!("{name}"));
    }
    assert_eq!(found, apart.len(), "each name in `apart.txt` is an instruction's");
    // Else handlers return to a loop, and nothing was tested.
    const { assert!(HEAD > 1 || cfg!(not(tail_dispatch)) || cfg!(debug_assertions)) };
}
