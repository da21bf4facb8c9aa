//! Data of a layer above that a layer below keeps.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What a layer above keeps with an object of a layer below, which does not know its type. So the engine's
/// configuration and modules hold listeners, which know stores.
#[derive(Clone, Default)]
pub struct Extension(Option<Arc<dyn Any + Send + Sync>>);

impl Extension {
    /// Keeps these data.
    pub fn new(data: impl Any + Send + Sync) -> Extension {
        Extension(Some(Arc::new(data)))
    }

    /// The data; none if there is none, or of another type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { "some" })
    }
}
