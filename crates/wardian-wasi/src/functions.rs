//! The function tables of both versions.

use crate::abi::finish;
use crate::calls::{fd, fd_io, path, process, sock};
use crate::function::Function;
use crate::version::{Preview1, Unstable};
use wardian_types::wasi::{FUNCTIONS, Function as Description, Slot};

/// The functions of `wasi_snapshot_preview1`, all 46.
pub fn preview1() -> &'static [Function] {
    PREVIEW1
}

/// The functions of `wasi_unstable`, all 45: snapshot 0, with its own records
/// and constants. It has no `sock_accept`.
pub fn unstable() -> &'static [Function] {
    UNSTABLE
}

/// A function by its name, which says what its parameters are, and its body.
macro_rules! function {
    ($name:ident $body:expr) => {
        Function {
            name: stringify!($name),
            params: const {
                const SLOTS: &Slots = &slots(describe(stringify!($name)));
                SLOTS.0.split_at(SLOTS.1).0
            },
            results: const { describe(stringify!($name)).result_slots() },
            call: |call, args| {
                call.ctx.with_pending(|pending| pending.call_begins());
                finish($body(call, args))
            },
        }
    };
}

/// The description of the function with this name.
const fn describe(name: &str) -> &'static Description {
    let mut at = 0;
    while at < FUNCTIONS.len() {
        if is_same(FUNCTIONS[at].name.as_bytes(), name.as_bytes()) {
            return &FUNCTIONS[at];
        }
        at += 1;
    }
    panic!("a function has no description")
}

/// No function has parameters of more slots.
const MOST_SLOTS: usize = 16;

/// The slots of a function's parameters, and how many there are.
type Slots = ([Slot; MOST_SLOTS], usize);

const fn slots(function: &Description) -> Slots {
    let (mut slots, mut count, mut at) = ([Slot::I32; MOST_SLOTS], 0, 0);
    while at < function.params.len() {
        let own = function.params[at].1.slots();
        let mut i = 0;
        while i < own.len() {
            slots[count] = own[i];
            (count, i) = (count + 1, i + 1);
        }
        at += 1;
    }
    (slots, count)
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// The table of a version, followed by the functions only it has.
macro_rules! table {
    ($version:ty, $($more:expr),*) => {
        &[
            function!(args_get process::args_get),
            function!(args_sizes_get process::args_sizes_get),
            function!(environ_get process::environ_get),
            function!(environ_sizes_get process::environ_sizes_get),
            function!(clock_res_get process::clock_res_get),
            function!(clock_time_get process::clock_time_get),
            function!(fd_advise fd::fd_advise),
            function!(fd_allocate fd::fd_allocate),
            function!(fd_close fd::fd_close),
            function!(fd_datasync fd::fd_datasync),
            function!(fd_fdstat_get fd::fd_fdstat_get::<$version>),
            function!(fd_fdstat_set_flags fd::fd_fdstat_set_flags),
            function!(fd_fdstat_set_rights fd::fd_fdstat_set_rights::<$version>),
            function!(fd_filestat_get fd::fd_filestat_get::<$version>),
            function!(fd_filestat_set_size fd::fd_filestat_set_size),
            function!(fd_filestat_set_times fd::fd_filestat_set_times),
            function!(fd_pread fd_io::fd_pread),
            function!(fd_prestat_get fd::fd_prestat_get),
            function!(fd_prestat_dir_name fd::fd_prestat_dir_name),
            function!(fd_pwrite fd_io::fd_pwrite),
            function!(fd_read fd_io::fd_read),
            function!(fd_readdir fd::fd_readdir),
            function!(fd_renumber fd::fd_renumber),
            function!(fd_seek fd::fd_seek::<$version>),
            function!(fd_sync fd::fd_sync),
            function!(fd_tell fd::fd_tell),
            function!(fd_write fd_io::fd_write),
            function!(path_create_directory path::path_create_directory),
            function!(path_filestat_get path::path_filestat_get::<$version>),
            function!(path_filestat_set_times path::path_filestat_set_times),
            function!(path_link path::path_link),
            function!(path_open path::path_open),
            function!(path_readlink path::path_readlink),
            function!(path_remove_directory path::path_remove_directory),
            function!(path_rename path::path_rename),
            function!(path_symlink path::path_symlink),
            function!(path_unlink_file path::path_unlink_file),
            function!(poll_oneoff process::poll_oneoff::<$version>),
            function!(proc_exit process::proc_exit),
            function!(proc_raise process::proc_raise),
            function!(sched_yield process::sched_yield),
            function!(random_get process::random_get),
            function!(sock_recv sock::sock_recv),
            function!(sock_send sock::sock_send),
            function!(sock_shutdown sock::sock_shutdown),
            $($more),*
        ]
    };
}

static PREVIEW1: &[Function] = table!(Preview1, function!(sock_accept sock::sock_accept));

static UNSTABLE: &[Function] = table!(Unstable,);
