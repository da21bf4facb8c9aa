//! Code of guests: where it lies, what an address in it means, what stands between two kinds of it.

pub mod artifact;
pub mod cache;
pub mod compiler;
pub mod glue;
pub mod interpreted;
#[cfg(feature = "native-debug")]
mod native_debug;
#[cfg(not(feature = "native-debug"))]
#[path = "native_debug/absent.rs"]
mod native_debug;
mod origin;
mod perf_dump;
mod perf_map;
pub mod registry;
pub mod signatures;
pub mod wrappers;

pub(crate) use native_debug::enable as enable_native_debug;
pub(crate) use perf_dump::open as open_perf_dump;
pub(crate) use perf_map::open as open_perf_map;
