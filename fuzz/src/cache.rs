//! Entries of the cache and artifacts, changed: never used, and whatever is done with them, modules work.
//!
//! What a cache holds is machine code, which nothing can check. So bytes are changed but never the hash with
//! them; and only the body itself, which has the folder to itself, puts entries there.
#![allow(unsafe_code, reason = "reading an artifact is a promise; damaged ones must be refused")]

use crate::input::Input;
use crate::outcome::{note, note_error};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use wardian::{Config, Engine, EngineKind, Instance, Module, Store, cache::DiskCache};

/// Each with what `f` returns for 5.
const MODULES: [(&str, i32); 4] = [
    (
        r#"(module (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"#,
        6,
    ),
    (
        r#"(module (func (export "f") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))"#,
        15,
    ),
    (
        r#"(module (memory 1) (func $g (param i32) (result i32) (i32.load (local.get 0)))
          (func (export "f") (param i32) (result i32)
            (i32.store (i32.const 8) (local.get 0)) (call $g (i32.const 8))))"#,
        5,
    ),
    (
        r#"(module (func $g (param i32) (result i32) (i32.sub (local.get 0) (i32.const 9)))
          (func (export "f") (param i32) (result i32) (call $g (local.get 0))))"#,
        -4,
    ),
];

/// What every input begins with: the folder, and the bytes of each module's entry and artifact.
struct Fixture {
    folder: tempfile::TempDir,
    entries: Vec<(String, Vec<u8>)>,
    artifacts: Vec<Vec<u8>>,
}

static FIXTURE: LazyLock<Mutex<Fixture>> = LazyLock::new(|| {
    let folder = tempfile::TempDir::new().expect("a folder of its own");
    let path = folder.path().join("cache");
    let (engine, _) = engine(&path);
    let mut entries = Vec::new();
    let mut artifacts = Vec::new();
    for (text, _) in MODULES {
        let module = Module::new(&engine, text).expect("it is a module");
        artifacts.push(module.serialize().expect("it can be compiled"));
        let known: Vec<_> = entries.iter().map(|(name, _): &(String, _)| name.clone()).collect();
        let new = files(&path).into_iter().find(|name| !known.contains(name)).expect("it was kept");
        let bytes = fs::read(path.join(&new)).expect("it can be read");
        entries.push((new, bytes));
    }
    Mutex::new(Fixture { folder, entries, artifacts })
});

fn files(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("the folder is there").flatten();
    files.map(|f| f.file_name().to_string_lossy().into_owned()).collect()
}

/// A fresh engine with the cache in this folder.
fn engine(folder: &Path) -> (Engine, Option<DiskCache>) {
    let mut config = Config::new();
    let config = config.engine(EngineKind::Compiled).compile_threads(1);
    let engine = Engine::new(config).expect("the configuration works");
    let cache = DiskCache::new(folder).ok();
    engine.set_cache(cache.clone().map(|c| Arc::new(c) as Arc<dyn wardian::cache::CodeCache>));
    (engine, cache)
}

/// Makes a module, which works; whether it was compiled.
fn check(engine: &Engine, number: usize) -> bool {
    let compiled = AtomicBool::new(false);
    let progress = |_, _| compiled.store(true, Ordering::Relaxed);
    let (text, expected) = MODULES[number];
    let module = Module::with_progress(engine, text, Some(&progress)).expect("it is a module");
    works(engine, &module, expected);
    compiled.into_inner()
}

fn works(engine: &Engine, module: &Module, expected: i32) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).expect("it imports nothing");
    let f = instance.typed_func::<i32, i32>(&mut store, "f").expect("it is exported");
    assert_eq!(f.call(&mut store, 5).expect("it does not trap"), expected);
}

