//! Listeners: notified before and after every call that they were chosen for.
//!
//! **Contract.** For each `before` there is exactly one `after` or `abort`, the innermost call first,
//! whatever ends the call. A listener is notified on the thread that runs the guest, while the guest waits.
//! It sees instances read-only and has no way to run a guest.

pub use crate::attach::{Attachment, FunctionFilter};
use crate::inspect::{FunctionDefinition, InternalModule};
use crate::stack::{StackFrame, StackIterator};
use crate::testing::{TestFunction, TestModule};
use crate::value::Val;
use crate::{Error, Exception};
use std::fmt;
use std::sync::Arc;
use wardian_runtime::listen::{LiveCall, listener};

/// Observes calls of the functions that a [`FunctionListenerFactory`] chose it for.
///
/// Values come as raw slots: a `v128` takes two, everything else one; `i32` and `f32` are in the low
/// 32 bits. References are handles that only mean something to [`crate::Func::new_raw`].
///
/// A listener that panics ends the guest: all other listeners are notified of what ends, and the panic is
/// resumed where the guest was called, as that of a host function is. A listener whose `before` panics is
/// notified of nothing more of that call.
///
/// It cannot reach a store, so it cannot call the guest:
///
/// ```compile_fail
/// # use wardian::{Func, listener::{Call, FunctionListener}, stack::StackIterator};
/// struct Nosy(Func);
/// impl FunctionListener for Nosy {
///     fn before(&self, call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {
///         self.0.call(call, &[], &mut []).unwrap();
///     }
/// }
/// ```
#[doc(alias = "CallHook", alias = "call_hook")]
pub trait FunctionListener: Observer + Send + Sync + 'static {
    /// A call begins. `params` are its arguments; `stack` begins at the called function.
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>);

    /// A call has returned `results`; or it ends with a tail call, for which [`Call::is_tail_call`] is true,
    /// and has none.
    fn after(&self, _call: &Call<'_>, _results: &[u64]) {}

    /// A call ended without returning.
    fn abort(&self, _call: &Call<'_>, _reason: &AbortReason<'_>) {}

    /// This call runs again, and will have another ending:
    ///
    /// - A snapshot was restored in which it is open, though it had ended already. The call of the host function
    ///   that took the snapshot is not open in it: its second return is not notified.
    /// - It began in another store, of which this one was made, by a [`Checkpoint`](crate::checkpoint::Checkpoint) or
    ///   a [fork](crate::Store::fork), and its guest is resumed. The number of the call ([`Call::id`]) is one of this store's.
    ///   A host function that is called again is notified as a call that begins.
    ///
    /// So `before` + `resumed` = `after` + `abort` in each store.
    fn resumed(&self, _call: &Call<'_>) {}
}

impl<L: FunctionListener + ?Sized> FunctionListener for Arc<L> {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        (**self).before(call, params, stack);
    }
    fn after(&self, call: &Call<'_>, results: &[u64]) {
        (**self).after(call, results);
    }
    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        (**self).abort(call, reason);
    }
    fn resumed(&self, call: &Call<'_>) {
        (**self).resumed(call);
    }
}

/// What the runtime needs of a listener. Every [`FunctionListener`] has it.
#[doc(hidden)]
pub trait Observer {
    /// The same listener as the runtime knows it, which notifies it without a detour.
    fn observer(self: Arc<Self>) -> Arc<dyn listener::Listener>;
}

impl<L: FunctionListener> Observer for L {
    fn observer(self: Arc<Self>) -> Arc<dyn listener::Listener> {
        Arc::new(Notified(self))
    }
}

/// A listener of a type that is known here, so that what the runtime calls is the listener's own code.
struct Notified<L>(Arc<L>);

impl<L: FunctionListener> listener::Listener for Notified<L> {
    #[inline]
    fn before(&self, call: &LiveCall<'_>, params: &[u64]) {
        let mut stack = StackIterator::of_listener(call);
        self.0.before(&Call::live(call), params, &mut stack);
    }

    #[inline]
    fn after(&self, call: &LiveCall<'_>, results: &[u64]) {
        self.0.after(&Call::live(call), results);
    }

    fn abort(&self, call: &LiveCall<'_>, reason: &listener::AbortReason<'_>) {
        self.0.abort(&Call::live(call), &AbortReason::of(reason));
    }

