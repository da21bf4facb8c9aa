//! What threads share, where the order of their steps is checked by a model: `models/` has another module of this name,
//! for the same source files.

pub(crate) use std::sync::atomic;
