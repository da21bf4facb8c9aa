//! What profiles measure.

use std::fmt;

/// How a profile is made, and so what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProfileKind {
    /// Looks at regular times where guests are.
    Sampling,
    /// Sees every call.
    Exact,
    /// Sees what guests allocate.
    Memory,
}

/// A quantity of a profile. Its name is the one that pprof uses for the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueType {
    /// The name.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
}

/// What a quantity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Things.
    Count,
    /// Time.
    Nanoseconds,
    /// Memory.
    Bytes,
}

/// The most quantities that a profile has.
pub(crate) const MAX_VALUES: usize = 5;

const fn value(name: &'static str, unit: Unit) -> ValueType {
    ValueType { name, unit }
}

impl ProfileKind {
    /// The quantities of such profiles, in the order in which stacks have them.
    pub fn value_types(self) -> &'static [ValueType] {
        match self {
            ProfileKind::Sampling => {
                const {
                    &[
                        value("samples", Unit::Count),
                        value("wall", Unit::Nanoseconds),
                        value("cpu", Unit::Nanoseconds),
                    ]
                }
            }
            ProfileKind::Exact => {
                const { &[value("calls", Unit::Count), value("time", Unit::Nanoseconds)] }
            }
            ProfileKind::Memory => {
                const {
                    &[
                        value("alloc_objects", Unit::Count),
                        value("alloc_space", Unit::Bytes),
                        value("inuse_objects", Unit::Count),
                        value("inuse_space", Unit::Bytes),
                        value("grown_space", Unit::Bytes),
                    ]
                }
            }
        }
    }

    /// Where among them the one is that is shown unless another is asked for.
    pub(crate) fn main_value(self) -> usize {
        1
    }
}

impl fmt::Display for ProfileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProfileKind::Sampling => "sampling",
            ProfileKind::Exact => "exact",
            ProfileKind::Memory => "memory",
        })
    }
}

impl Unit {
    /// The name by which tools know it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Count => "count",
            Unit::Nanoseconds => "nanoseconds",
            Unit::Bytes => "bytes",
        }
    }

    /// A value for people, in at most ten characters.
    pub fn show(self, value: u64) -> String {
        match self {
            Unit::Count => value.to_string(),
            Unit::Bytes => bytesize::ByteSize(value).display().iec().to_string(),
            Unit::Nanoseconds => {
                let ns = value as f64;
                match value {
                    0 => "0".to_owned(),
                    1..1_000 => format!("{value}ns"),
                    1_000..1_000_000 => format!("{:.1}us", ns / 1e3),
                    1_000_000..1_000_000_000 => format!("{:.1}ms", ns / 1e6),
                    _ => format!("{:.2}s", ns / 1e9),
                }
            }
        }
    }
}
