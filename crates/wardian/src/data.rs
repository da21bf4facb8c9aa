//! What a store has of the embedder's: data, and what the runtime asks before it does something.

use crate::limits::ResourceLimiter;
use crate::{Engine, Result};
use wardian_runtime::checkpoint::Standing;
use wardian_runtime::limiter::Limiter;
use wardian_runtime::store::inner::Embedder;

/// A store of the runtime's with the embedder's data.
pub(crate) type StoreData<T> = wardian_runtime::store::inner::StoreData<Data<T>>;

/// Gives the limiter in the embedder's data.
pub(crate) type LimiterOf<T> =
    Box<dyn (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static>;

/// Gives the state of the embedder's that checkpoints have, by name.
pub(crate) type HostStateOf<T> =
    Box<dyn (FnMut(&mut T) -> Result<Vec<(String, Vec<u8>)>>) + Send + Sync + 'static>;

/// Asked when fuel runs out.
pub(crate) type RefuelOf<T> = Box<dyn (FnMut(&mut T) -> Option<u64>) + Send + Sync + 'static>;

/// The embedder's data, with what goes through them.
pub(crate) struct Data<T: 'static> {
    pub(crate) limiter: Option<LimiterOf<T>>,
    pub(crate) refuel: Option<RefuelOf<T>>,
    pub(crate) host_state: Option<HostStateOf<T>>,
    engine: Engine,
    pub(crate) data: T,
}

impl<T: 'static> Data<T> {
    pub(crate) fn new(engine: &Engine, data: T) -> Data<T> {
        Data { limiter: None, refuel: None, host_state: None, engine: engine.clone(), data }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The limiter, which there is.
    fn asked(&mut self) -> &mut dyn ResourceLimiter {
        let limiter = self.limiter.as_mut().expect("it is asked only if there is one");
        limiter(&mut self.data)
    }
}

impl<T: 'static> Embedder for Data<T> {
    fn limiter(&mut self) -> Option<&mut dyn Limiter> {
        if self.limiter.is_some() { Some(self) } else { None }
    }

    fn refuel(&mut self) -> Option<u64> {
        self.refuel.as_mut().and_then(|refuel| refuel(&mut self.data))
    }

    fn serve_checkpoints(
        store: &mut StoreData<T>,
        standing: Standing,
    ) -> wardian_runtime::Result<()> {
        crate::checkpoint::serve(store, standing)
    }
}

/// Asks the limiter in the embedder's data.
impl<T: 'static> Limiter for Data<T> {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wardian_runtime::Result<bool> {
        Ok(self.asked().memory_growing(current, desired, maximum)?)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wardian_runtime::Result<bool> {
        Ok(self.asked().table_growing(current, desired, maximum)?)
    }

    fn memory_grow_failed(&mut self, current: usize, desired: usize) {
        self.asked().memory_grow_failed(current, desired);
    }

    fn memory_shrunk(&mut self, current: usize, left: usize) {
        self.asked().memory_shrunk(current, left);
    }

    fn table_grow_failed(&mut self, current: usize, desired: usize) {
        self.asked().table_grow_failed(current, desired);
    }

    fn table_shrunk(&mut self, current: usize, left: usize) {
        self.asked().table_shrunk(current, left);
    }

    fn instances(&mut self) -> usize {
        self.asked().instances()
    }

    fn memories(&mut self) -> usize {
        self.asked().memories()
    }

    fn tables(&mut self) -> usize {
        self.asked().tables()
    }
}
