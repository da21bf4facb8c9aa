//! Checkpoints at URLs, with a server for S3's protocol on the loopback: the command `moto_server` of PyPI's package
//! `moto[server]`, which is looked for in `PATH`, or is what the variable `WARDIAN_MOTO_SERVER` names. Without it these
//! tests say that they are skipped.

use super::checkpoint::{ALPHABET, end, letters, place, send, start_by, wait_for};
use super::harness::{Place, WARDIAN};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What must be in no message.
const SECRET: &str = "secret/of+the/tests";
const KEY_ID: &str = "KEYIDOFTHETESTS";

/// A server with the bucket `bucket`.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// None if there is none to be started. One that is strict knows no credentials.
    fn start(strict: bool) -> Option<Server> {
        let command = std::env::var_os("WARDIAN_MOTO_SERVER").unwrap_or("moto_server".into());
        let port = free_port();
        let mut server = Command::new(command);
        server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if strict {
            // All but the request that makes the bucket.
            server.env("INITIAL_NO_AUTH_ACTION_COUNT", "1");
        }
        let Ok(process) = server.spawn() else {
            eprintln!("skipped: there is no moto_server, which pip install 'moto[server]' brings");
            return None;
        };
        let server = Server { process, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(100), "moto_server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(server.ask("PUT", "/bucket").starts_with("HTTP/1.1 200"), "no bucket");
        Some(server)
    }

    /// A request without credentials; its answer.
    fn ask(&self, verb: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = format!("Host: s3.us-east-1.amazonaws.com:{}", self.port);
        write!(
            stream,
            "{verb} {path} HTTP/1.1\r\n{host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The names of the objects in the bucket.
    fn objects(&self) -> Vec<String> {
        let list = self.ask("GET", "/bucket");
        let keys = list.split("<Key>").skip(1);
        keys.map(|key| key.split('<').next().unwrap().to_owned()).collect()
    }

    fn command(&self) -> Command {
        command(self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The command with credentials for a server at this port.
fn command(port: u16) -> Command {
    let mut command = Command::new(WARDIAN);
    command
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true");
    command
}

fn run(command: Command, place: &Place, args: &[&str]) -> (Option<i32>, String, String) {
    let ended = end(start_by(command, place, args));
    for secret in [SECRET, KEY_ID] {
        assert!(!ended.1.contains(secret) && !ended.2.contains(secret), "{ended:?}");
    }
    ended
}

/// As [`run`], of `wardian inspect`, which has no directories.
fn inspect(mut command: Command, args: &[&str]) -> (Option<i32>, String, String) {
    command.arg("inspect").args(args).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    end(command.spawn().unwrap())
}

/// Ends a program when it has written so many letters, or more; returns how many.
fn written_at(server: &Server, place: &Place, options: &[&str], letters: usize) -> usize {
    let _ = std::fs::remove_file(place.path("out/letters"));
    let mut child =
        start_by(server.command(), place, &[&["run"], options, &["letters.wat"]].concat());
    wait_for(place, &mut child, letters);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child), (Some(75), String::new(), String::new()));
    std::fs::read(place.path("out/letters")).unwrap().len()
}

const DONE: (Option<i32>, &str, &str) = (Some(0), "done\n", "");

fn is_done(ended: &(Option<i32>, String, String), place: &Place) {
    assert_eq!((ended.0, &*ended.1, &*ended.2), DONE);
    assert_eq!(std::fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
}

#[test]
fn a_program_continues_from_an_object() {
    let Some(server) = Server::start(false) else { return };
    let place = place();
    let url = "s3://bucket/some/a.chk";
    let mut letters = 2;
    for _ in 0..3 {
        // Each is further than the one before, however late it is stopped.
        let options = ["--checkpoint", url, "--checkpoint-keep", "1"];
        letters = 1 + written_at(&server, &place, &options, letters);
    }
    assert_eq!(server.objects(), ["some/a.chk", "some/a.chk.1"]);
    let (code, out, err) = inspect(server.command(), &[url]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(url) && out.contains("pause (offset"), "{out}");
    let (code, out, err) = inspect(server.command(), &["s3://bucket/some/a.chk.1", "--diff", url]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("memory 0"), "{out}");
    is_done(&run(server.command(), &place, &["resume", url]), &place);
}

/// Serves bytes by HTTP, in ranges, until the process ends.
fn serve(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
            let range = request.split("range: bytes=").nth(1).map(|rest| {
                let (from, rest) = rest.split_once('-').unwrap();
                let to = rest.split("\r\n").next().unwrap();
                from.parse::<usize>().unwrap()..to.parse::<usize>().unwrap() + 1
            });
            let (status, part) = match &range {
                Some(range) => ("206 Partial Content", &bytes[range.clone()]),
                None => ("200 OK", &bytes[..]),
            };
            let about = range.map_or(String::new(), |range| {
                let total = bytes.len();
                format!("Content-Range: bytes {}-{}/{total}\r\n", range.start, range.end - 1)
            });
            let head = format!(
                "HTTP/1.1 {status}\r\n{about}ETag: \"1\"\r\nLast-Modified: Mon, 30 Nov 2026 00:00:00 GMT\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                part.len()
            );
            let body = if request.starts_with("head") { &[] } else { part };
            let _ = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
    port
}

#[test]
fn a_checkpoint_is_read_by_http() {
    let place = place();
    // Of several parts.
    place.write("letters.wat", large());
    let mut child =
        start_by(Command::new(WARDIAN), &place, &["run", "--checkpoint", "a.chk", "letters.wat"]);
    wait_for(&place, &mut child, 2);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child).0, Some(75));
    let bytes = std::fs::read(place.path("a.chk")).unwrap();
    assert!(bytes.len() > 10 << 20);
    let url = format!("http://127.0.0.1:{}/some/a.chk", serve(bytes));
    let (code, out, err) = inspect(Command::new(WARDIAN), &[&url]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("pause (offset"), "{out}");
    is_done(&run(Command::new(WARDIAN), &place, &["resume", &url]), &place);
}

#[test]
fn an_object_has_a_key() {
    let Some(server) = Server::start(false) else { return };
    let place = place();
    place.write("key", "ab".repeat(32));
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(place.path("key"), private).unwrap();
    let url = "s3://bucket/a.chk";
    written_at(&server, &place, &["--checkpoint", url, "--checkpoint-key", "key"], 3);
    let (code, _, err) = run(server.command(), &place, &["resume", url]);
    assert_eq!(code, Some(1));
    assert!(err.contains("was made with a key"), "{err}");
    let with_key = ["resume", "--checkpoint-key", "key", url];
    let (code, out, err) = run(server.command(), &place, &with_key);
    assert_eq!((code, &*out), (Some(0), "done\n"), "{err}");
}

#[test]
fn a_running_program_is_written_to_an_object() {
    let Some(server) = Server::start(false) else { return };
    let place = place();
    let mut child = start_by(server.command(), &place, &["run", "--control", "letters.wat"]);
    wait_for(&place, &mut child, 2);
    let mut asks = Command::new(WARDIAN);
    asks.args(["checkpoint", "--stop", &child.id().to_string(), "s3://bucket/live.chk"]);
    // The credentials are those of the program's process.
    asks.env_clear().env("XDG_RUNTIME_DIR", place.path(""));
    asks.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (code, out, err) = end(asks.spawn().unwrap());
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("the program has ended"), "{out}");
    assert_eq!(end(child).0, Some(75));
    is_done(&run(server.command(), &place, &["resume", "s3://bucket/live.chk"]), &place);
}

/// [`letters`] with so much noise in its memory that an object has several parts, and chains are written.
fn large() -> String {
    let fill = r#"(local $n i32) (local $fd i32) (local $at i32) (local $noise i32)
      (local.set $at (i32.const 65536)) (local.set $noise (i32.const 1))
      (loop $f
        (local.set $noise (i32.mul (i32.add (local.get $noise) (i32.const 77)) (i32.const 1664525)))
        (i32.store (local.get $at) (i32.xor (local.get $noise) (i32.shr_u (local.get $noise) (i32.const 11))))
        (br_if $f (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 20000000))))"#;
    letters(60_000_000)
        .replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 310)")
        .replace("(local $n i32) (local $fd i32)", fill)
}

