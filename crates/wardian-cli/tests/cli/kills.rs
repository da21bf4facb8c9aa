//! Programs that are killed at random moments while they are written to checkpoints.

use super::checkpoint::{ALPHABET, end, letters, place, send, start};
use nix::sys::signal::Signal;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wardian::checkpoint::Checkpoint;

/// How often a process is killed.
const KILLS: u64 = 30;

/// The most that is kept beside the checkpoint.
const KEEP: u16 = 2;

#[test]
fn a_kill_at_any_moment_leaves_whole_checkpoints() {
    killed_again_and_again(&letters(40_000_000), false);
}

/// With so much memory that files are written which have only what has changed.
#[test]
fn a_kill_at_any_moment_leaves_whole_chains() {
    killed_again_and_again(&large(), true);
}

fn large() -> String {
    let fill = r#"(local $n i32) (local $fd i32) (local $at i32) (local $noise i32)
      (local.set $at (i32.const 65536)) (local.set $noise (i32.const 1))
      (loop $f
        (local.set $noise (i32.mul (i32.add (local.get $noise) (i32.const 77)) (i32.const 1664525)))
        (i32.store (local.get $at) (i32.xor (local.get $noise) (i32.shr_u (local.get $noise) (i32.const 11))))
        (br_if $f (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 5500000))))"#;
    letters(40_000_000)
        .replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 84)")
        .replace("(local $n i32) (local $fd i32)", fill)
}

#[test]
fn the_last_file_needs_no_parents_and_a_missing_parent_is_said() {
    let place = place();
    place.write("letters.wat", large());
    let parents = place.path("a.chk.parents");
    let begin = || {
        let _ = std::fs::remove_file(place.path("out/letters"));
        let _ = std::fs::remove_dir_all(&parents);
        let options = ["--checkpoint", "a.chk", "--checkpoint-every", "1ms", "letters.wat"];
        let child = start(&place, &[&["run"], &options[..]].concat());
        let begin = Instant::now();
        while std::fs::read_dir(&parents).map_or(0, Iterator::count) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(100), "no chain");
            std::thread::sleep(Duration::from_micros(100));
        }
        child
    };
    let child = begin();
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child).0, Some(75));
    assert!(!parents.exists());
    assert_eq!(whole(&place.path("a.chk"), &place.path("a.chk")).1, 0);
    // Killed, there may be a chain: without its end it is of no use.
    let mut needed = 0;
    while needed == 0 {
        let mut child = begin();
        child.kill().unwrap();
        child.wait().unwrap();
        needed = whole(&place.path("a.chk"), &place.path("a.chk")).1;
    }
    std::fs::rename(&parents, place.path("elsewhere")).unwrap();
    for command in [&["resume", "a.chk"][..], &["inspect", "a.chk", "--diff", "a.chk"]] {
        let ended = place.run(command);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("parent, which is missing"), "{ended:?}");
    }
    let shown = place.run(&["inspect", "a.chk"]);
    assert!(shown.out.contains("parent     "), "{shown:?}");
    std::fs::rename(place.path("elsewhere"), &parents).unwrap();
    let child = start(&place, &["resume", "a.chk"]);
    assert_eq!(end(child), (Some(0), "done\n".into(), String::new()));
}

/// The checkpoint of a file with all of its parents, and how many these are.
fn whole(path: &Path, newest: &Path) -> (Checkpoint, usize) {
    let read = |path: &Path| {
        let read = std::fs::read(path).map_err(wardian::Error::from);
        read.and_then(|bytes| Checkpoint::from_bytes(&bytes))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut parents = 0;
    let joined = read(path).compact(|hash| {
        parents += 1;
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(read(&newest.with_extension("chk.parents").join(name)))
    });
    (joined.unwrap(), parents)
}

fn killed_again_and_again(guest: &str, has_chains: bool) {
    let place = place();
    place.write("letters.wat", guest);
    let random = RandomState::new();
    let keep = KEEP.to_string();
    let options = [
        "--checkpoint",
        "a.chk",
        "--checkpoint-every",
        "1ms",
        "--checkpoint-keep",
        &keep,
        "--engine",
        "interp",
    ];
    let files: Vec<PathBuf> = ["a.chk", "a.chk.1", "a.chk.2"].map(|name| place.path(name)).into();
    let (mut killed, mut longest) = (0, 0);
    for kill in 0..KILLS {
        let command = match files[0].exists() {
            true => [&["resume"], &options[..], &["a.chk"]].concat(),
            false => [&["run"], &options[..], &["letters.wat"]].concat(),
        };
        let mut child = start(&place, &command);
        std::thread::sleep(Duration::from_micros(random.hash_one(kill) % 150_000));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.code().is_some() {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            assert_eq!((status.code(), &*text), (Some(0), ""));
            break;
        }
        killed += 1;
        for file in files.iter().filter(|file| file.exists()) {
            longest = longest.max(whole(file, &files[0]).1);
        }
    }
    assert!(killed > 5, "{killed}");
    assert_eq!(longest > 0, has_chains, "{longest}");
    // From each of them it comes to its end.
    for file in ["a.chk.2", "a.chk.1", "a.chk"].iter().filter(|file| place.path(file).exists()) {
        let shown = place.run(&["inspect", file]);
        assert!(shown.out.contains("_start (offset"), "{file}: {shown:?}");
        let child = start(&place, &["resume", file]);
        assert_eq!(end(child), (Some(0), "done\n".into(), String::new()), "{file}");
        assert_eq!(std::fs::read_to_string(place.path("out/letters")).unwrap(), ALPHABET);
    }
    assert!(!place.path("a.chk.3").exists());
    // Only between getting a name and taking that of the checkpoint a file can be left behind.
    let mut left = 0;
    for entry in std::fs::read_dir(place.path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        left += u64::from(name.starts_with(".wardian-checkpoint-"));
        let known = ["a.chk", "a.chk.1", "a.chk.2", "a.chk.parents", "letters.wat", "out"]
            .contains(&&*name);
        assert!(known || name.starts_with(".wardian-checkpoint-"), "{name}");
    }
    assert!(left <= killed / 4, "{left} files are left");
}
