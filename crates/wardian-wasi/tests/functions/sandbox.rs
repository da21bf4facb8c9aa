//! Ways out of a preopened directory, all of which must be shut.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wardian_wasi::Errno;

use crate::support::{CREAT, DIRECTORY, FOLLOW, READ, ROOT, TRUNC, WRITE, World, worlds};

/// Paths that lead outside, with links laid by the host.
fn ways_out(world: &World) -> Vec<String> {
    let root = world.host("root");
    let outside = world.host("outside");
    std::fs::create_dir_all(root.join("dir/deep")).unwrap();
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../outside", root.join("relative")).unwrap();
    symlink("relative", root.join("chain")).unwrap();
    symlink("dir/up", root.join("through")).unwrap();
    symlink("../../outside", root.join("dir/up")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    let outside = outside.to_str().unwrap();
    let mut ways: Vec<String> = ["absolute", "relative", "chain", "through", "../outside"]
        .into_iter()
        .chain(["dir/../../outside", "dir/deep/../../../outside", "./../outside", outside])
        .map(|dir| format!("{dir}/secret"))
        .collect();
    ways.push(format!("slash{outside}/secret"));
    ways
}

#[test]
fn no_function_gets_out() {
    worlds(|world| {
        std::fs::write(world.host("root/own"), "").unwrap();
        for way in ways_out(world) {
            for follow in [0, FOLLOW] {
                for (oflags, rights) in [(0, READ), (CREAT, WRITE), (TRUNC, WRITE), (DIRECTORY, 0)]
                {
                    let got = world.open_at(ROOT, follow, &way, oflags, rights, 0);
                    assert_eq!(got, Err(Errno::Perm), "open {way}");
                }
                assert_eq!(world.stat(ROOT, follow, &way), Err(Errno::Perm), "stat {way}");
                let at = world.put(way.as_bytes());
                let args = [ROOT, follow, at, way.len() as u64, 0, 0, 15 - 5];
                assert_eq!(world.call("path_filestat_set_times", &args), Errno::Perm);
            }
            for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
                assert_eq!(world.on_path(name, ROOT, &way), Errno::Perm, "{name} {way}");
            }
            for name in ["path_rename", "path_link"] {
                let got = world.on_paths(name, (ROOT, &way), (ROOT, "new"));
                assert_eq!(got, Errno::Perm, "{name} {way}");
                let got = world.on_paths(name, (ROOT, "own"), (ROOT, &way));
                assert_eq!(got, Errno::Perm, "{name} to {way}");
            }
            assert_eq!(world.symlink("x", ROOT, &way), Errno::Perm, "symlink {way}");
            let (at, out) = (world.put(way.as_bytes()), world.alloc(8));
            let args = [ROOT, at, way.len() as u64, out, 4, out];
            assert_eq!(world.call("path_readlink", &args), Errno::Perm, "readlink {way}");
            world.reset();
        }
        let outside = std::fs::read_dir(world.host("outside")).unwrap().count();
        assert_eq!(outside, 1);
        assert_eq!(std::fs::read(world.host("outside/secret")).unwrap(), b"contents");
    });
}

#[test]
fn links_at_the_end_lead_nowhere_either() {
    worlds(|world| {
        ways_out(world);
        for link in ["absolute", "relative", "chain", "through", "slash"] {
            assert_eq!(world.open_at(ROOT, FOLLOW, link, 0, READ, 0), Err(Errno::Perm), "{link}");
            let slash = format!("{link}/");
            assert_eq!(world.open_at(ROOT, 0, &slash, 0, READ, 0), Err(Errno::Perm), "{link}/");
            assert_eq!(world.stat(ROOT, FOLLOW, link), Err(Errno::Perm), "{link}");
            assert_eq!(world.stat(ROOT, 0, &slash), Err(Errno::Perm), "{link}/");
            let at = world.put(slash.as_bytes());
            let len = slash.len() as u64;
            for (follow, len) in [(FOLLOW, len - 1), (0, len)] {
                let args = [ROOT, follow, at, len, 0, 0, 10];
                assert_eq!(world.call("path_filestat_set_times", &args), Errno::Perm, "{link}");
            }
        }
        // What an absolute link says of the host stays hidden.
        let (at, out) = (world.put(b"absolute"), world.alloc(64));
        assert_eq!(world.call("path_readlink", &[ROOT, at, 8, out, 60, out]), Errno::Perm);
        // A link of the guest's own is no way out.
        assert_eq!(world.symlink("../outside/secret", ROOT, "own"), Errno::Success);
        assert_eq!(world.open_at(ROOT, FOLLOW, "own", 0, READ, 0), Err(Errno::Perm));
        assert_eq!(world.open_at(ROOT, FOLLOW, "own", CREAT, WRITE, 0), Err(Errno::Perm));
        // It can be moved and linked as what it is.
        assert_eq!(world.on_paths("path_rename", (ROOT, "own"), (ROOT, "moved")), Errno::Success);
        assert_eq!(world.on_paths("path_link", (ROOT, "moved"), (ROOT, "twice")), Errno::Success);
        let twice = world.host("root/twice");
        assert!(std::fs::symlink_metadata(twice).unwrap().is_symlink());
    });
}

