//! Counters of guests for the crate `metrics`: calls and their time, traps, memory, instances; for any
//! recorder, such as that for Prometheus.

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use wardian::{CompileOptions, Engine, Linker, Module, Result, Store, listener::FunctionFilter};
use wardian_observe::GuestMetrics;

const GUEST: &str = r#"(module $garden (memory 2)
  (func (export "day") (param $n i32) (if (i32.eqz (local.get $n)) (then unreachable))))"#;

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let guests = GuestMetrics::new(FunctionFilter::exported());
        let engine = Engine::default();
        let options = CompileOptions::new().with_function_listener_factory(guests.clone());
        let module = Module::new_with(&engine, GUEST, &options)?;
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
        let count = guests.instance("garden 1");
        let day = instance.typed_func::<i32, ()>(&mut store, "day")?;
        (1..=3).try_for_each(|n| day.call(&mut store, n))?;
        day.call(&mut store, 0).expect_err("it traps");
        count.record(&store, instance);
        show(&snapshotter);
        drop(count);
        Ok(())
    })
}

fn show(snapshotter: &Snapshotter) {
    let mut values = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let value = match value {
            DebugValue::Counter(n) => n.to_string(),
            DebugValue::Gauge(n) => n.to_string(),
            DebugValue::Histogram(times) => format!("{} times", times.len()),
        };
        let labels: Vec<_> = key.key().labels().map(|l| l.value().to_owned()).collect();
        values.push(format!("{} {} {value}", key.key().name(), labels.join(".")));
    }
    values.sort();
    println!("{}", values.join("\n"));
    assert_eq!(
        values,
        [
            "wardian_call_seconds garden.day 4 times",
            "wardian_calls_total garden.day 4",
            "wardian_ends_total trap 1",
            "wardian_instances  1",
            "wardian_memory_bytes garden 1 131072",
        ]
    );
}
