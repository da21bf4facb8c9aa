//! Saving the state of a program, and restoring it: what each kind of descriptor becomes.

use std::time::Duration;

use wardian_wasi::{
    Changed, DescriptorKind, DirPerms, Errno, GuestFd, RestoreError, RestoreOptions, SaveError,
    SaveOptions, WasiCtx, WasiCtxBuilder, WasiState,
};

use crate::support::{CREAT, DIRECTORY, FIXED, Guest, READ, ROOT, Version, WRITE, World, worlds};

/// Rights of a file that is read, written and sought in.
pub(crate) const ALL: u64 = READ | WRITE | 1 << 2 | 1 << 5;

/// The builder of the world's directories.
pub(crate) fn builder(world: &World) -> WasiCtxBuilder {
    WasiCtx::builder()
        .preopen_dir(world.host("root"), "/root", DirPerms::ReadWrite)
        .and_then(|b| b.preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly))
        .unwrap()
}

/// The state through bytes.
#[track_caller]
pub(crate) fn saved(ctx: &WasiCtx) -> WasiState {
    let state = ctx.save().unwrap();
    let again = WasiState::from_bytes(&state.to_bytes()).unwrap();
    assert_eq!(again, state);
    again
}

/// Replaces the program's state by a restored one.
#[track_caller]
pub(crate) fn carry(world: &mut World) -> WasiState {
    let state = saved(&world.ctx);
    let ctx = builder(world).restore(&state, &RestoreOptions::new()).unwrap();
    world.guest.ctx = ctx;
    state
}

pub(crate) fn restore(world: &World, state: &WasiState) -> Result<WasiCtx, RestoreError> {
    builder(world).restore(state, &RestoreOptions::new())
}

pub(crate) fn lines(state: &WasiState) -> Vec<String> {
    state.descriptors().map(|d| d.to_string()).collect()
}

#[test]
fn files_keep_offset_flags_and_rights() {
    worlds(|world| {
        std::fs::write(world.host("root/file"), "0123456789").unwrap();
        let read = world.open("file", 0, ALL & !WRITE).unwrap();
        let append = world.open_at(ROOT, 0, "file", 0, ALL, 1).unwrap();
        let gone = world.open("other", CREAT, ALL).unwrap();
        let fixed = world.open_at(FIXED, 0, "sub/file", 0, READ, 0).unwrap();
        world.close(gone);
        assert_eq!(world.read(read, 4).unwrap(), b"0123");
        world.ok("fd_fdstat_set_rights", &[append, ALL & !READ, 0]);
        let before = [read, append, fixed].map(|fd| world.fdstat(fd));
        let state = carry(world);
        assert_eq!([read, append, fixed].map(|fd| world.fdstat(fd)), before);
        assert_eq!(
            lines(&state)[5..],
            [
                "5 file \"/root/file\", at 4 of 10 bytes",
                "6 file \"/root/file\", at 0 of 10 bytes",
                "8 file \"fixed/sub/file\", at 0 of 8 bytes"
            ]
        );
        assert_eq!(world.read(read, 4).unwrap(), b"4567");
        assert_eq!(world.read(append, 4), Err(Errno::Badf));
        world.write(append, b"ab").unwrap();
        assert_eq!(std::fs::read(world.host("root/file")).unwrap(), b"0123456789ab");
        assert_eq!(world.write(fixed, b"ab"), Err(Errno::Badf));
        // The number that was free is the next.
        assert_eq!(world.open("file", 0, READ), Ok(gone));
    });
}

#[test]
fn nothing_is_created_or_truncated() {
    worlds(|world| {
        let fd = world.open("new", CREAT | 8, ALL).unwrap();
        world.write(fd, b"contents").unwrap();
        carry(world);
        assert_eq!(std::fs::read(world.host("root/new")).unwrap(), b"contents");
        assert_eq!(world.write(fd, b"!").unwrap(), 1);
        let state = saved(&world.ctx);
        std::fs::remove_file(world.host("root/new")).unwrap();
        let error = restore(world, &state).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "descriptor {fd}, \"/root/new\", cannot be opened again: the host answers `noent`"
            )
        );
        assert!(!world.host("root/new").exists());
    });
}

