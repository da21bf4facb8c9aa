//! Observers of guests, made from Wardian's public hooks alone: anyone can write others in the same way.
//!
//! - [`TraceListener`] writes every call with its arguments, results and time, [`LogListener`] in the
//!   simplest way.
//! - With the features `tracing` and `metrics`: `SpanListener` makes each call a span of the crate
//!   `tracing`, `GuestMetrics` counts for the crate `metrics`.
//! - [`Profiler`] finds out where guests spend their time or memory, and gives a [`Profile`], which
//!   can be written in the formats of several tools.
//! - [`CoverageMap`] counts what a guest executes, by functions and source lines.
//! - [`TrapReport`] says how a guest came to trap, and [`CoreDump`] keeps what it had in memory.
//!
//! ```
//! use wardian::{Engine, Instance, Module, Store};
//! use wardian_observe::{Profiler, ProfilerOptions};
//!
//! let engine = Engine::default();
//! let module = Module::new(&engine, r#"(module $sums
//!     (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
//!     (func (export "run") (result i32)
//!         (call $add (call $add (i32.const 1) (i32.const 2)) (i32.const 4))))"#)?;
//! let mut store = Store::new(&engine, ());
//! let instance = Instance::new(&mut store, &module, &[])?;
//! let run = instance.typed_func::<(), i32>(&mut store, "run")?;
//!
//! let profiler = Profiler::new(ProfilerOptions::exact());
//! profiler.watch(&mut store, instance)?;
//! assert_eq!(run.call(&mut store, ())?, 7);
//! let profile = profiler.finish();
//!
//! let add = profile.summary().function("add").expect("it was called").clone();
//! assert_eq!(add.own[0], 2, "of two calls");
//! # Ok::<(), wardian::Error>(())
//! ```

mod coredump;
mod coverage;
mod debug_file;
mod library;
#[cfg(feature = "metrics")]
mod metrics;
mod near;
mod printable;
mod profile;
mod script;
mod sources;
#[cfg(feature = "tracing")]
mod spans;
mod symbols;
mod trace;
mod trap;
mod values;

pub use coredump::CoreDump;
pub use coverage::report::{BranchCoverage, CoverageReport, FileCoverage, FunctionCoverage, Share};
pub use coverage::{Counts, CoverageMap};
pub use debug_file::{
    DebugFileError, DebugFileReference, units_in_other_files, with_debug_file, with_split_units,
};
#[cfg(feature = "metrics")]
pub use metrics::{GuestMetrics, InstanceMetrics};
pub use near::near_names;
pub use printable::{escape_html, printable, shorten};
pub use profile::format::{Format, UnknownFormat};
pub use profile::kind::{ProfileKind, Unit, ValueType};
pub use profile::model::{
    Function, FunctionKind, Line, Location, Meta, Profile, Stack, TimelineSample,
};
pub use profile::profiler::{ProfileMark, Profiler, ProfilerOptions};
pub use profile::summary::{FunctionSummary, LineSummary, Summary};
pub use script::GuestFrames;
#[cfg(feature = "tracing")]
pub use spans::SpanListener;
pub use trace::background::BackgroundWriter;
pub use trace::buffer::TraceBuffer;
pub use trace::listener::{TraceEnd, TraceListener};
pub use trace::log::LogListener;
pub use trace::options::{TraceFormat, TraceOptions, UnknownTraceFormat};
pub use trace::summary::{TraceRow, TraceSummary};
pub use trap::TrapReport;
