//! Streams, devices and sockets in saved states.

use wardian_wasi::{DirPerms, Errno, MemoryInput, MemoryOutput, RestoreOptions};

use crate::carry::{ALL, builder, lines, saved};
use crate::support::{CREAT, READ, Version, World};

#[test]
fn standard_streams_go_by_their_role() {
    for version in [Version::Preview1, Version::Unstable] {
        let output = MemoryOutput::new(100);
        let mut world = World::new(version, false, |b| {
            b.stdin_memory(MemoryInput::new("one two")).stdout_memory(output.clone())
        });
        let file = world.open("file", CREAT, ALL).unwrap();
        assert_eq!(world.read(0, 4).unwrap(), b"one ");
        // A file becomes the standard error, and the standard output gets another number.
        let high = world.open("other", CREAT, ALL).unwrap();
        world.ok("fd_renumber", &[1, high]);
        world.ok("fd_renumber", &[file, 2]);
        world.ok("fd_fdstat_set_flags", &[0, 4]);
        world.ok("fd_fdstat_set_rights", &[high, 1 << 6, 0]);
        let state = saved(&world.ctx);
        assert_eq!(
            lines(&state),
            [
                "0 standard input, at 4",
                "2 file \"/root/file\", at 0 of 0 bytes",
                "3 preopened directory \"/root\"",
                "4 preopened directory \"fixed\"",
                &format!("{high} standard output"),
            ]
        );
        let new = MemoryOutput::new(100);
        let ctx = builder(&world)
            .stdin_memory(MemoryInput::new("one two"))
            .stdout_memory(new.clone())
            .restore(&state, &RestoreOptions::new())
            .unwrap();
        world.guest.ctx = ctx;
        assert_eq!(world.read(0, 10).unwrap(), b"two");
        assert_eq!(world.fdstat(0).1, 4);
        world.write(high, b"out").unwrap();
        world.write(2, b"err").unwrap();
        assert_eq!((new.text().as_str(), output.text().as_str()), ("out", ""));
        assert_eq!(std::fs::read(world.host("root/file")).unwrap(), b"err");
        assert_eq!(world.write(1, b"out"), Err(Errno::Badf));
        assert_eq!(world.fdstat(high).2, 1 << 6);

        let options = RestoreOptions::new().stdin_as_given(true);
        let rest = builder(&world).stdin_memory(MemoryInput::new("rest"));
        world.guest.ctx = rest.restore(&state, &options).unwrap();
        assert_eq!(world.read(0, 10).unwrap(), b"rest");
        // A file as input, and a shorter one.
        for (input, left) in [("0123456", &b"456"[..]), ("01", b"")] {
            std::fs::write(world.host("input"), input).unwrap();
            let input = || std::fs::File::open(world.host("input")).unwrap();
            let streams = [
                builder(&world).stdin_fd(input()).unwrap(),
                builder(&world).stdin_file(input()).unwrap(),
            ];
            for given in streams {
                let ctx = given.restore(&state, &RestoreOptions::new()).unwrap();
                world.guest.ctx = ctx;
                assert_eq!(world.read(0, 10).unwrap(), left);
            }
        }
    }
}

#[test]
fn closed_standard_streams_stay_closed() {
    let mut world = World::new(Version::Preview1, false, |b| b);
    world.close(0);
    world.close(1);
    let state = saved(&world.ctx);
    let output = MemoryOutput::new(10);
    let given = builder(&world).stdin_memory(MemoryInput::new("x")).stdout_memory(output.clone());
    world.guest.ctx = given.restore(&state, &RestoreOptions::new()).unwrap();
    assert_eq!(world.read(0, 1), Err(Errno::Badf));
    assert_eq!(world.open("file", CREAT, ALL), Ok(0));
    assert_eq!(world.open("file", CREAT, ALL), Ok(1));
    assert_eq!(output.text(), "");
}

