//! Names, slashes, links, and the errno of every combination.

use wardian_wasi::Errno;

use crate::support::{CREAT, DIRECTORY, EXCL, FOLLOW, READ, ROOT, TRUNC, WRITE, World, worlds};

fn mkdir(world: &mut World, path: &str) {
    assert_eq!(world.on_path("path_create_directory", ROOT, path), Errno::Success, "{path}");
}

fn touch(world: &mut World, path: &str) {
    let fd = world.open(path, CREAT, WRITE).unwrap();
    world.close(fd);
}

#[test]
fn paths_that_are_no_paths() {
    worlds(|world| {
        let out = world.alloc(64);
        let long = "x".repeat(5000);
        for (path, expected) in [
            (&b""[..], Errno::Noent),
            (b"a\0b", Errno::Inval),
            (b"a\0", Errno::Inval),
            (b"\xff\xfe", Errno::Ilseq),
            (long.as_bytes(), Errno::Nametoolong),
            (&long.as_bytes()[..300], Errno::Nametoolong),
        ] {
            let at = world.put(path);
            let len = path.len() as u64;
            for (name, args) in [
                ("path_open", vec![ROOT, 0, at, len, 0, READ, 0, 0, out]),
                ("path_create_directory", vec![ROOT, at, len]),
                ("path_filestat_get", vec![ROOT, 0, at, len, out]),
                ("path_filestat_set_times", vec![ROOT, 0, at, len, 0, 0, 0]),
                ("path_readlink", vec![ROOT, at, len, out, 4, out]),
                ("path_remove_directory", vec![ROOT, at, len]),
                ("path_unlink_file", vec![ROOT, at, len]),
                ("path_rename", vec![ROOT, at, len, ROOT, at, len]),
                ("path_link", vec![ROOT, 0, at, len, ROOT, at, len]),
            ] {
                assert_eq!(world.call(name, &args), expected, "{name} {path:?}");
            }
        }
    });
}

#[test]
fn interesting_paths() {
    worlds(|world| {
        mkdir(world, "dir");
        mkdir(world, "dir/nested/");
        touch(world, "dir/nested/file");
        let open = |world: &mut World, path: &str| world.open(path, 0, 0).map(|_| ());
        assert_eq!(open(world, "/dir/nested/file"), Err(Errno::Perm));
        let path = "dir/.//nested/../../dir/nested/../nested///./file";
        assert_eq!(open(world, path), Ok(()));
        assert_eq!(open(world, "dir/nested/file/"), Err(Errno::Notdir));
        assert_eq!(open(world, "dir/nested/file///"), Err(Errno::Notdir));
        assert_eq!(open(world, "dir/nested/file/."), Err(Errno::Notdir));
        assert_eq!(open(world, "dir/nested/"), Ok(()));
        assert_eq!(open(world, "dir/nested///"), Ok(()));
        assert_eq!(open(world, "dir/nested/../../../root/dir"), Err(Errno::Perm));
        assert_eq!(world.open("dir/nested/file", DIRECTORY, 0), Err(Errno::Notdir));
        assert_eq!(world.open("dir", DIRECTORY, READ | WRITE), Err(Errno::Isdir));
        assert_eq!(world.open("dir", 0, READ | WRITE), Err(Errno::Isdir));
        assert_eq!(world.open("dir", TRUNC, 0), Err(Errno::Isdir));
        assert_eq!(world.open("dir", CREAT | EXCL, 0), Err(Errno::Exist));
        assert_eq!(world.open("dir", CREAT | DIRECTORY, 0), Err(Errno::Inval));
        assert_eq!(world.open("new/", CREAT, WRITE), Err(Errno::Isdir));
    });
}

