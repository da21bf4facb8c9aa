//! Our feature names and the parser's.

use wardian_types::{CoreFeatures, ModuleOffset};
use wasmparser::WasmFeatures;

const PAIRS: [(CoreFeatures, WasmFeatures); 19] = [
    (CoreFeatures::MUTABLE_GLOBAL, WasmFeatures::MUTABLE_GLOBAL),
    (CoreFeatures::SIGN_EXTENSION_OPS, WasmFeatures::SIGN_EXTENSION),
    (CoreFeatures::NON_TRAPPING_FLOAT_TO_INT, WasmFeatures::SATURATING_FLOAT_TO_INT),
    (CoreFeatures::MULTI_VALUE, WasmFeatures::MULTI_VALUE),
    (CoreFeatures::BULK_MEMORY, WasmFeatures::BULK_MEMORY),
    (CoreFeatures::REFERENCE_TYPES, WasmFeatures::REFERENCE_TYPES),
    (CoreFeatures::SIMD, WasmFeatures::SIMD),
    (CoreFeatures::EXTENDED_CONST, WasmFeatures::EXTENDED_CONST),
    (CoreFeatures::TAIL_CALL, WasmFeatures::TAIL_CALL),
    (CoreFeatures::RELAXED_SIMD, WasmFeatures::RELAXED_SIMD),
    (CoreFeatures::MULTI_MEMORY, WasmFeatures::MULTI_MEMORY),
    (CoreFeatures::MEMORY64, WasmFeatures::MEMORY64),
    (CoreFeatures::CUSTOM_PAGE_SIZES, WasmFeatures::CUSTOM_PAGE_SIZES),
    (CoreFeatures::THREADS, WasmFeatures::THREADS),
    (CoreFeatures::WIDE_ARITHMETIC, WasmFeatures::WIDE_ARITHMETIC),
    (CoreFeatures::FUNCTION_REFERENCES, WasmFeatures::FUNCTION_REFERENCES),
    (CoreFeatures::GC, WasmFeatures::GC),
    (CoreFeatures::EXCEPTIONS, WasmFeatures::EXCEPTIONS),
    (CoreFeatures::LEGACY_EXCEPTIONS, WasmFeatures::LEGACY_EXCEPTIONS),
];

/// What the parser must accept for these features.
pub(crate) fn to_parser(features: CoreFeatures) -> WasmFeatures {
    // `GC_TYPES` lets the parser build its type tables for references at all.
    let base = WasmFeatures::FLOATS | WasmFeatures::GC_TYPES;
    PAIRS
        .iter()
        .filter(|(ours, _)| features.contains(*ours | needs(*ours)))
        .fold(base, |set, (_, theirs)| set | *theirs)
}

/// The features without which a feature means nothing.
fn needs(feature: CoreFeatures) -> CoreFeatures {
    match feature {
        CoreFeatures::GC => CoreFeatures::FUNCTION_REFERENCES,
        _ => CoreFeatures::empty(),
    }
}

/// Our name for a feature that the parser missed, if it is one that Wardian has.
pub(crate) fn from_parser(feature: WasmFeatures) -> Option<CoreFeatures> {
    PAIRS.iter().find(|(_, theirs)| theirs.intersects(feature)).map(|(ours, _)| *ours)
}

/// The features that a module needs: those without which it is invalid.
///
/// `valid` says whether the module is valid under a set of features.
pub(crate) fn needed(valid: impl Fn(CoreFeatures) -> bool) -> CoreFeatures {
    let all: Vec<CoreFeatures> = CoreFeatures::all().iter().collect();
    let mut needed = CoreFeatures::empty();
    let mut groups = vec![&all[..]];
    while let Some(group) = groups.pop() {
        // A module that does without several features does without each. Most do without most, and what
        // they need is missed early in them, so that few looks at all of a module are enough.
        let without = CoreFeatures::all() - group.iter().copied().collect();
        if valid(without) {
            continue;
        }
        match group {
            [one] => needed |= *one,
            group => groups.extend(<[_; 2]>::from(group.split_at(group.len() / 2))),
        }
    }
    needed
}

/// Names of the features that a module needs and that Wardian does not have; none if it is invalid under all
/// that the parser knows.
pub(crate) fn foreign(valid: impl Fn(WasmFeatures) -> bool) -> Vec<String> {
    if !valid(WasmFeatures::all()) {
        return Vec::new();
    }
    let others = WasmFeatures::all() - to_parser(CoreFeatures::all());
    let needed = others.iter_names().filter(|(_, one)| !valid(WasmFeatures::all() - *one));
    needed.map(|(name, _)| name.to_lowercase().replace('_', "-")).collect()
}

/// The feature that is off, with those that it needs, and with which validation gets past `offset`, if there is one: for
/// errors in which the parser does not name it.
pub(crate) fn missing(
    features: CoreFeatures,
    offset: ModuleOffset,
    first_error: impl Fn(CoreFeatures) -> Option<ModuleOffset>,
) -> Option<CoreFeatures> {
    let off = (CoreFeatures::all() - features).iter().map(|one| one | (needs(one) - features));
    off.into_iter()
        .find(|missing| first_error(features | *missing).is_none_or(|further| further > offset))
}
