//! The object files of this process: the program and its shared libraries.

use crate::addr::CodeAddr;
use std::path::PathBuf;

/// An object file that is loaded.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// Its path; none of the program itself.
    pub path: Option<PathBuf>,
    /// What the linker has named the build, if it has: a hash of all of the object's contents.
    pub build_id: Option<Vec<u8>>,
}

/// The object in which an address lies; an empty one if there is none.
pub fn containing(address: CodeAddr) -> Object {
    crate::system::object_at(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_code_lies_in_an_object() {
        let here = containing(CodeAddr::of(containing as *const ()));
        let libc = containing(CodeAddr::of(libc::getpid as *const ()));
        assert!(here.path.is_none(), "the program has no path");
        assert!(libc.path.is_some() || cfg!(target_env = "musl"), "{libc:?}");
        assert_eq!(containing(CodeAddr::from_usize(1)).path, None);
    }
}
