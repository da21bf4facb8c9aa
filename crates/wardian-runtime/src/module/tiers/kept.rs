//! Keeping what is known of a tiered module in the engine's cache, so that another process begins with it.

use super::made::{KeptLoop, Notes, State};
use super::queue::Work;
use crate::Result;
use crate::code::registry::LoadedCode;
use crate::module::ModuleInner;
use crate::profile::FunctionProfile;
use crate::settings::EngineKind;
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use wardian_types::DefinedFuncIndex;
use wardian_vm::background::outside;
use wardian_vm::compiled::{CompiledCode, CompiledFunction};

/// Validating so many bytes of code takes longer than reading the cache.
const LARGE: usize = 128 << 10;

impl ModuleInner {
    /// Loads code from the cache: that of all functions, and behind it that of these loops.
    ///
    /// # Errors
    ///
    /// It is of another module, or there is no room for it.
    pub fn load_kept(self: &Arc<Self>, code: CompiledCode, loops: &[KeptLoop]) -> Result<()> {
        let variant = self.usual_variant();
        let of_loops = loops.iter().map(|(defined, _)| *defined).collect();
        if let Some(loaded) = self.load_with(variant, code, of_loops)? {
            for ((defined, header), entry) in loops.iter().zip(loaded.loop_entries()) {
                self.tier.insert_loop(variant, *defined, *header, entry);
            }
        }
        Ok(())
    }

    /// Puts what is compiled and what is hot into the engine's cache, if there is something new. Waits for the compilation of
    /// functions that were hot or warm in an earlier process, if it is under way, but not longer than `patience`.
    pub fn keep_compiled(&self, patience: Duration) {
        if self.engine.cache().is_none() || self.engine.kind() != EngineKind::Tiered {
            return;
        }
        let was_known = |work: Work| self.is_begun_early(work.defined());
        let unfinished = self.engine.queue().finish(self, patience, was_known);
        if !unfinished.is_empty() {
            let mut made = self.made();
            made.given_up.extend(unfinished.into_iter().map(Work::defined));
            made.is_kept = false;
        }
        self.keep_hot();
    }

    /// Puts what was hot into the engine's cache, with what was there before, so that another process begins with it
    /// compiled, begins at once to compile what else is hot, and knows what calls through tables and references called.
    pub(crate) fn keep_hot(&self) {
        let cache = self.engine.cache().filter(|_| self.engine.kind() == EngineKind::Tiered);
        let (Some(cache), Ok(compiler)) = (cache, self.engine.compiler()) else { return };
        let mut made = self.made();
        if made.is_kept || !self.is_worth_keeping(&made) {
            return;
        }
        made.is_kept = true;
        let before = self.loaded(self.usual_variant());
        let functions = self.decoded.info().bodies.indices().map(|defined| {
            let known = made.parts.get(&(defined, None)).cloned();
            known.or_else(|| before?.extract(defined)).unwrap_or_default()
        });
        let mut functions: Vec<_> = functions.collect();
        let loops = self.loops_to_keep(&made, before.map(|code| &**code), &mut functions);
        let notes = self.notes(loops, &made.given_up);
        drop(made);
        // What cannot be laid out is not kept.
        if let Ok(code) = compiler.assemble(functions) {
            let code = code.with_notes(notes.to_bytes());
            let key = self.cache_key();
            let code = code.with_origin(*key.as_bytes());
            // The embedder's, and possibly on a disk.
            outside(|| cache.put(&key, &code));
        }
    }

    /// Whether the cache does not have what is known of the module: code, or that functions are hot; or, if it has nothing, that
    /// functions are warm, or that a large module is valid.
    fn is_worth_keeping(&self, made: &State) -> bool {
        if !made.parts.is_empty() || !made.given_up.is_empty() {
            return true;
        }
        let is_unknown = self.loaded(self.usual_variant()).is_none();
        let bodies = &self.decoded.info().bodies;
        let is_new = |defined: DefinedFuncIndex| {
            let (is_hot, loops) = self.tier.wanted(defined);
            let is_known = self.is_begun_early(defined);
            !is_known && (is_hot || !loops.is_empty() || is_unknown && self.is_warm(defined))
        };
        let is_large = || bodies.iter().map(|body| body.len()).sum::<usize>() >= LARGE;
        (is_unknown && is_large()) || bodies.indices().any(is_new)
    }

