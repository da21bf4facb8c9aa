//! How to read the parameters of each function.

use super::Fill::{Entries, Strings, Upto, Vectors, Whole};
use super::Read::{
    Data, Delta, Enum, Fill, Flags, Hex, Int, Long, Out, Rights, Shown, String, Subscriptions,
    Whence,
};
use super::names::*;
use super::{Answer, Out as Answers, Read, Row};

const fn row(name: &'static str, params: &'static [(&'static str, Read)]) -> Row {
    Row { name, params, answer: Answer::Errno }
}

/// The functions of both versions.
pub(super) const FUNCTIONS: &[Row] = &[
    row("args_get", &[("argv", Fill(Strings))]),
    row("args_sizes_get", &[("argc", Out(Answers::Int)), ("size", Out(Answers::Int))]),
    row("environ_get", &[("environ", Fill(Strings))]),
    row("environ_sizes_get", &[("count", Out(Answers::Int)), ("size", Out(Answers::Int))]),
    row("clock_res_get", &[("id", Enum(CLOCK)), ("resolution", Out(Answers::Long))]),
    row(
        "clock_time_get",
        &[("id", Enum(CLOCK)), ("precision", Long), ("time", Out(Answers::Long))],
    ),
    row("fd_advise", &[("fd", Int), ("offset", Long), ("len", Long), ("advice", Enum(ADVICE))]),
    row("fd_allocate", &[("fd", Int), ("offset", Long), ("len", Long)]),
    row("fd_close", &[("fd", Int)]),
    row("fd_datasync", &[("fd", Int)]),
    row("fd_fdstat_get", &[("fd", Int), ("stat", Out(Answers::Fdstat))]),
    row("fd_fdstat_set_flags", &[("fd", Int), ("flags", Flags(FDFLAGS))]),
    row("fd_fdstat_set_rights", &[("fd", Int), ("rights", Rights), ("inheriting", Rights)]),
    row("fd_filestat_get", &[("fd", Int), ("stat", Out(Answers::Filestat))]),
    row("fd_filestat_set_size", &[("fd", Int), ("size", Long)]),
    row(
        "fd_filestat_set_times",
        &[("fd", Int), ("atim", Long), ("mtim", Long), ("flags", Flags(FSTFLAGS))],
    ),
    row(
        "fd_pread",
        &[("fd", Int), ("data", Fill(Vectors(4))), ("offset", Long), ("nread", Out(Answers::Int))],
    ),
    row("fd_prestat_get", &[("fd", Int), ("prestat", Out(Answers::Prestat))]),
    row("fd_prestat_dir_name", &[("fd", Int), ("path", Fill(Whole))]),
    row(
        "fd_pwrite",
        &[("fd", Int), ("data", Data), ("offset", Long), ("nwritten", Out(Answers::Int))],
    ),
    row("fd_read", &[("fd", Int), ("data", Fill(Vectors(3))), ("nread", Out(Answers::Int))]),
    row(
        "fd_readdir",
        &[
            ("fd", Int),
            ("entries", Fill(Entries(4))),
            ("cookie", Long),
            ("used", Out(Answers::Int)),
        ],
    ),
    row("fd_renumber", &[("fd", Int), ("to", Int)]),
    row(
        "fd_seek",
        &[("fd", Int), ("offset", Delta), ("whence", Whence), ("position", Out(Answers::Long))],
    ),
    row("fd_sync", &[("fd", Int)]),
    row("fd_tell", &[("fd", Int), ("position", Out(Answers::Long))]),
    row("fd_write", &[("fd", Int), ("data", Data), ("nwritten", Out(Answers::Int))]),
    row("path_create_directory", &[("fd", Int), ("path", String)]),
    row(
        "path_filestat_get",
        &[
            ("fd", Int),
            ("lookup", Flags(LOOKUP)),
            ("path", String),
            ("stat", Out(Answers::Filestat)),
        ],
    ),
    row(
        "path_filestat_set_times",
        &[
            ("fd", Int),
            ("lookup", Flags(LOOKUP)),
            ("path", String),
            ("atim", Long),
            ("mtim", Long),
            ("flags", Flags(FSTFLAGS)),
        ],
    ),
    row(
        "path_link",
        &[
            ("old_fd", Int),
            ("lookup", Flags(LOOKUP)),
            ("old_path", String),
            ("new_fd", Int),
            ("new_path", String),
        ],
    ),
    row(
        "path_open",
        &[
            ("fd", Int),
            ("lookup", Flags(LOOKUP)),
            ("path", String),
            ("oflags", Flags(OFLAGS)),
            ("rights", Rights),
            ("inheriting", Rights),
            ("fdflags", Flags(FDFLAGS)),
            ("opened", Out(Answers::Int)),
        ],
    ),
    row(
        "path_readlink",
        &[("fd", Int), ("path", String), ("target", Fill(Upto(5))), ("used", Out(Answers::Int))],
    ),
    row("path_remove_directory", &[("fd", Int), ("path", String)]),
    row("path_rename", &[("fd", Int), ("old_path", String), ("new_fd", Int), ("new_path", String)]),
    row("path_symlink", &[("target", String), ("fd", Int), ("path", String)]),
    row("path_unlink_file", &[("fd", Int), ("path", String)]),
    row(
        "poll_oneoff",
        &[
            ("subscriptions", Subscriptions(2)),
            ("events", Out(Answers::Events(3))),
            ("count", Shown),
            ("nevents", Out(Answers::Int)),
        ],
    ),
    Row { name: "proc_exit", params: &[("code", Int)], answer: Answer::Nothing },
    row("proc_raise", &[("signal", Int)]),
    row("sched_yield", &[]),
    row("random_get", &[("bytes", Fill(Whole))]),
    row("sock_accept", &[("fd", Int), ("flags", Flags(FDFLAGS)), ("accepted", Out(Answers::Int))]),
    row(
        "sock_recv",
        &[
            ("fd", Int),
            ("data", Fill(Vectors(4))),
            ("flags", Flags(RIFLAGS)),
            ("nread", Out(Answers::Int)),
            ("roflags", Out(Answers::Flags(ROFLAGS))),
        ],
    ),
    row(
        "sock_send",
        &[("fd", Int), ("data", Data), ("flags", Int), ("nwritten", Out(Answers::Int))],
    ),
    row("sock_shutdown", &[("fd", Int), ("how", Flags(SDFLAGS))]),
];

/// The function of wasi-threads.
pub(super) const THREADS: &[Row] =
    &[Row { name: "thread-spawn", params: &[("start_arg", Hex)], answer: Answer::Thread }];
