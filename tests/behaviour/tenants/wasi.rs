//! What guests use up through WASI: output, descriptors, threads.

use super::{PATIENCE, beside};
use crate::matrix::module;
use std::time::{Duration, Instant};
use wardian::{Engine, Instance, Linker, Module, StopReason, Store};
use wardian_wasi::{DirPerms, MemoryOutput, WasiCtx, WasiCtxBuilder, WasiThreads};

/// Errors of WASI.
pub(super) const MFILE: i32 = 33;
const NOSPC: i32 = 51;

/// Each function does one thing until it fails, and returns the error.
const GREEDY: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "file") (data (i32.const 16) "\00\00\01\00\00\10\00\00")
  (func (export "write") (result i32) (local $error i32)
    (loop $l (br_if $l (i32.eqz (local.tee $error
      (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 32))))))
    (local.get $error))
  (global $opened (export "opened") (mut i32) (i32.const 0))
  (func $once (export "once") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)))
  (func (export "open") (result i32) (local $error i32)
    (loop $l
      (if (i32.eqz (local.tee $error (call $once))) (then
        (global.set $opened (i32.add (global.get $opened) (i32.const 1)))
        (br $l))))
    (local.get $error)))"#;

/// Guests of [`GREEDY`].
pub(super) struct Guests {
    module: Module,
    linker: Linker<WasiCtx>,
    folder: tempfile::TempDir,
}

impl Guests {
    pub(super) fn new(engine: &Engine) -> Guests {
        let mut linker = Linker::new(engine);
        wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "contents").unwrap();
        Guests { module: module(engine, GREEDY), linker, folder }
    }

    /// With the folder open.
    pub(super) fn with_folder(&self) -> WasiCtxBuilder {
        let builder = WasiCtx::builder();
        builder.preopen_dir(self.folder.path(), "/", DirPerms::ReadOnly).unwrap()
    }

    pub(super) fn guest(&self, wasi: WasiCtx) -> (Store<WasiCtx>, Instance) {
        let mut store = Store::new(self.module.engine(), wasi);
        let i = self.linker.instantiate(&mut store, &self.module).unwrap();
        (store, i)
    }
}

/// Calls a function and returns its result.
pub(super) fn call(store: &mut Store<WasiCtx>, i: Instance, name: &str) -> wardian::Result<i32> {
    i.typed_func::<(), i32>(&mut *store, name).unwrap().call(store, ())
}

pub(super) fn output(engine: &Engine) {
    let guests = Guests::new(engine);
    beside(engine, || {
        // What the embedder collects ends where it says.
        let output = MemoryOutput::new(100_000);
        let wasi = WasiCtx::builder().stdout_memory(output.clone()).build();
        let (mut store, i) = guests.guest(wasi);
        assert_eq!(call(&mut store, i, "write").unwrap(), NOSPC);
        assert_eq!(output.contents().len(), 100_000);
        // A pipe from which nobody reads makes the guest wait, not longer than its deadline.
        let (reader, writer) = std::io::pipe().unwrap();
        let (mut store, i) = guests.guest(WasiCtx::builder().stdout_fd(writer).unwrap().build());
        store.set_timeout(Duration::from_millis(20));
        let begun = Instant::now();
        let error = call(&mut store, i, "write").unwrap_err();
        assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        drop(reader);
    });
}

pub(super) fn descriptors(engine: &Engine) {
    let guests = Guests::new(engine);
    beside(engine, || {
        let (mut store, i) = guests.guest(guests.with_folder().max_descriptors(20).build());
        assert_eq!(call(&mut store, i, "open").unwrap(), MFILE);
        let opened = i.get_global(&mut store, "opened").unwrap().get(&mut store).i32();
        // Three streams and the folder are open from the start.
        assert_eq!(opened, Some(16));
        // The same guest can do without, and others have limits of their own.
        assert_eq!(call(&mut store, i, "once").unwrap(), MFILE);
        let (mut other, j) = guests.guest(guests.with_folder().build());
        assert_eq!(call(&mut other, j, "once").unwrap(), 0);
    });
}

pub(super) fn threads(engine: &Engine) {
    let greedy = module(
        engine,
        r#"(module (import "env" "memory" (memory 1 1 shared))
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (export "memory" (memory 0))
          (func (export "wasi_thread_start") (param i32 i32)
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
          (func (export "_start") (local $n i32)
            (loop $l
              (if (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0)) (then
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br $l))))
            (call $exit (local.get $n))))"#,
    );
    let mut linker = Linker::new(engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    beside(engine, || {
        let wasi = WasiCtx::builder().build();
        let mut store = Store::new(engine, wasi.clone());
        let threads = WasiThreads::builder(&greedy, move |_| wasi.clone());
        let threads = threads.max_threads(7).build(&linker).unwrap();
        let handle = threads.handle();
        let error = threads.run(&mut store).unwrap_err();
        assert_eq!(error.exit_code(), Some(7), "{error}");
        assert_eq!(handle.live(), 0, "its threads end with it");
    });
}
