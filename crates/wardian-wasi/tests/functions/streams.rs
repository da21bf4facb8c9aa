//! Standard streams of every kind.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use wardian_wasi::{Errno, MemoryInput, MemoryOutput, PollableInput};

use crate::support::{READ, ROOT, Version, WRITE, World, worlds, worlds_with};

#[test]
fn nothing_by_default() {
    worlds(|world| {
        assert_eq!(world.read(0, 9), Ok(vec![]));
        assert_eq!(world.write(1, b"void"), Ok(4));
        assert_eq!(world.write(2, b"void"), Ok(4));
        assert_eq!(world.write(0, b"x"), Err(Errno::Badf));
        assert_eq!(world.read(1, 1), Err(Errno::Badf));
        for fd in 0..3 {
            assert_eq!(world.fdstat(fd).0, 0);
            assert_eq!(world.fd_stat(fd).unwrap().filetype, 0);
        }
        world.ok("fd_sync", &[1]);
    });
}

#[test]
fn streams_in_memory() {
    let output = MemoryOutput::new(8);
    worlds_with(
        |b| {
            b.stdin_memory(MemoryInput::new("line\nrest"))
                .stdout_memory(output.clone())
                .stderr_memory(output.clone())
        },
        |world| {
            assert_eq!(world.read(0, 5).unwrap(), b"line\n");
            let (a, b) = (world.alloc(2), world.alloc(8));
            let (iovs, out) = (world.iovs(&[(a, 2), (b, 8)]), world.alloc(8));
            world.ok("fd_read", &[0, iovs, 2, out]);
            assert_eq!((world.u32(out), world.bytes(b, 2)), (4, b"st".to_vec()));
            assert_eq!(world.read(0, 5).unwrap(), b"");
            assert_eq!(world.write(1, b"hello"), Ok(5));
            assert_eq!(world.write(2, b"world"), Ok(3));
            assert_eq!(world.write(1, b"!"), Err(Errno::Nospc));
            assert_eq!(output.text(), "hellowor");
            assert_eq!(output.take(), b"hellowor");
            assert_eq!(world.write(1, b"!"), Ok(1));
            assert_eq!(output.take(), b"!");
            let [set, ..] = world.version.whence();
            assert_eq!(world.call("fd_seek", &[1, 0, set, out]), Errno::Spipe);
            assert_eq!(world.call("fd_tell", &[0, out]), Errno::Spipe);
            assert_eq!(world.call("fd_pread", &[0, iovs, 2, 0, out]), Errno::Spipe);
            assert_eq!(world.call("fd_pwrite", &[1, iovs, 2, 0, out]), Errno::Spipe);
            assert_eq!(world.call("fd_filestat_set_size", &[1, 0]), Errno::Badf);
            assert_eq!(world.call("fd_filestat_set_times", &[1, 0, 0, 0]), Errno::Badf);
        },
    );
}

#[test]
fn pipes() {
    for shared in [false, true] {
        let (guest_in, mut input) = std::io::pipe().unwrap();
        let (mut output, guest_out) = std::io::pipe().unwrap();
        let mut world = World::new(Version::Preview1, shared, |b| {
            b.stdin_fd(guest_in).unwrap().stdout_fd(guest_out).unwrap()
        });
        // Not a terminal.
        assert_eq!((world.fdstat(0).0, world.fdstat(1).0), (0, 0));
        input.write_all(b"abc").unwrap();
        assert_eq!(world.read(0, 2).unwrap(), b"ab");
        assert_eq!(world.read(0, 2).unwrap(), b"c");
        world.ok("fd_fdstat_set_flags", &[0, 4]);
        assert_eq!(world.read(0, 2), Err(Errno::Again));
        drop(input);
        assert_eq!(world.read(0, 2), Ok(vec![]));

        assert_eq!(world.write(1, b"text"), Ok(4));
        let mut buf = [0; 4];
        output.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"text");
        // A pipe takes what it takes.
        world.ok("fd_fdstat_set_flags", &[1, 4]);
        let taken = world.write(1, &[1; 150_000]).unwrap();
        assert!((4096..150_000).contains(&taken), "{taken}");
        while world.write(1, &[1; 4096]).is_ok() {
            world.reset();
        }
        assert_eq!(world.write(1, &[1; 4096]), Err(Errno::Again));
        drop(output);
        assert_eq!(world.write(1, b"x"), Err(Errno::Pipe));
    }
}

