//! Reading arguments from guest memory and writing results to it.
//!
//! Lengths from the guest never decide how much the host allocates: paths are
//! cut off at [`PATH_MAX`], vectors at [`IOV_MAX`], and where memory is shared
//! and has to be copied, through [`BOUNCE`] bytes at a time.

use std::io::{IoSlice, IoSliceMut};

use crate::abi::{Answer, GuestMemory};
use crate::errno::Errno;

/// The longest path a guest may pass, in bytes.
pub(crate) const PATH_MAX: u64 = 4096;

/// How many buffers of an `iovec_array` one call uses. The rest stays
/// untouched: the call is a short read or write, as it may always be.
pub(crate) const IOV_MAX: u64 = 1024;

/// How much is copied at a time when guest memory cannot be borrowed.
pub(crate) const BOUNCE: usize = 64 * 1024;

/// Errs if the range is not inside the memory.
pub(crate) fn check(memory: &dyn GuestMemory, addr: u64, len: u64) -> Result<(), Errno> {
    memory.slice(addr, len).map(drop)
}

pub(crate) fn write_u32(memory: &mut dyn GuestMemory, addr: u64, value: u32) -> Result<(), Errno> {
    memory.write(addr, &value.to_le_bytes())
}

pub(crate) fn write_u64(memory: &mut dyn GuestMemory, addr: u64, value: u64) -> Result<(), Errno> {
    memory.write(addr, &value.to_le_bytes())
}

/// Reads a path: valid UTF-8 without NUL.
///
/// # Errors
/// `fault`, `nametoolong` past [`PATH_MAX`], `ilseq`, `inval` for a NUL.
pub(crate) fn read_path(memory: &dyn GuestMemory, addr: u64, len: u64) -> Result<String, Errno> {
    check(memory, addr, len)?;
    if len > PATH_MAX {
        return Err(Errno::Nametoolong);
    }
    let mut bytes = vec![0; len as usize];
    memory.read(addr, &mut bytes)?;
    if bytes.contains(&0) {
        return Err(Errno::Inval);
    }
    String::from_utf8(bytes).map_err(|_| Errno::Ilseq)
}

/// The buffers of an `iovec_array` or `ciovec_array`, all inside the memory.
pub(crate) struct Buffers {
    /// Address and length, none of length zero.
    list: Vec<(u64, u64)>,
    total: u64,
}

impl Buffers {
    /// Reads the array.
    ///
    /// # Errors
    /// `fault` if the array or a buffer is out of range; `inval` if the lengths
    /// add up to more than an `u32`, which the result could not express.
    pub(crate) fn decode(
        memory: &dyn GuestMemory,
        addr: u64,
        count: u64,
    ) -> Result<Buffers, Errno> {
        check(memory, addr, count * 8)?;
        let count = count.min(IOV_MAX);
        let mut list = Vec::with_capacity(count as usize);
        let mut total = 0;
        for i in 0..count {
            let mut record = [0; 8];
            memory.read(addr + i * 8, &mut record)?;
            let [a, b, c, d, e, f, g, h] = record;
            let buf = u64::from(u32::from_le_bytes([a, b, c, d]));
            let len = u64::from(u32::from_le_bytes([e, f, g, h]));
            check(memory, buf, len)?;
            total += len;
            if len != 0 {
                list.push((buf, len));
            }
        }
        if total > u64::from(u32::MAX) {
            return Err(Errno::Inval);
        }
        Ok(Buffers { list, total })
    }

    /// How many bytes fit.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The buffers without their first `bytes` bytes.
    pub(crate) fn skip(&self, bytes: u64) -> Buffers {
        Buffers { list: self.after(bytes).collect(), total: self.total.saturating_sub(bytes) }
    }

