//! Collections: asking for one, and seeing what they do.

use crate::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};
pub use wardian_vm::heap::HeapStats as GcStats;

impl<T: 'static> Store<T> {
    /// Frees the objects that neither guests nor the embedder hold, and the embedder's values that no guest holds.
    /// Collections come by themselves when the heap is full; this one is not stopped by a deadline.
    pub fn gc(&mut self) {
        self.as_context_mut().gc();
    }

    /// Size of the store's heap of objects, and its collections so far.
    pub fn gc_stats(&self) -> GcStats {
        self.as_context().gc_stats()
    }

    /// Calls `observer` after each collection of the store's heap, with what is known then. There is one observer at a time. It
    /// must not take long: a guest waits.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// # use wardian::{Engine, Store, gc::ArrayRefPre, types::{ArrayType, FieldType, StorageType}};
    /// static COUNT: AtomicU64 = AtomicU64::new(0);
    /// let mut store = Store::new(&Engine::default(), ());
    /// store.on_collection(|stats| COUNT.store(stats.collections, Ordering::Relaxed));
    /// # let bytes = ArrayType(FieldType { mutable: true, storage: StorageType::I8 });
    /// # ArrayRefPre::new(&mut store, bytes)?;
    /// store.gc();
    /// assert_eq!(COUNT.load(Ordering::Relaxed), 1);
    /// # Ok::<(), wardian::Error>(())
    /// ```
    pub fn on_collection(&mut self, observer: impl FnMut(&GcStats) + Send + Sync + 'static) {
        self.0.inner.observe_collections(Some(Box::new(observer)));
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::gc`]; also while guests wait for a host function.
    pub fn gc(&mut self) {
        self.0.inner.collect_garbage(true);
    }
}

impl<T: 'static> StoreContext<'_, T> {
    /// As [`Store::gc_stats`].
    pub fn gc_stats(&self) -> GcStats {
        self.0.inner.heap_stats()
    }
}
