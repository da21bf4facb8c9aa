//! A guest without an engine: memory, a bump allocator, and calls by name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use wardian_wasi::{
    Call, DirPerms, Errno, Function, GuestMemory, Interrupt, NeverInterrupt, Stop, WasiCtx,
    WasiCtxBuilder, preview1, unstable,
};

/// The preopened directory that may be changed, and the one that may not.
pub(crate) const ROOT: u64 = 3;
pub(crate) const FIXED: u64 = 4;

pub(crate) const READ: u64 = 1 << 1;
pub(crate) const WRITE: u64 = 1 << 6;
pub(crate) const CREAT: u64 = 1;
pub(crate) const DIRECTORY: u64 = 2;
pub(crate) const EXCL: u64 = 4;
pub(crate) const TRUNC: u64 = 8;
pub(crate) const FOLLOW: u64 = 1;

/// How much memory a guest has.
const MEMORY: usize = 4 << 16;

/// Linear memory; if it is `shared`, it cannot be borrowed.
pub(crate) struct TestMemory {
    pub(crate) bytes: Vec<u8>,
    pub(crate) shared: bool,
}

impl TestMemory {
    fn range(&self, addr: u64, len: u64) -> Result<std::ops::Range<usize>, Errno> {
        let end = addr.checked_add(len).ok_or(Errno::Fault)?;
        if end > self.bytes.len() as u64 {
            Err(Errno::Fault)
        } else {
            Ok(addr as usize..end as usize)
        }
    }
}

impl GuestMemory for TestMemory {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Errno> {
        buf.copy_from_slice(&self.bytes[self.range(addr, buf.len() as u64)?]);
        Ok(())
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Errno> {
        let range = self.range(addr, data.len() as u64)?;
        self.bytes[range].copy_from_slice(data);
        Ok(())
    }

    fn slice(&self, addr: u64, len: u64) -> Result<Option<&[u8]>, Errno> {
        let range = self.range(addr, len)?;
        Ok((!self.shared).then(|| &self.bytes[range]))
    }

    fn slice_mut(&mut self, addr: u64, len: u64) -> Result<Option<&mut [u8]>, Errno> {
        let range = self.range(addr, len)?;
        let shared = self.shared;
        Ok(Some(&mut self.bytes[range]).filter(|_| !shared))
    }
}

/// An interrupt that a test sets.
pub(crate) struct Button {
    set: AtomicBool,
    pipe: Option<(OwnedFd, OwnedFd)>,
}

impl Button {
    /// With a wake-up descriptor, or one that must be asked.
    pub(crate) fn new(wakes: bool) -> Button {
        let pipe = wakes.then(|| rustix::pipe::pipe().unwrap());
        Button { set: AtomicBool::new(false), pipe }
    }

    pub(crate) fn press(&self) {
        self.set.store(true, Ordering::SeqCst);
        if let Some((_, write)) = &self.pipe {
            rustix::io::write(write, b"!").unwrap();
        }
    }
}

impl Interrupt for Button {
    fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|(read, _)| read.as_fd())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Preview1,
    Unstable,
}

impl Version {
    pub(crate) fn functions(self) -> &'static [Function] {
        match self {
            Version::Preview1 => preview1(),
            Version::Unstable => unstable(),
        }
    }

    /// `whence` for set, cur, end.
    pub(crate) fn whence(self) -> [u64; 3] {
        match self {
            Version::Preview1 => [0, 1, 2],
            Version::Unstable => [2, 0, 1],
        }
    }

    pub(crate) fn filestat_size(self) -> usize {
        if self == Version::Preview1 { 64 } else { 56 }
    }
}

/// A program's state and memory.
pub(crate) struct Guest {
    pub(crate) ctx: WasiCtx,
    pub(crate) version: Version,
    pub(crate) memory: TestMemory,
    next: usize,
}

impl Guest {
    pub(crate) fn new(ctx: WasiCtx, version: Version, shared: bool) -> Guest {
        let memory = TestMemory { bytes: vec![0xaa; MEMORY], shared };
        Guest { ctx, version, memory, next: 64 }
    }

