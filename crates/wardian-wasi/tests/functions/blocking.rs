//! Calls that wait: they end when they are asked to, and hinder nobody else.

use std::io::Write;
use std::time::{Duration, Instant};

use wardian_wasi::{Errno, MemoryOutput, NeverInterrupt, Stop};

use crate::support::{Button, CREAT, Guest, READ, ROOT, Version, WRITE, World};

/// How late a call may notice that it is to end.
const LATENCY: Duration = Duration::from_millis(50);

/// Runs a call that would wait forever, tells it to end, and checks that it
/// does, in time.
fn ends_when_told(mut guest: Guest, name: &str, args: &[u64]) {
    for wakes in [true, false] {
        let button = Button::new(wakes);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| (guest.call_with(&button, name, args), Instant::now()));
            std::thread::sleep(Duration::from_millis(30));
            assert!(!thread.is_finished(), "{name} did not wait");
            let pressed = Instant::now();
            button.press();
            let (got, ended) = thread.join().unwrap();
            assert_eq!(got, Err(Stop::Interrupted), "{name}");
            assert!(ended - pressed < LATENCY, "{name} took {:?}", ended - pressed);
        });
        // Asked to end before it begins, it does not begin.
        assert_eq!(guest.call_with(&button, name, args), Err(Stop::Interrupted), "{name}");
    }
}

fn guest(more: impl FnOnce(wardian_wasi::WasiCtxBuilder) -> wardian_wasi::WasiCtxBuilder) -> World {
    World::new(Version::Preview1, false, more)
}

#[test]
fn reading_a_pipe() {
    let (read, _write) = std::io::pipe().unwrap();
    let mut world = guest(|b| b.stdin_fd(read).unwrap());
    let (iovs, out) = (world.iovs(&[(64, 8)]), world.alloc(4));
    ends_when_told(world.guest, "fd_read", &[0, iovs, 1, out]);
}

#[test]
fn writing_to_a_full_pipe() {
    let (_read, write) = std::io::pipe().unwrap();
    let full = rustix::pipe::fcntl_getpipe_size(&write).unwrap();
    let mut rest = write.try_clone().unwrap();
    let mut world = guest(|b| b.stdout_fd(write).unwrap());
    // The first write is short, the next one waits. How short depends on whether the system can write without waiting.
    let written = world.write(1, &[0; 150_000]).unwrap();
    rest.write_all(&vec![0; full - written]).unwrap();
    world.reset();
    let (iovs, out) = (world.iovs(&[(1024, 100_000)]), world.alloc(4));
    ends_when_told(world.guest, "fd_write", &[1, iovs, 1, out]);
}

#[test]
fn fifos() {
    let world = guest(|b| b);
    let path = world.host("root/fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Nobody reads it.
    let mut writer = Guest::new(world.ctx.clone(), Version::Preview1, false);
    let (name, out) = (writer.put(b"fifo"), writer.alloc(4));
    ends_when_told(writer, "path_open", &[ROOT, 0, name, 4, 0, WRITE, 0, 0, out]);
    // Nobody writes it: the end is not reached before somebody has.
    let mut reader = Guest::new(world.ctx.clone(), Version::Preview1, false);
    let fd = reader.open("fifo", 0, READ).unwrap();
    let (iovs, out) = (reader.iovs(&[(64, 8)]), reader.alloc(4));
    ends_when_told(reader, "fd_read", &[fd, iovs, 1, out]);
}

#[test]
fn sockets() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = guest(|b| b.socket(theirs).unwrap().listen_tcp(listener).unwrap());
    let (iovs, out) = (world.iovs(&[(64, 8)]), world.alloc(8));
    let again = || Guest::new(world.ctx.clone(), Version::Preview1, false);
    let mut receiver = again();
    receiver.memory.bytes.clone_from(&world.memory.bytes);
    ends_when_told(receiver, "sock_recv", &[5, iovs, 1, 0, out, out + 4]);
    ends_when_told(again(), "sock_accept", &[6, 0, out]);
    let mut sender = again();
    let (iovs, out) = (sender.iovs(&[(1024, 200_000)]), sender.alloc(4));
    sender.ok("fd_fdstat_set_flags", &[5, 4]);
    while sender.call("sock_send", &[5, iovs, 1, 0, out]) == Errno::Success {}
    sender.ok("fd_fdstat_set_flags", &[5, 0]);
    ends_when_told(sender, "sock_send", &[5, iovs, 1, 0, out]);
    drop(ours);
}

#[test]
fn polling() {
    let (read, _write) = std::io::pipe().unwrap();
    let mut world = guest(|b| b.stdin_fd(read).unwrap());
    // A clock in an hour, and a pipe that nobody writes to.
    let mut records = [0; 96];
    records[16..20].copy_from_slice(&1u32.to_le_bytes());
    records[24..32].copy_from_slice(&3_600_000_000_000u64.to_le_bytes());
    records[56] = 1;
    let input = world.put(&records);
    let (output, out) = (world.alloc(64), world.alloc(4));
    ends_when_told(world.guest, "poll_oneoff", &[input, output, 2, out]);
}

