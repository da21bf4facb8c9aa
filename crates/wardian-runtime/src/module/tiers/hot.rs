//! What of a module was compiled because it was hot.

use super::awaited::Awaited;
use super::made::Made;
use super::published::{Published, TierState};
use super::queue::{Job, Work};
use crate::code::registry::LoadedCode;
use crate::module::ModuleInner;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use wardian_types::{CodeOffset, DefinedFuncIndex};
use wardian_vm::addr::CodeAddr;
use wardian_vm::background::outside;
use wardian_vm::compiled::{CompiledFunction, CompiledIndex, MemoryVariant};
use wardian_vm::torture::{self, Point};

/// Compiled code of a module's functions and loops, for both variants of its memories.
#[derive(Default)]
pub struct Tier {
    guarded: HotCode,
    checked: HotCode,
    /// Whether what was last wanted was for checked memories.
    wants_checked: AtomicBool,
    /// What functions call of which there is code.
    callees: Mutex<HashMap<DefinedFuncIndex, Arc<[DefinedFuncIndex]>>>,
    /// How long compiling functions takes that became hot, in microseconds.
    costs: Mutex<HashMap<DefinedFuncIndex, u64>>,
    /// What is compiled for guests that wait for it.
    pub(super) awaited: Awaited,
    /// What is to be kept for other processes.
    pub(super) made: Made,
}

/// The same for one variant.
#[derive(Default)]
struct HotCode {
    /// How far each function is.
    functions: OnceLock<Box<[Published]>>,
    /// Loops that somebody wanted, by function.
    loops: Mutex<HashMap<DefinedFuncIndex, Loops>>,
    loaded: Mutex<Vec<Arc<LoadedCode>>>,
}

/// What is known of a function's loops.
#[derive(Default)]
struct Loops {
    /// By their offsets in the code section: how far they are.
    known: Vec<(CodeOffset, LoopState)>,
    /// Whether code that begins at one of them has been entered.
    entered: bool,
}

/// Code that begins at a loop is code of the whole function: so there is to be little of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LoopState {
    /// So often it was asked for, while the function had code for another loop.
    Asked(u32),
    Wanted,
    Failed,
    Compiled(CodeAddr),
}

/// What becomes of a request for code that begins at a loop.
#[derive(Debug, PartialEq)]
enum Answer {
    Known(TierState),
    /// It is no time for it.
    NotYet,
    /// This loop is to be compiled, or made more urgent.
    Compile(CodeOffset),
    /// The function is to be compiled from its beginning first, or made more urgent.
    CompileWhole,
}

/// How often a loop is to be asked for if the function has code for another one, which it probably
/// comes by next.
const PATIENCE: u32 = 4;

/// Code for other loops of a function that has code for so many is not made any more.
const MOST_LOOPS: usize = 8;

/// Microseconds of compilation above which a function stays interpreted.
const MOST: u64 = 10_000_000;
/// Up to here a guest that waits for it waits on its own thread.
const SHORT: u64 = 30_000;

/// A request to compile something hot.
#[derive(Clone, Copy)]
pub(crate) struct CompileRequest<'a> {
    /// How often it was hot: what was so more often comes first.
    pub(crate) times: u32,
    /// Says whether the guest that wants it is to end: where compilation is not in the background, it waits no longer
    /// than that.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

impl ModuleInner {
    /// The compiled code of a function, by its position among those that the module defines, if there
    /// is some.
    #[inline]
    pub fn compiled(&self, variant: MemoryVariant, defined: DefinedFuncIndex) -> Option<CodeAddr> {
        let whole = self.loaded(variant).map(|all| all.entries[CompiledIndex::of_whole(defined)]);
        if let Some(address) = whole.filter(|address| !address.is_null()) {
            return Some(address);
        }
        let functions = self.tier.of(variant).functions.get()?;
        match functions[defined.index()].get() {
            Some(TierState::Compiled(address)) => Some(address),
            _ => None,
        }
    }

    /// Has a function compiled that is hot, or hotter than it was.
    pub(crate) fn want_function(
        self: &Arc<Self>,
        variant: MemoryVariant,
        defined: DefinedFuncIndex,
        request: CompileRequest<'_>,
    ) -> TierState {
        let state = self.state(variant, defined);
        if let Some(known @ (TierState::Failed | TierState::Compiled(_))) = state.get() {
            return known;
        }
        if self.is_too_complex(defined) {
            state.settle(None);
            return TierState::Failed;
        }
        state.mark_wanted();
        self.want(Work::Function { variant, defined }, request);
        state.get().unwrap_or(TierState::Wanted)
    }