    fn resumed(&self, call: &LiveCall<'_>) {
        self.0.resumed(&Call::live(call));
    }
}

/// Why a call ended without returning.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum AbortReason<'a> {
    /// With this error: a trap, an exit, a stop, a host function's failure.
    Error(&'a Error),
    /// It was unwound by this exception, which is caught further out, or by nobody.
    Exception(&'a Exception),
    /// A host function or a listener panicked.
    Panic,
    /// A snapshot was restored in which the call is not open.
    Restored,
    /// The embedder dropped the future that the guest was suspended in.
    Abandoned,
}

impl<'a> AbortReason<'a> {
    fn of(reason: &listener::AbortReason<'a>) -> AbortReason<'a> {
        match *reason {
            listener::AbortReason::Error(error) => AbortReason::Error(Error::of(error)),
            listener::AbortReason::Exception(exception) => {
                AbortReason::Exception(Exception::of(exception))
            }
            listener::AbortReason::Panic => AbortReason::Panic,
            listener::AbortReason::Restored => AbortReason::Restored,
            listener::AbortReason::Abandoned => AbortReason::Abandoned,
        }
    }
}

impl AbortReason<'_> {
    /// The error, if there is one.
    pub fn error(&self) -> Option<&Error> {
        if let AbortReason::Error(error) = self { Some(error) } else { None }
    }
}

impl fmt::Display for AbortReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AbortReason::Error(error) => error.fmt(f),
            AbortReason::Exception(exception) => exception.fmt(f),
            AbortReason::Panic => f.write_str("a host function or listener panicked"),
            AbortReason::Restored => f.write_str("a snapshot was restored"),
            AbortReason::Abandoned => f.write_str("the call was abandoned"),
        }
    }
}

/// A call as listeners see it.
pub struct Call<'a>(Source<'a>);

enum Source<'a> {
    Live(&'a LiveCall<'a>),
    Double { function: &'a TestFunction, module: &'a TestModule },
}

impl<'a> Call<'a> {
    #[inline]
    pub(crate) fn live(call: &'a LiveCall<'a>) -> Call<'a> {
        Call(Source::Live(call))
    }

    /// A call of a double, for tests of listeners.
    pub fn of_test(function: &'a TestFunction, module: &'a TestModule) -> Call<'a> {
        Call(Source::Double { function, module })
    }

    /// The function that is called.
    pub fn definition(&self) -> FunctionDefinition<'_> {
        match &self.0 {
            Source::Live(call) => FunctionDefinition::of(call.definition()),
            Source::Double { function, .. } => function.definition(),
        }
    }

    /// The instance that the function belongs to; none for host functions.
    pub fn module(&self) -> Option<InternalModule<'_>> {
        match &self.0 {
            Source::Live(call) => {
                call.callee().map(|instance| InternalModule::live(call.store(), instance))
            }
            Source::Double { module, .. } => Some(module.internal()),
        }
    }

    /// The instance whose code makes the call; none if the embedder does.
    pub fn caller(&self) -> Option<InternalModule<'_>> {
        match &self.0 {
            Source::Live(call) => {
                call.caller().map(|instance| InternalModule::live(call.store(), instance))
            }
            Source::Double { .. } => None,
        }
    }

    /// A number that no other call of the store has: pairs `before` with `after` or `abort`.
    pub fn id(&self) -> u64 {
        match &self.0 {
            Source::Live(call) => call.id(),
            Source::Double { .. } => 0,
        }
    }

    /// A number that identifies the store, for listeners that serve several: that of
    /// [`crate::StoreContext::id`]. 0 for a double, which no store has.
    #[inline]
    pub fn store_id(&self) -> u64 {
        match &self.0 {
            Source::Live(call) => call.store_id(),
            Source::Double { .. } => 0,
        }
    }

    /// In `before`: the parameter with this index as a value, so that references can be looked at: see
    /// [`InternalModule::object`]. None elsewhere, and of a double. Raw slots are cheaper for numbers.
    ///
    /// ```
    /// use wardian::{
    ///     listener::{Call, FunctionFilter, FunctionListenerFunc}, stack::StackIterator, Engine,
    ///     Instance, Module, Store, Val,
    /// };
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, br#"(module
    ///     (type $point (struct (field $x i32) (field $y i32)))
    ///     (func $draw (param (ref $point)))
    ///     (func (export "go") (call $draw (struct.new $point (i32.const 3) (i32.const 4)))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let listener = FunctionListenerFunc(|call: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>| {
    ///     let Some(Val::AnyRef(Some(point))) = call.param(0) else { panic!("it is a struct") };
    ///     let module = call.module().unwrap();
    ///     let point = module.object(&point).unwrap();
    ///     assert_eq!(point.type_name(), Some("point"));
    ///     assert_eq!(point.get(point.field_index("y").unwrap()).unwrap().i32(), Some(4));
    /// });
    /// let _attached = instance.attach(&mut store, FunctionFilter::name("draw").listen(listener))?;
    /// instance.typed_func::<(), ()>(&mut store, "go")?.call(&mut store, ())?;
    /// # Ok::<(), wardian::Error>(())
    /// ```
    pub fn param(&self, index: usize) -> Option<Val> {
        match &self.0 {
            Source::Live(call) => call.param(index).map(Val::from),
            Source::Double { .. } => None,
        }
    }

    /// In `after`, if the call returned: the result with this index as a value. See [`Call::param`].
    pub fn result(&self, index: usize) -> Option<Val> {
        match &self.0 {
            Source::Live(call) => call.result(index).map(Val::from),
            Source::Double { .. } => None,
        }
    }

    /// In `after`: whether the call ends by a tail call. Its successor begins next.
    pub fn is_tail_call(&self) -> bool {
        match &self.0 {
            Source::Live(call) => call.is_tail_call(),
            Source::Double { .. } => false,
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id())
            .field("function", &self.definition())
            .finish()
    }
}