#[test]
fn a_blocked_read_hinders_no_other_descriptor() {
    let (read, mut write) = std::io::pipe().unwrap();
    let output = MemoryOutput::new(100);
    let world = guest(|b| b.stdin_fd(read).unwrap().stdout_memory(output.clone()));
    let mut reader = Guest::new(world.ctx.clone(), Version::Preview1, false);
    let mut other = Guest::new(world.ctx.clone(), Version::Unstable, false);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || reader.read(0, 9));
        std::thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        other.write(1, b"meanwhile").unwrap();
        let fd = other.open("f", CREAT, READ | WRITE).unwrap();
        other.write(fd, b"x").unwrap();
        other.close(fd);
        // Not even what the reader reads: closing it, and asking of it.
        assert_eq!(other.fdstat(0).0, 0);
        other.close(0);
        assert!(start.elapsed() < Duration::from_millis(500));
        assert!(!thread.is_finished());
        assert_eq!(other.read(0, 1), Err(Errno::Badf));
        write.write_all(b"at last").unwrap();
        assert_eq!(thread.join().unwrap().unwrap(), b"at last");
    });
    assert_eq!(output.text(), "meanwhile");
}

#[test]
fn two_readers_of_one_pipe_do_not_get_stuck() {
    let (read, mut write) = std::io::pipe().unwrap();
    let world = guest(|b| b.stdin_fd(read).unwrap());
    let button = Button::new(true);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mut reader = Guest::new(world.ctx.clone(), Version::Preview1, false);
                let (iovs, out) = (reader.iovs(&[(64, 8)]), reader.alloc(4));
                let button = &button;
                scope.spawn(move || reader.call_with(button, "fd_read", &[0, iovs, 1, out]))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20));
        write.write_all(b"one").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        button.press();
        let mut got: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        got.sort_by_key(Result::is_err);
        assert_eq!(got, [Ok(Errno::Success), Err(Stop::Interrupted)]);
    });
}

#[test]
fn without_blocking_nobody_waits() {
    let (read, _write) = std::io::pipe().unwrap();
    let mut world = guest(|b| b.stdin_fd(read).unwrap().allow_blocking(false));
    let (iovs, out) = (world.iovs(&[(64, 8)]), world.alloc(4));
    let got = world.call_with(&NeverInterrupt, "fd_read", &[0, iovs, 1, out]);
    assert_eq!(got, Ok(Errno::Again));
}

#[test]
fn the_state_can_be_shared_between_threads() {
    fn check<T: Send + Sync + Clone>() {}
    check::<wardian_wasi::WasiCtx>();
}

/// Tells a call to end when it has been asked so often.
struct After(std::sync::atomic::AtomicU32);

impl wardian_wasi::Interrupt for After {
    fn is_set(&self) -> bool {
        use std::sync::atomic::Ordering::SeqCst;
        self.0.fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(1))) == Ok(0)
    }

    fn wake_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

#[test]
fn long_calls_of_files_end_between_two_parts() {
    const LONG: usize = 40 << 20;
    for shared in [false, true] {
        let mut world = World::new(Version::Preview1, shared, |b| b);
        std::fs::File::create(world.host("root/sparse")).unwrap().set_len(1 << 40).unwrap();
        let at = world.guest.memory.bytes.len() as u64;
        world.guest.memory.bytes.resize(at as usize + LONG, 1);
        let file = world.open("sparse", 0, READ | WRITE | 1 << 2 | 1 << 5).unwrap();
        let (iovs, out) = (world.iovs(&[(at, LONG)]), world.alloc(4));
        let calls: [(&str, &[u64]); 5] = [
            ("fd_read", &[file, iovs, 1, out]),
            ("fd_pread", &[file, iovs, 1, 7, out]),
            ("fd_write", &[file, iovs, 1, out]),
            ("fd_pwrite", &[file, iovs, 1, 7, out]),
            ("random_get", &[at, LONG as u64]),
        ];
        for (name, args) in calls {
            let interrupt = After(3.into());
            let ended = world.guest.call_with(&interrupt, name, args);
            if name == "random_get" {
                assert_eq!(ended, Err(Stop::Interrupted), "{name}");
                continue;
            }
            // What was done is reported, so that nothing is done twice if the call is made again.
            assert_eq!(ended, Ok(Errno::Success), "{name}");
            let done = world.u32(out) as usize;
            assert!((1..LONG).contains(&done), "{name} did {done} bytes");
            let at = world.alloc(8);
            world.ok("fd_tell", &[file, at]);
            if matches!(name, "fd_read" | "fd_write") {
                assert_eq!(world.u64(at), done as u64, "{name}");
                world.ok("fd_seek", &[file, 0, 0, at]);
            }
            // Nobody tells it to end: it does all of it.
            world.ok(name, args);
            assert_eq!(world.u32(out) as usize, LONG, "{name}");
            world.ok("fd_seek", &[file, 0, 0, at]);
        }
    }
}
