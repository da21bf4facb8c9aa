//! A pool of stores that are reset between tenants: each tenant finds the guest as it was after its start, and nothing
//! of the tenants before.

use std::sync::Mutex;
use wardian::{Engine, InstancePre, Linker, Module, Result, Store, TypedFunc, image::Image};

/// A guest with a start that takes long, which each tenant would have to wait for without images.
const GUEST: &str = r#"(module
  (memory (export "memory") 1 100)
  (global $visits (mut i32) (i32.const 0))
  (table $secrets 1 100 externref)
  (func $warm (export "warm") (local $i i32)
    ;; A table of squares in the first 40 KiB.
    (loop $l
      (i32.store (i32.shl (local.get $i) (i32.const 2)) (i32.mul (local.get $i) (local.get $i)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000)))))
  ;; Looks for what others left: in memory, in pages that they added, in a global, in a table.
  (func $left (result i32)
    (i32.add (i32.add (i32.load (i32.const 50000)) (global.get $visits))
      (i32.add (i32.sub (memory.size) (i32.const 1)) (i32.sub (table.size $secrets) (i32.const 1)))))
  (func (export "serve") (param $secret i32) (result i32) (local $found i32)
    (local.set $found (call $left))
    (i32.store (i32.const 50000) (local.get $secret))
    (i32.store (i32.const 400) (local.get $secret))
    (global.set $visits (i32.add (global.get $visits) (i32.const 1)))
    (drop (memory.grow (i32.const 3)))
    (i32.store (i32.const 200000) (local.get $secret))
    (drop (table.grow $secrets (ref.null extern) (i32.const 5)))
    ;; Some tenants fail.
    (if (i32.eqz (i32.rem_u (local.get $secret) (i32.const 7))) (then (unreachable)))
    (local.get $found))
  (func (export "square") (param $n i32) (result i32)
    (i32.load (i32.shl (local.get $n) (i32.const 2)))))"#;

/// What a tenant knows besides its guest.
#[derive(Default)]
struct Tenant {
    number: i32,
}

/// A store with its guest, and the state to which it returns.
struct Warm {
    store: Store<Tenant>,
    image: Image,
    serve: TypedFunc<i32, i32>,
    square: TypedFunc<i32, i32>,
}

/// Stores that nobody uses now.
struct Pool {
    engine: Engine,
    guest: InstancePre<Tenant>,
    idle: Mutex<Vec<Warm>>,
}

impl Pool {
    /// A store that is as after the guest's start.
    fn take(&self) -> Result<Warm> {
        let idle = self.idle.lock().unwrap_or_else(|e| e.into_inner()).pop();
        if let Some(warm) = idle {
            return Ok(warm);
        }
        let mut store = Store::new(&self.engine, Tenant::default());
        let instance = self.guest.instantiate(&mut store)?;
        instance.typed_func::<(), ()>(&mut store, "warm")?.call(&mut store, ())?;
        let serve = instance.typed_func(&mut store, "serve")?;
        let square = instance.typed_func(&mut store, "square")?;
        let image = store.image()?;
        Ok(Warm { store, image, serve, square })
    }

    /// Resets a store for the next tenant. One that cannot be reset is dropped: it may hold what the tenant wrote.
    fn give_back(&self, mut warm: Warm) {
        // The embedder's own data is not part of an image.
        *warm.store.data_mut() = Tenant::default();
        if warm.store.reset_to(&warm.image).is_ok() {
            self.idle.lock().unwrap_or_else(|e| e.into_inner()).push(warm);
        }
    }
}

/// Serves a tenant, and returns what it found of others.
fn serve(pool: &Pool, number: i32) -> Result<i32> {
    let mut warm = pool.take()?;
    assert_eq!(warm.store.data().number, 0);
    warm.store.data_mut().number = number;
    let squared = warm.square.call(&mut warm.store, 100);
    let found = warm.serve.call(&mut warm.store, number);
    // Also if it failed: a trap leaves what was written before.
    pool.give_back(warm);
    assert_eq!(squared?, 10_000, "the table that was made at the start");
    found
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let guest = Linker::new(&engine).instantiate_pre(&module)?;
    let pool = Pool { engine, guest, idle: Mutex::default() };
    let failed: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let pool = &pool;
                scope.spawn(move || {
                    let tenants = (0..50).map(|n| serve(pool, 1 + worker * 50 + n));
                    let (served, failed): (Vec<_>, Vec<_>) = tenants.partition(Result::is_ok);
                    for found in served {
                        assert_eq!(found.ok(), Some(0), "nothing of the tenants before");
                    }
                    failed.len()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no tenant finds a secret")).sum()
    });
    let stores = pool.idle.lock().unwrap_or_else(|e| e.into_inner()).len();
    println!("100 tenants on {stores} stores, {failed} of them trapped; none found anything");
    assert_eq!(failed, 14);
    assert!(stores <= 2);
    Ok(())
}
