//! The host's system: one file each, with the same verbs.
//!
//! | verb | does |
//! |---|---|
//! | `Signal`, `SignalSet` | asks for the process to end, held back until somebody waits for them |
//! | `end_by` | ends the process as a signal does |
//! | `signals_that_end` | those that are not ignored |
//! | `reader_is_gone` | whether standard output is a pipe that nobody reads |
//! | `terminal_size` | columns and rows |
//! | `bytes_of`, `from_bytes`, `disk` | file names |
//! | `identity` | tells files from each other |
//! | `is_readable_by_others`, `private_folder`, `sync_folder` | folders and files of one user |
//! | `UnnamedFile` | a file that gets its name when it is whole |
//! | `exit_code` | how another process ended |
//! | `peer` | the user at the other end of a connection |
//! | `control::connect`, `control::Socket`, `control::Server`, `control::Pending` | control sockets |

#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
#[cfg(any(target_vendor = "apple", windows))]
mod without_unnamed;

#[cfg(target_vendor = "apple")]
pub(crate) use apple::*;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use kernel::*;
#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
#[cfg(any(target_vendor = "apple", windows))]
pub(crate) use without_unnamed::*;
