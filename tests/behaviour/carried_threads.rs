//! Groups of threads are written down together, and go on together.

use crate::checkpoints::sources;
use crate::matrix::Behaviour;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use wardian::checkpoint::{AfterCheckpoint, CheckpointOptions, ReadOptions, ResumeOptions};
use wardian::{Engine, Error, Linker, Module, Result, StopReason, Store};
use wardian_wasi::{
    RestoreOptions, SaveOptions, WasiCtx, WasiState, WasiThreads, WasiThreadsCheckpoint,
    WasiThreadsHandle,
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("threads that take turns are carried again and again", carried),
    ("threads continue after a checkpoint", continued),
    ("a group that cannot be written down continues, and says why", refused),
    ("the checkpoints of a group belong together", forged),
];

/// Turns of each thread: few, so many that the program takes a third of a second, and more than a test waits for.
const FEW: u32 = 200;
const MANY: u32 = 6000;
const ENDLESS: u32 = u32::MAX;

/// Three threads take turns, by waiting and notifying; one of them sleeps now and then, and one computes between its
/// turns. What they add up depends on the order.
fn text(rounds: u32) -> String {
    format!(
        r#"(module
  (import "env" "memory" (memory 1 4 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (export "memory" (memory 0))
  (func $sleep
    (i32.store (i32.const 1016) (i32.const 1))
    (i64.store (i32.const 1024) (i64.const 2000000))
    (if (call $poll (i32.const 1000) (i32.const 1100) (i32.const 1) (i32.const 1200)) (then (unreachable))))
  (func $compute (param $n i32) (result i32) (local $x i32)
    (loop $l
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 5)) (local.get $n)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))
  (func $turn (param $mine i32) (local $seen i32)
    (block $out
      (loop $again
        (local.set $seen (i32.atomic.load (i32.const 64)))
        (br_if $out (i32.eq (local.get $seen) (local.get $mine)))
        (drop (memory.atomic.wait32 (i32.const 64) (local.get $seen) (i64.const -1)))
        (br $again))))
  (func (export "wasi_thread_start") (param $tid i32) (param $arg i32) (local $i i32)
    (loop $rounds
      (call $turn (local.get $arg))
      (i64.store (i32.const 72)
        (i64.add (i64.mul (i64.load (i32.const 72)) (i64.const 31))
          (i64.extend_i32_u (i32.add (i32.mul (local.get $arg) (i32.const 7)) (local.get $i)))))
      (if (i32.and (i32.eqz (local.get $arg)) (i32.eqz (i32.rem_u (local.get $i) (i32.const 32))))
        (then (call $sleep)))
      (i32.atomic.store (i32.const 64) (i32.rem_u (i32.add (local.get $arg) (i32.const 1)) (i32.const 3)))
      (drop (memory.atomic.notify (i32.const 64) (i32.const -1)))
      (if (i32.eq (local.get $arg) (i32.const 1)) (then (drop (call $compute (i32.const 2000)))))
      (br_if $rounds (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {rounds}))))
    (drop (i32.atomic.rmw.add (i32.const 68) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 68) (i32.const 1))))
  (func (export "_start") (local $i i32) (local $done i32)
    (loop $spawns
      (if (i32.lt_s (call $spawn (local.get $i)) (i32.const 0)) (then (unreachable)))
      (br_if $spawns (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
    (block $out
      (loop $wait
        (local.set $done (i32.atomic.load (i32.const 68)))
        (br_if $out (i32.eq (local.get $done) (i32.const 3)))
        (drop (memory.atomic.wait32 (i32.const 68) (local.get $done) (i64.const -1)))
        (br $wait)))
    (call $exit (i32.wrap_i64 (i64.and (i64.load (i32.const 72)) (i64.const 0x7f))))))"#
    )
}

/// The exit code of the program.
fn expected(rounds: u32) -> u32 {
    let mut sum = 0u64;
    for i in 0..u64::from(rounds) {
        for arg in 0..3 {
            sum = sum.wrapping_mul(31).wrapping_add(arg * 7 + i);
        }
    }
    (sum & 0x7f) as u32
}

