//! A line for each beginning and each end.

use super::{Beginning, End, Ending, Place, arguments, outcome};
use crate::trace::value::{Style, integer};

/// Tabs at most.
const INDENTED: usize = 60;

pub(in crate::trace) fn begin(out: &mut Vec<u8>, call: &Beginning<'_>) {
    indent(out, call.place);
    out.extend_from_slice(&call.function.head);
    arguments(out, call, Style::Named);
    out.extend_from_slice(b")\n");
}

pub(in crate::trace) fn end(out: &mut Vec<u8>, call: &Ending<'_>) {
    indent(out, call.place);
    out.extend_from_slice(b"<== ");
    match &call.end {
        End::Returned(results) if call.function.system.is_none() => {
            out.push(b'(');
            super::results(out, call, results, false);
            out.push(b')');
        }
        _ => outcome(out, call, b"", Style::Named),
    }
    out.push(b'\n');
}

fn indent(out: &mut Vec<u8>, place: Place) {
    if place.several {
        out.push(b'[');
        integer(out, place.lane);
        out.extend_from_slice(b"] ");
    }
    out.resize(out.len() + place.depth.min(INDENTED), b'\t');
}
