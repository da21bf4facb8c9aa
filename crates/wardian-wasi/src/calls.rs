//! The functions as the guest calls them: arguments out of slots and memory,
//! one operation, results into memory.
//!
//! Result pointers are checked before anything is done, so that a bad one
//! neither loses data nor leaks a descriptor.

pub(crate) mod fd;
pub(crate) mod fd_io;
pub(crate) mod path;
pub(crate) mod process;
pub(crate) mod sock;

use crate::abi::Answer;
use crate::errno::Errno;
use crate::function::Call;
use crate::types::GuestFd;

/// A handle, flag set, pointer or length: an `i32` in its slot.
fn int(slot: u64) -> u32 {
    slot as u32
}

/// A descriptor.
fn guest_fd(slot: u64) -> GuestFd {
    GuestFd::from_u32(int(slot))
}

/// A pointer or length, for arithmetic that does not overflow.
fn addr(slot: u64) -> u64 {
    u64::from(slot as u32)
}

/// `fdflags` and `oflags` are 16 bits wide; more is an error.
fn short(slot: u64, known: u16) -> Result<u16, Errno> {
    match u16::try_from(int(slot)) {
        Ok(flags) if flags & !known == 0 => Ok(flags),
        _ => Err(Errno::Inval),
    }
}

/// Writes strings one after the other, each ended by a NUL, and pointers to
/// them: `args_get` and `environ_get`.
fn write_strings(call: &mut Call<'_>, strings: &[String], pointers: u64, buf: u64) -> Answer<()> {
    let size: u64 = strings.iter().map(|s| s.len() as u64 + 1).sum();
    crate::guest::check(call.memory, pointers, strings.len() as u64 * 4)?;
    crate::guest::check(call.memory, buf, size)?;
    let mut at = buf;
    for (i, string) in strings.iter().enumerate() {
        crate::guest::write_u32(call.memory, pointers + i as u64 * 4, at as u32)?;
        call.memory.write(at, string.as_bytes())?;
        at += string.len() as u64;
        call.memory.write(at, &[0])?;
        at += 1;
    }
    Ok(())
}

/// `args_sizes_get` and `environ_sizes_get`.
fn write_sizes(call: &mut Call<'_>, strings: &[String], count: u64, size: u64) -> Answer<()> {
    let bytes: usize = strings.iter().map(|s| s.len() + 1).sum();
    crate::guest::check(call.memory, size, 4)?;
    crate::guest::write_u32(call.memory, count, strings.len() as u32)?;
    let bytes = u32::try_from(bytes).map_err(|_| Errno::Overflow)?;
    Ok(crate::guest::write_u32(call.memory, size, bytes)?)
}
