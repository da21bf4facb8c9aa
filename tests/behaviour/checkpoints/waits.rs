//! Guests that wait in `memory.atomic.wait`, and the shared memories that they wait in.

use super::sources;
use crate::matrix::{Behaviour, module};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use wardian::{
    Engine, Instance, Linker, MemoryType, Module, Result, SharedMemory, StopReason, Store, Val,
    checkpoint::{
        AfterCheckpoint, Checkpoint, CheckpointOptions, ResumeOptions, Resumed, SharedMemories,
    },
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("a guest keeps its place in a queue while a checkpoint is taken", kept),
    ("a guest in an atomic wait is carried, and waits on", carried),
    ("a wait has as much time left as it had when it was carried", time_left),
    ("a notification that came before a checkpoint is carried", notified),
    ("guests that wait at one address keep their order", ordered),
    ("shared memories are carried with their size, or left out, or refused", memories),
    ("forged waits break nothing", forged),
    ("a wait of 64 bits is carried in memories of 32 and 64 bits", wide),
];

/// `wait` waits at an address as long as it has 7, and returns what that says with other values that its frames have;
/// `inner` has it do so.
const WAITS: &str = r#"(module (import "h" "m" (memory 1 8 shared))
  (func $wait (param $at i32) (param $timeout i64) (result i32) (local $kept f64)
    (local.set $kept (f64.const 2.5))
    (i32.const 100)
    (memory.atomic.wait32 (local.get $at) (i32.const 7) (local.get $timeout))
    (i32.add)
    (i32.mul (i32.trunc_f64_s (f64.mul (local.get $kept) (f64.const 2)))))
  (func (export "run") (param $at i32) (param $timeout i64) (result i32 i64)
    (call $wait (local.get $at) (local.get $timeout)) (local.get $timeout))
  (func (export "wake") (param $at i32) (param $count i32) (result i32)
    (memory.atomic.notify (local.get $at) (local.get $count))))"#;

/// What `run` returns if the wait says this.
fn said(result: i32, timeout: i64) -> Vec<Val> {
    vec![Val::I32(5 * (100 + result)), Val::I64(timeout)]
}

/// A memory with 7 everywhere that tests wait.
fn memory(engine: &Engine) -> SharedMemory {
    let ty = MemoryType { shared: true, ..MemoryType::new(1, Some(8)) };
    let memory = SharedMemory::new(engine, ty).unwrap();
    for at in (0..128).step_by(8) {
        memory.write(at, &7u32.to_le_bytes()).unwrap();
    }
    memory
}

fn give(engine: &Engine, memory: &SharedMemory) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker.define("h", "m", memory.clone()).unwrap();
    linker
}

fn guest(module: &Module, memory: &SharedMemory) -> (Store<()>, Instance) {
    let engine = module.engine();
    let mut store = Store::new(engine, ());
    let instance = give(engine, memory).instantiate(&mut store, module).unwrap();
    (store, instance)
}

/// Notifies so many waiters of an address, as soon as there are any; returns how many there were.
fn wake(module: &Module, memory: &SharedMemory, at: i32, count: i32) -> i32 {
    let (mut store, instance) = guest(module, memory);
    let wake = instance.typed_func::<(i32, i32), i32>(&mut store, "wake").unwrap();
    until(|| match wake.call(&mut store, (at, count)).unwrap() {
        0 => None,
        woken => Some(woken),
    })
}

