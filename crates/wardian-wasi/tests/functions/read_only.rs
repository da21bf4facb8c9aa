//! A directory that may not be changed, and nothing that changes it.

use wardian_wasi::Errno;

use crate::support::{CREAT, DIRECTORY, FIXED, READ, ROOT, TRUNC, WRITE, World, worlds};

fn snapshot(world: &World) -> Vec<(String, std::time::SystemTime, u64)> {
    let mut all = Vec::new();
    for dir in ["fixed", "fixed/sub"] {
        for entry in std::fs::read_dir(world.host(dir)).unwrap() {
            let meta = entry.as_ref().unwrap().metadata().unwrap();
            let name = entry.unwrap().path().display().to_string();
            all.push((name, meta.modified().unwrap(), meta.len()));
        }
    }
    all.sort();
    all
}

#[test]
fn nothing_changes_it() {
    worlds(|world| {
        let before = snapshot(world);
        let own = world.open("own", CREAT, WRITE).unwrap();
        world.close(own);
        let sub = world.open_at(FIXED, 0, "sub", DIRECTORY, 0, 0).unwrap();
        for fd in [FIXED, sub] {
            for (path, oflags, rights) in [
                ("file", 0, WRITE),
                ("file", 0, READ | WRITE),
                ("file", TRUNC, READ),
                ("file", TRUNC, 0),
                ("new", CREAT, READ),
                ("new", CREAT, WRITE),
            ] {
                assert_eq!(world.open_at(fd, 0, path, oflags, rights, 0), Err(Errno::Perm));
            }
            for (name, path) in [
                ("path_create_directory", "new"),
                ("path_unlink_file", "file"),
                ("path_remove_directory", "sub"),
            ] {
                assert_eq!(world.on_path(name, fd, path), Errno::Perm, "{name}");
            }
            assert_eq!(world.symlink("file", fd, "link"), Errno::Perm);
            for name in ["path_rename", "path_link"] {
                for (from, to) in [((fd, "file"), (ROOT, "x")), ((ROOT, "own"), (fd, "file"))] {
                    assert_eq!(world.on_paths(name, from, to), Errno::Perm, "{name}");
                }
            }
            let at = world.put(b"file");
            let args = [fd, 0, at, 4, 0, 0, 10];
            assert_eq!(world.call("path_filestat_set_times", &args), Errno::Perm);
            assert_eq!(world.call("fd_filestat_set_times", &[fd, 0, 0, 10]), Errno::Perm);
            // Reading is all right.
            let file = world.open_at(fd, 0, "file", 0, READ, 0).unwrap();
            assert_eq!(world.read(file, 99).unwrap(), b"contents");
            assert_eq!(world.write(file, b"x"), Err(Errno::Badf));
            assert_eq!(world.call("fd_filestat_set_times", &[file, 0, 0, 10]), Errno::Perm);
            assert_eq!(world.call("fd_filestat_set_size", &[file, 0]), Errno::Perm);
            assert_eq!(world.call("fd_allocate", &[file, 0, 100]), Errno::Perm);
            assert_eq!(world.stat(fd, 0, "file").unwrap().size, 8);
        }
        assert_eq!(snapshot(world), before);
        assert_eq!(std::fs::read(world.host("fixed/file")).unwrap(), b"contents");
    });
}
