//! A guest that goes on from before: a search that guesses, and takes its guesses back.
//!
//! `choose` gives the guest one number after the other, always at the same place in its code: when the
//! guest says that a guess was wrong, it is put back to where it guessed, and gets the next number.

use wardian::{
    CallOptions, Caller, Engine, Error, Linker, Module, Result, Store, Val, snapshot::Snapshot,
};

/// Places queens on a board, one in each row, so that none attacks another. There is not a line in it
/// that takes a queen away: the columns are parameters, and the stack is put back.
const QUEENS: &str = r#"(module
  (import "host" "choose" (func $choose (param i32) (result i32)))
  (import "host" "fail" (func $fail))
  (import "host" "place" (func $place (param i32)))
  (memory (export "memory") 1)
  (func $row (param $n i32) (param $row i32) (param $columns i32) (param $left i32) (param $right i32)
    (local $here i32)
    ;; In memory, which no restore takes back: how many rows were tried.
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (if (i32.eq (local.get $row) (local.get $n)) (then (return)))
    (local.set $here (i32.shl (i32.const 1) (call $choose (local.get $n))))
    (if (i32.and (local.get $here)
          (i32.or (local.get $columns) (i32.or (local.get $left) (local.get $right))))
      (then (call $fail)))
    (call $row (local.get $n) (i32.add (local.get $row) (i32.const 1))
      (i32.or (local.get $columns) (local.get $here))
      (i32.shl (i32.or (local.get $left) (local.get $here)) (i32.const 1))
      (i32.shr_u (i32.or (local.get $right) (local.get $here)) (i32.const 1)))
    ;; All rows below are done: tell where this one's queen is.
    (call $place (i32.ctz (local.get $here))))
  (func (export "solve") (param $n i32)
    (call $row (local.get $n) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))"#;

/// Places where the guest guessed, the latest last.
#[derive(Default)]
struct Search {
    guesses: Vec<Guess>,
    placed: Vec<i32>,
    taken_back: u32,
}

struct Guess {
    snapshot: Snapshot,
    latest: i32,
    end: i32,
}

/// A number below `end`: first 0; then, each time that the guest fails, the next.
fn choose(mut caller: Caller<'_, Search>, end: i32) -> Result<i32> {
    let snapshotter = caller.get_snapshotter();
    let snapshot = snapshotter.ok_or_else(|| Error::host("snapshots are off"))?.snapshot();
    caller.data_mut().guesses.push(Guess { snapshot, latest: 0, end });
    Ok(0)
}

/// The latest guess was wrong.
fn fail(mut caller: Caller<'_, Search>) -> Result<()> {
    let search = caller.data_mut();
    search.taken_back += 1;
    while search.guesses.last().is_some_and(|g| g.latest + 1 == g.end) {
        search.guesses.pop();
    }
    let guess = search.guesses.last_mut().ok_or_else(|| Error::host("there is no solution"))?;
    guess.latest += 1;
    let (snapshot, next) = (guess.snapshot.clone(), guess.latest);
    // As if `choose` returned again, from wherever the guest is now.
    Err(snapshot.restore(&mut caller, &[Val::I32(next)]))
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Search> = Linker::new(&engine);
    linker.func_wrap("host", "choose", choose)?;
    linker.func_wrap("host", "fail", fail)?;
    linker.func_wrap("host", "place", |mut caller: Caller<'_, Search>, column: i32| {
        caller.data_mut().placed.push(column);
    })?;
    let module = Module::new(&engine, QUEENS)?;
    let mut store = Store::new(&engine, Search::default());
    let guest = linker.instantiate(&mut store, &module)?;
    let solve = guest.typed_func::<i32, ()>(&mut store, "solve")?;
    let options = CallOptions::new().with_snapshotter();
    solve.call_with(&mut store, &options, 8)?;

    let memory = guest.get_memory(&mut store, "memory").expect("it exports one");
    let Search { placed, taken_back, .. } = store.data();
    for column in placed {
        println!("{}Q{}", ". ".repeat(*column as usize), " .".repeat(7 - *column as usize));
    }
    let tried = u32::from_le_bytes(memory.data(&store)[..4].try_into().expect("four bytes"));
    println!("{taken_back} guesses taken back; the memory was not: it counts {tried} rows");
    assert_eq!(*placed, [3, 1, 6, 2, 5, 7, 4, 0]);
    // The stack knew nine rows in the end; memory knows of all that were tried.
    assert!(tried > 100, "{tried}");

    // The call is over, and with it what could be gone back to.
    let old = store.data_mut().guesses.remove(0);
    let error = old.snapshot.restore(&mut store, &[Val::I32(1)]);
    println!("later: {error}");
    // No board of 3 has a solution: the last guess is taken back, and the host says so.
    *store.data_mut() = Search::default();
    let error = solve.call_with(&mut store, &options, 3).expect_err("there is none");
    assert_eq!(error.to_string(), "there is no solution");
    Ok(())
}
