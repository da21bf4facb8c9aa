//! What embedders use, and what the runtime notifies.

use super::format::End;
use super::function::Function;
use super::options::TraceOptions;
use super::output::Output;
use super::state::{PROMPT, State};
use super::summary::TraceSummary;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::time::{Duration, Instant};
use wardian::{
    inspect::FunctionDefinition,
    listener::{AbortReason, Call, FunctionListener, FunctionListenerFactory},
    stack::StackIterator,
};

/// Writes a trace of calls to a writer: of any number of stores, each of which is a lane of its own, in
/// bounded memory. Clones are the same trace.
///
/// It is a factory of listeners, for [`wardian::Config::function_listener_factory`],
/// [`wardian::CompileOptions::with_function_listener_factory`] or [`wardian::Instance::attach`].
///
/// ```
/// use wardian::{Engine, Instance, Module, Store};
/// use wardian_observe::{TraceBuffer, TraceListener, TraceOptions};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (func $square (param $n i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
///     (func (export "run") (result i32) (call $square (i32.const 9))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
///
/// let text = TraceBuffer::new(1 << 20);
/// let trace = TraceListener::new(text.clone(), TraceOptions::new());
/// instance.attach(&mut store, trace.clone())?.keep();
/// instance.typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?;
/// trace.finish().expect("memory takes all");
/// let text = String::from_utf8(text.contents()).expect("it is text");
/// assert!(text.starts_with("run() {\n  square(n=9) = 81 <"), "{text}");
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone)]
pub struct TraceListener(Arc<Shared>);

struct Shared {
    options: TraceOptions,
    state: Mutex<State>,
}

/// How a trace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceEnd {
    /// Calls that were chosen and not too deep.
    pub calls: u64,
    /// Those of them that are not in the trace: see [`TraceOptions::with_limit`].
    pub dropped: u64,
}

impl TraceListener {
    /// How long an end waits for a writer that somebody else is stuck in.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// A trace of nothing yet. [`TraceOptions::with_prompt_output`] makes a thread, which ends with the trace.
    pub fn new(writer: impl Write + Send + 'static, options: TraceOptions) -> TraceListener {
        let output = Output::new(Box::new(writer), options.limit, options.unbuffered);
        let state = Mutex::new(State::new(&options, output));
        let shared = Arc::new(Shared { options, state });
        if shared.options.prompt && shared.options.events {
            write_promptly(Arc::downgrade(&shared));
        }
        TraceListener(shared)
    }

    /// Ends the trace: calls that have not ended are shown as unfinished, and nothing more is seen. What
    /// was gathered is written.
    ///
    /// # Errors
    ///
    /// What the writer said first; or it is taking longer than a second for another thread.
    pub fn finish(&self) -> io::Result<TraceEnd> {
        let mut state = self.0.patient()?;
        state.finish()?;
        Ok(TraceEnd { calls: state.calls(), dropped: state.dropped() })
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    ///
    /// What the writer said first.
    pub fn flush(&self) -> io::Result<()> {
        self.0.state().flush()
    }

    /// Calls and times by function so far, if [`TraceOptions::with_summary`] asked for it.
    pub fn summary(&self) -> TraceSummary {
        let state = self.0.state();
        let stats = state.stats.as_ref();
        stats.map(|stats| stats.summary(|raw| state.nanoseconds(raw))).unwrap_or_default()
    }
}

impl std::fmt::Debug for TraceListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceListener").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The state, unless somebody does not let it go.
    fn patient(&self) -> io::Result<MutexGuard<'_, State>> {
        let began = Instant::now();
        loop {
            match self.state.try_lock() {
                Ok(state) => return Ok(state),
                Err(TryLockError::Poisoned(error)) => return Ok(error.into_inner()),
                Err(TryLockError::WouldBlock) if began.elapsed() > TraceListener::PATIENCE => {
                    let message = "the trace's reader does not read";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// Writes what was gathered ten times a second on a thread, for a guest that hangs makes no more calls that
/// would do so.
fn write_promptly(shared: Weak<Shared>) {
    let work = move || {
        loop {
            std::thread::sleep(Duration::from_nanos(PROMPT));
            let Some(shared) = shared.upgrade() else { return };
            // Who holds it writes by itself.
            let Ok(mut state) = shared.state.try_lock() else { continue };
            if !state.watch_over() {
                return;
            }
        }
    };
    // Without a thread calls write what there is.
    let _ = std::thread::Builder::new().name("wardian-trace".into()).spawn(work);
}

impl FunctionListenerFactory for TraceListener {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        if !self.0.options.chooses(definition) {
            return None;
        }
        let function = self.0.state().number(Function::new(definition, &self.0.options));
        Some(Arc::new(Traced { shared: self.0.clone(), function }))
    }
}

/// Listens to one function.
struct Traced {
    shared: Arc<Shared>,
    function: Arc<Function>,
}

impl FunctionListener for Traced {
    #[inline]
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        let mut state = self.shared.state();
        if self.shared.options.earlier && state.may_have_earlier(call) {
            state.look_for_earlier(call, &self.shared.options, stack);
        }
        state.begin(&self.function, call, Some(params));
    }

    #[inline]
    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let end = if call.is_tail_call() { End::TailCall } else { End::Returned(results) };
        self.shared.state().end(&self.function, call, end);
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        let is_exit = reason.error().is_none_or(|error| error.exit_code().is_some());
        let text = reason.to_string();
        let end = if is_exit { End::Left(text) } else { End::Failed(text) };
        self.shared.state().end(&self.function, call, end);
    }

    fn resumed(&self, call: &Call<'_>) {
        self.shared.state().begin(&self.function, call, None);
    }
}