#[test]
fn links_are_followed_only_when_asked() {
    worlds(|world| {
        mkdir(world, "target");
        touch(world, "file");
        for (link, contents) in
            [("todir", "target"), ("tofile", "file"), ("dangling", "nothing"), ("loop", "loop")]
        {
            assert_eq!(world.symlink(contents, ROOT, link), Errno::Success);
        }
        let open = |world: &mut World, follow, path: &str, oflags| {
            world.open_at(ROOT, follow, path, oflags, 0, 0).map(|_| ())
        };
        for link in ["todir", "tofile", "dangling", "loop"] {
            assert_eq!(open(world, 0, link, 0), Err(Errno::Loop));
            assert!(matches!(open(world, 0, link, DIRECTORY), Err(Errno::Notdir | Errno::Loop)));
            assert_eq!(world.stat(ROOT, 0, link).unwrap().filetype, 7);
        }
        assert_eq!(open(world, FOLLOW, "todir", DIRECTORY), Ok(()));
        assert_eq!(open(world, FOLLOW, "tofile", 0), Ok(()));
        assert_eq!(open(world, FOLLOW, "tofile", DIRECTORY), Err(Errno::Notdir));
        assert_eq!(open(world, FOLLOW, "dangling", 0), Err(Errno::Noent));
        assert_eq!(open(world, FOLLOW, "loop", 0), Err(Errno::Loop));
        assert_eq!(world.stat(ROOT, FOLLOW, "todir").unwrap().filetype, 3);
        assert_eq!(world.stat(ROOT, 0, "todir/").unwrap().filetype, 3);
        assert_eq!(world.stat(ROOT, FOLLOW, "tofile").unwrap().filetype, 4);
        assert_eq!(world.stat(ROOT, FOLLOW, "dangling"), Err(Errno::Noent));
        assert_eq!(world.stat(ROOT, FOLLOW, "loop"), Err(Errno::Loop));
        assert_eq!(world.stat(ROOT, 0, "file/"), Err(Errno::Notdir));
        assert_eq!(world.stat(ROOT, 0, ".").unwrap().filetype, 3);
        // Creating through a dangling link creates what it names.
        assert_eq!(open(world, FOLLOW, "dangling", CREAT), Ok(()));
        assert_eq!(world.stat(ROOT, 0, "nothing").unwrap().filetype, 4);
    });
}

#[test]
fn times_of_links_and_of_what_they_name() {
    worlds(|world| {
        touch(world, "file");
        mkdir(world, "dir");
        world.symlink("file", ROOT, "link");
        let at = world.put(b"link");
        world.ok("path_filestat_set_times", &[ROOT, FOLLOW, at, 4, 0, 1_000_000_000, 4]);
        assert_eq!(world.stat(ROOT, 0, "file").unwrap().mtim, 1_000_000_000);
        assert_ne!(world.stat(ROOT, 0, "link").unwrap().mtim, 1_000_000_000);
        world.ok("path_filestat_set_times", &[ROOT, 0, at, 4, 0, 2_000_000_000, 4]);
        assert_eq!(world.stat(ROOT, 0, "link").unwrap().mtim, 2_000_000_000);
        assert_eq!(world.stat(ROOT, 0, "file").unwrap().mtim, 1_000_000_000);
        let dir = world.put(b"dir/.");
        world.ok("path_filestat_set_times", &[ROOT, 0, dir, 5, 0, 3_000_000_000, 4]);
        assert_eq!(world.stat(ROOT, 0, "dir").unwrap().mtim, 3_000_000_000);
    });
}

#[test]
fn readlink_fills_what_there_is_room_for() {
    worlds(|world| {
        world.symlink("target", ROOT, "link");
        mkdir(world, "target");
        let (path, buf, out) = (world.put(b"link/"), world.alloc(10), world.alloc(4));
        for (room, expected) in [(10, &b"target\xaa\xaa\xaa\xaa"[..]), (4, b"targ")] {
            world.memory.bytes[buf as usize..buf as usize + 10].fill(0xaa);
            world.ok("path_readlink", &[ROOT, path, 4, buf, room, out]);
            assert_eq!(world.u32(out), (room as u32).min(6));
            assert_eq!(&world.bytes(buf, expected.len()), expected);
        }
        assert_eq!(world.bytes(buf + 4, 6), [0xaa; 6]);
        world.ok("path_readlink", &[ROOT, path, 4, buf, 0, out]);
        assert_eq!(world.u32(out), 0);
        // With a slash, it names the directory.
        assert_eq!(world.call("path_readlink", &[ROOT, path, 5, buf, 4, out]), Errno::Inval);
        let target = world.put(b"target");
        assert_eq!(world.call("path_readlink", &[ROOT, target, 6, buf, 4, out]), Errno::Inval);
    });
}

