//! One run, a hundred continuations: a guest is written down in a call of the host, and continues from there many times,
//! each time with another answer.
//!
//! The guest is a small game that has been played up to a decision. All decisions are tried from there, on several
//! threads, without playing the beginning again.

use wardian::{
    Caller, Checkpoint, CheckpointOptions, Config, Engine, EngineKind, Linker, Module, Result,
    ResumeOptions, Store, Val,
};

/// A long beginning, then a decision, then what follows from it.
const GAME: &str = r#"(module
  (import "host" "decide" (func $decide (result i32)))
  (memory (export "memory") 1)
  (func $turn (param $seed i32) (result i32)
    (i32.add (i32.mul (local.get $seed) (i32.const 1103515245)) (i32.const 12345)))
  (func (export "play") (param $seed i32) (result i32) (local $turns i32)
    (local.set $turns (i32.const 100000))
    (loop $beginning
      (local.set $seed (call $turn (local.get $seed)))
      (br_if $beginning (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))
    (i32.store (i32.const 0) (local.get $seed))
    ;; The score: how near the decision is to what the dice want.
    (i32.popcnt (i32.xor (i32.and (i32.load (i32.const 0)) (i32.const 0x7f)) (call $decide)))))"#;

/// Plays the beginning, and gives the game as it is at the decision.
fn beginning(engine: &Engine, module: &Module) -> Result<Checkpoint> {
    let mut linker: Linker<Option<Checkpoint>> = Linker::new(engine);
    let decide = |mut caller: Caller<'_, Option<Checkpoint>>| -> Result<i32> {
        let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
        *caller.data_mut() = Some(checkpoint);
        Ok(0)
    };
    linker.func_wrap("host", "decide", decide)?;
    let mut store = Store::new(engine, None);
    let instance = linker.instantiate(&mut store, module)?;
    instance.typed_func::<i32, i32>(&mut store, "play")?.call(&mut store, 7)?;
    Ok(store.into_data().expect("the game comes to a decision"))
}

/// What a decision leads to.
fn branch(checkpoint: &Checkpoint, engine: &Engine, module: &Module, decision: i32) -> Result<i32> {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.func_wrap("host", "decide", || 0)?;
    let mut store = Store::new(engine, ());
    let options = ResumeOptions::new().with_module(module);
    let resumed = checkpoint.resume(&mut store, &linker, &options)?;
    let results = resumed.run_with(&mut store, &[Val::I32(decision)])?;
    Ok(results[0].i32().expect("the game has a score"))
}

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::new().engine(EngineKind::Interpreted))?;
    let module = Module::new(&engine, GAME)?;
    let checkpoint = beginning(&engine, &module)?;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (checkpoint, engine, module) = (checkpoint.clone(), engine.clone(), module.clone());
            std::thread::spawn(move || -> Result<Vec<(i32, i32)>> {
                let decisions = (0..100).filter(|decision| decision % 4 == thread);
                decisions.map(|d| Ok((branch(&checkpoint, &engine, &module, d)?, d))).collect()
            })
        })
        .collect();
    let mut scores = Vec::new();
    for thread in threads {
        scores.extend(thread.join().expect("it does not panic")?);
    }
    scores.sort_unstable();
    let (score, decision) = scores[0];
    println!("of {} decisions {decision} is best, with {score} wrong", scores.len());
    assert_eq!(scores.len(), 100);
    assert!(score <= 1, "some decision under 100 has all bits right, or all but one");
    Ok(())
}
