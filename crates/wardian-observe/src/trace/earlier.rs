//! Calls that began before the trace did: of a guest that was running already when listeners were attached.
//!
//! ```text
//!   outermost   0  _start    began before            seen in the stack of the first call that is notified of
//!               1  parse     began before
//!               2  lex       the call that begins
//! ```
//!
//! Nobody is notified of their ends. A call has ended if a later one begins no further in, or if another function is where
//! it was. Another call of the same function would have been notified of.

use super::format::End;
use super::function::Function;
use super::options::TraceOptions;
use super::state::{Frame, State};
use std::sync::Arc;
use wardian::{listener::Call, stack::StackIterator};

/// Which function a call is of: where its module's bytes lie, and its index.
pub(super) type Identity = (usize, u32);

/// Such a call.
pub(super) struct Earlier {
    /// Calls around it.
    outside: usize,
    identity: Identity,
}

impl State {
    /// Whether there may be such calls in a call's store.
    pub(super) fn may_have_earlier(&mut self, call: &Call<'_>) -> bool {
        let at = self.lane(call.store_id());
        let lane = &self.lanes[at];
        !self.finished && (lane.is_new || lane.earlier > 0)
    }

    /// A call begins: looks for those that began before the trace, and for those of them that have ended. Its stack
    /// is only walked if there may be any.
    #[cold]
    pub(super) fn look_for_earlier(
        &mut self,
        call: &Call<'_>,
        options: &TraceOptions,
        stack: &mut StackIterator<'_>,
    ) {
        let at = self.lane(call.store_id());
        if !self.lanes[at].is_new {
            self.end_earlier(at, stack);
            return;
        }
        // The first one is the call itself.
        let mut around = Vec::new();
        let mut is_first = true;
        while stack.next() {
            let definition = stack.function().definition();
            let function = (!is_first && options.chooses(&definition))
                .then(|| Function::new(&definition, options));
            around.push((identity(stack), function));
            is_first = false;
        }
        for (outside, (identity, function)) in around.into_iter().rev().enumerate() {
            let Some(function) = function else { continue };
            let function = self.number(function);
            self.begin_frame(at, &function, call, None, Some(Earlier { outside, identity }));
            self.lanes[at].earlier += 1;
        }
    }

    /// Ends those that are no longer on a stack, the innermost first.
    fn end_earlier(&mut self, at: usize, stack: &mut StackIterator<'_>) {
        let mut calls = Vec::new();
        while stack.next() {
            calls.push(identity(stack));
        }
        // The outermost comes first, the call that begins last.
        calls.reverse();
        let around = &calls[..calls.len().saturating_sub(1)];
        let is_there = |earlier: &Earlier| around.get(earlier.outside) == Some(&earlier.identity);
        let ended =
            |frame: &Frame| frame.earlier.as_ref().is_some_and(|earlier| !is_there(earlier));
        let Some(first) = self.lanes[at].frames.iter().position(ended) else { return };
        let now = self.now();
        while self.lanes[at].frames.len() > first {
            let Some(frame) = self.lanes[at].frames.pop() else { break };
            self.lanes[at].earlier -= usize::from(frame.earlier.is_some());
            let function: Arc<Function> = self.function(frame.function);
            let end = End::Left("its end was not seen".into());
            self.end_frame(at, &function, &frame, now, end, None);
        }
    }
}

fn identity(stack: &StackIterator<'_>) -> Identity {
    let definition = stack.function().definition();
    let module = definition.module().map_or(0, |module| module.bytes().as_ptr() as usize);
    (module, definition.index().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use crate::{TraceBuffer, TraceFormat, TraceListener, TraceOptions};
    use wardian::{Caller, Config, Engine, EngineKind, Instance, Linker, Module, Store};

    /// `attach` is called in `first`, which has called `leaf` before.
    const GUEST: &str = r#"(module
      (import "h" "attach" (func $attach))
      (func $leaf)
      (func $first (call $leaf) (call $attach) (call $leaf) (call $leaf))
      (func $second (call $leaf))
      (func $middle (call $first) (call $second))
      (func $unchosen (call $first))
      (func (export "run") (call $middle) (call $leaf) (call $unchosen)))"#;

    /// What a trace shows that is attached by the guest's first call of the host.
    fn trace(kind: EngineKind, options: TraceOptions) -> String {
        let engine = Engine::new(Config::new().engine(kind)).unwrap();
        let module = Module::new(&engine, GUEST).unwrap();
        let buffer = TraceBuffer::new(1 << 20);
        let trace = TraceListener::new(buffer.clone(), options);
        let mut store: Store<Option<(Instance, TraceListener)>> = Store::new(&engine, None);
        let mut linker = Linker::new(&engine);
        let attach = |mut caller: Caller<'_, Option<(Instance, TraceListener)>>| {
            if let Some((instance, trace)) = caller.data_mut().take() {
                instance.attach(&mut caller, trace).unwrap().keep();
            }
        };
        linker.func_wrap("h", "attach", attach).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        *store.data_mut() = Some((instance, trace.clone()));
        instance.typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
        trace.finish().unwrap();
        // Without times.
        let text = String::from_utf8(buffer.contents()).unwrap();
        let time = |part: &str| part.split_once('>').map_or(part, |(_, rest)| rest).to_owned();
        let mut parts = text.split(" <");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |text, part| text + &time(part))
    }

    fn engines() -> Vec<EngineKind> {
        match cfg!(feature = "jit") {
            true => vec![EngineKind::Compiled, EngineKind::Tiered, EngineKind::Interpreted],
            false => vec![EngineKind::Interpreted],
        }
    }

    #[test]
    fn calls_that_began_before_nest_with_those_that_begin() {
        let options = || TraceOptions::new().with_earlier_calls(true);
        for kind in engines() {
            let only = ["run", "first", "second", "middle", "leaf"];
            let only = only.into_iter().fold(options(), TraceOptions::with_only);
            let expected = "\
run(...) {
  middle(...) {
    first(...) {
      leaf()
      leaf()
    } = ? its end was not seen first
    second() {
      leaf()
    } second
  } = ? its end was not seen middle
  leaf()
  first() {
    leaf()
    leaf()
    leaf()
  } first
} = ? unfinished run
";
            assert_eq!(trace(kind, only), expected, "{kind:?}");
            // Of those that are not chosen nothing is shown, nor counted.
            let only = options().with_only("leaf").with_only("middle");
            let expected = "\
middle(...) {
  leaf()
  leaf()
  leaf()
} = ? its end was not seen middle
leaf()
leaf()
leaf()
leaf()
";
            assert_eq!(trace(kind, only), expected, "{kind:?}");
            let json = trace(kind, options().with_format(TraceFormat::Json).with_only("middle"));
            assert!(!json.contains("middle"), "no call begins that listeners are notified of");
        }
    }

    #[test]
    fn nothing_is_assumed_unless_it_is_asked_for() {
        for kind in engines() {
            let text = trace(kind, TraceOptions::new());
            assert!(text.starts_with("leaf()\n") && !text.contains("..."), "{kind:?}: {text}");
        }
    }
}
