//! The functions of both versions, and that of wasi-threads.

use super::Ability::{
    Arguments, Clock, Descriptors, Exit, Folders, Network, Random, ReadFiles, Threads, WriteFiles,
    Yield,
};
use super::Buffer::{Entries, Strings, Upto, Vectors, Whole};
use super::Param::{
    Data, Delta, Enum, Fill, Flags, Hex, Int, Long, Out, Rights, Shown, String, Subscriptions,
    Whence,
};
use super::names::*;
use super::{Ability, Function, Output, Param, ResultKind};

const fn row(
    name: &'static str,
    ability: Ability,
    params: &'static [(&'static str, Param)],
) -> Function {
    Function { name, ability, params, result: ResultKind::Errno }
}

/// The functions of both versions.
pub static FUNCTIONS: &[Function] = &[
    row("args_get", Arguments, &[("argv", Fill(Strings))]),
    row("args_sizes_get", Arguments, &[("argc", Out(Output::Int)), ("size", Out(Output::Int))]),
    row("environ_get", Arguments, &[("environ", Fill(Strings))]),
    row("environ_sizes_get", Arguments, &[("count", Out(Output::Int)), ("size", Out(Output::Int))]),
    row("clock_res_get", Clock, &[("id", Enum(CLOCK)), ("resolution", Out(Output::Long))]),
    row(
        "clock_time_get",
        Clock,
        &[("id", Enum(CLOCK)), ("precision", Long), ("time", Out(Output::Long))],
    ),
    row(
        "fd_advise",
        Descriptors,
        &[("fd", Int), ("offset", Long), ("len", Long), ("advice", Enum(ADVICE))],
    ),
    row("fd_allocate", WriteFiles, &[("fd", Int), ("offset", Long), ("len", Long)]),
    row("fd_close", Descriptors, &[("fd", Int)]),
    row("fd_datasync", WriteFiles, &[("fd", Int)]),
    row("fd_fdstat_get", Descriptors, &[("fd", Int), ("stat", Out(Output::Fdstat))]),
    row("fd_fdstat_set_flags", Descriptors, &[("fd", Int), ("flags", Flags(FDFLAGS))]),
    row(
        "fd_fdstat_set_rights",
        Descriptors,
        &[("fd", Int), ("rights", Rights), ("inheriting", Rights)],
    ),
    row("fd_filestat_get", ReadFiles, &[("fd", Int), ("stat", Out(Output::Filestat))]),
    row("fd_filestat_set_size", WriteFiles, &[("fd", Int), ("size", Long)]),
    row(
        "fd_filestat_set_times",
        WriteFiles,
        &[("fd", Int), ("atim", Long), ("mtim", Long), ("flags", Flags(FSTFLAGS))],
    ),
    row(
        "fd_pread",
        ReadFiles,
        &[("fd", Int), ("data", Fill(Vectors(4))), ("offset", Long), ("nread", Out(Output::Int))],
    ),
    row("fd_prestat_get", Descriptors, &[("fd", Int), ("prestat", Out(Output::Prestat))]),
    row("fd_prestat_dir_name", Descriptors, &[("fd", Int), ("path", Fill(Whole))]),
    row(
        "fd_pwrite",
        WriteFiles,
        &[("fd", Int), ("data", Data), ("offset", Long), ("nwritten", Out(Output::Int))],
    ),
    row(
        "fd_read",
        ReadFiles,
        &[("fd", Int), ("data", Fill(Vectors(3))), ("nread", Out(Output::Int))],
    ),
    row(
        "fd_readdir",
        Folders,
        &[("fd", Int), ("entries", Fill(Entries(4))), ("cookie", Long), ("used", Out(Output::Int))],
    ),
    row("fd_renumber", Descriptors, &[("fd", Int), ("to", Int)]),
    row(
        "fd_seek",
        Descriptors,
        &[("fd", Int), ("offset", Delta), ("whence", Whence), ("position", Out(Output::Long))],
    ),
    row("fd_sync", WriteFiles, &[("fd", Int)]),
    row("fd_tell", Descriptors, &[("fd", Int), ("position", Out(Output::Long))]),
    row("fd_write", WriteFiles, &[("fd", Int), ("data", Data), ("nwritten", Out(Output::Int))]),
    row("path_create_directory", Folders, &[("fd", Int), ("path", String)]),
    row(
        "path_filestat_get",
        ReadFiles,
        &[
            ("fd", Int),
            ("lookup", Flags(LOOKUP)),
            ("path", String),
            ("stat", Out(Output::Filestat)),
        ],
    ),
    row(
        "path_filestat_set_times",
        WriteFiles,
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
        Folders,
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
        ReadFiles,
        &[
            ("fd", Int),
            ("lookup", Flags(LOOKUP)),
            ("path", String),
            ("oflags", Flags(OFLAGS)),
            ("rights", Rights),
            ("inheriting", Rights),
            ("fdflags", Flags(FDFLAGS)),
            ("opened", Out(Output::Int)),
        ],
    ),
    row(
        "path_readlink",
        Folders,
        &[("fd", Int), ("path", String), ("target", Fill(Upto(5))), ("used", Out(Output::Int))],
    ),
    row("path_remove_directory", Folders, &[("fd", Int), ("path", String)]),
    row(
        "path_rename",
        Folders,
        &[("fd", Int), ("old_path", String), ("new_fd", Int), ("new_path", String)],
    ),
    row("path_symlink", Folders, &[("target", String), ("fd", Int), ("path", String)]),
    row("path_unlink_file", Folders, &[("fd", Int), ("path", String)]),
    row(
        "poll_oneoff",
        Clock,
        &[
            ("subscriptions", Subscriptions(2)),
            ("events", Out(Output::Events(3))),
            ("count", Shown),
            ("nevents", Out(Output::Int)),
        ],
    ),
    Function {
        name: "proc_exit",
        ability: Exit,
        params: &[("code", Int)],
        result: ResultKind::Nothing,
    },
    row("proc_raise", Exit, &[("signal", Int)]),
    row("sched_yield", Yield, &[]),
    row("random_get", Random, &[("bytes", Fill(Whole))]),
    row(
        "sock_accept",
        Network,
        &[("fd", Int), ("flags", Flags(FDFLAGS)), ("accepted", Out(Output::Int))],
    ),
    row(
        "sock_recv",
        Network,
        &[
            ("fd", Int),
            ("data", Fill(Vectors(4))),
            ("flags", Flags(RIFLAGS)),
            ("nread", Out(Output::Int)),
            ("roflags", Out(Output::Flags(ROFLAGS))),
        ],
    ),
    row(
        "sock_send",
        Network,
        &[("fd", Int), ("data", Data), ("flags", Int), ("nwritten", Out(Output::Int))],
    ),
    row("sock_shutdown", Network, &[("fd", Int), ("how", Flags(SDFLAGS))]),
];

/// The function of wasi-threads.
pub static THREADS: &[Function] = &[Function {
    name: "thread-spawn",
    ability: Threads,
    params: &[("start_arg", Hex)],
    result: ResultKind::Thread,
}];
