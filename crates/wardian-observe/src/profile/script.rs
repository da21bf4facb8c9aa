//! Following the calls of a program that an interpreter inside a sampled guest runs.
//!
//! Samples have pairs (code, instruction). What they mean is read from the guest's memory each time that samples
//! are read, which is often enough that the code is mostly still there: compiled code has no safepoints between calls
//! of the host at which the guest could be asked to wait. A record that was replaced meanwhile is noticed
//! by its fields, and an instruction that is none of the code's is left out.

use crate::script::mixed::{Evaluator, mix, runs};
use crate::script::{FunctionCache, GuestFrames, Interpreter, Search};
use crate::symbols::{ModuleId, Place, Symbols};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use wardian::{
    Module,
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
    /// There is none, or it is not wanted.
    None,
}

#[derive(Debug)]
pub(super) struct Looking {
    since: Instant,
    next: Instant,
    /// By where their bytes lie, whether modules look like an interpreter.
    checked: HashMap<usize, bool>,
    room: Vec<u8>,
    /// When an interpreter was first seen that has not been found yet.
    seen: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Following {
    how: GuestFrames,
    interpreter: Interpreter,
    memory: SampledMemory,
    module: ModuleId,
    functions: FunctionCache,
    evaluator: Evaluator,
    is_named: bool,
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
            room: Vec::new(),
            seen: None,
        })
    }

    /// Whether samples should be read often.
    pub(super) fn is_urgent(&self) -> bool {
        match self {
            Script::Looking(looking) => looking.seen.is_some(),
            Script::Following(_) => true,
            Script::None => false,
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
            Script::None => None,
            Script::Following(following) => {
                following.functions.begin();
                None
            }
            Script::Looking(looking) => {
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
            Script::Looking(Looking { seen: Some(seen), .. }) if seen.elapsed() >= ENOUGH => Some(
                "The guest looks like CPython, but of a version or build whose frames cannot be read (3.11 to \
                 3.14 for 32 bits are known), so the program that it runs is not shown."
                    .into(),
            ),
            Script::Following(following) => {
                *self = Script::Following(following);
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
            _ => places,
        }
    }
}

impl Looking {
    /// Looks at the memory of the first instance whose module is an interpreter, if it is time.
    fn look(&mut self, sampler: &Sampler) -> Option<(SampledMemory, Search)> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + AGAIN.max(now.duration_since(self.since) / SHARE);
        let memories = sampler.memories();
        let mut likely = memories.into_iter().take(MEMORIES);
        let memory = likely.find(|memory| self.is_interpreter(memory.module()))?;
        self.seen.get_or_insert(now);
        let search = Interpreter::find(&memory, &mut self.room);
        Some((memory, search))
    }

    fn is_interpreter(&mut self, module: &Module) -> bool {
        let key = module.bytes().as_ptr() as usize;
        *self.checked.entry(key).or_insert_with(|| Interpreter::is_in(module))
    }
}

impl Following {
    fn script(
        how: GuestFrames,
        interpreter: Interpreter,
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
            let code = self.functions.get(&self.interpreter, &self.memory, code, instruction)?;
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
            self.evaluator.learn(runs.len(), funcs);
        }
        let evaluator = self.evaluator.func();
        let is_evaluator = |place: Place| evaluator.is_some() && own(&place) == evaluator;
        mix(self.how, places, runs, is_evaluator, |place| {
            matches!(place, Place::Host | Place::Import { .. } | Place::Runtime(_))
        })
    }
}
