//! `poll_oneoff`.

use std::io::Write;
use std::time::{Duration, Instant};

use wardian_wasi::{Errno, MemoryInput, MemoryOutput, VirtualClocks};

use crate::support::{CREAT, DIRECTORY, READ, Version, WRITE, World, worlds, worlds_with};

#[derive(Clone, Copy, Debug)]
enum Sub {
    Clock { id: u32, timeout: u64, flags: u16 },
    Read(u32),
    Write(u32),
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    userdata: u64,
    error: u16,
    kind: u8,
    nbytes: u64,
    flags: u16,
}

/// The record of a subscription, in the layout of the version.
fn encode(version: Version, userdata: u64, sub: Sub) -> Vec<u8> {
    let (len, clock) = if version == Version::Preview1 { (48, 16) } else { (56, 24) };
    let mut record = vec![0xee; len];
    record[..8].copy_from_slice(&userdata.to_le_bytes());
    match sub {
        Sub::Clock { id, timeout, flags } => {
            record[8] = 0;
            record[clock..clock + 4].copy_from_slice(&id.to_le_bytes());
            record[clock + 8..clock + 16].copy_from_slice(&timeout.to_le_bytes());
            record[clock + 24..clock + 26].copy_from_slice(&flags.to_le_bytes());
        }
        Sub::Read(fd) | Sub::Write(fd) => {
            record[8] = if matches!(sub, Sub::Read(_)) { 1 } else { 2 };
            record[16..20].copy_from_slice(&fd.to_le_bytes());
        }
    }
    record
}

/// Polls; the subscriptions are numbered from 100.
fn poll(world: &mut World, subs: &[Sub]) -> Result<Vec<Event>, Errno> {
    let records: Vec<u8> = (subs.iter().zip(100..))
        .flat_map(|(sub, userdata)| encode(world.version, userdata, *sub))
        .collect();
    let input = world.put(&records);
    let (output, out) = (world.alloc(32 * subs.len()), world.alloc(4));
    match world.call("poll_oneoff", &[input, output, subs.len() as u64, out]) {
        Errno::Success => {}
        errno => return Err(errno),
    }
    Ok((0..u64::from(world.u32(out)))
        .map(|i| output + i * 32)
        .map(|at| Event {
            userdata: world.u64(at),
            error: world.u16(at + 8),
            kind: world.bytes(at + 10, 1)[0],
            nbytes: world.u64(at + 16),
            flags: world.u16(at + 24),
        })
        .collect())
}

fn event(userdata: u64, kind: u8, nbytes: u64) -> Event {
    Event { userdata, error: 0, kind, nbytes, flags: 0 }
}

const MS: u64 = 1_000_000;

fn after(timeout: u64) -> Sub {
    Sub::Clock { id: 1, timeout, flags: 0 }
}

#[test]
fn no_subscriptions_are_inval() {
    worlds(|world| {
        assert_eq!(poll(world, &[]), Err(Errno::Inval));
        // An unknown kind, and unknown clock flags.
        let mut record = encode(world.version, 1, after(0));
        record[8] = 3;
        let (input, out) = (world.put(&record), world.alloc(40));
        assert_eq!(world.call("poll_oneoff", &[input, out, 1, out]), Errno::Inval);
        let flags = Sub::Clock { id: 1, timeout: 0, flags: 2 };
        assert_eq!(poll(world, &[flags]), Err(Errno::Inval));
    });
}

#[test]
fn clocks_relative_and_absolute() {
    worlds(|world| {
        for id in [0, 1] {
            let start = Instant::now();
            let sub = Sub::Clock { id, timeout: 5 * MS, flags: 0 };
            assert_eq!(poll(world, &[sub, after(3_600_000 * MS)]), Ok(vec![event(100, 0, 0)]));
            assert!(start.elapsed() >= Duration::from_millis(5));

            let now = world.alloc(8);
            world.ok("clock_time_get", &[u64::from(id), 0, now]);
            let now = world.u64(now);
            let start = Instant::now();
            let sub = |timeout| Sub::Clock { id, timeout, flags: 1 };
            assert_eq!(poll(world, &[sub(now + 5 * MS)]), Ok(vec![event(100, 0, 0)]));
            assert!(start.elapsed() >= Duration::from_millis(4));
            assert!(start.elapsed() < Duration::from_secs(2));
            // In the past.
            assert_eq!(poll(world, &[sub(1)]), Ok(vec![event(100, 0, 0)]));
        }
    });
}