    /// How far a function is.
    fn state(&self, variant: MemoryVariant, defined: DefinedFuncIndex) -> &Published {
        let count = self.decoded.info().bodies.len();
        let of_all = || (0..count).map(|_| Published::default()).collect::<Box<[_]>>();
        let functions = self.tier.of(variant).functions.get_or_init(of_all);
        &functions[defined.index()]
    }

    /// Notes that a function is about to be compiled.
    pub(super) fn mark_wanted(&self, variant: MemoryVariant, defined: DefinedFuncIndex) {
        self.state(variant, defined).mark_wanted();
    }

    /// Has a loop compiled that is hot, or hotter than it was; but not while another loop of the
    /// function is being compiled.
    pub(crate) fn want_loop(
        self: &Arc<Self>,
        variant: MemoryVariant,
        defined: DefinedFuncIndex,
        header: CodeOffset,
        request: CompileRequest<'_>,
    ) -> TierState {
        if self.is_too_complex(defined) {
            return TierState::Failed;
        }
        let whole = self.state(variant, defined).get();
        let answer = {
            let mut loops = self.tier.of(variant).loops();
            loops.entry(defined).or_default().ask(header, whole)
        };
        let next = match answer {
            Answer::Known(known) => return known,
            Answer::NotYet => return TierState::Wanted,
            Answer::CompileWhole => {
                self.want_function(variant, defined, request);
                return TierState::Wanted;
            }
            Answer::Compile(next) => next,
        };
        self.want(Work::Loop { variant, defined, header: next }, request);
        let loops = self.tier.of(variant).loops();
        loops.get(&defined).and_then(|l| l.state(header)?.known()).unwrap_or(TierState::Wanted)
    }

    /// Notes that code which begins at a loop of a function is entered. Where that happens again, the
    /// function is better off compiled from its beginning; one that runs once is not compiled twice.
    pub(crate) fn loop_entered(
        self: &Arc<Self>,
        variant: MemoryVariant,
        defined: DefinedFuncIndex,
        request: CompileRequest<'_>,
    ) {
        let mut loops = self.tier.of(variant).loops();
        let before =
            loops.get_mut(&defined).is_some_and(|l| std::mem::replace(&mut l.entered, true));
        drop(loops);
        if before {
            self.want_function(variant, defined, request);
        }
    }

    /// What a function calls by index, all of them by their positions among those that the module
    /// defines.
    pub(crate) fn callees(&self, defined: DefinedFuncIndex) -> Arc<[DefinedFuncIndex]> {
        let mut known = self.tier.callees.lock().unwrap_or_else(|e| e.into_inner());
        let find = || {
            let (info, bytes) = (self.decoded.info(), self.decoded.bytes());
            wardian_module::direct_callees(info, bytes, defined).into()
        };
        known.entry(defined).or_insert_with(find).clone()
    }

    /// Makes sure that a function is valid, and all that may be compiled into it: what it calls by index, and these targets
    /// of other calls.
    pub(crate) fn ensure_compilable(
        &self,
        defined: DefinedFuncIndex,
        targets: impl Iterator<Item = DefinedFuncIndex>,
    ) -> Result<()> {
        if !self.decoded.is_validated_lazily() {
            return Ok(());
        }
        self.decoded.ensure_valid(defined)?;
        let callees = self.callees(defined);
        let mut read = callees.iter().copied().chain(targets);
        Ok(read.try_for_each(|read| self.decoded.ensure_valid(read))?)
    }

    /// Whether compiling a function would take a thread for so long that others suffer.
    fn is_too_complex(&self, defined: DefinedFuncIndex) -> bool {
        self.cost(defined) > MOST
    }

    /// Microseconds that compiling a function may take: more than there are if it is not valid.
    pub(super) fn cost(&self, defined: DefinedFuncIndex) -> u64 {
        let mut costs = self.tier.costs.lock().unwrap_or_else(|e| e.into_inner());
        let find = || {
            let (info, bytes) = (self.decoded.info(), self.decoded.bytes());
            match self.decoded.ensure_valid(defined) {
                Ok(()) => wardian_module::Complexity::of(info, bytes, defined).micros(),
                Err(_) => u64::MAX,
            }
        };
        *costs.entry(defined).or_insert_with(find)
    }

    fn want(self: &Arc<Self>, work: Work, request: CompileRequest<'_>) {
        let cost = self.cost(work.defined());
        let is_checked = work.variant() == MemoryVariant::Checked;
        self.tier.wants_checked.store(is_checked, Ordering::Relaxed);
        if self.engine.settings().background {
            self.engine.queue().want(self, work, cost, request.times);
        } else if cost > SHORT {
            self.tier.awaited.compile(self, work, request.stop);
        } else {
            self.compile_hot(work);
        }
    }