#[test]
fn renamed_files_and_directories_are_found() {
    worlds(|world| {
        for dir in ["a", "a/b"] {
            assert_eq!(world.on_path("path_create_directory", ROOT, dir), Errno::Success);
        }
        let file = world.open("a/b/file", CREAT, ALL).unwrap();
        let dir = world.open("a/b", DIRECTORY, 0).unwrap();
        let below = world.open_at(dir, 0, "./below", CREAT, ALL, 0).unwrap();
        world.write(file, b"file").unwrap();
        world.write(below, b"below").unwrap();
        for (from, to) in [("a/b/file", "a/b/renamed"), ("a", "c")] {
            assert_eq!(world.on_paths("path_rename", (ROOT, from), (ROOT, to)), Errno::Success);
        }
        // Others take the old names.
        std::fs::create_dir_all(world.host("root/a/b")).unwrap();
        std::fs::write(world.host("root/a/b/file"), "wrong").unwrap();
        let state = carry(world);
        assert_eq!(
            lines(&state)[5..],
            [
                "5 file \"/root/c/b/renamed\", at 4 of 4 bytes",
                "6 directory \"/root/c/b\"",
                "7 file \"/root/c/b/below\", at 5 of 5 bytes"
            ]
        );
        world.write(file, b"!").unwrap();
        world.write(below, b"!").unwrap();
        assert_eq!(std::fs::read(world.host("root/c/b/renamed")).unwrap(), b"file!");
        assert!(world.open_at(dir, 0, "renamed", 0, READ, 0).is_ok());
    });
}

#[test]
fn a_file_that_lost_the_name_it_was_opened_by_is_found_by_another() {
    worlds(|world| {
        let file = world.open("a", CREAT, ALL).unwrap();
        assert_eq!(world.on_path("path_create_directory", ROOT, "d"), Errno::Success);
        assert_eq!(world.on_paths("path_link", (ROOT, "a"), (ROOT, "d/b")), Errno::Success);
        assert_eq!(world.on_path("path_unlink_file", ROOT, "a"), Errno::Success);
        let state = carry(world);
        assert_eq!(lines(&state)[5], "5 file \"/root/d/b\", at 0 of 0 bytes");
        world.write(file, b"x").unwrap();
        assert_eq!(std::fs::read(world.host("root/d/b")).unwrap(), b"x");
        // A name outside of the directory is none.
        std::fs::rename(world.host("root/d/b"), world.host("outside/b")).unwrap();
        let error = world.ctx.save().unwrap_err().to_string();
        assert!(error.contains("no longer found") && error.contains("move it back"), "{error}");
    });
}

#[test]
fn removed_files_are_part_of_the_state() {
    worlds(|world| {
        let file = world.open("file", CREAT, ALL).unwrap();
        world.write(file, b"0123456789").unwrap();
        let writes = world.open_at(ROOT, 0, "file", 0, ALL & !READ, 1).unwrap();
        let only = world.open("only", CREAT, ALL & !READ).unwrap();
        world.write(only, b"abc").unwrap();
        let at = world.alloc(8);
        let set = world.version.whence()[0];
        world.ok("fd_seek", &[file, 2, set, at]);
        for path in ["file", "only"] {
            assert_eq!(world.on_path("path_unlink_file", ROOT, path), Errno::Success);
        }
        // Another file of the name is another file.
        std::fs::write(world.host("root/file"), "wrong").unwrap();
        for again in 0..2 {
            let state = carry(world);
            assert_eq!(lines(&state)[5], "5 removed file \"/root/file\", at 2 of 10 bytes");
            assert_eq!(lines(&state)[7], "7 removed file \"/root/only\", at 3 of 3 bytes");
            assert_eq!(world.fd_stat(file).unwrap().nlink, 0, "{again}");
        }
        world.write(writes, b"ab").unwrap();
        assert_eq!(world.read(file, 20).unwrap(), b"23456789ab");
        assert_eq!(world.read(writes, 1), Err(Errno::Badf));
        assert_eq!(std::fs::read(world.host("root/file")).unwrap(), b"wrong");

        let error = world.ctx.save_with(&SaveOptions::new().unlinked_limit(14)).unwrap_err();
        let path = "/root/only".to_owned();
        assert_eq!(
            error,
            SaveError::Unlinked { fd: GuestFd::from_u32(only as u32), path, size: 3, limit: 14 }
        );
    });
}

