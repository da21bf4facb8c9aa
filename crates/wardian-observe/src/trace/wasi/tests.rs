//! Each function's line: arguments before the call, answers after it.

use super::{Reader, System, find};
use crate::trace::value::{Fields, Style};
use wardian::{FuncType, ValType, testing::TestModule};
use wardian_types::wasi::{FUNCTIONS, THREADS};

/// A function, its slots, its arguments and its answers.
type Case = (&'static str, &'static [u64], &'static str, &'static str);

const RIGHTS: u64 = (1 << 1) | (1 << 6);

const CASES: &[Case] = &[
    ("args_get", &[0x300, 0x310], "0x300, 0x310", r#"["a", "bc"]"#),
    ("args_sizes_get", &[0x100, 0x104], "", "7, 9"),
    ("environ_get", &[0x300, 0x310], "0x300, 0x310", r#"["a", "bc"]"#),
    ("environ_sizes_get", &[0x100, 0x104], "", "7, 9"),
    ("clock_res_get", &[1, 0x100], "MONOTONIC", "38654705671"),
    ("clock_time_get", &[0, 1000, 0x100], "REALTIME, 1000", "38654705671"),
    ("fd_advise", &[3, 0, 10, 3], "3, 0, 10, WILLNEED", ""),
    ("fd_allocate", &[3, 1, u64::MAX], "3, 1, 18446744073709551615", ""),
    ("fd_close", &[0xffff_ffff_0000_0003], "3", ""),
    ("fd_datasync", &[3], "3", ""),
    (
        "fd_fdstat_get",
        &[3, 0x400],
        "3",
        "{type=regular_file, flags=APPEND|SYNC, rights=FD_READ|FD_WRITE, inheriting=0}",
    ),
    ("fd_fdstat_set_flags", &[3, 0x45], "3, APPEND|NONBLOCK|0x40", ""),
    ("fd_fdstat_set_rights", &[3, RIGHTS, 0x1fff], "3, FD_READ|FD_WRITE, 0x1fff", ""),
    (
        "fd_filestat_get",
        &[3, 0x500],
        "3",
        "{type=directory, size=5, dev=1, ino=2, nlink=4, atim=6, mtim=7, ctim=8}",
    ),
    ("fd_filestat_set_size", &[3, 7], "3, 7", ""),
    ("fd_filestat_set_times", &[3, 1, 2, 9], "3, 1, 2, ATIM|MTIM_NOW", ""),
    ("fd_pread", &[3, 0x200, 2, 5, 0x100], "3, 12, 5", r#"7, "hello\x1b[""#),
    ("fd_prestat_get", &[3, 0x108], "3", "{type=dir, name_len=5}"),
    ("fd_prestat_dir_name", &[3, 0x210, 5], "3, 5", r#""hello""#),
    ("fd_pwrite", &[3, 0x200, 2, 5, 0x100], r#"3, "hello\x1b[31"..., 12, 5"#, "7"),
    ("fd_read", &[3, 0x200, 2, 0x100], "3, 12", r#"7, "hello\x1b[""#),
    ("fd_readdir", &[3, 0x600, 60, 0, 0x110], "3, 60, 0", r#"60, ["x", "yz"]..."#),
    ("fd_renumber", &[4, 5], "4, 5", ""),
    ("fd_seek", &[3, u64::MAX, 1, 0x100], "3, -1, SEEK_CUR", "38654705671"),
    ("fd_sync", &[3], "3", ""),
    ("fd_tell", &[3, 0x100], "3", "38654705671"),
    ("fd_write", &[1, 0x200, 2, 0x100], r#"1, "hello\x1b[31"..., 12"#, "7"),
    ("path_create_directory", &[3, 0x210, 5], r#"3, "hello""#, ""),
    (
        "path_filestat_get",
        &[3, 1, 0x210, 5, 0x500],
        r#"3, SYMLINK_FOLLOW, "hello""#,
        "{type=directory, size=5, dev=1, ino=2, nlink=4, atim=6, mtim=7, ctim=8}",
    ),
    ("path_filestat_set_times", &[3, 0, 0x210, 5, 1, 2, 4], r#"3, 0, "hello", 1, 2, MTIM"#, ""),
    ("path_link", &[3, 0, 0x210, 5, 4, 0x210, 2], r#"3, 0, "hello", 4, "he""#, ""),
    (
        "path_open",
        &[3, 0, 0x210, 5, 9, RIGHTS, 0, 4, 0x100],
        r#"3, 0, "hello", O_CREAT|O_TRUNC, FD_READ|FD_WRITE, 0, NONBLOCK"#,
        "7",
    ),
    ("path_readlink", &[3, 0x210, 5, 0x215, 7, 0x100], r#"3, "hello", 7"#, r#"7, "\x1b[31m!?""#),
    ("path_remove_directory", &[3, 0x210, 5], r#"3, "hello""#, ""),
    ("path_rename", &[3, 0x210, 5, 4, 0xffff_fff0, 32], r#"3, "hello", 4, 0xfffffff0, 32"#, ""),
    ("path_symlink", &[0x210, 5, 3, 0x210, 0], r#""hello", 3, """#, ""),
    ("path_unlink_file", &[3, 0x210, 0x7fff_ffff], "3, 0x210, 2147483647", ""),
    (
        "poll_oneoff",
        &[0x700, 0x780, 2, 0x114],
        "[{type=CLOCK, clock=MONOTONIC, timeout=50, flags=ABSTIME}, {type=FD_READ, fd=4}]",
        "1, [{type=FD_READ, errno=EBADF, nbytes=3}]",
    ),
    ("proc_exit", &[7], "7", ""),
    ("proc_raise", &[6], "6", ""),
    ("sched_yield", &[], "", ""),
    ("random_get", &[0x210, 3], "3", r#""hel""#),
    ("sock_accept", &[5, 4, 0x100], "5, NONBLOCK", "7"),
    (
        "sock_recv",
        &[5, 0x200, 2, 1, 0x100, 0x118],
        "5, 12, RECV_PEEK",
        r#"7, RECV_DATA_TRUNCATED, "hello\x1b[""#,
    ),
    ("sock_send", &[5, 0x200, 2, 0, 0x100], r#"5, "hello\x1b[31"..., 12, 0"#, "7"),
    ("sock_shutdown", &[5, 3], "5, SHUT_RD|SHUT_WR", ""),
    ("thread-spawn", &[0x20], "0x20", ""),
];

/// What the cases point to.
fn memory() -> TestModule {
    let mut bytes = vec![0; 65536];
    let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
    put(0x100, &words(&[7, 9, 0, 5, 60, 1, 1]));
    put(0x200, &words(&[0x210, 5, 0x215, 7]));
    put(0x210, b"hello\x1b[31m!?");
    put(0x300, &words(&[0x310, 0x312]));
    put(0x310, b"a\0bc\0");
    put(0x400, &words(&[4 | 0x11 << 16, 0, RIGHTS as u32, 0, 0, 0]));
    put(0x500, &words(&[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0]));
    put(0x600, &words(&[1, 0, 9, 0, 1, 4]));
    put(0x618, b"x");
    put(0x619, &words(&[2, 0, 9, 0, 2, 4]));
    put(0x631, b"yz");
    put(0x700, &words(&[0, 0, 0, 0, 1, 0, 50, 0, 0, 0, 1, 0]));
    put(0x730, &words(&[0, 0, 1, 0, 4]));
    put(0x780, &words(&[0, 0, 8 | 1 << 16, 0, 3]));
    TestModule::new("m").with_memory(bytes)
}

fn system(name: &str, slots: usize) -> System {
    let mut functions = FUNCTIONS.iter().chain(THREADS);
    let function = functions.find(|f| f.name == name).unwrap_or_else(|| panic!("no {name}"));
    let taken = function.param_slots().count();
    assert_eq!(taken, slots, "{name}");
    System { function, unstable: false }
}

#[test]
fn each_function() {
    let module = memory();
    let reader = Reader { memory: module.internal().memory(0), max_string: 9 };
    for (name, slots, arguments, answers) in CASES {
        let system = system(name, slots.len());
        let text = |fill: &dyn Fn(&mut Fields<'_>), style| {
            let mut out = Vec::new();
            fill(&mut Fields::new(&mut out, style));
            String::from_utf8(out).expect("it is text")
        };
        let before = |fields: &mut Fields<'_>| reader.arguments(system, slots, fields);
        let after = |fields: &mut Fields<'_>| reader.answers(system, slots, fields);
        assert_eq!(text(&before, Style::Text), *arguments, "{name}");
        assert_eq!(text(&after, Style::Text), *answers, "{name}");
        for fill in [&before as &dyn Fn(&mut Fields<'_>), &after] {
            let json = format!("{{{}}}", text(fill, Style::Json));
            serde_json::from_str::<serde_json::Value>(&json)
                .unwrap_or_else(|e| panic!("{e}: {json}"));
        }
    }
    assert_eq!(CASES.len(), FUNCTIONS.len() + THREADS.len(), "each has a case");
}

/// Whatever a guest passes, and without any memory.
#[test]
fn hostile_arguments() {
    let (with, without) = (memory(), TestModule::new("m"));
    for module in [&with, &without] {
        let reader = Reader { memory: module.internal().memory(0), max_string: 32 };
        for function in FUNCTIONS {
            for slot in [0, 0x100, 0x600, 0xfffe, 0xffff_fffc, u64::MAX, u64::from(u32::MAX / 2)] {
                let slots = [slot; 9];
                for unstable in [false, true] {
                    let mut out = Vec::new();
                    let system = System { function, unstable };
                    reader.arguments(system, &slots, &mut Fields::new(&mut out, Style::Text));
                    reader.answers(system, &slots, &mut Fields::new(&mut out, Style::Text));
                    assert!(out.len() < 10_000, "{}: {}", function.name, out.len());
                }
            }
        }
    }
}

/// A guest may import a name with any type that the host gives it.
#[test]
fn other_types_are_no_functions_of_wasi() {
    let ty = |params: &[ValType]| FuncType::new(params.to_vec(), [ValType::I32]);
    let preview = "wasi_snapshot_preview1";
    assert!(find(preview, "fd_close", &ty(&[ValType::I32])).is_some());
    assert!(find(preview, "fd_close", &ty(&[])).is_none());
    assert!(find(preview, "fd_close", &ty(&[ValType::F32])).is_none());
    assert!(find("env", "fd_close", &ty(&[ValType::I32])).is_none());
}
