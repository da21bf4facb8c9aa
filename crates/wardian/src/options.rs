//! Options of compiling, instantiating and calling. Each capability's own file says more of what its
//! option does.

use crate::allocator::Supplying;
use crate::cancel::CancelToken;
use crate::close::{CloseNotifier, Notified};
use crate::listener::FunctionListenerFactory;
use crate::module::Progress;
use crate::profile::ModuleProfile;
use crate::{StopReason, allocator::MemoryAllocator, resolver::ImportResolver};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wardian_runtime::call::applied::CallSettings;
use wardian_runtime::call::closing;
use wardian_runtime::instance::instantiate::Options;
use wardian_runtime::instance::memory::Supplier;

/// How a module is compiled: see [`crate::Module::new_with`].
#[derive(Clone, Default)]
pub struct CompileOptions<'a> {
    pub(crate) listeners: Vec<Arc<dyn FunctionListenerFactory>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: Option<CancelToken>,
    pub(crate) progress: Option<Progress<'a>>,
    pub(crate) profile: Option<&'a ModuleProfile>,
}

impl std::fmt::Debug for CompileOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompileOptions")
            .field("listeners", &self.listeners.len())
            .field("deadline", &self.deadline)
            .field("profile", &self.profile.is_some())
            .finish_non_exhaustive()
    }
}

impl<'a> CompileOptions<'a> {
    /// No options: what [`crate::Module::new`] uses.
    pub fn new() -> CompileOptions<'a> {
        CompileOptions::default()
    }

    /// Asks a factory for the listeners of each function, imports included. All instances of the module have
    /// them from the start, before their start functions run. Several factories are asked in order, and their
    /// listeners notified in that order.
    pub fn with_function_listener_factory(mut self, factory: impl FunctionListenerFactory) -> Self {
        self.listeners.push(Arc::new(factory));
        self
    }

    /// Gives up when this time comes, with [`crate::StopReason::Deadline`]. Looked at between
    /// functions; one that might take more than a minute to compile is refused.
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// [`CompileOptions::with_deadline`] from now on.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.deadline = Instant::now().checked_add(timeout);
        self
    }

    /// Gives up when this token is used, with [`crate::StopReason::Cancelled`]: that of a store, or
    /// one of [`CancelToken::new`].
    pub fn with_cancel_token(mut self, token: CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Why compilation is to stop, if it is.
    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        if let Some(token) = &self.cancel
            && let Some(reason) = token.stop_reason()
        {
            return Some(reason);
        }
        let passed = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        passed.then_some(StopReason::Deadline)
    }

    /// Calls this during compilation.
    pub fn with_progress(mut self, progress: Progress<'a>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Begins with what the functions of the module did elsewhere: small functions are compiled into those that mostly
    /// call them through tables and references, and a tiered engine compiles what was hot at once, in the background unless
    /// [`crate::Config::background_compilation`] says otherwise. What guests and listeners see does not change.
    ///
    /// A profile of another module is refused: see [`ModuleProfile::is_of`]. In a cache, code that is compiled by a profile is
    /// found only by those who give the same profile.
    pub fn with_profile(mut self, profile: &'a ModuleProfile) -> Self {
        self.profile = Some(profile);
        self
    }
}

/// How a guest is called, besides its arguments: see [`crate::TypedFunc::call_with`] and
/// [`crate::Func::call_with`].
///
/// What is set here also holds for guests that host functions call meanwhile.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    pub(crate) snapshots: bool,
    pub(crate) deadline: Option<Instant>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) token: Option<CancelToken>,
}

impl CallOptions {
    /// No options: what [`crate::TypedFunc::call`] uses.
    pub fn new() -> CallOptions {
        CallOptions::default()
    }

    /// Lets host functions take snapshots: see [`crate::Caller::get_snapshotter`].
    pub fn with_snapshotter(mut self) -> Self {
        self.snapshots = true;
        self
    }

