//! Imports that are looked up when a module is instantiated: import resolvers.

mod record;
mod stubs;

use crate::error::LimitKind;
pub use record::{ImportAnswer, ImportLog, RecordedImport, RecordingResolver};
pub use stubs::{TrapStubs, UndefinedImport};

use crate::handles::{Extern, Func, Global, Instance, Memory, SharedMemory, Table, Tag};
use crate::store::check_store;
use crate::{AsContext, AsContextMut, Error, InstantiateOptions, Module, Result, StoreContextMut};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use wardian_runtime::instance::link::{self, Definition, Lookup};
use wardian_types::{ExternKind, ExternType};

/// How many instantiations may be under way inside each other's resolvers.
const MAX_DEPTH: u32 = 64;

/// Says where the imports of a module come from, one by one, while it is being instantiated. See
/// [`InstantiateOptions::with_import_resolver`].
///
/// A resolver is asked for every import of every kind, before the linker (or before the list passed to
/// [`Instance::new_with`]). It may return
///
/// - something that can be imported: of the store, or made on the fly, for instance by
///   [`Func::wrap`];
/// - a whole instance, whose export of that name is then used. An instance without such an export
///   is an error, and neither other resolvers nor the linker are asked;
/// - [`Resolution::Unresolved`]: then the next in the chain is asked, at last the linker.
///
/// What it returns is checked against the type that is needed; all imports that are missing or do not fit are
/// reported together. An `Err` is something else: it ends the instantiation at once with that very error. So
/// does a panic, which leaves the store as it was.
///
/// A resolver gets the store, so it can also instantiate further modules, with options that have
/// resolvers again. Modules that need each other in a circle would do so for ever; after 64 levels
/// that is an error.
///
/// Closures are resolvers:
///
/// ```
/// use wardian::{Engine, Func, InstantiateOptions, Linker, Module, resolver::{ImportRequest, Resolution}};
/// use wardian::{Result, Store, StoreContextMut};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (import "constants" "7" (func $seven (result i32)))
///     (import "constants" "35" (func $thirty_five (result i32)))
///     (func (export "run") (result i32) (i32.add (call $seven) (call $thirty_five))))"#)?;
/// let numbers = |store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>| -> Result<_> {
///     Ok(match request.name().parse::<i32>() {
///         Ok(number) if request.module() == "constants" => Func::wrap(store, move || number).into(),
///         _ => Resolution::Unresolved,
///     })
/// };
/// let options = InstantiateOptions::new().with_import_resolver(numbers);
/// let mut store = Store::new(&engine, ());
/// let instance = Linker::new(&engine).instantiate_with(&mut store, &module, &options)?;
/// assert_eq!(instance.typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 42);
/// # Ok::<(), wardian::Error>(())
/// ```
pub trait ImportResolver<T: 'static>: Send + Sync + 'static {
    /// Answers a request.
    ///
    /// # Errors
    ///
    /// Whatever the resolver likes: it becomes the error of the instantiation.
    fn resolve(
        &self,
        store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution>;

    /// This resolver, and `next` for what it leaves unresolved.
    fn or(self, next: impl ImportResolver<T>) -> ResolverChain<T>
    where
        Self: Sized,
    {
        ResolverChain::new().or_else(self).or_else(next)
    }
}

impl<T: 'static, F> ImportResolver<T> for F
where
    F: Fn(StoreContextMut<'_, T>, &ImportRequest<'_>) -> Result<Resolution> + Send + Sync + 'static,
{
    fn resolve(
        &self,
        store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        self(store, request)
    }
}

/// A closure as an [`ImportResolver`], whose parameters need no types.
///
/// ```
/// use wardian::{Engine, Func, InstantiateOptions, resolver::{ImportResolverFunc, Resolution}};
///
/// let numbers = ImportResolverFunc::<(), _>::new(|store, request| {
///     Ok(match request.name().parse::<i32>() {
///         Ok(number) => Func::wrap(store, move || number).into(),
///         Err(_) => Resolution::Unresolved,
///     })
/// });
/// let options = InstantiateOptions::new().with_import_resolver(numbers);
/// ```
#[derive(Clone, Copy)]
pub struct ImportResolverFunc<T: 'static, F>(F, PhantomData<fn(T)>);

impl<T: 'static, F> ImportResolverFunc<T, F>
where
    F: Fn(StoreContextMut<'_, T>, &ImportRequest<'_>) -> Result<Resolution> + Send + Sync + 'static,
{
    /// A resolver that calls `closure`.
    pub fn new(closure: F) -> Self {
        ImportResolverFunc(closure, PhantomData)
    }
}

impl<T: 'static, F> ImportResolver<T> for ImportResolverFunc<T, F>
where
    F: Fn(StoreContextMut<'_, T>, &ImportRequest<'_>) -> Result<Resolution> + Send + Sync + 'static,
{
    fn resolve(
        &self,
        store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        (self.0)(store, request)
    }
}

impl<T: 'static, F> std::fmt::Debug for ImportResolverFunc<T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportResolverFunc")
    }
}

