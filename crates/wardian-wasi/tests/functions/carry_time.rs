//! Time in saved states: clocks that continue, and waits that were interrupted.

use std::io::Write;
use std::time::{Duration, Instant};

use wardian_wasi::{Errno, NeverInterrupt, RestoreOptions, Stop, VirtualClocks};

use crate::carry::{builder, carry, restore, saved};
use crate::support::{Button, Version, World, worlds};

#[test]
fn the_monotonic_clock_never_runs_backwards() {
    let clock = |world: &mut World, id| {
        let out = world.alloc(8);
        world.ok("clock_time_get", &[id, 0, out]);
        world.u64(out)
    };
    worlds(|world| {
        let mut last = [0; 4];
        for _ in 0..3 {
            for id in [1, 2] {
                let now = clock(world, id);
                assert!(now >= last[id as usize], "clock {id}");
                last[id as usize] = now;
            }
            carry(world);
        }
        // A machine that has just started.
        let state = saved(&world.ctx);
        let fresh = builder(world).clocks(VirtualClocks::new(77, 10));
        world.guest.ctx = fresh.restore(&state, &RestoreOptions::new()).unwrap();
        let first = clock(world, 1);
        assert_eq!(u128::from(first), state.monotonic().as_nanos());
        assert!(first >= last[1]);
        assert_eq!(clock(world, 1), first + 10);
        assert_eq!(clock(world, 0), 77 + 20);
        // Saving does not move a virtual clock.
        saved(&world.ctx);
        assert_eq!(clock(world, 1), first + 30);
    });
}

const MS: u64 = 1_000_000;

/// A poll of one clock, and for how long it took.
fn sleep(
    world: &mut World,
    interrupt: &Button,
    nanos: u64,
    absolute: bool,
) -> (Result<Errno, Stop>, Duration) {
    let mut record = [0; 48];
    record[16] = 1;
    record[24..32].copy_from_slice(&nanos.to_le_bytes());
    record[40] = u8::from(absolute);
    let input = world.put(&record);
    let (output, out) = (world.alloc(32), world.alloc(4));
    let start = Instant::now();
    let answer = world.call_with(interrupt, "poll_oneoff", &[input, output, 1, out]);
    (answer, start.elapsed())
}

fn pressed_after(millis: u64) -> std::sync::Arc<Button> {
    let button = std::sync::Arc::new(Button::new(true));
    let pressed = button.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(millis));
        pressed.press();
    });
    button
}

#[test]
fn an_interrupted_sleep_waits_for_the_rest() {
    let never = Button::new(true);
    for absolute in [false, true] {
        let mut world = World::new(Version::Preview1, false, |b| b);
        let whole = Duration::from_millis(3000);
        let mut nanos = whole.as_nanos() as u64;
        if absolute {
            let out = world.alloc(8);
            world.ok("clock_time_get", &[1, 0, out]);
            nanos += world.u64(out);
        }
        let (ended, _) = sleep(&mut world, &pressed_after(1000), nanos, absolute);
        assert_eq!(ended, Err(Stop::Interrupted));
        let state = saved(&world.ctx);
        let waited = state.pending_poll().unwrap();
        assert!(waited >= Duration::from_millis(600), "{waited:?}");
        // Time that passes while nothing runs does not count.
        std::thread::sleep(Duration::from_millis(500));
        world.guest.ctx = restore(&world, &state).unwrap();
        let (ended, rest) = sleep(&mut world, &never, nanos, absolute);
        assert_eq!(ended, Ok(Errno::Success));
        assert!(rest < Duration::from_millis(2900), "{rest:?}");
        // Moments pass between what is measured.
        let all = waited + rest + Duration::from_millis(500);
        assert!(all >= whole, "{waited:?} and {rest:?}");
    }
}

#[test]
fn only_a_call_that_is_made_again_waits_for_the_rest() {
    let never = Button::new(true);
    let mut world = World::new(Version::Preview1, false, |b| b);
    let interrupted = |world: &mut World| {
        let (ended, _) = sleep(world, &pressed_after(600), 1500 * MS, false);
        assert_eq!(ended, Err(Stop::Interrupted));
    };
    let rest = |world: &mut World| sleep(world, &never, 1500 * MS, false).1.as_millis();
    // In place: the runtime says that it is made again, and time has passed meanwhile.
    interrupted(&mut world);
    std::thread::sleep(Duration::from_millis(300));
    assert!(world.ctx.repeat_interrupted());
    let waited = rest(&mut world);
    assert!(waited < 1450, "{waited}");
    // It is over.
    assert!(!world.ctx.repeat_interrupted());
    assert!(rest(&mut world) >= 1500);
    // The embedder gave the call up.
    interrupted(&mut world);
    assert!(rest(&mut world) >= 1500);
    // Another call came in between, or another poll.
    interrupted(&mut world);
    assert!(world.ctx.repeat_interrupted());
    world.ok("sched_yield", &[]);
    assert!(rest(&mut world) >= 1500);
    interrupted(&mut world);
    assert!(world.ctx.repeat_interrupted());
    assert!(sleep(&mut world, &never, 1501 * MS, false).1.as_millis() >= 1501);
    // A state that was saved elsewhere has no pending call.
    interrupted(&mut world);
    world.ok("sched_yield", &[]);
    assert_eq!(saved(&world.ctx).pending_poll(), None);
    // A read that was interrupted took nothing.
    let (read, mut write) = std::io::pipe().unwrap();
    let mut world = World::new(Version::Preview1, false, |b| b.stdin_fd(read).unwrap());
    let (iovs, out) = (world.iovs(&[(64, 8)]), world.alloc(4));
    let args = [0, iovs, 1, out];
    assert_eq!(world.call_with(&*pressed_after(20), "fd_read", &args), Err(Stop::Interrupted));
    saved(&world.ctx);
    write.write_all(b"late").unwrap();
    assert_eq!(world.call_with(&NeverInterrupt, "fd_read", &args), Ok(Errno::Success));
    assert_eq!(world.u32(out), 4);
}
