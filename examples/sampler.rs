//! A profile: which functions of a guest take the time, themselves and with what they call. The samples
//! are read by another thread while the guest runs.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wardian::{
    Engine, Instance, Module, Result, Store,
    sampler::{Sampler, SamplerOptions, Samples},
};

/// Counts primes: most of the time goes into divisions.
const PROGRAM: &str = r#"(module $primes
  (func $divides (param $d i32) (param $n i32) (result i32)
    (i32.eqz (i32.rem_u (local.get $n) (local.get $d))))
  (func $is_prime (param $n i32) (result i32) (local $d i32)
    (local.set $d (i32.const 2))
    (loop $next
      (if (i32.gt_u (i32.mul (local.get $d) (local.get $d)) (local.get $n))
        (then (return (i32.const 1))))
      (if (call $divides (local.get $d) (local.get $n)) (then (return (i32.const 0))))
      (local.set $d (i32.add (local.get $d) (i32.const 1)))
      (br $next))
    unreachable)
  (func $count (export "count") (param $below i32) (result i32) (local $n i32) (local $found i32)
    (local.set $n (i32.const 2))
    (loop $next
      (local.set $found (i32.add (local.get $found) (call $is_prime (local.get $n))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $n) (local.get $below))))
    (local.get $found)))"#;

/// Samples of each function: at its top, and anywhere in it.
type Profile = BTreeMap<String, (usize, usize)>;

fn add(profile: &mut Profile, engine: &Engine, samples: &Samples) {
    for sample in samples.resolve(engine) {
        let names: Vec<String> = sample.frames.iter().map(|f| f.to_string()).collect();
        // A recursive function counts once.
        for name in names.iter().collect::<HashSet<_>>() {
            profile.entry(name.clone()).or_default().1 += 1;
        }
        if let Some(top) = names.first() {
            profile.entry(top.clone()).or_default().0 += 1;
        }
    }
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, PROGRAM)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let count = instance.typed_func::<i32, i32>(&mut store, "count")?;

    let sampler = Sampler::start(&mut store, SamplerOptions::new())?;
    let done = AtomicBool::new(false);
    let mut profile = Profile::new();
    let mut lost = 0;
    let primes = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(20));
                let samples = sampler.drain();
                lost += samples.dropped();
                add(&mut profile, &engine, &samples);
            }
        });
        let primes = count.call(&mut store, 400_000);
        done.store(true, Ordering::Release);
        primes
    })?;
    sampler.stop();
    add(&mut profile, &engine, &sampler.drain());

    println!("{primes} primes; {lost} samples lost");
    println!("{:>8} {:>8}  function", "itself", "in all");
    for (name, (itself, all)) in &profile {
        println!("{itself:8} {all:8}  {name}");
    }
    assert_eq!(primes, 33_860);
    // Called by nobody, so it is in every sample of a guest.
    let most = profile.values().map(|of| of.1).max();
    assert_eq!(profile.get("count").map(|of| of.1), most);
    Ok(())
}
