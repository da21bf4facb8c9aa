//! The function tables of both versions.

use crate::abi::finish;
use crate::calls::{fd, fd_io, path, process, sock};
use crate::function::{Function, Slot};
use crate::version::{Preview1, Unstable};

/// The functions of `wasi_snapshot_preview1`, all 46.
pub fn preview1() -> &'static [Function] {
    PREVIEW1
}

/// The functions of `wasi_unstable`, all 45: snapshot 0, with its own records
/// and constants. It has no `sock_accept`.
pub fn unstable() -> &'static [Function] {
    UNSTABLE
}

/// One table entry: name, parameters (`I` for `i32`, `L` for `i64`), body.
macro_rules! function {
    ($name:ident [$($param:ident)*] $body:expr) => {
        function!($name [$($param)*] [Slot::I32] $body)
    };
    ($name:ident [$($param:ident)*] [$($result:expr)?] $body:expr) => {
        Function {
            name: stringify!($name),
            params: &[$(function!(@ $param)),*],
            results: &[$($result)?],
            call: |call, args| {
                call.ctx.pending().call_begins();
                finish($body(call, args))
            },
        }
    };
    (@ I) => { Slot::I32 };
    (@ L) => { Slot::I64 };
}

/// The table of a version, followed by the functions only it has.
macro_rules! table {
    ($version:ty, $($more:expr),*) => {
        &[
            function!(args_get [I I] process::args_get),
            function!(args_sizes_get [I I] process::args_sizes_get),
            function!(environ_get [I I] process::environ_get),
            function!(environ_sizes_get [I I] process::environ_sizes_get),
            function!(clock_res_get [I I] process::clock_res_get),
            function!(clock_time_get [I L I] process::clock_time_get),
            function!(fd_advise [I L L I] fd::fd_advise),
            function!(fd_allocate [I L L] fd::fd_allocate),
            function!(fd_close [I] fd::fd_close),
            function!(fd_datasync [I] fd::fd_datasync),
            function!(fd_fdstat_get [I I] fd::fd_fdstat_get::<$version>),
            function!(fd_fdstat_set_flags [I I] fd::fd_fdstat_set_flags),
            function!(fd_fdstat_set_rights [I L L] fd::fd_fdstat_set_rights::<$version>),
            function!(fd_filestat_get [I I] fd::fd_filestat_get::<$version>),
            function!(fd_filestat_set_size [I L] fd::fd_filestat_set_size),
            function!(fd_filestat_set_times [I L L I] fd::fd_filestat_set_times),
            function!(fd_pread [I I I L I] fd_io::fd_pread),
            function!(fd_prestat_get [I I] fd::fd_prestat_get),
            function!(fd_prestat_dir_name [I I I] fd::fd_prestat_dir_name),
            function!(fd_pwrite [I I I L I] fd_io::fd_pwrite),
            function!(fd_read [I I I I] fd_io::fd_read),
            function!(fd_readdir [I I I L I] fd::fd_readdir),
            function!(fd_renumber [I I] fd::fd_renumber),
            function!(fd_seek [I L I I] fd::fd_seek::<$version>),
            function!(fd_sync [I] fd::fd_sync),
            function!(fd_tell [I I] fd::fd_tell),
            function!(fd_write [I I I I] fd_io::fd_write),
            function!(path_create_directory [I I I] path::path_create_directory),
            function!(path_filestat_get [I I I I I] path::path_filestat_get::<$version>),
            function!(path_filestat_set_times [I I I I L L I] path::path_filestat_set_times),
            function!(path_link [I I I I I I I] path::path_link),
            function!(path_open [I I I I I L L I I] path::path_open),
            function!(path_readlink [I I I I I I] path::path_readlink),
            function!(path_remove_directory [I I I] path::path_remove_directory),
            function!(path_rename [I I I I I I] path::path_rename),
            function!(path_symlink [I I I I I] path::path_symlink),
            function!(path_unlink_file [I I I] path::path_unlink_file),
            function!(poll_oneoff [I I I I] process::poll_oneoff::<$version>),
            function!(proc_exit [I] [] process::proc_exit),
            function!(proc_raise [I] process::proc_raise),
            function!(sched_yield [] process::sched_yield),
            function!(random_get [I I] process::random_get),
            function!(sock_recv [I I I I I I] sock::sock_recv),
            function!(sock_send [I I I I I] sock::sock_send),
            function!(sock_shutdown [I I] sock::sock_shutdown),
            $($more),*
        ]
    };
}

static PREVIEW1: &[Function] = table!(Preview1, function!(sock_accept [I I I] sock::sock_accept));

static UNSTABLE: &[Function] = table!(Unstable,);
