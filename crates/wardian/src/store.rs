//! Stores: the world that instances live in.

use crate::cancel::CancelToken;
use crate::data::{Data, StoreData};
use crate::error::UsageKind;
use crate::{Backtrace, Engine, Result};
use std::time::{Duration, Instant};
use wardian_runtime::store::host::HostCall;
use wardian_runtime::store::inner::StoreInner;
use wardian_runtime::store::owner::Called;
use wardian_vm::interrupt::reason;

/// Owns instances, memories, tables, globals and functions, and the embedder's `T`. All that is
/// made in a store lives until the store goes, so nothing that another instance imports from can
/// vanish.
///
/// `Send` if `T` is: it can move to another thread between calls.
///
/// ```
/// use wardian::{Engine, Instance, Module, Store};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (func (export "two") (result i32) (i32.const 2)))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let two = instance.typed_func::<(), i32>(&mut store, "two")?;
/// assert_eq!(two.call(&mut store, ())?, 2);
/// # Ok::<(), wardian::Error>(())
/// ```
pub struct Store<T: 'static>(pub(crate) Box<StoreData<T>>);

/// A store borrowed to be changed, or for calls.
pub struct StoreContextMut<'a, T: 'static>(pub(crate) &'a mut StoreData<T>);

/// A store borrowed to be read.
pub struct StoreContext<'a, T: 'static>(pub(crate) &'a StoreData<T>);

impl<T: 'static> Store<T> {
    /// An empty store with the embedder's data.
    pub fn new(engine: &Engine, data: T) -> Store<T> {
        Store(StoreData::new(engine.inner(), Data::new(engine, data)))
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.0.data.engine()
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        &self.0.data.data
    }

    /// The embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.data.data
    }

    /// A number that no other store of the process has: see [`StoreContext::id`].
    pub fn id(&self) -> u64 {
        self.0.inner.id()
    }

    /// Ends the store and returns the embedder's data.
    pub fn into_data(self) -> T {
        self.0.into_data().data
    }

    /// Asks `limiter`, a part of the embedder's data, before memories and tables grow.
    pub fn limiter(
        &mut self,
        limiter: impl (FnMut(&mut T) -> &mut dyn crate::limits::ResourceLimiter) + Send + Sync + 'static,
    ) {
        self.0.data.limiter = Some(Box::new(limiter));
    }

    /// Stops guests when `deadline` comes, wherever they are: in a loop, a call, a bulk operation,
    /// a wait, a start function, or a host function that blocks and knows about it (those of
    /// WASI do). The calls end with [`crate::StopReason::Deadline`].
    ///
    /// It holds, and refuses further calls once passed, until it is set again; `None` takes it
    /// back. If the system refuses the thread that watches deadlines, calls end at once with
    /// [`crate::ErrorKind::Limit`].
    #[doc(
        alias = "set_epoch_deadline",
        alias = "epoch_interruption",
        alias = "WithCloseOnContextDone"
    )]
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.0.inner.interrupter().set_deadline(deadline);
    }

    /// [`Store::set_deadline`] from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        // A timeout past the end of the clock's range is none.
        self.set_deadline(Instant::now().checked_add(timeout));
    }

    /// A token by which any thread can stop the store's guests.
    #[doc(alias = "interrupt_handle", alias = "increment_epoch")]
    pub fn cancel_token(&mut self) -> CancelToken {
        CancelToken(self.0.inner.interrupter().clone())
    }

    /// Lets the store run guests again after it was cancelled.
    pub fn clear_cancellation(&mut self) {
        self.0.inner.interrupter().acknowledge(reason::CANCELLED);
    }
}

impl<'a, T: 'static> StoreContextMut<'a, T> {
    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.0.data.engine()
    }

    /// A number that no other store of the process has: see [`StoreContext::id`].
    pub fn id(&self) -> u64 {
        self.0.inner.id()
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        &self.0.data.data
    }

    /// The embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.data.data
    }
}

impl<'a, T: 'static> StoreContext<'a, T> {
    pub(crate) fn reborrow(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.0.data.engine()
    }

    /// A number that no other store of the process has, or ever had: the one that listeners learn by
    /// [`crate::listener::Call::store_id`].
    pub fn id(&self) -> u64 {
        self.0.inner.id()
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        &self.0.data.data
    }
}

/// What a store can be borrowed from, to be read: stores, contexts, callers.
pub trait AsContext {
    /// The embedder's data.
    type Data: 'static;
    /// Borrows the store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// What a store can be borrowed from, to be changed.
pub trait AsContextMut: AsContext {
    /// Borrows the store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;
    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(&self.0)
    }
}
impl<T: 'static> AsContextMut for Store<T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(&mut self.0)
    }
}
impl<T: 'static> AsContext for StoreContext<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}
impl<T: 'static> AsContext for StoreContextMut<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}
impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0)
    }
}
impl<C: AsContext> AsContext for &C {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}
impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}
impl<C: AsContextMut> AsContextMut for &mut C {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}

