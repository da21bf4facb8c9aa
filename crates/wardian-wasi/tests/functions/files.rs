//! Regular files: reading, writing, offsets, sizes, times.

use wardian_wasi::Errno;

use crate::support::{CREAT, EXCL, READ, TRUNC, Version, WRITE, worlds};

const APPEND: u64 = 1;
const NONBLOCK: u64 = 4;
const SYNC: u64 = 16;

#[test]
fn bytes_go_through_vectors_in_any_order() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        let (b, a) = (world.put(b"world"), world.put(b"hello "));
        let (iovs, out) = (world.iovs(&[(a, 6), (0, 0), (b, 5)]), world.alloc(4));
        world.ok("fd_write", &[fd, iovs, 3, out]);
        assert_eq!(world.u32(out), 11);
        assert_eq!(std::fs::read(world.host("root/f")).unwrap(), b"hello world");

        // Backwards in memory, and overlapping.
        let x = world.alloc(16);
        let iovs = world.iovs(&[(x + 8, 4), (x, 4)]);
        world.ok("fd_pread", &[fd, iovs, 2, 2, out]);
        assert_eq!((world.u32(out), world.bytes(x, 4)), (8, b"worl".to_vec()));
        assert_eq!(world.bytes(x + 8, 4), b"llo ");
        let iovs = world.iovs(&[(x, 4), (x + 2, 4)]);
        world.ok("fd_pread", &[fd, iovs, 2, 0, out]);
        assert_eq!((world.u32(out), world.bytes(x, 6)), (8, b"heo wo".to_vec()));
        // The offset did not move by that.
        world.ok("fd_tell", &[fd, x]);
        assert_eq!(world.u64(x), 11);
    });
}

#[test]
fn large_transfers_are_whole() {
    worlds(|world| {
        let data: Vec<u8> = (0..150_000u32).map(|i| (i % 251) as u8).collect();
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        assert_eq!(world.write(fd, &data), Ok(data.len()));
        assert_eq!(std::fs::read(world.host("root/f")).unwrap(), data);
        world.reset();
        let x = world.alloc(8);
        let [set, ..] = world.version.whence();
        world.ok("fd_seek", &[fd, 0, set, x]);
        assert_eq!(world.read(fd, 200_000).unwrap(), data);
        assert_eq!(world.read(fd, 10).unwrap(), b"");
    });
}

#[test]
fn more_buffers_than_fit_one_call_are_a_short_one() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        let x = world.put(b"x");
        let (iovs, out) = (world.iovs(&vec![(x, 1); 3000]), world.alloc(4));
        world.ok("fd_write", &[fd, iovs, 3000, out]);
        assert_eq!(world.u32(out), 1024);
    });
}

#[test]
fn seeking() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        world.write(fd, &[7; 100]).unwrap();
        let [set, cur, end] = world.version.whence();
        let x = world.alloc(8);
        let minus = |n: i64| (-n) as u64;
        for (offset, whence, expected) in [
            (10, set, Ok(10)),
            (5, cur, Ok(15)),
            (minus(15), cur, Ok(0)),
            (minus(1), cur, Err(Errno::Inval)),
            (minus(1), set, Err(Errno::Inval)),
            (minus(10), end, Ok(90)),
            (minus(101), end, Err(Errno::Inval)),
            (50, end, Ok(150)),
            (0, 3, Err(Errno::Inval)),
            (0, 0xffff_ffff, Err(Errno::Inval)),
        ] {
            let got = match world.call("fd_seek", &[fd, offset, whence, x]) {
                Errno::Success => Ok(world.u64(x)),
                errno => Err(errno),
            };
            assert_eq!(got, expected, "seek {offset} from {whence}");
        }
        world.ok("fd_tell", &[fd, x]);
        assert_eq!(world.u64(x), 150);
    });
}

#[test]
fn offsets_that_are_too_large_are_inval() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        let (iovs, out) = (world.iovs(&[(64, 8)]), world.alloc(4));
        for name in ["fd_pread", "fd_pwrite"] {
            assert_eq!(world.call(name, &[fd, iovs, 1, u64::MAX, out]), Errno::Inval);
        }
        assert_eq!(world.call("fd_filestat_set_size", &[fd, 1 << 63]), Errno::Inval);
        assert_eq!(world.call("fd_allocate", &[fd, 0, u64::MAX]), Errno::Inval);
        assert_eq!(world.call("fd_advise", &[fd, u64::MAX, 1, 0]), Errno::Inval);
    });
}

#[test]
fn sizes_advice_and_allocation() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        world.ok("fd_filestat_set_size", &[fd, 100]);
        assert_eq!(world.fd_stat(fd).unwrap().size, 100);
        for advice in 0..6 {
            world.ok("fd_advise", &[fd, 10, 50, advice]);
        }
        world.ok("fd_advise", &[fd, 10, 0, 0]);
        assert_eq!(world.call("fd_advise", &[fd, 0, 0, 6]), Errno::Inval);
        world.ok("fd_allocate", &[fd, 100, 100]);
        assert_eq!(world.fd_stat(fd).unwrap().size, 200);
        assert_eq!(world.call("fd_allocate", &[fd, 0, 0]), Errno::Inval);
        world.ok("fd_filestat_set_size", &[fd, 10]);
        assert_eq!(world.fd_stat(fd).unwrap().size, 10);
        world.ok("fd_sync", &[fd]);
        world.ok("fd_datasync", &[fd]);
    });
}

