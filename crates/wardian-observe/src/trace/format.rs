//! The formats, and what they have in common: calls that begin, and calls that end.

pub(super) mod chrome;
pub(super) mod json;
pub(super) mod log;
pub(super) mod text;

use super::function::Function;
use super::references::reference;
use super::value::{Fields, Style, escape_json, escape_text, value};
use super::wasi::Reader;
use wardian::{Val, ValType, listener::Call};

/// A call that begins, or is resumed.
pub(super) struct Beginning<'a> {
    pub(super) function: &'a Function,
    /// None if the call is resumed: its parameters may have changed since it began.
    pub(super) params: Option<&'a [u64]>,
    pub(super) reader: Option<Reader<'a>>,
    pub(super) call: &'a Call<'a>,
    pub(super) place: Place,
}

/// Where a call is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) lane: u32,
    /// Whether there are several lanes.
    pub(super) several: bool,
    pub(super) depth: usize,
}

/// A call that ends.
pub(super) struct Ending<'a> {
    pub(super) function: &'a Function,
    pub(super) place: Place,
    pub(super) id: u64,
    /// When it began, and how long it took, in nanoseconds.
    pub(super) start: u64,
    pub(super) duration: u64,
    pub(super) resumed: bool,
    pub(super) end: End<'a>,
    /// Its arguments, as [`arguments`] wrote them when it began, for formats that want them at the end.
    pub(super) arguments: &'a [u8],
    /// Its parameters, if they say where its answers are.
    pub(super) slots: &'a [u64],
    pub(super) reader: Option<Reader<'a>>,
    /// The call; none if only the trace ends.
    pub(super) call: Option<&'a Call<'a>>,
}

/// How a call ends.
pub(super) enum End<'a> {
    Returned(&'a [u64]),
    TailCall,
    /// It ends with an error.
    Failed(String),
    /// It is left, by an exit or a restored snapshot.
    Left(String),
    /// It does not: the trace does.
    Unfinished,
}

/// Writes the arguments of a call.
#[inline]
pub(super) fn arguments(out: &mut Vec<u8>, call: &Beginning<'_>, style: Style) {
    let Some(params) = call.params else {
        if style != Style::Json {
            out.extend_from_slice(b"...");
        }
        return;
    };
    if let (Some(system), Some(reader)) = (call.function.system, &call.reader) {
        return reader.arguments(system, params, &mut Fields::new(out, style));
    }
    let mut slots = params;
    for (i, param) in call.function.params.iter().enumerate() {
        out.extend_from_slice(&param.head);
        match shown_reference(param.ty, slots, || call.call.param(i)) {
            Some(value) => reference(out, call.call, &value, style == Style::Json),
            None => value(out, param.ty, slots, style == Style::Json),
        }
        slots = slots.get(param.ty.slots()..).unwrap_or_default();
    }
}

/// The value of a reference that is not null, so that what it refers to can be shown.
#[inline]
fn shown_reference(ty: ValType, slots: &[u64], get: impl FnOnce() -> Option<Val>) -> Option<Val> {
    let is_reference =
        matches!(ty, ValType::Ref(_)) && slots.first().is_some_and(|slot| *slot != 0);
    if is_reference { get() } else { None }
}

/// Writes results.
fn results(out: &mut Vec<u8>, ending: &Ending<'_>, slots: &[u64], json: bool) {
    let mut slots = slots;
    for (i, ty) in ending.function.results.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(if json { b"," } else { b", " });
        }
        let shown = shown_reference(*ty, slots, || ending.call?.result(i));
        match (shown, ending.call) {
            (Some(value), Some(call)) => reference(out, call, &value, json),
            _ => value(out, *ty, slots, json),
        }
        slots = slots.get(ty.slots()..).unwrap_or_default();
    }
}

/// Writes what a call gave, for people; nothing if that is nothing.
fn outcome(out: &mut Vec<u8>, ending: &Ending<'_>, before: &[u8], style: Style) {
    let types = &ending.function.results;
    match &ending.end {
        End::Returned(_) if types.is_empty() => return,
        _ => out.extend_from_slice(before),
    }
    let slots = match &ending.end {
        End::Returned(slots) => slots,
        End::TailCall => return out.extend_from_slice(b"(tail call)"),
        End::Unfinished => return out.extend_from_slice(b"? unfinished"),
        End::Failed(reason) | End::Left(reason) => {
            out.extend_from_slice(b"? ");
            return escape_text(out, reason.as_bytes(), false);
        }
    };
    match ending.function.system {
        Some(system) if !system.has_value() => match system.error(slots) {
            Some(error) => out.extend_from_slice(error.as_bytes()),
            None => {
                let begin = out.len();
                if let Some(reader) = &ending.reader {
                    reader.answers(system, ending.slots, &mut Fields::new(out, style));
                }
                if out.len() == begin {
                    out.push(b'0');
                }
            }
        },
        _ => results(out, ending, slots, false),
    }
}

/// Writes what a call gave as members of a JSON object.
fn outcome_json(out: &mut Vec<u8>, ending: &Ending<'_>) {
    match &ending.end {
        End::Returned(slots) => {
            out.extend_from_slice(b",\"results\":[");
            results(out, ending, slots, true);
            out.push(b']');
            answers_json(out, ending, slots);
        }
        End::TailCall => out.extend_from_slice(b",\"tail_call\":true"),
        End::Unfinished => out.extend_from_slice(b",\"unfinished\":true"),
        End::Failed(reason) | End::Left(reason) => {
            out.extend_from_slice(b",\"abort\":\"");
            escape_json(out, reason.as_bytes(), false);
            out.push(b'"');
        }
    }
    if ending.resumed {
        out.extend_from_slice(b",\"resumed\":true");
    }
}

fn answers_json(out: &mut Vec<u8>, ending: &Ending<'_>, results: &[u64]) {
    let Some(system) = ending.function.system.filter(|system| !system.has_value()) else { return };
    match system.error(results) {
        Some(error) => {
            out.extend_from_slice(b",\"errno\":\"");
            out.extend_from_slice(error.as_bytes());
            out.push(b'"');
        }
        None => {
            out.extend_from_slice(b",\"out\":{");
            if let Some(reader) = &ending.reader {
                reader.answers(system, ending.slots, &mut Fields::new(out, Style::Json));
            }
            out.push(b'}');
        }
    }
}