#[test]
fn clocks_nobody_can_wait_for() {
    worlds(|world| {
        for (id, errno) in [(2, Errno::Notsup), (3, Errno::Notsup), (9, Errno::Inval)] {
            let sub = Sub::Clock { id, timeout: 0, flags: 0 };
            let got = poll(world, &[after(3_600_000 * MS), sub]).unwrap();
            let expected = Event { error: errno.raw(), ..event(101, 0, 0) };
            assert_eq!(got, [expected]);
        }
    });
}

#[test]
fn files_are_always_ready() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap() as u32;
        world.write(fd.into(), b"12345").unwrap();
        let (x, [set, ..]) = (world.alloc(8), world.version.whence());
        world.ok("fd_seek", &[fd.into(), 2, set, x]);
        let got = poll(world, &[Sub::Read(fd), after(3_600_000 * MS), Sub::Write(fd)]).unwrap();
        assert_eq!(got[0], event(100, 1, 3));
        assert_eq!((got[1].userdata, got[1].kind, got.len()), (102, 2, 2));
    });
}

#[test]
fn what_is_wrong_with_one_is_its_events_error() {
    worlds(|world| {
        let dir = world.open(".", DIRECTORY, 0).unwrap() as u32;
        let got = poll(world, &[Sub::Read(77), Sub::Write(u32::MAX), Sub::Read(dir)]).unwrap();
        let bad = Errno::Badf.raw();
        assert_eq!(got.iter().map(|e| e.error).collect::<Vec<_>>(), [bad; 3]);
        assert_eq!(got.iter().map(|e| e.kind).collect::<Vec<_>>(), [1, 2, 1]);
        // Without the right.
        let fd = world.open("f", CREAT, READ).unwrap();
        let left = wardian_wasi::rights::FILE & !wardian_wasi::rights::POLL_FD_READWRITE & !WRITE;
        world.ok("fd_fdstat_set_rights", &[fd, left, 0]);
        let got = poll(world, &[Sub::Read(fd as u32)]).unwrap();
        assert_eq!(got[0].error, Errno::Notcapable.raw());
    });
}

#[test]
fn pipes_become_ready() {
    for version in [Version::Preview1, Version::Unstable] {
        let (read, mut write) = std::io::pipe().unwrap();
        let mut world = World::new(version, false, |b| b.stdin_fd(read).unwrap());
        let subs = [Sub::Read(0), after(10 * MS)];
        assert_eq!(poll(&mut world, &subs), Ok(vec![event(101, 0, 0)]));
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            write.write_all(b"abc").unwrap();
            write
        });
        let long = [Sub::Read(0), after(3_600_000 * MS)];
        assert_eq!(poll(&mut world, &long), Ok(vec![event(100, 1, 3)]));
        drop(thread.join().unwrap());
        assert_eq!(world.read(0, 9).unwrap(), b"abc");
        let got = poll(&mut world, &long).unwrap();
        assert_eq!((got.len(), got[0].nbytes, got[0].flags), (1, 0, 1));
    }
}

#[test]
fn streams_in_memory_are_ready() {
    worlds_with(
        |b| b.stdin_memory(MemoryInput::new("four")).stdout_memory(MemoryOutput::new(9)),
        |world| {
            let got = poll(world, &[Sub::Read(0), Sub::Write(1), Sub::Write(2)]).unwrap();
            assert_eq!(got[0], event(100, 1, 4));
            assert_eq!(got.len(), 3);
            world.read(0, 9).unwrap();
            assert_eq!(poll(world, &[Sub::Read(0)]).unwrap()[0].flags, 1);
        },
    );
}

#[test]
fn sleeping_on_virtual_clocks_takes_no_time() {
    worlds_with(
        |b| b.clocks(VirtualClocks::new(0, 0)),
        |world| {
            let hour = 3_600_000 * MS;
            let start = Instant::now();
            assert_eq!(poll(world, &[after(2 * hour), after(hour)]), Ok(vec![event(101, 0, 0)]));
            assert!(start.elapsed() < Duration::from_secs(1));
            let now = world.alloc(8);
            world.ok("clock_time_get", &[1, 0, now]);
            assert_eq!(world.u64(now), hour);
        },
    );
}

#[test]
fn without_blocking_nobody_waits() {
    worlds_with(
        |b| b.allow_blocking(false),
        |world| {
            assert_eq!(poll(world, &[after(3_600_000 * MS)]), Err(Errno::Again));
            assert_eq!(poll(world, &[after(0)]), Ok(vec![event(100, 0, 0)]));
        },
    );
}
