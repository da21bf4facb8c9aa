//! Profiles of modules: what a module's functions did, and beginning with what they did elsewhere.

use super::{CompileRequest, ask_again, threshold};
use crate::Result;
use crate::module::ModuleInner;
use crate::profile::{CallTargets, CodeHash, FunctionProfile, ModuleProfile, UsedProfile};
use crate::settings::EngineKind;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncIndex};
use wardian_vm::compiled::CompiledIndex;

/// A function of a module that is used again and again is compiled early if it counted this part of what makes it hot: its
/// compilation is paid for after so many further starts.
const WARM: u64 = 16;

type Calls = BTreeMap<CodeOffset, CallTargets<FuncIndex>>;

impl ModuleInner {
    /// What its functions have done so far.
    pub fn profile(&self) -> ModuleProfile {
        let mut profile = ModuleProfile::new(self.code_hash());
        for defined in self.decoded.info().bodies.indices() {
            let function = self.function_profile(defined);
            if !function.is_empty() {
                profile.functions.insert(self.decoded.info().func_index(defined), function);
            }
        }
        profile
    }

    /// The same with what it was given.
    pub(crate) fn whole_profile(&self) -> ModuleProfile {
        let mut profile = self.profile();
        if let Some(used) = self.used_profile.get() {
            // It was found to be of this module when it was given.
            let _ = profile.merge(&used.profile);
        }
        profile
    }

    fn function_profile(&self, defined: DefinedFuncIndex) -> FunctionProfile {
        if self.engine.kind() != EngineKind::Tiered {
            return FunctionProfile::default();
        }
        let (wanted, hot_loops) = self.tier.wanted(defined);
        // What a cache had was hot in another process.
        let kept = self.loaded(self.usual_variant());
        let is_kept = |entry: &wardian_vm::addr::CodeAddr| !entry.is_null();
        let kept =
            kept.is_some_and(|code| is_kept(&code.entries[CompiledIndex::of_whole(defined)]));
        let code = self.interpreted_before(defined);
        let calls = code.into_iter().flat_map(|code| self.call_targets(code));
        FunctionProfile {
            count: code.map_or(0, |code| code.counted()),
            is_hot: wanted || kept,
            hot_loops,
            calls: calls.filter(|(_, targets)| targets.calls() != 0).collect(),
        }
    }

    /// Names its code.
    fn code_hash(&self) -> CodeHash {
        *self.code_hash.get_or_init(|| CodeHash::of(&self.decoded))
    }

    /// Whether a profile is one of this module.
    pub fn has_profile(&self, profile: &ModuleProfile) -> bool {
        profile.check(self.code_hash()).is_ok()
    }

    /// Takes what its functions did elsewhere as what they will do, before any of them is compiled or run.
    ///
    /// # Errors
    ///
    /// It is the profile of another module.
    pub fn use_profile(&self, profile: &ModuleProfile) -> Result<()> {
        profile.check(self.code_hash())?;
        self.set_profile(profile.clone(), false, Vec::new());
        Ok(())
    }

    pub(super) fn set_profile(
        &self,
        profile: ModuleProfile,
        is_kept: bool,
        given_up: Vec<DefinedFuncIndex>,
    ) {
        let mut expected = Vec::new();
        for (index, function) in &profile.functions {
            if let Some(defined) = self.defined(*index) {
                expected.extend(self.expected_of(defined, &function.calls));
            }
        }
        debug_assert!(self.used_profile.get().is_none(), "a profile is used once");
        let _ = self.used_profile.set(UsedProfile { profile, is_kept, given_up, expected });
    }

    /// The function with this index, if the module defines it: a profile may have any number.
    fn defined(&self, index: FuncIndex) -> Option<DefinedFuncIndex> {
        let info = self.decoded.info();
        info.defined_function(index).filter(|defined| info.bodies.get(*defined).is_some())
    }

    /// What the calls of a function are expected to call: their code offsets, in order, and the functions, the most frequent of
    /// a call first.
    fn expected_of(
        &self,
        defined: DefinedFuncIndex,
        calls: &Calls,
    ) -> Vec<(CodeOffset, DefinedFuncIndex)> {
        let info = self.decoded.info();
        let body = &info.bodies[defined];
        let is_here = |offset: &CodeOffset| {
            body.contains(&(info.code_section.saturating_add(offset.index())))
        };
        let of_call = |(offset, targets): (&CodeOffset, &CallTargets<FuncIndex>)| {
            let usual = targets.usual().filter_map(|target| self.defined(target));
            usual.map(|target| (*offset, target)).collect::<Vec<_>>()
        };
        calls.iter().filter(|(offset, _)| is_here(offset)).flat_map(of_call).collect()
    }

