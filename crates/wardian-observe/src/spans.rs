//! Calls as spans of the crate `tracing`, and by a subscriber's layers for OpenTelemetry and others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tracing::{Level, Span, field};
use wardian::{
    inspect::FunctionDefinition,
    listener::{AbortReason, Call, FunctionFilter, FunctionListener, FunctionListenerFactory},
    stack::StackIterator,
};

/// Makes each call of the chosen functions a span `call` of the target `wardian::call` and the level
/// DEBUG, inside of the span in which the guest was called. What host functions record is inside of it.
///
/// Fields: `function` and `otel.name`, the function's name; `module`; `host`, whether it is an imported
/// function; `outcome`, which is `returned`, `tail call`, or why the call ended without returning.
///
/// Whether the subscriber wants such spans is asked when listeners are chosen, once for each function: if
/// it does not there is no listener, and calls cost nothing.
///
/// A span is entered on the thread that runs the guest, until the call ends. Guests that are suspended by
/// asynchronous host functions may continue on other threads: see [`SpanListener::with_entered_spans`].
#[derive(Clone)]
pub struct SpanListener {
    filter: FunctionFilter,
    entered: bool,
    open: Arc<Open>,
}

/// Spans of calls that have not ended, by store.
#[derive(Default)]
struct Open(Mutex<HashMap<u64, Vec<(u64, Span)>>>);

impl SpanListener {
    /// Spans for the calls of these functions.
    pub fn new(filter: FunctionFilter) -> SpanListener {
        SpanListener { filter, entered: true, open: Arc::default() }
    }

    /// Whether spans are entered. To be false for guests that are called with
    /// [`wardian::TypedFunc::call_async`] and the like, or what other tasks of the thread record while a
    /// guest waits would be inside of its spans. Spans of calls are inside of each other all the same, but
    /// what host functions record is not inside of them. Default: true.
    pub fn with_entered_spans(mut self, entered: bool) -> SpanListener {
        self.entered = entered;
        self
    }
}

impl std::fmt::Debug for SpanListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpanListener")
    }
}

impl FunctionListenerFactory for SpanListener {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        let wanted = tracing::span_enabled!(target: "wardian::call", Level::DEBUG);
        if !wanted || !self.filter.matches(definition) {
            return None;
        }
        let import = definition.import();
        let name = import.map(|(_, name)| name.to_owned());
        let name = name.unwrap_or_else(|| definition.display_name());
        let module = import.map(|(module, _)| module).or(definition.module_name());
        Some(Arc::new(Spanned {
            open: self.open.clone(),
            name,
            module: module.unwrap_or_default().to_owned(),
            host: import.is_some(),
            entered: self.entered,
        }))
    }
}

/// Listens to one function.
struct Spanned {
    open: Arc<Open>,
    name: String,
    module: String,
    host: bool,
    entered: bool,
}

impl Spanned {
    fn begin(&self, call: &Call<'_>) {
        let store = call.store_id();
        let outer = || self.open.lock().get(&store)?.last()?.1.id();
        let outer = if self.entered { None } else { outer() };
        let span = tracing::debug_span!(
            target: "wardian::call",
            parent: outer.or_else(|| Span::current().id()),
            "call",
            otel.name = self.name,
            function = self.name,
            module = self.module,
            host = self.host,
            outcome = field::Empty,
        );
        if self.entered {
            // A guard could not be kept: it is bound to the thread or to the span's place.
            span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
        }
        self.open.lock().entry(store).or_default().push((call.id(), span));
    }

    fn end(&self, call: &Call<'_>, outcome: &str) {
        let store = call.store_id();
        let mut open = self.open.lock();
        let Some(spans) = open.get_mut(&store) else { return };
        let Some((_, span)) = spans.pop_if(|(id, _)| *id == call.id()) else { return };
        if spans.is_empty() {
            open.remove(&store);
        }
        // The subscriber may do as it likes, also with guests of its own.
        drop(open);
        span.record("outcome", outcome);
        if self.entered {
            span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
        }
    }
}

impl Open {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Vec<(u64, Span)>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl FunctionListener for Spanned {
    fn before(&self, call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
        self.begin(call);
    }

    fn after(&self, call: &Call<'_>, _: &[u64]) {
        self.end(call, if call.is_tail_call() { "tail call" } else { "returned" });
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        self.end(call, &reason.to_string());
    }

    fn resumed(&self, call: &Call<'_>) {
        self.begin(call);
    }
}