#[test]
fn dots_that_end_a_path_stay_inside() {
    worlds(|world| {
        for path in ["..", "../", "../.", "./..", "../..", "../root", "../root/"] {
            assert_eq!(world.open(path, 0, 0), Err(Errno::Perm), "{path}");
            assert_eq!(world.stat(ROOT, 0, path), Err(Errno::Perm), "{path}");
            assert_eq!(world.on_path("path_create_directory", ROOT, path), Errno::Perm, "{path}");
            assert_eq!(world.on_path("path_remove_directory", ROOT, path), Errno::Perm, "{path}");
            assert_eq!(world.on_path("path_unlink_file", ROOT, path), Errno::Perm, "{path}");
        }
    });
}

#[test]
fn a_directory_is_no_way_to_its_parent() {
    worlds(|world| {
        world.on_path("path_create_directory", ROOT, "dir");
        let dir = world.open("dir", DIRECTORY, 0).unwrap();
        assert_eq!(world.open_at(dir, 0, "..", 0, 0, 0), Err(Errno::Perm));
        assert_eq!(world.open_at(dir, 0, "../../outside/secret", 0, READ, 0), Err(Errno::Perm));
        // Not even after it has been moved outside.
        std::fs::rename(world.host("root/dir"), world.host("outside/dir")).unwrap();
        assert_eq!(world.open_at(dir, 0, "../secret", 0, READ, 0), Err(Errno::Perm));
        assert_eq!(world.stat(dir, 0, "../secret"), Err(Errno::Perm));
    });
}

/// The host swaps a directory and a link to the outside, as fast as it can.
#[test]
fn a_race_with_renames_is_lost() {
    worlds(|world| {
        let root = world.host("root");
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/secret"), "inside").unwrap();
        symlink("../outside", root.join("link")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for kind in ["real", "link"] {
                        let _ = std::fs::rename(root.join(kind), root.join("swap"));
                        let _ = std::fs::rename(root.join("swap"), root.join(kind));
                    }
                }
            });
            for _ in 0..300 {
                world.reset();
                if let Ok(fd) = world.open_at(ROOT, FOLLOW, "swap/secret", 0, READ, 0) {
                    assert_eq!(world.read(fd, 8).unwrap(), b"inside");
                    world.close(fd);
                }
                let _ = world.on_path("path_create_directory", ROOT, "swap/made");
                let _ = world.on_paths("path_rename", (ROOT, "swap/made"), (ROOT, "swap/moved"));
                let _ = world.on_path("path_remove_directory", ROOT, "swap/moved");
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(world.host("outside")).unwrap().count(), 1);
    });
}

/// What the process does that races: it swaps directories, links and files in a folder.
#[test]
#[ignore = "a part of the tests below, which run it in a process of its own"]
fn racing_process() {
    let Some(root) = std::env::var_os("WARDIAN_RACE").map(std::path::PathBuf::from) else { return };
    let parent = std::env::var("WARDIAN_RACE_PARENT").unwrap();
    let lives = || parent == parent_of_self();
    let at = |name: &str| root.join(name);
    while lives() {
        for _ in 0..50 {
            for kind in ["real", "link", "absolute"] {
                let _ = std::fs::rename(at(kind), at("swap"));
                let _ = std::fs::rename(at("swap"), at(kind));
            }
            // The name of a file is in turns a link to the outside and a hard link inside.
            let _ = symlink("../outside/secret", at("file.new"));
            let _ = std::fs::rename(at("file.new"), at("file"));
            let _ = std::fs::hard_link(at("own"), at("file.new"));
            let _ = std::fs::rename(at("file.new"), at("file"));
            let _ = std::fs::remove_file(at("file.new"));
            // A directory that the guest has open moves up and down.
            let _ = std::fs::rename(at("deep/a"), at("a"));
            let _ = std::fs::rename(at("a"), at("deep/a"));
        }
    }
}

fn parent_of_self() -> String {
    rustix::process::getppid().map_or(String::new(), |parent| parent.as_raw_pid().to_string())
}

/// A process that races. It ends with this value, and by itself if this process dies.
struct Racer(std::process::Child);

/// This program again. Where the tests run under an emulator, `WARDIAN_EMULATOR` is that, with its arguments: see
/// `.ci/platforms`.
fn this_program() -> std::process::Command {
    let program = std::env::current_exe().unwrap();
    let emulator = std::env::var("WARDIAN_EMULATOR").unwrap_or_default();
    let mut words = emulator.split_whitespace();
    let Some(first) = words.next() else { return std::process::Command::new(program) };
    let mut command = std::process::Command::new(first);
    command.args(words).arg(program);
    command
}