#[test]
fn an_output_file_is_written_where_the_embedder_has_it() {
    let mut world = World::new(Version::Preview1, false, |b| b);
    let path = world.host("output");
    let given = |append: bool| {
        let file = std::fs::File::options().create(true).append(append).write(true).open(&path);
        builder(&World::new(Version::Preview1, false, |b| b)).stdout_file(file.unwrap()).unwrap()
    };
    world.guest.ctx = given(false).build();
    world.write(1, b"one ").unwrap();
    let state = saved(&world.ctx);
    assert_eq!(lines(&state)[1], "1 standard output, at 4");
    // The guest did not ask for its writes to be appended, and the embedder did.
    world.guest.ctx = given(true).restore(&state, &RestoreOptions::new()).unwrap();
    world.write(1, b"two ").unwrap();
    world.ok("fd_fdstat_set_flags", &[1, 1]);
    let state = saved(&world.ctx);
    world.guest.ctx = given(false).restore(&state, &RestoreOptions::new()).unwrap();
    assert_eq!(world.fdstat(1).1, 1);
    world.write(1, b"three").unwrap();
    assert_eq!(std::fs::read_to_string(world.host("output")).unwrap(), "one two three");
}

#[test]
fn devices_are_opened_again() {
    let mut world = World::new(Version::Preview1, false, |b| {
        b.preopen_dir("/dev", "dev", DirPerms::ReadWrite).unwrap()
    });
    let null = world.open_at(5, 0, "null", 0, ALL, 0).unwrap();
    let zero = world.open_at(5, 0, "zero", 0, READ, 4).unwrap();
    let before = [null, zero].map(|fd| world.fdstat(fd));
    let state = saved(&world.ctx);
    let given = builder(&world).preopen_dir("/dev", "dev", DirPerms::ReadWrite).unwrap();
    world.guest.ctx = given.restore(&state, &RestoreOptions::new()).unwrap();
    assert_eq!([null, zero].map(|fd| world.fdstat(fd)), before);
    assert_eq!(world.write(null, b"gone"), Ok(4));
    assert_eq!(world.read(zero, 3).unwrap(), [0; 3]);
    assert_eq!(world.write(zero, b"x"), Err(Errno::Badf));
}

#[test]
fn sockets_have_lost_their_peers() {
    let (ours, peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let again = listener.try_clone().unwrap();
    let mut world = World::new(Version::Preview1, false, |b| {
        b.socket(ours).unwrap().listen_tcp(listener).unwrap()
    });
    let _client = std::net::TcpStream::connect(address).unwrap();
    let out = world.alloc(4);
    world.ok("sock_accept", &[6, 0, out]);
    let accepted = u64::from(world.u32(out));
    let state = saved(&world.ctx);
    let before = [5, 6, accepted].map(|fd| world.fdstat(fd));
    drop(peer);
    for listens in [true, false] {
        let builder = match listens {
            true => builder(&world).listen_tcp(again.try_clone().unwrap()).unwrap(),
            false => builder(&world),
        };
        world.guest.ctx = builder.restore(&state, &RestoreOptions::new()).unwrap();
        assert_eq!([5, 6, accepted].map(|fd| world.fdstat(fd)), before);
        for socket in [5, accepted] {
            assert_eq!(world.write(socket, b"x"), Err(Errno::Pipe));
            assert_eq!(world.read(socket, 10), Err(Errno::Connreset));
            assert_eq!(world.read(socket, 10).unwrap(), b"");
        }
        if listens {
            let _client = std::net::TcpStream::connect(address).unwrap();
            world.ok("sock_accept", &[6, 0, out]);
        } else {
            assert_eq!(world.call("sock_accept", &[6, 0, out]), Errno::Inval);
        }
        saved(&world.ctx);
    }
}

#[test]
fn what_cannot_be_carried_is_named() {
    let mut world = World::new(Version::Preview1, false, |b| b);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.host("root/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let fifo = world.open("fifo", 0, READ).unwrap();
    let error = world.ctx.save().unwrap_err().to_string();
    assert!(error.starts_with("descriptor 5 cannot be saved: it is a FIFO"), "{error}");
    assert!(error.contains("/root/fifo") && error.contains("close"), "{error}");
    world.close(fifo);
    saved(&world.ctx);
}
