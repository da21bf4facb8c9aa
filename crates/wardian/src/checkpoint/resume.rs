//! Resuming a guest from a checkpoint.

use super::chain::incremental;
use super::{Checkpoint, ModuleBytes};
use crate::data::{Data, StoreData};
use crate::error::CheckpointErrorKind;
use crate::handles::Instance;
use crate::host_def::data_type;
use crate::resolver::ImportResolver;
use crate::store::check_store;
use crate::value::Val;
use crate::{
    AsContextMut, Engine, Error, InstantiateOptions, Linker, Module, Result, Store,
    StoreContextMut, resolver,
};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use wardian_runtime::call::suspend::AsyncCall;
use wardian_runtime::checkpoint::state::{ImportState, State};
use wardian_runtime::checkpoint::{Origin, Restored, Target};
use wardian_runtime::instance::link::Lookup;
use wardian_runtime::module::ModuleInner;
use wardian_runtime::store::inner::StoreInner;
use wardian_types::FuncType;

/// How a checkpoint is resumed in a store with data of the type `T`.
pub struct ResumeOptions<T: 'static> {
    modules: Vec<Module>,
    pub(crate) resolver: Option<Arc<dyn ImportResolver<T>>>,
}

impl<T> Default for ResumeOptions<T> {
    fn default() -> Self {
        ResumeOptions::new()
    }
}

impl<T> Clone for ResumeOptions<T> {
    fn clone(&self) -> Self {
        ResumeOptions { modules: self.modules.clone(), resolver: self.resolver.clone() }
    }
}

impl<T> fmt::Debug for ResumeOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeOptions")
            .field("modules", &self.modules.len())
            .field("resolver", &self.resolver.is_some())
            .finish()
    }
}

impl<T> ResumeOptions<T> {
    /// With the modules that are in the checkpoint.
    pub fn new() -> ResumeOptions<T> {
        ResumeOptions { modules: Vec::new(), resolver: None }
    }

    /// Asks a resolver for imports that were the embedder's, before the linker: see [`ImportResolver`]. It is not asked for
    /// what other instances of the checkpoint have. It must not make instances, which would have no place in the
    /// checkpoint. A second one takes the place of the first.
    pub fn with_import_resolver(mut self, resolver: impl ImportResolver<T>) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Gives a module, which is used where the checkpoint has one of the same bytes: one that was compiled before,
    /// or whose bytes are not part of the checkpoint.
    pub fn with_module(mut self, module: &Module) -> Self {
        self.modules.push(module.clone());
        self
    }
}

impl Checkpoint {
    /// Makes the state of a new store that of the checkpoint. No guest runs yet: see [`Resumed::run`].
    ///
    /// Imports that were the embedder's are looked up in the linker, by the names under which the modules import
    /// them; with [`ResumeOptions::with_import_resolver`] a resolver is asked before.
    ///
    /// # Errors
    ///
    /// The store has instances already; a module is missing or not valid in this engine; an import is missing or of
    /// another type; a limit of the store is reached; or the checkpoint was forged. After an error the store is of no
    /// use.
    pub fn resume<T: 'static>(
        &self,
        store: &mut Store<T>,
        linker: &Linker<T>,
        options: &ResumeOptions<T>,
    ) -> Result<Resumed> {
        if self.state.parent.is_some() {
            return Err(incremental());
        }
        let modules = find_modules(&self.state, &self.modules, store.engine(), options)?;
        let fill = |targets: Vec<Target<'_>>| {
            for (mut target, chunks) in targets.into_iter().zip(&self.memories) {
                target.restore_base()?;
                let len = target.len();
                for chunk in chunks {
                    target.write(chunk.index, len, |bytes| chunk.unpack_alone(bytes))?;
                }
            }
            Ok(())
        };
        let origin = FromLinker { linker, options, fill };
        let restored = store.0.restore(&self.state, &inner(modules), data_type::<T>(), origin)?;
        Ok(Resumed::new(store, restored))
    }
}

impl Resumed {
    /// What a store has become that was empty.
    pub(crate) fn new<T>(store: &Store<T>, call: Option<Restored>) -> Resumed {
        let id = store.0.inner.id();
        let pending = call.as_ref().and_then(|call| call.pending.as_ref());
        let pending = pending.map(|pending| PendingCall {
            module: pending.module.clone(),
            name: pending.name.clone(),
            ty: pending.ty.clone(),
            arguments: pending.arguments.iter().cloned().map(Val::from).collect(),
        });
        let wait = call.as_ref().and_then(|call| call.wait.as_ref());
        let wait = wait.map(|wait| PendingWait {
            address: wait.address.as_u64(),
            place: wait.place,
            time_left: wait.left,
        });
        let instances = store.0.inner.instances().indices();
        let instances = instances.map(|index| Instance { store: id, index }).collect();
        Resumed { store: id, instances, pending, wait, call }
    }
}

