//! What depends on the system: one file each, all with the same verbs.
//!
//! ```text
//!   Linux (GNU, musl)   Android           Apple's systems    Windows            Miri
//!   linux.rs            android.rs        apple.rs           windows.rs         miri.rs
//!      └─── kernel.rs ─────┘                 │  └─── without_files.rs ─┴─────────────┘
//!      └─────────────────── unix.rs ─────────┘                         └─ without_signals.rs
//! ```
//!
//! | verb | does |
//! |---|---|
//! | `page_size` | bytes of the pages that rights are given to |
//! | `reserve`, `release` | address space without rights |
//! | `allow_access` | makes pages readable and writable |
//! | `empty` | replaces pages by fresh ones without rights |
//! | `discard` | makes pages what they were when they were mapped |
//! | `refuse_huge_pages` | asks for small pages |
//! | `move_pages` | moves the pages of a mapping elsewhere, and leaves the mapping as it is |
//! | `make_writable`, `make_executable` | rights of pages for code |
//! | `explain` | why a mapping was refused |
//! | `MAPS_FILES` | whether memories can be views of files that have no name |
//! | `LAZY_PAGES` | whether accessible pages take memory only once they are used |
//! | `memory_file`, `read_at`, `write_at`, `empty_file` | files that have no name, if there are any |
//! | `sealable_file`, `seal`, `is_sealed` | files in memory that nobody can change any more |
//! | `show_private`, `show_shared` | pages that are a view of a file |
//! | `allocate` | room on the disk for a part of a file |
//! | `most_of_a_file` | the limit for sizes of files |
//! | `room` | memory that the system has left |
//! | `written` | which pages of a private view were written |
//! | `track`, `written_tracked`, `untrack` | notes which pages are written from now on |
//! | `forks`, `at_fork` | notices forks of the process |
//! | `Event` | a thing to be waited for in the system, together with others |
//! | `nanoseconds`, `thread_nanoseconds`, `thread_kernel_nanoseconds` | clocks that a signal handler may read |
//! | `copy` | copies bytes that may not be there |
//! | `object_at` | the program or library in which an address lies |
//! | `private_file` | makes a file that only its user can read |
//! | `map_executable` | shows a file to the system's profilers |
//! | `refusal` | the error of a request that is refused on purpose |
//! | `signals` | traps and requests to stop that come as signals, or nothing in their place |
//! | `thread` | what a thread that runs guests needs |
//! | `barrier`, `synchronize_cores` | barriers on all threads of the process |
//! | `memory_files`, `written_pages`, `barriers`, `mappings`, `address_space` | what there is of these, in words |
//! | `FILES_INSTEAD`, `WRITTEN_INSTEAD` | what is done without |
//!
//! A system that lacks a verb has one that says so, and what uses it takes another way: copies in place of views,
//! checks in place of signals.

#[cfg(all(target_os = "android", not(miri)))]
mod android;
#[cfg(all(target_vendor = "apple", not(miri)))]
mod apple;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod event;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod kernel;
#[cfg(all(target_os = "linux", not(miri)))]
mod linux;
#[cfg(miri)]
mod miri;
#[cfg(all(unix, not(miri)))]
mod unix;
#[cfg(windows)]
mod windows;
#[cfg(any(target_vendor = "apple", windows, miri))]
mod without_files;
#[cfg(any(windows, miri))]
pub mod without_signals;

#[cfg(all(target_os = "android", not(miri)))]
pub(crate) use android::*;
#[cfg(all(target_vendor = "apple", not(miri)))]
pub(crate) use apple::*;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use event::Event;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
pub(crate) use kernel::*;
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) use linux::*;
#[cfg(miri)]
pub(crate) use miri::*;
#[cfg(all(unix, not(miri)))]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
#[cfg(any(target_vendor = "apple", windows, miri))]
pub(crate) use without_files::*;
#[cfg(any(windows, miri))]
pub(crate) use without_signals::thread;

#[cfg(miri)]
pub use miri::{map_executable, private_file, thread_nanoseconds};
#[cfg(all(unix, not(miri)))]
pub use unix::{map_executable, private_file, signals, thread_nanoseconds};
#[cfg(windows)]
pub use windows::{map_executable, private_file, thread_nanoseconds};
#[cfg(any(windows, miri))]
pub use without_signals as signals;

use std::ops::Range;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::sync::Arc;

/// What becomes readable when a guest is to stop: an event of the system's, to be waited for together with others.
#[derive(Clone, Debug)]
pub struct WakeFd(pub(crate) Arc<Event>);

#[cfg(unix)]
impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(windows)]
impl AsHandle for WakeFd {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

/// Which pages of a view were written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Runs of pages, by their offsets in bytes. Some may be among them whose bytes have not changed.
    pub(crate) runs: Vec<Range<usize>>,
    /// Bytes of other pages that were read since they were mapped, so that dropping all takes time for them.
    pub(crate) read: usize,
}