#[test]
fn files_and_devices() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "input").unwrap();
    let null = || std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    worlds_with(
        |b| b.stdin_file(std::fs::File::open(&path).unwrap()).unwrap().stdout_fd(null()).unwrap(),
        |world| {
            assert_eq!((world.fdstat(0).0, world.fdstat(1).0), (4, 2));
            let [set, ..] = world.version.whence();
            let out = world.alloc(8);
            world.ok("fd_seek", &[0, 2, set, out]);
            assert_eq!(world.read(0, 9).unwrap(), b"put");
            assert_eq!(world.write(1, b"gone"), Ok(4));
            // A terminal is a character device that cannot seek; this is none.
            assert_eq!(world.fdstat(1).2 & ((1 << 2) | (1 << 5)), (1 << 2) | (1 << 5));
            assert_eq!(world.call("fd_seek", &[1, 0, set, out]), Errno::Spipe);
            // When the host used its device last is not reported.
            let stat = world.fd_stat(1).unwrap();
            assert_eq!((stat.filetype, stat.size, stat.atim, stat.mtim), (2, 0, 0, 0));
            assert_eq!(world.fd_stat(0).unwrap().size, 5);
        },
    );
}

/// What a guest cannot do to the file behind a standard stream. It gets the addresses of a vector of one
/// buffer, and of a result.
type Denied = (&'static str, fn(u64, u64) -> Vec<u64>, Errno);

const DENIED: &[Denied] = &[
    ("fd_filestat_set_size", |_, _| vec![1, 0], Errno::Badf),
    ("fd_filestat_set_times", |_, _| vec![1, 0, 0, 0xa], Errno::Badf),
    ("fd_allocate", |_, _| vec![1, 0, 100], Errno::Spipe),
    ("fd_advise", |_, _| vec![1, 0, 0, 4], Errno::Spipe),
    ("fd_seek", |_, out| vec![1, 0, 0, out], Errno::Spipe),
    ("fd_tell", |_, out| vec![1, out], Errno::Spipe),
    ("fd_pwrite", |iovs, out| vec![1, iovs, 1, 0, out], Errno::Spipe),
    ("fd_pread", |iovs, out| vec![0, iovs, 1, 0, out], Errno::Spipe),
    ("fd_read", |iovs, out| vec![1, iovs, 1, out], Errno::Badf),
    ("fd_write", |iovs, out| vec![0, iovs, 1, out], Errno::Badf),
    ("fd_fdstat_set_flags", |_, _| vec![1, 0], Errno::Success),
];

#[test]
fn a_file_behind_a_stream_is_only_read_or_written() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("input"), dir.path().join("output"));
    let append = || std::fs::OpenOptions::new().append(true).read(true).open(&output).unwrap();
    for (name, args, expected) in DENIED {
        std::fs::write(&input, "input").unwrap();
        std::fs::write(&output, "0123456789").unwrap();
        let host = append();
        worlds_with(
            |b| {
                let stdin = std::fs::File::open(&input).unwrap();
                b.stdin_fd(stdin).unwrap().stdout_fd(host.try_clone().unwrap()).unwrap()
            },
            |world| {
                let before = std::fs::metadata(&output).unwrap();
                let buf = world.put(b"evil");
                let (iovs, out) = (world.iovs(&[(buf, 4)]), world.alloc(8));
                assert_eq!(world.call(name, &args(iovs, out)), *expected, "{name}");
                let after = std::fs::metadata(&output).unwrap();
                assert_eq!(after.len(), 10, "{name}");
                assert_eq!(before.modified().unwrap(), after.modified().unwrap(), "{name}");
                assert_eq!((before.ctime(), before.ino()), (after.ctime(), after.ino()), "{name}");
                // The flags belong to all who have the file open.
                let flags = rustix::fs::fcntl_getfl(&host).unwrap();
                assert!(flags.contains(rustix::fs::OFlags::APPEND), "{name}");
                // Neither a terminal nor a file.
                assert_eq!((world.fdstat(0).0, world.fdstat(1).0), (0, 0), "{name}");
            },
        );
    }
    let (from, to) = (std::fs::File::open(&input).unwrap(), append());
    let mut world =
        World::new(Version::Preview1, false, |b| b.stdin_fd(from).unwrap().stdout_fd(to).unwrap());
    assert_eq!(world.read(0, 3).unwrap(), b"inp");
    assert_eq!(world.read(0, 9).unwrap(), b"ut");
    assert_eq!(world.read(0, 9).unwrap(), b"");
    assert_eq!(world.write(1, &[b'x'; 100_000]), Ok(100_000));
    assert_eq!(std::fs::metadata(&output).unwrap().len(), 100_010);
}