    /// What calls through tables and references are expected to call by the profile alone, for compiling all functions.
    pub(crate) fn profiled_targets(&self) -> &[(CodeOffset, DefinedFuncIndex)] {
        self.used_profile.get().map_or(&[], |used| &used.expected)
    }

    fn profiled(&self, defined: DefinedFuncIndex) -> Option<&FunctionProfile> {
        let used = self.used_profile.get()?;
        used.profile.functions.get(&self.decoded.info().func_index(defined))
    }

    /// What the calls of a function are expected to call, by the profile and by what the interpreter has seen.
    pub(crate) fn expected_targets(
        &self,
        defined: DefinedFuncIndex,
    ) -> Vec<(CodeOffset, DefinedFuncIndex)> {
        let mut calls = self.profiled(defined).map_or_else(Calls::new, |known| known.calls.clone());
        if let Some(code) = self.interpreted_before(defined) {
            for (offset, targets) in self.call_targets(code) {
                calls.entry(offset).or_default().merge(&targets);
            }
        }
        self.expected_of(defined, &calls)
    }

    /// Calls and rounds until a function of so many bytes is hot.
    pub(crate) fn threshold(&self, defined: DefinedFuncIndex, bytes: usize) -> i32 {
        let hot_after = self.engine.settings().hot_after;
        match self.is_begun_early(defined) {
            // It is being compiled, and asks for that soon.
            true => ask_again(hot_after),
            false => threshold(hot_after, bytes),
        }
    }

    /// Whether a function is compiled, or a loop of it, when the module is made, by what it did elsewhere.
    pub(super) fn is_begun_early(&self, defined: DefinedFuncIndex) -> bool {
        self.profiled(defined).is_some_and(|known| self.urgency(defined, known).is_some())
    }

    /// How often a function was hot elsewhere; zero if it was warm in a module that is used again and again. None if it is not
    /// to be compiled yet.
    fn urgency(&self, defined: DefinedFuncIndex, known: &FunctionProfile) -> Option<u32> {
        if known.is_hot || !known.hot_loops.is_empty() {
            let hot_after = self.engine.settings().hot_after;
            let more = known.count.saturating_sub(self.hot_at(defined));
            let more = more / ask_again(hot_after).max(1) as u64;
            return Some(u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1));
        }
        let may_be_warm = |used: &UsedProfile| used.is_kept && !used.given_up.contains(&defined);
        let is_warm = self.is_warm_at(defined, known.count);
        (is_warm && self.used_profile.get().is_some_and(may_be_warm)).then_some(0)
    }

    /// Whether a function has counted a good part of what makes it hot.
    pub(super) fn is_warm(&self, defined: DefinedFuncIndex) -> bool {
        let code = self.interpreted_before(defined);
        code.is_some_and(|code| self.is_warm_at(defined, code.counted()))
    }

    fn is_warm_at(&self, defined: DefinedFuncIndex, count: u64) -> bool {
        count > 0 && count >= self.hot_at(defined) / WARM
    }

    /// Calls and rounds after which a function is hot of which nothing is known.
    pub(crate) fn usual_threshold(&self, defined: DefinedFuncIndex) -> i32 {
        let bytes = self.decoded.info().bodies[defined].len();
        threshold(self.engine.settings().hot_after, bytes)
    }

    /// The same as what is counted.
    pub(super) fn hot_at(&self, defined: DefinedFuncIndex) -> u64 {
        self.usual_threshold(defined) as u64
    }

    /// Has everything compiled that was hot by the profile, the hottest first: of each function either all of it, or the
    /// loop that was hot. Where compilation is not in the background, `stop` is asked between functions.
    pub fn compile_profiled(self: &Arc<Self>, stop: &dyn Fn() -> bool) {
        let variant = self.usual_variant();
        for (times, defined, header) in self.profiled_work() {
            if stop() {
                return;
            }
            let request = CompileRequest { times, stop };
            match header {
                _ if self.compiled(variant, defined).is_some() => {}
                None => drop(self.want_function(variant, defined, request)),
                Some(header) => drop(self.want_loop(variant, defined, header, request)),
            }
        }
    }

    /// Functions that were hot, how often, and with the loop that was hot if not all of it was.
    fn profiled_work(&self) -> Vec<(u32, DefinedFuncIndex, Option<CodeOffset>)> {
        let functions =
            self.used_profile.get().into_iter().flat_map(|used| &used.profile.functions);
        let work = functions.filter_map(|(index, function)| {
            let defined = self.defined(*index)?;
            let times = self.urgency(defined, function)?;
            let header = function.hot_loops.first().filter(|_| !function.is_hot);
            Some((times, defined, header.copied()))
        });
        let mut work: Vec<_> = work.collect();
        work.sort_by_key(|(times, ..)| Reverse(*times));
        work
    }
}

