//! States that nobody saved: whatever the bytes, there is an error or a program that stays in its directories.

use wardian_wasi::{
    Changed, DirPerms, Errno, MemoryInput, MemoryOutput, RestoreOptions, Stop, VirtualClocks,
    WasiCtx, WasiState,
};

use crate::carry::{builder, saved};
use crate::support::{Button, CREAT, DIRECTORY, FIXED, Guest, READ, ROOT, Version, WRITE, World};

const ALL: u64 = READ | WRITE | 1 << 2 | 1 << 5;

/// A program with something of every kind, and its state.
fn rich() -> (World, WasiState) {
    let (ours, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new(Version::Preview1, false, |b| {
        b.args(["prog", "arg"])
            .unwrap()
            .env("A", "b")
            .unwrap()
            .stdin_memory(MemoryInput::new("input"))
            .stdout_memory(MemoryOutput::new(100))
            .socket(ours)
            .unwrap()
            .listen_tcp(listener)
            .unwrap()
    });
    world.read(0, 2).unwrap();
    std::fs::create_dir_all(world.host("root/d/e")).unwrap();
    let file = world.open("d/file", CREAT, ALL).unwrap();
    world.write(file, b"contents").unwrap();
    world.open_at(FIXED, 0, "sub/file", 0, READ, 0).unwrap();
    let gone = world.open("gone", CREAT, ALL).unwrap();
    world.write(gone, b"removed").unwrap();
    assert_eq!(world.on_path("path_unlink_file", ROOT, "gone"), Errno::Success);
    let dir = world.open("d", DIRECTORY, 0).unwrap();
    let empty = world.open("d/e", DIRECTORY, 0).unwrap();
    assert_eq!(world.on_path("path_remove_directory", ROOT, "d/e"), Errno::Success);
    assert!(empty > dir);
    let (buf, out) = (world.alloc(60), world.alloc(4));
    world.ok("fd_readdir", &[dir, buf, 60, 0, out]);
    world.ok("fd_readdir", &[ROOT, buf, 60, 0, out]);
    let mut record = [0; 48 * 2];
    record[16] = 1;
    record[24..32].copy_from_slice(&5_000_000u64.to_le_bytes());
    record[48 + 8] = 1;
    let (input, output) = (world.put(&record), world.alloc(64));
    let button = Button::new(true);
    button.press();
    let ended = world.call_with(&button, "poll_oneoff", &[input, output, 2, out]);
    assert_eq!(ended, Err(Stop::Interrupted));
    let state = saved(&world.ctx);
    (world, state)
}

/// Restores a state and uses what it has. Whether it was restored.
fn try_out(world: &World, state: &WasiState) -> bool {
    let builder = builder(world).clocks(VirtualClocks::new(0, 1)).allow_blocking(false);
    let options = RestoreOptions::new().changed(Changed::Accept);
    let Ok(ctx) = builder.restore(state, &options) else { return false };
    let mut guest = Guest::new(ctx, Version::Preview1, false);
    let fds: Vec<u64> = state.descriptors().map(|d| u64::from(d.fd().as_u32())).collect();
    for fd in fds {
        guest.reset();
        let (buf, out) = (guest.alloc(500), guest.alloc(8));
        let iovs = guest.iovs(&[(buf, 500)]);
        guest.call("fd_read", &[fd, iovs, 1, out]);
        assert!(!String::from_utf8_lossy(&guest.bytes(buf, 500)).contains("secret contents"));
        guest.call("fd_fdstat_get", &[fd, buf]);
        guest.call("fd_filestat_get", &[fd, buf]);
        guest.call("fd_tell", &[fd, out]);
        for cookie in [0, 2, 1 << 40] {
            guest.call("fd_readdir", &[fd, buf, 500, cookie, out]);
        }
        for path in ["../outside/secret", "file", "."] {
            guest.reset();
            let _ = guest.open_at(fd, 1, path, 0, READ, 0);
        }
    }
    guest.ctx.save().is_ok()
}

/// What lies outside of the directory that the guest may change.
fn outside(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    ["fixed/file", "fixed/sub/file", "outside/secret"]
        .map(|path| (world.host(path), std::fs::read(world.host(path)).unwrap()))
        .into()
}

#[test]
fn every_truncation_is_an_error() {
    let (world, state) = rich();
    let bytes = state.to_bytes();
    assert!(try_out(&world, &state));
    for len in 0..bytes.len() {
        let error = WasiState::from_bytes(&bytes[..len]).unwrap_err();
        assert!(error.at() <= len, "{error}");
    }
    for more in [&b"\0"[..], b"more"] {
        let error = WasiState::from_bytes(&[&bytes, more].concat()).unwrap_err();
        assert!(error.to_string().contains("more follows its end"), "{error}");
    }
}

#[test]
fn every_changed_byte_is_an_error_or_a_state() {
    let (world, state) = rich();
    std::fs::write(world.host("outside/secret"), "secret contents").unwrap();
    let (bytes, before) = (state.to_bytes(), outside(&world));
    let (mut decoded, mut restored) = (0, 0);
    for at in 0..bytes.len() {
        for change in [1, 2, 0x80, 0xff, bytes[at], bytes[at].wrapping_neg()] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            if let Ok(state) = WasiState::from_bytes(&bytes) {
                assert_eq!(WasiState::from_bytes(&state.to_bytes()).as_ref(), Ok(&state));
                decoded += 1;
                restored += u32::from(try_out(&world, &state));
            }
        }
    }
    assert!(decoded > 100 && restored > 10, "{decoded} decoded, {restored} restored");
    assert_eq!(outside(&world), before);
}

