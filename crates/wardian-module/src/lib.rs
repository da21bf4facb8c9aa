//! From bytes to a validated module: types, imports, names, bodies, DWARF.
//!
//! [`Module::decode`] reads and validates a binary module; [`to_binary`] turns text into one.
//! Nothing here runs code or touches memory unsafely; malformed input gives a [`DecodeError`] with
//! the byte offset.

mod access;
mod callees;
mod complexity;
mod convert;
mod decode;
mod demangle;
mod dwarf;
mod error;
mod features;
mod fuel;
mod go;
mod info;
mod legacy;
mod liveness;
mod locals;
mod module;
mod names;
mod operands;
pub mod operators;
mod text;
mod validation;

pub use access::{MemoryOperator, stores};
pub use callees::{direct_callees, makes_tail_calls};
pub use complexity::Complexity;
pub use demangle::demangle;
pub use dwarf::{DebugInfo, Dwarf, SourceLocation};
#[cfg(feature = "dwarf")]
pub use dwarf::{Package, PackageError, SplitUnit, split_units};
pub use error::DecodeError;
pub use fuel::FuelMeter;
pub use go::{GoAddr, GoCall};
pub use info::{
    ConstExpr, ConstOp, CustomSection, DataSegment, ElementItems, ElementSegment, Export, Import,
    ItemIndex, ModuleInfo, Section, SegmentMode,
};
pub use legacy::{LegacyCatch, LegacyTry, legacy_tries};
pub use liveness::{Liveness, ReadIndex};
pub use locals::local_types;
pub use module::Module;
pub use names::{Names, unnamed};
pub use operands::{Called, Operands, OperatorTypes, engine_type};
pub use text::to_binary;

/// Names of the features that a binary module needs and that Wardian does not have. None if it is invalid
/// also with all features that are known.
///
/// This validates the module several times: for tools, not for hot paths.
pub fn unsupported_features(bytes: &[u8]) -> Vec<String> {
    features::foreign(|set| decode::is_valid(bytes, set))
}
