//! The host's system: one file each, with the same verbs.
//!
//! ```text
//!   Linux     Android     Apple's systems      Windows
//!   linux.rs  android.rs  apple.rs             windows.rs
//!      └ kernel.rs ┘         │  │                 │
//!      └────── unix.rs ──────┘  └── snapshot.rs ──┘
//! ```
//!
//! | verb | does |
//! |---|---|
//! | `Fd`, `stat`, `dir_stat`, `stat_at`, `stat_of`, `parent_ino`, `metadata` | attributes of what is open, and of names in a directory |
//! | `check_path` | refuses paths that mean something else to the host |
//! | `open`, `is_fifo`, `dir_of` | opens a path beneath a directory |
//! | `make_dir`, `remove_dir`, `remove_file`, `rename`, `link`, `symlink`, `read_link` | names in a directory, which are never followed |
//! | `set_times`, `set_times_at`, `set_dir_times`, `sync`, `sync_dir` | what lasts |
//! | `read`, `write`, `read_at`, `write_at`, `seek`, `advise`, `allocate`, `set_size`, `set_append` | regular files |
//! | `Listing` | the entries of a directory, by position |
//! | `Host` | a stream of the host: a pipe, a terminal, a device |
//! | `Socket`, `Listener` | connected and listening sockets |
//! | `Waiter`, `Waited`, `waited`, `is_ready`, `outcome` | waits for some of these, a deadline, and an [`Interrupt`](crate::Interrupt) |
//! | `Wake`, `wake`, `WakeSource`, `wake_source` | what an interrupt, and what a stream of the embedder's, is waited for by |
//! | `stdin`, `stdout`, `stderr` | the standard streams of the process |
//! | `now`, `resolution`, `random` | clocks and random bytes |
//! | `errno` | the code of an error that has one of the system's |
//! | `Identity` of a file, `Saving::opened`, `nameless`, `open_again`, `removed_directory` | what saved states need: see [`crate::state`] |

#[cfg(target_os = "android")]
mod android;
#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_vendor = "apple", windows))]
mod snapshot;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "android")]
use android::*;
#[cfg(target_vendor = "apple")]
pub(crate) use apple::*;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use kernel::*;
#[cfg(target_os = "linux")]
use linux::*;
#[cfg(any(target_vendor = "apple", windows))]
pub(crate) use snapshot::*;
#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

use crate::errno::Errno;

/// What `sock_recv` received.
pub(crate) struct Received {
    pub(crate) bytes: usize,
    pub(crate) truncated: bool,
}

/// What was found of something that was waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) error: Errno,
    /// Bytes that can be read, if it was waited for to be read.
    pub(crate) bytes: u64,
    pub(crate) hangup: bool,
}
