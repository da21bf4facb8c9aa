//! Instances whose imports were looked up before.

use crate::error::UsageKind;
use crate::handles::Instance;
use crate::{AsContextMut, Error, InstantiateOptions, Module, Result};
use std::marker::PhantomData;
use std::sync::Arc;
use wardian_runtime::instance::instantiate::Imports;
use wardian_runtime::instance::link::{self, Definition};
use wardian_runtime::store::inner::StoreInner;

/// A module with its imports: what [`crate::Linker::instantiate_pre`] makes.
///
/// Names are looked up and host functions are compared with what the module needs once, and not again for
/// each instance. It belongs to no store, unless something of a store is among the imports. Later changes
/// of the linker do not change it. Cheap to clone; clones share the module and the imports.
///
/// ```
/// use wardian::{Engine, Linker, Module, Store};
/// let engine = Engine::default();
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("math", "double", |x: i32| x * 2)?;
/// let module = Module::new(&engine, r#"(module
///     (import "math" "double" (func $double (param i32) (result i32)))
///     (func (export "run") (param i32) (result i32) (call $double (local.get 0))))"#)?;
/// let pre = linker.instantiate_pre(&module)?;
/// for request in 0..3 {
///     let mut store = Store::new(&engine, ());
///     let instance = pre.instantiate(&mut store)?;
///     let run = instance.typed_func::<i32, i32>(&mut store, "run")?;
///     assert_eq!(run.call(&mut store, request)?, 2 * request);
/// }
/// # Ok::<(), wardian::Error>(())
/// ```
pub struct InstancePre<T> {
    module: Module,
    /// In the order of the module's imports.
    imports: Arc<[Definition]>,
    data: PhantomData<fn(T)>,
}

impl<T> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre {
            module: self.module.clone(),
            imports: self.imports.clone(),
            data: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre")
            .field("module", &self.module.name())
            .field("imports", &self.imports.len())
            .finish_non_exhaustive()
    }
}

impl<T: 'static> InstancePre<T> {
    pub(crate) fn new(module: &Module, imports: Vec<Definition>) -> InstancePre<T> {
        InstancePre { module: module.clone(), imports: imports.into(), data: PhantomData }
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance in a store, and runs its start function.
    ///
    /// # Errors
    ///
    /// The store has another engine than the module; an import that belongs to a store belongs to another
    /// one, or is no longer of a type that fits; or as for [`Instance::new`].
    pub fn instantiate(&self, store: impl AsContextMut<Data = T>) -> Result<Instance> {
        self.instantiate_with(store, &InstantiateOptions::new())
    }

    /// [`InstancePre::instantiate`] with options.
    ///
    /// # Errors
    ///
    /// As for [`InstancePre::instantiate`]; or there is an import resolver among the options, which would
    /// have nothing to do.
    pub fn instantiate_with(
        &self,
        mut store: impl AsContextMut<Data = T>,
        options: &InstantiateOptions<T>,
    ) -> Result<Instance> {
        let store = store.as_context_mut();
        let imports = self.imports(&store.0.inner, options)?;
        Instance::from_imports(store, &self.module, imports, options)
    }

    /// [`InstancePre::instantiate_with`] for a module whose start function may wait in asynchronous host functions:
    /// see [`crate::Linker::instantiate_async`].
    ///
    /// # Errors
    ///
    /// As for [`InstancePre::instantiate_with`].
    pub async fn instantiate_async(
        &self,
        mut store: impl AsContextMut<Data = T>,
        options: &InstantiateOptions<T>,
    ) -> Result<Instance>
    where
        T: Send,
    {
        let store = store.as_context_mut();
        let imports = self.imports(&store.0.inner, options)?;
        Instance::from_imports_async(store, &self.module, imports, options).await
    }

    fn imports(&self, store: &StoreInner, options: &InstantiateOptions<T>) -> Result<Imports> {
        if options.resolver.is_some() {
            return Err(Error::usage(
                UsageKind::State,
                "an InstancePre has its imports already: use Linker::instantiate_with for an import resolver",
            ));
        }
        Ok(link::resolved(store, &self.module.0, &self.imports)?)
    }
}
