//! WASI preview 1 and `wasi_unstable` for Wardian.
//!
//! [`preview1`] and [`unstable`] are the tables of functions of the modules
//! `wasi_snapshot_preview1` and `wasi_unstable`. A [`Function`] works on raw
//! slots, on the guest's [`GuestMemory`], and on a [`WasiCtx`], which holds the
//! state of a program and is described by a [`WasiCtxBuilder`].
//!
//! ```
//! use wardian_wasi::{MemoryInput, MemoryOutput, WasiCtx};
//!
//! let output = MemoryOutput::new(1 << 20);
//! let ctx = WasiCtx::builder()
//!     .args(["sort", "-r"])?
//!     .env("LANG", "C")?
//!     .stdin_memory(MemoryInput::new("a\nb\n"))
//!     .stdout_memory(output.clone())
//!     .build();
//! assert_eq!(ctx.args(), ["sort", "-r"]);
//! # Ok::<(), wardian_wasi::BuildError>(())
//! ```
//!
//! Both versions are the same code; they differ in how records and constants
//! are encoded, for `wasi_unstable` is no alias of preview 1: its `filestat`
//! and `subscription` have other layouts, and its `whence` other numbers.
//!
//! # The sandbox
//!
//! A guest reaches the files below its preopened directories and nothing else. Paths are resolved by cap-std,
//! beneath the directory they are relative to; the last component is one name, and is never followed by the
//! operations that take it. A path that leads outside, by `..`, by a link or by being absolute, is `perm`. A
//! link to an absolute path can neither be made, followed nor read (`perm`): it would reveal something of the
//! host.
//!
//! In a [`DirPerms::ReadOnly`] directory everything that would change
//! something is `perm`, also by `path_link` and `path_rename` from or to it, and
//! through files opened in it. Its rights look like any other directory's:
//! a libc that found `fd_write` missing would open the file without it, and
//! the program would learn only from its first write.
//!
//! # Rights
//!
//! Rights are a promise between a program and itself, and can only be given up:
//!
//! - A preopened directory has every right that applies to a directory, and
//!   every right on what is opened through it.
//! - `fd_fdstat_set_rights` drops rights; gaining one is `notcapable`.
//! - `path_open` of a directory passes on what the parent's inheriting rights
//!   still hold, whatever is asked for, because modern programs ask for none.
//!   Of a file, `fd_read` and `fd_write` are passed on if they are asked for,
//!   the others always. To ask for a right that the parent has given up is
//!   `notcapable`; to ask for one that never applies does no harm.
//! - To use a right that is missing is `notcapable`, except that reading or
//!   writing is `badf`, as with POSIX, and `path_open` with `trunc` is `perm`.
//! - Files have no inheriting rights. Streams have no `fd_seek` and `fd_tell`,
//!   which is how a libc knows a terminal; a character device that is none,
//!   like `/dev/null`, seems to have them.
//!
//! This is what wasi-libc, Rust and Go expect, and what the official
//! test-suite looks for.
//!
//! # Choices of errno
//!
//! | situation | errno |
//! |---|---|
//! | a pointer out of range, in any argument | `fault` |
//! | a path that is not UTF-8 / contains NUL / exceeds 4096 bytes | `ilseq` / `inval` / `nametoolong` |
//! | `path_*` on a descriptor that is no directory | `notdir` |
//! | reading or writing a directory | `isdir` |
//! | seeking in a directory, and whatever else needs a file | `badf` |
//! | an offset on a pipe, terminal or in-memory stream | `spipe` |
//! | `fd_prestat_get` on anything but a preopened directory | `badf` |
//! | `fd_prestat_dir_name` with a short buffer | `nametoolong` |
//! | `path_link` that follows the source | `inval` |
//! | `path_open` with `creat` and `directory` | `inval` |
//! | changing `dsync`, `rsync`, `sync` of an open file | `notsup` |
//! | something wrong with one subscription of `poll_oneoff` | its event's error |
//! | `poll_oneoff` without subscriptions, or with an unknown kind | `inval` |
//!
//! # Waiting
//!
//! Calls that can block (reading and writing pipes, terminals, FIFOs and
//! sockets, opening a FIFO, `sock_accept`, `poll_oneoff`) wait for what they
//! want and for the runtime's [`Interrupt`] at once, hold no lock meanwhile,
//! and end with [`Stop::Interrupted`]. Regular files and directories are not
//! waited for. A custom stream that is not [`PollableInput`] or
//! [`PollableOutput`] cannot be interrupted. A terminal that another process
//! reads at the same moment may keep a read after its input has been taken.
//!
//! A guest's write to a pipe without readers is `pipe`, provided that the
//! process ignores `SIGPIPE`, as Rust programs do; sockets do not depend on it.
//!
//! # Threads
//!
//! [`WasiThreads`] runs programs of the wasi-threads proposal. Clones of a [`WasiCtx`] share their
//! descriptors, so every thread gets one.
//!
//! # Saving and restoring
//!
//! [`WasiCtx::save`] describes a program's state as a [`WasiState`]: plain data, which becomes bytes that are the
//! same on every machine. [`WasiCtxBuilder::restore`] makes a state for a program from it, in the same process or
//! on another machine. The builder supplies what belongs to a machine: streams, directories, listening sockets,
//! clocks, randomness, limits. A state names things by the guest's names alone, and holds no path of the host.
//!
//! | what | how it is carried |
//! |---|---|
//! | arguments, environment | as they are; [`RestoreOptions`] can take the builder's instead |
//! | numbers, rights and flags of descriptors | as they are; rights are cut to what the builder's directories and streams have |
//! | a preopened directory | by its guest name; the builder must be given one of that name |
//! | a file, a directory | by the path beneath its preopened directory that leads to it now, whatever the guest renamed since; opened without creating or truncating anything. A file must be the same or a copy of equal size and time of modification: [`Changed`] |
//! | a listing | by the names of the directory: a cookie that the guest holds means the same. Entries that are gone are skipped, new ones are seen when the guest lists from the start again |
//! | a file that was removed | its contents, up to [`SaveOptions::unlinked_limit`] in all; descriptors of the same file share it |
//! | a directory that was removed | as one; it is made and removed among the host's temporary files |
//! | a standard stream | by its role: the builder's stream takes its place. What was read of a [`MemoryInput`] or of a file is skipped, see [`RestoreOptions::stdin_as_given`]. Output is written where the builder's stream is: what was written before is the embedder's |
//! | a character device | by its path |
//! | a connected socket | reading is `connreset`, then the end; writing is `pipe` |
//! | a listening socket | the builder's in its place; without one, `sock_accept` is `inval` |
//! | monotonic time, CPU time | continue from what they were, and never run backwards; nothing passes meanwhile |
//! | the time of day, randomness | the builder's |
//! | an interrupted `poll_oneoff` | with the time that is left, if the same call is the next |
//!
//! **Calls that are made again.** A call that ends with [`Stop::Interrupted`] has done nothing that the same call
//! would do twice: what was read or written already is reported as a short read or write instead. So a runtime
//! that interrupts a guest to save it makes the call again afterwards. A relative timeout then counts from the
//! first call: in a restored program without more ado, in the same one after
//! [`WasiCtx::repeat_interrupted`].
//!
//! **Forged states.** [`WasiState::from_bytes`] takes bytes of anybody. What a state names is opened as a guest
//! would open it, so that the worst that it can be is another program in the same directories. It does not
//! notice that bytes were changed; who needs that stores a hash beside them.
//!
//! **What is refused.** [`SaveError`] names the descriptor and its path: a FIFO or block device that the guest
//! opened, for the data in it is not the guest's; a file that is open but was moved out of its directory; removed
//! files above the limit; a program with threads (one that has made no WASI call yet goes unnoticed: the runtime
//! has to refuse it by the shared memory), unless it is known that they stand still ([`SaveOptions::with_threads`]): see
//! [`WasiThreadsHandle::checkpoint_to`].
//!
//! **What is not carried.** Locks and other things that hosts attach to open files; what others wrote to a file
//! that the guest has open, if the file is copied before or after; the serial numbers of files, which may differ
//! on another machine; metadata of removed files other than the time of modification. To find what a file or
//! directory was renamed to takes `/proc`, and so does restoring a removed file.
//!
//! # Limits
//!
//! | what | how much | beyond |
//! |---|---|---|
//! | descriptors | [`DEFAULT_MAX_DESCRIPTORS`], or as set | `mfile` |
//! | path | 4096 bytes | `nametoolong` |
//! | buffers of one vector | the first 1024 | a short read or write |
//! | bytes of one vector | `u32` | `inval` |
//! | subscriptions | 16384 | `inval` |
//! | host memory for one call | 64 KiB, and 16 KiB per open directory | done in steps |

