//! The cache under everything that can happen to a folder.
#![allow(unsafe_code, reason = "a test reads what it has just compiled")]

use super::{DiskCache, entry};
use crate::{
    Config, CoreFeatures, Engine, EngineKind, Module,
    cache::{CodeCache, CodeKey},
};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use wardian_vm::compiled::{CompiledCode, MemoryVariant};

/// A cache in a folder of its own, and an engine without one.
struct Fixture {
    temp: TempDir,
    cache: DiskCache,
    engine: Engine,
}

impl Fixture {
    fn new() -> Fixture {
        let temp = TempDir::new().unwrap();
        let cache = DiskCache::new(temp.path().join("cache")).unwrap();
        let mut config = Config::new();
        let engine = Engine::new(config.engine(EngineKind::Compiled)).unwrap();
        Fixture { temp, cache, engine }
    }

    /// Compiles module number `n` with the cache; its bytes and its code.
    fn put(&self, n: u32) -> (Vec<u8>, CompiledCode) {
        let (bytes, code) = compiled(&self.engine, n);
        self.cache.put(&key(&self.engine, &bytes), &code);
        (bytes, code)
    }

    fn file(&self, module: &[u8]) -> PathBuf {
        self.cache.dir().join(entry::name(&key(&self.engine, module)))
    }

    fn files(&self) -> usize {
        fs::read_dir(self.cache.dir()).unwrap().count()
    }
}

fn key(engine: &Engine, module: &[u8]) -> CodeKey {
    CodeKey::new(&engine.fingerprint(), module, MemoryVariant::Guarded)
}

fn compiled(engine: &Engine, n: u32) -> (Vec<u8>, CompiledCode) {
    let text = format!("(module (func (export \"n\") (result i32) (i32.const {n})))");
    let module = Module::new(engine, text).unwrap();
    let artifact = module.serialize().unwrap();
    // SAFETY: it was just made.
    let (bytes, code) =
        unsafe { wardian_runtime::code::artifact::read(engine.inner(), &artifact) }.unwrap();
    (bytes.to_vec(), code)
}

#[test]
fn what_is_put_comes_back() {
    let f = Fixture::new();
    let (bytes, code) = f.put(1);
    assert_eq!(f.cache.get(&key(&f.engine, &bytes)), Some(code));
    assert_eq!(f.files(), 1);
    assert_eq!(f.cache.size().unwrap(), f.file(&bytes).metadata().unwrap().len());
    assert_eq!(fs::metadata(f.cache.dir()).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(f.cache.clear().unwrap() > 0);
    assert_eq!((f.files(), f.cache.size().unwrap()), (0, 0));
    assert_eq!(f.cache.get(&key(&f.engine, &bytes)), None);
}

#[test]
fn a_damaged_entry_is_removed() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 6] = [
        ("flipped at the end", |b| *b.last_mut().unwrap() ^= 1),
        ("flipped hash", |b| b[9] ^= 1),
        ("flipped magic", |b| b[0] ^= 1),
        ("truncated", |b| b.truncate(b.len() - 1)),
        ("only a header", |b| b.truncate(20)),
        ("empty", Vec::clear),
    ];
    for (what, damage) in damages {
        let f = Fixture::new();
        let (module, code) = f.put(1);
        let mut bytes = fs::read(f.file(&module)).unwrap();
        damage(&mut bytes);
        fs::write(f.file(&module), bytes).unwrap();
        assert_eq!(f.cache.get(&key(&f.engine, &module)), None, "{what}");
        assert_eq!(f.files(), 0, "{what}");
        f.cache.put(&key(&f.engine, &module), &code);
        assert_eq!(f.cache.get(&key(&f.engine, &module)), Some(code), "{what}");
    }
}

#[test]
fn an_entry_under_a_foreign_name_is_refused() {
    let f = Fixture::new();
    let (one, _) = f.put(1);
    let (two, _) = f.put(2);
    fs::copy(f.file(&one), f.file(&two)).unwrap();
    assert_eq!(f.cache.get(&key(&f.engine, &two)), None);
    assert!(f.cache.get(&key(&f.engine, &one)).is_some());
}

