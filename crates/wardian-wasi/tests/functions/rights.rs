//! Rights: given up, inherited, never gained.

use wardian_wasi::{Errno, rights};

use crate::support::{CREAT, DIRECTORY, READ, ROOT, TRUNC, Version, WRITE, worlds};

#[test]
fn what_descriptors_may_do() {
    worlds(|world| {
        let (filetype, flags, base, inheriting) = world.fdstat(ROOT);
        assert_eq!((filetype, flags), (3, 0));
        assert_eq!(base, rights::DIRECTORY);
        assert_eq!(inheriting, rights::INHERITING);
        assert_eq!(base & (rights::FD_SEEK | rights::FD_FILESTAT_SET_SIZE), 0);
        let file = world.open("f", CREAT, READ).unwrap();
        assert_eq!(world.fdstat(file), (4, 0, rights::FILE & !WRITE, 0));
        // Asking for everything gives what applies.
        let all = world.open("f", 0, u64::MAX).unwrap();
        assert_eq!(world.fdstat(all).2, rights::FILE);
        let dir = world.open(".", DIRECTORY, base).unwrap();
        assert_eq!(world.fdstat(dir), (3, 0, base, inheriting));
        // No seeking on what may be a terminal.
        assert_eq!(world.fdstat(0).2 & (rights::FD_SEEK | rights::FD_TELL), 0);
    });
}

#[test]
fn rights_are_never_gained() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        let (.., base, inheriting) = world.fdstat(fd);
        world.ok("fd_fdstat_set_rights", &[fd, base & !WRITE, inheriting]);
        assert_eq!(world.fdstat(fd).2, base & !WRITE);
        assert_eq!(world.call("fd_fdstat_set_rights", &[fd, base, 0]), Errno::Notcapable);
        assert_eq!(world.call("fd_fdstat_set_rights", &[fd, READ, READ]), Errno::Notcapable);
        assert_eq!(world.call("fd_fdstat_set_rights", &[fd, 1 << 40, 0]), Errno::Notcapable);
        assert_eq!(world.write(fd, b"x"), Err(Errno::Badf));
        assert_eq!(world.read(fd, 1), Ok(vec![]));
    });
}

#[test]
fn every_right_that_was_given_up_is_missed() {
    worlds(|world| {
        let [set, cur, _] = world.version.whence();
        let (path, out) = (world.put(b"f"), world.alloc(64));
        let iovs = world.iovs(&[(out, 1)]);
        let cases: Vec<(u64, &str, Vec<u64>, Errno)> = vec![
            (rights::FD_READ, "fd_read", vec![0, iovs, 1, out], Errno::Badf),
            (rights::FD_READ, "fd_pread", vec![0, iovs, 1, 0, out], Errno::Badf),
            (rights::FD_SEEK, "fd_pread", vec![0, iovs, 1, 0, out], Errno::Notcapable),
            (rights::FD_WRITE, "fd_write", vec![0, iovs, 1, out], Errno::Badf),
            (rights::FD_WRITE, "fd_pwrite", vec![0, iovs, 1, 0, out], Errno::Badf),
            (rights::FD_SEEK, "fd_pwrite", vec![0, iovs, 1, 0, out], Errno::Notcapable),
            (rights::FD_SEEK, "fd_seek", vec![0, 0, set, out], Errno::Notcapable),
            (rights::FD_TELL, "fd_seek", vec![0, 0, cur, out], Errno::Notcapable),
            (rights::FD_TELL, "fd_tell", vec![0, out], Errno::Notcapable),
            (rights::FD_ADVISE, "fd_advise", vec![0, 0, 0, 0], Errno::Notcapable),
            (rights::FD_ALLOCATE, "fd_allocate", vec![0, 0, 1], Errno::Notcapable),
            (rights::FD_SYNC, "fd_sync", vec![0], Errno::Notcapable),
            (rights::FD_DATASYNC, "fd_datasync", vec![0], Errno::Notcapable),
            (rights::FD_FILESTAT_GET, "fd_filestat_get", vec![0, out], Errno::Notcapable),
            (rights::FD_FILESTAT_SET_SIZE, "fd_filestat_set_size", vec![0, 0], Errno::Notcapable),
            (
                rights::FD_FILESTAT_SET_TIMES,
                "fd_filestat_set_times",
                vec![0, 0, 0, 0],
                Errno::Notcapable,
            ),
            (rights::FD_FDSTAT_SET_FLAGS, "fd_fdstat_set_flags", vec![0, 0], Errno::Notcapable),
        ];
        for (right, name, mut args, expected) in cases {
            let fd = world.open("f", CREAT, READ | WRITE).unwrap();
            args[0] = fd;
            world.ok("fd_fdstat_set_rights", &[fd, rights::FILE & !right, 0]);
            assert_eq!(world.call(name, &args), expected, "{name} without {right:#x}");
            world.close(fd);
        }
        let cases: Vec<(u64, &str, Vec<u64>)> = vec![
            (rights::FD_READDIR, "fd_readdir", vec![0, out, 64, 0, out]),
            (rights::PATH_CREATE_DIRECTORY, "path_create_directory", vec![0, path, 1]),
            (rights::PATH_CREATE_FILE, "path_open", vec![0, 0, path, 1, 1, 0, 0, 0, out]),
            (rights::PATH_LINK_SOURCE, "path_link", vec![0, 0, path, 1, ROOT, path, 1]),
            (rights::PATH_LINK_TARGET, "path_link", vec![ROOT, 0, path, 1, 0, path, 1]),
            (rights::PATH_OPEN, "path_open", vec![0, 0, path, 1, 0, 0, 0, 0, out]),
            (rights::PATH_READLINK, "path_readlink", vec![0, path, 1, out, 1, out]),
            (rights::PATH_RENAME_SOURCE, "path_rename", vec![0, path, 1, ROOT, path, 1]),
            (rights::PATH_RENAME_TARGET, "path_rename", vec![ROOT, path, 1, 0, path, 1]),
            (rights::PATH_FILESTAT_GET, "path_filestat_get", vec![0, 0, path, 1, out]),
            (
                rights::PATH_FILESTAT_SET_TIMES,
                "path_filestat_set_times",
                vec![0, 0, path, 1, 0, 0, 0],
            ),
            (rights::PATH_SYMLINK, "path_symlink", vec![path, 1, 0, path, 1]),
            (rights::PATH_REMOVE_DIRECTORY, "path_remove_directory", vec![0, path, 1]),
            (rights::PATH_UNLINK_FILE, "path_unlink_file", vec![0, path, 1]),
        ];
        for (right, name, mut args) in cases {
            let fd = world.open(".", DIRECTORY, 0).unwrap();
            let at = args.iter().position(|arg| *arg == 0).unwrap();
            let at = if name == "path_link" && args[0] == ROOT { 4 } else { at };
            args[at] = fd;
            let left = rights::DIRECTORY & !right;
            world.ok("fd_fdstat_set_rights", &[fd, left, rights::INHERITING]);
            assert_eq!(world.call(name, &args), Errno::Notcapable, "{name} without {right:#x}");
            world.close(fd);
        }
    });
}