#[test]
fn removed_directories_stay_removed() {
    worlds(|world| {
        assert_eq!(world.on_path("path_create_directory", ROOT, "d"), Errno::Success);
        let dir = world.open("d", DIRECTORY, 0).unwrap();
        assert_eq!(world.on_path("path_remove_directory", ROOT, "d"), Errno::Success);
        for _ in 0..2 {
            let state = carry(world);
            assert_eq!(lines(&state)[5], "5 removed directory \"/root/d\"");
            assert_eq!(names(world, dir, 0), [".", ".."]);
            assert_eq!(world.open_at(dir, 0, "new", CREAT, ALL, 0), Err(Errno::Noent));
            assert_eq!(world.open_at(dir, 0, "../file", 0, READ, 0), Err(Errno::Perm));
        }
    });
}

/// The names of a listing from a cookie on.
fn names(world: &mut World, fd: u64, cookie: u64) -> Vec<String> {
    entries(world, fd, cookie, 4000).into_iter().map(|(name, _)| name).collect()
}

/// Names and cookies of a listing from a cookie on, as far as a buffer holds whole entries.
fn entries(world: &mut World, fd: u64, cookie: u64, len: usize) -> Vec<(String, u64)> {
    world.reset();
    let (buf, out) = (world.alloc(len), world.alloc(4));
    world.ok("fd_readdir", &[fd, buf, len as u64, cookie, out]);
    let (mut at, end) = (buf, buf + u64::from(world.u32(out)));
    let mut found = Vec::new();
    while at + 24 <= end {
        let length = u64::from(world.u32(at + 16));
        if at + 24 + length > end {
            break;
        }
        let name = String::from_utf8(world.bytes(at + 24, length as usize)).unwrap();
        found.push((name, world.u64(at)));
        at += 24 + length;
    }
    found
}

#[test]
fn listings_continue_where_they_were() {
    worlds(|world| {
        std::fs::create_dir(world.host("root/d")).unwrap();
        let all: Vec<String> = (0..300).map(|n| format!("entry-{n:03}")).collect();
        for name in &all {
            std::fs::write(world.host("root/d").join(name), name).unwrap();
        }
        let dir = world.open("d", DIRECTORY, 0).unwrap();
        let mut seen = entries(world, dir, 0, 700);
        let middle = seen.len();
        // The last that was seen goes, and one that was not seen: one more is to be skipped.
        let last = seen.last().unwrap().clone();
        std::fs::remove_file(world.host("root/d").join(&last.0)).unwrap();
        let gone = all.iter().find(|name| !seen.iter().any(|(s, _)| s == *name)).unwrap();
        std::fs::remove_file(world.host("root/d").join(gone)).unwrap();

        // Another directory, whose positions are others.
        let moved = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(moved.path().join("root/d")).unwrap();
        for name in all.iter().rev().filter(|name| **name != last.0 && *name != gone) {
            std::fs::write(moved.path().join("root/d").join(name), name).unwrap();
        }
        let state = saved(&world.ctx);
        let ctx = WasiCtx::builder()
            .preopen_dir(moved.path().join("root"), "/root", DirPerms::ReadWrite)
            .and_then(|b| b.preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly))
            .unwrap()
            .restore(&state, &RestoreOptions::new())
            .unwrap();
        world.guest.ctx = ctx;
        loop {
            let more = entries(world, dir, seen.last().unwrap().1, 700);
            if more.is_empty() {
                break;
            }
            seen.extend(more);
            // Again and again.
            let state = saved(&world.ctx);
            world.guest.ctx = WasiCtx::builder()
                .preopen_dir(moved.path().join("root"), "/root", DirPerms::ReadWrite)
                .and_then(|b| b.preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly))
                .unwrap()
                .restore(&state, &RestoreOptions::new())
                .unwrap();
        }
        let mut found: Vec<_> = seen.iter().map(|(name, _)| name.clone()).collect();
        found.sort();
        let mut expected: Vec<_> = all
            .iter()
            .filter(|name| *name != gone)
            .cloned()
            .chain([".".into(), "..".into()])
            .collect();
        expected.sort();
        assert_eq!(found, expected);
        // A cookie from before the state was saved still means the same.
        let after = names(world, dir, seen[middle / 2].1);
        assert_eq!(after[0], seen[middle / 2 + 1].0);
        // From the start means what is there now.
        std::fs::write(moved.path().join("root/d/new"), "").unwrap();
        let mut now = names(world, dir, 0);
        while now.len() < 301 {
            let cookie = entries(world, dir, 0, 1 << 15)[now.len() - 1].1;
            now.extend(names(world, dir, cookie));
        }
        assert!(now.contains(&"new".to_owned()));
    });
}

