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

mod access;
mod allocator;
mod artifact;
mod attach;
mod backtrace;
mod cache;
mod cancel;
mod checkpoint;
mod close;
mod code;
mod config;
mod definition;
mod doubles;
mod engine;
mod error;
mod exception;
mod externs;
mod fork;
mod fuel;
mod func;
mod gc;
mod global;
mod image;
mod images;
mod inspect;
mod instance;
mod instance_pre;
mod interpreted;
mod jit;
mod limits;
mod link;
mod linker;
mod listener;
mod memory;
mod module;
mod options;
mod origin;
mod perf_map;
mod raw;
mod resolver;
mod sampler;
mod snapshot;
mod stack;
mod store;
mod suggestions;
mod table;
mod tag;
mod tier;
mod type_names;
mod value;
mod wrappers;

pub use access::MemoryAccess;
pub use allocator::{MemoryAllocator, MemoryAllocatorFunc, MemoryRequest, PoolingAllocator};
pub use artifact::is_artifact;
pub use attach::{Attachment, FunctionFilter};
pub use backtrace::{Backtrace, Frame};
pub use cache::DiskCache;
pub use cancel::{CancelToken, Interrupt, RepeatableInterrupt, WakeFd};
pub use checkpoint::{
    AfterCheckpoint, Checkpoint, CheckpointDiff, CheckpointFrame, CheckpointIndex, CheckpointItem,
    CheckpointModule, CheckpointOptions, CheckpointReader, CheckpointRequest, CheckpointValue,
    FramesDiff, GlobalDiff, MemoryDiff, PendingCall, ReadOptions, ResumeOptions, Resumed,
    TableDiff, is_checkpoint,
};
pub use close::{CloseNotifier, CloseNotifyFunc, ClosingInstance, InstanceCloser};
pub use config::{Checkpoints, Config, EngineKind};
pub use definition::FunctionDefinition;
pub use doubles::{TestFunction, TestModule};
pub use engine::Engine;
pub use error::{Error, ErrorKind, LinkProblem, Result, StopReason};
pub use exception::Exception;
pub use externs::Extern;
pub use fork::{Counterparts, Fork, Handle};
pub use func::{Func, IntoFunc, TypedFunc};
pub use gc::{AnyRef, ArrayRef, ArrayRefPre, EqRef, GcStats, I31, StructRef, StructRefPre};
pub use global::Global;
pub use image::Image;
pub use inspect::{InternalModule, InternalModuleMut, MemoryView, ObjectView};
pub use instance::Instance;
pub use instance_pre::InstancePre;
pub use jit::CompiledCode;
pub use limits::{ResourceLimiter, StoreLimits};
pub use linker::Linker;
pub use listener::{
    AbortReason, Call, FunctionListener, FunctionListenerFactory, FunctionListenerFactoryFunc,
    FunctionListenerFunc, MultiFunctionListenerFactory, benchmark_function_listener,
};
pub use memory::{Memory, SharedMemory};
pub use module::{CodeCache, Module, Progress};
pub use options::{CallOptions, CompileOptions, InstantiateOptions};
pub use origin::CodeKey;
pub use raw::suspend::HostFuture;
pub use resolver::{
    ImportAnswer, ImportLog, ImportRequest, ImportResolver, RecordedImport, RecordingResolver,
    Resolution, ResolverChain, TrapStubs, UndefinedImport,
};
pub use sampler::{
    Chain, RawFrame, ResolvedSample, Sample, SampledFrame, SampledMemory, Sampler, SamplerOptions,
    Samples,
};
pub use snapshot::{Snapshot, Snapshotter};
pub use stack::{InternalFunction, ProgramCounter, StackFrame, StackIterator, new_stack_iterator};
pub use store::{AsContext, AsContextMut, Caller, Store, StoreContext, StoreContextMut};
pub use table::Table;
pub use tag::Tag;
pub use value::{ExternRef, HostParams, HostResults, Val, WasmParams, WasmResults, WasmTy};
pub use wardian_module::{DebugInfo, DecodeError, ItemIndex, ModuleInfo, SourceLocation, demangle};
pub use wardian_types::{
    ArrayType, CompositeType, CoreFeatures, ExternKind, ExternType, FieldType, FuncType,
    GlobalType, HeapType, Hierarchy, MemoryType, RefType, StorageType, StructType, SubType,
    TableType, TagType, TrapCode, TypeIndex, TypeKind, ValType,
};
pub use wardian_vm::memory::{
    FileMemory, FixedMemory, GuardedMemory, LinearMemory, Reservation, VecMemory,
};
pub use wardian_vm::probe::{Ability, abilities};
#[cfg(feature = "torture")]
#[doc(hidden)]
pub use wardian_vm::torture;

/// The example of the README is compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
