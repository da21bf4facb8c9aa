//! Attaching listeners to a running program, and choosing functions.

use crate::config::Config;
use crate::handles::Instance;
use crate::inspect::FunctionDefinition;
use crate::listener::{FunctionListener, FunctionListenerFactory};
use crate::listener::{MultiFunctionListenerFactory, Observer};
use crate::store::check_store;
use crate::{AsContextMut, Result};
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wardian_runtime::call::closing::{Deferred, Shared};
use wardian_runtime::extension::Extension;
use wardian_runtime::listen::attach::kept;
use wardian_runtime::listen::hook::AttachmentState;
use wardian_runtime::listen::listener::Listener;
use wardian_runtime::module::ModuleInner;
use wardian_types::FuncIndex;

impl Instance {
    /// Attaches listeners to functions of the instance, also while it runs: `factory` is asked for each of
    /// them. Listeners are notified of calls that begin from now on.
    ///
    /// The code of the functions does not change. A wrapper that notifies the listeners is compiled when it
    /// is first needed, and called instead. Functions that nobody listens to are not touched.
    ///
    /// Several attachments are notified in the order in which they were made. An attachment ends with
    /// [`Attachment::detach`] or when it is dropped; its listeners are still notified of the end of calls
    /// whose beginning they were notified of.
    ///
    /// ```
    /// use wardian::{
    ///     listener::{Call, FunctionFilter, FunctionListenerFunc}, stack::StackIterator, Engine,
    ///     Instance, Module, Store,
    /// };
    /// use std::sync::{Arc, Mutex};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module
    ///     (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
    ///     (func (export "run") (result i32) (call $square (i32.const 9))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let seen = Arc::new(Mutex::new(Vec::new()));
    /// let log = seen.clone();
    /// let listener = FunctionListenerFunc(
    ///     move |call: &Call<'_>, params: &[u64], _: &mut StackIterator<'_>| {
    ///         let name = call.definition().name().unwrap_or_default().to_owned();
    ///         log.lock().unwrap().push((name, params.to_vec()));
    ///     },
    /// );
    /// let attachment = instance.attach(&mut store, FunctionFilter::all().listen(listener))?;
    /// let run = instance.typed_func::<(), i32>(&mut store, "run")?;
    /// assert_eq!(run.call(&mut store, ())?, 81);
    /// attachment.detach(&mut store);
    /// assert_eq!(run.call(&mut store, ())?, 81);
    /// let notified = [("run".to_owned(), vec![]), ("square".to_owned(), vec![9])];
    /// assert_eq!(*seen.lock().unwrap(), notified);
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The wrapper that notifies the listeners cannot be made. Then nothing is changed.
    pub fn attach(
        &self,
        mut store: impl AsContextMut,
        factory: impl FunctionListenerFactory,
    ) -> Result<Attachment> {
        let store = store.as_context_mut();
        let inner = &mut store.0.inner;
        check_store(inner, self.store)?;
        let module = inner.instance(self.index).module().clone();
        let chosen = choose(&module, &factory);
        let state = AttachmentState::lasting();
        inner.attach(self.index, &chosen, &state)?;
        Ok(Attachment::new(self.store, state, inner.shared()))
    }
}

impl Config {
    /// Asks a factory for the listeners of each function of every module, before those that a module
    /// is compiled with: see [`crate::CompileOptions::with_function_listener_factory`].
    #[doc(alias = "WithFunctionListenerFactory")]
    pub fn function_listener_factory(
        &mut self,
        factory: impl FunctionListenerFactory,
    ) -> &mut Config {
        let before = self.listeners.get::<MultiFunctionListenerFactory>();
        let mut all = before.cloned().unwrap_or_default();
        all.push(Arc::new(factory));
        self.listeners = Extension::new(all);
        self
    }

    /// Whether there is such a factory: then all code is called through wrappers that notify the listeners.
    pub fn has_function_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }
}