#[test]
fn a_kill_at_any_moment_leaves_whole_objects() {
    let Some(server) = Server::start(false) else { return };
    let place = place();
    place.write("letters.wat", large());
    let url = "s3://bucket/a.chk";
    let options = ["--checkpoint", url, "--checkpoint-every", "1ms", "--checkpoint-keep", "1"];
    let mut child =
        start_by(server.command(), &place, &[&["run"], &options[..], &["letters.wat"]].concat());
    let (mut kills, mut chains, mut state) = (0, 0, 12345u64);
    while kills < 8 || chains == 0 {
        assert!(kills < 50, "no chain is written");
        let begin = Instant::now();
        while !server.objects().contains(&"a.chk".to_owned()) {
            assert!(begin.elapsed() < Duration::from_secs(100), "nothing is written");
            std::thread::sleep(Duration::from_millis(10));
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(state >> 53));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let mut shown = inspect(server.command(), &[url]);
        // What was sent before the kill may still be received.
        while shown.2.contains("replaced while it was read") {
            shown = inspect(server.command(), &[url]);
        }
        let (code, out, err) = shown;
        assert_eq!(code, Some(0), "{err}");
        chains += usize::from(out.contains("parent     "));
        child = start_by(server.command(), &place, &[&["resume"], &options[..], &[url]].concat());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    is_done(&run(server.command(), &place, &["resume", url]), &place);
}

#[test]
fn what_is_wrong_with_a_store_is_said() {
    let Some(server) = Server::start(true) else { return };
    let place = place();
    let closed = free_port();
    let write = |url: &'static str| ["run", "--checkpoint", url, "letters.wat"];
    let cases: [(u16, [&str; 4], &[&str]); 8] = [
        (
            server.port,
            write("s3://bucket/a.chk"),
            &["s3://bucket", "does not accept the credentials"],
        ),
        (
            closed,
            write("s3://bucket/a.chk"),
            &["s3://bucket cannot be reached", "AWS_ENDPOINT_URL"],
        ),
        (closed, write("http://127.0.0.1/a.chk"), &["by HTTP checkpoints can only be read"]),
        (
            closed,
            write("s3://u:secret%2Fof%2Bthe@bucket/a"),
            &["credentials are not part of the URL"],
        ),
        (closed, write("s3://bucket/a?X-Amz-Signature=secret"), &["URLs with `?`"]),
        (closed, write("s3://bucket"), &["names no object"]),
        (closed, write("ftp://host/a"), &["known are s3://"]),
        (
            closed,
            ["resume", "--engine", "interp", "s3://bucket/a"],
            &["cannot resume s3://bucket/a"],
        ),
    ];
    for (port, args, parts) in cases {
        let (code, _, err) = run(command(port), &place, &args);
        assert_eq!(code, Some(1), "{args:?}: {err}");
        for part in parts {
            assert!(err.contains(part), "{args:?}: no {part:?} in {err}");
        }
        assert!(!err.contains("secret") && !err.contains("os error"), "{err}");
    }
    assert!(!place.path("out/letters").exists(), "no guest has run");
    let Some(server) = Server::start(false) else { return };
    for (args, part) in [
        (write("s3://none/a.chk"), "there is no bucket s3://none"),
        (["resume", "--engine", "interp", "s3://bucket/none"], "there is no such object"),
    ] {
        let (code, _, err) = run(server.command(), &place, &args);
        assert_eq!(code, Some(1), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: no {part:?} in {err}");
    }
}
