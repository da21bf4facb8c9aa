//! Every pointer argument of every function, out of range in every way.

use std::os::unix::net::UnixStream;

use wardian_wasi::{Errno, NeverInterrupt};

use crate::support::{CREAT, READ, ROOT, Version, WRITE, World, worlds_with};

/// An argument of a call that succeeds.
#[derive(Clone, Copy, Debug)]
enum Arg {
    /// A value.
    V(u64),
    /// A pointer to so many bytes.
    P(u64, usize),
}
use Arg::{P, V};

/// A call that succeeds, of each function that takes a pointer.
fn calls(world: &mut World, file: u64, socket: u64) -> Vec<(&'static str, Vec<Arg>)> {
    let g = &mut world.guest;
    let filestat = g.version.filestat_size();
    let subscription = if g.version == Version::Preview1 { 48 } else { 56 };
    let [set, ..] = g.version.whence();
    let path = P(g.put(b"file"), 4);
    let link = P(g.put(b"link"), 4);
    let new = P(g.put(b"new"), 3);
    let newer = P(g.put(b"newer"), 5);
    let newest = P(g.put(b"newest"), 6);
    let dir = P(g.put(b"dir"), 3);
    let buf = g.put(b"12345678");
    let iovs = P(g.iovs(&[(buf, 8)]), 8);
    let mut out = |len| P(g.alloc(len), len);
    // A clock that is due at once.
    let poll = out(subscription);
    let P(at, _) = poll else { unreachable!() };
    let (o2, o4, o4b, o8, o24, stat) = (out(2), out(4), out(4), out(8), out(24), out(filestat));
    let (big, big2, event) = (out(256), out(256), out(32));
    g.memory.bytes[at as usize..at as usize + subscription].fill(0);
    let l = |p: Arg| if let P(_, len) = p { V(len as u64) } else { p };
    vec![
        ("args_get", vec![P(big_at(big), 4), P(big_at(big2), 5)]),
        ("args_sizes_get", vec![o4, o4b]),
        ("environ_get", vec![P(big_at(big), 4), P(big_at(big2), 4)]),
        ("environ_sizes_get", vec![o4, o4b]),
        ("clock_res_get", vec![V(1), o8]),
        ("clock_time_get", vec![V(1), V(0), o8]),
        ("fd_fdstat_get", vec![V(file), o24]),
        ("fd_filestat_get", vec![V(file), stat]),
        ("fd_pread", vec![V(file), iovs, V(1), V(0), o4]),
        ("fd_prestat_get", vec![V(ROOT), o8]),
        ("fd_prestat_dir_name", vec![V(ROOT), big, l(big)]),
        ("fd_pwrite", vec![V(file), iovs, V(1), V(0), o4]),
        ("fd_write", vec![V(file), iovs, V(1), o4]),
        ("fd_read", vec![V(file), iovs, V(1), o4]),
        ("fd_readdir", vec![V(ROOT), big, l(big), V(0), o4]),
        ("fd_seek", vec![V(file), V(0), V(set), o8]),
        ("fd_tell", vec![V(file), o8]),
        ("path_create_directory", vec![V(ROOT), dir, l(dir)]),
        ("path_filestat_get", vec![V(ROOT), V(0), path, l(path), stat]),
        ("path_filestat_set_times", vec![V(ROOT), V(0), path, l(path), V(0), V(0), V(2)]),
        ("path_link", vec![V(ROOT), V(0), path, l(path), V(ROOT), new, l(new)]),
        ("path_open", vec![V(ROOT), V(0), path, l(path), V(0), V(READ), V(0), V(0), o4]),
        ("path_symlink", vec![path, l(path), V(ROOT), link, l(link)]),
        ("path_readlink", vec![V(ROOT), link, l(link), big, l(big), o4]),
        ("path_rename", vec![V(ROOT), new, l(new), V(ROOT), newer, l(newer)]),
        ("path_remove_directory", vec![V(ROOT), dir, l(dir)]),
        ("path_unlink_file", vec![V(ROOT), newer, l(newer)]),
        ("path_symlink", vec![newest, l(newest), V(ROOT), newest, l(newest)]),
        ("poll_oneoff", vec![poll, event, V(1), o4]),
        ("random_get", vec![big, l(big)]),
        ("sock_send", vec![V(socket), iovs, V(1), V(0), o4]),
        ("sock_recv", vec![V(socket), iovs, V(1), V(0), o4, o2]),
    ]
}

fn big_at(arg: Arg) -> u64 {
    if let P(at, _) = arg { at } else { unreachable!() }
}