/// What a host function gets: the store, and who calls.
///
/// It cannot outlive the call, for afterwards the guest runs again and has the store to itself:
///
/// ```compile_fail
/// # use wardian::{Caller, Func, Store};
/// fn leaks(store: &mut Store<()>) {
///     let kept = std::sync::Mutex::new(None);
///     Func::wrap(store, move |caller: Caller<'_, ()>| *kept.lock().unwrap() = Some(caller));
/// }
/// ```
pub struct Caller<'a, T: 'static>(pub(crate) Called<'a, Data<T>>);

impl<'a, T: 'static> Caller<'a, T> {
    pub(crate) fn host_call(&self) -> HostCall {
        self.0.host_call()
    }

    pub(crate) fn inner_mut(&mut self) -> &mut StoreInner {
        self.0.inner_mut()
    }

    #[inline]
    pub(crate) fn inner(&self) -> &StoreInner {
        self.0.inner()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.0.get().data.engine()
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        &self.0.get().data.data
    }

    /// The embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.get_mut().data.data
    }

    /// The instance that calls; `None` if the host itself does.
    pub fn instance(&self) -> Option<crate::Instance> {
        let index = self.0.instance()?;
        Some(crate::Instance { store: self.inner().id(), index })
    }

    /// An export of the instance that calls, say its memory.
    pub fn get_export(&mut self, name: &str) -> Option<crate::Extern> {
        self.instance()?.get_export(self.as_context_mut(), name)
    }

    /// The guest's calls, innermost first.
    pub fn backtrace(&self) -> Backtrace {
        Backtrace::of(self.inner().backtrace())
    }

    /// The guest's calls, innermost first, walked in place: cheaper than a backtrace.
    pub fn stack(&self) -> crate::stack::StackIterator<'_> {
        crate::stack::StackIterator::live(wardian_runtime::stack::walk::Walk::from_host(
            self.inner(),
        ))
    }

    /// For a host function that blocks: says when the guest is to stop.
    pub fn interrupt(&mut self) -> crate::cancel::Interrupt {
        crate::cancel::Interrupt(self.inner_mut().interrupter().clone())
    }

    /// As [`Caller::interrupt`], for a host function that can be called again with the same arguments: it also says
    /// when somebody wants a checkpoint ([`crate::checkpoint::CheckpointRequest`]). When it is set, drop it and ask
    /// [`Caller::take_requested_checkpoints`].
    pub fn repeatable_interrupt(&mut self) -> crate::cancel::RepeatableInterrupt<'a> {
        crate::cancel::RepeatableInterrupt::new(self.inner_mut().interrupter().clone())
    }
}

impl<T: 'static> AsContext for Caller<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0.get())
    }
}
impl<T: 'static> AsContextMut for Caller<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0.get_mut())
    }
}

/// Checks that an object belongs to the store it is used with.
#[track_caller]
#[inline]
pub(crate) fn same_store(store: &StoreInner, object: u64) {
    assert!(store.id() == object, "an object was used with a store that it does not belong to");
}

pub(crate) fn check_store(store: &StoreInner, object: u64) -> Result<()> {
    if store.id() == object {
        return Ok(());
    }
    Err(crate::Error::usage(
        UsageKind::OtherStore,
        "an object was used with a store that it does not belong to",
    ))
}

impl<'a, T: 'static> From<&'a Store<T>> for StoreContext<'a, T> {
    fn from(store: &'a Store<T>) -> Self {
        StoreContext(&store.0)
    }
}
impl<'a, T: 'static> From<&'a mut Store<T>> for StoreContext<'a, T> {
    fn from(store: &'a mut Store<T>) -> Self {
        StoreContext(&store.0)
    }
}
impl<'a, T: 'static> From<&'a Caller<'_, T>> for StoreContext<'a, T> {
    fn from(caller: &'a Caller<'_, T>) -> Self {
        StoreContext(caller.0.get())
    }
}
impl<'a, T: 'static> From<&'a StoreContextMut<'_, T>> for StoreContext<'a, T> {
    fn from(store: &'a StoreContextMut<'_, T>) -> Self {
        StoreContext(store.0)
    }
}
impl<'a, T: 'static> From<StoreContextMut<'a, T>> for StoreContext<'a, T> {
    fn from(store: StoreContextMut<'a, T>) -> Self {
        StoreContext(store.0)
    }
}
impl<'a, T: 'static> From<&'a mut Store<T>> for StoreContextMut<'a, T> {
    fn from(store: &'a mut Store<T>) -> Self {
        StoreContextMut(&mut store.0)
    }
}
impl<'a, T: 'static> From<&'a mut Caller<'_, T>> for StoreContextMut<'a, T> {
    fn from(caller: &'a mut Caller<'_, T>) -> Self {
        StoreContextMut(caller.0.get_mut())
    }
}
impl<'a, T: 'static> From<&'a mut StoreContextMut<'_, T>> for StoreContextMut<'a, T> {
    fn from(store: &'a mut StoreContextMut<'_, T>) -> Self {
        StoreContextMut(store.0)
    }
}