#[test]
fn arguments_and_environment_are_the_states() {
    let described = |b: WasiCtxBuilder, arg| b.args([arg]).unwrap().env("NAME", arg).unwrap();
    let state = saved(&described(WasiCtx::builder(), "old").build());
    let cases = [(false, false), (true, false), (false, true)];
    for (args, env) in cases {
        let options = RestoreOptions::new().args_of_builder(args).env_of_builder(env);
        let ctx = described(WasiCtx::builder(), "new").restore(&state, &options).unwrap();
        assert_eq!(ctx.args(), [if args { "new" } else { "old" }]);
        assert_eq!(ctx.envs(), [if env { "NAME=new" } else { "NAME=old" }]);
    }
}

#[test]
fn directories_are_matched_by_name() {
    let world = World::new(Version::Preview1, false, |b| b);
    let state = saved(&world.ctx);
    assert_eq!(state.preopens().collect::<Vec<_>>(), ["/root", "fixed"]);
    let error = WasiCtx::builder()
        .preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly)
        .unwrap()
        .restore(&state, &RestoreOptions::new())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the saved program has the preopened directory \"/root\"; give it one of this name"
    );
    // In another order, with one that the program did not have, and two of a name.
    let twice = || {
        WasiCtx::builder()
            .preopen_dir(world.host("outside"), "more", DirPerms::ReadWrite)
            .and_then(|b| b.preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly))
            .and_then(|b| b.preopen_dir(world.host("root"), "/root", DirPerms::ReadWrite))
            .and_then(|b| b.preopen_dir(world.host("outside"), "/root", DirPerms::ReadWrite))
            .unwrap()
    };
    let ctx = twice().restore(&state, &RestoreOptions::new()).unwrap();
    let mut guest = Guest::new(ctx, Version::Preview1, false);
    let out = guest.alloc(8);
    assert_eq!(guest.call("fd_prestat_get", &[5, out]), Errno::Badf);
    guest.open("in-root", CREAT, ALL).unwrap();
    assert!(world.host("root/in-root").exists());
    let mut guest = Guest::new(twice().build(), Version::Preview1, false);
    guest.open_at(6, 0, "secret", 0, READ, 0).unwrap();
    let state = saved(&guest.ctx);
    let error = builder(&world)
        .preopen_dir(world.host("outside"), "more", DirPerms::ReadWrite)
        .unwrap()
        .restore(&state, &RestoreOptions::new())
        .unwrap_err();
    assert!(error.to_string().contains("\"/root\" (2 of them)"), "{error}");
}

#[test]
fn a_directory_that_was_closed_is_needed_for_what_is_open_in_it() {
    let mut world = World::new(Version::Preview1, false, |b| b);
    let file = world.open("file", CREAT, ALL).unwrap();
    world.close(ROOT);
    world.close(FIXED);
    let state = carry(&mut world);
    assert_eq!(state.preopens().collect::<Vec<_>>(), ["/root"]);
    world.write(file, b"x").unwrap();
    let out = world.alloc(8);
    assert_eq!(world.call("fd_prestat_get", &[ROOT, out]), Errno::Badf);
    assert_eq!(world.open_at(file, 0, "x", 0, READ, 0), Err(Errno::Notdir));
}