fn values(args: &[Arg]) -> Vec<u64> {
    args.iter()
        .map(|arg| match arg {
            V(v) | P(v, _) => *v,
        })
        .collect()
}

#[test]
fn every_pointer_out_of_range_is_a_fault() {
    let (peer, ours) = UnixStream::pair().unwrap();
    worlds_with(
        |builder| {
            let builder = builder.args(["prog"]).unwrap().env("A", "b").unwrap();
            builder.socket(ours.try_clone().unwrap()).unwrap()
        },
        |world| {
            std::io::Write::write_all(&mut &peer, b"received").unwrap();
            let socket = 5;
            let file = world.open("file", CREAT, READ | WRITE).unwrap();
            let size = world.memory.bytes.len() as u64;
            let mut seen = std::collections::BTreeSet::new();
            for (name, args) in calls(world, file, socket) {
                seen.insert(name);
                for (i, arg) in args.iter().enumerate() {
                    let P(_, len) = arg else { continue };
                    let bad = [size - *len as u64 + 1, size, size + 1, u64::from(u32::MAX)];
                    for at in bad {
                        let mut args = values(&args);
                        args[i] = at;
                        let got = world.call_with(&NeverInterrupt, name, &args);
                        assert_eq!(got, Ok(Errno::Fault), "{name}{args:?}, argument {i}");
                    }
                }
                assert_eq!(world.call(name, &values(&args)), Errno::Success, "{name}{args:?}");
            }
            let without: Vec<_> = (world.version.functions().iter())
                .filter(|f| f.params.len() > 1 && !seen.contains(f.name))
                .map(|f| f.name)
                .collect();
            let no_pointers = [
                "fd_advise",
                "fd_allocate",
                "fd_fdstat_set_flags",
                "fd_fdstat_set_rights",
                "fd_filestat_set_size",
                "fd_filestat_set_times",
                "fd_renumber",
                "sock_accept",
                "sock_shutdown",
            ];
            assert!(without.iter().all(|name| no_pointers.contains(name)), "{without:?}");
        },
    );
}

#[test]
fn buffers_inside_a_vector_are_checked() {
    worlds_with(
        |builder| builder,
        |world| {
            let file = world.open("file", CREAT, READ | WRITE).unwrap();
            let size = world.memory.bytes.len() as u64;
            let out = world.alloc(4);
            let good = world.alloc(8);
            for bad in [(size, 1), (size - 1, 2), (u64::from(u32::MAX), 0), (0, usize::MAX >> 32)] {
                let iovs = world.iovs(&[(good, 8), bad]);
                for name in ["fd_read", "fd_write"] {
                    assert_eq!(world.call(name, &[file, iovs, 2, out]), Errno::Fault);
                }
                for name in ["fd_pread", "fd_pwrite"] {
                    assert_eq!(world.call(name, &[file, iovs, 2, 0, out]), Errno::Fault);
                }
            }
            // More buffers than there is memory for.
            assert_eq!(world.call("fd_read", &[file, 0, 1 << 29, out]), Errno::Fault);
            assert_eq!(world.call("fd_read", &[file, 0, 0xffff_ffff, out]), Errno::Fault);
            // Nothing was written.
            assert_eq!(world.fd_stat(file).unwrap().size, 0);
            // Of length zero, at the very end, is in range.
            let iovs = world.iovs(&[(size, 0)]);
            assert_eq!(world.call("fd_read", &[file, iovs, 1, out]), Errno::Success);
        },
    );
}

#[test]
fn lengths_that_add_up_to_too_much_are_inval() {
    worlds_with(
        |builder| builder,
        |world| {
            let file = world.open("file", CREAT, READ | WRITE).unwrap();
            let out = world.alloc(4);
            world.memory.bytes.resize(1 << 23, 0);
            // 1024 buffers of 4 MiB and a bit.
            let list: Vec<_> = (0..1024).map(|_| (0, (1 << 22) + 1)).collect();
            let iovs = world.iovs(&list);
            assert_eq!(world.call("fd_write", &[file, iovs, 1024, out]), Errno::Inval);
            assert_eq!(world.call("fd_read", &[file, iovs, 1024, out]), Errno::Inval);
        },
    );
}

#[test]
fn subscriptions_without_end_are_refused() {
    worlds_with(
        |builder| builder,
        |world| {
            let out = world.alloc(4);
            assert_eq!(world.call("poll_oneoff", &[0, 0, 0xffff_ffff, out]), Errno::Fault);
            world.memory.bytes.resize(1 << 22, 0);
            assert_eq!(world.call("poll_oneoff", &[0, 0, 20_000, out]), Errno::Inval);
        },
    );
}
