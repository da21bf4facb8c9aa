//! The types of things that can be imported and exported.

use crate::{FuncType, RefType, ValType};
use std::fmt;

/// The type of an import or export (core specification, "External Types").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table of references.
    Table(TableType),
    /// A linear memory.
    Memory(MemoryType),
    /// A global variable.
    Global(GlobalType),
    /// A tag of exceptions.
    Tag(TagType),
}

/// The kind of an import or export, without its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExternKind {
    /// A function.
    Func,
    /// A table.
    Table,
    /// A linear memory.
    Memory,
    /// A global variable.
    Global,
    /// A tag of exceptions.
    Tag,
}

/// The type of a linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    /// Initial size in pages.
    pub min: u64,
    /// Size in pages that the memory never exceeds.
    pub max: Option<u64>,
    /// Whether addresses are 64-bit (memory64).
    pub memory64: bool,
    /// Whether several threads may use it (threads).
    pub shared: bool,
    /// Base-2 logarithm of the page size in bytes: 16, or 0 with custom page sizes.
    pub page_size_log2: u8,
}

impl MemoryType {
    /// A 32-bit, unshared memory with 64 KiB pages.
    pub const fn new(min: u64, max: Option<u64>) -> MemoryType {
        MemoryType { min, max, memory64: false, shared: false, page_size_log2: 16 }
    }

    /// Bytes in one page of this memory; of a type that no memory has, a number for messages.
    pub const fn page_size(&self) -> u64 {
        if self.page_size_log2 < 64 { 1 << self.page_size_log2 } else { u64::MAX }
    }

    /// The type's own upper bound in pages: its maximum, or what its addresses can reach.
    pub fn max_pages(&self) -> u64 {
        let reach = match (self.memory64, self.page_size_log2) {
            // One more page of one byte would fit, but `memory.size` could not return that size.
            (false, 0) => u64::from(u32::MAX),
            (false, log2) => 1u64 << 32u32.saturating_sub(log2.into()),
            (true, 0) => u64::MAX,
            (true, log2) => 1u64 << 64u32.saturating_sub(log2.into()),
        };
        self.max.map_or(reach, |m| m.min(reach))
    }
}

/// The type of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    /// What the elements are.
    pub element: RefType,
    /// Initial number of elements.
    pub min: u64,
    /// Number of elements that the table never exceeds.
    pub max: Option<u64>,
    /// Whether indices are 64-bit (memory64).
    pub table64: bool,
}

/// The type of a global variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    /// The type of its value.
    pub content: ValType,
    /// Whether it can be set.
    pub mutable: bool,
}

/// The type of a tag: of the values that exceptions with this tag carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagType {
    /// A signature whose parameters are the values; it has no results.
    pub ty: FuncType,
}

impl TagType {
    /// The type of tags whose exceptions carry these values.
    pub fn new(values: impl IntoIterator<Item = ValType>) -> TagType {
        TagType { ty: FuncType::new(values, []) }
    }

    /// The types of the values that exceptions carry, in order.
    pub fn values(&self) -> &[ValType] {
        self.ty.params()
    }
}

impl ExternType {
    /// The kind of this type.
    pub fn kind(&self) -> ExternKind {
        match self {
            ExternType::Func(_) => ExternKind::Func,
            ExternType::Table(_) => ExternKind::Table,
            ExternType::Memory(_) => ExternKind::Memory,
            ExternType::Global(_) => ExternKind::Global,
            ExternType::Tag(_) => ExternKind::Tag,
        }
    }
}

impl fmt::Display for ExternKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExternKind::Func => "function",
            ExternKind::Table => "table",
            ExternKind::Memory => "memory",
            ExternKind::Global => "global",
            ExternKind::Tag => "tag",
        })
    }
}

fn limits(f: &mut fmt::Formatter<'_>, min: u64, max: Option<u64>) -> fmt::Result {
    match max {
        Some(max) => write!(f, "{min}..={max}"),
        None => write!(f, "{min}.."),
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory ")?;
        limits(f, self.min, self.max)?;
        if self.page_size_log2 == 16 {
            f.write_str(" pages")?;
        } else {
            write!(f, " pages of {} bytes", self.page_size())?;
        }
        if self.memory64 {
            f.write_str(", 64-bit")?;
        }
        if self.shared {
            f.write_str(", shared")?;
        }
        Ok(())
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table of {} ", self.element)?;
        limits(f, self.min, self.max)?;
        if self.table64 { f.write_str(", 64-bit") } else { Ok(()) }
    }
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "global {}{}", if self.mutable { "mut " } else { "" }, self.content)
    }
}

impl fmt::Display for TagType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tag (")?;
        for (i, ty) in self.values().iter().enumerate() {
            write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternType::Func(t) => write!(f, "function {t}"),
            ExternType::Table(t) => t.fmt(f),
            ExternType::Memory(t) => t.fmt(f),
            ExternType::Global(t) => t.fmt(f),
            ExternType::Tag(t) => t.fmt(f),
        }
    }
}
