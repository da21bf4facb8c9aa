//! `sock_*`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use wardian_wasi::Errno;

use crate::support::{CREAT, Version, WRITE, World, worlds, worlds_with};

const SOCK: u64 = 5;

/// `sock_recv`; the bytes and whether the rest was cut off.
fn recv(world: &mut World, len: usize, flags: u64) -> Result<(Vec<u8>, u16), Errno> {
    let buf = world.alloc(len);
    let (iovs, out) =
        (world.iovs(&[(buf, len / 2), (buf + len as u64 / 2, len - len / 2)]), world.alloc(8));
    match world.call("sock_recv", &[SOCK, iovs, 2, flags, out, out + 4]) {
        Errno::Success => Ok((world.bytes(buf, world.u32(out) as usize), world.u16(out + 4))),
        errno => Err(errno),
    }
}

fn send(world: &mut World, data: &[u8]) -> Result<usize, Errno> {
    let at = world.put(data);
    let (iovs, out) = (world.iovs(&[(at, data.len())]), world.alloc(4));
    match world.call("sock_send", &[SOCK, iovs, 1, 0, out]) {
        Errno::Success => Ok(world.u32(out) as usize),
        errno => Err(errno),
    }
}

#[test]
fn receiving_and_sending() {
    let pair = std::sync::Mutex::new(None);
    worlds_with(
        |b| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            *pair.lock().unwrap() = Some(ours);
            b.socket(theirs).unwrap()
        },
        |world| {
            let mut ours = pair.lock().unwrap().take().unwrap();
            assert_eq!(world.fdstat(SOCK).0, 6);
            assert_eq!(world.fd_stat(SOCK).unwrap().filetype, 6);
            ours.write_all(b"hello").unwrap();
            assert_eq!(recv(world, 4, 1), Ok((b"hell".to_vec(), 0)), "peek");
            assert_eq!(recv(world, 4, 0), Ok((b"hell".to_vec(), 0)));
            assert_eq!(recv(world, 4, 0), Ok((b"o".to_vec(), 0)));
            assert_eq!(recv(world, 4, 4), Err(Errno::Inval));
            // Reading and writing do the same.
            ours.write_all(b"again").unwrap();
            assert_eq!(world.read(SOCK, 9).unwrap(), b"again");
            assert_eq!(world.write(SOCK, b"back"), Ok(4));
            assert_eq!(send(world, b"wards"), Ok(5));
            let mut got = [0; 9];
            ours.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"backwards");

            // All of it, in two parts.
            let thread = std::thread::spawn(move || {
                ours.write_all(b"one ").unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                ours.write_all(b"two").unwrap();
                ours
            });
            assert_eq!(recv(world, 7, 2), Ok((b"one two".to_vec(), 0)));
            let ours = thread.join().unwrap();

            let (iovs, out) = (world.iovs(&[]), world.alloc(8));
            assert_eq!(world.call("sock_send", &[SOCK, iovs, 0, 1, out]), Errno::Inval);
            for how in [0, 4, 255] {
                assert_eq!(world.call("sock_shutdown", &[SOCK, how]), Errno::Inval);
            }
            world.ok("sock_shutdown", &[SOCK, 2]);
            assert_eq!((&ours).read(&mut got).unwrap(), 0);
            assert_eq!(send(world, b"x"), Err(Errno::Pipe));
            drop(ours);
            assert_eq!(recv(world, 4, 0), Ok((vec![], 0)));
        },
    );
}

#[test]
fn datagrams_say_when_they_are_cut_off() {
    let pair = std::sync::Mutex::new(None);
    worlds_with(
        |b| {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            *pair.lock().unwrap() = Some(ours);
            b.socket(theirs).unwrap()
        },
        |world| {
            let ours = pair.lock().unwrap().take().unwrap();
            assert_eq!(world.fdstat(SOCK).0, 5);
            ours.send(b"datagram").unwrap();
            assert_eq!(recv(world, 4, 0), Ok((b"data".to_vec(), 1)));
        },
    );
}

#[test]
fn accepting() {
    let version = Version::Preview1;
    for shared in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
        let mut world = World::new(version, shared, |b| {
            b.listen_tcp(listener).unwrap().listen_unix(unix).unwrap()
        });
        let out = world.alloc(8);
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"request").unwrap();
        world.ok("sock_accept", &[SOCK, 4, out]);
        let fd = u64::from(world.u32(out));
        assert_eq!(fd, 7);
        assert_eq!((world.fdstat(fd).0, world.fdstat(fd).1), (6, 4));
        world.ok("fd_fdstat_set_flags", &[fd, 0]);
        assert_eq!(world.read(fd, 99).unwrap(), b"request");
        world.ok("fd_fdstat_set_flags", &[fd, 4]);
        assert_eq!(world.read(fd, 99), Err(Errno::Again));

        UnixStream::connect(dir.path().join("socket")).unwrap();
        world.ok("sock_accept", &[6, 0, out]);

        // The listener's own flag says whether to wait.
        world.ok("fd_fdstat_set_flags", &[SOCK, 4]);
        assert_eq!(world.call("sock_accept", &[SOCK, 0, out]), Errno::Again);
        assert_eq!(world.call("sock_accept", &[SOCK, 1, out]), Errno::Inval);
        assert_eq!(world.call("sock_accept", &[fd, 0, out]), Errno::Inval);
        assert_eq!(world.call("sock_accept", &[3, 0, out]), Errno::Notsock);
        assert_eq!(world.call("sock_accept", &[55, 0, out]), Errno::Badf);
        let size = world.memory.bytes.len() as u64;
        assert_eq!(world.call("sock_accept", &[SOCK, 0, size - 3]), Errno::Fault);
        // A libc that looks for directories stops at the sockets.
        assert_eq!(world.call("fd_prestat_get", &[SOCK, out]), Errno::Badf);
    }
}

#[test]
fn other_descriptors_are_no_sockets() {
    worlds(|world| {
        let fd = world.open("f", CREAT, WRITE).unwrap();
        let out = world.alloc(8);
        for fd in [0, 1, 3, fd] {
            assert_eq!(world.call("sock_shutdown", &[fd, 1]), Errno::Notsock);
            assert_eq!(world.call("sock_send", &[fd, 0, 0, 0, out]), Errno::Notsock);
            assert_eq!(world.call("sock_recv", &[fd, 0, 0, 0, out, out]), Errno::Notsock);
        }
    });
}
