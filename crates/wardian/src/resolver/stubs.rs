//! Stubs for imports that nobody defines.

use super::{ImportRequest, ImportResolver, Resolution};
use crate::handles::{Func, Global, Memory, SharedMemory, Table, Tag};
use crate::value::Val;
use crate::{AsContextMut, Error, Result, StoreContextMut};
use wardian_runtime::value;
use wardian_types::{ExternType, MemoryType, ValType};

/// Answers every request for a function with a stub that ends the guest when it is called. So a
/// program can run that imports more than it uses.
///
/// As it has an answer for every function, it belongs at the end of a chain, also after the linker:
/// `linker.clone().or(TrapStubs::new())`.
///
/// The error of a stub is an [`UndefinedImport`]:
///
/// ```
/// use wardian::{Engine, InstantiateOptions, Linker, Module, Store, resolver::{TrapStubs, UndefinedImport}};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (import "env" "f" (func $f))
///     (func (export "run") (call $f)))"#)?;
/// let options = InstantiateOptions::new().with_import_resolver(TrapStubs::new());
/// let mut store = Store::new(&engine, ());
/// let instance = Linker::new(&engine).instantiate_with(&mut store, &module, &options)?;
/// let run = instance.typed_func::<(), ()>(&mut store, "run")?;
/// let error = run.call(&mut store, ()).unwrap_err();
/// assert_eq!(error.downcast_ref::<UndefinedImport>().unwrap().name, "f");
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[doc(
    alias = "define_unknown_imports_as_traps",
    alias = "define_unknown_imports_as_default_values"
)]
pub struct TrapStubs {
    zeroes: bool,
}

impl TrapStubs {
    /// Stubs for functions; imports of other kinds are left unresolved.
    pub fn new() -> TrapStubs {
        TrapStubs::default()
    }

    /// Stubs for functions; memories, tables and globals of the type that is needed, of the
    /// smallest size, with zeroes and nulls. Each request gets one of its own. What the store's
    /// limits refuse is an error.
    pub fn with_zeroes() -> TrapStubs {
        TrapStubs { zeroes: true }
    }
}

/// The guest called a stub of [`TrapStubs`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest called `{module}` `{name}`, an import that is not defined")]
pub struct UndefinedImport {
    /// The module that was asked for.
    pub module: String,
    /// The function of it.
    pub name: String,
}

impl<T: 'static> ImportResolver<T> for TrapStubs {
    fn resolve(
        &self,
        mut store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        Ok(match request.ty() {
            ExternType::Func(ty) => {
                let error = UndefinedImport {
                    module: request.module().to_owned(),
                    name: request.name().to_owned(),
                };
                let stub = move |_: crate::Caller<'_, T>, _: &mut [u64]| -> Result<()> {
                    Err(Error::host(error.clone()))
                };
                Func::new_raw(store, ty.clone(), stub).into()
            }
            _ if !self.zeroes => Resolution::Unresolved,
            ExternType::Memory(ty) if ty.shared => shared(&mut store, ty)?.into(),
            ExternType::Memory(ty) => Memory::new(store, *ty)?.into(),
            ExternType::Table(ty) => {
                Table::new(store, *ty, Val::zero(ValType::Ref(ty.element)))?.into()
            }
            ExternType::Global(ty) => Global::new(store, *ty, Val::zero(ty.content))?.into(),
            ExternType::Tag(ty) => Tag::new(store, ty)?.into(),
            _ => Resolution::Unresolved,
        })
    }
}

fn shared<T: 'static>(store: &mut StoreContextMut<'_, T>, ty: &MemoryType) -> Result<SharedMemory> {
    let engine = store.engine().clone();
    let (_, limiter) = store.as_context_mut().0.split();
    let made = value::SharedMemory::with_limiter(engine.inner(), ty, None, limiter)?;
    Ok(SharedMemory::of(&made).clone())
}