#[test]
fn removing() {
    worlds(|world| {
        mkdir(world, "dir");
        touch(world, "dir/file");
        touch(world, "file");
        world.symlink("dir", ROOT, "link");
        for (name, path, expected) in [
            ("path_unlink_file", "dir", Errno::Isdir),
            ("path_unlink_file", "dir/", Errno::Isdir),
            ("path_unlink_file", ".", Errno::Isdir),
            ("path_unlink_file", "dir/..", Errno::Isdir),
            ("path_unlink_file", "file/", Errno::Notdir),
            ("path_unlink_file", "link/", Errno::Notdir),
            ("path_unlink_file", "none", Errno::Noent),
            ("path_unlink_file", "file/x", Errno::Notdir),
            ("path_remove_directory", "file", Errno::Notdir),
            ("path_remove_directory", "file/", Errno::Notdir),
            ("path_remove_directory", "link", Errno::Notdir),
            ("path_remove_directory", "link/", Errno::Notdir),
            ("path_remove_directory", "dir", Errno::Notempty),
            ("path_remove_directory", "dir/.", Errno::Inval),
            ("path_remove_directory", "dir/..", Errno::Notempty),
            ("path_remove_directory", "none", Errno::Noent),
            ("path_create_directory", "file", Errno::Exist),
            ("path_create_directory", "dir/", Errno::Exist),
            ("path_create_directory", "dir/..", Errno::Exist),
            ("path_create_directory", "none/x", Errno::Noent),
            ("path_unlink_file", "link/file", Errno::Success),
            ("path_unlink_file", "link", Errno::Success),
            ("path_unlink_file", "file", Errno::Success),
            ("path_remove_directory", "dir/", Errno::Success),
        ] {
            assert_eq!(world.on_path(name, ROOT, path), expected, "{name} {path}");
        }
    });
}

#[test]
fn renaming() {
    worlds(|world| {
        for dir in ["dir", "empty", "full"] {
            mkdir(world, dir);
        }
        touch(world, "full/file");
        touch(world, "file");
        for (from, to, expected) in [
            ("none", "x", Errno::Noent),
            ("dir", "full", Errno::Notempty),
            ("dir", "full/file", Errno::Notdir),
            ("file", "dir", Errno::Isdir),
            ("file/", "x", Errno::Notdir),
            ("file", "x/", Errno::Notdir),
            ("file/", "x/", Errno::Notdir),
            ("dir", "dir/sub", Errno::Inval),
            (".", "x", Errno::Busy),
            ("dir/..", "x", Errno::Busy),
            ("dir", ".", Errno::Busy),
            ("dir", "empty", Errno::Success),
            ("empty/", "dir", Errno::Success),
            ("dir", "empty/", Errno::Success),
            ("empty/", "dir/", Errno::Success),
            ("file", "other", Errno::Success),
            ("other", "full/file", Errno::Success),
        ] {
            let got = world.on_paths("path_rename", (ROOT, from), (ROOT, to));
            assert_eq!(got, expected, "{from} -> {to}");
        }
    });
}

#[test]
fn linking() {
    worlds(|world| {
        mkdir(world, "dir");
        touch(world, "file");
        touch(world, "other");
        world.symlink("nothing", ROOT, "dangling");
        for (from, to, expected) in [
            ("file", "link", Errno::Success),
            ("file", "dir/link", Errno::Success),
            ("file", "other", Errno::Exist),
            ("file", "file", Errno::Exist),
            ("file", "dir", Errno::Exist),
            ("file", "dangling", Errno::Exist),
            ("dir", "new", Errno::Perm),
            ("file", "new/", Errno::Noent),
            ("file", "dir/", Errno::Exist),
            ("file", "other/", Errno::Notdir),
            ("file/", "new", Errno::Notdir),
            ("none", "new", Errno::Noent),
            ("dangling", "copy", Errno::Success),
        ] {
            let got = world.on_paths("path_link", (ROOT, from), (ROOT, to));
            assert_eq!(got, expected, "{from} -> {to}");
        }
        assert_eq!(world.stat(ROOT, 0, "file").unwrap().nlink, 3);
        assert_eq!(world.stat(ROOT, 0, "copy").unwrap().filetype, 7);
        let (a, b) = (world.put(b"file"), world.put(b"new"));
        assert_eq!(world.call("path_link", &[ROOT, FOLLOW, a, 4, ROOT, b, 3]), Errno::Inval);
    });
}

#[test]
fn symlinking() {
    worlds(|world| {
        mkdir(world, "dir");
        touch(world, "file");
        for (to, expected) in [
            ("new/", Errno::Noent),
            ("dir/", Errno::Exist),
            ("dir", Errno::Exist),
            ("file/", Errno::Notdir),
            ("file", Errno::Exist),
            ("new", Errno::Success),
            ("new", Errno::Exist),
        ] {
            assert_eq!(world.symlink("source", ROOT, to), expected, "{to}");
        }
        assert_eq!(world.symlink("", ROOT, "x"), Errno::Noent);
        assert_eq!(world.symlink("/", ROOT, "x"), Errno::Perm);
    });
}
