//! What is written down while a module runs, by host functions and by listeners.

use std::sync::{Arc, Mutex};
use wardian::{
    Backtrace, Error, Val, ValType,
    listener::{AbortReason, Call, FunctionListener},
    stack::StackIterator,
};

/// Lines in the order of what happened. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

/// With what the lines of listeners begin.
pub(crate) const LISTENER: char = '~';

impl Log {
    pub(crate) fn write(&self, line: String) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push(unnumbered(line));
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// A line without the numbers of types, and without how full a heap is, which differ from engine to engine: compiled
/// code forgets a reference after its last use.
fn unnumbered(mut line: String) -> String {
    if let Some((begin, rest)) = line.split_once(": the heap has")
        && let Some((_, end)) = rest.split_once("give it more")
    {
        line = format!("{begin}{end}");
    }
    if !line.contains("type #") {
        return line;
    }
    let mut parts = line.split("type #");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "type" + part.trim_start_matches(char::is_numeric))
}

/// Writes events down.
pub(crate) struct Ear(pub(crate) Log, pub(crate) &'static str);

impl Ear {
    fn write(&self, what: &str, call: &Call<'_>, more: &str) {
        let index = call.definition().index();
        self.0.write(format!("{LISTENER}{} {what} {index:?} {more}", self.1));
    }
}

/// References are handles, of which only null is the same everywhere.
fn values(types: &[ValType], slots: &[u64]) -> String {
    let mut text = String::new();
    let mut at = 0;
    for ty in types {
        let end = at + ty.slots();
        let Some(value) = slots.get(at..end) else { break };
        match ty {
            ValType::Ref(_) => text += if value[0] == 0 { " null" } else { " ref" },
            ValType::I32 | ValType::F32 => text += &format!(" {:#x}", value[0] as u32),
            _ => text += &format!(" {value:x?}"),
        }
        at = end;
    }
    text
}

impl FunctionListener for Ear {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        let mut text = values(call.definition().param_types(), params) + " at";
        for _ in 0..6 {
            if stack.next() {
                let function = stack.function();
                let at = function.source_offset_for_pc(stack.program_counter());
                text += &format!(" {:?}:{at:?}", function.definition().index());
            }
        }
        self.write("before", call, &text);
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let what = if call.is_tail_call() { "tail" } else { "after" };
        self.write(what, call, &values(call.definition().result_types(), results));
    }

    fn abort(&self, call: &Call<'_>, reason: &AbortReason<'_>) {
        let reason = reason.error().map_or_else(|| reason.to_string(), kind);
        self.write("abort", call, &reason);
    }

    fn resumed(&self, call: &Call<'_>) {
        self.write("resumed", call, "");
    }
}

/// An error without its place.
pub(crate) fn kind(error: &Error) -> String {
    match error.exception() {
        Some(exception) => {
            // With the tag, but without the values, of which references name their store.
            let text = format!("{exception:?}");
            text.split(", values").next().unwrap_or_default().to_owned()
        }
        None => format!("{:?}", error.kind()),
    }
}

/// An error with its place, and with what an exception carries.
pub(crate) fn error(error: &Error) -> String {
    let values = error.exception().map(|e| e.values().iter().map(carried).collect::<String>());
    let place = error.backtrace().map(backtrace).unwrap_or_default();
    kind(error) + &values.unwrap_or_default() + &place
}

/// A value of an exception; of a reference only whether it is null, which is the same everywhere.
fn carried(value: &Val) -> String {
    let is_null = match value {
        Val::FuncRef(func) => func.is_none(),
        Val::ExternRef(value) => value.is_none(),
        Val::AnyRef(any) => any.is_none(),
        Val::ExnRef(exception) => exception.is_none(),
        number => return format!(" {number:x?}"),
    };
    if is_null { " null".to_owned() } else { " ref".to_owned() }
}

/// Where a guest is.
pub(crate) fn backtrace(trace: &Backtrace) -> String {
    let frames = trace.frames().iter().take(8);
    frames.map(|f| format!(" {}:{:?}", f.func_index(), f.code_offset())).collect()
}