#[test]
fn other_settings_are_other_entries() {
    let f = Fixture::new();
    let (module, _) = f.put(1);
    let mut config = Config::new();
    config.engine(EngineKind::Compiled);
    let features = Engine::new(config.features(CoreFeatures::V1)).unwrap();
    let mut config = Config::new();
    config.engine(EngineKind::Compiled);
    let optimize = Engine::new(config.optimize(false)).unwrap();
    for engine in [features, optimize] {
        assert_eq!(f.cache.get(&key(&engine, &module)), None);
    }
    assert!(f.cache.get(&key(&f.engine, &module)).is_some());
}

#[test]
fn many_writers() {
    let f = Fixture::new();
    let modules: Vec<_> = (0..4).map(|n| compiled(&f.engine, n)).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (f, modules) = (&f, &modules);
            scope.spawn(move || {
                for round in 0..50 {
                    let (bytes, code) = &modules[(thread + round) % 4];
                    f.cache.put(&key(&f.engine, bytes), code);
                    let found = f.cache.get(&key(&f.engine, bytes));
                    assert!(found.as_ref().is_none_or(|c| c == code));
                    if round % 10 == 0 {
                        f.cache.clear().unwrap();
                    }
                }
            });
        }
    });
    for (bytes, code) in &modules {
        f.cache.put(&key(&f.engine, bytes), code);
        assert_eq!(f.cache.get(&key(&f.engine, bytes)).as_ref(), Some(code));
    }
    assert_eq!(f.files(), 4, "temporary files are left");
}

#[test]
fn the_least_recently_used_goes() {
    let f = Fixture::new();
    let modules: Vec<_> = (0..4).map(|n| f.put(n).0).collect();
    let size = f.file(&modules[0]).metadata().unwrap().len();
    let hours = |n: u64| SystemTime::now() - Duration::from_secs(3600 * n);
    for (module, age) in modules.iter().zip([1, 4, 3, 2]) {
        fs::File::open(f.file(module)).unwrap().set_modified(hours(age)).unwrap();
    }
    // The oldest is used, so the second oldest goes.
    assert!(f.cache.get(&key(&f.engine, &modules[1])).is_some());
    let small = f.cache.clone().with_limit(4 * size + size / 2);
    let (bytes, code) = compiled(&f.engine, 9);
    small.put(&key(&f.engine, &bytes), &code);
    let there: Vec<bool> = modules.iter().map(|m| f.file(m).exists()).collect();
    assert_eq!(there, [true, true, false, true]);
    assert!(f.file(&bytes).exists());
    // What does not fit at all is not written.
    let tiny = f.cache.clone().with_limit(10);
    let (bytes, code) = compiled(&f.engine, 10);
    tiny.put(&key(&f.engine, &bytes), &code);
    assert!(!f.file(&bytes).exists());
    assert_eq!(f.files(), 4);
}

#[test]
fn dead_temporary_files_go_and_others_stay() {
    let f = Fixture::new();
    let path = |name: &str| f.cache.dir().join(name);
    let digits = "0".repeat(64);
    let (dead, alive) = (path(&format!("{digits}.1.tmp")), path(&format!("{digits}.2.tmp")));
    let foreign = path("notes.tmp");
    for file in [&dead, &alive, &foreign] {
        fs::write(file, "x").unwrap();
    }
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    for file in [&dead, &foreign] {
        fs::File::open(file).unwrap().set_modified(old).unwrap();
    }
    f.put(1);
    assert!(!dead.exists() && alive.exists() && foreign.exists());
    f.cache.clear().unwrap();
    assert!(!alive.exists() && foreign.exists());
}

#[test]
fn a_folder_that_others_reach_is_not_used() {
    let f = Fixture::new();
    let (module, code) = f.put(1);
    for mode in [0o755, 0o770, 0o701, 0o777, 0o1777] {
        fs::set_permissions(f.cache.dir(), Permissions::from_mode(mode)).unwrap();
        let error = DiskCache::new(f.cache.dir()).unwrap_err().to_string();
        assert!(error.contains(&format!("{mode:04o}")), "{error}");
        // A cache that was opened before notices as well.
        assert_eq!(f.cache.get(&key(&f.engine, &module)), None);
    }
    fs::remove_file(f.file(&module)).unwrap();
    f.cache.put(&key(&f.engine, &module), &code);
    assert!(!f.file(&module).exists());
}

