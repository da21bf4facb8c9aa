//! Threads of the embedder's in unusual states: with signals blocked, and ending.

use crate::matrix::{Behaviour, instance};
use std::cell::RefCell;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use wardian::{Engine, StopReason, Store, TrapCode};

pub(crate) const TABLE: &[Behaviour] = &[
    #[cfg(unix)]
    ("a thread that blocks all signals runs guests", blocked),
    ("destructors of thread-local values run guests", ending),
    #[cfg(unix)]
    ("a thread's signals are as before after its guests", signals_afterwards),
];

const TEXT: &str = r#"(module (memory 1)
  (func (export "spin") (loop (br 0)))
  (func (export "oob") (drop (i32.load (i32.const 100000000))))
  (func $deep (export "deep") (call $deep))
  (func (export "div") (param i32) (drop (i32.div_u (i32.const 1) (local.get 0)))))"#;

/// Has a guest end in every way that needs a signal; true if it did.
fn all_endings(engine: &Engine) -> bool {
    let mut store = Store::new(engine, ());
    let i = instance(&mut store, TEXT);
    for (name, code) in
        [("oob", TrapCode::MemoryOutOfBounds), ("deep", TrapCode::StackOverflow)].repeat(2)
    {
        let run = i.typed_func::<(), ()>(&mut store, name).unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap_err().trap(), Some(code), "{name}");
    }
    let div = i.typed_func::<i32, ()>(&mut store, "div").unwrap();
    let error = div.call(&mut store, 0).unwrap_err();
    assert_eq!(error.trap(), Some(TrapCode::IntegerDivisionByZero));
    store.set_timeout(Duration::from_millis(10));
    let spin = i.typed_func::<(), ()>(&mut store, "spin").unwrap();
    let error = spin.call(&mut store, ()).unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    true
}

#[cfg(unix)]
fn blocked(engine: &Engine) {
    let engine = engine.clone();
    let thread = std::thread::spawn(move || {
        nix::sys::signal::SigSet::all().thread_block().unwrap();
        all_endings(&engine)
    });
    assert!(thread.join().unwrap());
}

/// Runs guests when its thread ends.
struct AtEnd(Engine, Sender<bool>);
impl Drop for AtEnd {
    fn drop(&mut self) {
        let run = std::panic::AssertUnwindSafe(|| all_endings(&self.0));
        let done = std::panic::catch_unwind(run).unwrap_or(false);
        self.1.send(done).unwrap();
    }
}

thread_local! {
    static FIRST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

fn ending(engine: &Engine) {
    // The values are made before guests first run on the thread, or no guests run there before it ends.
    for before in [false, true] {
        let (send, receive) = channel();
        let engine = engine.clone();
        let thread = std::thread::spawn(move || {
            FIRST.set(Some(AtEnd(engine.clone(), send.clone())));
            SECOND.set(Some(AtEnd(engine.clone(), send)));
            if before {
                assert!(all_endings(&engine));
            }
        });
        let patience = Duration::from_secs(60);
        assert_eq!(receive.recv_timeout(patience), Ok(true), "guests before: {before}");
        assert_eq!(receive.recv_timeout(patience), Ok(true), "guests before: {before}");
        thread.join().unwrap();
    }
}

#[cfg(unix)]
fn signals_afterwards(engine: &Engine) {
    // Handlers of the process run on the alternate stack: it must not be one that has been unmapped.
    for _ in 0..20 {
        let engine = engine.clone();
        std::thread::spawn(move || {
            struct Raises;
            impl Drop for Raises {
                fn drop(&mut self) {
                    nix::sys::signal::raise(nix::sys::signal::Signal::SIGURG).unwrap();
                }
            }
            thread_local!(static LAST: RefCell<Option<Raises>> = const { RefCell::new(None) });
            LAST.set(Some(Raises));
            all_endings(&engine)
        })
        .join()
        .unwrap();
    }
}
