//! A compiled module.

mod making;
mod queries;

use crate::Engine;
use std::sync::Arc;
use wardian_runtime::module::ModuleInner;

/// A module, validated and compiled. Cheap to clone; `Send` and `Sync`; it can be instantiated any
/// number of times, on any thread, in stores of its engine.
#[derive(Clone)]
#[doc(alias = "CompiledModule")]
pub struct Module(pub(crate) Arc<ModuleInner>, Engine);

/// Called during a long compilation, with the number of functions done and the total.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

impl Module {
    /// The module of an instance or of code.
    pub(crate) fn of(inner: Arc<ModuleInner>) -> Module {
        let engine = Engine::of(inner.engine.clone());
        Module(inner, engine)
    }

    /// Whether both are the same module: clones of one, and not only of the same bytes.
    pub fn same(a: &Module, b: &Module) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).finish_non_exhaustive()
    }
}
