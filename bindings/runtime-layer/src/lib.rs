//! Wardian as a backend of [`wasm_runtime_layer`].
//!
//! ```text
//!   wasm_runtime_layer::Engine<Engine> ──> Engine, Module            (this crate: wrappers, and conversions
//!   wasm_runtime_layer::Store<T, Engine> ──> Store, contexts          of types and values between both)
//!   wasm_runtime_layer::Instance, Func … ──> Instance, Func …
//! ```
#![doc = include_str!("../README.md")]

mod convert;
mod items;
mod module;
mod store;

pub use items::{ExternRef, Func, Global, Memory, Table};
pub use module::{Instance, Module};
pub use store::{Store, StoreContext, StoreContextMut};

use wasm_runtime_layer::backend::WasmEngine;

/// An engine of Wardian's. Cheap to clone; clones are the same engine.
#[derive(Clone, Debug, Default)]
pub struct Engine(wardian::Engine);

impl Engine {
    /// The engine of Wardian.
    pub fn inner(&self) -> &wardian::Engine {
        &self.0
    }

    /// An engine by reference, as stores lend it.
    fn of(engine: &wardian::Engine) -> Engine {
        Engine(engine.clone())
    }
}

impl From<wardian::Engine> for Engine {
    fn from(engine: wardian::Engine) -> Engine {
        Engine(engine)
    }
}

impl WasmEngine for Engine {
    type ExternRef = ExternRef;
    type Func = Func;
    type Global = Global;
    type Instance = Instance;
    type Memory = Memory;
    type Module = Module;
    type Store<T: 'static> = Store<T>;
    type StoreContext<'a, T: 'static> = StoreContext<'a, T>;
    type StoreContextMut<'a, T: 'static> = StoreContextMut<'a, T>;
    type Table = Table;
}