/// Imports from a linker, and memories as `fill` fills them.
pub(super) struct FromLinker<'a, T: 'static, F> {
    pub(super) linker: &'a Linker<T>,
    pub(super) options: &'a ResumeOptions<T>,
    pub(super) fill: F,
}

impl<T: 'static, F> Origin<Data<T>> for FromLinker<'_, T, F>
where
    F: FnMut(Vec<Target<'_>>) -> wardian_runtime::Result<()>,
{
    fn imports(
        &mut self,
        store: &mut StoreData<T>,
        imports: &[ImportState],
        module: &Arc<ModuleInner>,
    ) -> wardian_runtime::Result<Vec<Lookup>> {
        let mut options = InstantiateOptions::new();
        options.resolver.clone_from(&self.options.resolver);
        let is_host = |at: usize| imports[at] == ImportState::Host;
        let given = |_: usize, module: &str, name: &str| self.linker.look_up_one(module, name);
        let module = Module::of(module.clone());
        Ok(resolver::look_up(StoreContextMut(store), &module, &options, is_host, given)?)
    }

    fn fill(&mut self, memories: Vec<Target<'_>>) -> wardian_runtime::Result<()> {
        (self.fill)(memories)
    }
}

/// The modules of a checkpoint: given ones, or of its bytes.
pub(super) fn find_modules<T>(
    state: &State,
    bytes: &[ModuleBytes],
    engine: &Engine,
    options: &ResumeOptions<T>,
) -> Result<Vec<Module>> {
    let given: Vec<_> = options
        .modules
        .iter()
        .filter(|module| Engine::same(module.engine(), engine))
        .map(|module| (*blake3::hash(module.bytes()).as_bytes(), module))
        .collect();
    let mut modules = Vec::with_capacity(bytes.len());
    for (position, state) in state.modules.iter().enumerate() {
        let known = given.iter().find(|(hash, _)| *hash == state.hash);
        let module = match known {
            Some((_, module)) => (*module).clone(),
            None => super::module(bytes, engine, position)?.ok_or_else(|| missing(state))?,
        };
        modules.push(module);
    }
    Ok(modules)
}

/// Modules as the runtime knows them.
pub(super) fn inner(modules: Vec<Module>) -> Vec<Arc<ModuleInner>> {
    modules.into_iter().map(|module| module.0).collect()
}

fn missing(state: &wardian_runtime::checkpoint::state::ModuleState) -> Error {
    let hash: String = state.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = state.name.as_deref().unwrap_or("without a name");
    Error::checkpoint(
        CheckpointErrorKind::Missing,
        format!(
            "a module ({name}, BLAKE3 {hash}) is not part of the checkpoint: give it with ResumeOptions::with_module, \
         of the store's engine"
        ),
    )
}

/// A store that has the state of a checkpoint, with a guest that can be resumed if one was running.
///
/// Until then the store can be used like any other.
#[derive(Debug)]
pub struct Resumed {
    store: u64,
    instances: Vec<Instance>,
    pending: Option<PendingCall>,
    wait: Option<PendingWait>,
    call: Option<Restored>,
}

/// The call of a host function in which a checkpoint was taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingCall {
    /// The names of the function's import.
    pub module: String,
    /// See [`PendingCall::module`].
    pub name: String,
    /// Its type.
    pub ty: FuncType,
    /// Its arguments.
    pub arguments: Vec<Val>,
}

/// The atomic wait (`memory.atomic.wait32` or `memory.atomic.wait64`) in which a checkpoint was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingWait {
    /// Its address in the shared memory.
    pub address: u64,
    /// How many threads waited longer at this address; none if the guest had been notified already.
    pub place: Option<u32>,
    /// The time that is left; none if it waits for ever.
    pub time_left: Option<Duration>,
}

impl Resumed {
    /// The instances, in the order in which they were made.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Whether a guest was running, which is now to be resumed.
    pub fn is_running(&self) -> bool {
        self.call.is_some()
    }