pub(crate) fn run(data: &[u8]) {
    let fixture = FIXTURE.lock().unwrap_or_else(|e| e.into_inner());
    let path = fixture.folder.path().join("cache");
    let mut input = Input::new(data);
    restore(&path, &fixture.entries);
    let (fresh, _) = engine(&path);
    assert!((0..MODULES.len()).all(|n| !check(&fresh, n)), "what was kept is used");
    let mut touched = [false; MODULES.len()];
    for _ in 0..=input.below(6) {
        let n = input.below(MODULES.len());
        touched[n] |= damage(&path, &fixture.entries, n, &mut input);
    }
    artifact(&fresh, &fixture.artifacts, &mut input);
    let (engine, cache) = engine(&path);
    let Some(cache) = cache else { return note("the folder is refused") };
    for (n, (name, bytes)) in fixture.entries.iter().enumerate() {
        let whole = is_private_file(&path.join(name))
            && fs::read(path.join(name)).is_ok_and(|b| b == *bytes);
        let compiled = check(&engine, n);
        assert_eq!(compiled, !whole, "module {n}: entry whole {whole}, touched {}", touched[n]);
        note(format!("compiled {compiled}"));
    }
    let _ = (cache.size(), cache.clear());
    assert!(fixture.folder.path().join("outside").exists(), "what is outside stays");
}

fn is_private_file(path: &Path) -> bool {
    let meta = fs::symlink_metadata(path);
    meta.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o022 == 0)
}

/// The folder with each module's entry, and nothing else.
fn restore(path: &Path, entries: &[(String, Vec<u8>)]) {
    let private = |mode| fs::Permissions::from_mode(mode);
    if fs::symlink_metadata(path).is_ok_and(|m| m.is_dir()) {
        fs::set_permissions(path, private(0o700)).expect("it is ours");
        fs::remove_dir_all(path).expect("it is ours");
    } else {
        drop(fs::remove_file(path));
    }
    fs::create_dir(path).expect("it was removed");
    fs::set_permissions(path, private(0o700)).expect("it is ours");
    for (name, bytes) in entries {
        fs::write(path.join(name), bytes).expect("there is room");
        fs::set_permissions(path.join(name), private(0o600)).expect("it is ours");
    }
    fs::write(path.parent().expect("it has one").join("outside"), b"kept").expect("there is room");
}

/// Does something to an entry. Whether anything can have changed.
fn damage(path: &Path, entries: &[(String, Vec<u8>)], n: usize, input: &mut Input<'_>) -> bool {
    let file: PathBuf = path.join(&entries[n].0);
    let action = input.below(12);
    note(format!("damage {action}"));
    let Ok(mut bytes) = fs::read(&file) else { return true };
    let at = if bytes.is_empty() { 0 } else { input.number() as usize % bytes.len() };
    match action {
        0..=3 if !bytes.is_empty() => {
            bytes[at] ^= input.byte() | 1;
            fs::write(&file, bytes).expect("it is ours");
        }
        4 => {
            bytes.truncate(at);
            fs::write(&file, bytes).expect("it is ours");
        }
        5 => {
            bytes.extend(input.take(8));
            bytes.push(0);
            fs::write(&file, bytes).expect("it is ours");
        }
        6 => {
            let other = &entries[(n + 1) % entries.len()].1;
            fs::write(&file, other).expect("it is ours");
        }
        7 => drop(fs::remove_file(&file)),
        8 => {
            drop(fs::remove_file(&file));
            symlink(path.parent().expect("it has one").join("outside"), &file).expect("it is gone");
        }
        9 => {
            drop(fs::remove_file(&file));
            fs::create_dir(&file).expect("it is gone");
        }
        10 => fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).expect("it is ours"),
        _ => {
            // A damaged head with a whole tail, as a torn write leaves it.
            bytes[..at].fill(0);
            fs::write(&file, bytes).expect("it is ours");
        }
    }
    true
}

/// An artifact that is not what was written is refused; one that is works.
fn artifact(engine: &Engine, artifacts: &[Vec<u8>], input: &mut Input<'_>) {
    let n = input.below(artifacts.len());
    let mut bytes = artifacts[n].clone();
    for _ in 0..input.below(3) {
        let at = input.number() as usize % bytes.len().max(1);
        match input.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.push(input.byte()),
            _ if !bytes.is_empty() => bytes[at] ^= input.byte(),
            _ => {}
        }
    }
    // SAFETY: the bytes are those of `serialize`, or a few of them are changed and the hash is not, so
    // that they are refused.
    let module = unsafe { Module::deserialize(engine, &bytes) };
    match module {
        Ok(module) => {
            assert!(bytes == artifacts[n], "a changed artifact is used");
            works(engine, &module, MODULES[n].1);
            note("artifact used");
        }
        Err(error) => {
            assert!(bytes != artifacts[n], "a whole artifact is refused: {error}");
            note_error("artifact", &error);
        }
    }
}
