//! A trace of a guest's calls, arguments and results, kept in memory until it is needed: the latest calls
//! before something went wrong. And the simplest of all traces, a log.

use wardian::{Engine, Instance, Module, Result, Store};
use wardian_observe::{LogListener, TraceBuffer, TraceListener, TraceOptions};

const GUEST: &str = r#"(module $garden
  (func $water (param $litres f64) (param $pots i32) (result f64)
    (if (i32.eqz (local.get $pots)) (then (unreachable)))
    (f64.div (local.get $litres) (f64.convert_i32_s (local.get $pots))))
  (func (export "day") (param $n i32)
    (loop $next
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (drop (call $water (f64.const 1.5) (local.get $n)))
      (br $next))))"#;

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let guest = Instance::new(&mut store, &module, &[])?;
    let day = guest.typed_func::<i32, ()>(&mut store, "day")?;

    // Only so many bytes are kept, however long the guest runs.
    let latest = TraceBuffer::new(200);
    let trace = TraceListener::new(latest.clone(), TraceOptions::new().with_summary(true));
    let attachment = guest.attach(&mut store, trace.clone())?;
    day.call(&mut store, 1000).expect_err("it traps");
    attachment.detach(&mut store);
    let end = trace.finish().expect("memory takes all");
    let text = String::from_utf8(latest.contents()).expect("it is text");
    println!("the latest of {} calls:\n{text}\n{}", end.calls, trace.summary());
    assert_eq!(end.calls, 1001);
    assert!(text.contains("  water(litres=1.5, pots=0) = ? trap: unreachable <"), "{text}");
    assert!(!text.contains("pots=500"), "that was long ago");

    let lines = TraceBuffer::new(1 << 20);
    let options = TraceOptions::new().with_only("wat*");
    let log = LogListener::with_options(lines.clone(), options);
    let attachment = guest.attach(&mut store, log)?;
    day.call(&mut store, 2).expect_err("it traps");
    attachment.detach(&mut store);
    let text = String::from_utf8(lines.contents()).expect("it is text");
    println!("{text}");
    assert_eq!(
        text,
        "==> garden.water(litres=1.5, pots=1)\n<== (1.5)\n==> garden.water(litres=1.5, pots=0)\n\
         <== ? trap: unreachable\n"
    );
    Ok(())
}
