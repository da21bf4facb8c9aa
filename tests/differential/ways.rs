//! The ways in which a module is run.

use std::sync::LazyLock;
use wardian::{Config, Engine, EngineKind};

/// A way to run modules.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) engine: Engine,
    /// Whether some functions have listeners.
    pub(crate) listened: bool,
    pub(crate) counts_fuel: bool,
}

/// All of them; the first that is listened to, and the first that is not, are what the others are
/// compared with.
///
/// A build without the compiled engine has but two: what is compared then is that listeners change nothing.
pub(crate) static WAYS: LazyLock<Vec<Way>> = LazyLock::new(|| {
    let way = |name, engine: &Engine, listened| Way {
        name,
        engine: engine.clone(),
        listened,
        counts_fuel: true,
    };
    let interpreted = engine(EngineKind::Interpreted, 0, true);
    let mut ways = vec![
        way("interpreted", &interpreted, false),
        way("interpreted, listened", &interpreted, true),
        way("interpreted, collections everywhere", &collecting(EngineKind::Interpreted), false),
    ];
    if cfg!(feature = "jit") {
        let compiled = engine(EngineKind::Compiled, 0, true);
        let mut tiered = [0, 1, 3].map(|hot| engine(EngineKind::Tiered, hot, true));
        let mut lazy = config(EngineKind::Tiered, 1, true);
        tiered[1] = Engine::new(lazy.lazy_validation(true)).expect("the configuration works");
        let checked = engine(EngineKind::Tiered, 2, false);
        ways.extend([
            way("compiled", &compiled, false),
            way("tiered, hot at once", &tiered[0], false),
            way("tiered, hot after 1, validated lazily", &tiered[1], false),
            way("tiered, hot after 3", &tiered[2], false),
            way("tiered, hot after 2, checks", &checked, false),
            way("compiled, collections everywhere", &collecting(EngineKind::Compiled), false),
            way("tiered, collections everywhere", &collecting(EngineKind::Tiered), false),
            way("compiled, listened", &compiled, true),
            way("tiered, hot after 1, validated lazily, listened", &tiered[1], true),
            way("tiered, hot after 3, listened", &tiered[2], true),
        ]);
    }
    ways
});

/// Fuel ends what does not end. The stack is for as many frames as there is fuel for, since how deep a
/// stack is when it overflows may differ.
fn engine(kind: EngineKind, hot_after: u32, signals: bool) -> Engine {
    Engine::new(&config(kind, hot_after, signals)).expect("the configuration works")
}

/// With a collection wherever there can be one.
fn collecting(kind: EngineKind) -> Engine {
    let mut config = config(kind, 2, true);
    config.gc_stress(true).gc_stress_at_safepoints(true);
    Engine::new(&config).expect("the configuration works")
}

pub(crate) fn config(kind: EngineKind, hot_after: u32, signals: bool) -> Config {
    let mut config = Config::new();
    config.engine(kind).hot_after(Some(hot_after)).background_compilation(false);
    config.signals(signals);
    config.compile_threads(1).canonical_nans(true).fuel(true).stack_size(64 << 20);
    config
}