impl<T: 'static, R: ImportResolver<T> + ?Sized> ImportResolver<T> for Arc<R> {
    fn resolve(
        &self,
        store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        R::resolve(self, store, request)
    }
}

/// An import that a resolver is asked for.
#[derive(Clone, Debug)]
pub struct ImportRequest<'a> {
    importer: &'a Module,
    importer_name: Option<&'a str>,
    module: &'a str,
    name: &'a str,
    ty: ExternType,
}

impl<'a> ImportRequest<'a> {
    /// The module that is being instantiated.
    pub fn importer(&self) -> &'a Module {
        self.importer
    }

    /// The name of the instance to be: what [`InstantiateOptions::with_name`] gave it, else the
    /// module's own.
    pub fn importer_name(&self) -> Option<&'a str> {
        self.importer_name
    }

    /// The module that is asked for.
    pub fn module(&self) -> &'a str {
        self.module
    }

    /// The field of it that is asked for.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The kind that is needed.
    pub fn kind(&self) -> ExternKind {
        self.ty.kind()
    }

    /// The type that is needed. Memories and tables may be larger, with a smaller maximum.
    pub fn ty(&self) -> &ExternType {
        &self.ty
    }
}

/// What a resolver returns. Everything that can be imported becomes one by `into()`, and so does an
/// [`Instance`], or an `Option` of one of these.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Resolution {
    /// This is imported.
    Extern(Extern),
    /// This instance's export of the field's name is imported.
    Instance(Instance),
    /// Others may know.
    Unresolved,
}

impl From<Instance> for Resolution {
    fn from(instance: Instance) -> Resolution {
        Resolution::Instance(instance)
    }
}

impl From<Extern> for Resolution {
    fn from(item: Extern) -> Resolution {
        Resolution::Extern(item)
    }
}

macro_rules! from_items {
    ($($item:ty),*) => {$(
        impl From<$item> for Resolution {
            fn from(item: $item) -> Resolution {
                Resolution::Extern(item.into())
            }
        }
    )*};
}

from_items!(Func, Table, Memory, SharedMemory, Global, Tag);

impl<A: Into<Resolution>> From<Option<A>> for Resolution {
    fn from(answer: Option<A>) -> Resolution {
        answer.map_or(Resolution::Unresolved, Into::into)
    }
}

/// Several resolvers, of which the first that has an answer counts.
///
/// ```
/// use wardian::{Engine, InstantiateOptions, Linker, Module, Store, resolver::{ImportResolver, TrapStubs}};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (import "env" "known" (func $known (result i32)))
///     (import "env" "unknown" (func $unknown))
///     (func (export "run") (result i32) (call $known))
///     (func (export "fail") (call $unknown)))"#)?;
/// let mut linker: Linker<()> = Linker::new(&engine);
/// linker.func_wrap("env", "known", || 42)?;
///
/// let options = InstantiateOptions::new().with_import_resolver(linker.clone().or(TrapStubs::new()));
/// let mut store = Store::new(&engine, ());
/// let instance = linker.instantiate_with(&mut store, &module, &options)?;
/// assert_eq!(instance.typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 42);
/// let fail = instance.typed_func::<(), ()>(&mut store, "fail")?;
/// let error = fail.call(&mut store, ()).unwrap_err().to_string();
/// assert!(error.contains("`env` `unknown`"));
/// # Ok::<(), wardian::Error>(())
/// ```
pub struct ResolverChain<T: 'static> {
    resolvers: Vec<Arc<dyn ImportResolver<T>>>,
}