#[test]
fn times() {
    worlds(|world| {
        let fd = world.open("f", CREAT, READ | WRITE).unwrap();
        let path = world.put(b"f");
        let set = |world: &mut crate::support::World, by_path, atim, mtim, flags| match by_path {
            true => world.call("path_filestat_set_times", &[3, 0, path, 1, atim, mtim, flags]),
            false => world.call("fd_filestat_set_times", &[fd, atim, mtim, flags]),
        };
        for by_path in [false, true] {
            assert_eq!(set(world, by_path, 1_000_000_001, 2_000_000_002, 0b0101), Errno::Success);
            let stat = world.fd_stat(fd).unwrap();
            assert_eq!((stat.atim, stat.mtim), (1_000_000_001, 2_000_000_002));
            // Only one, then now, then nothing.
            assert_eq!(set(world, by_path, 0, 3_000_000_000, 0b0100), Errno::Success);
            assert_eq!(set(world, by_path, 0, 0, 0b0010), Errno::Success);
            let stat = world.fd_stat(fd).unwrap();
            assert_eq!(stat.mtim, 3_000_000_000);
            assert!(stat.atim > 1_600_000_000_000_000_000);
            assert_eq!(set(world, by_path, 0, 0, 0), Errno::Success);
            assert_eq!(world.fd_stat(fd).unwrap(), stat);
            for both in [0b0011, 0b1100, 0b1111, 0b1_0000] {
                assert_eq!(set(world, by_path, 0, 0, both), Errno::Inval);
            }
        }
    });
}

#[test]
fn layout_of_filestat() {
    worlds(|world| {
        std::fs::write(world.host("root/f"), "12345").unwrap();
        std::fs::hard_link(world.host("root/f"), world.host("root/g")).unwrap();
        let meta = std::fs::metadata(world.host("root/f")).unwrap();
        let (path, out) = (world.put(b"f"), world.alloc(72));
        world.ok("path_filestat_get", &[3, 0, path, 1, out]);
        use std::os::unix::fs::MetadataExt;
        assert_eq!((world.u64(out), world.u64(out + 8)), (meta.dev(), meta.ino()));
        assert_eq!(world.bytes(out + 16, 1), [4]);
        let mtim = meta.mtime() as u64 * 1_000_000_000 + meta.mtime_nsec() as u64;
        if world.version == Version::Preview1 {
            assert_eq!((world.u64(out + 24), world.u64(out + 32)), (2, 5));
            assert_eq!(world.u64(out + 48), mtim);
            assert_eq!(world.bytes(out + 64, 8), [0xaa; 8]);
        } else {
            assert_eq!((world.u32(out + 20), world.u64(out + 24)), (2, 5));
            assert_eq!(world.u64(out + 40), mtim);
            assert_eq!(world.bytes(out + 56, 16), [0xaa; 16]);
        }
    });
}

#[test]
fn appending_can_be_switched() {
    worlds(|world| {
        let [set, ..] = world.version.whence();
        let x = world.alloc(8);
        let fd = world.open_at(3, 0, "f", CREAT, READ | WRITE, APPEND).unwrap();
        assert_eq!(world.fdstat(fd).1, APPEND as u16);
        world.write(fd, b"one").unwrap();
        world.ok("fd_seek", &[fd, 0, set, x]);
        world.write(fd, b"two").unwrap();
        assert_eq!(std::fs::read(world.host("root/f")).unwrap(), b"onetwo");
        world.ok("fd_fdstat_set_flags", &[fd, NONBLOCK]);
        assert_eq!(world.fdstat(fd).1, NONBLOCK as u16);
        world.ok("fd_seek", &[fd, 0, set, x]);
        world.write(fd, b"ONE").unwrap();
        assert_eq!(std::fs::read(world.host("root/f")).unwrap(), b"ONEtwo");
        assert_eq!(world.call("fd_fdstat_set_flags", &[fd, SYNC]), Errno::Notsup);
        assert_eq!(world.call("fd_fdstat_set_flags", &[fd, 32]), Errno::Inval);
        assert_eq!(world.call("fd_fdstat_set_flags", &[fd, 1 << 16]), Errno::Inval);
    });
}

#[test]
fn opening_creates_and_truncates() {
    worlds(|world| {
        assert_eq!(world.open("f", 0, READ), Err(Errno::Noent));
        let fd = world.open("f", CREAT | EXCL, WRITE).unwrap();
        assert_eq!(world.open("f", CREAT | EXCL, WRITE), Err(Errno::Exist));
        world.write(fd, b"text").unwrap();
        let again = world.open("f", CREAT, READ).unwrap();
        assert_eq!(world.read(again, 9).unwrap(), b"text");
        world.open("f", TRUNC, 0).unwrap();
        assert_eq!(world.fd_stat(again).unwrap().size, 0);
        assert_eq!(world.open("f", 1 << 4, READ), Err(Errno::Inval));
        assert_eq!(world.open_at(3, 2, "f", 0, READ, 0), Err(Errno::Inval));
        assert_eq!(world.open_at(3, 0, "f", 0, READ, 1 << 5), Err(Errno::Inval));
        assert_eq!(world.open_at(3, 0, "f", 0, READ, SYNC | 2 | 8).map(|_| ()), Ok(()));
    });
}

#[test]
fn reading_and_writing_needs_the_right_kind_of_opening() {
    worlds(|world| {
        let write = world.open("f", CREAT, WRITE).unwrap();
        let read = world.open("f", 0, READ).unwrap();
        let neither = world.open("f", 0, 0).unwrap();
        assert_eq!(world.read(write, 1), Err(Errno::Badf));
        assert_eq!(world.write(read, b"x"), Err(Errno::Badf));
        assert_eq!(world.read(neither, 1), Err(Errno::Badf));
        assert_eq!(world.write(neither, b"x"), Err(Errno::Badf));
        assert_eq!(world.call("fd_filestat_set_size", &[read, 1]), Errno::Inval);
    });
}
