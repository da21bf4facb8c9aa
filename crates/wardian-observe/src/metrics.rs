//! Counters of guests for the crate `metrics`, and by a recorder for Prometheus and others.

use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use wardian::{
    AbortReason, AsContext, Call, FunctionDefinition, FunctionFilter, FunctionListener,
    FunctionListenerFactory, Instance, StackIterator, StopReason, Store,
};

/// Counts what guests do.
///
/// | name | kind | labels | |
/// |---|---|---|---|
/// | `wardian_calls_total` | counter | `module`, `function` | calls of the chosen functions |
/// | `wardian_call_seconds` | histogram | `module`, `function` | how long they took |
/// | `wardian_ends_total` | counter | `reason` | outermost chosen calls that did not return: `trap`, `exit`, `deadline`, `fuel`, `cancelled`, `other` |
/// | `wardian_instances` | gauge | | see [`GuestMetrics::instance`] |
/// | `wardian_memory_bytes` | gauge | `instance` | see [`GuestMetrics::record`] |
/// | `wardian_fuel_left` | gauge | `instance` | as before, if the engine counts fuel |
///
/// It is a factory of listeners. The recorder is the one that is installed when listeners are chosen.
#[derive(Clone)]
pub struct GuestMetrics {
    filter: FunctionFilter,
    open: Arc<Open>,
}

/// When calls began that have not ended, by store, with their numbers.
#[derive(Default)]
struct Open(Mutex<HashMap<u64, Vec<(u64, Instant)>>>);

impl GuestMetrics {
    /// Metrics of the calls of these functions. Each function is a time series of its own, so choose few:
    /// those that are exported, or those of the host.
    pub fn new(filter: FunctionFilter) -> GuestMetrics {
        GuestMetrics { filter, open: Arc::default() }
    }

    /// Counts an instance for as long as the result lives: keep it beside the instance.
    pub fn instance(&self) -> InstanceCount {
        let instances = gauge!("wardian_instances");
        instances.increment(1.0);
        InstanceCount(instances)
    }

    /// Records the size of an instance's memories and the fuel of its store as they are now, by the
    /// instance's name. To be called when a guest has done some work.
    pub fn record<T: 'static>(&self, store: &Store<T>, instance: Instance) {
        let internal = instance.internal(store);
        let name = internal.name().unwrap_or_default().to_owned();
        let sizes = (0..internal.num_memories() as u32).filter_map(|i| internal.memory(i));
        let bytes: usize = sizes.map(|memory| memory.len()).sum();
        gauge!("wardian_memory_bytes", "instance" => name.clone()).set(bytes as f64);
        if let Ok(fuel) = store.as_context().fuel() {
            gauge!("wardian_fuel_left", "instance" => name).set(fuel as f64);
        }
    }
}

impl std::fmt::Debug for GuestMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuestMetrics")
    }
}

/// An instance that counts until this is dropped.
#[must_use = "the instance counts until this is dropped"]
#[derive(Debug)]
pub struct InstanceCount(Gauge);

impl Drop for InstanceCount {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl FunctionListenerFactory for GuestMetrics {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        if !self.filter.matches(definition) {
            return None;
        }
        let import = definition.import();
        let name = import.map(|(_, name)| name.to_owned());
        let name = name.or_else(|| definition.demangled_name());
        let name = name.unwrap_or_else(|| definition.debug_name());
        let module = import.map(|(module, _)| module).or(definition.module_name());
        let module = module.unwrap_or_default().to_owned();
        let labels = [("module", module), ("function", name)];
        Some(Arc::new(Counted {
            open: self.open.clone(),
            calls: counter!("wardian_calls_total", &labels),
            seconds: histogram!("wardian_call_seconds", &labels),
        }))
    }
}

/// Listens to one function.
struct Counted {
    open: Arc<Open>,
    calls: Counter,
    seconds: Histogram,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<(u64, Instant)>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Counted {
    fn begin(&self, call: &Call<'_>) {
        let began = (call.id(), Instant::now());
        self.open.lock().entry(call.store_id()).or_default().push(began);
    }

    /// Whether the call was the outermost.
    fn end(&self, call: &Call<'_>) -> bool {
        let mut open = self.open.lock();
        let store = call.store_id();
        let Some(calls) = open.get_mut(&store) else { return false };
        let Some((_, began)) = calls.pop_if(|(id, _)| *id == call.id()) else { return false };
        self.seconds.record(began.elapsed());
        let outermost = calls.is_empty();
        if outermost {
            open.remove(&store);
        }
        outermost
    }
}

impl FunctionListener for Counted {
    fn before(&self, call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.calls.increment(1);
        self.begin(call);
    }

    fn after(&self, call: &Call<'_>, _: &[u64]) {
        self.end(call);
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        // Each error ends all calls that are open; it counts once.
        if self.end(call) {
            counter!("wardian_ends_total", "reason" => word(reason)).increment(1);
        }
    }

    fn resumed(&self, call: &Call<'_>) {
        self.begin(call);
    }
}

fn word(reason: &AbortReason<'_>) -> &'static str {
    let Some(error) = reason.error() else { return "other" };
    match error.stop_reason() {
        Some(StopReason::Deadline) => "deadline",
        Some(StopReason::Fuel) => "fuel",
        Some(StopReason::Cancelled) => "cancelled",
        _ if error.exit_code().is_some() => "exit",
        _ if error.trap().is_some() => "trap",
        _ => "other",
    }
}
