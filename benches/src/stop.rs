//! How soon a guest stops, with all processors busy.

use crate::engines::{self, WARDIAN};
use crate::measure::{Figure, Row, difference};
use crate::options::{Options, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use wardian::{Instance, Module, Store, cancel::CancelToken};

/// The peer: a thread that sleeps on a condition variable, and is notified.
pub(crate) const WAKING: &str = "thread woken";
/// The peer that is fair: a thread that computes, as the guest does, and looks at a flag all the time.
pub(crate) const POLLING: &str = "flag polled";

/// The row that counts.
pub(crate) const ABOVE: &str = "p99 above a wake-up's";

const TIMES: usize = 1000;

/// From `cancel` to the return of the guest's call; the peers in turns with it.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    if !options.wants("cancel") {
        return Ok(Vec::new());
    }
    let busy = AtomicBool::new(true);
    let processors = std::thread::available_parallelism()?.get();
    let mut times = std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let done = measured();
        busy.store(false, Ordering::Relaxed);
        done
    })?;
    let peers = [WARDIAN, WAKING, POLLING];
    times.iter_mut().for_each(|t| t.sort());
    let rows = [("p50", TIMES / 2), ("p99", TIMES * 99 / 100), ("worst", TIMES - 1)];
    let figure = |engine, times: &[Duration], at: usize| Figure {
        engine,
        median: times[at].as_nanos() as f64,
        min: times[0].as_nanos() as f64,
        samples: vec![times[at].as_nanos() as f64],
    };
    let row = |(name, at): (&str, usize)| {
        let figures = peers.iter().zip(&times).map(|(p, t)| figure(p, t, at));
        Row::new(format!("cancel, {name}"), figures.collect())
    };
    let mut rows: Vec<Row> = rows.into_iter().map(row).collect();
    let mut above = difference(rows[1].clone(), WAKING);
    above.name = ABOVE.to_owned();
    rows.push(above);
    Ok(rows)
}

/// A thread that begins when it is asked to, says that it has, and reports when it was stopped.
struct Stoppable {
    begin: Sender<()>,
    stopped: Receiver<Instant>,
    stop: Box<dyn Fn()>,
}

fn measured() -> Result<[Vec<Duration>; 3]> {
    let all = [guest()?, sleeper(), poller()];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..TIMES {
        for (stoppable, times) in all.iter().zip(&mut times) {
            stoppable.begin.send(())?;
            std::thread::sleep(Duration::from_millis(2));
            let asked = Instant::now();
            (stoppable.stop)();
            times.push(stoppable.stopped.recv()?.saturating_duration_since(asked));
        }
    }
    Ok(times)
}

fn stoppable(
    stop: impl Fn() + 'static,
    mut until_stopped: impl FnMut() + Send + 'static,
) -> Stoppable {
    let (begin, begun) = channel();
    let (tell, stopped) = channel();
    std::thread::spawn(move || {
        while begun.recv().is_ok() {
            until_stopped();
            if tell.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    Stoppable { begin, stopped, stop: Box::new(stop) }
}

fn guest() -> Result<Stoppable> {
    let engine = engines::wardian()?;
    let module = Module::new(&engine, r#"(module (func (export "spin") (loop $l (br $l))))"#)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let spin = instance.typed_func::<(), ()>(&mut store, "spin")?;
    let token: CancelToken = store.cancel_token();
    let until_stopped = move || {
        assert!(spin.call(&mut store, ()).is_err());
        store.clear_cancellation();
    };
    Ok(stoppable(move || token.cancel(), until_stopped))
}

fn sleeper() -> Stoppable {
    let state = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = state.clone();
    let stop = move || {
        *state.0.lock().expect("nobody panics") = true;
        state.1.notify_one();
    };
    stoppable(stop, move || {
        let mut notified = theirs.0.lock().expect("nobody panics");
        while !*notified {
            notified = theirs.1.wait(notified).expect("nobody panics");
        }
        *notified = false;
    })
}

fn poller() -> Stoppable {
    let flag = Arc::new(AtomicBool::new(false));
    let theirs = flag.clone();
    let until_stopped = move || {
        while !theirs.swap(false, Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    };
    stoppable(move || flag.store(true, Ordering::Relaxed), until_stopped)
}
