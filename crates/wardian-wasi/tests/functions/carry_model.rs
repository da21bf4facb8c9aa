//! Two programs that make the same calls, one of which is saved and restored at random moments: every answer is
//! the same.

use std::collections::BTreeSet;

use wardian_wasi::{DirPerms, Errno, RestoreOptions, WasiCtx, WasiState};

use crate::support::{CREAT, DIRECTORY, EXCL, READ, ROOT, TRUNC, Version, WRITE, World};

const FILE: u64 = wardian_wasi::rights::FILE;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn fd(&mut self) -> u64 {
        // The standard error, a directory, or what is opened.
        self.pick(&[2, ROOT, 5, 5, 5, 6, 6, 6, 7, 7, 8, 9])
    }

    fn path(&mut self) -> String {
        let folders = self.pick(&["", "", "", "a/", "b/", "a/b/", "a/../", "./"]);
        folders.to_owned() + self.pick(&["a", "b", "c", "d"])
    }
}

/// What the guest gets from a call.
type Seen = (Errno, Vec<u8>);

/// Makes a call that a seed determines.
fn step(world: &mut World, random: &mut Random) -> Seen {
    world.reset();
    let fd = random.fd();
    match random.below(15) {
        0..=2 => {
            let oflags = random.pick(&[0, CREAT, CREAT, CREAT | EXCL, TRUNC, DIRECTORY]);
            let rights = random.pick(&[FILE, FILE, FILE & !WRITE, FILE & !READ]);
            let rights = if oflags == DIRECTORY { 0 } else { rights };
            let flags = random.pick(&[0, 0, 0, 1, 4]);
            let (path, fd) = (random.path(), random.pick(&[ROOT, ROOT, fd]));
            match world.open_at(fd, 0, &path, oflags, rights, flags) {
                Ok(fd) => (Errno::Success, fd.to_le_bytes().into()),
                Err(errno) => (errno, Vec::new()),
            }
        }
        3 if fd > 4 && random.below(2) == 0 => (world.call("fd_close", &[fd]), Vec::new()),
        3..=5 => {
            let data = vec![random.below(256) as u8; random.below(50) as usize];
            let written = world.write(fd, &data);
            (written.err().unwrap_or(Errno::Success), vec![written.unwrap_or(0) as u8])
        }
        6 | 7 => match world.read(fd, random.below(80) as usize) {
            Ok(data) => (Errno::Success, data),
            Err(errno) => (errno, Vec::new()),
        },
        8 => {
            let (offset, out) = (random.below(100), world.alloc(8));
            let whence = random.below(3);
            (world.call("fd_seek", &[fd, offset, whence, out]), world.bytes(out, 8))
        }
        9 => {
            let path = random.path();
            let names = ["path_create_directory", "path_remove_directory", "path_unlink_file"];
            let name = random.pick(&[names[0], names[0], names[1], names[2]]);
            (world.on_path(name, ROOT, &path), Vec::new())
        }
        10 => {
            let (from, to) = (random.path(), random.path());
            let name = random.pick(&["path_rename", "path_rename", "path_link"]);
            (world.on_paths(name, (ROOT, &from), (ROOT, &to)), Vec::new())
        }
        11 => {
            let rights = random.pick(&[FILE, FILE, FILE, FILE, FILE & !WRITE, FILE & !READ]);
            let also = wardian_wasi::rights::DIRECTORY;
            if fd == ROOT {
                return (Errno::Success, Vec::new());
            }
            (world.call("fd_fdstat_set_rights", &[fd, rights | also, 0]), Vec::new())
        }
        12 => (world.call("fd_fdstat_set_flags", &[fd, random.pick(&[0, 1, 4])]), Vec::new()),
        13 => {
            let to = random.fd();
            if fd <= ROOT || to <= ROOT {
                return (Errno::Success, Vec::new());
            }
            (world.call("fd_renumber", &[fd, to]), Vec::new())
        }
        _ => look(world, fd),
    }
}

/// All that a program can ask about a descriptor, except for times and serial numbers.
fn look(world: &mut World, fd: u64) -> Seen {
    let mut seen = Vec::new();
    let out = world.alloc(64);
    let errno = world.call("fd_fdstat_get", &[fd, out]);
    seen.extend(world.bytes(out, 24));
    if let Ok(stat) = world.fd_stat(fd) {
        let is_dir = stat.filetype == 3;
        // Links to removed files and sizes of directories are the host's.
        seen.extend([stat.filetype]);
        seen.extend(if is_dir { 0 } else { stat.size }.to_le_bytes());
        if is_dir {
            seen.extend(listing(world, fd).into_iter().flatten());
        }
    }
    world.memory.bytes[out as usize..out as usize + 64].fill(0xaa);
    let reported = world.call("fd_tell", &[fd, out]);
    seen.extend(reported.name().bytes());
    seen.extend(world.bytes(out, 8));
    (errno, seen)
}

/// The names of a directory, read in small pieces.
fn listing(world: &mut World, fd: u64) -> BTreeSet<Vec<u8>> {
    let (buf, out) = (world.alloc(100), world.alloc(4));
    let (mut names, mut cookie) = (BTreeSet::new(), 0);
    loop {
        if world.call("fd_readdir", &[fd, buf, 100, cookie, out]) != Errno::Success {
            return names;
        }
        let used = u64::from(world.u32(out));
        let (mut at, before) = (buf, cookie);
        while at + 24 <= buf + used {
            let len = u64::from(world.u32(at + 16));
            if at + 24 + len > buf + used {
                break;
            }
            names.insert(world.bytes(at + 24, len as usize));
            cookie = world.u64(at);
            at += 24 + len;
        }
        if used < 100 || before == cookie {
            return names;
        }
    }
}

fn carry(world: &mut World) {
    let bytes = world.ctx.save().unwrap().to_bytes();
    let state = WasiState::from_bytes(&bytes).unwrap();
    world.guest.ctx = WasiCtx::builder()
        .preopen_dir(world.host("root"), "/root", DirPerms::ReadWrite)
        .and_then(|b| b.preopen_dir(world.host("fixed"), "fixed", DirPerms::ReadOnly))
        .unwrap()
        .max_descriptors(13)
        .restore(&state, &RestoreOptions::new())
        .unwrap();
}

#[test]
fn nobody_sees_that_a_program_was_carried() {
    let (mut carried, mut successes) = (0, 0);
    for seed in 1..=150u64 {
        let new = || World::new(Version::Preview1, false, |b| b.max_descriptors(13));
        let (mut stays, mut moves) = (new(), new());
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut moments = Random(seed.wrapping_mul(0xd134_2543_de82_ef95) | 1);
        for number in 0..150 {
            let mut same = Random(random.0);
            let expected = step(&mut stays, &mut random);
            let found = step(&mut moves, &mut same);
            assert_eq!(found, expected, "seed {seed}, call {number}");
            successes += u32::from(expected.0 == Errno::Success);
            if moments.below(6) == 0 {
                carry(&mut moves);
                carried += 1;
            }
        }
    }
    assert!(carried > 3000 && successes > 5000, "{carried} times, {successes} successes");
}
