//! Being notified when instances end, closing them from other threads, and exit codes.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardian::{
    Engine, ErrorKind, InstantiateOptions, Linker, Module, Result, StopReason, Store,
    close::{CloseNotifyFunc, ClosingInstance},
};
use wardian_wasi::WasiCtx;

const GUEST: &str = r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "serve") (loop $forever
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (br $forever)))
  (func (export "ping") (result i32) (i32.const 1))
  (func (export "_start") (call $exit (i32.const 3))))"#;

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    wardian_wasi::add_to_linker(&mut linker, |wasi| wasi)?;

    // A register of those who live: whoever is closed, by whatever means, is struck off.
    let ended: Arc<Mutex<Vec<(String, u32)>>> = Arc::default();
    let register = ended.clone();
    let notifier = Arc::new(CloseNotifyFunc(move |instance: &ClosingInstance, code: u32| {
        let name = instance.name().unwrap_or_default().to_owned();
        println!("{name} ends with {code}");
        register.lock().unwrap().push((name, code));
    }));
    let options = |name: &str| {
        InstantiateOptions::new().with_name(name).with_close_notifier(notifier.clone())
    };
    let mut store = Store::new(&engine, WasiCtx::builder().build());
    let [server, program, idle] = ["server", "program", "idle"]
        .map(|name| linker.instantiate_with(&mut store, &module, &options(name)));
    let (server, program, idle) = (server?, program?, idle?);

    // From another thread, while it runs: the call ends, and says why.
    let closer = server.closer(&mut store);
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        assert!(closer.close_with_exit_code(130));
        assert!(!closer.close(), "once is enough");
    });
    let serve = server.typed_func::<(), ()>(&mut store, "serve")?;
    let error = serve.call(&mut store, ()).expect_err("it was closed");
    thread.join().expect("the thread does not panic");
    assert!(matches!(error.kind(), ErrorKind::Closed(130)), "{error}");

    // By the guest itself: `proc_exit` closes its instance.
    let start = program.typed_func::<(), ()>(&mut store, "_start")?;
    let error = start.call(&mut store, ()).expect_err("it exits");
    assert!(matches!(error.kind(), ErrorKind::Exit(3)), "{error}");
    assert_eq!(program.exit_code(&store), Some(3));

    // What was closed cannot be called any more, but looked at; others do not notice.
    let error = serve.call(&mut store, ()).expect_err("it is closed");
    println!("called again: {error}");
    let counted = server.get_memory(&mut store, "memory").map(|m| m.data(&store)[..4].to_vec());
    assert_ne!(counted, Some(vec![0; 4]));
    assert_eq!(idle.typed_func::<(), i32>(&mut store, "ping")?.call(&mut store, ())?, 1);

    // A deadline stops a call without closing anything; the embedder decides what to do then.
    store.set_timeout(Duration::from_millis(20));
    let serve = idle.typed_func::<(), ()>(&mut store, "serve")?;
    let error = serve.call(&mut store, ()).expect_err("its time is up");
    assert_eq!(error.stop_reason(), Some(StopReason::Deadline));
    assert!(!idle.is_closed(&store) && error.exit_code().is_none());
    // What is left is closed with the store.
    store.close_with_exit_code(1);
    let reported = ended.lock().unwrap().clone();
    let names: Vec<(&str, u32)> = reported.iter().map(|(n, c)| (n.as_str(), *c)).collect();
    assert_eq!(names, [("server", 130), ("program", 3), ("idle", 1)]);
    Ok(())
}