#[test]
fn random_bytes_and_lengths_are_errors() {
    let (_world, state) = rich();
    let bytes = state.to_bytes();
    let mut random = 1u64;
    let mut next = || {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    for _ in 0..20_000 {
        let mut forged = bytes.clone();
        for _ in 0..1 + next() % 4 {
            // A length, most of them too large.
            let at = next() % (forged.len() - 4);
            let len = [next() as u32, u32::MAX, next() as u32 % 300][next() % 3];
            forged[at..at + 4].copy_from_slice(&len.to_le_bytes());
        }
        forged.truncate(next() % (2 * forged.len()));
        if let Ok(state) = WasiState::from_bytes(&forged) {
            assert_eq!(state.to_bytes(), forged);
        }
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    // Of the length of `d/file`, and of what the state says elsewhere.
    let (world, state) = rich();
    std::os::unix::fs::symlink(world.host("outside"), world.host("root/l")).unwrap();
    let bytes = state.to_bytes();
    let at = bytes.windows(6).position(|w| w == b"d/file").unwrap();
    for path in
        ["../../", "/etc/a", "d/../.", "l/secr", "..////", "nofile", "\0a/b/c", "\u{fffd}abc"]
    {
        let mut bytes = bytes.clone();
        bytes[at..at + 6].copy_from_slice(path.as_bytes());
        let restored = WasiState::from_bytes(&bytes).is_ok_and(|state| try_out(&world, &state));
        assert!(!restored, "{path}");
    }
}

#[test]
fn rights_are_no_more_than_a_program_has() {
    let (world, state) = rich();
    let bytes = state.to_bytes();
    // Every eight bytes with these rights, made all rights.
    let mut changed = bytes.clone();
    for fd in state.descriptors() {
        for rights in [fd.rights().0, fd.rights().1] {
            let old = rights.to_le_bytes();
            for at in 0..bytes.len() - 8 {
                if rights > 1 << 8 && bytes[at..at + 8] == old {
                    changed[at..at + 8].copy_from_slice(&((1u64 << 30) - 1).to_le_bytes());
                }
            }
        }
    }
    assert_ne!(changed, bytes);
    let state = WasiState::from_bytes(&changed).unwrap();
    let ctx = WasiCtx::builder()
        .preopen_dir(world.host("root"), "/root", DirPerms::ReadWrite)
        .and_then(|b| b.preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly))
        .unwrap()
        .restore(&state, &RestoreOptions::new())
        .unwrap();
    let mut guest = Guest::new(ctx, Version::Preview1, false);
    for fd in state.descriptors() {
        let number = u64::from(fd.fd().as_u32());
        let (_, _, base, inheriting) = guest.fdstat(number);
        let most = match fd.to_string().split_once(' ').unwrap().1 {
            name if name.contains("directory") => {
                (wardian_wasi::rights::DIRECTORY, wardian_wasi::rights::INHERITING)
            }
            name if name.contains("file") => (wardian_wasi::rights::FILE, 0),
            name if name.starts_with("listening") => (wardian_wasi::rights::LISTENER, 0),
            name if name.contains("socket") => (wardian_wasi::rights::SOCKET, 0),
            _ => (wardian_wasi::rights::STREAM, 0),
        };
        assert_eq!((base & !most.0, inheriting & !most.1), (0, 0), "{fd}");
    }
    // The file of the read-only directory is open for reading.
    let fixed = state.descriptors().find(|d| d.path().is_some_and(|p| p == "fixed/sub/file"));
    assert_eq!(guest.write(u64::from(fixed.unwrap().fd().as_u32()), b"x"), Err(Errno::Badf));
}
