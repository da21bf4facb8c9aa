//! The short form of a report: what the guest's own code was doing.

use super::script::{Calls, Item, ScriptCall};
use super::shown;
use crate::library::is_library;
use crate::sources::Sources;
use std::fmt;
use wardian::{Backtrace, Frame, inspect::SourceLocation};

/// Calls that are shown.
const SHOWN: usize = 8;
/// So many calls of libraries in a row take one line.
const FOLDED: usize = 2;

/// A call as it is shown.
struct Call {
    name: String,
    offset: Option<usize>,
    /// The innermost place in it that is no library's, else the outermost.
    place: Option<SourceLocation>,
    is_library: bool,
}

impl Call {
    fn of(frame: &Frame) -> Call {
        let (module, name) = (frame.module(), frame.definition().display_name());
        let mut places = frame.source_locations();
        let is_own = |place: &SourceLocation| {
            let function = place.function.as_deref().unwrap_or(&name);
            !is_library(module, function, Some(place))
        };
        let own = places.iter().position(is_own).or(places.len().checked_sub(1));
        let place = own.map(|own| places.swap_remove(own));
        let is_library = is_library(module, &name, place.as_ref());
        Call { name, offset: frame.file_offset(), place, is_library }
    }

    /// A call of a program that an interpreter runs: that is the user's own code.
    fn of_script(call: &ScriptCall) -> Call {
        let place = SourceLocation {
            file: call.function.file.to_string(),
            line: call.line,
            column: None,
            function: None,
            approximate: false,
        };
        let name = call.function.name.to_string();
        Call { name, offset: None, place: Some(place), is_library: false }
    }
}

/// Writes where in the guest's own code it happened, and the innermost calls.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    backtrace: &Backtrace,
    among: &Calls,
    hint: Option<&str>,
) -> fmt::Result {
    let is_interpreted = !among.script.is_empty();
    let call = |item: &Item| match *item {
        Item::Frame(at) => {
            let call = Call::of(&among.frames[at]);
            // What an interpreter does for the program is the language's.
            Call { is_library: call.is_library || is_interpreted, ..call }
        }
        Item::Script(at) => Call::of_script(&among.script[at]),
    };
    let mut calls: Vec<Call> = among.items.iter().map(call).collect();
    let own = calls.iter().position(|call| !call.is_library);
    match own {
        Some(own) => write_place(f, &calls[own])?,
        // A program of nothing but libraries: there is nothing to distinguish.
        None => calls.iter_mut().for_each(|call| call.is_library = false),
    }
    f.write_str("\nguest backtrace, innermost call first:")?;
    let (mut at, mut lines, mut folded) = (0, 0, false);
    while at < calls.len() && lines < SHOWN {
        let library = calls[at..].iter().take_while(|call| call.is_library).count();
        lines += 1;
        if library >= FOLDED {
            write!(f, "\n       ({library} calls of the language's library)")?;
            (at, folded) = (at + library, true);
            continue;
        }
        write_call(f, at, &calls[at])?;
        at += 1;
    }
    let more = calls.len() - at + backtrace.omitted();
    if more > 0 {
        write!(f, "\n  ... and {more} more")?;
    }
    if let Some(why) = backtrace.unknown_lines() {
        write!(f, "\n  {why}")?;
    }
    match hint {
        Some(hint) if more > 0 || folded || !calls.is_empty() => write!(f, "\n  ({hint})"),
        _ => Ok(()),
    }
}

/// The place with the text of its line, if the source is there.
fn write_place(f: &mut fmt::Formatter<'_>, call: &Call) -> fmt::Result {
    let Some(place) = &call.place else { return Ok(()) };
    let function = place.function.as_deref().unwrap_or(&call.name);
    write!(f, "\nin {}", shown(function))?;
    write_at(f, place)?;
    let text = place.line.and_then(|line| Sources::default().line(&place.file, line));
    match (place.line, text) {
        (Some(line), Some(text)) => write!(f, "\n  {line} | {}", shown(text.trim())),
        _ => Ok(()),
    }
}

fn write_call(f: &mut fmt::Formatter<'_>, number: usize, call: &Call) -> fmt::Result {
    write!(f, "\n  {number:>3}: {}", shown(&call.name))?;
    if let Some(offset) = call.offset {
        write!(f, " (offset {offset:#x})")?;
    }
    let Some(place) = &call.place else { return Ok(()) };
    match &place.function {
        // Of code that was inlined.
        Some(function) if *function != call.name => write!(f, " in {}", shown(function))?,
        _ => {}
    }
    write_at(f, place)
}

fn write_at(f: &mut fmt::Formatter<'_>, place: &SourceLocation) -> fmt::Result {
    write!(f, " at {}", shown(&place.file))?;
    if let Some(line) = place.line {
        write!(f, ":{line}")?;
    }
    if place.approximate { f.write_str(" (approximate)") } else { Ok(()) }
}
