//! Wardian under inputs that nobody wrote: one body for each target. What each checks is in `README.md`.
//!
//! A body is a function of its input: it panics when something is wrong, and does the same for the same
//! bytes. `fuzz_targets` gives bodies to cargo-fuzz, and `main.rs` runs them on stable Rust.

mod cache;
mod checkpoints;
mod decode;
mod engines;
mod hooks;
mod input;
mod memories;
pub mod outcome;
#[cfg(feature = "peers")]
mod peers;
mod profiles;
mod sections;
pub mod seeds;
mod wasi;

/// The generators and the comparison of the differential test, which `engines` drives by bytes.
#[path = "../../tests/differential/calls.rs"]
mod calls;
#[path = "../../tests/differential/generate.rs"]
mod generate;
#[path = "../../tests/differential/heard.rs"]
mod heard;
#[path = "../../tests/differential/kept.rs"]
mod kept;
#[path = "../../tests/differential/mutate.rs"]
mod mutate;
#[path = "../../tests/differential/places.rs"]
mod places;
#[path = "../../tests/differential/random.rs"]
mod random;
#[path = "../../tests/differential/run.rs"]
mod run;
#[path = "../../tests/differential/tries.rs"]
mod tries;
#[path = "../../tests/differential/tries_run.rs"]
mod tries_run;
#[path = "../../tests/differential/tries_text.rs"]
mod tries_text;
#[path = "../../tests/differential/ways.rs"]
mod ways;
#[path = "../../tests/differential/world.rs"]
mod world;

/// What the differential test counts.
pub(crate) static RAN: [std::sync::atomic::AtomicU64; 3] =
    [const { std::sync::atomic::AtomicU64::new(0) }; 3];

/// Something that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on command lines.
    pub name: &'static str,
    /// Runs one input. Panics if something is wrong.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longest input that a runner should make.
    pub longest: usize,
}

/// All targets of this build.
pub const TARGETS: &[Target] = &[
    Target { name: "decode", run: decode::run, seeds: seeds::modules, longest: 16 << 10 },
    Target { name: "sections", run: sections::run, seeds: sections::seeds, longest: 16 << 10 },
    Target { name: "engines", run: engines::run, seeds: engines::seeds, longest: 16 << 10 },
    #[cfg(feature = "peers")]
    Target { name: "peers", run: peers::run, seeds: engines::seeds, longest: 16 << 10 },
    Target { name: "wasi", run: wasi::run, seeds: seeds::few, longest: 2 << 10 },
    Target { name: "hooks", run: hooks::run, seeds: seeds::few, longest: 1 << 10 },
    Target { name: "cache", run: cache::run, seeds: seeds::few, longest: 256 },
    Target { name: "checkpoints", run: checkpoints::run, seeds: seeds::few, longest: 64 },
    Target { name: "profiles", run: profiles::run, seeds: seeds::few, longest: 64 },
    Target { name: "memories", run: memories::run, seeds: seeds::few, longest: 1 << 10 },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|t| t.name == name)
}

/// Runs one input of the target of this name.
///
/// # Panics
///
/// Something is wrong, or there is no such target.
pub fn run_one(name: &str, data: &[u8]) {
    (target(name).expect("a target of this name").run)(data);
}
