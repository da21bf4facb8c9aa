//! Counters of guests for the crate `metrics`, and by a recorder for Prometheus and others.

use crate::printable::{printable, shorten};
use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;
use wardian::{
    AsContext, Instance, StopReason,
    inspect::FunctionDefinition,
    listener::{AbortReason, Call, FunctionFilter, FunctionListener, FunctionListenerFactory},
    stack::StackIterator,
};

/// Columns of a label.
const COLUMNS: usize = 128;

/// Counts what guests do.
///
/// | name | kind | labels | |
/// |---|---|---|---|
/// | `wardian_calls_total` | counter | `module`, `function` | calls of the chosen functions |
/// | `wardian_call_seconds` | histogram | `module`, `function` | how long they took |
/// | `wardian_ends_total` | counter | `reason` | outermost chosen calls that did not return: `trap`, `exit`, `deadline`, `fuel`, `cancelled`, `other` |
/// | `wardian_instances` | gauge | | see [`GuestMetrics::instance`] |
/// | `wardian_memory_bytes` | gauge | `instance` | see [`InstanceMetrics::record`] |
/// | `wardian_fuel_left` | gauge | `instance` | as before, if the engine counts fuel |
///
/// Names of modules and functions are the guests', without what terminals would obey, and at most 128
/// columns wide. It is a factory of listeners. The recorder is the one that is installed when listeners are chosen.
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

    /// Counts an instance for as long as the result lives: keep it beside the instance. The name is the
    /// label of what is recorded of it, so it should be no other's, and chosen by you rather than by the
    /// guest.
    pub fn instance(&self, name: impl Into<String>) -> InstanceMetrics {
        let name = name.into();
        let instances = gauge!("wardian_instances");
        instances.increment(1.0);
        let memory = gauge!("wardian_memory_bytes", "instance" => name.clone());
        InstanceMetrics { name, instances, memory, fuel: OnceLock::new() }
    }
}

impl std::fmt::Debug for GuestMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuestMetrics")
    }
}

/// An instance that counts until this is dropped; then it has no memory and no fuel any more.
#[must_use = "the instance counts until this is dropped"]
pub struct InstanceMetrics {
    name: String,
    instances: Gauge,
    memory: Gauge,
    /// If fuel is counted.
    fuel: OnceLock<Gauge>,
}

impl InstanceMetrics {
    /// Records the size of the instance's memories and the fuel of its store as they are now. To be
    /// called when a guest has done some work.
    ///
    /// # Panics
    ///
    /// The instance is one of another store.
    pub fn record(&self, store: impl AsContext, instance: Instance) {
        let store = store.as_context();
        if let Ok(fuel) = store.fuel() {
            let gauge = || gauge!("wardian_fuel_left", "instance" => self.name.clone());
            self.fuel.get_or_init(gauge).set(fuel as f64);
        }
        let internal = instance.internal(store);
        let sizes = (0..internal.num_memories() as u32).filter_map(|i| internal.memory(i));
        let bytes: usize = sizes.map(|memory| memory.len()).sum();
        self.memory.set(bytes as f64);
    }
}

impl std::fmt::Debug for InstanceMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceMetrics").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for InstanceMetrics {
    fn drop(&mut self) {
        self.instances.decrement(1.0);
        self.memory.set(0.0);
        if let Some(fuel) = self.fuel.get() {
            fuel.set(0.0);
        }
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
        let name = name.unwrap_or_else(|| definition.display_name());
        let module = import.map(|(module, _)| module).or(definition.module_name());
        let module = module.unwrap_or_default().to_owned();
        let label = |name: &str| shorten(&printable(name), COLUMNS);
        let labels = [("module", label(&module)), ("function", label(&name))];
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
        let outermost = calls.is_empty();
        if outermost {
            open.remove(&store);
        }
        // Recorders may take their time, or locks.
        drop(open);
        self.seconds.record(began.elapsed());
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
