//! Wardian: a WebAssembly runtime that its embedder can see into and control.
//!
//! ```
//! use wardian::{Engine, Linker, Module, Store};
//!
//! let engine = Engine::default();
//! let module = Module::new(&engine, r#"
//!     (module
//!       (import "host" "greet" (func $greet (param i32)))
//!       (func (export "run") (call $greet (i32.const 7))))"#)?;
//! let mut linker = Linker::new(&engine);
//! linker.func_wrap("host", "greet", |mut caller: wardian::Caller<'_, Vec<i32>>, who: i32| {
//!     caller.data_mut().push(who);
//! })?;
//! let mut store = Store::new(&engine, Vec::new());
//! let instance = linker.instantiate(&mut store, &module)?;
//! instance.typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
//! assert_eq!(*store.data(), [7]);
//! # Ok::<(), wardian::Error>(())
//! ```
//!
//! # Phases
//!
//! A program passes through four phases. Each has a type for its options, and options of another phase do not
//! compile.
//!
//! 1. **Engine.** An [`Engine`] holds what all modules have in common: the kind of engine ([`EngineKind`]: interpreter,
//!    compiler, or both in tiers), the features of the language, limits of compilation. Its options are [`Config`].
//!    A process usually has one; it is shared between threads.
//! 2. **Compilation.** A [`Module`] is validated and made ready to run, once, from bytes or text. Its options are
//!    [`CompileOptions`]. Modules are shared between threads and stores.
//! 3. **Instantiation.** A [`Store`] owns instances, and the embedder's data of type `T`. A [`Linker`] resolves the
//!    imports of a module by name and makes an [`Instance`] in a store. The options are [`InstantiateOptions`]. A
//!    store is used by one thread at a time.
//! 4. **Call.** A [`Func`] or a [`TypedFunc`] is called with the store. The options of a single call, such as a
//!    deadline, are [`CallOptions`]. Host functions reach the store by [`Caller`].
//!
//! # Where to find what
//!
//! | task | start at |
//! |---|---|
//! | define host functions | [`Linker::func_wrap`], [`Func::wrap`]; asynchronous ones: [`Linker::func_wrap_async`] |
//! | read and write the memory of a guest | [`Memory`], and [`Caller::memory`] in a host function |
//! | call functions whose types are known at run time only | [`Func::call`] with [`Val`] |
//! | await a guest, on tokio or another executor | [`Func::call_async`], [`TypedFunc::call_async`] |
//! | end a guest: deadline, cancellation, fuel | [`CallOptions`], [`cancel::CancelToken`], [`Store::set_fuel`] |
//! | limit memory, tables and instances | [`limits::StoreLimits`], [`Store::limiter`] |
//! | find out why a call failed | [`Error`], [`ErrorKind`], [`Backtrace`] |
//! | observe every call | [`listener::FunctionListener`], [`Instance::attach`] |
//! | walk the stack of a guest | [`Caller::stack`], [`stack::StackIterator`] |
//! | sample where time goes | [`sampler::Sampler`]; profiles are made by the crate `wardian-observe` |
//! | return to an earlier point of a call | [`snapshot::Snapshotter`] |
//! | return a store to an earlier state | [`Store::image`], [`Store::reset_to`] |
//! | continue twice from one state | [`Store::fork`] |
//! | save a running guest, and resume it elsewhere | [`checkpoint::Checkpoint`], [`checkpoint::CheckpointRequest`] |
//! | supply the bytes of memories | [`allocator::MemoryAllocator`] |
//! | answer imports one by one | [`resolver::ImportResolver`] |
//! | be notified when an instance is closed | [`close::CloseNotifier`] |
//! | look into an instance, exported or not | [`inspect::InternalModule`] |
//! | structs and arrays of guests | [`gc::StructRef`], [`gc::ArrayRef`], [`gc::AnyRef`] |
//! | throw and catch exceptions of guests | [`Exception`], [`Tag`], [`Error::exception`] |
//! | keep what is hot, and what is called through tables and references, for the compiler | [`profile::ModuleProfile`] |
//! | keep machine code between runs | [`cache::DiskCache`], [`Module::serialize`] |
//! | give guests files, arguments, clocks | the crate `wardian-wasi` |
//!
//! The folder `docs` of the project has a page for each larger subject, and two for those who come from wasmtime or
//! from wazero.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `jit` | yes | the compiled engines; without it every engine interprets |
//! | `cache` | yes | [`cache::DiskCache`] |
//! | `demangle` | yes | names of functions of Rust and C++ as their authors wrote them |
//! | `dwarf` | yes | source lines in backtraces, profiles and traces |
//! | `wat` | yes | modules in the text format, wherever bytes of a module are accepted |
//!
//! Asynchronous host functions have no feature: they need no library.

pub mod allocator;
mod attach;
mod backtrace;
pub mod cache;
pub mod cancel;
pub mod checkpoint;
pub mod close;
mod config;
mod data;
mod definition;
mod engine;
mod error;
mod exception;
mod externs;
pub mod fork;
mod fuel;
mod func;
pub mod gc;
mod global;
mod handles;
mod host_def;
pub mod image;
pub mod inspect;
mod instance;
mod instance_pre;
pub mod limits;
mod linker;
pub mod listener;
mod memory;
#[cfg(test)]
mod memory_tests;
mod module;
mod options;
pub mod platform;
pub mod profile;
pub mod resolver;
pub mod sampler;
#[cfg(test)]
mod signature_tests;
pub mod snapshot;
pub mod stack;
mod store;
mod suggestions;
mod table;
mod tag;
pub mod testing;
pub mod types;
mod value;
mod wasm_ty;

pub use backtrace::{Backtrace, Frame};
pub use config::{Config, EngineKind};
pub use engine::Engine;
pub use error::{
    CheckpointError, CheckpointErrorKind, CompileError, Error, ErrorKind, LimitError, LimitKind,
    LinkProblem, Result, StopReason, UsageError, UsageKind,
};
pub use exception::Exception;
pub use func::{IntoFunc, TypedFunc};
pub use handles::{Extern, ExternRef, Func, Global, Instance, Memory, SharedMemory, Table, Tag};
pub use instance_pre::InstancePre;
pub use linker::Linker;
pub use module::{Module, Progress};
pub use options::{CallOptions, CompileOptions, InstantiateOptions};
pub use store::{AsContext, AsContextMut, Caller, Store, StoreContext, StoreContextMut};
pub use value::Val;
pub use wardian_module::DecodeError;
pub use wardian_runtime::call::suspend::HostFuture;
#[doc(inline)]
pub use wardian_runtime::error::MemoryAccess;
pub use wardian_types::{
    CoreFeatures, ExternKind, ExternType, FuncType, GlobalType, HeapType, MemoryType, RefType,
    TableType, TagType, TrapCode, ValType,
};
#[cfg(feature = "torture")]
#[doc(hidden)]
pub use wardian_vm::torture;
pub use wasm_ty::{HostParams, HostResults, WasmParams, WasmResults, WasmTy};

/// The example of the README is compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