    /// Fills the buffers from `read`, which gets slices and how many bytes
    /// came before them, and returns how many bytes it read.
    ///
    /// If memory has to be copied, `whole` says whether to call `read` again
    /// until the buffers are full or it comes up short. Otherwise, and always
    /// when memory can be borrowed, it is called once.
    pub(crate) fn fill(
        &self,
        memory: &mut dyn GuestMemory,
        whole: bool,
        mut read: impl FnMut(u64, &mut [IoSliceMut<'_>]) -> Answer<usize>,
    ) -> Answer<u32> {
        if let [(addr, len)] = self.list[..] {
            if let Some(buf) = memory.slice_mut(addr, len)? {
                return Ok(read(0, &mut [IoSliceMut::new(buf)])? as u32);
            }
        } else if let Some(order) = self.disjoint() {
            let all = memory.len();
            if let Some(bytes) = memory.slice_mut(0, all)? {
                return Ok(read(0, &mut self.carve(&order, bytes))? as u32);
            }
        }
        let mut bounce = vec![0; BOUNCE.min(self.total as usize)];
        let mut done = 0;
        while done < self.total {
            let want = (self.total - done).min(BOUNCE as u64) as usize;
            let got = match read(done, &mut [IoSliceMut::new(&mut bounce[..want])]) {
                Ok(got) => got,
                // What was read already must be reported, also if the call is interrupted and made again.
                Err(_) if done > 0 => break,
                Err(fail) => return Err(fail),
            };
            self.scatter(memory, done, &bounce[..got])?;
            done += got as u64;
            if !whole || got < want {
                break;
            }
        }
        Ok(done as u32)
    }

    /// Passes the buffers to `write`, under the same rules as [`fill`](Self::fill).
    pub(crate) fn drain(
        &self,
        memory: &dyn GuestMemory,
        whole: bool,
        mut write: impl FnMut(u64, &[IoSlice<'_>]) -> Answer<usize>,
    ) -> Answer<u32> {
        if let [(addr, len)] = self.list[..] {
            if let Some(buf) = memory.slice(addr, len)? {
                return Ok(write(0, &[IoSlice::new(buf)])? as u32);
            }
        } else {
            let slices: Option<Vec<_>> = (self.list.iter())
                .map(|&(addr, len)| Ok(memory.slice(addr, len)?.map(IoSlice::new)))
                .collect::<Result<_, Errno>>()?;
            if let Some(slices) = slices {
                return Ok(write(0, &slices)? as u32);
            }
        }
        let mut bounce = vec![0; BOUNCE.min(self.total as usize)];
        let mut done = 0;
        while done < self.total {
            let want = (self.total - done).min(BOUNCE as u64) as usize;
            self.gather(memory, done, &mut bounce[..want])?;
            let put = match write(done, &[IoSlice::new(&bounce[..want])]) {
                Ok(put) => put,
                Err(_) if done > 0 => break,
                Err(fail) => return Err(fail),
            };
            done += put as u64;
            if !whole || put < want {
                break;
            }
        }
        Ok(done as u32)
    }

    /// The order of the buffers in memory, if none overlaps another. A guest
    /// may pass overlapping ones; then bytes are copied.
    fn disjoint(&self) -> Option<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_unstable_by_key(|&i| self.list[i].0);
        let apart = |pair: &[usize]| {
            let (addr, len) = self.list[pair[0]];
            addr + len <= self.list[pair[1]].0
        };
        order.windows(2).all(apart).then_some(order)
    }

    /// Cuts the buffers out of the whole memory, in the guest's order.
    fn carve<'m>(&self, order: &[usize], bytes: &'m mut [u8]) -> Vec<IoSliceMut<'m>> {
        let mut slices: Vec<_> = self.list.iter().map(|_| IoSliceMut::new(&mut [])).collect();
        let mut rest = bytes;
        let mut at = 0;
        for &i in order {
            let (addr, len) = self.list[i];
            let (_, tail) = rest.split_at_mut((addr - at) as usize);
            let (mine, tail) = tail.split_at_mut(len as usize);
            slices[i] = IoSliceMut::new(mine);
            rest = tail;
            at = addr + len;
        }
        slices
    }

    /// Copies `data` to the buffers, beginning `skip` bytes in.
    fn scatter(&self, memory: &mut dyn GuestMemory, skip: u64, data: &[u8]) -> Result<(), Errno> {
        let mut data = data;
        for (addr, len) in self.after(skip) {
            let (now, later) = data.split_at(data.len().min(len as usize));
            memory.write(addr, now)?;
            data = later;
        }
        Ok(())
    }

    /// Copies from the buffers, beginning `skip` bytes in.
    fn gather(&self, memory: &dyn GuestMemory, skip: u64, out: &mut [u8]) -> Result<(), Errno> {
        let mut out = out;
        for (addr, len) in self.after(skip) {
            let cut = out.len().min(len as usize);
            let (now, later) = out.split_at_mut(cut);
            memory.read(addr, now)?;
            out = later;
        }
        Ok(())
    }

    /// The buffers without the first `skip` bytes.
    fn after(&self, mut skip: u64) -> impl Iterator<Item = (u64, u64)> {
        self.list.iter().filter_map(move |&(addr, len)| {
            let gone = skip.min(len);
            skip -= gone;
            (gone < len).then_some((addr + gone, len - gone))
        })
    }
}
