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

/// A module whose `f` is called with 5.
struct Sample {
    text: &'static str,
    result: i32,
    /// How often a tiered engine calls it, and with what, for something of it to be worth keeping.
    calls: (u32, i32),
}

/// Calls and rounds until a tiered engine compiles something.
const HOT_AFTER: u32 = 200;

const SAMPLES: [Sample; 5] = [
    Sample {
        text: r#"(module (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"#,
        result: 6,
        // Warm: a profile is kept, without code.
        calls: (HOT_AFTER / 4, 5),
    },
    Sample {
        text: r#"(module (func (export "f") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))"#,
        result: 15,
        calls: (HOT_AFTER + 1, 5),
    },
    Sample {
        text: r#"(module (memory 1) (func $g (param i32) (result i32) (i32.load (local.get 0)))
          (func (export "f") (param i32) (result i32)
            (i32.store (i32.const 8) (local.get 0)) (call $g (i32.const 8))))"#,
        result: 5,
        calls: (HOT_AFTER + 1, 5),
    },
    Sample {
        text: r#"(module (type $t (func (param i32) (result i32))) (table funcref (elem $g))
          (func $g (type $t) (i32.sub (local.get 0) (i32.const 9)))
          (func (export "f") (type $t) (call_indirect (type $t) (local.get 0) (i32.const 0))))"#,
        result: -4,
        calls: (HOT_AFTER + 1, 5),
    },
    Sample {
        text: r#"(module (func (export "f") (param i32) (result i32) (local i32)
          (loop $l
            (local.set 1 (i32.add (local.get 1) (local.get 0)))
            (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
          (local.get 1)))"#,
        result: 15,
        // One long loop: its code is kept, and not that of the function.
        calls: (1, 10 * HOT_AFTER as i32),
    },
];

/// Engines of one kind, and what they keep in a folder of their own.
struct Kept {
    kind: EngineKind,
    /// `cache` in it is the cache.
    folder: tempfile::TempDir,
    /// The name and the bytes of each module's entry.
    entries: Vec<(String, Vec<u8>)>,
    artifacts: Vec<Vec<u8>>,
}

/// What every input begins with.
static KEPT: LazyLock<Mutex<[Kept; 2]>> =
    LazyLock::new(|| Mutex::new([EngineKind::Compiled, EngineKind::Tiered].map(Kept::new)));

impl Kept {
    fn new(kind: EngineKind) -> Kept {
        let folder = tempfile::TempDir::new().expect("a folder of its own");
        let mut kept = Kept { kind, folder, entries: Vec::new(), artifacts: Vec::new() };
        let path = kept.path();
        let (engine, _) = kept.engine();
        for sample in &SAMPLES {
            start(&engine, sample);
            let known: Vec<_> = kept.entries.iter().map(|(name, _)| name.clone()).collect();
            let new = files(&path).into_iter().find(|name| !known.contains(name));
            let new = new.expect("it was kept");
            let bytes = fs::read(path.join(&new)).expect("it can be read");
            kept.entries.push((new, bytes));
        }
        let (engine, _) = kept.engine();
        let artifact = |sample: &Sample| {
            let module = Module::new(&engine, sample.text).expect("it is a module");
            module.serialize().expect("it can be compiled")
        };
        kept.artifacts = SAMPLES.iter().map(artifact).collect();
        kept
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// A fresh engine, as in a process of its own, with the cache in the folder unless that is refused.
    fn engine(&self) -> (Engine, Option<DiskCache>) {
        let mut config = Config::new();
        config.engine(self.kind).compile_threads(1);
        config.hot_after(Some(HOT_AFTER)).background_compilation(false);
        let engine = Engine::new(&config).expect("the configuration works");
        let cache = DiskCache::new(self.path()).ok();
        engine.set_cache(cache.clone().map(|c| Arc::new(c) as Arc<dyn wardian::cache::CodeCache>));
        (engine, cache)
    }
}

fn files(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("the folder is there").flatten();
    files.map(|f| f.file_name().to_string_lossy().into_owned()).collect()
}

/// Makes a module, which works; whether it begins with what was in the cache. When it goes there is something to keep.
fn start(engine: &Engine, sample: &Sample) -> bool {
    let compiled = AtomicBool::new(false);
    let progress = |_, _| compiled.store(true, Ordering::Relaxed);
    let module =
        Module::with_progress(engine, sample.text, Some(&progress)).expect("it is a module");
    // A tiered engine has compiled nothing yet, unless it knows what was hot.
    let begins = !compiled.into_inner() && module.code_size() > 0;
    works(engine, &module, sample);
    begins
}

fn works(engine: &Engine, module: &Module, sample: &Sample) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).expect("it imports nothing");
    let f = instance.typed_func::<i32, i32>(&mut store, "f").expect("it is exported");
    assert_eq!(f.call(&mut store, 5).expect("it does not trap"), sample.result);
    if engine.config().engine_kind() == EngineKind::Tiered {
        let (calls, argument) = sample.calls;
        for _ in 0..calls {
            f.call(&mut store, argument).expect("it does not trap");
        }
    }
    assert_eq!(f.call(&mut store, 5).expect("it does not trap"), sample.result);
}

pub(crate) fn run(data: &[u8]) {
    let all = KEPT.lock().unwrap_or_else(|e| e.into_inner());
    let mut input = Input::new(data);
    let kept = &all[input.below(all.len())];
    let path = kept.path();
    restore(&path, &kept.entries);
    let (fresh, _) = kept.engine();
    assert!(SAMPLES.iter().all(|sample| start(&fresh, sample)), "what was kept is used");
    // What starts added to it goes.
    restore(&path, &kept.entries);
    let mut touched = [false; SAMPLES.len()];
    for _ in 0..=input.below(6) {
        let n = input.below(SAMPLES.len());
        touched[n] |= damage(&path, &kept.entries, n, &mut input);
    }
    artifact(&fresh, &kept.artifacts, &mut input);
    let (engine, cache) = kept.engine();
    let Some(cache) = cache else { return note("the folder is refused") };
    let (again, _) = kept.engine();
    for (n, ((name, bytes), sample)) in kept.entries.iter().zip(&SAMPLES).enumerate() {
        let file = path.join(name);
        let whole = is_private_file(&file) && fs::read(&file).is_ok_and(|b| b == *bytes);
        let begins = start(&engine, sample);
        let kind = kept.kind;
        assert_eq!(
            begins, whole,
            "{kind:?}, module {n}: entry whole {whole}, touched {}",
            touched[n]
        );
        note(format!("{kind:?} begins with it {begins}"));
        // It was kept again, unless something is in the way.
        assert_eq!(start(&again, sample), is_private_file(&file), "{kind:?}, module {n}, again");
    }
    let _ = (cache.size(), cache.clear());
    assert!(kept.folder.path().join("outside").exists(), "what is outside stays");
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
            works(engine, &module, &SAMPLES[n]);
            note("artifact used");
        }
        Err(error) => {
            assert!(bytes != artifacts[n], "a whole artifact is refused: {error}");
            note_error("artifact", &error);
        }
    }
}
