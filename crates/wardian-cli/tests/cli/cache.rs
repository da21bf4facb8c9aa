//! The cache, and artifacts.

use super::guests;
use super::harness::{Place, files};
use std::os::unix::fs::PermissionsExt;

#[test]
fn commands() {
    let place = Place::with(&[("exit.wat", &guests::exit(7))]);
    let dir = place.cache().display().to_string();
    place.check(&[(&["cache", "dir"], 0, &[&dir], &[]), (&["cache", "size"], 0, &["0 B"], &[])]);
    place.check(&[(&["run", "--no-cache", "exit.wat"], 7, &[], &[])]);
    assert_eq!(files(&place.cache()), 0);
    place.check(&[(&["compile", "exit.wat"], 0, &["1 function,", "in the cache", &dir], &[])]);
    assert_eq!(files(&place.cache()), 1);
    place.check(&[(&["run", "exit.wat"], 7, &[], &[])]);
    assert_eq!(files(&place.cache()), 1, "the entry is used again");
    place.check(&[(&["cache", "size"], 0, &[" B in "], &[])]);
    place.check(&[(&["cache", "clear"], 0, &[" B removed from"], &[])]);
    assert_eq!(files(&place.cache()), 0);
    place.check(&[(&["run", "--engine", "jit", "exit.wat"], 7, &[], &[])]);
    assert_eq!(files(&place.cache()), 1);
    let mode = place.cache().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn a_cache_that_cannot_be_trusted() {
    let place = Place::with(&[("exit.wat", &guests::exit(7)), ("cache/x", "")]);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.cache(), open).unwrap();
    let quiet = place.run(&["run", "exit.wat"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(7), ""));
    place.check(&[
        (&["--verbose", "run", "exit.wat"], 7, &[], &["warning: the cache folder", "mode 0755"]),
        (&["compile", "exit.wat"], 1, &[], &["mode 0755"]),
        (&["cache", "size"], 1, &[], &["mode 0755"]),
        (&["cache", "clear"], 1, &[], &["mode 0755"]),
        (&["cache", "dir"], 0, &[], &[]),
    ]);
    assert_eq!(files(&place.cache()), 1);
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    let place = Place::with(&[("exit.wat", &guests::exit(7))]);
    place.check(&[(&["run", "--engine", "jit", "exit.wat"], 7, &[], &[])]);
    let entry = std::fs::read_dir(place.cache()).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&entry).unwrap();
    std::fs::write(&entry, &good[..good.len() / 2]).unwrap();
    place.check(&[(&["run", "--engine", "jit", "exit.wat"], 7, &[], &[])]);
    assert_eq!(std::fs::read(&entry).unwrap(), good);
}

/// A tiered engine keeps what was hot, and begins with it the next time.
#[test]
fn what_was_hot_is_kept() {
    let hot = r#"(module
      (func $f (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "run") (param i32) (result i32) (local $x i32)
        (loop $l (local.set $x (call $f (local.get $x)))
          (br_if $l (i32.lt_u (local.get $x) (local.get 0)))) (local.get $x)))"#;
    let place = Place::with(&[("exit.wat", &guests::exit(7)), ("hot.wat", hot)]);
    place.check(&[(&["run", "exit.wat"], 7, &[], &[])]);
    assert_eq!(files(&place.cache()), 0, "what runs once is not compiled");
    place.check(&[(&["run", "--invoke", "run", "hot.wat", "50000000"], 0, &["50000000"], &[])]);
    assert_eq!(files(&place.cache()), 1);
    place.check(&[
        (&["run", "--invoke", "run", "hot.wat", "3"], 0, &["3"], &[]),
        (&["run", "--engine", "interp", "--invoke", "run", "hot.wat", "3"], 0, &["3"], &[]),
        (&["run", "--engine", "jit", "--invoke", "run", "hot.wat", "3"], 0, &["3"], &[]),
        // Now all is there.
        (&["run", "--invoke", "run", "hot.wat", "3"], 0, &["3"], &[]),
    ]);
    assert_eq!(files(&place.cache()), 1);
}

#[test]
fn artifacts() {
    let place = Place::with(&[("exit.wat", &guests::exit(7))]);
    place.check(&[
        (&["compile", "-o", "exit.bin", "exit.wat"], 0, &["written to exit.bin"], &[]),
        (&["run", "exit.bin"], 1, &[], &["--allow-precompiled"]),
        (&["run", "--allow-precompiled", "exit.bin"], 7, &[], &[]),
        (&["run", "--allow-precompiled", "exit.wat"], 7, &[], &[]),
        (&["inspect", "exit.bin"], 1, &[], &["precompiled"]),
        (&["compile", "exit.bin"], 1, &[], &["precompiled"]),
        (
            &["run", "--allow-precompiled", "--features", "v1", "exit.bin"],
            1,
            &[],
            &["other settings"],
        ),
        (&["compile", "-o", "nowhere/exit.bin", "exit.wat"], 1, &[], &["cannot write nowhere"]),
    ]);
    let mut bytes = std::fs::read(place.path("exit.bin")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    place.write("exit.bin", bytes);
    place.check(&[(&["run", "--allow-precompiled", "exit.bin"], 1, &[], &["damaged"])]);
}

#[test]
fn artifacts_are_written_into_what_is_there() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let place =
        Place::with(&[("exit.wat", &guests::exit(7)), ("old", "old"), ("bad.wat", "(module (")]);
    let mode =
        |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(place.path("old"), std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("old", place.path("link")).unwrap();
    // What is not written changes nothing.
    place.check(&[(&["compile", "-o", "link", "bad.wat"], 1, &[], &["bad.wat"])]);
    assert_eq!(std::fs::read(place.path("old")).unwrap(), b"old");
    place.check(&[(&["compile", "-o", "new", "bad.wat"], 1, &[], &["bad.wat"])]);
    assert!(!place.path("new").exists());
    // A link stays a link, and the file keeps its mode.
    place.check(&[(&["compile", "-o", "link", "exit.wat"], 0, &["written to link"], &[])]);
    assert!(std::fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
    assert_eq!(mode("old"), 0o600);
    place.check(&[(&["run", "--allow-precompiled", "old"], 7, &[], &[])]);
    // A pipe is written to.
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    assert!(made.success());
    let pipe = std::fs::File::options().read(true).write(true).open(place.path("pipe")).unwrap();
    let reader = std::thread::spawn(move || {
        let mut seen = vec![0; 64 << 10];
        std::io::Read::read(&mut &pipe, &mut seen).unwrap()
    });
    place.check(&[(&["compile", "-o", "pipe", "exit.wat"], 0, &["written to pipe"], &[])]);
    assert!(reader.join().unwrap() > 0);
    assert!(std::fs::metadata(place.path("pipe")).unwrap().file_type().is_fifo());
    // A device as well; its error is reported.
    place.check(&[
        (&["compile", "-o", "/dev/full", "exit.wat"], 1, &[], &["cannot write", "No space left"]),
        (&["inspect", "--graph", "link.svg", "exit.wat"], 0, &[], &[]),
    ]);
    assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    // No other file is left behind.
    let mut left: Vec<_> = std::fs::read_dir(place.path(""))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "cache")
        .collect();
    left.sort();
    assert_eq!(left, ["bad.wat", "exit.wat", "link", "link.svg", "old", "pipe"]);
}