    /// Calls a function, with an interrupt.
    pub(crate) fn call_with(
        &mut self,
        interrupt: &dyn Interrupt,
        name: &str,
        args: &[u64],
    ) -> Result<Errno, Stop> {
        let functions = self.version.functions();
        let function = functions.iter().find(|f| f.name == name).expect(name);
        assert_eq!(function.params.len(), args.len(), "arguments of {name}");
        let memory = &mut self.memory;
        (function.call)(&mut Call { ctx: &self.ctx, memory, interrupt }, args)
    }

    /// Calls a function that does not end the guest.
    pub(crate) fn call(&mut self, name: &str, args: &[u64]) -> Errno {
        self.call_with(&NeverInterrupt, name, args).expect(name)
    }

    /// Calls a function that must succeed.
    #[track_caller]
    pub(crate) fn ok(&mut self, name: &str, args: &[u64]) {
        assert_eq!(self.call(name, args), Errno::Success, "{name}{args:?}");
    }

    /// Memory that nothing else uses; it is given back by `reset`.
    pub(crate) fn alloc(&mut self, len: usize) -> u64 {
        let at = self.next.next_multiple_of(8);
        self.next = at + len;
        assert!(self.next <= self.memory.bytes.len(), "the test's memory is full");
        at as u64
    }

    pub(crate) fn reset(&mut self) {
        self.next = 64;
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.alloc(bytes.len());
        self.memory.write(at, bytes).unwrap();
        at
    }

    pub(crate) fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        self.memory.bytes[at as usize..at as usize + len].to_vec()
    }

    pub(crate) fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.bytes(at, 2).try_into().unwrap())
    }

    pub(crate) fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap())
    }

    pub(crate) fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().unwrap())
    }

    /// An `iovec_array`.
    pub(crate) fn iovs(&mut self, list: &[(u64, usize)]) -> u64 {
        let bytes: Vec<u8> = (list.iter())
            .flat_map(|&(at, len)| [(at as u32).to_le_bytes(), (len as u32).to_le_bytes()])
            .flatten()
            .collect();
        self.put(&bytes)
    }

    /// Calls a function with a descriptor and a path.
    pub(crate) fn on_path(&mut self, name: &str, fd: u64, path: &str) -> Errno {
        let at = self.put(path.as_bytes());
        self.call(name, &[fd, at, path.len() as u64])
    }

    /// Calls a function with two directories and paths.
    pub(crate) fn on_paths(
        &mut self,
        name: &str,
        (fd, path): (u64, &str),
        (to_fd, to_path): (u64, &str),
    ) -> Errno {
        let (at, to) = (self.put(path.as_bytes()), self.put(to_path.as_bytes()));
        let (len, to_len) = (path.len() as u64, to_path.len() as u64);
        match name {
            "path_link" => self.call(name, &[fd, 0, at, len, to_fd, to, to_len]),
            _ => self.call(name, &[fd, at, len, to_fd, to, to_len]),
        }
    }

    pub(crate) fn symlink(&mut self, contents: &str, fd: u64, path: &str) -> Errno {
        let (at, to) = (self.put(contents.as_bytes()), self.put(path.as_bytes()));
        self.call("path_symlink", &[at, contents.len() as u64, fd, to, path.len() as u64])
    }

    /// `path_open`.
    pub(crate) fn open(&mut self, path: &str, oflags: u64, rights: u64) -> Result<u64, Errno> {
        self.open_at(ROOT, 0, path, oflags, rights, 0)
    }

    pub(crate) fn open_at(
        &mut self,
        fd: u64,
        follow: u64,
        path: &str,
        oflags: u64,
        rights: u64,
        fdflags: u64,
    ) -> Result<u64, Errno> {
        let (at, out) = (self.put(path.as_bytes()), self.alloc(4));
        let args = [fd, follow, at, path.len() as u64, oflags, rights, 0, fdflags, out];
        match self.call("path_open", &args) {
            Errno::Success => Ok(u64::from(self.u32(out))),
            errno => Err(errno),
        }
    }

    pub(crate) fn close(&mut self, fd: u64) {
        self.ok("fd_close", &[fd]);
    }

    pub(crate) fn write(&mut self, fd: u64, data: &[u8]) -> Result<usize, Errno> {
        let at = self.put(data);
        let (iovs, out) = (self.iovs(&[(at, data.len())]), self.alloc(4));
        match self.call("fd_write", &[fd, iovs, 1, out]) {
            Errno::Success => Ok(self.u32(out) as usize),
            errno => Err(errno),
        }
    }

    pub(crate) fn read(&mut self, fd: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let at = self.alloc(len);
        let (iovs, out) = (self.iovs(&[(at, len)]), self.alloc(4));
        match self.call("fd_read", &[fd, iovs, 1, out]) {
            Errno::Success => Ok(self.bytes(at, self.u32(out) as usize)),
            errno => Err(errno),
        }
    }

    /// The record of `path_filestat_get`.
    pub(crate) fn stat(&mut self, fd: u64, follow: u64, path: &str) -> Result<Stat, Errno> {
        let (at, out) = (self.put(path.as_bytes()), self.alloc(64));
        match self.call("path_filestat_get", &[fd, follow, at, path.len() as u64, out]) {
            Errno::Success => Ok(self.filestat(out)),
            errno => Err(errno),
        }
    }

    pub(crate) fn fd_stat(&mut self, fd: u64) -> Result<Stat, Errno> {
        let out = self.alloc(64);
        match self.call("fd_filestat_get", &[fd, out]) {
            Errno::Success => Ok(self.filestat(out)),
            errno => Err(errno),
        }
    }

    fn filestat(&self, at: u64) -> Stat {
        let (nlink, size) = match self.version {
            Version::Preview1 => (self.u64(at + 24), at + 32),
            Version::Unstable => (u64::from(self.u32(at + 20)), at + 24),
        };
        Stat {
            ino: self.u64(at + 8),
            filetype: self.bytes(at + 16, 1)[0],
            nlink,
            size: self.u64(size),
            atim: self.u64(size + 8),
            mtim: self.u64(size + 16),
        }
    }

    /// Filetype, flags, rights and inheriting rights.
    pub(crate) fn fdstat(&mut self, fd: u64) -> (u8, u16, u64, u64) {
        let out = self.alloc(24);
        self.ok("fd_fdstat_get", &[fd, out]);
        (self.bytes(out, 1)[0], self.u16(out + 2), self.u64(out + 8), self.u64(out + 16))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) ino: u64,
    pub(crate) filetype: u8,
    pub(crate) nlink: u64,
    pub(crate) size: u64,
    pub(crate) atim: u64,
    pub(crate) mtim: u64,
}