    /// Compiles something hot. Failing is no error: it stays interpreted.
    pub(crate) fn compile_hot(self: &Arc<Self>, work: Work) {
        let address = self.compile_work(work).ok();
        let tier = self.tier.of(work.variant());
        match work {
            Work::Function { defined, .. } => {
                self.state(work.variant(), defined).settle(address);
                if address.is_some() {
                    self.forget_loops(work.variant(), defined);
                }
            }
            Work::Loop { defined, header, .. } => {
                let state = address.map_or(LoopState::Failed, LoopState::Compiled);
                tier.loops().entry(defined).or_default().set(header, state);
            }
        }
    }

    /// Calls of a function that begin from now on are compiled, so its loops have to become hot anew.
    fn forget_loops(&self, variant: MemoryVariant, defined: DefinedFuncIndex) {
        if let Some(loops) = self.tier.of(variant).loops().get_mut(&defined) {
            self.engine.queue().forget_loops(self, variant, defined);
            loops.forget_wanted();
        }
    }

    fn compile_work(self: &Arc<Self>, work: Work) -> Result<CodeAddr> {
        let (info, bytes, compiler) =
            (self.decoded.info(), self.decoded.bytes(), self.engine.compiler()?);
        let fail = |e: wardian_vm::compiled::CompileError| Error::compile(e);
        let expected = self.expected_targets(work.defined());
        self.ensure_compilable(work.defined(), expected.iter().map(|(_, target)| *target))?;
        let function: CompiledFunction = outside(|| match work {
            Work::Function { variant, defined } => {
                compiler.compile_function(info, bytes, defined, variant, &expected)
            }
            Work::Loop { variant, defined, header } => {
                compiler.compile_loop(info, bytes, defined, header, variant, &expected)
            }
        })
        .map_err(fail)?;
        if torture::fails(Point::Compile) {
            return Err(Error::compile("on purpose"));
        }
        let kept = self.is_kept(work).then(|| function.clone());
        let code = compiler.assemble(vec![function]).map_err(fail)?;
        self.engine.check_code(code.text().len())?;
        let code = Arc::new(LoadedCode::publish_some(code, vec![work.defined()])?);
        self.engine.code().insert(self, &code);
        let address = code.entries[CompiledIndex::from_u32(0)];
        let tier = self.tier.of(work.variant());
        tier.loaded.lock().unwrap_or_else(|e| e.into_inner()).push(code);
        if let Some(function) = kept {
            self.keep(work, function);
        }
        Ok(address)
    }
}

impl HotCode {
    fn loops(&self) -> std::sync::MutexGuard<'_, HashMap<DefinedFuncIndex, Loops>> {
        self.loops.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Loops {
    /// A frame would continue in compiled code at a loop. `whole` is how far the function is.
    ///
    /// A frame that is in one loop when there is code for another one has probably begun after that was wanted: the function is
    /// called again and again, and better off compiled from its beginning.
    fn ask(&mut self, header: CodeOffset, whole: Option<TierState>) -> Answer {
        let state = self.state(header).unwrap_or(LoopState::Asked(0));
        if let Some(known @ (TierState::Failed | TierState::Compiled(_))) = state.known() {
            return Answer::Known(known);
        }
        let wanted = self.known.iter().find(|(_, state)| *state == LoopState::Wanted);
        if let Some((wanted, _)) = wanted {
            return Answer::Compile(*wanted);
        }
        let compiled = self.known.iter().filter(|(_, s)| matches!(s, LoopState::Compiled(_)));
        let count = compiled.count();
        let has_code = count > 0;
        match state {
            _ if count >= MOST_LOOPS => Answer::Known(TierState::Failed),
            LoopState::Asked(times) if has_code && times + 1 < PATIENCE => {
                self.set(header, LoopState::Asked(times + 1));
                Answer::NotYet
            }
            _ if has_code && matches!(whole, None | Some(TierState::Wanted)) => {
                Answer::CompileWhole
            }
            _ => {
                self.set(header, LoopState::Wanted);
                Answer::Compile(header)
            }
        }
    }

    /// Nobody waits for those any more that are not compiled yet.
    fn forget_wanted(&mut self) {
        for (_, state) in self.known.iter_mut().filter(|(_, state)| *state == LoopState::Wanted) {
            *state = LoopState::Asked(0);
        }
    }

    fn state(&self, header: CodeOffset) -> Option<LoopState> {
        self.known.iter().find(|(known, _)| *known == header).map(|(_, state)| *state)
    }

    fn set(&mut self, header: CodeOffset, state: LoopState) {
        match self.known.iter_mut().find(|(known, _)| *known == header) {
            // Code that is there stays.
            Some((_, LoopState::Compiled(_))) => {}
            Some(known) => known.1 = state,
            None => self.known.push((header, state)),
        }
    }
}

impl LoopState {
    fn known(self) -> Option<TierState> {
        match self {
            LoopState::Asked(_) => None,
            LoopState::Wanted => Some(TierState::Wanted),
            LoopState::Failed => Some(TierState::Failed),
            LoopState::Compiled(address) => Some(TierState::Compiled(address)),
        }
    }
}

impl Tier {
    fn of(&self, variant: MemoryVariant) -> &HotCode {
        match variant {
            MemoryVariant::Guarded => &self.guarded,
            MemoryVariant::Checked => &self.checked,
        }
    }