    /// The host function that the guest had called.
    pub fn pending(&self) -> Option<&PendingCall> {
        self.pending.as_ref()
    }

    /// The atomic wait that the guest was in.
    pub fn pending_wait(&self) -> Option<&PendingWait> {
        self.wait.as_ref()
    }

    /// Takes the guest's place in the queue of the address at which it waits, if it does. Otherwise it is taken when the
    /// guest is resumed. Those who resume several guests that share a memory do this for all, in the order of
    /// [`PendingWait::place`], before they resume the first.
    ///
    /// # Errors
    ///
    /// It is another store; or the address is outside of the memory, or the memory is not shared.
    pub fn join_queue<T: 'static>(&self, mut store: impl AsContextMut<Data = T>) -> Result<()> {
        let store = store.as_context_mut();
        check_store(&store.0.inner, self.store)?;
        match self.call.as_ref().and_then(|call| call.wait.as_ref()) {
            Some(wait) => Ok(store.0.inner.join_queue_again(wait)?),
            None => Ok(()),
        }
    }

    /// Resumes the guest until the call that was running returns, and gives its results. The host function that the
    /// guest had called is called again, with the same arguments.
    ///
    /// # Errors
    ///
    /// No guest was running; or as for [`crate::Func::call`].
    ///
    /// # Panics
    ///
    /// As for [`crate::Func::call`].
    pub fn run<T: 'static>(self, store: impl AsContextMut<Data = T>) -> Result<Vec<Val>> {
        self.resume(store, None)
    }

    /// As [`Resumed::run`], but that the host function that the guest had called returns these results instead of
    /// being called.
    ///
    /// # Errors
    ///
    /// As there; or the guest had called none, or it gives other results.
    ///
    /// # Panics
    ///
    /// As for [`crate::Func::call`].
    pub fn run_with<T: 'static>(
        self,
        store: impl AsContextMut<Data = T>,
        results: &[Val],
    ) -> Result<Vec<Val>> {
        self.resume(store, Some(results))
    }

    /// As [`Resumed::run`], of a guest that may wait in asynchronous host functions: see
    /// [`crate::TypedFunc::call_async`]. The one that it had called is called again, and may wait too.
    ///
    /// # Errors
    ///
    /// As for [`Resumed::run`].
    ///
    /// # Panics
    ///
    /// As for [`crate::Func::call`].
    pub async fn run_async<T: Send + 'static>(
        self,
        store: impl AsContextMut<Data = T>,
    ) -> Result<Vec<Val>> {
        self.resume_async(store, None).await
    }

    /// As [`Resumed::run_with`], of a guest that may wait in asynchronous host functions.
    ///
    /// # Errors
    ///
    /// As for [`Resumed::run_with`].
    ///
    /// # Panics
    ///
    /// As for [`crate::Func::call`].
    pub async fn run_with_async<T: Send + 'static>(
        self,
        store: impl AsContextMut<Data = T>,
        results: &[Val],
    ) -> Result<Vec<Val>> {
        self.resume_async(store, Some(results.to_vec())).await
    }

    async fn resume_async<T: Send + 'static>(
        self,
        mut store: impl AsContextMut<Data = T>,
        given: Option<Vec<Val>>,
    ) -> Result<Vec<Val>> {
        let store = store.as_context_mut();
        let call = self.checked(&store.0.inner)?;
        let count = call.results().len();
        let given = given.map(|given| given.into_iter().map(Into::into).collect());
        let mut call = AsyncCall::of_restored(store.0, call, given);
        poll_fn(|context| call.poll(context)).await?;
        let mut results = Vec::with_capacity(count);
        call.values(|_, value| results.push(value.into()));
        Ok(results)
    }

    fn resume<T: 'static>(
        self,
        mut store: impl AsContextMut<Data = T>,
        results: Option<&[Val]>,
    ) -> Result<Vec<Val>> {
        let store = store.as_context_mut();
        let call = self.checked(&store.0.inner)?;
        let given = results.map(|given| given.iter().cloned().map(Into::into).collect::<Vec<_>>());
        let results = store.0.resume_restored(call, given.as_deref())?;
        Ok(results.into_iter().map(Val::from).collect())
    }

    /// The call, if it is one of this store.
    fn checked(self, store: &StoreInner) -> Result<Restored> {
        check_store(store, self.store)?;
        self.call.ok_or_else(|| {
            Error::checkpoint(
                CheckpointErrorKind::NotResumed,
                "no guest was running when it was taken",
            )
        })
    }
}