#[test]
fn what_is_given_as_a_file_has_to_be_one() {
    let (read, _write) = std::io::pipe().unwrap();
    let error = wardian_wasi::WasiCtx::builder().stdin_file(read).unwrap_err();
    assert!(error.to_string().contains("standard input"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let file = std::fs::File::create(&path).unwrap();
    let mut world = World::new(Version::Preview1, false, |b| b.stdout_file(file).unwrap());
    assert_eq!(world.write(1, b"0123456789"), Ok(10));
    world.ok("fd_filestat_set_size", &[1, 4]);
    assert_eq!(std::fs::read(&path).unwrap(), b"0123");
}

#[test]
fn terminals() {
    let terminal = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx");
    if terminal().is_err() {
        return;
    }
    worlds_with(
        |b| b.stdin_fd(terminal().unwrap()).unwrap(),
        |world| {
            // This is how a libc tells one from other devices.
            assert_eq!(world.fdstat(0).0, 2);
            assert_eq!(world.fdstat(0).2 & ((1 << 2) | (1 << 5)), 0);
        },
    );
}

/// Counts the calls, to see that nothing is buffered.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Log {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().push(b"flush".to_vec());
        Ok(())
    }
}

struct Piped(std::io::PipeReader);

impl Read for Piped {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl PollableInput for Piped {
    fn poll_fd(&self) -> Option<OwnedFd> {
        Some(self.0.try_clone().unwrap().into())
    }
}

#[test]
fn streams_of_the_embedders_own() {
    let log = Log::default();
    worlds_with(
        |b| b.stdin(Box::new(&b"own"[..])).stdout(Box::new(log.clone())),
        |world| {
            assert_eq!(world.read(0, 2).unwrap(), b"ow");
            assert_eq!(world.read(0, 2).unwrap(), b"n");
            world.write(1, b"a").unwrap();
            world.ok("fd_sync", &[1]);
            world.write(1, b"b").unwrap();
            world.close(1);
            let calls = std::mem::take(&mut *log.0.lock().unwrap());
            assert_eq!(calls, [&b"a"[..], b"flush", b"b", b"flush"]);
        },
    );
    let (read, mut write) = std::io::pipe().unwrap();
    let mut world = World::new(Version::Preview1, false, |b| b.stdin_pollable(Piped(read)));
    world.ok("fd_fdstat_set_flags", &[0, 4]);
    assert_eq!(world.read(0, 9), Err(Errno::Again));
    write.write_all(b"now").unwrap();
    assert_eq!(world.read(0, 9).unwrap(), b"now");
}

#[test]
fn fifos_inside_a_directory() {
    worlds(|world| {
        let path = world.host("root/fifo");
        let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(status.success());
        // Opening does not hang, whoever is there.
        assert_eq!(world.open_at(ROOT, 0, "fifo", 0, WRITE, 4), Err(Errno::Nxio));
        let read = world.open("fifo", 0, READ).unwrap();
        assert_eq!(world.fdstat(read).0, 0);
        let write = world.open("fifo", 0, WRITE).unwrap();
        assert_eq!(world.write(write, b"through"), Ok(7));
        assert_eq!(world.read(read, 99).unwrap(), b"through");
        world.close(write);
        assert_eq!(world.read(read, 99).unwrap(), b"");
    });
}