mod abi;
mod builder;
mod calls;
mod chunks;
mod clock;
mod ctx;
mod descriptor;
mod dir;
mod errno;
mod file;
mod function;
mod functions;
mod guest;
mod host;
mod link;
mod memory_stream;
mod origin;
mod path;
mod pending;
mod poll;
mod random;
mod readdir;
mod state;
mod stream;
mod table;
mod threads;
mod types;
mod version;

pub use abi::{GuestMemory, Interrupt, NeverInterrupt, Stop};
pub use builder::{BuildError, DEFAULT_MAX_DESCRIPTORS, DirPerms, WasiCtxBuilder};
pub use clock::{Clocks, SystemClocks, VirtualClocks};
pub use ctx::WasiCtx;
pub use errno::Errno;
pub use function::{Call, Function};
pub use functions::{preview1, unstable};
pub use link::add_to_linker;
pub use memory_stream::{MemoryInput, MemoryOutput};
pub use random::{RandomSource, SeededRandom, SystemRandom};
pub use state::{
    Changed, DescriptorKind, RestoreError, RestoreOptions, SaveError, SaveOptions, SavedDescriptor,
    StateError, WasiState,
};
pub use stream::{PollableInput, PollableOutput};
pub use threads::{
    DEFAULT_MAX_THREADS, ResumedThreads, WasiThreads, WasiThreadsBuilder, WasiThreadsCheckpoint,
    WasiThreadsHandle, is_threads_checkpoint, needs_threads,
};
pub use types::{ClockId, GuestFd, rights};
pub use wardian_types::wasi::Slot;

/// The example of the README is compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
