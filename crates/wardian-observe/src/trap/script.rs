//! Calls of a program that a backtrace does not have: those that an interpreter in the guest runs, and those of a
//! goroutine that were not entered since it ran last.

use crate::script::mixed::{Evaluator, mix, runs};
use crate::script::{Bytes, GuestFrames, Language, ScriptFunction, Search};
use wardian::inspect::{FuncIndex, InternalModule};
use wardian::{Frame, Val};

/// A call of the program.
#[derive(Debug)]
pub(super) struct ScriptCall {
    pub(super) function: ScriptFunction,
    pub(super) line: Option<u32>,
}

/// A call that is shown: by its position among the frames, or among the calls of the program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    Frame(usize),
    Script(usize),
}

/// The calls of a backtrace, with those of the program that was running where they belong.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) items: Vec<Item>,
    /// Those of the backtrace, and then further ones.
    pub(super) frames: Vec<Frame>,
    pub(super) script: Vec<ScriptCall>,
}

impl Calls {
    /// The calls at a time when the guest stands. Without an instance they are the backtrace's.
    pub(super) fn new(
        frames: &[Frame],
        is_whole: bool,
        instance: Option<&InternalModule<'_>>,
        how: GuestFrames,
    ) -> Calls {
        let items = (0..frames.len()).map(Item::Frame).collect();
        let mut calls = Calls { items, frames: frames.to_vec(), script: Vec::new() };
        if how != GuestFrames::Off
            && let Some(instance) = instance
            && calls.add_go(instance, how).is_none()
        {
            calls.add_script(frames, is_whole, instance, how);
        }
        calls
    }

    /// Adds calls of the goroutine that runs. None if it is no program of Go.
    fn add_go(&mut self, instance: &InternalModule<'_>, how: GuestFrames) -> Option<()> {
        let module = instance.module().filter(|module| module.go_addresses().is_some())?;
        let own = |frame: &Frame| frame.module().bytes().as_ptr() == module.bytes().as_ptr();
        let funcs = self.frames.iter().map(|f| if own(f) { f.func_index() } else { u32::MAX });
        let funcs: Vec<u32> = funcs.collect();
        let Some(Val::I32(sp)) = instance.global(0) else { return Some(()) };
        let memory = instance.memory(0)?;
        let word = |at: u32| {
            let mut word = [0; 8];
            Bytes::read(&memory, at as usize, &mut word).then(|| u64::from_le_bytes(word))
        };
        let (inner, callers) = module.go_callers(&funcs, sp.cast_unsigned(), &word);
        if callers.is_empty() {
            return Some(());
        }
        let first = self.frames.len();
        let added = (first..first + callers.len()).map(Item::Frame);
        if how == GuestFrames::Only {
            // Behind them there is nothing but what enters goroutines again.
            self.items.truncate(inner);
        }
        self.items.splice(inner..inner, added);
        self.frames.extend(callers);
        Some(())
    }

    fn add_script(
        &mut self,
        frames: &[Frame],
        is_whole: bool,
        instance: &InternalModule<'_>,
        how: GuestFrames,
    ) -> Option<()> {
        let module = instance.module()?;
        let language = Language::of(&module)?;
        let memory = instance.memory(0)?;
        let Search::Found(interpreter) = language.find(&memory, &mut Vec::new()) else {
            return None;
        };
        let script = &mut self.script;
        let call = |code, instruction| {
            let code = interpreter.code(&memory as &dyn Bytes, code)?;
            let line = code.line(instruction);
            script.push(ScriptCall { function: code.function, line });
            Some(Item::Script(script.len() - 1))
        };
        let runs = runs(interpreter.shape(), interpreter.links(&memory).into_iter(), call);
        let own = |frame: &Frame| frame.module().bytes().as_ptr() == module.bytes().as_ptr();
        let evaluator = interpreter.shape().evaluator;
        let named = |frame: &Frame| frame.module().func_name(frame.func_index()) == Some(evaluator);
        let found = match frames.iter().filter(|frame| own(frame)).find(|frame| named(frame)) {
            Some(frame) => Evaluator::named(frame.func_index()),
            None => {
                let mut evaluator = Evaluator::default();
                let info = module.info();
                let size = |func: u32| {
                    let body = info.defined_function(FuncIndex::from_u32(func))?;
                    info.bodies.get(body).map(|body| body.len())
                };
                let funcs = frames.iter().filter(|frame| own(frame)).map(Frame::func_index);
                let funcs = funcs.map(|func| (func, size(func).unwrap_or(0)));
                // Of a deep stack not all calls are known, so that nothing can be counted.
                match is_whole {
                    true => evaluator.learn(interpreter.shape(), runs.len(), funcs),
                    false => evaluator.learn_most(interpreter.shape(), funcs),
                }
                evaluator
            }
        };
        let is_evaluator = |item| match item {
            Item::Frame(at) => own(&frames[at]) && found.func() == Some(frames[at].func_index()),
            Item::Script(_) => false,
        };
        self.items = mix(how, std::mem::take(&mut self.items), runs, is_evaluator, |_| false);
        Some(())
    }
}
