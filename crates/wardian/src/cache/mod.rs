//! Compiled code on disk.
//!
//! ```text
//!   folder, mode 0700, the user's own
//!     <64 hex digits of the key>.code      magic, 8 bytes │ keyed hash of the rest, 32 │ code
//!     <key>.<unique>.tmp                   being written
//! ```
//!
//! The key names everything that the code depends on. The hash is keyed by it too, so that an entry
//! under another's name is as damaged as one with a flipped bit.
//!
//! A hash finds accidents, not attackers: what is in an entry will run with all the rights of the
//! process. So the folder and each entry must belong to the user and be closed to others.
//!
//! Entries are not compressed, because loading speed is what the cache is for. For 18 MB of CPython
//! (7 MB of machine code, the rest tables) zstd at level 1 saves 8 MB and takes 31 ms to unpack, LZ4
//! saves 5 MB and takes 5 ms; reading the file as it is takes 4 ms. The size is bounded anyway.

mod entry;
mod folder;
#[cfg(all(test, feature = "jit"))]
mod tests;

use crate::jit::CompiledCode;
use crate::{CodeCache, Engine, Error, Result};
use folder::{Entry, Folder};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A revision of what the files hold; part of the key.
const FORMAT: &str = "wardian compilation cache 2";

/// Bytes that a cache holds unless told otherwise.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// How old a temporary file must be before its writer counts as dead.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Keeps compiled code in a folder, for [`Engine::set_cache`]: all of a module's in a compiled engine,
/// what was hot when the module goes in a tiered one.
///
/// Any number of threads and processes may use the same folder: entries appear and vanish as a
/// whole, and nobody waits for anybody. Nothing that goes wrong later than [`DiskCache::new`] is an
/// error; the module is compiled again.
///
/// Code is used again only by the very build of the program that compiled it: the size and time of
/// the running executable are part of the key, for a cache must never mix up two builds that call
/// themselves the same version.
///
/// ```
/// use std::sync::Arc;
/// use wardian::{Config, DiskCache, Engine, EngineKind, Module};
/// # let scratch = std::env::temp_dir().join(format!("wardian-doc-{}", std::process::id()));
/// # let folder = scratch.clone();
/// let cache = DiskCache::new(folder)?.with_limit(64 << 20);
/// # if !cfg!(feature = "jit") { return Ok(()); }
/// let engine = Engine::new(Config::new().engine(EngineKind::Compiled))?;
/// engine.set_cache(Some(Arc::new(cache.clone())));
/// Module::new(&engine, "(module (func))")?; // compiles
/// Module::new(&engine, "(module (func))")?; // loads
/// assert!(cache.size()? > 0);
/// # std::fs::remove_dir_all(scratch).unwrap();
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DiskCache {
    folder: Folder,
    limit: u64,
}

impl DiskCache {
    /// A cache in `dir`, which is made, with mode 0700, if it is not there.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or opened, is a symbolic link, belongs to somebody else, or is
    /// open to others; the message says what to do.
    pub fn new(dir: impl Into<PathBuf>) -> Result<DiskCache> {
        let folder = Folder::open(dir.into()).map_err(Error::host)?;
        Ok(DiskCache { folder, limit: DEFAULT_LIMIT })
    }

    /// A cache in the folder `wardian` of the user's cache folder (on Linux `$XDG_CACHE_HOME` or
    /// `~/.cache`).
    ///
    /// # Errors
    ///
    /// The user has no home, or as for [`DiskCache::new`].
    pub fn in_default_folder() -> Result<DiskCache> {
        DiskCache::new(DiskCache::default_folder()?)
    }

    /// Where [`DiskCache::in_default_folder`] keeps code.
    ///
    /// # Errors
    ///
    /// The user has no home.
    pub fn default_folder() -> Result<PathBuf> {
        let dirs = directories::ProjectDirs::from("", "", "wardian");
        let dirs = dirs.ok_or_else(|| Error::host("there is no home folder to keep a cache in"))?;
        Ok(dirs.cache_dir().to_owned())
    }

    /// With at most so many bytes in it; 1 GiB unless told. When more is put there, what has not
    /// been used for longest goes.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> DiskCache {
        self.limit = bytes;
        self
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes that the entries take.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn size(&self) -> Result<u64> {
        let files = self.folder.list().map_err(Error::host)?;
        Ok(files.iter().map(|f| f.size).sum())
    }

    /// Removes all entries, and gives the number of bytes that they took. Other files stay.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn clear(&self) -> Result<u64> {
        let files = self.folder.list().map_err(Error::host)?;
        Ok(files.iter().filter(|f| self.folder.remove(&f.name)).map(|f| f.size).sum())
    }

    /// Makes room: dead temporary files go, then what has not been used for longest. `newest` was
    /// just written and stays.
    fn trim(&self, newest: &str) {
        let Ok(mut files) = self.folder.list() else { return };
        let now = SystemTime::now();
        files.retain(|file| {
            let dead =
                file.temporary && now.duration_since(file.modified).is_ok_and(|age| age > STALE);
            !(dead && self.folder.remove(&file.name))
        });
        let mut total: u64 = files.iter().map(|f| f.size).sum();
        let mut old: Vec<Entry> =
            files.into_iter().filter(|f| !f.temporary && f.name != newest).collect();
        old.sort_by_key(|f| f.modified);
        for file in old {
            if total <= self.limit {
                break;
            }
            // Another process may have been faster: then it is gone all the same.
            self.folder.remove(&file.name);
            total -= file.size;
        }
    }
}

impl CodeCache for DiskCache {
    fn get(&self, engine: &Engine, module: &[u8]) -> Option<CompiledCode> {
        let key = key(engine, module);
        let name = entry::name(&key);
        let bytes = self.folder.read(&name)?;
        let code = entry::decode(&key, &bytes);
        if code.is_none() {
            self.folder.remove(&name);
        }
        code
    }

    fn put(&self, engine: &Engine, module: &[u8], code: &CompiledCode) {
        let key = key(engine, module);
        let name = entry::name(&key);
        let bytes = entry::encode(&key, code);
        if bytes.len() as u64 <= self.limit && self.folder.write(&name, &bytes) {
            self.trim(&name);
        }
    }
}

/// Names all that the code depends on.
fn key(engine: &Engine, module: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let fingerprint = engine.fingerprint();
    let parts: [&[u8]; 6] = [
        FORMAT.as_bytes(),
        env!("CARGO_PKG_VERSION").as_bytes(),
        build().as_bytes(),
        fingerprint.as_bytes(),
        // Which of its variants the engine compiles first: see `ModuleInner::usual_variant`.
        if engine.config().signals { b"guarded" } else { b"checked" },
        module,
    ];
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

/// Tells builds of the running program apart that have the same version.
fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        let exe = std::env::current_exe().and_then(std::fs::metadata);
        exe.map_or_else(
            |_| "unknown".to_owned(),
            |meta| {
                let time = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                format!("{} {:?}", meta.len(), time)
            },
        )
    })
}