/// Functions with their listeners.
type Listened = Vec<(FuncIndex, Vec<Arc<dyn Listener>>)>;

/// Asks the factories of the engine of a module, and then these, for each of its functions. None if there are no
/// factories.
pub(crate) fn choose_all(
    module: &Arc<ModuleInner>,
    more: &[Arc<dyn FunctionListenerFactory>],
) -> Option<Extension> {
    let config = module.engine.embedder().get::<Config>();
    let of_engine = config.and_then(|c| c.listeners.get::<MultiFunctionListenerFactory>());
    let mut factory = of_engine.cloned().unwrap_or_default();
    more.iter().for_each(|f| factory.push(f.clone()));
    (!factory.is_empty()).then(|| kept(choose(module, &factory)))
}

/// Asks a factory for each function of a module.
pub(crate) fn choose(module: &Arc<ModuleInner>, factory: &dyn FunctionListenerFactory) -> Listened {
    let functions = module.decoded.info().functions.indices();
    let ask = |func| {
        let definition = FunctionDefinition::of_module(module, func);
        let listeners = factory.function_listeners(&definition).into_iter();
        (func, listeners.map(Observer::observer).collect::<Vec<_>>())
    };
    functions.map(ask).filter(|(_, listeners)| !listeners.is_empty()).collect()
}

/// Listeners that are attached to an instance, until this is dropped.
#[must_use = "the listeners are detached when this is dropped"]
pub struct Attachment {
    store: u64,
    state: Arc<AttachmentState>,
    shared: Option<Arc<Shared>>,
}

impl Attachment {
    /// An attachment of listeners that were put into a store.
    pub(crate) fn new(store: u64, state: Arc<AttachmentState>, shared: Arc<Shared>) -> Attachment {
        Attachment { store, state, shared: Some(shared) }
    }

    /// Ends the attachment: calls run the functions' own code again at once. Dropping it does the same
    /// without a store: listeners are notified of no further call, and the wrappers are removed when the
    /// store is next used.
    ///
    /// # Panics
    ///
    /// The store is another one.
    pub fn detach(mut self, mut store: impl AsContextMut) {
        let store = store.as_context_mut();
        crate::store::same_store(&store.0.inner, self.store);
        self.shared = None;
        self.state.active.store(false, Ordering::Release);
        store.0.inner.sweep_attachments();
    }

    /// Whether there can be calls to be notified of: false once the store is gone. For embedders that keep
    /// attachments of many stores.
    pub fn is_active(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.is_attached())
    }

    /// Leaves the listeners attached for as long as the store lives.
    pub fn keep(mut self) {
        self.shared = None;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            self.state.active.store(false, Ordering::Release);
            shared.post(Deferred::Sweep);
        }
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").finish_non_exhaustive()
    }
}

