//! Imports by name.

use crate::error::UsageKind;
use crate::func::IntoFunc;
use crate::handles::Func;
use crate::handles::{Extern, Instance};
use crate::host_def::{asynchronous, asynchronous_values, data_type, raw, values};
use crate::resolver::{ImportRequest, ImportResolver, Resolution};
use crate::value::Val;
use crate::wasm_ty::{HostResults, WasmParams};
use crate::{
    AsContextMut, Caller, Engine, Error, InstancePre, InstantiateOptions, Module, Result,
    StoreContextMut, resolver, suggestions,
};
use std::cell::Cell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use wardian_runtime::call::suspend::HostFuture;
use wardian_runtime::instance::link::{self, Definition, Lookup};
use wardian_types::FuncType;

/// For how many missing imports of a module something is suggested.
const SUGGESTIONS: u32 = 20;

/// Definitions by module and name, from which imports are satisfied.
///
/// Host functions in it belong to no store: one linker serves many stores.
///
/// ```
/// use wardian::{Engine, Linker, Module, Store};
/// let engine = Engine::default();
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("math", "double", |x: i32| x * 2)?;
/// let module = Module::new(&engine, r#"(module
///     (import "math" "double" (func $double (param i32) (result i32)))
///     (func (export "run") (result i32) (call $double (i32.const 21))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = linker.instantiate(&mut store, &module)?;
/// assert_eq!(instance.typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 42);
/// # Ok::<(), wardian::Error>(())
/// ```
#[doc(alias = "HostModuleBuilder", alias = "NewHostModuleBuilder", alias = "imports")]
pub struct Linker<T> {
    engine: Engine,
    modules: HashMap<String, HashMap<String, Definition>>,
    shadowing: bool,
    data: PhantomData<fn(T)>,
}

impl<T> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            engine: self.engine.clone(),
            modules: self.modules.clone(),
            shadowing: self.shadowing,
            data: PhantomData,
        }
    }
}

