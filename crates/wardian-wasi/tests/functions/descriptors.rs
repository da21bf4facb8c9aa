//! The descriptor table, and every function on descriptors it cannot use.

use wardian_wasi::{Errno, NeverInterrupt};

use crate::support::{CREAT, DIRECTORY, READ, ROOT, WRITE, worlds, worlds_with};

#[test]
fn a_bad_descriptor_is_badf_everywhere() {
    worlds(|world| {
        let (path, out) = (world.put(b"x"), world.alloc(64));
        for bad in [99, u64::from(u32::MAX), 1 << 31] {
            for function in world.version.functions() {
                let name = function.name;
                if !name.starts_with("fd_")
                    && !name.starts_with("path_")
                    && !name.starts_with("sock_")
                {
                    continue;
                }
                let mut args = vec![0; function.params.len()];
                match name {
                    "path_symlink" => args.copy_from_slice(&[path, 1, bad, path, 1]),
                    "path_link" => args.copy_from_slice(&[bad, 0, path, 1, ROOT, path, 1]),
                    "path_rename" => args.copy_from_slice(&[bad, path, 1, ROOT, path, 1]),
                    _ => args[0] = bad,
                }
                let got = world.call_with(&NeverInterrupt, name, &args);
                assert_eq!(got, Ok(Errno::Badf), "{name}{args:?}");
            }
            let args = [ROOT, path, 1, bad, path, 1];
            assert_eq!(world.call("path_rename", &args), Errno::Badf);
            assert_eq!(world.call("path_link", &[ROOT, 0, path, 1, bad, path, 1]), Errno::Badf);
            assert_eq!(world.call("fd_renumber", &[ROOT, bad]), Errno::Badf);
        }
        let _ = out;
    });
}

#[test]
fn paths_need_a_directory() {
    worlds(|world| {
        let file = world.open("f", CREAT, READ | WRITE).unwrap();
        let (path, out) = (world.put(b"x"), world.alloc(64));
        for args in [
            ("path_create_directory", vec![file, path, 1]),
            ("path_filestat_get", vec![file, 0, path, 1, out]),
            ("path_filestat_set_times", vec![file, 0, path, 1, 0, 0, 0]),
            ("path_link", vec![file, 0, path, 1, ROOT, path, 1]),
            ("path_link", vec![ROOT, 0, path, 1, file, path, 1]),
            ("path_open", vec![file, 0, path, 1, 0, 0, 0, 0, out]),
            ("path_readlink", vec![file, path, 1, out, 64, out]),
            ("path_remove_directory", vec![file, path, 1]),
            ("path_rename", vec![file, path, 1, ROOT, path, 1]),
            ("path_symlink", vec![path, 1, file, path, 1]),
            ("path_unlink_file", vec![file, path, 1]),
            ("fd_readdir", vec![file, out, 64, 0, out]),
        ] {
            assert_eq!(world.call(args.0, &args.1), Errno::Notdir, "{}", args.0);
        }
        assert_eq!(world.call("fd_prestat_get", &[file, out]), Errno::Badf);
    });
}

#[test]
fn what_a_directory_cannot_do() {
    worlds(|world| {
        let dir = world.open(".", DIRECTORY, READ).unwrap();
        let x = world.put(b"x");
        let (iovs, out) = (world.iovs(&[(x, 1)]), world.alloc(8));
        let [set, cur, end] = world.version.whence();
        assert_eq!(world.call("fd_read", &[dir, iovs, 1, out]), Errno::Isdir);
        assert_eq!(world.call("fd_write", &[dir, iovs, 1, out]), Errno::Isdir);
        for args in [
            ("fd_pread", vec![dir, iovs, 1, 0, out]),
            ("fd_pwrite", vec![dir, iovs, 1, 0, out]),
            ("fd_seek", vec![dir, 0, set, out]),
            ("fd_seek", vec![dir, 0, cur, out]),
            ("fd_seek", vec![dir, 0, end, out]),
            ("fd_tell", vec![dir, out]),
            ("fd_allocate", vec![dir, 0, 0]),
            ("fd_advise", vec![dir, 0, 0, 0]),
            ("fd_filestat_set_size", vec![dir, 0]),
            // Opened, not preopened.
            ("fd_prestat_get", vec![dir, out]),
        ] {
            assert_eq!(world.call(args.0, &args.1), Errno::Badf, "{}", args.0);
        }
        for name in ["sock_shutdown", "fd_sync", "fd_datasync"] {
            let (args, expected): (&[u64], _) = if name == "sock_shutdown" {
                (&[dir, 3], Errno::Notsock)
            } else {
                (&[dir], Errno::Success)
            };
            assert_eq!(world.call(name, args), expected, "{name}");
        }
        world.ok("fd_filestat_set_times", &[dir, 0, 5_000_000_000, 4]);
        assert_eq!(world.fd_stat(dir).unwrap().mtim, 5_000_000_000);
        assert_eq!(world.fd_stat(dir).unwrap().filetype, 3);
    });
}

