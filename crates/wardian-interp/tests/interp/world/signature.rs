//! Numbers of signatures.

use wardian_types::SubType;

/// A number that equal signatures have, and others hardly ever.
pub(super) fn signature(ty: &SubType) -> u32 {
    let mut hash = 7_u32;
    for byte in ty.to_string().bytes() {
        hash = hash.wrapping_mul(31).wrapping_add(byte.into());
    }
    hash
}