impl Racer {
    fn start(root: &std::path::Path) -> Racer {
        let mut command = this_program();
        command.args(["sandbox::racing_process", "--exact", "--ignored", "--test-threads", "1"]);
        command
            .env("WARDIAN_RACE", root)
            .env("WARDIAN_RACE_PARENT", std::process::id().to_string());
        command.stdout(std::process::Stdio::null()).stdin(std::process::Stdio::null());
        Racer(command.spawn().unwrap())
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a path led to.
#[derive(Default)]
struct Seen {
    /// A file inside.
    inside: usize,
    /// The outside, which was refused.
    outside: usize,
}

/// One attempt of each kind on paths that another process changes all the time.
fn attempts(world: &mut World, deep: u64, seen: &mut Seen) {
    for path in ["swap/secret", "file", "real/secret", "real/../file", "./swap/../swap/secret"] {
        for (follow, oflags, rights) in [(FOLLOW, 0, READ), (0, 0, READ), (FOLLOW, CREAT, READ)] {
            match world.open_at(ROOT, follow, path, oflags, rights, 0) {
                Ok(fd) => {
                    let contents = world.read(fd, 8).unwrap();
                    assert!(contents != b"contents", "{path} was read");
                    seen.inside += 1;
                    world.close(fd);
                }
                Err(Errno::Perm) => seen.outside += 1,
                Err(_) => {}
            }
        }
        for follow in [0, FOLLOW] {
            if let Ok(stat) = world.stat(ROOT, follow, path) {
                assert_ne!(stat.size, 8, "the size of {path} was read");
            }
        }
        world.reset();
    }
    let _ = world.open_at(ROOT, FOLLOW, "swap/new", CREAT, WRITE, 0).map(|fd| world.close(fd));
    let _ = world.open_at(ROOT, FOLLOW, "file", TRUNC, WRITE, 0).map(|fd| world.close(fd));
    let _ = world.on_path("path_create_directory", ROOT, "swap/made");
    let _ = world.on_paths("path_rename", (ROOT, "swap/made"), (ROOT, "swap/moved"));
    let _ = world.on_paths("path_rename", (ROOT, "swap/secret"), (ROOT, "taken"));
    let _ = world.on_paths("path_rename", (ROOT, "taken"), (ROOT, "real/secret"));
    let _ = world.on_paths("path_link", (ROOT, "swap/secret"), (ROOT, "linked"));
    let _ = world.symlink("nowhere", ROOT, "swap/symbolic");
    for name in ["path_unlink_file", "path_remove_directory"] {
        for path in ["swap/moved", "swap/symbolic", "swap/new", "linked"] {
            let _ = world.on_path(name, ROOT, path);
        }
    }
    world.reset();
    // From a directory that moves up and down below the root.
    for path in ["../../outside/secret", "../../../outside/secret", "../secret"] {
        assert!(world.open_at(deep, FOLLOW, path, 0, READ, 0).is_err(), "{path}");
    }
    let (at, out) = (world.put(b"swap/link"), world.alloc(64));
    let _ = world.call("path_readlink", &[ROOT, at, 9, out, 64, out]);
    world.reset();
}

/// How long to wait for the other process on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn race(seconds: f64) {
    worlds(|world| {
        let root = world.host("root");
        std::fs::create_dir_all(root.join("deep/a")).unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/secret"), "ins").unwrap();
        std::fs::write(root.join("own"), "own").unwrap();
        symlink("../outside", root.join("link")).unwrap();
        symlink(world.host("outside"), root.join("absolute")).unwrap();
        let deep = world.open_at(ROOT, 0, "deep/a", DIRECTORY, READ, 0).unwrap();
        let racer = Racer::start(&root);
        let (start, least) = (Instant::now(), Duration::from_secs_f64(seconds / 4.0));
        let mut seen = Seen::default();
        let is_tested = |seen: &Seen| seen.inside > 100 && seen.outside > 100;
        while start.elapsed() < least || !is_tested(&seen) && start.elapsed() < PATIENCE {
            attempts(world, deep, &mut seen);
            // What was moved away is put back, so that paths lead inside again.
            if !root.join("real/secret").exists() {
                let _ = std::fs::write(root.join("real/secret"), "ins");
            }
        }
        drop(racer);
        let Seen { inside, outside } = seen;
        println!("{inside} paths led inside, {outside} outside");
        assert!(is_tested(&seen), "{inside} paths led inside, {outside} outside: too few");
        let left: Vec<_> = std::fs::read_dir(world.host("outside")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(std::fs::read(world.host("outside/secret")).unwrap(), b"contents");
    });
}

#[test]
fn a_race_with_another_process_is_lost() {
    race(5.0);
}

/// `cargo test -p wardian-wasi --test functions long_race -- --ignored`
#[test]
#[ignore = "it takes ten minutes"]
fn a_long_race_with_another_process_is_lost() {
    race(600.0);
}