/// A guest with two directories: `root`, which it may change, and `fixed`,
/// with `file` and `sub/file`, which it may not. `outside` lies beside them.
pub(crate) struct World {
    pub(crate) guest: Guest,
    dir: TempDir,
}

impl World {
    pub(crate) fn new(
        version: Version,
        shared: bool,
        more: impl FnOnce(WasiCtxBuilder) -> WasiCtxBuilder,
    ) -> World {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "fixed/sub", "outside"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for name in ["fixed/file", "fixed/sub/file", "outside/secret"] {
            std::fs::write(dir.path().join(name), "contents").unwrap();
        }
        let builder = WasiCtx::builder()
            .preopen_dir(dir.path().join("root"), "/root", DirPerms::ReadWrite)
            .and_then(|b| b.preopen_dir(dir.path().join("fixed"), "fixed", DirPerms::ReadOnly))
            .unwrap();
        World { guest: Guest::new(more(builder).build(), version, shared), dir }
    }

    /// A path on the host, beside the guest's directories.
    pub(crate) fn host(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }
}

impl std::ops::Deref for World {
    type Target = Guest;
    fn deref(&self) -> &Guest {
        &self.guest
    }
}

impl std::ops::DerefMut for World {
    fn deref_mut(&mut self) -> &mut Guest {
        &mut self.guest
    }
}

/// Runs a test in both versions, with memory that can and cannot be borrowed.
pub(crate) fn worlds(test: impl Fn(&mut World)) {
    worlds_with(|builder| builder, test);
}

pub(crate) fn worlds_with(
    more: impl Fn(WasiCtxBuilder) -> WasiCtxBuilder,
    test: impl Fn(&mut World),
) {
    for version in [Version::Preview1, Version::Unstable] {
        for shared in [false, true] {
            eprintln!("{version:?}, shared memory: {shared}");
            test(&mut World::new(version, shared, &more));
        }
    }
}
