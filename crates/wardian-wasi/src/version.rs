//! Where the two versions of WASI differ: layouts of records and two sets of
//! constants. Everything else is shared.
//!
//! | | preview 1 | snapshot 0 (`wasi_unstable`) |
//! |---|---|---|
//! | `whence` | set 0, cur 1, end 2 | cur 0, end 1, set 2 |
//! | `filestat` | 64 bytes, `nlink` u64 at 24 | 56 bytes, `nlink` u32 at 20 |
//! | `subscription` | 48 bytes | 56 bytes, the clock has an identifier |
//! | rights | 30 | 29, no `sock_accept` |

use crate::errno::Errno;
use crate::types::{
    Await, Event, Fdstat, Filestat, Filetype, GuestFd, Subscription, Whence, rights,
};

/// The encodings of one version.
pub(crate) trait Version {
    /// Size of a `subscription`.
    const SUBSCRIPTION: u64;
    /// Size of a `filestat`.
    const FILESTAT: u64;
    /// The rights that exist.
    const RIGHTS: u64;

    fn whence(raw: u32) -> Result<Whence, Errno>;
    fn subscription(record: &[u8]) -> Result<Subscription, Errno>;
    /// The bytes of a `filestat`; only the first [`Self::FILESTAT`] count.
    fn filestat(stat: &Filestat) -> [u8; 64];
}

/// `wasi_snapshot_preview1`.
pub(crate) struct Preview1;

impl Version for Preview1 {
    const SUBSCRIPTION: u64 = 48;
    const FILESTAT: u64 = 64;
    const RIGHTS: u64 = (1 << 30) - 1;

    fn whence(raw: u32) -> Result<Whence, Errno> {
        match raw {
            0 => Ok(Whence::Set),
            1 => Ok(Whence::Current),
            2 => Ok(Whence::End),
            _ => Err(Errno::Inval),
        }
    }

    fn subscription(record: &[u8]) -> Result<Subscription, Errno> {
        decode_subscription(record, 16)
    }

    fn filestat(stat: &Filestat) -> [u8; 64] {
        let mut out = [0; 64];
        put(&mut out, 0, stat.dev);
        put(&mut out, 8, stat.ino);
        out[16] = stat.filetype as u8;
        put(&mut out, 24, stat.nlink);
        put(&mut out, 32, stat.size);
        put(&mut out, 40, stat.atim);
        put(&mut out, 48, stat.mtim);
        put(&mut out, 56, stat.ctim);
        out
    }
}

/// `wasi_unstable`, snapshot 0.
pub(crate) struct Unstable;

impl Version for Unstable {
    const SUBSCRIPTION: u64 = 56;
    const FILESTAT: u64 = 56;
    const RIGHTS: u64 = (1 << 29) - 1;

    fn whence(raw: u32) -> Result<Whence, Errno> {
        match raw {
            0 => Ok(Whence::Current),
            1 => Ok(Whence::End),
            2 => Ok(Whence::Set),
            _ => Err(Errno::Inval),
        }
    }

    fn subscription(record: &[u8]) -> Result<Subscription, Errno> {
        // The clock begins with an identifier of its own, which nothing reads.
        decode_subscription(record, 24)
    }

    fn filestat(stat: &Filestat) -> [u8; 64] {
        let mut out = [0; 64];
        put(&mut out, 0, stat.dev);
        put(&mut out, 8, stat.ino);
        out[16] = stat.filetype as u8;
        let nlink = u32::try_from(stat.nlink).unwrap_or(u32::MAX);
        out[20..24].copy_from_slice(&nlink.to_le_bytes());
        put(&mut out, 24, stat.size);
        put(&mut out, 32, stat.atim);
        put(&mut out, 40, stat.mtim);
        put(&mut out, 48, stat.ctim);
        out
    }
}

/// `subscription`, whose clock fields begin at `clock` (id, timeout,
/// precision, flags, eight bytes each).
fn decode_subscription(record: &[u8], clock: usize) -> Result<Subscription, Errno> {
    let event = match record[8] {
        0 => {
            let flags = u16::from_le_bytes([record[clock + 24], record[clock + 25]]);
            if flags & !1 != 0 {
                return Err(Errno::Inval);
            }
            Await::Clock {
                id: get(record, clock) as u32,
                timeout: get(record, clock + 8),
                absolute: flags == 1,
            }
        }
        1 => Await::Read(GuestFd::from_u32(get(record, 16) as u32)),
        2 => Await::Write(GuestFd::from_u32(get(record, 16) as u32)),
        _ => return Err(Errno::Inval),
    };
    Ok(Subscription { userdata: get(record, 0), event })
}

/// Size of an `event`, in both versions.
pub(crate) const EVENT: u64 = 32;

pub(crate) fn event(event: &Event) -> [u8; 32] {
    let mut out = [0; 32];
    put(&mut out, 0, event.userdata);
    out[8..10].copy_from_slice(&event.error.raw().to_le_bytes());
    out[10] = event.kind as u8;
    put(&mut out, 16, event.nbytes);
    out[24] = u8::from(event.hangup);
    out
}

/// `fdstat`, with the rights that `V` knows.
pub(crate) fn fdstat<V: Version>(stat: &Fdstat) -> [u8; 24] {
    let mut out = [0; 24];
    out[0] = stat.filetype as u8;
    out[2..4].copy_from_slice(&stat.flags.to_le_bytes());
    put(&mut out, 8, stat.base & V::RIGHTS);
    put(&mut out, 16, stat.inheriting & V::RIGHTS);
    out
}

/// `prestat` of a directory whose name has this length.
pub(crate) fn prestat(name: u32) -> [u8; 8] {
    let mut out = [0; 8];
    out[4..].copy_from_slice(&name.to_le_bytes());
    out
}

/// `dirent`, which the name follows.
pub(crate) fn dirent(next: u64, ino: u64, name: u32, filetype: Filetype) -> [u8; 24] {
    let mut out = [0; 24];
    put(&mut out, 0, next);
    put(&mut out, 8, ino);
    out[16..20].copy_from_slice(&name.to_le_bytes());
    out[20] = filetype as u8;
    out
}

/// The rights a guest of this version cannot name. It keeps them when it sets
/// its rights, since it cannot have meant to drop them.
pub(crate) const fn hidden_rights<V: Version>() -> u64 {
    rights::SOCK_ACCEPT & !V::RIGHTS
}

fn put(out: &mut [u8], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get(record: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[at..at + 8]);
    u64::from_le_bytes(bytes)
}
