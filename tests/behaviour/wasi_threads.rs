//! Guests that make threads: `wasi` `thread-spawn`.

use crate::matrix::{Behaviour, module};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use wardian::{
    Engine, Error, Func, InstantiateOptions, Linker, MemoryType, SharedMemory, StopReason, Store,
    StoreContextMut, TrapCode,
    resolver::{ImportRequest, Resolution},
};
use wardian_wasi::{DirPerms, MemoryOutput, WasiCtx, WasiThreads, WasiThreadsBuilder};

pub(crate) const TABLE: &[Behaviour] = &[
    ("threads of a guest add up in a shared memory", additions),
    ("a trap in a thread ends the group while the main thread waits", trap),
    ("an exit in a thread is the exit of the group", exit),
    ("the return of the main thread ends endless loops of others", endless),
    ("beyond the limit of threads a spawn is refused, until one ends", limit),
    ("a thread that the system refuses is refused to the guest", system_refuses),
    ("threads make threads", nested),
    ("a panic on a thread ends the group and goes on where it is joined", panics),
    ("a host error on a thread is the error of the group", host_error),
    ("the main store's deadline ends all threads", deadline),
    ("the main store's cancellation ends all threads", cancelled),
    ("the embedder ends a running group with a code", ended_from_outside),
    ("a group that is dropped or ended takes its threads along", dropped),
    ("a thread that cannot be made after all ends the group", unmakeable),
    ("ends of several threads at once", races),
    ("modules that are no programs for threads are refused so", no_programs),
    ("a memory that the embedder gives is used", given_memory),
    ("a resolver is asked for the instance of each thread", resolved),
    ("a thread that reads hinders none that writes", blocked_reader),
    ("a program of Rust with threads, locks, channels and barriers", rust_count),
    ("files that one thread opens are open in all", rust_files),
    ("a program of Rust ends by exit, panic and deadline on any thread", rust_ends),
];

/// What the modules here import and export, beside the memory.
const HEAD: &str = r#"(import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "host" "call" (func $host (param i32)))
  (export "memory" (memory 0))
  (func $for_ever (drop (memory.atomic.wait32 (i32.const 1000) (i32.const 0) (i64.const -1))))
  (func $add (param i32 i32) (drop (i32.atomic.rmw.add (local.get 0) (local.get 1)))
    (drop (memory.atomic.notify (local.get 0) (i32.const -1))))
  (func $until (param i32 i32) (local $now i32)
    (loop $again
      (if (i32.lt_u (local.tee $now (i32.atomic.load (local.get 0))) (local.get 1)) (then
        (drop (memory.atomic.wait32 (local.get 0) (local.get $now) (i64.const -1)))
        (br $again)))))
"#;

type Host = fn(i32) -> wardian::Result<()>;

struct Program {
    store: Store<WasiCtx>,
    builder: WasiThreadsBuilder<WasiCtx>,
    linker: Linker<WasiCtx>,
    output: MemoryOutput,
}

impl Program {
    /// A program from the functions of its main thread and of the others.
    fn new(engine: &Engine, main: &str, thread: &str) -> Program {
        Program::with_host(engine, main, thread, |_| Ok(()))
    }

    fn with_host(engine: &Engine, main: &str, thread: &str, host: Host) -> Program {
        let text = format!(
            r#"(module {HEAD}
              (func (export "wasi_thread_start") (param $tid i32) (param $arg i32) {thread})
              (func (export "_start") (local $i i32) {main}))"#
        );
        Program::from_module(&module(engine, &text), &[], host)
    }

    /// The program of `tests/programs/threads.rs`.
    fn rust(engine: &Engine, args: &[&str]) -> Program {
        let program = include_bytes!("../programs/threads.wasm");
        let module = wardian::Module::new(engine, program).unwrap();
        Program::from_module(&module, args, |_| Ok(()))
    }

    fn from_module(module: &wardian::Module, args: &[&str], host: Host) -> Program {
        let output = MemoryOutput::new(1 << 16);
        let args = std::iter::once("program").chain(args.iter().copied());
        let wasi = WasiCtx::builder().args(args).unwrap().stdout_memory(output.clone()).build();
        Program::with_wasi(module, wasi, output, host)
    }

    fn with_wasi(
        module: &wardian::Module,
        wasi: WasiCtx,
        output: MemoryOutput,
        host: Host,
    ) -> Program {
        let mut linker = Linker::new(module.engine());
        wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
        linker.func_wrap("host", "call", host).unwrap();
        let store = Store::new(module.engine(), wasi.clone());
        Program {
            store,
            builder: WasiThreads::builder(module, move |_| wasi.clone()),
            linker,
            output,
        }
    }

    /// Runs it, and gives its end and its memory.
    fn run(mut self) -> (wardian::Result<()>, SharedMemory) {
        let threads = self.builder.build(&self.linker).unwrap();
        let memory = threads.memories()[0].clone();
        (threads.run(&mut self.store), memory)
    }
}

