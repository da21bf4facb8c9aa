//! The compiled part of the Python package `wardian`: what is in `python/wardian` imports it.
//!
//! ```text
//!   Python                          Rust
//!   Store           ────────>       Arc<Shared>: the store, who uses it now, and the callbacks of its functions
//!   Caller          ────────>       Weak<Shared>, of use while the host function runs
//!   Func, Memory …  ────────>       the number of the store, and the runtime's own handle: they keep nothing alive
//! ```
//!
//! The GIL is released while a guest runs (`guest.rs`), and taken again for callbacks (`callback.rs`) and for coroutines that
//! guests wait for (`coroutine.rs`). Who uses a store is decided in `lease.rs` and `lease/waiting.rs`, the only files with
//! unsafe code beside `signals.rs` and `allocator.rs`.

mod allocator;
mod asynchronous;
mod callback;
mod caller;
mod checkpoint;
mod coroutine;
mod engine;
mod error;
mod fork;
mod func;
mod guest;
mod instance;
mod items;
mod lease;
mod linker;
mod listener;
mod memory;
mod module;
mod options;
mod profile;
mod registry;
mod signals;
mod snapshot;
mod store;
mod threads;
mod types;
mod value;
mod wasi;

use pyo3::prelude::*;

#[pymodule]
mod _wardian {
    #[pymodule_export]
    use super::{
        allocator::{MemoryAllocator, Request},
        asynchronous::_AsyncCall,
        caller::Caller,
        checkpoint::{Checkpoint, Resumed},
        engine::{Config, Engine},
        error::Frame,
        fork::{Fork, Image},
        func::Func,
        guest::_end,
        instance::{Instance, InstanceCloser},
        items::{Global, Table},
        linker::Linker,
        listener::{Attachment, Call},
        memory::Memory,
        module::Module,
        options::ImportRequest,
        profile::{Profile, Profiler},
        signals::{_forked, interrupt_on},
        snapshot::Snapshot,
        store::{CancelToken, Store},
        threads::WasiThreads,
        types::{
            ExportType, FuncType, GlobalType, ImportType, Limits, MemoryType, TableType, ValType,
        },
        value::Ref,
        wasi::{Output, WasiConfig},
    };
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        if !super::signals::is_main_interpreter(module.py()) {
            let why = "wardian cannot be imported in a sub-interpreter";
            return Err(pyo3::exceptions::PyImportError::new_err(why));
        }
        let end = module.getattr("_end")?;
        module.py().import("atexit")?.call_method1("register", (end,))?;
        let options = pyo3::types::PyDict::new(module.py());
        options.set_item("after_in_child", module.getattr("_forked")?)?;
        module.py().import("os")?.call_method("register_at_fork", (), Some(&options))?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