/// Chooses a listener for each function: see
/// [`crate::CompileOptions::with_function_listener_factory`] and [`crate::Instance::attach`].
pub trait FunctionListenerFactory: Send + Sync + 'static {
    /// The listener of a function; none to leave it alone. It is asked once for each function of a module,
    /// imports included. A listener of an import is notified of calls only if a host function is behind it:
    /// functions of other instances are listened to where they are defined.
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>>;

    /// The listeners of a function, in the order in which they are notified. This is the method that the
    /// runtime calls; a factory of several returns them one by one, so that each is notified on its own.
    fn function_listeners(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Vec<Arc<dyn FunctionListener>> {
        self.function_listener(definition).into_iter().collect()
    }
}

impl<F: FunctionListenerFactory + ?Sized> FunctionListenerFactory for Arc<F> {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        (**self).function_listener(definition)
    }

    fn function_listeners(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Vec<Arc<dyn FunctionListener>> {
        (**self).function_listeners(definition)
    }
}

/// A closure is a factory.
impl<F> FunctionListenerFactory for F
where
    F: Fn(&FunctionDefinition<'_>) -> Option<Arc<dyn FunctionListener>> + Send + Sync + 'static,
{
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        self(definition)
    }
}

/// A closure as [`FunctionListenerFactory`], whose parameters need no types if it is given to
/// [`FunctionListenerFactoryFunc::new`].
#[derive(Clone, Copy, Debug)]
pub struct FunctionListenerFactoryFunc<F>(pub F);

impl<F> FunctionListenerFactoryFunc<F>
where
    F: Fn(&FunctionDefinition<'_>) -> Option<Arc<dyn FunctionListener>> + Send + Sync + 'static,
{
    /// A factory that calls `closure`. The types of its parameters are inferred.
    pub fn new(closure: F) -> Self {
        FunctionListenerFactoryFunc(closure)
    }
}

impl<F> FunctionListenerFactory for FunctionListenerFactoryFunc<F>
where
    F: Fn(&FunctionDefinition<'_>) -> Option<Arc<dyn FunctionListener>> + Send + Sync + 'static,
{
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        (self.0)(definition)
    }
}

/// A closure is a listener that is notified of how calls begin.
impl<F> FunctionListener for F
where
    F: Fn(&Call<'_>, &[u64], &mut StackIterator<'_>) + Send + Sync + 'static,
{
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        self(call, params, stack);
    }
}

/// A closure as [`FunctionListener`] that is notified of how calls begin. Its parameters need no types if it is given to
/// [`FunctionListenerFunc::new`].
///
/// ```
/// use wardian::{Engine, Instance, Module, Store, listener::{FunctionFilter, FunctionListenerFunc}};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (func (export "f") (param i32)))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let listener = FunctionListenerFunc::new(|call, params, _stack| {
///     println!("{} {}", call.definition().debug_name(), params[0] as u32);
/// });
/// let _attached = instance.attach(&mut store, FunctionFilter::all().listen(listener))?;
/// instance.typed_func::<i32, ()>(&mut store, "f")?.call(&mut store, 3)?;
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FunctionListenerFunc<F>(pub F);

