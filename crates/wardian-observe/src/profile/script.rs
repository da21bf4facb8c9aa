//! Following the calls of a program that an interpreter inside a sampled guest runs, or those of a goroutine.
//!
//! Samples have pairs (code, instruction). What they mean is read from the guest's memory each time that samples
//! are read, which is often enough that the code is mostly still there: compiled code has no safepoints between calls
//! of the host at which the guest could be asked to wait. A record that was replaced meanwhile is noticed
//! by its fields, and an instruction that is none of the code's is left out.

#[cfg(test)]
mod tests;

use crate::script::mixed::{Evaluator, mix, runs};
use crate::script::{FunctionCache, GuestFrames, Interpreter, Language, Search};
use crate::symbols::{ModuleId, Place, Symbols};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wardian::{
    Frame, Module,
    sampler::{Sample, SampledMemory, Sampler},
};

/// How long to wait at least until it is tried again to find an interpreter that has not started.
const AGAIN: Duration = Duration::from_millis(20);
/// By what share of the time since the beginning the wait grows.
const SHARE: u32 = 10;
/// An interpreter that was not found after so long is of no known version.
const ENOUGH: Duration = Duration::from_millis(500);
/// Memories of a store that are looked at.
const MEMORIES: usize = 64;

/// What is known of the interpreter in a store.
#[derive(Debug)]
pub(super) enum Script {
    Looking(Looking),
    Following(Box<Following>),
    Goroutines(Goroutines),
    /// There is none, or it is not wanted.
    None,
}

#[derive(Debug)]
pub(super) struct Looking {
    since: Instant,
    next: Instant,
    /// By where their bytes lie, whose interpreter modules look like.
    checked: HashMap<usize, Option<Language>>,
    /// The same of modules that are no programs of Go.
    not_go: HashSet<usize>,
    room: Vec<u8>,
    /// When an interpreter was first seen that has not been found yet.
    seen: Option<(Instant, Language)>,
}

#[derive(Debug)]
pub(super) struct Following {
    how: GuestFrames,
    interpreter: Arc<dyn Interpreter>,
    memory: SampledMemory,
    module: ModuleId,
    functions: FunctionCache,
    evaluator: Evaluator,
    is_named: bool,
}

/// A program of Go, whose goroutines have stacks of their own.
#[derive(Debug)]
pub(super) struct Goroutines {
    how: GuestFrames,
    module: Module,
    id: ModuleId,
}

impl Goroutines {
    /// The places of a sample, with the goroutine's calls that were not entered since it ran last.
    fn places(&self, sample: &Sample<'_>, mut places: Vec<Place>) -> Vec<Place> {
        if sample.is_truncated() {
            return places;
        }
        let mut links = sample.links();
        let Some((sp, ..)) = links.next() else { return places };
        let words = links.map(|(at, word, bit)| (at, u64::from(word | u32::from(bit))));
        let words: HashMap<u32, u64> = words.collect();
        let func = |place: &Place| match place {
            Place::Code { module, func, .. } if *module == self.id => *func,
            _ => u32::MAX,
        };
        let funcs: Vec<u32> = places.iter().map(func).collect();
        let (inner, callers) = self.module.go_callers(&funcs, sp, &|at| words.get(&at).copied());
        if callers.is_empty() {
            return places;
        }
        if self.how == GuestFrames::Only {
            places.truncate(inner);
        }
        let place = |call: &Frame| {
            let (func, offset) = (call.func_index(), call.code_offset());
            Place::Code { module: self.id, func, offset }
        };
        let callers: Vec<Place> = callers.iter().map(place).collect();
        places.splice(inner..inner, callers);
        places
    }
}

impl Script {
    pub(super) fn new(how: GuestFrames) -> Script {
        if how == GuestFrames::Off {
            return Script::None;
        }
        let now = Instant::now();
        Script::Looking(Looking {
            since: now,
            next: now,
            checked: HashMap::new(),
            not_go: HashSet::new(),
            room: Vec::new(),
            seen: None,
        })
    }

    /// Whether samples should be read often.
    pub(super) fn is_urgent(&self) -> bool {
        match self {
            Script::Looking(looking) => looking.seen.is_some(),
            Script::Following(_) => true,
            // What its samples have does not change.
            Script::Goroutines(_) | Script::None => false,
        }
    }

    /// Samples are about to be read. Returns why the interpreter's program cannot be seen, once.
    pub(super) fn begin(
        &mut self,
        how: GuestFrames,
        sampler: &Sampler,
        symbols: &mut Symbols,
    ) -> Option<String> {
        match self {
            Script::None | Script::Goroutines(_) => None,
            Script::Following(following) => {
                following.functions.begin();
                None
            }
            Script::Looking(looking) => {
                if let Some(found) = looking.goroutines(how, sampler, symbols) {
                    *self = found;
                    return None;
                }
                let (memory, search) = looking.look(sampler)?;
                match search {
                    Search::NotYet => None,
                    Search::Unknown(why) => {
                        *self = Script::None;
                        Some(format!("{why}, so the program that it runs is not shown."))
                    }
                    Search::Found(interpreter) => {
                        let follows = interpreter.chain().is_some_and(|chain| memory.follow(chain));
                        *self = match follows {
                            true => Following::script(how, interpreter, memory, symbols),
                            false => Script::None,
                        };
                        None
                    }
                }
            }
        }
    }

