//! One guest uses up a limit of the whole process. Other guests continue with what they have, and nothing is
//! left over when that guest is gone.

use super::wasi::{Guests, MFILE, call};
use super::{NEIGHBOUR, neighbour};
use crate::alone::alone;
use crate::matrix::module;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use wardian::{Engine, ErrorKind, Instance, Module, Store, TrapCode, limits::StoreLimits};

/// Makes instances of a module until there is an error, while a guest that was there before is called.
fn fill(engine: &Engine, greedy: &str) -> String {
    let other = module(engine, NEIGHBOUR);
    neighbour(engine, &other);
    let mut kept = Store::new(engine, ());
    let i = Instance::new(&mut kept, &other, &[]).unwrap();
    let run = i.typed_func::<i32, i32>(&mut kept, "run").unwrap();
    let outside = i.typed_func::<(), ()>(&mut kept, "outside").unwrap();
    let greedy = module(engine, greedy);
    let all = usize::MAX;
    let limits = StoreLimits { instances: all, memories: all, ..StoreLimits::default() };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let error = loop {
        match Instance::new(&mut store, &greedy, &[]) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    for _ in 0..5 {
        assert_eq!(run.call(&mut kept, 15).unwrap(), 610);
        let trap = outside.call(&mut kept, ()).unwrap_err().trap();
        assert_eq!(trap, Some(TrapCode::MemoryOutOfBounds));
        refused_or_right(engine, &other);
    }
    drop(store);
    neighbour(engine, &other);
    error.to_string()
}

/// A new tenant finds room that was kept, or is refused with an error.
fn refused_or_right(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ());
    match Instance::new(&mut store, module, &[]) {
        Ok(i) => {
            let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
            match run.call(&mut store, 15) {
                Ok(sum) => assert_eq!(sum, 610),
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}"),
            }
        }
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}"),
    }
}

pub(super) fn mappings(engine: &Engine) {
    alone(engine, |engine| {
        let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        if most.trim().parse::<usize>().is_ok_and(|most| most > 300_000) {
            // It would take gigabytes of the kernel's memory to find out.
            return;
        }
        let error = fill(engine, "(module (memory 1 2))");
        // Memories with guards use up all addresses first; then there are some without.
        let guarded = !format!("{:?}", engine.config()).contains("signals: false");
        let expected = if guarded { "has no memory" } else { "vm.max_map_count" };
        assert!(error.contains(expected), "{error}");
    });
}

pub(super) fn address_space(engine: &Engine) {
    alone(engine, |engine| {
        // The code's addresses are reserved before.
        neighbour(engine, &module(engine, NEIGHBOUR));
        let _last = keep_heap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let size: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        let (_, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
        setrlimit(Resource::RLIMIT_AS, (size << 10) + (40 << 30), hard).unwrap();
        // Large ones, so that few instances are made, which take little of the heap.
        let error = fill(engine, "(module (memory 1024 2048))");
        assert!(error.contains("memory"), "{error}");
    });
}

/// Leaves free blocks to the C library's heap. Small allocations of a Rust program end it when they fail, so the heap must
/// not need more addresses. What this returns keeps the blocks from being given back to the system.
fn keep_heap() -> Box<[u8; 1024]> {
    let block = || Box::new([1; 1024]);
    let blocks: Vec<_> = (0..16 << 10).map(|_| block()).collect();
    let last = block();
    drop(blocks);
    last
}

pub(super) fn descriptors(engine: &Engine) {
    alone(engine, |engine| {
        let guests = Guests::new(engine);
        let other = module(engine, NEIGHBOUR);
        neighbour(engine, &other);
        let (mut waiting, j) = guests.guest(guests.with_folder().build());
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 100, hard).unwrap();
        let (mut store, i) = guests.guest(guests.with_folder().max_descriptors(1 << 20).build());
        assert_eq!(call(&mut store, i, "open").unwrap(), MFILE);
        assert_eq!(call(&mut waiting, j, "once").unwrap(), MFILE);
        // Nothing else needs a descriptor: not even a deadline, or a trap.
        neighbour(engine, &other);
        let spinning = module(engine, r#"(module (func (export "run") (loop $l (br $l))))"#);
        let mut spin = Store::new(engine, ());
        let k = Instance::new(&mut spin, &spinning, &[]).unwrap();
        spin.set_timeout(std::time::Duration::from_millis(20));
        let run = k.typed_func::<(), ()>(&mut spin, "run").unwrap();
        assert!(run.call(&mut spin, ()).unwrap_err().stop_reason().is_some());
        drop(store);
        assert_eq!(call(&mut waiting, j, "once").unwrap(), 0);
    });
}
