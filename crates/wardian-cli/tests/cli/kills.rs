//! Programs that are killed at random moments while they are written to checkpoints.

use super::checkpoint::{ALPHABET, LETTERS, end, place, start};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// How often a process is killed.
const KILLS: u64 = 30;

/// The most that is kept beside the checkpoint.
const KEEP: u16 = 2;

#[test]
fn a_kill_at_any_moment_leaves_whole_checkpoints() {
    let place = place();
    place.write("letters.wat", LETTERS.replace("(i32.const 3000000)", "(i32.const 20000000)"));
    let random = RandomState::new();
    let keep = KEEP.to_string();
    let options =
        ["--checkpoint", "a.chk", "--checkpoint-every", "1ms", "--checkpoint-keep", &keep];
    let files: Vec<PathBuf> = ["a.chk", "a.chk.1", "a.chk.2"].map(|name| place.path(name)).into();
    let mut killed = 0;
    for kill in 0..KILLS {
        let command = match files[0].exists() {
            true => [&["resume"], &options[..], &["a.chk"]].concat(),
            false => [&["run"], &options[..], &["letters.wat"]].concat(),
        };
        let mut child = start(&place, &command);
        std::thread::sleep(Duration::from_micros(random.hash_one(kill) % 80_000));
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
            wardian::Checkpoint::from_bytes(&std::fs::read(file).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
    assert!(killed > 5, "{killed}");
    // From each of them it comes to its end.
    for file in ["a.chk.2", "a.chk.1", "a.chk"].iter().filter(|file| place.path(file).exists()) {
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
        let known = ["a.chk", "a.chk.1", "a.chk.2", "letters.wat", "out"].contains(&&*name);
        assert!(known || name.starts_with(".wardian-checkpoint-"), "{name}");
    }
    assert!(left <= killed / 4, "{left} files are left");
}
