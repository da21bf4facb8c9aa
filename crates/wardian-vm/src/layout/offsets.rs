//! Offsets in small structs that compiled code uses.

/// Offsets in [`crate::layout::VmMemory`].
pub mod memory {
    /// [`crate::layout::VmMemory::base`]
    pub const BASE: i32 = 0;
    /// [`crate::layout::VmMemory::len`]
    pub const LEN: i32 = 8;
}

/// Offsets in [`crate::layout::VmTable`].
pub mod table {
    /// [`crate::layout::VmTable::base`]
    pub const BASE: i32 = 0;
    /// [`crate::layout::VmTable::len`]
    pub const LEN: i32 = 8;
}

/// Offsets in [`crate::layout::Listened`].
pub mod listened {
    /// [`crate::layout::Listened::body`]
    pub const BODY: i32 = 8;
}

/// Offsets in [`crate::layout::Noted`].
pub mod noted {
    /// [`crate::layout::Noted::caller`]
    pub const CALLER: i32 = 0;
    /// [`crate::layout::Noted::code`]
    pub const CODE: i32 = 8;
    /// [`crate::layout::Noted::ctx`]
    pub const CTX: i32 = 16;
}

/// Offsets in [`crate::layout::HostFunc`].
pub mod host_func {
    /// [`crate::layout::HostFunc::stub`]
    pub const STUB: i32 = 40;
}