    /// For which memories code was last wanted.
    pub(super) fn last_variant(&self) -> MemoryVariant {
        match self.wants_checked.load(Ordering::Relaxed) {
            true => MemoryVariant::Checked,
            false => MemoryVariant::Guarded,
        }
    }

    /// Whether somebody wanted the function, for either variant; and which of its loops, in the order in which they were
    /// first wanted.
    pub(super) fn wanted(&self, defined: DefinedFuncIndex) -> (bool, Vec<CodeOffset>) {
        let (mut is_hot, mut hot_loops) = (false, Vec::new());
        for code in [&self.guarded, &self.checked] {
            let functions = code.functions.get();
            is_hot |= functions.is_some_and(|all| all[defined.index()].get().is_some());
            let loops = code.loops();
            for (header, _) in loops.get(&defined).into_iter().flat_map(|loops| &loops.known) {
                if !hot_loops.contains(header) {
                    hot_loops.push(*header);
                }
            }
        }
        (is_hot, hot_loops)
    }

    /// Takes code that begins at a loop and was compiled by another process.
    pub(super) fn insert_loop(
        &self,
        variant: MemoryVariant,
        defined: DefinedFuncIndex,
        header: CodeOffset,
        entry: CodeAddr,
    ) {
        let mut loops = self.of(variant).loops();
        loops.entry(defined).or_default().set(header, LoopState::Compiled(entry));
    }

    /// The loop at which this code of a function begins.
    pub(super) fn header_of(
        &self,
        variant: MemoryVariant,
        defined: DefinedFuncIndex,
        entry: CodeAddr,
    ) -> Option<CodeOffset> {
        let loops = self.of(variant).loops();
        let known = &loops.get(&defined)?.known;
        known.iter().find(|(_, state)| *state == LoopState::Compiled(entry)).map(|known| known.0)
    }

    /// Code that the engine has to forget when the module goes.
    pub fn loaded(&self) -> Vec<Arc<LoadedCode>> {
        let of = |code: &HotCode| code.loaded.lock().unwrap_or_else(|e| e.into_inner()).clone();
        [of(&self.guarded), of(&self.checked)].concat()
    }
}

impl Job {
    /// Does the work, if the module is still there.
    pub(super) fn run(self) {
        if let Some(module) = self.module.upgrade() {
            module.compile_hot(self.work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_was_published_stays() {
        let (mut loops, header) = (Loops::default(), CodeOffset::from_u32(7));
        loops.set(header, LoopState::Compiled(CodeAddr::from_usize(0x1000)));
        loops.set(header, LoopState::Failed);
        assert_eq!(
            loops.state(header).and_then(LoopState::known),
            Some(TierState::Compiled(CodeAddr::from_usize(0x1000)))
        );
    }

    #[test]
    fn a_second_loop_has_the_function_compiled_first() {
        let [first, second] = [7, 8].map(CodeOffset::from_u32);
        let code = CodeAddr::from_usize(0x1000);
        let compiled = TierState::Compiled(code);
        for (whole, expected) in [
            (None, Answer::CompileWhole),
            (Some(TierState::Wanted), Answer::CompileWhole),
            (Some(compiled), Answer::Compile(second)),
            (Some(TierState::Failed), Answer::Compile(second)),
        ] {
            let mut loops = Loops::default();
            assert_eq!(loops.ask(first, whole), Answer::Compile(first));
            loops.set(first, LoopState::Compiled(code));
            assert_eq!(loops.ask(first, whole), Answer::Known(compiled));
            for _ in 1..PATIENCE {
                assert_eq!(loops.ask(second, whole), Answer::NotYet);
            }
            assert_eq!(loops.ask(second, whole), expected, "{whole:?}");
        }
    }

    #[test]
    fn loops_that_are_not_compiled_have_to_become_hot_anew() {
        let [first, second, third] = [7, 8, 9].map(CodeOffset::from_u32);
        let mut loops = Loops::default();
        let code = CodeAddr::from_usize(0x1000);
        loops.set(first, LoopState::Compiled(code));
        loops.set(second, LoopState::Failed);
        loops.set(third, LoopState::Wanted);
        loops.forget_wanted();
        let known = [first, second, third].map(|header| loops.state(header)?.known());
        assert_eq!(known, [Some(TierState::Compiled(code)), Some(TierState::Failed), None]);
    }
}