/// Asks again and again, for a bounded time.
fn until<R>(mut ask: impl FnMut() -> Option<R>) -> R {
    let begun = Instant::now();
    loop {
        match ask() {
            Some(answer) => return answer,
            None => assert!(begun.elapsed() < Duration::from_secs(60), "it never happens"),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Calls `run` on a thread of its own, and takes a checkpoint when it waits. `meanwhile` is called when the guest stands
/// still.
fn carry(
    module: &Module,
    memory: &SharedMemory,
    wait: (i32, i64),
    options: CheckpointOptions,
    meanwhile: impl FnOnce() + Send + 'static,
) -> Result<Checkpoint> {
    let pause = Duration::from_millis(30);
    carry_after(pause, module, memory, wait, options, meanwhile).expect("it has not ended")
}

/// Like [`carry`], after this time. `None` if the wait has ended before.
fn carry_after(
    pause: Duration,
    module: &Module,
    memory: &SharedMemory,
    (at, timeout): (i32, i64),
    options: CheckpointOptions,
    meanwhile: impl FnOnce() + Send + 'static,
) -> Option<Result<Checkpoint>> {
    let (mut store, instance) = guest(module, memory);
    let request = store.checkpoint_request();
    let (sender, taken) = mpsc::channel();
    let ended = sender.clone();
    thread::scope(|scope| {
        scope.spawn(move || {
            let run = instance.typed_func::<(i32, i64), (i32, i64)>(&mut store, "run").unwrap();
            match run.call(&mut store, (at, timeout)) {
                Ok(_) => ended.send(None).unwrap(),
                Err(error) => assert_eq!(error.stop_reason(), Some(StopReason::Checkpoint)),
            }
        });
        // Long enough that it waits, mostly; otherwise it is carried where it is about to.
        thread::sleep(pause);
        request.request_standstill(move |still| {
            meanwhile();
            sender.send(Some(still.checkpoint(&options))).unwrap();
            AfterCheckpoint::End
        });
        taken.recv_timeout(Duration::from_secs(60)).expect("it is served")
    })
}

/// Timeouts in milliseconds that are tried one after the other, as on a busy machine a short one passes before a
/// checkpoint is taken.
const TIMEOUTS: [u64; 4] = [400, 2000, 10_000, 50_000];

fn include() -> CheckpointOptions {
    CheckpointOptions::new().shared_memories(SharedMemories::Include)
}

fn resume(engine: &Engine, memory: &SharedMemory, checkpoint: &Checkpoint) -> (Store<()>, Resumed) {
    let mut store = Store::new(engine, ());
    let linker = give(engine, memory);
    let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
    (store, resumed)
}

fn kept(engine: &Engine) {
    for engine in sources(engine) {
        let (module, memory) = (module(&engine, WAITS), memory(&engine));
        let (mut store, instance) = guest(&module, &memory);
        let request = store.checkpoint_request();
        thread::scope(|scope| {
            let running = scope.spawn(|| {
                let run = instance.typed_func::<(i32, i64), (i32, i64)>(&mut store, "run").unwrap();
                run.call(&mut store, (0, -1)).unwrap()
            });
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(10));
                let (sender, taken) = mpsc::channel();
                request.request(include(), move |checkpoint| {
                    sender.send(checkpoint.map(|c| c.frames().len())).unwrap();
                    AfterCheckpoint::Resume
                });
                let frames = taken.recv_timeout(Duration::from_secs(60)).expect("it is served");
                assert!((1..=2).contains(&frames.unwrap()));
            }
            assert_eq!(wake(&module, &memory, 0, 5), 1);
            assert_eq!(running.join().unwrap(), (5 * 100, -1));
        });
    }
}

fn carried(engine: &Engine) {
    for from in sources(engine) {
        let (here, first) = (module(&from, WAITS), memory(&from));
        let checkpoint = carry(&here, &first, (8, -1), include(), || ()).unwrap();
        assert_eq!(checkpoint.frames().len(), 2);
        // Again, in the middle of what was resumed.
        let there = module(engine, WAITS);
        let second = memory(engine);
        let (mut store, resumed) = resume(engine, &second, &checkpoint);
        let wait = resumed.pending_wait().unwrap();
        assert_eq!((wait.address, wait.place, wait.time_left), (8, Some(0), None));
        let mut value = [0; 4];
        second.read(8, &mut value).unwrap();
        assert_eq!(value, 7u32.to_le_bytes());
        let request = store.checkpoint_request();
        let again = thread::scope(|scope| {
            let running = scope.spawn(|| resumed.run(&mut store));
            let (sender, taken) = mpsc::channel();
            request.request(include(), move |checkpoint| {
                sender.send(checkpoint).unwrap();
                AfterCheckpoint::End
            });
            let again = taken.recv_timeout(Duration::from_secs(60)).expect("it is served");
            running.join().unwrap().unwrap_err();
            again.unwrap()
        });
        let third = memory(engine);
        let (mut store, resumed) = resume(engine, &third, &again);
        // It waits already: what is there now does not count.
        third.write(8, &9u32.to_le_bytes()).unwrap();
        thread::scope(|scope| {
            let running = scope.spawn(|| resumed.run(&mut store));
            assert_eq!(wake(&there, &third, 8, 1), 1);
            assert_eq!(running.join().unwrap().unwrap(), said(0, -1));
        });
        // It can be stopped while it waits.
        let (mut store, resumed) = resume(engine, &third, &again);
        let token = store.cancel_token();
        thread::scope(|scope| {
            let running = scope.spawn(|| resumed.run(&mut store));
            thread::sleep(Duration::from_millis(10));
            token.cancel();
            let error = running.join().unwrap().unwrap_err();
            assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
        });
    }
}

fn time_left(engine: &Engine) {
    for from in sources(engine) {
        assert!(TIMEOUTS.into_iter().any(|timeout| time_left_of(timeout, &from, engine)));
    }
}

/// False if this timeout is too short to say anything, or the guest did not wait yet.
fn time_left_of(timeout: u64, from: &Engine, engine: &Engine) -> bool {
    let nanos = timeout as i64 * 1_000_000;
    let (here, first) = (module(from, WAITS), memory(from));
    let pause = Duration::from_millis(timeout / 10);
    let meanwhile = || thread::sleep(Duration::from_millis(100));
    let Some(checkpoint) = carry_after(pause, &here, &first, (16, nanos), include(), meanwhile)
    else {
        return false;
    };
    let (mut store, resumed) = resume(engine, &memory(engine), &checkpoint.unwrap());
    let left = resumed.pending_wait().unwrap().time_left.unwrap();
    if left == Duration::from_millis(timeout) {
        return false;
    }
    assert!(left <= Duration::from_millis(timeout - 100), "{left:?}");
    let begun = Instant::now();
    assert_eq!(resumed.run(&mut store).unwrap(), said(2, nanos));
    assert!(begun.elapsed() >= left);
    true
}

fn notified(engine: &Engine) {
    for from in sources(engine) {
        let (here, first) = (module(&from, WAITS), memory(&from));
        let (there, shared) = (here.clone(), first.clone());
        let meanwhile = move || assert_eq!(wake(&there, &shared, 24, 1), 1);
        let checkpoint = carry(&here, &first, (24, -1), include(), meanwhile).unwrap();
        let (mut store, resumed) = resume(engine, &memory(engine), &checkpoint);
        assert_eq!(resumed.pending_wait().unwrap().place, None);
        assert_eq!(resumed.run(&mut store).unwrap(), said(0, -1));
    }
}

/// Guests that wait at one address, in the order of their numbers.
const GUESTS: usize = 3;

/// Checkpoints of guests that began to wait one after the other, with so much time between them.
fn queue(from: &Engine, pause: Duration) -> Vec<Checkpoint> {
    let (here, first) = (module(from, WAITS), memory(from));
    let all = Arc::new(Barrier::new(GUESTS));
    let (sender, taken) = mpsc::channel();
    thread::scope(|scope| {
        let mut requests = Vec::new();
        for number in 0..GUESTS {
            let (mut store, instance) = guest(&here, &first);
            requests.push((number, store.checkpoint_request()));
            scope.spawn(move || {
                let run = instance.typed_func::<(i32, i64), (i32, i64)>(&mut store, "run").unwrap();
                run.call(&mut store, (32, -1)).unwrap_err();
            });
            thread::sleep(pause);
        }
        // What a guest that is not the first to wait has as its place does not depend on who is asked first.
        for (number, request) in requests.into_iter().rev() {
            let (all, sender) = (all.clone(), sender.clone());
            request.request_standstill(move |still| {
                all.wait();
                let options = CheckpointOptions::new().shared_memories(SharedMemories::Leave);
                sender.send((number, still.checkpoint(&options).unwrap())).unwrap();
                all.wait();
                AfterCheckpoint::End
            });
        }
    });
    let mut guests: Vec<(usize, Checkpoint)> = taken.try_iter().collect();
    guests.sort_by_key(|(number, _)| *number);
    guests.into_iter().map(|(_, checkpoint)| checkpoint).collect()
}

fn ordered(engine: &Engine) {
    let from = &sources(engine)[1];
    let there = module(engine, WAITS);
    let second = memory(engine);
    let resumed_of = |pause| -> Vec<_> {
        let guests = queue(from, Duration::from_millis(pause));
        guests.iter().map(|checkpoint| resume(engine, &second, checkpoint)).collect()
    };
    let in_order = |guests: &Vec<(Store<()>, Resumed)>| {
        let places = guests.iter().map(|(_, resumed)| resumed.pending_wait().unwrap().place);
        places.eq((0..GUESTS as u32).map(Some))
    };
    // On a busy machine a guest may begin to wait after one that was started later.
    let mut guests = [50, 500, 5000].into_iter().map(resumed_of).find(in_order).expect("in order");
    for (store, resumed) in &mut guests {
        resumed.join_queue(store).unwrap();
    }
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        for (number, (mut store, resumed)) in guests.into_iter().enumerate().rev() {
            let sender = sender.clone();
            scope.spawn(move || {
                assert_eq!(resumed.run(&mut store).unwrap(), said(0, -1));
                sender.send(number).unwrap();
            });
        }
        for number in 0..GUESTS {
            assert_eq!(wake(&there, &second, 32, 1), 1);
            assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(number));
        }
    });
}