impl<F> FunctionListenerFunc<F>
where
    F: Fn(&Call<'_>, &[u64], &mut StackIterator<'_>) + Send + Sync + 'static,
{
    /// A listener that calls `closure`. The types of its parameters are inferred.
    pub fn new(closure: F) -> Self {
        FunctionListenerFunc(closure)
    }
}

impl<F> FunctionListener for FunctionListenerFunc<F>
where
    F: Fn(&Call<'_>, &[u64], &mut StackIterator<'_>) + Send + Sync + 'static,
{
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        (self.0)(call, params, stack);
    }
}

/// Several factories as one: a function gets the listeners that any of them chooses. They are notified in the
/// order of the factories, each with a stack iterator that begins at the top.
#[derive(Clone, Default)]
pub struct MultiFunctionListenerFactory(Vec<Arc<dyn FunctionListenerFactory>>);

impl MultiFunctionListenerFactory {
    /// The factories in order.
    pub fn new(
        factories: impl IntoIterator<Item = Arc<dyn FunctionListenerFactory>>,
    ) -> MultiFunctionListenerFactory {
        MultiFunctionListenerFactory(factories.into_iter().collect())
    }

    /// Adds one at the end.
    pub fn push(&mut self, factory: Arc<dyn FunctionListenerFactory>) {
        self.0.push(factory);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for MultiFunctionListenerFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MultiFunctionListenerFactory({})", self.0.len())
    }
}

impl FunctionListenerFactory for MultiFunctionListenerFactory {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        let mut chosen = self.function_listeners(definition);
        if chosen.len() > 1 { Some(Arc::new(Several(chosen))) } else { chosen.pop() }
    }

    fn function_listeners(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Vec<Arc<dyn FunctionListener>> {
        self.0.iter().flat_map(|f| f.function_listeners(definition)).collect()
    }
}

/// Several listeners as one, for callers that ask a [`MultiFunctionListenerFactory`] for one.
struct Several(Vec<Arc<dyn FunctionListener>>);

impl FunctionListener for Several {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        for listener in &self.0 {
            listener.before(call, params, &mut stack.restarted());
        }
    }
    fn after(&self, call: &Call<'_>, results: &[u64]) {
        self.0.iter().for_each(|l| l.after(call, results));
    }
    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        self.0.iter().for_each(|l| l.abort(call, reason));
    }
    fn resumed(&self, call: &Call<'_>) {
        self.0.iter().for_each(|l| l.resumed(call));
    }
}

/// Calls a listener with the frames of a stack of doubles, as if its top frame were called `n` times and
/// returned: to measure or test the listener alone. The top frame comes first.
///
/// # Panics
///
/// There are no frames; or the listener panics.
///
/// ```
/// use wardian::{
///     listener::{Call, FunctionListener, benchmark_function_listener},
///     stack::{StackFrame, StackIterator}, testing::{TestFunction, TestModule}, FuncType, ValType,
/// };
/// use std::sync::atomic::{AtomicU64, Ordering};
/// #[derive(Default)]
/// struct Count(AtomicU64);
/// impl FunctionListener for Count {
///     fn before(&self, _: &Call<'_>, params: &[u64], _: &mut StackIterator<'_>) {
///         self.0.fetch_add(params[0], Ordering::Relaxed);
///     }
/// }
/// let f = TestFunction::new(FuncType::new([ValType::I32], []));
/// let count = Count::default();
/// let frames = [StackFrame::new(f).with_params([2])];
/// benchmark_function_listener(100, &TestModule::new("m"), &frames, &count);
/// assert_eq!(count.0.into_inner(), 200);
/// ```
pub fn benchmark_function_listener(
    n: u64,
    module: &TestModule,
    stack: &[StackFrame],
    listener: &dyn FunctionListener,
) {
    let top = stack.first().expect("a stack has at least the called function");
    for _ in 0..n {
        let call = Call::of_test(&top.function, module);
        listener.before(&call, &top.params, &mut crate::stack::new_stack_iterator(stack));
        listener.after(&call, &top.results);
    }
}
