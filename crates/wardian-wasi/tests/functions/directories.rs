//! `fd_readdir`.

use std::collections::BTreeSet;

use wardian_wasi::Errno;

use crate::support::{DIRECTORY, FIXED, ROOT, World, worlds};

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    next: u64,
    ino: u64,
    filetype: u8,
    name: String,
}

/// One call; the entries that are whole, and how many bytes were used.
fn readdir(world: &mut World, fd: u64, cookie: u64, len: usize) -> (Vec<Entry>, usize) {
    let (buf, out) = (world.alloc(len), world.alloc(4));
    world.ok("fd_readdir", &[fd, buf, len as u64, cookie, out]);
    let used = world.u32(out) as usize;
    let mut entries = Vec::new();
    let mut at = 0;
    while at + 24 <= used {
        let base = buf + at as u64;
        let name = world.u32(base + 16) as usize;
        if at + 24 + name > used {
            break;
        }
        entries.push(Entry {
            next: world.u64(base),
            ino: world.u64(base + 8),
            filetype: world.bytes(base + 20, 1)[0],
            name: String::from_utf8(world.bytes(base + 24, name)).unwrap(),
        });
        at += 24 + name;
    }
    (entries, used)
}

/// All entries, by calls with a buffer of this length.
fn all(world: &mut World, fd: u64, len: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        world.reset();
        let cookie = entries.last().map_or(0, |entry| entry.next);
        let (more, used) = readdir(world, fd, cookie, len);
        assert!(used <= len);
        assert!(used < len || !more.is_empty(), "no progress");
        entries.extend(more);
        if used < len {
            return entries;
        }
    }
}

fn names(entries: &[Entry]) -> BTreeSet<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[test]
fn dots_have_real_serial_numbers() {
    worlds(|world| {
        let root = world.fd_stat(ROOT).unwrap().ino;
        world.on_path("path_create_directory", ROOT, "sub");
        let sub = world.open("sub", DIRECTORY, 0).unwrap();
        let same = world.open("sub/..", DIRECTORY, 0).unwrap();
        let sub_ino = world.fd_stat(sub).unwrap().ino;
        // At the top of the sandbox, the parent is the directory itself.
        for (fd, own, parent) in [(ROOT, root, root), (sub, sub_ino, root), (same, root, root)] {
            let (entries, _) = readdir(world, fd, 0, 1000);
            assert_eq!(entries[0], Entry { next: 1, ino: own, filetype: 3, name: ".".into() });
            assert_eq!(entries[1], Entry { next: 2, ino: parent, filetype: 3, name: "..".into() });
        }
    });
}

#[test]
fn entries_say_what_they_are() {
    worlds(|world| {
        std::fs::write(world.host("root/file"), "").unwrap();
        world.on_path("path_create_directory", ROOT, "dir");
        world.symlink("file", ROOT, "link");
        let entries = all(world, ROOT, 4096);
        assert_eq!(names(&entries), BTreeSet::from([".", "..", "file", "dir", "link"]));
        for entry in &entries {
            let stat = world.stat(ROOT, 0, if entry.name == ".." { "." } else { &entry.name });
            let stat = stat.unwrap();
            assert_eq!((entry.ino, entry.filetype), (stat.ino, stat.filetype), "{entry:?}");
        }
        // Also in a directory that may not be changed.
        assert_eq!(names(&all(world, FIXED, 4096)).len(), 4);
    });
}

#[test]
fn any_buffer_size_gives_the_same() {
    worlds(|world| {
        for i in 0..100 {
            std::fs::write(world.host(format!("root/file.{i}")), "").unwrap();
        }
        let reference = all(world, ROOT, 100_000);
        assert_eq!(names(&reference).len(), 102);
        assert_eq!(reference.len(), 102);
        for len in [32, 33, 64, 100, 256, 1000, 4096, 70_000] {
            assert_eq!(all(world, ROOT, len), reference, "buffer of {len}");
        }
        // A buffer that is too short is filled to its end.
        for len in [0, 1, 23, 24, 25] {
            assert_eq!(readdir(world, ROOT, 0, len).1, len);
        }
        // Every cookie can be gone back to, in any order, by any descriptor.
        let other = world.open(".", DIRECTORY, 0).unwrap();
        for i in [100, 0, 17, 16, 80, 1, 50] {
            world.reset();
            let (entries, _) = readdir(world, other, reference[i].next, 400);
            assert_eq!(entries[0], reference[i + 1], "after {i}");
        }
        let (entries, used) = readdir(world, other, reference[101].next, 400);
        assert_eq!((entries, used), (vec![], 0));
    });
}

#[test]
fn large_directories_fill_large_buffers() {
    worlds(|world| {
        let long = "x".repeat(200);
        for i in 0..350 {
            std::fs::write(world.host(format!("root/{long}.{i}")), "").unwrap();
        }
        let (entries, used) = readdir(world, ROOT, 0, 120_000);
        assert_eq!((entries.len(), names(&entries).len()), (352, 352));
        assert!(used > 65536 && used < 120_000);
        world.reset();
        let (part, used) = readdir(world, ROOT, 0, 70_000);
        assert_eq!(used, 70_000);
        assert_eq!(part[..], entries[..part.len()]);
    });
}

#[test]
fn entries_may_go_while_they_are_read() {
    worlds(|world| {
        for i in 0..120 {
            std::fs::write(world.host(format!("root/file.{i}")), "").unwrap();
        }
        // As a program removes a tree: read some, remove them, read on.
        let mut cookie = 0;
        let mut removed = 0;
        loop {
            world.reset();
            let (entries, used) = readdir(world, ROOT, cookie, 300);
            for entry in &entries {
                cookie = entry.next;
                if !entry.name.starts_with('.') {
                    assert_eq!(
                        world.on_path("path_unlink_file", ROOT, &entry.name),
                        Errno::Success
                    );
                    removed += 1;
                }
            }
            if used < 300 {
                break;
            }
        }
        assert_eq!(removed, 120);
        assert_eq!(all(world, ROOT, 300).len(), 2);
    });
}

#[test]
fn starting_again_sees_what_is_new() {
    worlds(|world| {
        assert_eq!(all(world, ROOT, 256).len(), 2);
        std::fs::write(world.host("root/file"), "").unwrap();
        assert_eq!(all(world, ROOT, 256).len(), 3);
        // Left in the middle of an entry, which is still at hand.
        assert_eq!(readdir(world, ROOT, 0, 60).1, 60);
        std::fs::remove_file(world.host("root/file")).unwrap();
        assert_eq!(all(world, ROOT, 256).len(), 2);
    });
}

#[test]
fn cookies_that_never_were() {
    worlds(|world| {
        let (buf, out) = (world.alloc(64), world.alloc(4));
        let got = world.call("fd_readdir", &[ROOT, buf, 64, u64::MAX, out]);
        assert_eq!(got, Errno::Inval);
        // A directory that is gone has no entries but what it is.
        world.on_path("path_create_directory", ROOT, "gone");
        let gone = world.open("gone", DIRECTORY, 0).unwrap();
        world.on_path("path_remove_directory", ROOT, "gone");
        let got = world.call("fd_readdir", &[gone, buf, 64, 2, out]);
        assert!(matches!(got, Errno::Success | Errno::Noent), "{got}");
    });
}