#[cfg(all(test, feature = "jit"))]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::extension::Extension;
    use crate::settings::Settings;

    fn module(kind: EngineKind) -> Arc<ModuleInner> {
        let text = r#"(module (import "h" "f" (func)) (table 2 funcref) (type $t (func (result i64)))
          (func $leaf (type $t) (i64.const 7))
          (func (param i32) (result i32) (i32.const 1))
          (func $calls (param i32) (result i64) (loop $l (br_if $l (local.tee 0 (i32.const 0))))
            (call_indirect (type $t) (local.get 0))))"#;
        let settings = Settings { kind, background: false, ..Settings::default() };
        let engine = Engine::new(settings, |_| Extension::default()).unwrap();
        let bytes = wardian_module::to_binary(text.as_bytes()).unwrap().into_owned();
        let decoded = wardian_module::Module::decode(bytes, engine.settings().features, 1).unwrap();
        ModuleInner::new(&engine, decoded, None).unwrap()
    }

    /// A profile with the right hash that says anything of anything: functions that are imported, that are not there, or of
    /// the wrong type, and calls and loops where there are none.
    fn hostile(module: &ModuleInner) -> ModuleProfile {
        let mut profile = module.profile();
        let indices = [0, 1, 2, 3, 4, u32::MAX - 1, u32::MAX];
        let offsets = || (0..60).chain([u32::MAX - 1, u32::MAX]).map(CodeOffset::from_u32);
        for (number, index) in indices.into_iter().enumerate() {
            let targets = (0..4).map(|i| indices[(number + i) % indices.len()]);
            let votes: Vec<_> = targets.map(|f| (FuncIndex::from_u32(f), u64::MAX / 4)).collect();
            let call = || CallTargets::new(u64::MAX, votes.iter().copied());
            let function = FunctionProfile {
                count: u64::MAX - number as u64,
                is_hot: number % 2 == 0,
                hot_loops: offsets().skip(10 * number).collect(),
                calls: offsets().map(|offset| (offset, call())).collect(),
            };
            profile.functions.insert(FuncIndex::from_u32(index), function);
        }
        let twice = profile.clone();
        profile.merge(&twice).unwrap();
        profile
    }

    #[test]
    fn a_profile_may_say_anything() {
        for kind in [EngineKind::Compiled, EngineKind::Tiered, EngineKind::Interpreted] {
            let module = module(kind);
            let profile = hostile(&module);
            assert_eq!(ModuleProfile::from_bytes(&profile.to_bytes()).unwrap(), profile);
            module.use_profile(&profile).unwrap();
            if kind == EngineKind::Compiled {
                module.compile(module.usual_variant(), None).unwrap();
            }
            if kind == EngineKind::Tiered {
                module.compile_profiled(&|| false);
                assert!(module.code_size() > 0);
            }
        }
    }

    #[test]
    fn what_was_hot_more_often_comes_first() {
        let module = module(EngineKind::Tiered);
        let mut profile = module.profile();
        let mut hot = |index: u32, count, hot_loops: &[u32]| {
            let hot_loops: Vec<_> = hot_loops.iter().copied().map(CodeOffset::from_u32).collect();
            let is_hot = hot_loops.is_empty();
            let function = FunctionProfile { count, is_hot, hot_loops, ..Default::default() };
            profile.functions.insert(FuncIndex::from_u32(index), function);
        };
        hot(1, 4000, &[]);
        hot(2, 9000, &[]);
        hot(3, 6000, &[30, 20]);
        module.use_profile(&profile).unwrap();
        let work = module.profiled_work().into_iter().map(|(times, defined, header)| {
            (times, defined.as_u32(), header.map(CodeOffset::as_u32))
        });
        // The first 2500 and 24 for each byte are not counted, and then each 500.
        assert_eq!(work.collect::<Vec<_>>(), [(13, 1, None), (7, 2, Some(30)), (3, 0, None)]);
    }
}