fn memories(engine: &Engine) {
    for from in sources(engine) {
        let (here, first) = (module(&from, WAITS), memory(&from));
        first.grow(2).unwrap();
        first.write((3 << 16) - 5, b"hello").unwrap();
        let refused = carry(&here, &first, (0, -1), CheckpointOptions::new(), || ());
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("shared_memories"), "{refused}");
        let checkpoint = carry(&here, &first, (0, -1), include(), || ()).unwrap();
        let second = memory(engine);
        second.write(1 << 15, b"old").unwrap();
        let (_store, _resumed) = resume(engine, &second, &checkpoint);
        let mut bytes = [0; 5];
        second.read((3 << 16) - 5, &mut bytes).unwrap();
        assert_eq!((second.size(), &bytes), (3, b"hello"));
        second.read(1 << 15, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 5]);
        let leave = CheckpointOptions::new().shared_memories(SharedMemories::Leave);
        let checkpoint = carry(&here, &first, (0, -1), leave, || ()).unwrap();
        assert_eq!(checkpoint.memories().len(), 0);
        let third = memory(engine);
        third.write(1 << 15, b"given").unwrap();
        let (_store, _resumed) = resume(engine, &third, &checkpoint);
        third.read(1 << 15, &mut bytes).unwrap();
        assert_eq!((third.size(), &bytes), (1, b"given"));
        // A larger one cannot become smaller.
        let large = memory(engine);
        large.grow(5).unwrap();
        let checkpoint = carry(&here, &first, (0, -1), include(), || ()).unwrap();
        let mut store = Store::new(engine, ());
        let linker = give(engine, &large);
        let error = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap_err();
        assert!(error.to_string().contains("it is to have"), "{error}");
    }
    // One that an instance defines, with data.
    let text = r#"(module (memory (export "m") 1 2 shared) (data (i32.const 8) "data")
      (func (export "run") (param i32 i64) (result i32 i64)
        (i32.store8 (i32.const 9) (i32.const 65))
        (drop (memory.grow (i32.const 1)))
        (memory.atomic.wait32 (i32.const 100000) (i32.const 0) (local.get 1))
        (local.get 1)))"#;
    for from in sources(engine) {
        let checkpoint =
            carry(&module(&from, text), &memory(&from), (0, 1 << 40), include(), || ());
        let mut store = Store::new(engine, ());
        let linker = Linker::new(engine);
        let checkpoint = checkpoint.unwrap();
        let resumed = checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
        assert_eq!(resumed.pending_wait().unwrap().address, 100_000);
        let instance = resumed.instances()[0];
        let memory = instance.get_export(&mut store, "m").unwrap().into_shared_memory().unwrap();
        let mut bytes = [0; 4];
        memory.read(8, &mut bytes).unwrap();
        assert_eq!((memory.size(), &bytes), (2, b"dAta"));
    }
}

