//! The tables themselves.

use std::collections::BTreeMap;

use wardian_wasi::{Function, Slot, preview1, unstable};

/// The signatures of preview 1 as in its witx file: `i` is `i32`, `I` is `i64`.
const SIGNATURES: &str = "
args_get ii, args_sizes_get ii, environ_get ii, environ_sizes_get ii, clock_res_get ii,
clock_time_get iIi, fd_advise iIIi, fd_allocate iII, fd_close i, fd_datasync i, fd_fdstat_get ii,
fd_fdstat_set_flags ii, fd_fdstat_set_rights iII, fd_filestat_get ii, fd_filestat_set_size iI,
fd_filestat_set_times iIIi, fd_pread iiiIi, fd_prestat_get ii, fd_prestat_dir_name iii,
fd_pwrite iiiIi, fd_read iiii, fd_readdir iiiIi, fd_renumber ii, fd_seek iIii, fd_sync i,
fd_tell ii, fd_write iiii, path_create_directory iii, path_filestat_get iiiii,
path_filestat_set_times iiiiIIi, path_link iiiiiii, path_open iiiiiIIii, path_readlink iiiiii,
path_remove_directory iii, path_rename iiiiii, path_symlink iiiii, path_unlink_file iii,
poll_oneoff iiii, proc_exit i, proc_raise i, sched_yield , random_get ii, sock_accept iii,
sock_recv iiiiii, sock_send iiiii, sock_shutdown ii";

fn signatures(functions: &[Function]) -> BTreeMap<&str, String> {
    let letter = |slot: &Slot| if *slot == Slot::I32 { 'i' } else { 'I' };
    let all: BTreeMap<_, _> =
        functions.iter().map(|f| (f.name, f.params.iter().map(letter).collect())).collect();
    assert_eq!(all.len(), functions.len(), "a function is there twice");
    all
}

#[test]
fn both_versions_are_complete() {
    let mut expected: BTreeMap<&str, String> = SIGNATURES
        .split(',')
        .map(|entry| entry.trim_start().split_once(' ').unwrap())
        .map(|(name, params)| (name, params.trim().to_owned()))
        .collect();
    assert_eq!(expected.len(), 46);
    assert_eq!(signatures(preview1()), expected);
    expected.remove("sock_accept");
    assert_eq!(signatures(unstable()), expected);
}

#[test]
fn all_but_proc_exit_return_an_errno() {
    for function in preview1().iter().chain(unstable()) {
        let expected: &[Slot] = if function.name == "proc_exit" { &[] } else { &[Slot::I32] };
        assert_eq!(function.results, expected, "{}", function.name);
    }
}
