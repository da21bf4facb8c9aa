//! Profiles: where guests spend time and memory.
//!
//! ```text
//!   sampling ─┐                              ┌─ pprof, firefox, folded, svg, html
//!   exact    ─┼─ StackTable ─ resolve ─ Profile
//!   memory   ─┘   places        names        └─ Summary ─ table, html
//! ```
//!
//! While guests run only places are counted; names and source lines are looked up once, at the end.

mod exact;
pub(crate) mod format;
pub(crate) mod kind;
mod memory;
pub(crate) mod model;
pub(crate) mod profiler;
mod resolve;
mod sampling;
mod script;
mod stacks;
pub(crate) mod summary;
mod tree;
