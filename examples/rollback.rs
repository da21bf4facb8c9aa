//! Rollback: a game for two players over a network, in which nobody waits for the other.
//!
//! ```text
//!   frame     …  57    58    59    60    61    62    63    64
//!   guess        same  same  same  same  same  same  same  same     what the other player will do
//!   comes                                                  57's     was the guess wrong?
//!   then         ↺ back to 57's image, and frames 57 to 64 again, in what is left of a 60th of a second
//! ```
//!
//! Each frame begins with an image of the store. What the other player did comes eight frames later; where the guess
//! was wrong, the store returns to the image of that frame, and the frames since then are played again with what is
//! known now. At the end both sides have computed the same game, as if there was no delay.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use wardian::{Engine, Instance, Module, Result, Store, TypedFunc, image::Image};

/// Two players push a ball in a field of 64 KiB that remembers where it has been.
const GAME: &str = r#"(module
  (memory (export "memory") 2)
  (global $ball (mut i32) (i32.const 32768))
  (global $speed (mut i32) (i32.const 0))
  (func (export "frame") (param $one i32) (param $two i32) (local $cell i32)
    (global.set $speed (i32.sub (i32.add (global.get $speed) (local.get $one)) (local.get $two)))
    (global.set $ball (i32.and (i32.add (global.get $ball) (i32.mul (global.get $speed) (i32.const 37)))
      (i32.const 65535)))
    ;; The field around the ball changes, so what happened earlier matters later.
    (local.set $cell (global.get $ball))
    (i32.store8 (local.get $cell) (i32.add (i32.load8_u (local.get $cell)) (i32.const 1)))
    (if (i32.and (i32.load8_u (local.get $cell)) (i32.const 2))
      (then (global.set $speed (i32.sub (i32.const 0) (global.get $speed))))))
  (func (export "state") (result i64) (local $at i32) (local $sum i64)
    (loop $cells
      (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31))
        (i64.extend_i32_u (i32.load8_u (local.get $at)))))
      (br_if $cells (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 65536))))
    (i64.xor (local.get $sum)
      (i64.or (i64.shl (i64.extend_i32_s (global.get $speed)) (i64.const 32))
              (i64.extend_i32_u (global.get $ball))))))"#;

/// Frames of the game: ten seconds.
const FRAMES: usize = 600;
/// How many frames later a player hears what the other one did.
const DELAY: usize = 8;
/// The time of a frame.
const FRAME: Duration = Duration::from_micros(16_667);

/// The game, as one of the players has it.
struct Game {
    store: Store<()>,
    frame: TypedFunc<(i32, i32), ()>,
    state: TypedFunc<(), i64>,
}

impl Game {
    fn new(engine: &Engine, module: &Module) -> Result<Game> {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, module, &[])?;
        let frame = instance.typed_func(&mut store, "frame")?;
        let state = instance.typed_func(&mut store, "state")?;
        Ok(Game { store, frame, state })
    }

    fn play(&mut self, one: i32, two: i32) -> Result<()> {
        self.frame.call(&mut self.store, (one, two))
    }

    fn state(&mut self) -> Result<i64> {
        self.state.call(&mut self.store, ())
    }
}

/// A frame that was played with a guess.
struct Guessed {
    /// The store as the frame began.
    before: Image,
    own: i32,
    guess: i32,
}

/// What a player does in a frame: keeps on for a while, then does something else.
fn input(player: u32, frame: usize) -> i32 {
    let turn = (frame as u32 / 11).wrapping_add(player * 7).wrapping_mul(2_654_435_761);
    (turn >> 29) as i32 - 3
}

/// Plays as player one, with what player two did coming late. Returns the game, how many frames were played again, and
/// the time that the longest frame took.
fn play_with_rollback(mut game: Game) -> Result<(Game, usize, Duration)> {
    let mut guessed: VecDeque<Guessed> = VecDeque::new();
    let (mut again, mut longest, mut last) = (0, Duration::ZERO, 0);
    for frame in 0..FRAMES + DELAY {
        let begin = Instant::now();
        if let Some(late) = frame.checked_sub(DELAY) {
            // It has come what the other one did eight frames ago.
            last = input(2, late);
            if guessed[0].guess != last {
                game.store.reset_to(&guessed[0].before)?;
                for played in &mut guessed {
                    played.guess = last;
                    played.before = game.store.image()?;
                    game.play(played.own, played.guess)?;
                    again += 1;
                }
            }
            guessed.pop_front();
        }
        if frame < FRAMES {
            let (before, own) = (game.store.image()?, input(1, frame));
            // The other one is likely to keep on.
            game.play(own, last)?;
            guessed.push_back(Guessed { before, own, guess: last });
        }
        longest = longest.max(begin.elapsed());
    }
    Ok((game, again, longest))
}

pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GAME)?;
    let (mut game, again, longest) = play_with_rollback(Game::new(&engine, &module)?)?;
    let mut expected = Game::new(&engine, &module)?;
    for frame in 0..FRAMES {
        expected.play(input(1, frame), input(2, frame))?;
    }
    assert_eq!(game.state()?, expected.state()?);
    assert!(again > 100, "some guesses are wrong: {again}");
    println!(
        "{FRAMES} frames, {again} of them played again; the longest took {longest:?} of {FRAME:?}"
    );
    Ok(())
}
