//! A cache in a folder.
//!
//! ```text
//!   folder, mode 0700, the user's own
//!     <64 hex digits of the key>.code      magic, 8 bytes │ keyed hash of the rest, 32 │ code
//!     <key>.<unique>.tmp                   being written
//! ```
//!
//! The key ([`CodeKey`]) names everything that the code depends on. The hash is keyed by it too, so that an entry
//! under another's name is as damaged as one with a flipped bit.
//!
//! A hash finds accidents, not attackers: what is in an entry will run with all the rights of the
//! process. So the folder and each entry must belong to the user and be closed to others.
//!
//! Entries are not compressed, because loading speed is what the cache is for. For 18 MB of CPython
//! (7 MB of machine code, the rest tables) zstd at level 1 saves 8 MB and takes 31 ms to unpack, LZ4
//! saves 5 MB and takes 5 ms; reading the file as it is takes 4 ms. The size is bounded anyway.

use super::entry::{self, Entry};
use super::folder::Folder;
use crate::cache::{CodeCache, CodeKey, CompiledCode};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes that a cache holds by default.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// How old a temporary file must be before its writer counts as dead.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Keeps compiled code in a folder, for [`crate::Engine::set_cache`]: all of a module's in a compiled engine,
/// what was hot when the module goes in a tiered one.
///
/// Any number of threads and processes may use the same folder: entries appear and vanish as a
/// whole, and nobody waits for anybody. Nothing that goes wrong later than [`DiskCache::new`] is an
/// error; the module is compiled again.
///
/// Code is used again only by the very build that compiled it. A build is identified by the linker's build number
/// of the program or shared library that Wardian is part of, or by that file's size and time, for a cache
/// must never mix up two builds that call themselves the same version.
///
/// ```
/// use std::sync::Arc;
/// use wardian::{Config, Engine, EngineKind, Module, cache::DiskCache};
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
#[doc(alias = "CompilationCache", alias = "NewCompilationCacheWithDir")]
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

    /// With at most this many bytes in it; 1 GiB by default. When more is put there, what has not been used
    /// for longest is removed.
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

// SAFETY: an entry is a file in a folder that belongs to the user and is closed to others, its name and its
// hash are those of the key, and only `put` writes there. Who else can write there can do all that the
// process can.
#[allow(unsafe_code, reason = "the folder is checked to be the user's own")]
unsafe impl CodeCache for DiskCache {
    fn get(&self, key: &CodeKey) -> Option<CompiledCode> {
        let name = entry::name(key);
        let bytes = self.folder.read(&name)?;
        // SAFETY: as above.
        let code = unsafe { entry::decode(key, &bytes) };
        if code.is_none() {
            self.folder.remove(&name);
        }
        code
    }

    fn put(&self, key: &CodeKey, code: &CompiledCode) {
        let name = entry::name(key);
        let bytes = entry::encode(key, code);
        if bytes.len() as u64 <= self.limit && self.folder.write(&name, &bytes) {
            self.trim(&name);
        }
    }
}
