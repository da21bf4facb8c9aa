//! Stores, and stores that are borrowed.

use crate::Engine;
use wasm_runtime_layer::backend::{
    AsContext, AsContextMut, WasmStore, WasmStoreContext, WasmStoreContextMut,
};

/// A store with the embedder's data.
pub struct Store<T: 'static> {
    engine: Engine,
    store: wardian::Store<T>,
}

impl<T: 'static> Store<T> {
    /// The store of Wardian.
    pub fn inner(&mut self) -> &mut wardian::Store<T> {
        &mut self.store
    }
}

impl<T: 'static> WasmStore<T, Engine> for Store<T> {
    fn new(engine: &Engine, data: T) -> Self {
        Store { engine: engine.clone(), store: wardian::Store::new(engine.inner(), data) }
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn data(&self) -> &T {
        self.store.data()
    }

    fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    fn into_data(self) -> T {
        self.store.into_data()
    }
}

impl<T: 'static> AsContext<Engine> for Store<T> {
    type UserState = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext::new(wardian::AsContext::as_context(&self.store))
    }
}

impl<T: 'static> AsContextMut<Engine> for Store<T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut::new(wardian::AsContextMut::as_context_mut(&mut self.store))
    }
}

/// A store that is borrowed to be read.
pub struct StoreContext<'a, T: 'static> {
    engine: Engine,
    store: wardian::StoreContext<'a, T>,
}

impl<'a, T: 'static> StoreContext<'a, T> {
    fn new(store: wardian::StoreContext<'a, T>) -> Self {
        StoreContext { engine: Engine::of(store.engine()), store }
    }

    /// The store of Wardian.
    pub fn inner(&self) -> &wardian::StoreContext<'a, T> {
        &self.store
    }
}

impl<'a, T: 'static> WasmStoreContext<'a, T, Engine> for StoreContext<'a, T> {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn data(&self) -> &T {
        self.store.data()
    }
}

impl<T: 'static> AsContext<Engine> for StoreContext<'_, T> {
    type UserState = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext::new(wardian::AsContext::as_context(&self.store))
    }
}

/// A store that is borrowed to be changed, or for calls.
pub struct StoreContextMut<'a, T: 'static> {
    engine: Engine,
    store: wardian::StoreContextMut<'a, T>,
}

impl<'a, T: 'static> StoreContextMut<'a, T> {
    pub(crate) fn new(store: wardian::StoreContextMut<'a, T>) -> Self {
        StoreContextMut { engine: Engine::of(store.engine()), store }
    }

    /// The store of Wardian.
    pub fn inner(&mut self) -> &mut wardian::StoreContextMut<'a, T> {
        &mut self.store
    }
}

impl<'a, T: 'static> WasmStoreContext<'a, T, Engine> for StoreContextMut<'a, T> {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn data(&self) -> &T {
        self.store.data()
    }
}

impl<'a, T: 'static> WasmStoreContextMut<'a, T, Engine> for StoreContextMut<'a, T> {
    fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }
}

impl<T: 'static> AsContext<Engine> for StoreContextMut<'_, T> {
    type UserState = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext::new(wardian::AsContext::as_context(&self.store))
    }
}

impl<T: 'static> AsContextMut<Engine> for StoreContextMut<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut::new(wardian::AsContextMut::as_context_mut(&mut self.store))
    }
}
