//! An indented tree for people: a line for a call in which nothing else is shown, two lines for others.

use super::{Beginning, End, Ending, Place, arguments, outcome};
use crate::trace::value::{Style, duration, integer};

/// Nested calls that are indented; how much deeper others are is shown by a number.
const INDENTED: usize = 60;

/// Text for people, of which the last line may be open.
pub(in crate::trace) struct Text {
    color: bool,
    /// The lane of the call whose line is not ended yet.
    open: Option<u32>,
}

impl Text {
    pub(in crate::trace) fn new(color: bool) -> Text {
        Text { color, open: None }
    }

    #[inline]
    pub(in crate::trace) fn begin(&mut self, out: &mut Vec<u8>, call: &Beginning<'_>) {
        self.end_line(out);
        indent(out, call.place);
        out.extend_from_slice(&call.function.head);
        arguments(out, call, Style::Text);
        out.push(b')');
        self.open = Some(call.place.lane);
    }

    #[inline]
    pub(in crate::trace) fn end(&mut self, out: &mut Vec<u8>, call: &Ending<'_>) {
        let whole = self.open == Some(call.place.lane);
        let mut before: &[u8] = b" = ";
        if !whole {
            self.end_line(out);
            indent(out, call.place);
            out.push(b'}');
        }
        let red = self.color && is_failure(call);
        if red {
            before = b" = \x1b[31m";
        }
        outcome(out, call, before, Style::Text);
        let (on, off): (&[u8], &[u8]) = match (red, self.color) {
            (_, false) => (b" <", b">"),
            (false, true) => (b" \x1b[2m<", b">\x1b[0m"),
            (true, true) => (b"\x1b[0m \x1b[2m<", b">\x1b[0m"),
        };
        out.extend_from_slice(on);
        duration(out, call.duration);
        out.extend_from_slice(off);
        if !whole {
            out.extend_from_slice(&call.function.tail);
        }
        out.push(b'\n');
        self.open = None;
    }

    /// Ends the line that is open.
    #[inline]
    pub(in crate::trace) fn end_line(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.extend_from_slice(b" {\n");
        }
    }
}

fn is_failure(call: &Ending<'_>) -> bool {
    match &call.end {
        End::Returned(results) => call.function.system.is_some_and(|s| s.error(results).is_some()),
        End::Failed(_) => true,
        End::Left(_) | End::TailCall | End::Unfinished => false,
    }
}

fn indent(out: &mut Vec<u8>, place: Place) {
    if place.several {
        out.push(b'[');
        integer(out, place.lane);
        out.extend_from_slice(b"] ");
    }
    let shown = place.depth.min(INDENTED);
    out.resize(out.len() + 2 * shown, b' ');
    if let Some(more) = place.depth.checked_sub(INDENTED).filter(|more| *more > 0) {
        out.push(b'+');
        integer(out, more);
        out.push(b' ');
    }
}
