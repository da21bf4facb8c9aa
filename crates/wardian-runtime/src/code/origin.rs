//! What machine code was made from: the module, the engine's settings, and the build of Wardian.

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::MemoryVariant;

/// A revision of what is hashed.
const REVISION: &str = "wardian code origin 1";

/// Names all that the machine code of a module depends on: the module's bytes, the engine's settings, the
/// kind of memories that the code is for, and the build of Wardian that made it. Code with another key must
/// not be run for that module: see [`crate::code::cache::CodeCache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeKey(blake3::Hash);

impl CodeKey {
    /// The key of a module's code, for an engine with this fingerprint.
    #[doc(hidden)]
    pub fn new(fingerprint: &str, module: &[u8], variant: MemoryVariant) -> CodeKey {
        let mut hasher = blake3::Hasher::new();
        let variant: &[u8] = match variant {
            MemoryVariant::Guarded => b"guarded",
            MemoryVariant::Checked => b"checked",
        };
        let parts = [
            REVISION.as_bytes(),
            env!("CARGO_PKG_VERSION").as_bytes(),
            build().as_bytes(),
            fingerprint.as_bytes(),
            variant,
            module,
        ];
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        CodeKey(hasher.finalize())
    }

    /// The key of the same code in the cache of an engine that validates functions when they are first called. Other engines
    /// take an entry as proof that the module is valid, which such an entry does not give.
    #[doc(hidden)]
    pub fn of_lazily_validated(&self) -> CodeKey {
        CodeKey(blake3::keyed_hash(self.as_bytes(), b"validated lazily"))
    }

    /// The key of the code that is compiled by a profile with this hash. Such code does the same as code that was compiled
    /// without, but consists of other instructions.
    #[doc(hidden)]
    pub fn with_profile(&self, profile: &[u8; 32]) -> CodeKey {
        CodeKey(blake3::keyed_hash(self.as_bytes(), profile))
    }

    /// The key as 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// The key as 64 hexadecimal digits.
impl std::fmt::Display for CodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

/// Distinguishes builds of the same version: by the linker's build number of the object that this code was
/// linked into (the program, or a shared library), else by size and time of its file.
fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        let object = wardian_vm::object::containing(CodeAddr::of(build as *const ()));
        if let Some(id) = object.build_id.filter(|id| !id.is_empty()) {
            return format!("build {}", id.iter().map(|b| format!("{b:02x}")).collect::<String>());
        }
        let path = object.path.map_or_else(std::env::current_exe, Ok);
        path.and_then(std::fs::metadata).map_or_else(
            |_| "unknown".to_owned(),
            |meta| {
                let time = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                format!("file {} {time:?}", meta.len())
            },
        )
    })
}
