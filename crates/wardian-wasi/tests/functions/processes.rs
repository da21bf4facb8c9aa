//! Arguments, environment, clocks, random bytes, ending.

use wardian_wasi::{BuildError, Errno, NeverInterrupt, SeededRandom, Stop, VirtualClocks, WasiCtx};

use crate::support::{Button, worlds, worlds_with};

#[test]
fn arguments_and_environment() {
    worlds_with(
        |b| b.args(["prog", "", "zwei ü"]).unwrap().envs([("A", "1"), ("B", "x=y")]).unwrap(),
        |world| {
            let (count, size) = (world.alloc(4), world.alloc(4));
            let (pointers, buf) = (world.alloc(16), world.alloc(64));
            for (name, expected) in
                [("args", &["prog", "", "zwei ü"][..]), ("environ", &["A=1", "B=x=y"][..])]
            {
                world.ok(&format!("{name}_sizes_get"), &[count, size]);
                let bytes: usize = expected.iter().map(|s| s.len() + 1).sum();
                assert_eq!(world.u32(count) as usize, expected.len());
                assert_eq!(world.u32(size) as usize, bytes);
                world.ok(&format!("{name}_get"), &[pointers, buf]);
                let mut at = buf;
                for (i, text) in expected.iter().enumerate() {
                    assert_eq!(u64::from(world.u32(pointers + i as u64 * 4)), at);
                    let read = world.bytes(at, text.len() + 1);
                    assert_eq!(read, format!("{text}\0").into_bytes());
                    at += text.len() as u64 + 1;
                }
            }
        },
    );
}

#[test]
fn a_description_that_makes_no_sense_is_refused() {
    assert!(matches!(WasiCtx::builder().arg("a\0b"), Err(BuildError::Nul { .. })));
    assert!(matches!(WasiCtx::builder().env("A", "\0"), Err(BuildError::Nul { .. })));
    assert!(matches!(WasiCtx::builder().env("A=B", "x"), Err(BuildError::EnvName(_))));
    assert!(matches!(WasiCtx::builder().env("", "x"), Err(BuildError::EnvName(_))));
    let error = WasiCtx::builder()
        .preopen_dir("/no/such/directory", "/", wardian_wasi::DirPerms::ReadOnly)
        .unwrap_err()
        .to_string();
    assert!(error.contains("/no/such/directory") && error.contains("No such file"), "{error}");
}

#[test]
fn clocks_tell_the_time() {
    worlds(|world| {
        let (a, b) = (world.alloc(8), world.alloc(8));
        for id in 0..4 {
            world.ok("clock_res_get", &[id, a]);
            assert!(world.u64(a) > 0 && world.u64(a) < 1_000_000_000);
            world.ok("clock_time_get", &[id, 0, a]);
            world.ok("clock_time_get", &[id, u64::MAX, b]);
            assert!(world.u64(a) <= world.u64(b), "clock {id}");
        }
        world.ok("clock_time_get", &[0, 0, a]);
        assert!(world.u64(a) > 1_600_000_000_000_000_000);
        for id in [4, 99, 0xffff_ffff] {
            assert_eq!(world.call("clock_time_get", &[id, 0, a]), Errno::Inval);
            assert_eq!(world.call("clock_res_get", &[id, a]), Errno::Inval);
        }
    });
}

#[test]
fn virtual_clocks_repeat_themselves() {
    worlds_with(
        |b| b.clocks(VirtualClocks::new(5_000, 10)),
        |world| {
            let a = world.alloc(8);
            let mut read = |id| {
                world.ok("clock_time_get", &[id, 0, a]);
                world.u64(a)
            };
            assert_eq!([read(0), read(1), read(0), read(1)], [5_000, 10, 5_020, 30]);
        },
    );
}

#[test]
fn random_bytes() {
    worlds(|world| {
        let (a, b) = (world.alloc(32), world.alloc(32));
        world.ok("random_get", &[a, 32]);
        world.ok("random_get", &[b, 32]);
        assert_ne!(world.bytes(a, 32), world.bytes(b, 32));
        world.ok("random_get", &[a, 0]);
        // More than one step.
        let long = world.alloc(200_000);
        world.ok("random_get", &[long, 200_000]);
        assert_ne!(world.bytes(long + 199_000, 1000), [0xaa; 1000]);
    });
    worlds_with(
        |b| b.random(SeededRandom::new(7)),
        |world| {
            let a = world.alloc(16);
            world.ok("random_get", &[a, 16]);
            // The first two words of SplitMix64 with seed 7.
            let words = [world.u64(a), world.u64(a + 8)];
            assert_eq!(words, [0x63cb_e1e4_5932_0dd7, 0x044c_3cd7_f43c_661c]);
        },
    );
}

#[test]
fn random_bytes_without_end_can_be_interrupted() {
    worlds(|world| {
        let button = Button::new(true);
        button.press();
        let a = world.alloc(100_000);
        let got = world.call_with(&button, "random_get", &[a, 100_000]);
        assert_eq!(got, Err(Stop::Interrupted));
    });
}

#[test]
fn exiting_and_raising() {
    worlds(|world| {
        let mut call = |name: &str, arg| world.call_with(&NeverInterrupt, name, &[arg]);
        for code in [0, 1, 255, 0xffff_ffff] {
            assert_eq!(call("proc_exit", code), Err(Stop::Exit(code as u32)));
        }
        assert_eq!(call("proc_raise", 0), Ok(Errno::Success));
        assert_eq!(call("proc_raise", 6), Err(Stop::Exit(134)));
        assert_eq!(call("proc_raise", 15), Err(Stop::Exit(143)));
        for ignored in [16, 17, 22, 27] {
            assert_eq!(call("proc_raise", ignored), Ok(Errno::Success));
        }
        assert_eq!(call("proc_raise", 19), Ok(Errno::Notsup));
        assert_eq!(call("proc_raise", 31), Ok(Errno::Inval));
        world.ok("sched_yield", &[]);
    });
}

#[test]
fn a_wrong_number_of_arguments_is_no_panic() {
    let mut world = crate::support::World::new(crate::support::Version::Preview1, false, |b| b);
    let functions = world.version.functions();
    let memory = &mut world.guest.memory;
    for function in functions {
        let ctx = &world.guest.ctx;
        let mut call = wardian_wasi::Call { ctx, memory, interrupt: &NeverInterrupt };
        let args = vec![0; function.params.len() + 1];
        let got = (function.call)(&mut call, &args);
        assert!(matches!(got, Err(Stop::Trap(_))), "{}", function.name);
    }
}
