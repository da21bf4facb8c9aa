//! `setjmp` and `longjmp` for C programs, as host functions: a snapshot for each `setjmp`.
//!
//! What C keeps of a function lies in two places. The engine's frames are what a snapshot puts back.
//! Variables whose address is taken lie in the guest's memory, below the global `__stack_pointer`;
//! a snapshot changes neither. For memory that is what C wants: after `longjmp` variables have
//! the values they had then. But the stack pointer has to be put back, or each jump would leave some
//! stack behind.

use std::collections::HashMap;
use wardian::{
    CallOptions, Caller, Engine, Error, Linker, Memory, Module, Result, Store, Val,
    snapshot::Snapshot,
};
use wardian_wasi::{MemoryInput, MemoryOutput, WasiCtx};

/// A calculator that jumps out of its parser when something is wrong; its source is beside it.
const CALC: &[u8] = include_bytes!("guests/calc.wasm");

/// The stack pointer, exported by the linker's option `--export=__stack_pointer`. Programs that were
/// not stripped have it in their name section, where it is found as well.
const STACK_POINTER: &str = "__stack_pointer";

struct Host {
    wasi: WasiCtx,
    jumps: Jumps,
}

/// Where the program can jump to.
#[derive(Default)]
struct Jumps {
    latest: u32,
    /// By the number that stands in the `jmp_buf`.
    targets: HashMap<u32, Target>,
}

/// A `setjmp` that has been called.
struct Target {
    snapshot: Snapshot,
    stack_pointer: i32,
    /// Where its `jmp_buf` is, or was: a copy of it elsewhere works as well.
    buffer: u32,
}

impl Jumps {
    /// A new number. Targets that cannot be used any more are let go: that of the same buffer, and
    /// those of functions that have returned, for those had more on C's stack, which grows
    /// downwards. So there are never more of them than functions that call `setjmp` are open.
    fn add(&mut self, target: Target) -> u32 {
        let Target { stack_pointer, buffer, .. } = target;
        self.targets.retain(|_, t| t.stack_pointer >= stack_pointer && t.buffer != buffer);
        self.latest += 1;
        self.targets.insert(self.latest, target);
        self.latest
    }
}

fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    let memory = caller.get_export("memory").and_then(|e| e.into_memory());
    memory.ok_or_else(|| Error::host("the program exports no memory"))
}

/// The number of the stack pointer among the globals, and its value.
fn stack_pointer(caller: &Caller<'_, Host>) -> Result<(u32, i32)> {
    let program = caller.instance().ok_or_else(|| Error::host("no program calls"))?;
    let inside = program.internal(caller);
    let index = inside.global_index(STACK_POINTER);
    match index.and_then(|i| Some((i, inside.global(i)?))) {
        Some((index, Val::I32(value))) => Ok((index, value)),
        _ => Err(Error::host(format!("the program has no `{STACK_POINTER}`"))),
    }
}

/// `int setjmp(jmp_buf)`: 0 now, and what `longjmp` says whenever it is called.
fn setjmp(mut caller: Caller<'_, Host>, buffer: u32) -> Result<i32> {
    let (_, stack_pointer) = stack_pointer(&caller)?;
    let snapshotter = caller.get_snapshotter();
    let snapshot = snapshotter.ok_or_else(|| Error::host("snapshots are off"))?.snapshot();
    let jumps = &mut caller.data_mut().jumps;
    let number = jumps.add(Target { snapshot, stack_pointer, buffer });
    memory(&mut caller)?.write(&mut caller, buffer as usize, &number.to_le_bytes())?;
    Ok(0)
}

