//! A guest without an engine: memory, and calls by name.

use crate::outcome::note;
use wardian_wasi::{Call, Errno, GuestMemory, NeverInterrupt, Stop, WasiCtx, preview1};

const MEMORY: usize = 1 << 17;

pub(super) struct Guest {
    pub(super) ctx: WasiCtx,
    pub(super) memory: Bytes,
    next: usize,
}

/// Linear memory.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    fn range(&self, at: u64, len: u64) -> Result<std::ops::Range<usize>, Errno> {
        let end = at.checked_add(len).filter(|end| *end <= self.0.len() as u64);
        Ok(at as usize..end.ok_or(Errno::Fault)? as usize)
    }
}

impl GuestMemory for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read(&self, at: u64, to: &mut [u8]) -> Result<(), Errno> {
        to.copy_from_slice(&self.0[self.range(at, to.len() as u64)?]);
        Ok(())
    }
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let range = self.range(at, bytes.len() as u64)?;
        self.0[range].copy_from_slice(bytes);
        Ok(())
    }
    fn slice(&self, at: u64, len: u64) -> Result<Option<&[u8]>, Errno> {
        Ok(Some(&self.0[self.range(at, len)?]))
    }
    fn slice_mut(&mut self, at: u64, len: u64) -> Result<Option<&mut [u8]>, Errno> {
        let range = self.range(at, len)?;
        Ok(Some(&mut self.0[range]))
    }
}

impl Guest {
    pub(super) fn new(ctx: WasiCtx) -> Guest {
        Guest { ctx, memory: Bytes(vec![0xaa; MEMORY]), next: 64 }
    }

    /// Calls a function; the answer is noted.
    pub(super) fn try_call(&mut self, name: &str, args: &[u64]) -> Result<Errno, Stop> {
        let function = preview1().iter().find(|f| f.name == name).expect("a function of WASI");
        let memory = &mut self.memory;
        let call = &mut Call { ctx: &self.ctx, memory, interrupt: &NeverInterrupt };
        let answer = (function.call)(call, args);
        note(match &answer {
            Ok(errno) => format!("{name}: {}", errno.name()),
            Err(_) => format!("{name} ended the guest"),
        });
        answer
    }

    /// Calls a function that does not end the guest, and gives the memory back that was put before.
    pub(super) fn call(&mut self, name: &str, args: &[u64]) -> bool {
        let answer = self.try_call(name, args).expect("it does not end the guest");
        answer == Errno::Success
    }

    pub(super) fn begin(&mut self) {
        self.next = 64;
    }

    pub(super) fn alloc(&mut self, len: usize) -> u64 {
        let at = self.next.next_multiple_of(8);
        self.next = at + len;
        assert!(self.next <= MEMORY, "a call needs too much memory");
        at as u64
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.alloc(bytes.len());
        self.memory.write(at, bytes).expect("it was allocated");
        at
    }

    pub(super) fn bytes(&self, at: u64, len: usize) -> &[u8] {
        &self.memory.0[at as usize..at as usize + len]
    }

    pub(super) fn number<const N: usize>(&self, at: u64) -> u64 {
        self.bytes(at, N).iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
    }

    pub(super) fn iovs(&mut self, at: u64, len: usize) -> u64 {
        let bytes = [(at as u32).to_le_bytes(), (len as u32).to_le_bytes()].concat();
        self.put(&bytes)
    }
}