    /// Adds the code of loops to that of functions, and says which they are: those of functions that are not compiled as a
    /// whole, since others are entered at their beginning from now on.
    fn loops_to_keep(
        &self,
        made: &State,
        before: Option<&LoadedCode>,
        functions: &mut Vec<CompiledFunction>,
    ) -> Vec<KeptLoop> {
        let mut loops: BTreeMap<_, CompiledFunction> = BTreeMap::new();
        for ((defined, header), function) in &made.parts {
            if let Some(header) = header {
                loops.insert((*defined, *header), function.clone());
            }
        }
        let of_before = before.into_iter().flat_map(LoadedCode::loops);
        for (defined, entry, function) in of_before {
            if let Some(header) = self.tier.header_of(self.usual_variant(), defined, entry) {
                loops.entry((defined, header)).or_insert(function);
            }
        }
        loops.retain(|(defined, _), _| functions[defined.index()].text.is_empty());
        let (kept, code): (Vec<_>, Vec<_>) = loops.into_iter().unzip();
        functions.extend(code);
        kept
    }

    /// What is kept beside the code. Functions whose compilation was just waited for in vain have to become hot anew, as have
    /// those of which that is known: a part of what makes a function hot is not enough for them.
    fn notes(&self, loops: Vec<KeptLoop>, just_given_up: &[DefinedFuncIndex]) -> Notes {
        let mut profile = self.whole_profile();
        for defined in just_given_up {
            let known = profile.functions.get_mut(&self.decoded.info().func_index(*defined));
            if let Some(known) = known {
                let calls = std::mem::take(&mut known.calls);
                *known = FunctionProfile { calls, ..FunctionProfile::default() };
            }
        }
        let mut given_up = just_given_up.to_vec();
        given_up.extend(self.used_profile.get().into_iter().flat_map(|used| &used.given_up));
        given_up.sort_unstable();
        given_up.dedup();
        Notes { loops, given_up, profile }
    }

    /// Takes what was kept beside code of this module as what its functions will do.
    pub fn use_notes(&self, notes: Notes) {
        // The module need not be hashed a second time.
        let _ = self.code_hash.set(notes.profile.module);
        self.set_profile(notes.profile, true, notes.given_up);
    }

    /// Notes what was compiled, if it is to be kept.
    pub(super) fn keep(&self, work: Work, function: CompiledFunction) {
        let part = match work {
            Work::Function { defined, .. } => (defined, None),
            Work::Loop { defined, header, .. } => (defined, Some(header)),
        };
        let mut made = self.made();
        made.parts.insert(part, function);
        made.is_kept = false;
    }

    /// Whether what is compiled is to be kept.
    pub(super) fn is_kept(&self, work: Work) -> bool {
        work.variant() == self.usual_variant() && self.engine.cache().is_some()
    }

    fn made(&self) -> MutexGuard<'_, State> {
        self.tier.made.lock()
    }
}

#[cfg(all(test, feature = "jit"))]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::extension::Extension;
    use crate::settings::Settings;
    use wardian_types::{CodeOffset, FuncIndex};

    #[test]
    fn what_was_waited_for_in_vain_is_not_hot_any_more() {
        let engine = Engine::new(Settings::default(), |_| Extension::default()).unwrap();
        let bytes =
            wardian_module::to_binary(b"(module (func) (func) (func))").unwrap().into_owned();
        let decoded = wardian_module::Module::decode(bytes, engine.settings().features, 1).unwrap();
        let module = ModuleInner::new(&engine, decoded, None).unwrap();
        let [first, second] = [0, 1].map(DefinedFuncIndex::from_u32);
        let mut profile = module.profile();
        for defined in [first, second] {
            let function = FunctionProfile { count: 1_000_000, is_hot: true, ..Default::default() };
            profile.functions.insert(module.decoded.info().func_index(defined), function);
        }
        // A part of what makes it hot.
        let warm = FunctionProfile { count: 1000, ..Default::default() };
        profile.functions.insert(FuncIndex::from_u32(2), warm);
        let loops = vec![(second, CodeOffset::from_u32(7))];
        let given_up = vec![DefinedFuncIndex::from_u32(2)];
        let notes = Notes { loops: loops.clone(), given_up: given_up.clone(), profile };
        let bytes = notes.to_bytes();
        assert!((0..60).all(|end| Notes::from_bytes(&bytes[..end]).is_none()));
        let read = Notes::from_bytes(&bytes).unwrap();
        let (read, written) = ((read.loops, read.profile), (loops, notes.profile));
        assert_eq!(read, written);
        module.use_notes(Notes::from_bytes(&bytes).unwrap());
        let early = [first, second, given_up[0]].map(|defined| module.is_begun_early(defined));
        assert_eq!(early, [true, true, false]);
        let kept = module.notes(Vec::new(), &[first]);
        let is_hot = |defined| {
            let known = kept.profile.functions.get(&module.decoded.info().func_index(defined));
            known.is_some_and(|known| known.is_hot && known.count > 0)
        };
        assert!(!is_hot(first) && is_hot(second));
        assert_eq!(kept.given_up, [first, given_up[0]]);
    }
}