/// `void longjmp(jmp_buf, int)`.
fn longjmp(mut caller: Caller<'_, Host>, buffer: u32, value: i32) -> Result<()> {
    let mut number = [0; 4];
    memory(&mut caller)?.read(&caller, buffer as usize, &mut number)?;
    let target = caller.data().jumps.targets.get(&u32::from_le_bytes(number));
    let target = target.ok_or_else(|| Error::host("longjmp without setjmp"))?;
    let (snapshot, stack_pointer) = (target.snapshot.clone(), target.stack_pointer);
    let (index, _) = self::stack_pointer(&caller)?;
    let program = caller.instance().ok_or_else(|| Error::host("no program calls"))?;
    program.internal_mut(&mut caller).set_global(index, &Val::I32(stack_pointer))?;
    // As the standard has it: 0 would look like the first return.
    let value = if value == 0 { 1 } else { value };
    Err(snapshot.restore(&mut caller, &[Val::I32(value)]))
}

/// Runs the calculator on some lines; returns what it writes, its exit code, how many targets are
/// left, and where the stack pointer ends.
fn calculate(engine: &Engine, module: &Module, lines: String) -> Result<(String, i32, usize, i32)> {
    let mut linker: Linker<Host> = Linker::new(engine);
    wardian_wasi::add_to_linker(&mut linker, |host: &mut Host| &host.wasi)?;
    linker.func_wrap("env", "setjmp", setjmp)?;
    linker.func_wrap("env", "longjmp", longjmp)?;
    let output = MemoryOutput::new(1 << 24);
    let wasi = WasiCtx::builder()
        .stdin_memory(MemoryInput::new(lines))
        .stdout_memory(output.clone())
        .build();
    let mut store = Store::new(engine, Host { wasi, jumps: Jumps::default() });
    let program = linker.instantiate(&mut store, module)?;
    let start = program.typed_func::<(), ()>(&mut store, "_start")?;
    let options = CallOptions::new().with_snapshotter();
    let ended = start.call_with(&mut store, &options, ());
    let code = match ended {
        Ok(()) => 0,
        Err(error) => error.exit_code().map(|c| c as i32).ok_or(error)?,
    };
    let inside = program.internal(&store);
    let stack = inside.global_index(STACK_POINTER).and_then(|i| inside.global(i));
    let Some(Val::I32(stack)) = stack else { return Err(Error::host("no stack pointer")) };
    Ok((output.text(), code, store.data().jumps.targets.len(), stack))
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, CALC)?;
    let lines = [
        ("1 + 2 * (3 - 4)", "-1"),
        ("x = 7 / 2", "3"),
        ("((((((8 / (x - 3)))))))", "error: division by zero"),
        ("x * 1000000000", "error: too large"),
        ("y", "error: no such variable"),
        ("3 +", "error: that is no expression"),
        // One handler inside of another, and errors in what they fall back to.
        ("try(8 / 0, 5) + 1", "6"),
        ("try(try(y, 1 / 0), x) + try(2, y)", "5"),
        ("try(1 / 0, try(y, 99999999999))", "error: too large"),
        ("10 - x", "7"),
    ];
    let input: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    let (output, code, _, rest) = calculate(&engine, &module, input)?;
    for ((line, expected), answer) in lines.iter().zip(output.lines()) {
        println!("{line:36} {answer}");
        assert_eq!(answer, *expected, "{line}");
    }
    assert_eq!(code, 1);

    // Twenty thousand errors, each far down in the parser: nothing is left behind, neither on C's stack
    // nor of the snapshots.
    let deep = format!("{}1 / 0{}\n", "(".repeat(50), ")".repeat(50));
    let input = format!("{deep}try({}, 1)\n", deep.trim()).repeat(10_000) + "6 * 7\n";
    let (output, _, targets, stack) = calculate(&engine, &module, input)?;
    let ends: Vec<&str> = output.lines().rev().take(2).collect();
    println!("then: {}, after {}; {targets} targets are left", ends[1], ends[0]);
    assert_eq!(ends, ["10000 errors, 52 deep", "42"]);
    assert!(targets <= 3 && stack == rest, "{targets} targets, stack at {stack}, not {rest}");
    Ok(())
}
