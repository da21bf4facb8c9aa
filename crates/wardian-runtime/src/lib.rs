//! The runtime of Wardian, below the embedding API: what is loaded, what runs it, and what its embedder may do with it.
//!
//! | module | subject |
//! |---|---|
//! | [`error`] | what can go wrong, as data |
//! | [`extension`] | data of a layer above that one below keeps |
//! | [`ids`] | what identifies the parts of a store |
//! | [`value`], [`exception`] | values, and what they refer to |
//! | [`limiter`] | what a store may use, as the embedder decides |
//! | [`settings`] | how an engine works |
//! | [`profile`] | what the functions of a module did in the interpreter, as data |
//! | [`code`] | compiled code and bytecode: in memory, by address, as bytes; trampolines and wrappers; signatures |
//! | [`module`] | a module at run time: its code, images of its memories, its tiers |
//! | [`engine`] | what all modules and stores have in common |
//! | [`store`] | what a store consists of, one file for each part; [`store::inner`] is the store |
//! | [`gc`] | objects of guests, and their collection |
//! | [`instance`] | checks of imports, instantiation; memories, tables and globals |
//! | [`call`] | calls in both directions, what happens during them, how they end |
//! | [`listen`] | listeners: attaching them, notifying them |
//! | [`snapshot`] | snapshots of guests, images of stores |
//! | [`checkpoint`] | a store and its guest as data, and back |
//! | [`stack`] | walking a guest's stack, backtraces, samples |
//!
//! A module knows those above it in this table; parts of a store do not know the store.
//!
//! ```text
//!   StoreData<T> ── inner: StoreInner ── ctx ──> StoreCtx <── every instance, every host function
//!        ^                   │                      │ owner, while a guest runs
//!        └───────────────────┼──────────────────────┘
//!                            ├── instances ──> vmctx (see wardian_vm::layout)
//!                            ├── memories, tables
//!                            └── funcs: VmFunc records, which references point to
//! ```
//!
//! **Invariants.** What compiled code or a reference may point to (vmctx, `VmFunc`, `HostFunc`,
//! globals, table and memory bounds) is allocated once, never moves, and lives as long as its
//! store. A `StoreInner` is reached either through `&mut StoreData`, or, while a guest runs, through
//! `StoreCtx::owner`, which is derived from the very `&mut` that the call into the guest holds.
//!
//! Nothing here knows the embedding API. The crate is for `wardian` alone: its interface follows the needs of that one,
//! and may change in any version.
//!
//! **What is trusted.** `wardian` has no unsafe code, so most functions check what memory safety needs: a call compares
//! its values with the types of the function ([`StoreData::call_values`]), a typed call the Rust types with those of the
//! handle, and a function, a global, a snapshot or an image belongs to the store or is refused. These safe functions do
//! not check, and rely on their caller:
//!
//! | function | what the caller has seen to |
//! |---|---|
//! | [`StoreData::instantiate`], [`StoreData::prepare_instance`] | the imports are what [`instance::link::check`] or [`instance::link::resolved`] returned for the same store and module |
//! | [`StoreInner::take_snapshot`], [`StoreInner::can_snapshot`] | the host function of the call has not returned |
//! | [`StoreInner::request_restore`] | [`StoreInner::check_restore`] accepted the snapshot, in the same call of the host; the results are slots for its types, with references of this store |
//! | [`TableData::elements_mut`] | each element is one that [`StoreInner::element`] made for the type of the table |
//! | [`StoreInner::instance_global`] and other look-ups by index | the index is one of that store or module: another one panics or finds another item |
//! | [`StoreData::inner`], [`StoreInner::memory_mut`], [`StoreInner::table_mut`] | what they give is not exchanged for that of another store |
//!
//! [`StoreData::call_values`]: store::inner::StoreData::call_values
//! [`StoreData::instantiate`]: store::inner::StoreData::instantiate
//! [`StoreData::prepare_instance`]: store::inner::StoreData::prepare_instance
//! [`StoreData::inner`]: store::inner::StoreData::inner
//! [`StoreInner::memory_mut`]: store::inner::StoreInner::memory_mut
//! [`StoreInner::table_mut`]: store::inner::StoreInner::table_mut
//! [`StoreInner::take_snapshot`]: store::inner::StoreInner::take_snapshot
//! [`StoreInner::can_snapshot`]: store::inner::StoreInner::can_snapshot
//! [`StoreInner::request_restore`]: store::inner::StoreInner::request_restore
//! [`StoreInner::check_restore`]: store::inner::StoreInner::check_restore
//! [`StoreInner::element`]: store::inner::StoreInner::element
//! [`StoreInner::instance_global`]: store::inner::StoreInner::instance_global
//! [`TableData::elements_mut`]: store::table::TableData::elements_mut

pub mod call;
pub mod checkpoint;
pub mod code;
pub mod engine;
pub mod error;
pub mod exception;
pub mod extension;
pub mod gc;
pub mod ids;
pub mod instance;
pub mod limiter;
pub mod listen;
pub mod module;
pub mod profile;
pub mod settings;
pub mod snapshot;
pub mod stack;
pub mod store;
mod sync;
pub mod value;

pub use engine::Engine;
pub use error::{Error, ErrorKind, Result};
