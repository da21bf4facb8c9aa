//! Modules and instances.

use crate::{Engine, convert};
use anyhow::{Result, anyhow};
use std::sync::Arc;
use wasm_runtime_layer::backend::{
    AsContext, AsContextMut, Export, Extern, Imports, WasmInstance, WasmModule,
};
use wasm_runtime_layer::{ExportType, ExternType, ImportType};

/// A module, validated and, if the engine does that first, compiled.
#[derive(Clone, Debug)]
pub struct Module(wardian::Module);

impl Module {
    /// The module of Wardian.
    pub fn inner(&self) -> &wardian::Module {
        &self.0
    }
}

impl WasmModule<Engine> for Module {
    fn new(engine: &Engine, bytes: &[u8]) -> Result<Self> {
        Ok(Module(wardian::Module::new(engine.inner(), bytes)?))
    }

    fn exports(&self) -> Box<dyn '_ + Iterator<Item = ExportType<'_>>> {
        Box::new(
            self.0.exports().filter_map(|(name, ty)| {
                Some(ExportType { name, ty: convert::from_extern_type(ty)? })
            }),
        )
    }

    fn get_export(&self, name: &str) -> Option<ExternType> {
        convert::from_extern_type(self.0.export(name)?)
    }

    fn imports(&self) -> Box<dyn '_ + Iterator<Item = ImportType<'_>>> {
        Box::new(self.0.imports().filter_map(|(module, name, ty)| {
            Some(ImportType { module, name, ty: convert::from_extern_type(ty)? })
        }))
    }
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Instance {
    instance: wardian::Instance,
    /// Those that the interface has types for, in the order of the module: it asks for them with a store
    /// that is borrowed to be read.
    exports: Arc<[(String, Extern<Engine>)]>,
}

impl Instance {
    /// The instance of Wardian.
    pub fn inner(&self) -> wardian::Instance {
        self.instance
    }
}

impl WasmInstance<Engine> for Instance {
    fn new(
        mut store: impl AsContextMut<Engine>,
        module: &Module,
        imports: &Imports<Engine>,
    ) -> Result<Self> {
        let mut store = store.as_context_mut();
        let missing = |module, name, ty: wardian::ExternType| {
            anyhow!("the import {module:?} {name:?} is missing: {ty}")
        };
        let imports = module.0.imports().map(|(from, name, ty)| {
            let found = imports.get_export(from, name);
            found.map(|item| convert::item(&item)).ok_or_else(|| missing(from, name, ty))
        });
        let imports = imports.collect::<Result<Vec<_>>>()?;
        let instance = wardian::Instance::new(store.inner(), &module.0, &imports)?;
        let known = module.0.exports().map(|(_, ty)| convert::from_extern_type(ty).is_some());
        let exports = instance.exports(store.inner()).into_iter().zip(known);
        let exports = exports
            .filter(|(_, known)| *known)
            .filter_map(|((name, item), _)| Some((name, convert::from_item(item)?)));
        Ok(Instance { instance, exports: exports.collect() })
    }

    fn exports(&self, _: impl AsContext<Engine>) -> Box<dyn Iterator<Item = Export<Engine>>> {
        let exports = self.exports.to_vec();
        Box::new(exports.into_iter().map(|(name, value)| Export { name, value }))
    }

    fn get_export(&self, _: impl AsContext<Engine>, name: &str) -> Option<Extern<Engine>> {
        self.exports.iter().find(|(known, _)| known == name).map(|(_, item)| item.clone())
    }
}
