//! Compiled code that is kept between processes.

pub use super::origin::CodeKey;
pub use wardian_vm::compiled::CompiledCode;

/// Keeps compiled code between processes.
///
/// # Safety
///
/// What [`CodeCache::get`] returns is machine code that will be run with all the rights of the process, and
/// the module that it belongs to is not validated again. So `get` must only return what [`CodeCache::put`]
/// was given under the same key, by this or another process, unchanged. An implementation keeps the bytes
/// where nobody else can write them, or authenticates them.
///
/// Code under a wrong key is found out by its [origin](CompiledCode::origin), and not used.
#[allow(unsafe_code, reason = "declares an obligation")]
pub unsafe trait CodeCache: Send + Sync {
    /// The code that was kept under this key, if it is there and whole.
    fn get(&self, key: &CodeKey) -> Option<CompiledCode>;
    /// Keeps code. Failing is no error: then it is compiled again.
    fn put(&self, key: &CodeKey, code: &CompiledCode);
}
