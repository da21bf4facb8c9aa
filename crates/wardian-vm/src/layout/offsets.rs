//! Offsets in small structs that compiled code uses.

use super::{HostFunc, Listened, Noted, VmFunc, VmMemory, VmTable};
use std::mem::offset_of;

/// Offsets in [`crate::layout::VmFunc`] and [`crate::layout::VmImport`]; both begin with code and context.
pub mod func {
    use super::{VmFunc, offset_of};
    /// Code address.
    pub const CODE: i32 = offset_of!(VmFunc, code) as i32;
    /// Context to pass.
    pub const CTX: i32 = offset_of!(VmFunc, ctx) as i32;
    /// [`crate::layout::VmFunc::sig`]
    pub const SIG: i32 = offset_of!(VmFunc, sig) as i32;
    /// [`crate::layout::VmFunc::index`]: one less than the handle that objects hold.
    pub const INDEX: i32 = offset_of!(VmFunc, index) as i32;
    /// [`crate::layout::VmFunc::handle`]
    pub const HANDLE: i32 = offset_of!(VmFunc, handle) as i32;
    /// [`crate::layout::VmFunc::identity`]
    pub const IDENTITY: i32 = offset_of!(VmFunc, identity) as i32;
}

/// Offsets in [`crate::layout::VmMemory`].
pub mod memory {
    use super::{VmMemory, offset_of};
    /// [`crate::layout::VmMemory::base`]
    pub const BASE: i32 = offset_of!(VmMemory, base) as i32;
    /// [`crate::layout::VmMemory::len`]
    pub const LEN: i32 = offset_of!(VmMemory, len) as i32;
}

/// Offsets in [`crate::layout::VmTable`].
pub mod table {
    use super::{VmTable, offset_of};
    /// [`crate::layout::VmTable::base`]
    pub const BASE: i32 = offset_of!(VmTable, base) as i32;
    /// [`crate::layout::VmTable::len`]
    pub const LEN: i32 = offset_of!(VmTable, len) as i32;
}

/// Offsets in [`crate::layout::Listened`].
pub mod listened {
    use super::{Listened, offset_of};
    /// [`crate::layout::Listened::body`]
    pub const BODY: i32 = offset_of!(Listened, body) as i32;
}

/// Offsets in [`crate::layout::Noted`].
pub mod noted {
    use super::{Noted, offset_of};
    /// [`crate::layout::Noted::caller`]
    pub const CALLER: i32 = offset_of!(Noted, caller) as i32;
    /// [`crate::layout::Noted::code`]
    pub const CODE: i32 = offset_of!(Noted, code) as i32;
    /// [`crate::layout::Noted::ctx`]
    pub const CTX: i32 = offset_of!(Noted, ctx) as i32;
}

/// Offsets in [`crate::layout::HostFunc`].
pub mod host_func {
    use super::{HostFunc, offset_of};
    /// [`crate::layout::HostFunc::stub`]
    pub const STUB: i32 = offset_of!(HostFunc, stub) as i32;
}