#[test]
fn a_directory_may_be_read_only_now() {
    let mut world = World::new(Version::Preview1, false, |b| b);
    world.open("file", CREAT, ALL).unwrap();
    let state = saved(&world.ctx);
    let fixed = |world: &World| {
        WasiCtx::builder()
            .preopen_dir(world.host("root"), "/root", DirPerms::ReadOnly)
            .and_then(|b| b.preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly))
            .unwrap()
    };
    let error = fixed(&world).restore(&state, &RestoreOptions::new()).unwrap_err();
    assert!(error.to_string().contains("its directory is read-only now"), "{error}");
    world.close(5);
    let read = world.open("file", 0, ALL & !WRITE).unwrap();
    let state = saved(&world.ctx);
    world.guest.ctx = fixed(&world).restore(&state, &RestoreOptions::new()).unwrap();
    assert_eq!(world.call("fd_filestat_set_times", &[read, 0, 0, 2]), Errno::Perm);
    assert_eq!(world.open("new", CREAT, ALL), Err(Errno::Perm));
}

#[test]
fn changed_files_are_an_error_unless_accepted() {
    let mut world = World::new(Version::Preview1, false, |b| b);
    let file = world.open("file", CREAT, ALL).unwrap();
    world.write(file, b"old").unwrap();
    let state = saved(&world.ctx);
    let path = world.host("root/file");
    // The same file of the host, which has grown since.
    world.write(file, b" and more").unwrap();
    assert!(restore(&world, &state).is_ok());
    // A copy of the same size and time.
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let copy = |contents: &str, time| {
        std::fs::write(world.host("root/copy"), contents).unwrap();
        let copy = std::fs::File::options().write(true).open(world.host("root/copy")).unwrap();
        copy.set_modified(time).unwrap();
        std::fs::rename(world.host("root/copy"), &path).unwrap();
    };
    let state = saved(&world.ctx);
    copy("old and more", time);
    assert!(restore(&world, &state).is_ok());
    let later = time + Duration::from_secs(1);
    for (contents, time) in [("old and more", later), ("another", time)] {
        copy(contents, time);
        let error = restore(&world, &state).unwrap_err();
        let RestoreError::Changed { old_size, new_size, .. } = error else { panic!("{error}") };
        assert_eq!((old_size, new_size), (12, contents.len() as u64));
        let accept = RestoreOptions::new().changed(Changed::Accept);
        assert!(builder(&world).restore(&state, &accept).is_ok());
    }
    // What is no file any more is not accepted.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let accept = RestoreOptions::new().changed(Changed::Accept);
    assert!(builder(&world).restore(&state, &accept).is_err());
}

#[test]
fn numbers_have_a_limit() {
    let mut world = World::new(Version::Preview1, false, |b| b);
    for _ in 0..20 {
        world.open("file", CREAT, READ).unwrap();
    }
    for fd in 5..24 {
        world.close(fd);
    }
    let state = saved(&world.ctx);
    let restore =
        |limit| builder(&world).max_descriptors(limit).restore(&state, &RestoreOptions::new());
    let error = restore(24).unwrap_err();
    assert_eq!(error, RestoreError::TooMany { fd: GuestFd::from_u32(24), limit: 24 });
    assert!(restore(25).is_ok());
}

#[test]
fn a_state_can_be_shown() {
    let mut world = World::new(Version::Preview1, false, |b| b.args(["prog"]).unwrap());
    world.open("file", CREAT, ALL).unwrap();
    names(&mut world, ROOT, 0);
    let state = saved(&world.ctx);
    assert_eq!(state.args(), ["prog"]);
    let file = state.descriptors().last().unwrap();
    assert_eq!((file.fd(), file.kind()), (GuestFd::from_u32(5), DescriptorKind::File));
    assert_eq!((file.path().as_deref(), file.size()), (Some("/root/file"), Some(0)));
    let root = state.descriptors().nth(3).unwrap();
    assert_eq!(root.listed(), Some(1));
    assert_eq!(root.to_string(), "3 preopened directory \"/root\", in a listing of 1 entries");
    assert!(state.saved_at() > Duration::from_secs(1_000_000_000));
    assert!(state.envs().is_empty() && format!("{state:?}").contains("/root"));
    // No path of the host.
    let bytes = state.to_bytes();
    let host = world.host("root");
    let host = host.to_str().unwrap().as_bytes();
    assert!(!bytes.windows(host.len()).any(|window| window == host));
}
