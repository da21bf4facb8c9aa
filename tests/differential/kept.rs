//! Modules that begin with what is known of them from earlier starts: each start does what the first one does.
//!
//! ```text
//!   start, hot after 3 ──> cache ──> start, hot after 1 ──> cache ──> start, listened ── profile ──> compiled at once
//! ```
//!
//! Modules that end by themselves begin without fuel in half of the cases: its counting keeps loops from being unrolled, and
//! most functions from being compiled into their callers.

use crate::run::{self, Reported, Run};
use crate::ways::{self, Way};
use libtest_mimic::Failed;
use std::path::Path;
use std::sync::Arc;
use wardian::{Engine, EngineKind, cache::DiskCache, profile::ModuleProfile};

/// How a module is started.
struct Start {
    name: &'static str,
    kind: EngineKind,
    hot_after: u32,
    listened: bool,
    /// Whether it begins with the profile of the start before, instead of what is in the cache.
    profiled: bool,
}

const TIERED: Start = Start {
    name: "tiered, into a cache",
    kind: EngineKind::Tiered,
    hot_after: 3,
    listened: false,
    profiled: false,
};

/// In this order.
const STARTS: [Start; 5] = [
    TIERED,
    Start { name: "tiered, from a cache", hot_after: 1, ..TIERED },
    Start { name: "tiered, from a cache, listened", listened: true, ..TIERED },
    Start { name: "compiled, by a profile", kind: EngineKind::Compiled, profiled: true, ..TIERED },
    Start { name: "tiered, by a profile", profiled: true, ..TIERED },
];

/// Starts the module again and again; `reported` is what two ways of running it have written down, of which the second is
/// listened.
pub(crate) fn compare(seed: u64, bytes: &[u8], reported: [Reported<'_>; 2]) -> Result<(), Failed> {
    let ends = !reported[0].lines.iter().any(|line| line.contains("Stopped(Fuel)"));
    let without_fuel = ends && seed.is_multiple_of(2);
    let folder = tempfile::tempdir()?;
    let mut profile: Option<ModuleProfile> = None;
    for start in &STARTS {
        let way = way(start, seed, without_fuel, folder.path());
        let given = profile.as_ref().filter(|_| start.profiled);
        let mut run = Run { way: &way, seed, bytes, profile: given, keeps: true, found: None };
        let (lines, found) = (run.run(), run.found);
        profile = match (profile, found) {
            // All that is known so far: what is compiled counts nothing.
            (Some(mut known), Some(found)) => {
                known.merge(&found)?;
                Some(known)
            }
            (known, found) => known.or(found),
        };
        run::check(seed, bytes, reported, Reported { way: &way, lines: &lines })?;
    }
    Ok(())
}

/// An engine of its own for each start, as in a process of its own.
fn way(start: &Start, seed: u64, without_fuel: bool, folder: &Path) -> Way {
    let mut config = ways::config(start.kind, start.hot_after, !seed.is_multiple_of(3));
    config.fuel(!without_fuel);
    config.lazy_validation(seed.is_multiple_of(5));
    let engine = Engine::new(&config).expect("the configuration works");
    if !start.profiled {
        let cache = DiskCache::new(folder.join("cache")).expect("the folder is our own");
        engine.set_cache(Some(Arc::new(cache)));
    }
    Way { name: start.name, engine, listened: start.listened, counts_fuel: !without_fuel }
}
