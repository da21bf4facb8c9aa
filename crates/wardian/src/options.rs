//! Options of instantiation. Each capability's own file says what its option does.

use crate::MemoryAllocator;
use std::marker::PhantomData;
use std::sync::Arc;

/// How an instance is made, beyond its module and its imports: see
/// [`crate::Linker::instantiate_with`] and [`crate::Instance::new_with`].
///
/// It belongs to no store, and can be used again and again.
pub struct InstantiateOptions<T: 'static> {
    pub(crate) name: Option<String>,
    pub(crate) allocator: Option<Arc<dyn MemoryAllocator>>,
    data: PhantomData<fn(T)>,
}

impl<T> Default for InstantiateOptions<T> {
    fn default() -> Self {
        InstantiateOptions::new()
    }
}

impl<T> Clone for InstantiateOptions<T> {
    fn clone(&self) -> Self {
        InstantiateOptions {
            name: self.name.clone(),
            allocator: self.allocator.clone(),
            data: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for InstantiateOptions<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstantiateOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T> InstantiateOptions<T> {
    /// No options: what [`crate::Linker::instantiate`] uses.
    pub fn new() -> InstantiateOptions<T> {
        InstantiateOptions { name: None, allocator: None, data: PhantomData }
    }

    /// The instance's name, for people: shown by listeners and inspection. Without it the module's
    /// own name stands.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}