impl<T: 'static> ResolverChain<T> {
    /// A chain of none, which knows nothing.
    pub fn new() -> ResolverChain<T> {
        ResolverChain { resolvers: Vec::new() }
    }

    /// The chain with one more resolver at its end.
    #[must_use]
    pub fn or_else(mut self, resolver: impl ImportResolver<T>) -> ResolverChain<T> {
        self.resolvers.push(Arc::new(resolver));
        self
    }
}

impl<T: 'static> Default for ResolverChain<T> {
    fn default() -> Self {
        ResolverChain::new()
    }
}

impl<T: 'static> Clone for ResolverChain<T> {
    fn clone(&self) -> Self {
        ResolverChain { resolvers: self.resolvers.clone() }
    }
}

impl<T: 'static> std::fmt::Debug for ResolverChain<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResolverChain").field("resolvers", &self.resolvers.len()).finish()
    }
}

impl<T: 'static> ImportResolver<T> for ResolverChain<T> {
    fn resolve(
        &self,
        mut store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        for resolver in &self.resolvers {
            match resolver.resolve(store.as_context_mut(), request)? {
                Resolution::Unresolved => {}
                answer => return Ok(answer),
            }
        }
        Ok(Resolution::Unresolved)
    }
}

/// Looks up all imports: with the resolver of the options if there is one and it is to be asked for the import at this
/// position, and `otherwise`, which gets the import's position too.
pub(crate) fn look_up<T: 'static>(
    mut store: StoreContextMut<'_, T>,
    module: &Module,
    options: &InstantiateOptions<T>,
    is_asked: impl Fn(usize) -> bool,
    otherwise: impl Fn(usize, &str, &str) -> Lookup,
) -> Result<Vec<Lookup>> {
    let imports = &module.info().imports;
    let Some(resolver) = &options.resolver else {
        let found = imports.iter().enumerate().map(|(at, i)| otherwise(at, &i.module, &i.name));
        return Ok(found.collect());
    };
    link::check_engine(&store.0.inner, &module.0)?;
    let _level = Level::enter()?;
    let mut found = Vec::with_capacity(imports.len());
    for (at, (asked, name, ty)) in module.imports().enumerate() {
        if !is_asked(at) {
            found.push(otherwise(at, asked, name));
            continue;
        }
        let importer_name = options.name.as_deref().or_else(|| module.name());
        let request = ImportRequest { importer: module, importer_name, module: asked, name, ty };
        found.push(match resolver.resolve(store.as_context_mut(), &request)? {
            Resolution::Extern(item) => Lookup::Found(Definition::Extern(item.into())),
            Resolution::Instance(instance) => field(store.as_context_mut(), instance, name),
            Resolution::Unresolved => match otherwise(at, asked, name) {
                Lookup::Missing { near, .. } => Lookup::Missing {
                    why: "the resolver has no answer, and nothing is defined under this name"
                        .into(),
                    near,
                },
                found => found,
            },
        });
    }
    Ok(found)
}

/// The export of an instance that a resolver answered with.
fn field<T: 'static>(mut store: StoreContextMut<'_, T>, instance: Instance, name: &str) -> Lookup {
    if check_store(&store.0.inner, instance.store).is_err() {
        let why = "the resolver answered with an instance of another store".into();
        return Lookup::Missing { why, near: None };
    }
    if let Some(item) = instance.get_export(store.as_context_mut(), name) {
        return Lookup::Found(Definition::Extern(item.into()));
    }
    let which = match instance.name(&store) {
        Some(name) => format!("the instance `{name}`"),
        None => "an instance".to_owned(),
    };
    let module = instance.module(store.as_context());
    let near = crate::suggestions::nearest([name], module.exports().map(|(name, _)| [name]));
    Lookup::Missing {
        why: format!("the resolver answered with {which}, which has no export of this name").into(),
        near: near.map(|[name]| format!("`{name}`")),
    }
}

/// One instantiation with a resolver, on this thread.
struct Level;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Level {
    fn enter() -> Result<Level> {
        let depth = DEPTH.get();
        if depth >= MAX_DEPTH {
            return Err(Error::limit(
                LimitKind::Engine,
                format!(
                    "import resolvers instantiate modules inside each other, {MAX_DEPTH} deep; do they \
                 need each other in a circle?"
                ),
            ));
        }
        DEPTH.set(depth + 1);
        Ok(Level)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
