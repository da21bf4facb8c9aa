//! Modules, text and binary: decode, validate, translate, compile, inspect.

use crate::outcome::{note, note_error};
use std::sync::LazyLock;
use wardian::{Config, CoreFeatures, Engine, EngineKind, Module};
use wardian_interp::{Env, Options, Translator};
use wardian_vm::layout::InstanceLayout;

/// Modules with more code than this are not compiled, so that many inputs are run.
const COMPILED: usize = 2 << 10;

static ENGINES: LazyLock<[Engine; 2]> = LazyLock::new(|| {
    [EngineKind::Interpreted, EngineKind::Compiled].map(|kind| {
        let mut config = Config::new();
        config.engine(kind).compile_threads(1).features(CoreFeatures::all()).verify_code(true);
        Engine::new(&config).expect("the configuration works")
    })
});

/// Validates functions when they are first called.
static LAZY: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = ENGINES[0].config().clone();
    Engine::new(config.lazy_validation(true)).expect("the configuration works")
});

pub(crate) fn run(data: &[u8]) {
    let [interpreted, compiled] = &*ENGINES;
    let module = Module::new(interpreted, data);
    lazily(data, module.is_ok());
    let module = match module {
        Ok(module) => module,
        Err(error) => return refused(data, &error),
    };
    Module::validate(interpreted, data).expect("what is accepted is valid");
    let bytes = module.bytes();
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
        .validate_all(bytes)
        .expect("what is accepted is valid for the parser with all features");
    inspect(&module);
    needs_what_it_says(&module);
    translate(bytes);
    if module.info().bodies.len() < 64 && code_bytes(&module) < COMPILED {
        match Module::new(compiled, bytes) {
            Ok(compiled) => assert_eq!(compiled.info().exports.len(), module.info().exports.len()),
            Err(error) => {
                assert!(
                    !error.to_string().contains("verif"),
                    "generated code is malformed: {error}"
                );
                note_error("not compiled", &error);
            }
        }
    }
}

fn code_bytes(module: &Module) -> usize {
    module.info().bodies.iter().map(|body| body.end - body.start).sum()
}

/// What is validated in two steps is valid if and only if it is in one; and after the first all can be asked of it.
fn lazily(data: &[u8], is_valid: bool) {
    let declared = Module::new(&LAZY, data);
    if let Ok(module) = &declared {
        inspect(module);
    }
    let valid = declared.and_then(|module| module.ensure_valid());
    assert_eq!(valid.is_ok(), is_valid, "{valid:?}");
}

/// A refusal says why, at no great length, and says the same to who only validates.
fn refused(data: &[u8], error: &wardian::Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() < 4 << 10, "{} bytes: {text:.200}", text.len());
    let again = Module::validate(&ENGINES[0], data).expect_err("what is refused is not valid");
    assert_eq!(again.to_string(), text);
    note_error("refused", error);
}

/// Everything that can be asked of a module.
fn inspect(module: &Module) {
    let info = module.info();
    for (_, _, ty) in module.imports() {
        note(format!("import {:?}", ty.kind()));
    }
    for (name, ty) in module.exports() {
        assert_eq!(module.export(name).map(|t| t.kind()), Some(ty.kind()), "the export {name}");
    }
    for index in 0..info.functions.len() as u32 {
        assert!(module.func_type(index).is_some());
        if let Some(name) = module.func_name(index) {
            let _ = wardian::inspect::demangle(name);
        }
    }
    assert!(module.func_type(info.functions.len() as u32).is_none());
    let _ = (module.name(), module.code_size(), module.debug_info());
    for body in info.bodies.iter().take(16) {
        let _ = module.source_locations((body.start - info.code_section) as u32);
    }
}

/// A module runs where exactly the features are on that it says it needs.
fn needs_what_it_says(module: &Module) {
    let needed = module.features_needed();
    note(format!("features {needed}"));
    let mut config = Config::new();
    config.engine(EngineKind::Interpreted).features(needed);
    let engine = Engine::new(&config).expect("the configuration works");
    if let Err(error) = Module::new(&engine, module.bytes()) {
        panic!("it needs more than {needed}: {error}");
    }
}

/// What is valid has bytecode, or is over a limit.
fn translate(bytes: &[u8]) {
    let features = CoreFeatures::all();
    let module =
        wardian_module::Module::decode(bytes.to_vec(), features, 1).expect("it was decoded before");
    let info = module.info();
    let mut translator = Translator::new();
    for (tiering, fuel) in [(false, false), (true, false), (false, true)] {
        let options = Options { tiering, fuel, canonical_nans: fuel, deterministic_simd: tiering };
        let layout = InstanceLayout::new(info.counts());
        let env = Env { info, bytes: module.bytes(), layout, options };
        for defined in info.bodies.indices() {
            match translator.translate(&env, defined) {
                Ok(translation) => {
                    assert!(!translation.code().is_empty());
                    let places = translator.locations(&env, defined).expect("the second time too");
                    assert!(places.is_sorted(), "places of instructions are in order");
                }
                Err(error) => note_error("not translated", &error),
            }
        }
    }
}