/// Bytes that several parts of a test see.
#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn linker(engine: &Engine) -> Linker<WasiCtx> {
    let mut linker = Linker::new(engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    linker
}

fn carry_wasi(store: &mut Store<WasiCtx>) {
    store.host_state_with(|wasi| {
        let state = wasi.save_with(&SaveOptions::new().with_threads(true)).map_err(Error::host)?;
        Ok(vec![("wasi".to_owned(), state.to_bytes())])
    });
}

/// Begins the program, and has `during` do something with it.
fn begin<R: Send>(
    engine: &Engine,
    rounds: u32,
    during: impl FnOnce(WasiThreadsHandle<WasiCtx>) -> R + Send,
) -> (Result<()>, R) {
    let module = Module::new(engine, text(rounds)).unwrap();
    let wasi = WasiCtx::builder().build();
    let mut store = Store::new(engine, wasi.clone());
    carry_wasi(&mut store);
    let threads =
        WasiThreads::builder(&module, move |_| wasi.clone()).build(&linker(engine)).unwrap();
    let handle = threads.handle();
    thread::scope(|scope| {
        let during = scope.spawn(move || during(handle));
        let ended = threads.run(&mut store);
        (ended, during.join().unwrap())
    })
}

/// Resumes the program.
fn resume<R: Send>(
    engine: &Engine,
    bytes: &[u8],
    during: impl FnOnce(WasiThreadsHandle<WasiCtx>) -> R + Send,
) -> Result<(Result<()>, R)> {
    let checkpoint = WasiThreadsCheckpoint::read(bytes, &ReadOptions::new())?;
    let state = checkpoint.main().host_state("wasi").expect("it was saved");
    let state = WasiState::from_bytes(state).unwrap();
    let wasi = WasiCtx::builder().restore(&state, &RestoreOptions::new()).unwrap();
    let module = checkpoint.main().module(engine, 0)?.expect("it is embedded");
    let mut store = Store::new(engine, wasi.clone());
    carry_wasi(&mut store);
    let resumed = WasiThreads::builder(&module, move |_| wasi.clone()).resume(
        &linker(engine),
        &mut store,
        checkpoint,
        &ResumeOptions::new(),
    )?;
    let handle = resumed.handle();
    Ok(thread::scope(|scope| {
        let during = scope.spawn(move || during(handle));
        let ended = resumed.run(&mut store).map(drop);
        (ended, during.join().unwrap())
    }))
}

/// Writes the program down after so many milliseconds, if it still runs.
fn take(
    handle: &WasiThreadsHandle<WasiCtx>,
    millis: u64,
    after: AfterCheckpoint,
) -> Option<Vec<u8>> {
    thread::sleep(Duration::from_millis(millis));
    let bytes = Bytes::default();
    match handle.checkpoint_to(&CheckpointOptions::new(), bytes.clone(), move || after) {
        Ok(()) => Some(std::mem::take(&mut *bytes.0.lock().unwrap())),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("has ended") || error.contains("is gone"), "{error}");
            None
        }
    }
}

fn carried(engine: &Engine) {
    let engines = sources(engine);
    let (mut ended, mut taken) =
        begin(&engines[0], MANY, |handle| take(&handle, 3, AfterCheckpoint::End));
    let mut times = 0;
    while let Some(bytes) = taken {
        let error = ended.unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint), "{error}");
        times += 1;
        let to = &engines[times % engines.len()];
        let pause = 5 + times as u64 * 3;
        let take = |handle| take(&handle, pause, AfterCheckpoint::End);
        (ended, taken) = resume(to, &bytes, take).unwrap();
    }
    assert_eq!(ended.unwrap_err().exit_code(), Some(expected(MANY)), "carried {times} times");
    assert!(times > 0);
}

