//! The descriptor table.
//!
//! Its lock is held for looking up and for changing entries, never during
//! input or output: a descriptor in use is kept alive by its `Arc`, so that
//! one thread's blocked read hinders nobody, not even a `fd_close` of it.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::clock::lock;
use crate::dir::Dir;
use crate::errno::Errno;
use crate::file::File;
use crate::host::{Listener, Socket};
use crate::origin::Origin;
use crate::stream::Stream;
use crate::types::{Fdstat, Filetype, GuestFd, rights};

/// What a descriptor refers to.
pub(crate) enum Kind {
    File(File),
    Dir(Dir),
    Stream(Stream),
    Socket(Socket),
    Listener(Listener),
}

/// An open descriptor.
pub(crate) struct Descriptor {
    pub(crate) kind: Kind,
    /// Found out once: no call asks the host again what it is.
    pub(crate) filetype: Filetype,
    pub(crate) origin: Origin,
    flags: AtomicU16,
    base: AtomicU64,
    inheriting: AtomicU64,
}

impl Descriptor {
    pub(crate) fn new(kind: Kind, stat: Fdstat, origin: Origin) -> Descriptor {
        Descriptor {
            kind,
            filetype: stat.filetype,
            origin,
            flags: AtomicU16::new(stat.flags),
            base: AtomicU64::new(stat.base),
            inheriting: AtomicU64::new(stat.inheriting),
        }
    }

    /// `fd_fdstat_get`.
    pub(crate) fn fdstat(&self) -> Fdstat {
        Fdstat {
            filetype: self.filetype,
            flags: self.flags(),
            base: self.base.load(Ordering::Acquire),
            inheriting: self.inheriting.load(Ordering::Acquire),
        }
    }

    pub(crate) fn flags(&self) -> u16 {
        self.flags.load(Ordering::Acquire)
    }

    pub(crate) fn set_flags(&self, flags: u16) {
        self.flags.store(flags, Ordering::Release);
    }

    pub(crate) fn inheriting(&self) -> u64 {
        self.inheriting.load(Ordering::Acquire)
    }

    pub(crate) fn may(&self, right: u64) -> bool {
        self.base.load(Ordering::Acquire) & right == right
    }

    /// Errs if the descriptor lacks a right.
    ///
    /// Reading and writing without the right is `badf`, as POSIX has it for a
    /// file opened the other way; anything else is `notcapable`.
    pub(crate) fn need(&self, right: u64) -> Result<(), Errno> {
        if self.may(right) {
            Ok(())
        } else if right & (rights::FD_READ | rights::FD_WRITE) != 0 {
            Err(Errno::Badf)
        } else {
            Err(Errno::Notcapable)
        }
    }

    /// `fd_fdstat_set_rights`: rights can be given up, never gained.
    pub(crate) fn set_rights(&self, base: u64, inheriting: u64) -> Result<(), Errno> {
        if base & !self.base.load(Ordering::Acquire) != 0 || inheriting & !self.inheriting() != 0 {
            return Err(Errno::Notcapable);
        }
        // `and`, not `store`: what another thread gives up meanwhile stays given up.
        self.keep_rights(base, inheriting);
        Ok(())
    }

    /// Keeps only these rights.
    pub(crate) fn keep_rights(&self, base: u64, inheriting: u64) {
        self.base.fetch_and(base, Ordering::AcqRel);
        self.inheriting.fetch_and(inheriting, Ordering::AcqRel);
    }

    /// The directory, for a `path_*` function that needs `right`.
    pub(crate) fn dir(&self, right: u64) -> Result<&Dir, Errno> {
        let Kind::Dir(dir) = &self.kind else { return Err(Errno::Notdir) };
        self.need(right)?;
        Ok(dir)
    }

