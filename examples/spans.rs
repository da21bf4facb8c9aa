//! Calls as spans of the crate `tracing`: what the host records while it works for a guest lies inside of
//! the guest's calls, for any subscriber, such as those that send to OpenTelemetry.

use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::format::FmtSpan;
use wardian::{CompileOptions, Engine, Linker, Module, Result, Store, listener::FunctionFilter};
use wardian_observe::SpanListener;

const GUEST: &str = r#"(module $garden
  (import "host" "water" (func $water (param $litres i32)))
  (func $plant (param $n i32) (call $water (i32.mul (local.get $n) (i32.const 2))))
  (func (export "day") (param $n i32)
    (call $plant (local.get $n))
    (if (i32.eqz (local.get $n)) (then unreachable))))"#;

/// Where the subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let text = recorded(SpanListener::new(FunctionFilter::all()))?;
    println!("{text}");
    let watering = text.lines().find(|line| line.contains("watering")).expect("it was recorded");
    assert_eq!(depth(watering), 3, "inside of day, plant and water: {watering}");
    assert!(text.contains(r#"outcome="trap: unreachable""#));

    // Spans of guests that may go on on another thread are not entered, but inside of each other.
    let text = recorded(SpanListener::new(FunctionFilter::all()).with_entered_spans(false))?;
    let deepest = text.lines().filter(|line| line.contains("close")).map(depth).max();
    assert_eq!(deepest, Some(3), "{text}");

    // Without a subscriber that wants spans nobody listens.
    let spans = SpanListener::new(FunctionFilter::all());
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || run(spans))
}

/// How many calls something is inside of.
fn depth(line: &str) -> usize {
    line.matches("function=").count()
}

/// What a subscriber writes about a run.
fn recorded(spans: SpanListener) -> Result<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || run(spans))?;
    let text = lines.0.lock().unwrap().clone();
    Ok(String::from_utf8(text).expect("it is text"))
}

fn run(spans: SpanListener) -> Result<()> {
    let engine = Engine::default();
    let options = CompileOptions::new().with_function_listener_factory(spans);
    let module = Module::new_with(&engine, GUEST, &options)?;
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("host", "water", |litres: i32| tracing::info!(litres, "watering"))?;
    let mut store = Store::new(&engine, ());
    let guest = linker.instantiate(&mut store, &module)?;
    let day = guest.typed_func::<i32, ()>(&mut store, "day")?;
    day.call(&mut store, 3)?;
    day.call(&mut store, 0).expect_err("it traps");
    Ok(())
}