fn continued(engine: &Engine) {
    for engine in sources(engine) {
        let many = |handle: WasiThreadsHandle<WasiCtx>| {
            let taken = (0..1000).map_while(|_| take(&handle, 1, AfterCheckpoint::Resume));
            taken.last()
        };
        let (ended, last) = begin(&engine, FEW, many);
        assert_eq!(ended.unwrap_err().exit_code(), Some(expected(FEW)));
        // What was written in between is as good as any.
        let Some(last) = last else { continue };
        let (ended, ()) = resume(&engine, &last, |_| ()).unwrap();
        assert_eq!(ended.unwrap_err().exit_code(), Some(expected(FEW)));
    }
}

fn refused(engine: &Engine) {
    /// A full disk.
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("it is full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let engine = &sources(engine)[0];
    let (ended, (error, bytes)) = begin(engine, ENDLESS, |handle| {
        let options = CheckpointOptions::new();
        let error = handle.checkpoint_to(&options, Full, || AfterCheckpoint::End).unwrap_err();
        // All of them run, for they stand still again.
        let bytes = take(&handle, 1, AfterCheckpoint::Resume).unwrap();
        handle.end(Error::exit(9));
        (error, bytes)
    });
    assert_eq!(error.to_string(), "it is full");
    assert!(!bytes.is_empty());
    assert_eq!(ended.unwrap_err().exit_code(), Some(9));
}

fn forged(engine: &Engine) {
    let engine = &sources(engine)[0];
    let options = CheckpointOptions::new();
    // Where the main thread's part ends.
    let head = |bytes: &[u8]| {
        let count = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
        (0..count).fold(16, |at, _| {
            let len = u64::from_le_bytes(bytes[at + 4..at + 12].try_into().unwrap());
            at + 12 + len as usize
        })
    };
    let (_, (first, second)) = begin(engine, ENDLESS, |handle| {
        let first = take(&handle, 3, AfterCheckpoint::Resume).unwrap();
        // The other threads have done something since, however busy the machine is.
        let second = loop {
            let second = take(&handle, 3, AfterCheckpoint::Resume).unwrap();
            if second[head(&second)..] != first[head(&first)..] {
                break second;
            }
        };
        take(&handle, 3, AfterCheckpoint::End).unwrap();
        let error = handle.checkpoint_to(&options, Bytes::default(), || AfterCheckpoint::End);
        assert!(error.is_err(), "it has ended");
        (first, second)
    });
    // The main thread of one with the others of another.
    let mixed = [&first[..head(&first)], &second[head(&second)..]].concat();
    let error = resume(engine, &mixed, |_| ()).unwrap_err().to_string();
    assert!(error.contains("not those that the main thread's names"), "{error}");
    // Another identifier for the same thread, and more threads than there are.
    let mut twice = second.clone();
    twice[12..16].copy_from_slice(&4u32.to_le_bytes());
    let first_len = u64::from_le_bytes(second[20..28].try_into().unwrap()) as usize;
    let one = second[16..28 + first_len].to_vec();
    twice.splice(16..16, one);
    let error = resume(engine, &twice, |_| ()).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
    // Fewer may be.
    let checkpoint = WasiThreadsCheckpoint::read(&second[..], &ReadOptions::new()).unwrap();
    let module = checkpoint.main().module(engine, 0).unwrap().unwrap();
    let wasi = WasiCtx::builder().build();
    let mut store = Store::new(engine, wasi.clone());
    let few = WasiThreads::builder(&module, move |_| wasi.clone()).max_threads(2);
    let error = few
        .resume(&linker(engine), &mut store, checkpoint, &ResumeOptions::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("may have 2"), "{error}");
    for at in [0, 8, 12, 17, 40, head(&second) + 20, second.len() - 1] {
        let mut damaged = second.clone();
        damaged[at] ^= 0x11;
        assert!(resume(engine, &damaged, |_| ()).is_err(), "byte {at}");
        assert!(resume(engine, &second[..at], |_| ()).is_err(), "{at} bytes");
    }
}