impl<T: 'static> Linker<T> {
    /// An empty linker.
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker {
            engine: engine.clone(),
            modules: HashMap::new(),
            shadowing: false,
            data: PhantomData,
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name may be defined again. Default: no.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = allow;
        self
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self> {
        if let Definition::Host(def) = &definition {
            def.check()?;
        }
        let names = self.modules.entry(module.to_owned()).or_default();
        if !self.shadowing && names.contains_key(name) {
            return Err(Error::usage(
                UsageKind::Duplicate,
                format!("`{module}` `{name}` is defined twice"),
            ));
        }
        names.insert(name.to_owned(), definition);
        Ok(self)
    }

    /// Defines something of a store; only instances of that store can then be made.
    ///
    /// # Errors
    ///
    /// The name is taken.
    pub fn define(
        &mut self,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        self.insert(module, name, Definition::Extern(item.into().into()))
    }

    /// Defines a host function from a closure with typed parameters and results.
    ///
    /// # Errors
    ///
    /// The name is taken.
    #[doc(alias = "WithFunc")]
    pub fn func_wrap<P, R>(
        &mut self,
        module: &str,
        name: &str,
        closure: impl IntoFunc<T, P, R>,
    ) -> Result<&mut Self> {
        let def = Arc::new(closure.into_host_def());
        self.insert(module, name, Definition::Host(def))
    }

    /// Defines an asynchronous host function. While its future is not ready the guest is suspended;
    /// such a guest has to be called with [`crate::TypedFunc::call_async`].
    ///
    /// # Errors
    ///
    /// The name is taken.
    pub fn func_wrap_async<P, R>(
        &mut self,
        module: &str,
        name: &str,
        closure: impl for<'a> Fn(Caller<'a, T>, P) -> HostFuture<'a, R> + Send + Sync + 'static,
    ) -> Result<&mut Self>
    where
        T: Send,
        P: WasmParams + 'static,
        R: HostResults + 'static,
    {
        let def = Arc::new(asynchronous(closure));
        self.insert(module, name, Definition::Host(def))
    }

    /// Defines a host function over values; see [`crate::Func::new`].
    ///
    /// # Errors
    ///
    /// The name is taken, or there are more than 1000 parameters or 1000 results.
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let def = Arc::new(values(ty, closure));
        self.insert(module, name, Definition::Host(def))
    }

    /// Defines an asynchronous host function over values; see [`crate::Func::new_async`].
    ///
    /// # Errors
    ///
    /// The name is taken, or there are more than 1000 parameters or 1000 results.
    pub fn func_new_async(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        closure: impl for<'a> Fn(Caller<'a, T>, Vec<Val>) -> HostFuture<'a, Result<Vec<Val>>>
        + Send
        + Sync
        + 'static,
    ) -> Result<&mut Self>
    where
        T: Send,
    {
        let def = Arc::new(asynchronous_values(ty, closure));
        self.insert(module, name, Definition::Host(def))
    }

    /// Defines a host function over raw slots; see [`crate::Func::new_raw`].
    ///
    /// # Errors
    ///
    /// The name is taken, or there are more than 1000 parameters or 1000 results.
    #[doc(alias = "func_new_unchecked", alias = "WithGoModuleFunction")]
    pub fn func_raw(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let def = Arc::new(raw(ty, closure));
        self.insert(module, name, Definition::Host(def))
    }

    /// Defines all exports of an instance under `module`.
    ///
    /// # Errors
    ///
    /// A name is taken.
    #[doc(alias = "module")]
    pub fn instance(
        &mut self,
        store: impl AsContextMut<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self> {
        for (name, item) in instance.exports(store) {
            self.insert(module, &name, Definition::Extern(item.into()))?;
        }
        Ok(self)
    }

    /// Whether a name is defined.
    #[doc(alias = "get")]
    pub fn is_defined(&self, module: &str, name: &str) -> bool {
        self.find(module, name).is_some()
    }

    pub(crate) fn find(&self, module: &str, name: &str) -> Option<&Definition> {
        self.modules.get(module)?.get(name)
    }

    /// Makes an instance with imports from this linker, and runs its start function.
    ///
    /// # Errors
    ///
    /// Imports are missing or of the wrong type: all are reported, with suggestions of similar names. Or as
    /// for [`Instance::new`].
    #[doc(alias = "InstantiateModule")]
    pub fn instantiate(
        &self,
        store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance> {
        self.instantiate_with(store, module, &InstantiateOptions::new())
    }

    /// [`Linker::instantiate`] with options. An import resolver among them is asked before the
    /// linker.
    ///
    /// # Errors
    ///
    /// As for [`Linker::instantiate`], or the resolver fails.
    pub fn instantiate_with(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
        options: &InstantiateOptions<T>,
    ) -> Result<Instance> {
        let found = self.look_up_all(store.as_context_mut(), module, options)?;
        Instance::from_definitions(store.as_context_mut(), module, found, options)
    }

    /// [`Linker::instantiate_with`] for a module whose start function may wait in asynchronous host functions:
    /// see [`crate::TypedFunc::call_async`]. If the future is dropped, the start function has run in part, and
    /// nothing leads to the instance but what that may have done with it.
    ///
    /// # Errors
    ///
    /// As for [`Linker::instantiate_with`].
    pub async fn instantiate_async(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
        options: &InstantiateOptions<T>,
    ) -> Result<Instance>
    where
        T: Send,
    {
        let found = self.look_up_all(store.as_context_mut(), module, options)?;
        let store = store.as_context_mut();
        let imports = link::check(&store.0.inner, data_type::<T>(), &module.0, found)?;
        Instance::from_imports_async(store, module, imports, options).await
    }

    /// Looks up the imports of a module, for many instances: see [`InstancePre`].
    ///
    /// # Errors
    ///
    /// Imports are missing, or host functions among them are not of the type that the module needs: all are
    /// reported. What belongs to a store is checked when an instance is made; or the module was compiled by
    /// another engine than the linker's.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        if !Engine::same(&self.engine, module.engine()) {
            return Err(Error::usage(
                UsageKind::OtherEngine,
                "the module was compiled by another engine than the linker's",
            ));
        }
        let suggestions = Cell::new(SUGGESTIONS);
        let imports = module.info().imports.iter();
        let found = imports.map(|i| self.look_up(&i.module, &i.name, &suggestions));
        Ok(InstancePre::new(
            module,
            link::definitions(data_type::<T>(), &module.0, found.collect())?,
        ))
    }

    /// The definitions of a module's imports.
    fn look_up_all(
        &self,
        store: StoreContextMut<'_, T>,
        module: &Module,
        options: &InstantiateOptions<T>,
    ) -> Result<Vec<Lookup>> {
        let suggestions = Cell::new(SUGGESTIONS);
        let otherwise =
            |_: usize, module: &str, name: &str| self.look_up(module, name, &suggestions);
        resolver::look_up(store, module, options, |_| true, otherwise)
    }

    /// The definition of a name, or what may have been meant.
    pub(crate) fn look_up_one(&self, module: &str, name: &str) -> Lookup {
        self.look_up(module, name, &Cell::new(1))
    }

    /// The definition of a name, or what may have been meant, for so many names more: the error shows the
    /// first ones, and a module may lack a million imports.
    fn look_up(&self, module: &str, name: &str, suggestions: &Cell<u32>) -> Lookup {
        Lookup::new(self.find(module, name).cloned(), || {
            suggestions.set(suggestions.get().checked_sub(1)?);
            self.nearest(module, name)
        })
    }

    /// The defined name that is nearest, for people.
    fn nearest(&self, module: &str, name: &str) -> Option<String> {
        let all = self.modules.iter().flat_map(|(m, names)| names.keys().map(|n| [&**m, &**n]));
        suggestions::nearest([module, name], all).map(|[m, n]| format!("`{m}` `{n}`"))
    }
}

/// A linker as a resolver: it returns what is defined in it. So it can have a place in the middle of a chain,
/// for example before [`crate::resolver::TrapStubs`].
impl<T: 'static> ImportResolver<T> for Linker<T> {
    fn resolve(
        &self,
        mut store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        Ok(match self.find(request.module(), request.name()) {
            None => Resolution::Unresolved,
            Some(Definition::Extern(item)) => Extern::from(item.clone()).into(),
            Some(Definition::Host(def)) => Func::from_def(&mut store, def.clone())?.into(),
        })
    }
}
