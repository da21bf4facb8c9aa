//! Crosses behaviours with engines.

use crate::log::Watch;
#[cfg(not(feature = "torture"))]
use libtest_mimic::Trial;
use std::cell::RefCell;
use wardian::{
    Config, Engine, EngineKind, Instance, Linker, Module, Store, listener::FunctionFilter,
};
use wardian_tests::time_limit::limited;

/// A behaviour: its name, and what checks it by panicking if it does not hold.
pub(crate) type Behaviour = (&'static str, fn(&Engine));

/// Changes a default configuration.
type Configure = fn(&mut Config);

/// The ways in which code is run. Tiered engines compile almost everything, at moments that do not
/// depend on time.
const ENGINES: [(&str, Configure); 8] = [
    ("signals", compiled),
    ("checks", |config| {
        compiled(config.signals(false));
    }),
    ("unoptimised", |config| {
        compiled(config.optimize(false));
    }),
    ("listened", |config| {
        listened(config);
        compiled(config);
    }),
    ("interpreted", interpreted),
    ("interpreted, listened", |config| {
        listened(config);
        interpreted(config);
    }),
    ("tiered", tiered),
    ("tiered, listened", |config| {
        listened(config);
        tiered(config);
    }),
];

/// Whether this build has the compiled engine.
pub(crate) const HAS_JIT: bool = cfg!(feature = "jit");

fn compiled(config: &mut Config) {
    config.engine(EngineKind::Compiled);
}

fn interpreted(config: &mut Config) {
    config.engine(EngineKind::Interpreted);
}

fn tiered(config: &mut Config) {
    config.engine(EngineKind::Tiered).hot_after(Some(2)).background_compilation(false);
}

/// Every function of every module.
fn listened(config: &mut Config) {
    config.function_listener_factory(FunctionFilter::all().listen(Watch));
}

/// Whether an engine compiles everything before it runs anything.
pub(crate) fn is_compiled(engine: &Engine) -> bool {
    engine.config().engine_kind() == EngineKind::Compiled
}

/// An engine that does, with the same settings otherwise.
pub(crate) fn compiled_of(engine: &Engine) -> Engine {
    let mut config = engine.config().clone();
    Engine::new(config.engine(EngineKind::Compiled)).expect("the configuration works")
}

thread_local! {
    static RUNNING: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A behaviour on an engine.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    configure: Configure,
    behaviour: fn(&Engine),
}

impl Case {
    pub(crate) fn engine(&self) -> wardian::Result<Engine> {
        let mut config = Config::new();
        (self.configure)(config.compile_threads(1));
        Engine::new(&config)
    }

    pub(crate) fn run(&self, engine: &Engine) {
        RUNNING.replace(self.name.clone());
        limited(&self.name, || (self.behaviour)(engine));
    }

    /// The name of the case that this thread runs.
    pub(crate) fn running() -> String {
        RUNNING.with_borrow(Clone::clone)
    }

    #[cfg(not(feature = "torture"))]
    pub(crate) fn trial(self) -> Trial {
        Trial::test(self.name.clone(), move || {
            self.run(&self.engine().expect("the configuration works"));
            Ok(())
        })
    }
}

/// Adds a case for each behaviour and engine.
pub(crate) fn cross(cases: &mut Vec<Case>, table: &'static [Behaviour]) {
    for (name, behaviour) in table {
        for (kind, configure) in ENGINES {
            if HAS_JIT || kind.starts_with("interpreted") {
                let name = format!("{name} [{kind}]");
                cases.push(Case { name, configure, behaviour: *behaviour });
            }
        }
    }
}

/// A module from text.
pub(crate) fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, text).unwrap_or_else(|e| panic!("{e}"))
}

/// An instance of a module from text, without imports.
pub(crate) fn instance<T: 'static>(store: &mut Store<T>, text: &str) -> Instance {
    let module = module(store.engine(), text);
    Instance::new(store, &module, &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// An instance of a module from text, with imports from a linker.
pub(crate) fn linked<T: 'static>(store: &mut Store<T>, linker: &Linker<T>, text: &str) -> Instance {
    let module = module(store.engine(), text);
    linker.instantiate(store, &module).unwrap_or_else(|e| panic!("{e}"))
}