    /// No more samples come. Returns why the interpreter's program was not seen.
    pub(super) fn end(&mut self) -> Option<String> {
        match std::mem::replace(self, Script::None) {
            Script::Looking(Looking { seen: Some((seen, language)), .. })
                if seen.elapsed() >= ENOUGH =>
            {
                let known = language.known();
                Some(format!(
                    "The guest looks like {known} for 32 bits are known), so the program that it runs is not shown."
                ))
            }
            // Samples that are left are still to be read.
            followed @ (Script::Following(_) | Script::Goroutines(_)) => {
                *self = followed;
                None
            }
            _ => None,
        }
    }

    /// The places of a sample with the calls of the program among them.
    pub(super) fn places(
        &mut self,
        symbols: &mut Symbols,
        sample: &Sample<'_>,
        places: Vec<Place>,
    ) -> Vec<Place> {
        match self {
            Script::Following(following) if sample.links().len() > 0 => {
                following.places(symbols, sample, places)
            }
            Script::Goroutines(goroutines) if sample.links().len() > 0 => {
                goroutines.places(sample, places)
            }
            _ => places,
        }
    }
}

impl Looking {
    /// The first instance of a program of Go, if there is one.
    fn goroutines(
        &mut self,
        how: GuestFrames,
        sampler: &Sampler,
        symbols: &mut Symbols,
    ) -> Option<Script> {
        let memories = sampler.memories().into_iter().take(MEMORIES);
        let mut addresses = |module: &Module| {
            let key = module.bytes().as_ptr() as usize;
            // Those that have been looked at are no programs of Go.
            let is_new = self.not_go.insert(key);
            is_new.then(|| module.go_addresses()).flatten()
        };
        let found = |memory: SampledMemory| Some((addresses(memory.module())?, memory));
        let (addresses, memory) = memories.into_iter().find_map(found)?;
        let module = memory.module().clone();
        let id = symbols.module(&module);
        Some(match memory.scan_stack(addresses) {
            true => Script::Goroutines(Goroutines { how, module, id }),
            false => Script::None,
        })
    }

    /// Looks at the memory of the first instance whose module is an interpreter, if it is time.
    fn look(&mut self, sampler: &Sampler) -> Option<(SampledMemory, Search<Arc<dyn Interpreter>>)> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + AGAIN.max(now.duration_since(self.since) / SHARE);
        let memories = sampler.memories();
        let mut likely = memories.into_iter().take(MEMORIES);
        let found = |memory: SampledMemory| Some((self.language(memory.module())?, memory));
        let (language, memory) = likely.find_map(found)?;
        self.seen.get_or_insert((now, language));
        let search = language.find(&memory, &mut self.room);
        Some((memory, search))
    }

    fn language(&mut self, module: &Module) -> Option<Language> {
        let key = module.bytes().as_ptr() as usize;
        *self.checked.entry(key).or_insert_with(|| Language::of(module))
    }
}

impl Following {
    fn script(
        how: GuestFrames,
        interpreter: Arc<dyn Interpreter>,
        memory: SampledMemory,
        symbols: &mut Symbols,
    ) -> Script {
        let module = memory.module();
        let name = interpreter.shape().evaluator;
        let info = module.info();
        let funcs = info.imported_functions..info.functions.len() as u32;
        let named = funcs.into_iter().find(|func| module.func_name(*func) == Some(name));
        Script::Following(Box::new(Following {
            how,
            module: symbols.module(module),
            interpreter,
            memory,
            functions: FunctionCache::default(),
            evaluator: named.map(Evaluator::named).unwrap_or_default(),
            is_named: named.is_some(),
        }))
    }

    fn places(
        &mut self,
        symbols: &mut Symbols,
        sample: &Sample<'_>,
        places: Vec<Place>,
    ) -> Vec<Place> {
        let call = |code, instruction| {
            let code = self.functions.get(&*self.interpreter, &self.memory, code, instruction)?;
            let line = code.line(instruction).unwrap_or(code.function.line);
            Some(Place::Script { func: symbols.script(&code.function), line })
        };
        let runs = runs(self.interpreter.shape(), sample.links(), call);
        let own = |place: &Place| match place {
            Place::Code { module, func, .. } if *module == self.module => Some(*func),
            _ => None,
        };
        if !self.is_named && !sample.is_truncated() {
            let size = |func| symbols.range(self.module, func).map_or(0, |range| range.len());
            let funcs = places.iter().filter_map(own).map(|func| (func, size(func)));
            self.evaluator.learn(self.interpreter.shape(), runs.len(), funcs);
        }
        let evaluator = self.evaluator.func();
        let is_evaluator = |place: Place| evaluator.is_some() && own(&place) == evaluator;
        mix(self.how, places, runs, is_evaluator, |place| {
            matches!(place, Place::Host | Place::Import { .. } | Place::Runtime(_))
        })
    }
}