fn forged(engine: &Engine) {
    let from = &sources(engine)[0];
    let (here, first) = (module(from, WAITS), memory(from));
    let checkpoint = carry(&here, &first, (40, -1), include(), || ()).unwrap();
    let ready = module(engine, WAITS);
    let (mut ran, mut refused) = (0, 0);
    super::bytes::each_change(&checkpoint.to_bytes().unwrap(), &[1, 2, 0x10, 0x80], |checkpoint| {
        let mut store = Store::new(engine, ());
        let options = ResumeOptions::new().with_module(&ready);
        let linker = give(engine, &memory(engine));
        let Ok(resumed) = checkpoint.resume(&mut store, &linker, &options) else {
            refused += 1;
            return;
        };
        // It may have to wait for ever.
        store.set_deadline(Some(Instant::now() + Duration::from_millis(5)));
        let _ = resumed.run(&mut store);
        ran += 1;
    });
    assert!(ran > 20 && refused > 20, "{ran} {refused}");
}

fn wide(engine: &Engine) {
    for index in ["i32", "i64"] {
        let text = format!(
            r#"(module (import "h" "m" (memory {index} 1 8 shared))
              (func (export "run") (param i32 i64) (result i32 i64)
                (memory.atomic.wait64 ({index}.const 64) (i64.const 7) (local.get 1))
                (local.get 1)))"#
        );
        let ty =
            MemoryType { shared: true, memory64: index == "i64", ..MemoryType::new(1, Some(8)) };
        let make = |engine: &Engine| {
            let memory = SharedMemory::new(engine, ty).unwrap();
            memory.write(64, &7u64.to_le_bytes()).unwrap();
            memory
        };
        for from in sources(engine) {
            let here = module(&from, &text);
            let pause = Duration::from_millis(30);
            let in_time = |timeout: u64| {
                let timeout = timeout as i64 * 1_000_000;
                let wait = (0, timeout);
                let taken = carry_after(pause, &here, &make(&from), wait, include(), || ());
                Some((timeout, taken?.unwrap()))
            };
            let (timeout, checkpoint) = TIMEOUTS.into_iter().find_map(in_time).expect("it waits");
            let (mut store, resumed) = resume(engine, &make(engine), &checkpoint);
            assert_eq!(resumed.pending_wait().unwrap().address, 64);
            assert_eq!(resumed.run(&mut store).unwrap(), [Val::I32(2), Val::I64(timeout)]);
        }
    }
}
