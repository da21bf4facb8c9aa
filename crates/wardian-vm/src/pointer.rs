//! Addresses of functions, which code and layouts hold as numbers.

/// The address of a function, as something that a function pointer may be transmuted from: a number has no provenance,
/// and a function pointer needs that of its function.
///
/// ```
/// extern "C" fn double(n: u32) -> u32 { 2 * n }
///
/// let address = double as *const () as usize;
/// // SAFETY: the address of a function of this type.
/// let double: extern "C" fn(u32) -> u32 =
///     unsafe { std::mem::transmute(wardian_vm::pointer::to_function(address)) };
/// assert_eq!(double(4), 8);
/// ```
#[inline(always)]
pub fn to_function(address: usize) -> *const () {
    std::ptr::with_exposed_provenance(address)
}