    /// Stops the call at this time, if the store's own deadline does not before. See
    /// [`crate::Store::set_deadline`].
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Stops the call after this time, counted from when it is made.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Stops the call when this token is used, or refuses it if it was already. Any token will do: one of
    /// [`CancelToken::new`] for this call alone or for several, or that of another store. The store can be used
    /// afterwards, other than after [`crate::Store::cancel_token`].
    ///
    /// ```
    /// use wardian::{CallOptions, Engine, Instance, Module, StopReason, Store, cancel::CancelToken};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (func (export "spin") (loop (br 0))) (func (export "ok")))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let token = CancelToken::new();
    /// let options = CallOptions::new().with_cancel_token(token.clone());
    /// let cancels = std::thread::spawn(move || token.cancel());
    /// let spin = instance.typed_func::<(), ()>(&mut store, "spin")?;
    /// let error = spin.call_with(&mut store, &options, ()).unwrap_err();
    /// assert_eq!(error.stop_reason(), Some(StopReason::Cancelled));
    /// instance.typed_func::<(), ()>(&mut store, "ok")?.call(&mut store, ())?;
    /// # cancels.join().unwrap();
    /// # Ok::<(), wardian::Error>(())
    /// ```
    pub fn with_cancel_token(mut self, token: CancelToken) -> Self {
        self.token = Some(token);
        self
    }

    /// When the call is to be stopped, if it begins now.
    pub(crate) fn ends(&self) -> Option<Instant> {
        let timeout = self.timeout.and_then(|t| Instant::now().checked_add(t));
        [self.deadline, timeout].into_iter().flatten().min()
    }

    /// The same as the runtime knows them.
    pub(crate) fn settings(&self) -> CallSettings {
        let token = self.token.as_ref().map(|token| token.0.clone());
        CallSettings { snapshots: self.snapshots, ends: self.ends(), token }
    }
}

/// How an instance is made, besides its module and its imports: see [`crate::Linker::instantiate_with`] and
/// [`crate::Instance::new_with`].
///
/// It belongs to no store, and can be used again and again.
pub struct InstantiateOptions<T: 'static> {
    pub(crate) name: Option<String>,
    pub(crate) close_notifiers: Vec<Arc<dyn closing::CloseNotifier>>,
    pub(crate) resolver: Option<Arc<dyn ImportResolver<T>>>,
    pub(crate) allocator: Option<Arc<dyn MemoryAllocator>>,
    data: PhantomData<fn(T)>,
}

impl<T> Default for InstantiateOptions<T> {
    fn default() -> Self {
        InstantiateOptions::new()
    }
}

impl<T> Clone for InstantiateOptions<T> {
    fn clone(&self) -> Self {
        InstantiateOptions {
            name: self.name.clone(),
            close_notifiers: self.close_notifiers.clone(),
            resolver: self.resolver.clone(),
            allocator: self.allocator.clone(),
            data: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for InstantiateOptions<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstantiateOptions")
            .field("name", &self.name)
            .field("resolver", &self.resolver.is_some())
            .finish_non_exhaustive()
    }
}

impl<T> InstantiateOptions<T> {
    /// Asks `allocator` for the memories that the module defines, instead of the engine. An
    /// `Arc` of an allocator is one, too.
    pub fn with_memory_allocator(mut self, allocator: impl MemoryAllocator) -> Self {
        self.allocator = Some(Arc::new(allocator));
        self
    }

    /// No options: what [`crate::Linker::instantiate`] uses.
    pub fn new() -> InstantiateOptions<T> {
        InstantiateOptions {
            allocator: None,
            name: None,
            resolver: None,
            close_notifiers: Vec::new(),
            data: PhantomData,
        }
    }

    /// The instance's name, for people: shown by listeners and inspection. Without it the module's
    /// own name stands.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds a notifier, called when the instance is closed. Several are called in order.
    pub fn with_close_notifier(mut self, notifier: impl CloseNotifier) -> Self {
        self.close_notifiers.push(Arc::new(Notified(Arc::new(notifier))));
        self
    }

    /// Where imports come from, before the linker is asked: see [`ImportResolver`]. A second one
    /// replaces the first; several are joined with [`ImportResolver::or`].
    pub fn with_import_resolver(mut self, resolver: impl ImportResolver<T>) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Does something with the same options as the runtime knows them.
    pub(crate) fn passed_on<R>(&self, work: impl FnOnce(&Options<'_>) -> R) -> R {
        let supplying = self.allocator.as_deref().map(Supplying);
        work(&Options {
            name: self.name.as_deref(),
            close_notifiers: &self.close_notifiers,
            supplier: supplying.as_ref().map(|supplying| supplying as &dyn Supplier),
        })
    }
}
