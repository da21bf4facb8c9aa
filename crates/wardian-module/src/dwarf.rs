//! Source lines of code offsets, from the module's DWARF sections.

#[cfg(feature = "dwarf")]
mod metered;
#[cfg(feature = "dwarf")]
mod package;
#[cfg(feature = "dwarf")]
mod sections;
#[cfg(feature = "dwarf")]
mod shape;
#[cfg(feature = "dwarf")]
mod split;
#[cfg(all(test, feature = "dwarf"))]
mod tests;

#[cfg(not(feature = "dwarf"))]
mod absent;

#[cfg(not(feature = "dwarf"))]
pub use absent::Dwarf;
#[cfg(feature = "dwarf")]
pub use package::{Package, PackageError};
#[cfg(feature = "dwarf")]
pub use sections::Dwarf;
#[cfg(feature = "dwarf")]
pub use split::{SplitUnit, split_units};

use std::fmt;

/// Whether source lines of a module are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DebugInfo {
    /// The module has no debug information.
    #[default]
    Absent,
    /// There is some, and what it says is used.
    Present,
    /// The module is one of Go, whose lines are known where it calls. Elsewhere they are those of the nearest
    /// call: [`SourceLocation::approximate`].
    AtCalls,
    /// There is some, but it is broken.
    Unreadable,
    /// There is some, but reading it takes more time, memory or stack than a module of this size may cost.
    /// It is not used.
    TooComplex,
    /// There is some, but this build of Wardian does not read it: it was made without the feature `dwarf`.
    NotRead,
}

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// Function, demangled; with inlined code, the function that was inlined.
    pub function: Option<String>,
    /// Path of the file as the compiler recorded it.
    pub file: String,
    /// Line, from 1; absent if the compiler recorded none.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// Whether the place is that of something nearby: [`DebugInfo::AtCalls`].
    pub approximate: bool,
}

impl fmt::Display for DebugInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DebugInfo::Absent => "no debug information",
            DebugInfo::Present => "debug information",
            DebugInfo::AtCalls => "lines of Go code are exact at calls, approximate elsewhere",
            DebugInfo::Unreadable => "no debug information: unreadable",
            DebugInfo::TooComplex => "no debug information: too complex",
            DebugInfo::NotRead => "no debug information: this build does not read it",
        })
    }
}