#[test]
fn what_is_inherited_is_what_was_left() {
    worlds(|world| {
        let dir = world.open(".", DIRECTORY, 0).unwrap();
        let left = rights::INHERITING & !READ & !rights::PATH_UNLINK_FILE;
        world.ok("fd_fdstat_set_rights", &[dir, rights::DIRECTORY, left]);
        assert_eq!(world.open_at(dir, 0, "f", CREAT, READ, 0), Err(Errno::Notcapable));
        let file = world.open_at(dir, 0, "f", CREAT, WRITE, 0).unwrap();
        assert_eq!(world.fdstat(file).2 & READ, 0);
        let same = world.open_at(dir, 0, ".", DIRECTORY, 0, 0).unwrap();
        let (.., base, inheriting) = world.fdstat(same);
        assert_eq!((base, inheriting), (rights::DIRECTORY & left, left));
        assert_eq!(world.on_path("path_unlink_file", same, "f"), Errno::Notcapable);
        assert_eq!(world.on_path("path_unlink_file", dir, "f"), Errno::Success);
    });
}

#[test]
fn truncating_needs_its_own_right() {
    worlds(|world| {
        let dir = world.open(".", DIRECTORY, 0).unwrap();
        world.open_at(dir, 0, "f", CREAT, 0, 0).unwrap();
        let size = rights::PATH_FILESTAT_SET_SIZE;
        let left = rights::DIRECTORY & !size;
        world.ok("fd_fdstat_set_rights", &[dir, left, rights::INHERITING & !size]);
        assert_eq!(world.open_at(dir, 0, "f", TRUNC, 0, 0), Err(Errno::Perm));
    });
}

#[test]
fn versions_see_the_rights_they_know() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    crate::support::worlds_with(
        |builder| builder.listen_tcp(listener.try_clone().unwrap()).unwrap(),
        |world| {
            let (.., base, _) = world.fdstat(5);
            let known = world.version == Version::Preview1;
            assert_eq!(base & rights::SOCK_ACCEPT != 0, known);
            // Setting what one sees is no change.
            world.ok("fd_fdstat_set_rights", &[5, base, 0]);
            assert_eq!(world.fdstat(5).2, base);
        },
    );
}
