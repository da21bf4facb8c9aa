//! The `wardian` binary, as a user meets it.
//!
//! One binary for all of it; each file below is a subject.

mod cli {
    #[path = "../../../../tests/golden/check.rs"]
    pub(crate) mod golden;
    pub(crate) mod guests;
    pub(crate) mod harness;

    mod bad_input;
    mod cache;
    mod carried_observed;
    mod carried_threads;
    mod checkpoint;
    #[cfg(feature = "cloud")]
    mod cloud;
    mod control;
    mod coredump;
    mod coverage;
    mod doctor;
    #[cfg(feature = "jit")]
    mod guided;
    mod hostile;
    mod inspect;
    mod invoke;
    mod kills;
    mod limits;
    mod live;
    mod names;
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    mod native;
    mod processors;
    mod profile;
    mod run;
    mod signals;
    mod threads;
    mod trace;
    mod traps;
}