    /// The regular file, for a function that only those support. Like reading
    /// without the right, it is `badf` on anything else.
    pub(crate) fn file(&self, right: u64) -> Result<&File, Errno> {
        let Kind::File(file) = &self.kind else { return Err(Errno::Badf) };
        self.need(right)?;
        Ok(file)
    }
}

/// All descriptors of a program.
pub(crate) struct Table {
    slots: Mutex<Vec<Option<Arc<Descriptor>>>>,
    limit: usize,
}

impl Table {
    pub(crate) fn new(limit: usize) -> Table {
        Table { slots: Mutex::default(), limit }
    }

    /// Adds what is there from the start, whatever the limit.
    pub(crate) fn fill(&self, descriptors: impl Iterator<Item = Descriptor>) {
        lock(&self.slots).extend(descriptors.map(|descriptor| Some(Arc::new(descriptor))));
    }

    /// A table of these descriptors, at these numbers.
    pub(crate) fn restored(limit: usize, descriptors: Vec<(GuestFd, Descriptor)>) -> Table {
        let len = descriptors.iter().map(|(fd, _)| fd.index() + 1).max().unwrap_or(0);
        let mut slots = Vec::new();
        slots.resize_with(len, || None);
        for (fd, descriptor) in descriptors {
            slots[fd.index()] = Some(Arc::new(descriptor));
        }
        Table { slots: Mutex::new(slots), limit }
    }

    /// All that is open at this moment, by number.
    pub(crate) fn open(&self) -> Vec<(GuestFd, Arc<Descriptor>)> {
        let slots = lock(&self.slots);
        let numbers = (0..).map(GuestFd::from_u32);
        numbers.zip(&*slots).filter_map(|(fd, slot)| Some((fd, slot.clone()?))).collect()
    }

    pub(crate) fn get(&self, fd: GuestFd) -> Result<Arc<Descriptor>, Errno> {
        let slots = lock(&self.slots);
        slots.get(fd.index()).and_then(Clone::clone).ok_or(Errno::Badf)
    }

    /// Puts a descriptor at the lowest free number.
    ///
    /// # Errors
    /// `mfile` if the table is full.
    pub(crate) fn insert(&self, descriptor: Descriptor) -> Result<GuestFd, Errno> {
        let mut slots = lock(&self.slots);
        let free = slots.iter().position(Option::is_none);
        let fd = free.unwrap_or(slots.len());
        if fd >= self.limit {
            return Err(Errno::Mfile);
        }
        if fd == slots.len() {
            slots.push(None);
        }
        slots[fd] = Some(Arc::new(descriptor));
        Ok(GuestFd::from_usize(fd))
    }

    /// Errs with `mfile` if there is no free number, so that a call can fail
    /// before it has changed anything.
    pub(crate) fn room(&self) -> Result<(), Errno> {
        let slots = lock(&self.slots);
        let full = slots.len() >= self.limit && slots.iter().all(Option::is_some);
        if full { Err(Errno::Mfile) } else { Ok(()) }
    }

    /// `fd_close`. What is closed is returned, to be dropped without the lock.
    pub(crate) fn remove(&self, fd: GuestFd) -> Result<Arc<Descriptor>, Errno> {
        let mut slots = lock(&self.slots);
        slots.get_mut(fd.index()).and_then(Option::take).ok_or(Errno::Badf)
    }

    /// `fd_renumber`: moves `from` over `to`, in one step. What was at `to` is
    /// returned, to be dropped without the lock.
    pub(crate) fn renumber(
        &self,
        from: GuestFd,
        to: GuestFd,
    ) -> Result<Option<Arc<Descriptor>>, Errno> {
        let mut slots = lock(&self.slots);
        let open = |fd: GuestFd| slots.get(fd.index()).is_some_and(Option::is_some);
        if !open(from) || !open(to) {
            return Err(Errno::Badf);
        }
        if from == to {
            return Ok(None);
        }
        let moved = slots[from.index()].take();
        Ok(std::mem::replace(&mut slots[to.index()], moved))
    }
}
