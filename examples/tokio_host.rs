//! Guests on tokio: while they wait they take no thread, and a timeout ends one that waits for too long.

use std::time::{Duration, Instant};
use wardian::{CallOptions, Caller, Engine, Linker, Module, Result, StopReason, Store};

/// A guest that sleeps three times, and adds up the answers.
const GUEST: &str = r#"(module
  (import "host" "sleep" (func $sleep (param i32) (result i32)))
  (func (export "run") (param $ms i32) (result i32)
    (i32.add (call $sleep (local.get $ms))
      (i32.add (call $sleep (local.get $ms)) (call $sleep (local.get $ms))))))"#;

fn imports(engine: &Engine) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap_async("host", "sleep", |_: Caller<'_, ()>, (ms,): (u32,)| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(ms.into())).await;
            ms
        })
    })?;
    Ok(linker)
}

/// One guest in a store of its own.
async fn run(engine: Engine, linker: Linker<()>, module: Module, ms: u32) -> Result<u32> {
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.typed_func::<u32, u32>(&mut store, "run")?;
    let options = CallOptions::new().with_timeout(Duration::from_millis(1500));
    run.call_async_with(&mut store, &options, ms).await
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let linker = imports(&engine)?;
    let module = Module::new(&engine, GUEST)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_time().build()?;
    let begin = Instant::now();
    runtime.block_on(async {
        let guest = |ms| run(engine.clone(), linker.clone(), module.clone(), ms);
        let guests: Vec<_> = (1..=100).map(|_| tokio::spawn(guest(20))).collect();
        let slow = tokio::spawn(guest(60_000));
        for guest in guests {
            let sum = guest.await.expect("the guest does not panic")?;
            assert_eq!(sum, 60);
        }
        println!("100 guests slept 60 ms each, on two threads, in {:?}", begin.elapsed());
        let stopped =
            slow.await.expect("the guest does not panic").expect_err("it sleeps for minutes");
        assert_eq!(stopped.stop_reason(), Some(StopReason::Deadline));
        println!("the one that sleeps for a minute: {stopped}");
        Ok(())
    })
}