#[test]
fn the_lowest_free_number_is_used() {
    worlds(|world| {
        assert_eq!(world.open("a", CREAT, READ), Ok(5));
        assert_eq!(world.open("b", CREAT, READ), Ok(6));
        assert_eq!(world.open("c", CREAT, READ), Ok(7));
        world.close(6);
        world.close(0);
        world.close(5);
        assert_eq!(world.call("fd_close", &[5]), Errno::Badf);
        assert_eq!(world.open("d", CREAT, READ), Ok(0));
        assert_eq!(world.open("d", CREAT, READ), Ok(5));
        assert_eq!(world.open("d", CREAT, READ), Ok(6));
        assert_eq!(world.open("d", CREAT, READ), Ok(8));
        // Preopened directories can be closed too.
        world.close(ROOT);
        let out = world.alloc(8);
        assert_eq!(world.call("fd_prestat_get", &[ROOT, out]), Errno::Badf);
        world.ok("fd_prestat_get", &[4, out]);
    });
}

#[test]
fn there_is_a_limit() {
    worlds_with(
        |builder| builder.max_descriptors(6),
        |world| {
            assert_eq!(world.open("a", CREAT, READ), Ok(5));
            assert_eq!(world.open("b", CREAT, READ), Err(Errno::Mfile));
            // Nothing was created.
            assert_eq!(world.stat(ROOT, 0, "b"), Err(Errno::Noent));
            world.close(1);
            assert_eq!(world.open("b", CREAT, READ), Ok(1));
        },
    );
}

#[test]
fn renumbering() {
    worlds(|world| {
        let a = world.open("a", CREAT, READ | WRITE).unwrap();
        let b = world.open("b", CREAT, WRITE).unwrap();
        let before = world.fdstat(a);
        world.ok("fd_renumber", &[a, b]);
        assert_eq!(world.call("fd_close", &[a]), Errno::Badf);
        assert_eq!(world.fdstat(b), before);
        world.write(b, b"to a").unwrap();
        assert_eq!(std::fs::read(world.host("root/a")).unwrap(), b"to a");
        world.ok("fd_renumber", &[b, b]);
        assert_eq!(world.fdstat(b), before);
        assert_eq!(world.call("fd_renumber", &[b, 50]), Errno::Badf);
        assert_eq!(world.call("fd_renumber", &[50, b]), Errno::Badf);
        // Over a preopened directory, and over a standard stream.
        let dir = world.open(".", DIRECTORY, 0).unwrap();
        let ino = world.fd_stat(dir).unwrap().ino;
        world.ok("fd_renumber", &[dir, 4]);
        assert_eq!(world.fd_stat(4).unwrap().ino, ino);
        world.ok("fd_renumber", &[b, 1]);
        world.write(1, b"!").unwrap();
        assert_eq!(std::fs::read(world.host("root/a")).unwrap(), b"to a!");
    });
}

#[test]
fn names_of_preopened_directories() {
    worlds(|world| {
        let (out, name) = (world.alloc(8), world.alloc(16));
        for (fd, expected) in [(3, &b"/root"[..]), (4, b"fixed")] {
            world.ok("fd_prestat_get", &[fd, out]);
            assert_eq!((world.u32(out), world.u32(out + 4)), (0, 5));
            assert_eq!(world.call("fd_prestat_dir_name", &[fd, name, 4]), Errno::Nametoolong);
            world.ok("fd_prestat_dir_name", &[fd, name, 6]);
            assert_eq!(world.bytes(name, 5), expected);
            assert_eq!(world.bytes(name + 5, 1), [0xaa]);
        }
        assert_eq!(world.call("fd_prestat_get", &[0, out]), Errno::Badf);
        assert_eq!(world.call("fd_prestat_get", &[5, out]), Errno::Badf);
    });
}
