//! A listener that writes down what it is notified of, and checks the contract while it does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use wardian::{
    listener::{AbortReason, Call, FunctionFilter, FunctionListener, FunctionListenerFactory},
    stack::StackIterator,
};

/// What listeners were reported. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    lines: Vec<(String, String)>,
    begun: u64,
    resumed: u64,
    ended: u64,
    /// Ids of open calls, the innermost last.
    open: Vec<u64>,
    aborted: HashSet<u64>,
    only_count: bool,
}

impl Log {
    /// One that keeps no lines.
    pub(crate) fn counting() -> Log {
        let log = Log::default();
        log.lock().only_count = true;
        log
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Listens to every function.
    pub(crate) fn factory(&self) -> Arc<dyn FunctionListenerFactory> {
        Arc::new(FunctionFilter::all().listen(Recorder(self.clone())))
    }

    /// The lines so far; callers are only named for host functions.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().lines).into_iter().map(|(line, _)| line).collect()
    }

    /// The lines so far, all with their callers.
    pub(crate) fn take_with_callers(&self) -> Vec<String> {
        let lines = std::mem::take(&mut self.lock().lines);
        lines.into_iter().map(|(line, caller)| line + &caller).collect()
    }

    /// Calls begun and ended.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.begun, inner.ended)
    }

    /// before + resumed = after + abort, and nothing is open.
    pub(crate) fn assert_balanced(&self) {
        let inner = self.lock();
        assert_eq!(inner.begun + inner.resumed, inner.ended);
        assert!(inner.open.is_empty());
    }

    fn write(&self, line: impl FnOnce() -> String, call: &Call<'_>) {
        let mut inner = self.lock();
        if inner.only_count {
            return;
        }
        let caller = call.caller().and_then(|c| c.name().map(str::to_owned));
        let caller = caller.map(|name| format!(" from {name}")).unwrap_or_default();
        let mut line = line();
        if call.module().is_none() && line.contains('[') {
            line += &caller;
        }
        inner.lines.push((line, caller));
    }

    /// Two logs of one multi-listener see the same call twice, hence the look at the last few.
    fn end(&self, call: &Call<'_>) {
        let mut inner = self.lock();
        inner.ended += 1;
        let innermost = inner.open.last().copied();
        let position = inner.open.iter().rposition(|id| *id == call.id());
        let position = position.expect("what ends has begun");
        assert_eq!(innermost, Some(call.id()), "the innermost ends first");
        inner.open.remove(position);
    }
}

/// Writes to a log.
pub(crate) struct Recorder(pub(crate) Log);

fn name(call: &Call<'_>) -> String {
    let definition = call.definition();
    definition.name().map(str::to_owned).unwrap_or_else(|| definition.debug_name())
}

impl FunctionListener for Recorder {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        assert!(stack.next(), "the stack begins at the called function");
        assert_eq!(stack.function().definition().index(), call.definition().index());
        let mut inner = self.0.lock();
        inner.begun += 1;
        inner.open.push(call.id());
        drop(inner);
        self.0.write(|| format!("before {} {params:?}", name(call)), call);
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        self.0.end(call);
        let what = if call.is_tail_call() { "tail" } else { "after" };
        self.0.write(|| format!("{what} {} {results:?}", name(call)), call);
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        self.0.end(call);
        self.0.lock().aborted.insert(call.id());
        self.0.write(|| format!("abort {}: {reason}", name(call)), call);
    }

    fn resumed(&self, call: &Call<'_>) {
        let mut inner = self.0.lock();
        inner.resumed += 1;
        inner.open.push(call.id());
        drop(inner);
        self.0.write(|| format!("resumed {}", name(call)), call);
    }
}

/// Checks what every call has in common: so many slots as the signature says, and a stack that begins
/// at the called function and can be walked to its end.
pub(crate) struct Watch;

fn slots(types: &[wardian::ValType]) -> usize {
    types.iter().map(|t| t.slots()).sum()
}

impl FunctionListener for Watch {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        let definition = call.definition();
        assert_eq!(params.len(), slots(definition.param_types()));
        assert!(stack.next());
        assert_eq!(stack.function().definition().index(), definition.index());
        // Not further than this: some behaviours recurse deeply.
        for _ in 0..8 {
            if stack.next() {
                let pc = stack.program_counter();
                let function = stack.function();
                assert!(function.source_offset_for_pc(pc).is_some());
                assert!(function.definition().import().is_none());
            }
        }
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let wanted = slots(call.definition().result_types());
        assert_eq!(results.len(), if call.is_tail_call() { 0 } else { wanted });
    }
}