#[test]
fn a_folder_that_is_something_else_is_not_used() {
    let f = Fixture::new();
    let link = f.temp.path().join("link");
    std::os::unix::fs::symlink(f.cache.dir(), &link).unwrap();
    let file = f.temp.path().join("file");
    fs::write(&file, "").unwrap();
    for (path, reason) in [
        (link, "it is a symbolic link"),
        (file.clone(), "it is not a folder"),
        (file.join("below"), "cannot be made"),
        (PathBuf::from("/proc/nowhere"), "it cannot be made"),
    ] {
        let error = DiskCache::new(&path).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_foreign_folder_is_not_used() {
    // Only the superuser can be here without owning it and without `chown`.
    if rustix::process::geteuid().is_root() {
        let f = Fixture::new();
        let (module, _) = f.put(1);
        std::os::unix::fs::chown(f.file(&module), Some(12345), None).unwrap();
        assert_eq!(f.cache.get(&key(&f.engine, &module)), None);
        std::os::unix::fs::chown(f.cache.dir(), Some(12345), None).unwrap();
        let error = DiskCache::new(f.cache.dir()).unwrap_err().to_string();
        assert!(error.contains("belongs to user 12345"), "{error}");
    }
}

#[test]
fn entries_that_are_no_regular_files_are_not_read() {
    let f = Fixture::new();
    let (module, _) = f.put(1);
    let file = f.file(&module);
    let elsewhere = f.temp.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert_eq!(f.cache.get(&key(&f.engine, &module)), None, "a symbolic link");
    fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR).unwrap();
    assert_eq!(f.cache.get(&key(&f.engine, &module)), None, "a pipe");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(f.cache.get(&key(&f.engine, &module)), None, "a folder");
    f.put(1);
    assert_eq!(f.cache.get(&key(&f.engine, &module)), None, "a folder that stays");
    assert_eq!(f.files(), 1, "the failed write left something");
}

#[test]
fn a_folder_that_is_read_only_or_gone_does_no_harm() {
    let f = Fixture::new();
    let (module, code) = f.put(1);
    fs::set_permissions(f.cache.dir(), Permissions::from_mode(0o500)).unwrap();
    let again = DiskCache::new(f.cache.dir()).unwrap();
    assert_eq!(again.get(&key(&f.engine, &module)), Some(code.clone()));
    // The superuser writes all the same.
    again.put(&key(&f.engine, &module), &code);
    assert_eq!(f.files(), 1);
    fs::set_permissions(f.cache.dir(), Permissions::from_mode(0o700)).unwrap();
    fs::remove_dir_all(f.cache.dir()).unwrap();
    f.cache.put(&key(&f.engine, &module), &code);
    assert_eq!(f.cache.get(&key(&f.engine, &module)), None);
}

#[test]
fn an_engine_uses_it() {
    let f = Fixture::new();
    f.engine.set_cache(Some(Arc::new(f.cache.clone())));
    for _ in 0..2 {
        let module = Module::new(&f.engine, "(module (func (export \"f\")))").unwrap();
        assert_eq!(module.exports().len(), 1);
        assert_eq!(f.files(), 1);
    }
}

/// A cache that gives the code of whatever was put there first.
#[derive(Default)]
struct Mixed(std::sync::Mutex<Option<CompiledCode>>);

// SAFETY: it breaks the promise on purpose; what it gives must not be used.
unsafe impl CodeCache for Mixed {
    fn get(&self, _: &CodeKey) -> Option<CompiledCode> {
        self.0.lock().unwrap().clone()
    }

    fn put(&self, _: &CodeKey, code: &CompiledCode) {
        self.0.lock().unwrap().get_or_insert_with(|| code.clone());
    }
}

#[test]
fn code_of_another_module_is_not_used() {
    let f = Fixture::new();
    f.engine.set_cache(Some(Arc::new(Mixed::default())));
    for n in [1, 2, 1, 3] {
        let text = format!("(module (func (export \"n\") (result i32) (i32.const {n})))");
        let module = Module::new(&f.engine, text).unwrap();
        let mut store = crate::Store::new(&f.engine, ());
        let instance = crate::Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.typed_func::<(), i32>(&mut store, "n").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), n);
    }
}

