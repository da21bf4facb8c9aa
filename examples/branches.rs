//! One run, a hundred continuations: a store is forked in a call of the host, and each fork continues with another answer.
//!
//! The guest is a small game that has been played up to a decision. All decisions are tried from there, on several
//! threads, without playing the beginning again. The memories of all branches show the same pages.

use wardian::{
    Caller, Config, Engine, InstancePre, Linker, Module, Result, Store, Val,
    checkpoint::Checkpoints, fork::Fork,
};

const DECISIONS: i32 = 100;

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

/// The branches of a game, with the decision of each.
#[derive(Default)]
struct Game(Vec<(i32, Fork<Game>)>);

/// Plays the beginning, and forks the game at the decision.
fn beginning(engine: &Engine, game: &InstancePre<Game>) -> Result<Vec<(i32, Fork<Game>)>> {
    let mut store = Store::new(engine, Game::default());
    let instance = game.instantiate(&mut store)?;
    instance.typed_func::<i32, i32>(&mut store, "play")?.call(&mut store, 7)?;
    Ok(store.into_data().0)
}

/// What a decision leads to.
fn branch(decision: i32, fork: Fork<Game>) -> Result<i32> {
    let Fork { mut store, resumed, .. } = fork;
    let results = resumed.run_with(&mut store, &[Val::I32(decision)])?;
    Ok(results[0].i32().expect("the game has a score"))
}

pub(crate) fn main() -> Result<()> {
    // Compiled code can be forked where it calls functions.
    let engine = Engine::new(Config::new().checkpoints(Checkpoints::Calls))?;
    let module = Module::new(&engine, GAME)?;
    let mut linker: Linker<Game> = Linker::new(&engine);
    linker.func_wrap("host", "decide", |mut caller: Caller<'_, Game>| -> Result<i32> {
        for decision in 0..DECISIONS {
            let fork = caller.fork(Game::default())?;
            caller.data_mut().0.push((decision, fork));
        }
        Ok(0)
    })?;
    let mut branches = beginning(&engine, &linker.instantiate_pre(&module)?)?;
    let mut threads = Vec::new();
    while !branches.is_empty() {
        let rest = branches.split_off(branches.len().min(DECISIONS as usize / 4));
        let part = std::mem::replace(&mut branches, rest);
        threads.push(std::thread::spawn(move || -> Result<Vec<(i32, i32)>> {
            part.into_iter()
                .map(|(decision, fork)| Ok((branch(decision, fork)?, decision)))
                .collect()
        }));
    }
    let mut scores = Vec::new();
    for thread in threads {
        scores.extend(thread.join().expect("it does not panic")?);
    }
    scores.sort_unstable();
    let (score, decision) = scores[0];
    println!("of {} decisions {decision} is best, with {score} wrong", scores.len());
    assert_eq!(scores.len(), DECISIONS as usize);
    assert!(score <= 1, "some decision under 100 has all bits right, or all but one");
    Ok(())
}
