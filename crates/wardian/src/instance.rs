//! Instances.

use crate::error::UsageKind;
use crate::handles::Instance;
use crate::handles::{Extern, Func, Global, Memory, SharedMemory, Table};
use crate::host_def::data_type;
use crate::store::{check_store, same_store};
use crate::wasm_ty::{WasmParams, WasmResults};
use crate::{
    AsContext, AsContextMut, Error, InstantiateOptions, Module, Result, StoreContextMut, TypedFunc,
};
use wardian_module::ItemIndex;
use wardian_runtime::call::suspend::AsyncCall;
use wardian_runtime::instance::instantiate::Imports;
use wardian_runtime::instance::link::{self, Definition, Lookup};

impl Instance {
    /// Makes an instance with imports in the order of [`Module::imports`], and runs its start
    /// function. See [`crate::Linker`] for imports by name.
    ///
    /// # Errors
    ///
    /// An import is missing or of the wrong type (all are reported), a limit is reached, a segment
    /// does not fit, or the start function does not return.
    pub fn new(
        mut store: impl AsContextMut,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance> {
        let options = InstantiateOptions::new();
        Instance::new_with(store.as_context_mut(), module, imports, &options)
    }

    /// [`Instance::new`] with options. An import resolver among them is asked first for each import; the item
    /// in `imports` at its position is used if the resolver leaves it unresolved.
    ///
    /// # Errors
    ///
    /// As for [`Instance::new`], or the resolver fails.
    pub fn new_with<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
        imports: &[Extern],
        options: &InstantiateOptions<T>,
    ) -> Result<Instance> {
        let needed = module.imports().len();
        if imports.len() != needed {
            let given = imports.len();
            return Err(Error::usage(
                UsageKind::Type,
                format!("the module has {needed} imports, but {given} were given"),
            ));
        }
        let given = |at: usize, _: &str, _: &str| {
            Lookup::Found(Definition::Extern(imports[at].clone().into()))
        };
        let found =
            crate::resolver::look_up(store.as_context_mut(), module, options, |_| true, given)?;
        Instance::from_definitions(store.as_context_mut(), module, found, options)
    }

    pub(crate) fn from_definitions<T: 'static>(
        store: StoreContextMut<'_, T>,
        module: &Module,
        definitions: Vec<Lookup>,
        options: &InstantiateOptions<T>,
    ) -> Result<Instance> {
        let imports = link::check(&store.0.inner, data_type::<T>(), &module.0, definitions)?;
        Instance::from_imports(store, module, imports, options)
    }

    pub(crate) fn from_imports<T: 'static>(
        store: StoreContextMut<'_, T>,
        module: &Module,
        imports: Imports,
        options: &InstantiateOptions<T>,
    ) -> Result<Instance> {
        let index =
            options.passed_on(|options| store.0.instantiate(&module.0, imports, options))?;
        Ok(Instance { store: store.0.inner.id(), index })
    }

    pub(crate) async fn from_imports_async<T: Send + 'static>(
        store: StoreContextMut<'_, T>,
        module: &Module,
        imports: Imports,
        options: &InstantiateOptions<T>,
    ) -> Result<Instance> {
        let (index, start) =
            options.passed_on(|options| store.0.prepare_instance(&module.0, imports, options))?;
        let id = store.0.inner.id();
        if let Some(start) = start {
            let mut call = AsyncCall::of_start(store.0, start);
            std::future::poll_fn(|context| call.poll(context)).await?;
        }
        Ok(Instance { store: id, index })
    }

    /// The module that it was made from.
    ///
    /// # Panics
    ///
    /// It belongs to another store; so for all methods here that give no `Result`.
    pub fn module(&self, store: impl AsContext) -> Module {
        let store = store.as_context();
        same_store(&store.0.inner, self.store);
        Module::of(store.0.inner.instance(self.index).module().clone())
    }

    /// Its name: what the embedder gave it, else the module's own.
    pub fn name<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContext<'a, T>>,
    ) -> Option<&'a str> {
        let store = store.into();
        same_store(&store.0.inner, self.store);
        let data = store.0.inner.instance(self.index);
        data.name()
    }

    /// An export by name.
    pub fn get_export(&self, mut store: impl AsContextMut, name: &str) -> Option<Extern> {
        let store = store.as_context_mut();
        same_store(&store.0.inner, self.store);
        let item = store.0.inner.instance(self.index).module().export(name)?;
        Some(self.item(store, item))
    }

    /// All exports, in the order of the module.
    pub fn exports(&self, mut store: impl AsContextMut) -> Vec<(String, Extern)> {
        let module = self.module(&mut store);
        let exports = &module.info().exports;
        exports
            .iter()
            .map(|e| (e.name.clone(), self.item(store.as_context_mut(), e.item)))
            .collect()
    }

    /// An exported function.
    #[doc(alias = "ExportedFunction")]
    pub fn get_func(&self, store: impl AsContextMut, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// An exported function with Rust types.
    ///
    /// # Errors
    ///
    /// There is no such function, or its signature is another.
    #[doc(alias = "get_typed_func")]
    pub fn typed_func<P: WasmParams, R: WasmResults>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        check_store(&store.as_context().0.inner, self.store)?;
        let func = self.get_func(&mut store, name);
        let func = func.ok_or_else(|| {
            Error::usage(UsageKind::NotFound, format!("the instance exports no function `{name}`"))
        })?;
        func.typed(&store)
            .map_err(|e| Error::usage(UsageKind::Type, format!("export `{name}`: {e}")))
    }

    /// An exported memory that is not shared.
    #[doc(alias = "ExportedMemory")]
    pub fn get_memory(&self, store: impl AsContextMut, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// An exported shared memory.
    pub fn get_shared_memory(&self, store: impl AsContextMut, name: &str) -> Option<SharedMemory> {
        self.get_export(store, name)?.into_shared_memory()
    }

    /// An exported table.
    pub fn get_table(&self, store: impl AsContextMut, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// An exported global.
    #[doc(alias = "ExportedGlobal")]
    pub fn get_global(&self, store: impl AsContextMut, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    pub(crate) fn item<T: 'static>(
        &self,
        store: StoreContextMut<'_, T>,
        item: ItemIndex,
    ) -> Extern {
        store.0.inner.instance_item(self.index, item).into()
    }
}
