//! `--native-debug`: what GDB sees of a running guest. Where there is no GDB, or it may not attach, the tests say so and end.

use super::harness::Place;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wardian::{Caller, Config, Engine, EngineKind, Error, Linker, Module, Store};

/// A guest that waits for input, and computes when there was some; `middle` has a register to save.
const GUEST: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (func $wait (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $inner (param i64) (result i64)
    (loop $l (br_if $l (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0))))
    (local.get 0))
  (func $middle (param i64) (result i64)
    (i64.add (call $inner (local.get 0)) (local.get 0)))
  (func (export "_start") (local i32)
    (loop $l
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (drop (call $middle (i64.const 10)))
      (br_if $l (i32.lt_u (local.get 0) (i32.const 20000))))
    (call $wait)
    (drop (call $middle (i64.const 0x7fff_ffff_ffff)))))"#;

/// The names of the functions on the stacks of a process, of each thread the innermost first, and all that GDB wrote.
/// None if it cannot attach.
fn backtrace(pid: u32) -> Option<(Vec<String>, String)> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-p", &pid.to_string()]);
    gdb.args(["-ex", "thread apply all backtrace"]);
    // The process may be this one, which reads nothing while GDB has stopped it.
    let [mut output, mut errors] = [(); 2].map(|()| tempfile::tempfile().unwrap());
    gdb.stdout(output.try_clone().unwrap()).stderr(errors.try_clone().unwrap());
    if let Err(error) = gdb.stdin(Stdio::null()).status() {
        eprintln!("skipped: there is no gdb: {error}");
        return None;
    }
    let read = |file: &mut File| {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (text, errors) = (read(&mut output), read(&mut errors));
    if errors.contains("ptrace: ") {
        eprintln!("skipped: gdb may not attach: {errors}");
        return None;
    }
    // #3  0x00007f7c18000094 in _start () at start.c:5
    let name = |line: &str| {
        let (_, line) = line.strip_prefix('#')?.split_once(' ')?;
        let line = line.trim_start();
        let line = match line.split_once(" in ") {
            Some((address, name)) if address.starts_with("0x") => name,
            _ => line,
        };
        Some(line.split([' ', '(']).next()?.to_owned())
    };
    Some((text.lines().filter_map(name).collect(), format!("{text}{errors}")))
}

/// Whether these functions are on a stack in this order, the first right inside of the second and so on; `*` is any number
/// of others.
fn has_in_order(stack: &[String], expected: &[&str]) -> bool {
    match expected {
        [] => true,
        ["*", rest @ ..] => (0..=stack.len()).any(|skipped| has_in_order(&stack[skipped..], rest)),
        [name, rest @ ..] => {
            stack.first().is_some_and(|first| first == name) && has_in_order(&stack[1..], rest)
        }
    }
}

/// A guest that is killed when the test is over, also when it fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks GDB until the stack is as expected. Gives what it wrote last.
fn expect(Running(child): &mut Running, expected: &[&str]) -> Option<String> {
    let begin = Instant::now();
    loop {
        let (stack, text) = backtrace(child.id())?;
        if has_in_order(&stack, expected) {
            return Some(text);
        }
        let is_over = child.try_wait().unwrap().is_some();
        assert!(!is_over && begin.elapsed() < Duration::from_secs(100), "{expected:?}: {text}");
    }
}

fn start(place: &Place, options: &[&str]) -> Running {
    // GDB is to attach to the command itself.
    let mut command = Command::new(super::harness::WARDIAN);
    command.args([&["run", "--no-cache", "--native-debug"], options].concat());
    command.current_dir(place.path("")).stdin(Stdio::piped());
    Running(command.stdout(Stdio::null()).spawn().unwrap())
}

#[test]
fn gdb_walks_from_the_guest_into_the_host() {
    let place = Place::with(&[("guest.wat", GUEST)]);
    // Calls that are interpreted are in functions of the interpreter.
    let outside: [(&str, &[&str]); 2] = [
        ("jit", &["middle", "_start", "[wardian]", "<signal", "*", "main"]),
        ("tiered", &["*", "[wardian]", "<signal", "*", "main"]),
    ];
    for (engine, outside) in outside {
        let mut running = start(&place, &["--engine", engine, "guest.wat"]);
        if engine == "jit" {
            let waiting = ["*", "<signal", "wait", "_start", "[wardian]", "<signal", "*", "main"];
            let Some(_) = expect(&mut running, &waiting) else { return };
        }
        running.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        let Some(_) = expect(&mut running, &[&["*", "inner"], outside].concat()) else { return };
    }
}