/// Code that is compiled by a profile is for those who have the same profile.
#[test]
fn a_profile_is_a_part_of_the_key() {
    let f = Fixture::new();
    let text = r#"(module (table funcref (elem $a $b)) (type $t (func (result i32)))
      (func $a (type $t) (i32.const 1)) (func $b (type $t) (i32.const 2))
      (func (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0))))"#;
    let train = |element: i32| {
        let engine = Engine::new(Config::new().engine(EngineKind::Tiered)).unwrap();
        let module = Module::new(&engine, text).unwrap();
        let mut store = crate::Store::new(&engine, ());
        let instance = crate::Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.typed_func::<i32, i32>(&mut store, "f").unwrap();
        assert_eq!(run.call(&mut store, element).unwrap(), element + 1);
        module.profile()
    };
    let (first, second) = (train(0), train(1));
    assert_eq!((&first, first == second), (&train(0), false));
    f.engine.set_cache(Some(Arc::new(f.cache.clone())));
    let mut artifacts = Vec::new();
    for (profile, entries) in [(None, 1), (Some(&first), 2), (Some(&second), 3)].repeat(2) {
        let mut options = crate::CompileOptions::new();
        if let Some(profile) = profile {
            options = options.with_profile(profile);
        }
        let module = Module::new_with(&f.engine, text, &options).unwrap();
        assert!(artifacts.len() >= 3 || f.files() == entries);
        let artifact = module.serialize().unwrap();
        // SAFETY: it was just made.
        let loaded = unsafe { Module::deserialize(&f.engine, &artifact) }.unwrap();
        assert_eq!(loaded.serialize().unwrap(), artifact);
        artifacts.push(artifact);
    }
    assert_eq!(f.files(), 3);
    assert_eq!(artifacts[..3], artifacts[3..]);
    assert!(artifacts[0] != artifacts[1] && artifacts[1] != artifacts[2]);
}

/// A function that becomes hot only in the second run is compiled by what it called in the first.
#[test]
fn what_calls_through_tables_called_is_kept_with_what_was_hot() {
    let f = Fixture::new();
    let text = r#"(module (table funcref (elem $a $b)) (type $t (func (result i32)))
      (func $a (type $t) (i32.const 1)) (func $b (type $t) (i32.const 2))
      (func $call (export "call") (param i32) (result i32) (call_indirect (type $t) (local.get 0)))
      (func (export "hot")))"#;
    let call = 2;
    // Of `call` in a process of its own that calls it, and another function, so often: what its code is, and the module.
    let run = |cache: bool, hot_after, times, element, hot| {
        let mut config = Config::new();
        config.engine(EngineKind::Tiered).hot_after(Some(hot_after)).background_compilation(false);
        let engine = Engine::new(&config).unwrap();
        engine.set_cache(cache.then(|| Arc::new(f.cache.clone()) as Arc<dyn CodeCache>));
        let module = Module::new(&engine, text).unwrap();
        let mut store = crate::Store::new(&engine, ());
        let instance = crate::Instance::new(&mut store, &module, &[]).unwrap();
        let called = instance.typed_func::<i32, i32>(&mut store, "call").unwrap();
        let other = instance.typed_func::<(), ()>(&mut store, "hot").unwrap();
        (0..times).for_each(|_| assert_eq!(called.call(&mut store, element).unwrap(), element + 1));
        (0..hot).for_each(|_| other.call(&mut store, ()).unwrap());
        instance.internal(&store).machine_code(call)
    };
    assert_eq!(run(true, 100, 50, 1, 200), None, "it is not hot yet");
    assert_eq!(f.files(), 1);
    let alone = run(false, 2, 10, 0, 0).expect("it is hot");
    let kept = run(true, 2, 10, 0, 0).expect("it is hot");
    assert_ne!(kept, alone, "it calls $b mostly, and only now $a");
    // Now the code itself is kept.
    assert_eq!(run(true, 1000, 1, 0, 0), Some(kept));
}
