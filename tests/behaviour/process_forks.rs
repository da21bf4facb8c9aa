//! Processes that are forked off while threads of an engine compile.
#![allow(unsafe_code, reason = "forks")]

use crate::alone::alone;
use crate::matrix::{Behaviour, HAS_JIT, module};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use wardian::{Engine, EngineKind, Instance, Module, Store};

pub(crate) const TABLE: &[Behaviour] =
    &[("a process that was forked off uses the engines of its parent", engines_of_the_parent)];

/// How many processes are forked off, by engines with threads that work: at most of these moments no lock is held.
const FORKS: usize = 40;
/// Bytes of memory that the process has at least.
const PAGES: usize = 128 << 20;
/// How many functions the module has, each with a loop that becomes hot.
const FUNCTIONS: usize = 2 * FORKS;

fn engines_of_the_parent(engine: &Engine) {
    alone(engine, forks);
}

fn forks(engine: &Engine) {
    let mut config = engine.config().clone();
    config.background_compilation(true).compile_threads(2).hot_after(Some(2000));
    let engine = Engine::new(&config).unwrap();
    let functions = (0..FUNCTIONS).map(|n| {
        format!(
            r#"(func (export "f{n}") (param i32) (result i32) (local i32)
              (loop $l
                (local.set 1 (i32.xor (i32.const {n}) (i32.add (local.get 1) (local.get 0))))
                (br_if $l (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
              (local.get 1))"#
        )
    });
    let m = module(&engine, &format!("(module {})", functions.collect::<String>()));
    // The system takes longer to copy a large process, and more can happen meanwhile.
    let _pages = std::hint::black_box(vec![1u8; PAGES]);
    let mut guest = Guest::new(&engine, &m);
    let has_threads = engine.kind() == EngineKind::Tiered;
    for round in 0..if has_threads { FORKS } else { 2 } {
        // Now a thread compiles, or looks for what is warm.
        guest.call(2 * round, 5000);
        std::thread::sleep(Duration::from_micros(100 * (round as u64 % 20)));
        assert_eq!(in_child(|| child(&engine, &m, round)), Some(0), "fork {round}");
    }
    guest.call(0, 5000);
}

/// What a child does: it runs and compiles functions with the parent's engine, and runs another engine.
fn child(engine: &Engine, m: &Module, round: usize) {
    let mut guest = Guest::new(engine, m);
    guest.call(2 * round, 100);
    if HAS_JIT && engine.kind() == EngineKind::Tiered {
        let until = Instant::now() + Duration::from_secs(20);
        let size = m.code_size();
        while m.code_size() == size {
            guest.call(2 * round + 1, 5000);
            assert!(Instant::now() < until, "nothing is compiled in the child");
        }
    }
    drop(guest);
    let other = Engine::new(engine.config()).unwrap();
    let text = r#"(module (func (export "f0") (param i32) (result i32) (local.get 0)))"#;
    Guest::new(&other, &module(&other, text)).call(0, 1);
}

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine, module: &Module) -> Guest {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        Guest { store, instance }
    }

    fn call(&mut self, function: usize, times: i32) {
        let name = format!("f{function}");
        let f = self.instance.typed_func::<i32, i32>(&mut self.store, &name).unwrap();
        f.call(&mut self.store, times).unwrap();
    }
}

/// Runs `work` in a process that is forked off; returns its exit code, or none if it does not end.
fn in_child(work: impl FnOnce()) -> Option<i32> {
    // SAFETY: this process was started for this test, whose thread is the only one that uses locks, but for those of the
    // engine, of which this is a test, and of the allocator, which the C library makes usable again.
    let child = match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let code = i32::from(catch_unwind(AssertUnwindSafe(work)).is_err());
            // SAFETY: ends the process, without what the parent has registered for its own end.
            unsafe { nix::libc::_exit(code) }
        }
    };
    exit_code(child)
}

fn exit_code(child: Pid) -> Option<i32> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap() {
            WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(1)),
            WaitStatus::Exited(_, code) => return Some(code),
            other => panic!("{other:?}"),
        }
    }
    nix::sys::signal::kill(child, nix::sys::signal::SIGKILL).unwrap();
    waitpid(child, None).unwrap();
    None
}