type Predicate = Arc<dyn Fn(&FunctionDefinition<'_>) -> bool + Send + Sync>;

/// Chooses functions, to be given to a listener or a factory.
///
/// ```
/// use wardian::{FuncType, listener::FunctionFilter, testing::TestFunction};
/// let filter = FunctionFilter::name("alloc*").and(FunctionFilter::exported());
/// let function = TestFunction::new(FuncType::new([], [])).with_name("alloc_zeroed");
/// assert!(!filter.matches(&function.definition()));
/// assert!(filter.matches(&function.with_export_name("a").definition()));
/// ```
#[derive(Clone)]
pub struct FunctionFilter(Predicate);

impl FunctionFilter {
    /// What a closure says.
    pub fn new(
        predicate: impl Fn(&FunctionDefinition<'_>) -> bool + Send + Sync + 'static,
    ) -> FunctionFilter {
        FunctionFilter(Arc::new(predicate))
    }

    /// Every function.
    pub fn all() -> FunctionFilter {
        FunctionFilter::new(|_| true)
    }

    /// Functions one of whose names matches a pattern, in which `*` matches any characters and `?` one: the
    /// name in the module, that name demangled, import and export names, and `func:` with the function's
    /// index: see [`FunctionDefinition::display_name`].
    pub fn name(pattern: impl Into<String>) -> FunctionFilter {
        let pattern: Vec<char> = pattern.into().chars().collect();
        FunctionFilter::new(move |definition| {
            let matches = |name: &str| matches_pattern(&pattern, name);
            definition.name().is_some_and(matches)
                || definition.demangled_name().is_some_and(|n| matches(&n))
                || definition.import().is_some_and(|(_, name)| matches(name))
                || definition.export_names().any(matches)
                || definition.index().is_some_and(|index| {
                    matches(&wardian_module::unnamed(FuncIndex::from_u32(index)))
                })
        })
    }

    /// Functions that the module exports.
    pub fn exported() -> FunctionFilter {
        FunctionFilter::new(|definition| definition.export_names().next().is_some())
    }

    /// Functions that the module imports.
    pub fn imported() -> FunctionFilter {
        FunctionFilter::new(|definition| definition.import().is_some())
    }

    /// Functions that the module imports from this module.
    pub fn imported_from(module: impl Into<String>) -> FunctionFilter {
        let module = module.into();
        FunctionFilter::new(move |definition| {
            definition.import().is_some_and(|(from, _)| from == module)
        })
    }

    /// Functions with these indices.
    pub fn index(range: impl RangeBounds<u32> + Send + Sync + 'static) -> FunctionFilter {
        FunctionFilter::new(move |definition| {
            definition.index().is_some_and(|i| range.contains(&i))
        })
    }

    /// What both choose.
    pub fn and(self, other: FunctionFilter) -> FunctionFilter {
        FunctionFilter::new(move |d| self.matches(d) && other.matches(d))
    }

    /// What either chooses.
    pub fn or(self, other: FunctionFilter) -> FunctionFilter {
        FunctionFilter::new(move |d| self.matches(d) || other.matches(d))
    }

    /// What this does not choose.
    pub fn inverted(self) -> FunctionFilter {
        FunctionFilter::new(move |d| !self.matches(d))
    }

    /// Whether it chooses a function.
    pub fn matches(&self, definition: &FunctionDefinition<'_>) -> bool {
        (self.0)(definition)
    }

    /// A factory that gives `listener` to the chosen functions.
    pub fn listen(self, listener: impl FunctionListener) -> impl FunctionListenerFactory {
        let listener: Arc<dyn FunctionListener> = Arc::new(listener);
        Filtered { filter: self, listener }
    }

    /// A factory that asks `factory` for the chosen functions only.
    pub fn apply(self, factory: impl FunctionListenerFactory) -> impl FunctionListenerFactory {
        FilteredFactory { filter: self, factory }
    }
}

impl std::fmt::Debug for FunctionFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FunctionFilter")
    }
}

struct Filtered {
    filter: FunctionFilter,
    listener: Arc<dyn FunctionListener>,
}

impl FunctionListenerFactory for Filtered {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        self.filter.matches(definition).then(|| self.listener.clone())
    }
}

struct FilteredFactory<F> {
    filter: FunctionFilter,
    factory: F,
}

impl<F: FunctionListenerFactory> FunctionListenerFactory for FilteredFactory<F> {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        self.filter.matches(definition).then(|| self.factory.function_listener(definition))?
    }

    fn function_listeners(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Vec<Arc<dyn FunctionListener>> {
        match self.filter.matches(definition) {
            true => self.factory.function_listeners(definition),
            false => Vec::new(),
        }
    }
}

/// Whether a whole name fits a pattern with `*` and `?`.
fn matches_pattern(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go back to when what follows the latest star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (p, n) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*ll?c*", "dlmalloc", true),
            ("a?", "a", false),
            ("**b", "aab", true),
        ] {
            let pattern: Vec<char> = pattern.chars().collect();
            assert_eq!(matches_pattern(&pattern, name), fits, "{pattern:?} {name}");
        }
    }
}