fn cell(memory: &SharedMemory, at: usize) -> u32 {
    let mut bytes = [0; 4];
    memory.read(at, &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

/// Spawns eight threads with the numbers 8 to 1.
const EIGHT: &str = r#"(local.set $i (i32.const 8))
  (loop $more
    (if (i32.le_s (call $spawn (local.get $i)) (i32.const 0)) (then unreachable))
    (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"#;

fn additions(engine: &Engine) {
    let main = format!("{EIGHT} (call $until (i32.const 8) (i32.const 8))");
    let thread = r#"(local $n i32) (local.set $n (i32.const 1000))
      (loop $l
        (drop (i32.atomic.rmw.add (i32.const 0) (local.get $arg)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (drop (i32.atomic.rmw.add (i32.const 16) (local.get $tid)))
      (call $add (i32.const 8) (i32.const 1))"#;
    let (end, memory) = Program::new(engine, &main, thread).run();
    end.unwrap();
    assert_eq!(cell(&memory, 0), 36_000);
    assert_eq!(cell(&memory, 16), 36, "identifiers count from one");
}

fn trap(engine: &Engine) {
    let thread = "(if (i32.eq (local.get $arg) (i32.const 3)) (then unreachable)) (call $for_ever)";
    let main = format!("{EIGHT} (call $for_ever)");
    let (end, _) = Program::new(engine, &main, thread).run();
    let error = end.unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::Unreachable));
    let frames = error.backtrace().unwrap().frames();
    assert_eq!(frames[0].func_name(), Some("wasi_thread_start"));
}

fn exit(engine: &Engine) {
    let main = format!("{EIGHT} (loop $l (br $l))");
    for code in [0, 7] {
        let thread = format!("(call $exit (i32.const {code}))");
        let (end, _) = Program::new(engine, &main, &thread).run();
        assert_eq!(end.unwrap_err().exit_code(), Some(code));
    }
}

fn endless(engine: &Engine) {
    let thread = "(call $add (i32.const 8) (i32.const 1)) (loop $l (br $l))";
    let main = format!("{EIGHT} (call $until (i32.const 8) (i32.const 8))");
    let (end, _) = Program::new(engine, &main, thread).run();
    end.unwrap();
    let main = format!("{EIGHT} (call $exit (i32.const 4))");
    let (end, _) = Program::new(engine, &main, thread).run();
    assert_eq!(end.unwrap_err().exit_code(), Some(4));
}

fn limit(engine: &Engine) {
    // Two that wait until they are let go, and a third; then two hundred, one after the other.
    let main = r#"
      (if (i32.lt_s (call $spawn (i32.const 1)) (i32.const 1)) (then unreachable))
      (if (i32.lt_s (call $spawn (i32.const 1)) (i32.const 1)) (then unreachable))
      (if (i32.ge_s (call $spawn (i32.const 1)) (i32.const 0)) (then unreachable))
      (call $add (i32.const 0) (i32.const 1))
      (local.set $i (i32.const 200))
      (loop $more
        (br_if $more (i32.lt_s (call $spawn (i32.const 0)) (call $yield)))
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (call $until (i32.const 8) (i32.const 202))"#;
    let thread =
        "(call $until (i32.const 0) (local.get $arg)) (call $add (i32.const 8) (i32.const 1))";
    let mut p = Program::new(engine, main, thread);
    let threads = p.builder.max_threads(2).build(&p.linker).unwrap();
    let memory = threads.memories()[0].clone();
    threads.run(&mut p.store).unwrap();
    assert_eq!(cell(&memory, 8), 202);
}

fn system_refuses(engine: &Engine) {
    let main = "(call $exit (i32.sub (i32.const 0) (call $spawn (i32.const 1))))";
    let mut p = Program::new(engine, main, "unreachable");
    // No address space is large enough for such a stack.
    let threads = p.builder.host_stack_size(1 << 50).build(&p.linker).unwrap();
    let handle = threads.handle();
    let end: wardian::Result<()> = threads.run_with(&mut p.store, |store, instance| {
        let start = instance.typed_func::<(), ()>(&mut *store, "_start")?;
        let error = start.call(store, ()).unwrap_err();
        assert_eq!((handle.live(), handle.has_ended()), (0, false));
        Err(error)
    });
    // `again`
    assert_eq!(end.unwrap_err().exit_code(), Some(6));
}

fn nested(engine: &Engine) {
    let thread = r#"(if (local.get $arg)
      (then (drop (call $spawn (i32.sub (local.get $arg) (i32.const 1))))
        (drop (call $spawn (i32.sub (local.get $arg) (i32.const 1))))))
      (call $add (i32.const 8) (i32.const 1))"#;
    let main = "(drop (call $spawn (i32.const 4))) (call $until (i32.const 8) (i32.const 31))";
    let (end, memory) = Program::new(engine, main, thread).run();
    end.unwrap();
    assert_eq!(cell(&memory, 8), 31);
}

fn panics(engine: &Engine) {
    let main = format!("{EIGHT} (call $for_ever)");
    let thread = "(call $host (local.get $arg)) (call $for_ever)";
    let host = |n| {
        if n == 5 {
            // As a panic, without its message.
            resume_unwind(Box::new("the pot is broken"));
        }
        Ok(())
    };
    let p = Program::with_host(engine, &main, thread, host);
    let panic = catch_unwind(AssertUnwindSafe(|| p.run())).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the pot is broken"));
    // On the main thread it is the embedder's own, and ends the others all the same.
    let main = format!("{EIGHT} (call $host (i32.const 5))");
    let p = Program::with_host(engine, &main, "(loop $l (br $l))", host);
    let panic = catch_unwind(AssertUnwindSafe(|| p.run())).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the pot is broken"));
}

fn host_error(engine: &Engine) {
    let main = format!("{EIGHT} (call $for_ever)");
    let thread = "(call $host (local.get $arg)) (loop $l (br $l))";
    let host = |n| if n == 2 { Err(Error::host("frost")) } else { Ok(()) };
    let (end, _) = Program::with_host(engine, &main, thread, host).run();
    assert_eq!(end.unwrap_err().to_string(), "frost");
}

fn deadline(engine: &Engine) {
    for main in ["(call $for_ever)", "(loop $l (br $l))"] {
        let main = format!("{EIGHT} {main}");
        let mut p = Program::new(engine, &main, "(loop $l (br $l))");
        p.store.set_timeout(Duration::from_millis(60));
        let began = Instant::now();
        let (end, _) = p.run();
        assert_eq!(end.unwrap_err().stop_reason(), Some(StopReason::Deadline));
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}

fn cancelled(engine: &Engine) {
    let main = format!("{EIGHT} (call $for_ever)");
    let mut p = Program::new(engine, &main, "(call $for_ever)");
    let token = p.store.cancel_token();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        token.cancel();
    });
    let (end, _) = p.run();
    assert_eq!(end.unwrap_err().stop_reason(), Some(StopReason::Cancelled));
    canceller.join().unwrap();
}

fn ended_from_outside(engine: &Engine) {
    let main = format!("{EIGHT} (call $for_ever)");
    let mut p = Program::new(engine, &main, "(loop $l (br $l))");
    let threads = p.builder.build(&p.linker).unwrap();
    let handle = threads.handle();
    let ender = std::thread::spawn(move || {
        while handle.live() < 8 && !handle.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        handle.clone().end(Error::exit(21));
    });
    let error = threads.run(&mut p.store).unwrap_err();
    assert_eq!(error.exit_code(), Some(21));
    ender.join().unwrap();
}

/// Counts how many there are.
struct Counted(WasiCtx, Arc<AtomicU32>);

impl Counted {
    fn new(wasi: &WasiCtx, count: &Arc<AtomicU32>) -> Counted {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(wasi.clone(), count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

fn dropped(engine: &Engine) {
    let text = format!(
        r#"(module {HEAD}
          (func (export "wasi_thread_start") (param i32 i32)
            (call $add (i32.const 8) (i32.const 1)) (loop $l (br $l)))
          (func (export "begin") (local $i i32)
            {EIGHT} (call $until (i32.const 8) (i32.const 8)))
          (func (export "one") (result i32) (call $spawn (i32.const 1))))"#
    );
    let module = module(engine, &text);
    let mut linker = Linker::new(engine);
    wardian_wasi::add_to_linker(&mut linker, |counted: &mut Counted| &counted.0).unwrap();
    linker.func_wrap("host", "call", |_: i32| {}).unwrap();
    for end in [true, false] {
        let (wasi, count) = (WasiCtx::builder().build(), Arc::new(AtomicU32::new(0)));
        let mut store = Store::new(engine, Counted::new(&wasi, &count));
        let counter = count.clone();
        let threads = WasiThreads::builder(&module, move |_| Counted::new(&wasi, &counter))
            .build(&linker)
            .unwrap();
        let i = threads.instantiate(&mut store).unwrap();
        assert!(threads.instantiate(&mut store).is_err(), "there is one main thread");
        i.typed_func::<(), ()>(&mut store, "begin").unwrap().call(&mut store, ()).unwrap();
        let handle = threads.handle();
        assert_eq!((handle.live(), handle.has_ended()), (8, false));
        assert_eq!(count.load(Ordering::SeqCst), 9);
        if end {
            handle.end(Error::exit(3));
            handle.end(Error::exit(4));
            let one = i.typed_func::<(), i32>(&mut store, "one").unwrap();
            assert!(one.call(&mut store, ()).is_err(), "the main thread is cancelled");
            store.clear_cancellation();
            assert!(one.call(&mut store, ()).unwrap() < 0, "nothing begins after the end");
            assert!(handle.has_ended());
            assert_eq!(threads.join().unwrap_err().exit_code(), Some(3));
        } else {
            drop(threads);
            store.clear_cancellation();
            let one = i.typed_func::<(), i32>(&mut store, "one").unwrap();
            assert!(one.call(&mut store, ()).unwrap() < 0, "the group is gone");
        }
        assert_eq!((handle.live(), handle.has_ended()), (0, true));
        assert_eq!(count.load(Ordering::SeqCst), 1, "the stores of all threads are gone");
    }
}

fn unmakeable(engine: &Engine) {
    let main = format!("{EIGHT} (call $for_ever)");
    let mut p = Program::new(engine, &main, "(call $for_ever)");
    let made = Arc::new(AtomicU32::new(0));
    let threads = made.clone();
    let configure = move |store: &mut Store<WasiCtx>| {
        if threads.fetch_add(1, Ordering::SeqCst) == 4 {
            // So that the instance is refused.
            store.set_deadline(Some(Instant::now()));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let threads = p.builder.configure(configure).build(&p.linker).unwrap();
    let error = threads.run(&mut p.store).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    assert!(made.load(Ordering::SeqCst) >= 5);
}

fn races(engine: &Engine) {
    // Threads exit, trap, return and loop, with no order among them.
    let main = format!("{EIGHT} (call $exit (i32.const 9))");
    let thread = r#"(if (i32.lt_u (local.get $arg) (i32.const 3)) (then (call $exit (local.get $arg))))
      (if (i32.eq (local.get $arg) (i32.const 5)) (then unreachable))
      (if (i32.eq (local.get $arg) (i32.const 6)) (then (return)))
      (if (i32.eq (local.get $arg) (i32.const 7)) (then (drop (call $spawn (i32.const 1)))))
      (loop $l (br_if $l (call $yield)) (br $l))"#;
    for _ in 0..40 {
        let (end, _) = Program::new(engine, &main, thread).run();
        let error = end.unwrap_err();
        let known = error.trap() == Some(TrapCode::Unreachable)
            || matches!(error.exit_code(), Some(1 | 2 | 9));
        assert!(known, "{error}");
    }
}

fn no_programs(engine: &Engine) {
    let entry = r#"(func (export "wasi_thread_start") (param i32 i32))"#;
    for (text, part) in [
        (format!("(module {entry})"), "imports no shared memory"),
        (format!("(module (memory 1 1 shared) {entry})"), "imports no shared memory"),
        (r#"(module (import "env" "memory" (memory 1 1 shared)))"#.into(), "wasi_thread_start"),
        (
            format!(r#"(module (import "evn" "memroy" (memory 1 1 shared)) {entry})"#),
            "imports a shared memory as `evn` `memroy`; one is made for `env` `memory` only",
        ),
        (
            r#"(module (func (export "wasi_thread_start")))"#.into(),
            "not a function (i32, i32) -> ()",
        ),
    ] {
        let m = module(engine, &text);
        assert!(!wardian_wasi::needs_threads(&m));
        let reported = WasiThreads::builder(&m, |_| ()).build(&Linker::new(engine)).unwrap_err();
        assert!(reported.to_string().contains(part), "{reported}");
    }
}

fn given_memory(engine: &Engine) {
    let mut p = Program::new(engine, "(i32.atomic.store (i32.const 0) (i32.const 5))", "");
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(1)) };
    let memory = SharedMemory::new(engine, ty).unwrap();
    p.linker.define("env", "memory", memory.clone()).unwrap();
    let threads = p.builder.build(&p.linker).unwrap();
    assert!(threads.memories().is_empty());
    threads.run(&mut p.store).unwrap();
    assert_eq!(cell(&memory, 0), 5);
}

fn resolved(engine: &Engine) {
    let main = format!("{EIGHT} (call $until (i32.const 8) (i32.const 8))");
    let thread = "(call $host (local.get $tid)) (call $add (i32.const 8) (i32.const 1))";
    let mut p = Program::new(engine, &main, thread);
    let (asked, sum) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (counter, total) = (asked.clone(), sum.clone());
    let resolver = move |store: StoreContextMut<'_, WasiCtx>, request: &ImportRequest<'_>| {
        if request.name() != "call" {
            return Ok(Resolution::Unresolved);
        }
        counter.fetch_add(1, Ordering::SeqCst);
        let total = total.clone();
        let call = move |tid: u32| {
            total.fetch_add(tid, Ordering::SeqCst);
        };
        Ok(Func::wrap(store, call).into())
    };
    let options = InstantiateOptions::new().with_import_resolver(resolver);
    let threads = p.builder.options(options).build(&p.linker).unwrap();
    threads.run(&mut p.store).unwrap();
    assert_eq!((asked.load(Ordering::SeqCst), sum.load(Ordering::SeqCst)), (9, 36));
}

fn blocked_reader(engine: &Engine) {
    let (read, _write) = std::io::pipe().unwrap();
    let output = MemoryOutput::new(1 << 16);
    let wasi = WasiCtx::builder()
        .args(["program", "read"])
        .unwrap()
        .stdin_fd(read)
        .unwrap()
        .stdout_memory(output.clone())
        .build();
    let program = include_bytes!("../programs/threads.wasm");
    let module = wardian::Module::new(engine, program).unwrap();
    let (end, _) = Program::with_wasi(&module, wasi, output.clone(), |_| Ok(())).run();
    end.unwrap();
    assert_eq!(output.text(), "written\n");
}

fn rust_count(engine: &Engine) {
    let p = Program::rust(engine, &["count"]);
    let output = p.output.clone();
    let (end, _) = p.run();
    end.unwrap();
    // The primes below 20000, their sum, and the sum of 0 to 99.
    assert_eq!(output.text(), "2262 2262 21171191 4950\n");
    let mut p = Program::rust(engine, &["limit"]);
    let output = p.output.clone();
    // The least stack for the host's side is enough for WASI.
    let threads = p.builder.max_threads(5).host_stack_size(0).build(&p.linker).unwrap();
    threads.run(&mut p.store).unwrap();
    assert_eq!(output.text(), "5 WouldBlock\n");
}

fn rust_files(engine: &Engine) {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::new(1 << 16);
    let wasi = WasiCtx::builder()
        .args(["program", "files"])
        .unwrap()
        .preopen_dir(folder.path(), "/dir", DirPerms::ReadWrite)
        .unwrap()
        .stdout_memory(output.clone())
        .build();
    let program = include_bytes!("../programs/threads.wasm");
    let module = wardian::Module::new(engine, program).unwrap();
    let (end, _) = Program::with_wasi(&module, wasi, output.clone(), |_| Ok(())).run();
    end.unwrap();
    assert_eq!(output.text(), "fern\n");
}

fn rust_ends(engine: &Engine) {
    let (end, _) = Program::rust(engine, &["exit"]).run();
    assert_eq!(end.unwrap_err().exit_code(), Some(5));
    let (end, _) = Program::rust(engine, &["panic"]).run();
    assert_eq!(end.unwrap_err().trap(), Some(TrapCode::Unreachable));
    let mut p = Program::rust(engine, &["forever"]);
    p.store.set_timeout(Duration::from_millis(100));
    let (end, _) = p.run();
    assert_eq!(end.unwrap_err().stop_reason(), Some(StopReason::Deadline));
}