/// A number as source maps have it.
fn vlq(number: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut left, mut text) = (number << 1, String::new());
    loop {
        let more = if left >= 32 { 32 } else { 0 };
        text.push(DIGITS[(left & 31 | more) as usize].into());
        left >>= 5;
        if left == 0 {
            return text;
        }
    }
}

#[test]
fn gdb_shows_lines_that_the_debug_information_has() {
    let place = Place::new();
    let module = wat::parse_str(GUEST).unwrap();
    // The first function, `wait`, is line 42. Before it are the section's number and size, and how many functions it has.
    let code = module.windows(3).position(|bytes| bytes[0] == 10 && bytes[2] == 4).unwrap();
    let mappings = format!("{}A{}A", vlq(code as u64 + 4), vlq(41));
    let map =
        format!(r#"{{"version":3,"sources":["tree.ts"],"names":[],"mappings":"{mappings}"}}"#);
    place.write("guest.wasm", module);
    place.write("guest.map", map);
    let mut running = start(&place, &["--engine", "jit", "--symbols", "guest.map", "guest.wasm"]);
    let Some(text) = expect(&mut running, &["*", "wait", "_start"]) else { return };
    let line = text.lines().find(|line| line.contains(" in wait ()")).unwrap();
    assert!(line.ends_with("tree.ts:42"), "{text}");
}

/// A guest that calls the host, which calls a guest, which calls the host: by the stub for functions with integers, and by
/// the one for all others.
const NESTED: &str = r#"(module
  (import "h" "nest" (func $nest (param i32)))
  (import "h" "nest_float" (func $nest_float (param f64)))
  (import "h" "look" (func $look))
  (func $outer_leaf (param i32) (call $nest (i32.const 0)))
  (func $outer_float (param i32) (call $nest_float (f64.const 0)))
  (func $outer (export "outer") (param i32)
    (if (local.get 0)
      (then (call $outer_float (i32.const 0)))
      (else (call $outer_leaf (i32.const 0)))))
  (func $inner_leaf (param i32) (call $look))
  (func $inner (export "inner") (param i32) (call $inner_leaf (i32.const 0))))"#;

/// What GDB saw of this process.
type Seen = Option<(Vec<String>, String)>;

/// What the functions of the host have: whether the guest inside is in a store of its own.
struct Nested {
    module: Module,
    own_store: bool,
    seen: Seen,
}

fn nest(caller: &mut Caller<'_, Nested>) -> Result<(), Error> {
    if caller.data().own_store {
        let module = caller.data().module.clone();
        caller.data_mut().seen = walk_from("inner", module, false, 0)?;
        return Ok(());
    }
    let inner = caller.get_export("inner").and_then(|inner| inner.into_func()).unwrap();
    inner.typed::<i32, ()>(&*caller)?.call(caller, 0)
}

/// Calls an export of the module in a new store.
#[inline(never)]
fn walk_from(export: &str, module: Module, own_store: bool, argument: i32) -> Result<Seen, Error> {
    let engine = module.engine().clone();
    let mut linker: Linker<Nested> = Linker::new(&engine);
    linker.func_wrap("h", "nest", |mut caller: Caller<'_, Nested>, _: i32| nest(&mut caller))?;
    let float = |mut caller: Caller<'_, Nested>, _: f64| nest(&mut caller);
    linker.func_wrap("h", "nest_float", float)?;
    linker.func_wrap("h", "look", |mut caller: Caller<'_, Nested>| {
        caller.data_mut().seen = backtrace(std::process::id());
    })?;
    let mut store = Store::new(&engine, Nested { module: module.clone(), own_store, seen: None });
    let instance = linker.instantiate(&mut store, &module)?;
    instance.typed_func::<i32, ()>(&mut store, export)?.call(&mut store, argument)?;
    Ok(store.into_data().seen)
}

#[test]
fn gdb_walks_through_guests_within_guests() {
    let engine =
        Engine::new(Config::new().engine(EngineKind::Compiled).native_debug(true)).unwrap();
    let module = Module::new(&engine, NESTED).unwrap();
    for (own_store, argument) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
        let seen = walk_from("outer", module.clone(), own_store, argument).unwrap();
        let Some((stack, text)) = seen else { return };
        // Arguments that are no integers are put into memory by code between the two.
        let outer: &[&str] = match argument {
            0 => &["outer_leaf"],
            _ => &["[wardian]", "outer_float"],
        };
        let left = ["[wardian]", "<signal", "*"];
        let inner = ["*", "<signal", "inner_leaf", "inner"];
        let test = ["walk_from", "gdb_walks_through_guests_within_guests"];
        let parts = [&inner, &left[..], &["<signal"], outer, &["outer"], &left, &test];
        let expected = parts.concat();
        assert!(has_in_order(&stack, &expected), "{own_store} {argument}: {text}");
    }
}
