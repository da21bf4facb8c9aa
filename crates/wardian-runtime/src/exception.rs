//! Exceptions on their way between guests and the embedder.

use crate::value::{Tag, Val};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// An exception: a tag, and the values that it carries. Cheap to clone.
#[derive(Clone)]
pub struct Exception(Arc<Carried>);

struct Carried {
    tag: Tag,
    values: Box<[Val]>,
    /// The tag's name in its module.
    name: Option<String>,
    /// What the embedding API shows of it, once it has.
    shown: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Exception {
    /// An exception with a tag and values. That they are of the tag's types is checked when it is thrown.
    pub fn new(tag: Tag, values: Box<[Val]>, name: Option<String>) -> Exception {
        Exception(Arc::new(Carried { tag, values, name, shown: OnceLock::new() }))
    }

    /// The same, with what the embedding API shows of it.
    pub fn of_embedder(tag: Tag, values: Box<[Val]>, shown: impl Any + Send + Sync) -> Exception {
        let shown: Box<dyn Any + Send + Sync> = Box::new(shown);
        Exception(Arc::new(Carried { tag, values, name: None, shown: OnceLock::from(shown) }))
    }

    /// Its tag.
    pub fn tag(&self) -> Tag {
        self.0.tag
    }

    /// The values that it carries.
    pub fn values(&self) -> &[Val] {
        &self.0.values
    }

    /// The tag's name in its module.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// What the embedding API shows of it, made once.
    pub fn shown<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> &T {
        let shown = self.0.shown.get_or_init(|| Box::new(make()));
        shown.downcast_ref().expect("one type of exceptions is shown")
    }
}

impl std::fmt::Debug for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exception").field("tag", &self.tag().index).finish_non_exhaustive()
    }
}
