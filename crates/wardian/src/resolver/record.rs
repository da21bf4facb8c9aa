//! Writing down what resolvers are asked.

use super::{ImportRequest, ImportResolver, Resolution, ResolverChain};
use crate::{AsContextMut, Result, StoreContextMut};
use std::sync::{Arc, Mutex, MutexGuard};
use wardian_types::{ExternKind, ExternType};

/// Writes down what it is asked, and what another resolver answers to that. What it has written is
/// read through its [`ImportLog`].
///
/// ```
/// use wardian::{Engine, InstantiateOptions, Linker, Module, Store, resolver::{ImportAnswer, RecordingResolver}};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (import "env" "log" (func (param i32))))"#)?;
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("env", "log", |_: i32| {})?;
///
/// let resolver = RecordingResolver::new();
/// let log = resolver.log();
/// let options = InstantiateOptions::new().with_import_resolver(resolver);
/// linker.instantiate_with(&mut Store::new(&engine, ()), &module, &options)?;
/// let [asked] = &log.imports()[..] else { panic!("one import") };
/// assert_eq!((asked.module.as_str(), asked.name.as_str()), ("env", "log"));
/// // The linker answered.
/// assert_eq!(asked.answer, ImportAnswer::Unresolved);
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordingResolver<T: 'static> {
    inner: ResolverChain<T>,
    log: ImportLog,
}

/// What a [`RecordingResolver`] wrote down. Clones are the same log; any thread may read it.
#[derive(Clone, Debug, Default)]
pub struct ImportLog(Arc<Mutex<Vec<RecordedImport>>>);

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedImport {
    /// The name of the instance that was to be; see [`ImportRequest::importer_name`].
    pub importer: Option<String>,
    /// The module asked for.
    pub module: String,
    /// The field of it.
    pub name: String,
    /// The type needed.
    pub ty: ExternType,
    /// What the resolver said.
    pub answer: ImportAnswer,
}

/// What a resolver said, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportAnswer {
    /// Something of this kind.
    Extern(ExternKind),
    /// An instance, with its name.
    Instance(Option<String>),
    /// Nothing.
    Unresolved,
    /// An error, with its text.
    Failed(String),
    /// It did not return: it is at work still, or panicked.
    Pending,
}

impl<T: 'static> RecordingResolver<T> {
    /// One that only writes down, and leaves all unresolved.
    pub fn new() -> RecordingResolver<T> {
        RecordingResolver { inner: ResolverChain::new(), log: ImportLog::default() }
    }

    /// One that passes requests on.
    pub fn wrapping(resolver: impl ImportResolver<T>) -> RecordingResolver<T> {
        RecordingResolver {
            inner: ResolverChain::new().or_else(resolver),
            log: ImportLog::default(),
        }
    }

    /// What it writes down, now and later.
    pub fn log(&self) -> ImportLog {
        self.log.clone()
    }
}

impl<T: 'static> Default for RecordingResolver<T> {
    fn default() -> Self {
        RecordingResolver::new()
    }
}

impl ImportLog {
    fn lock(&self) -> MutexGuard<'_, Vec<RecordedImport>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// All requests so far, in the order in which they were made: those of a module that a resolver
    /// instantiates come after the request that made it do so.
    pub fn imports(&self) -> Vec<RecordedImport> {
        self.lock().clone()
    }
}

impl<T: 'static> ImportResolver<T> for RecordingResolver<T> {
    fn resolve(
        &self,
        mut store: StoreContextMut<'_, T>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        let at = {
            let mut log = self.log.lock();
            log.push(RecordedImport {
                importer: request.importer_name().map(str::to_owned),
                module: request.module().to_owned(),
                name: request.name().to_owned(),
                ty: request.ty().clone(),
                answer: ImportAnswer::Pending,
            });
            log.len() - 1
        };
        let answered = self.inner.resolve(store.as_context_mut(), request);
        self.log.lock()[at].answer = match &answered {
            Ok(Resolution::Extern(item)) => ImportAnswer::Extern(item.kind()),
            Ok(Resolution::Instance(instance)) if instance.store == store.0.inner.id() => {
                ImportAnswer::Instance(instance.name(&store).map(str::to_owned))
            }
            Ok(Resolution::Instance(_)) => ImportAnswer::Instance(None),
            Ok(Resolution::Unresolved) => ImportAnswer::Unresolved,
            Err(error) => ImportAnswer::Failed(error.to_string()),
        };
        answered
    }
}
