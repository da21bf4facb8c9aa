//! A JSON object on each line: of each call when it ends.

use super::{Ending, outcome_json};
use crate::trace::value::{escape_json, integer};

#[inline]
pub(in crate::trace) fn call(out: &mut Vec<u8>, call: &Ending<'_>) {
    out.extend_from_slice(b"{\"event\":\"call\",\"lane\":");
    integer(out, call.place.lane);
    out.extend_from_slice(b",\"id\":");
    integer(out, call.id);
    out.extend_from_slice(b",\"depth\":");
    integer(out, call.place.depth);
    out.extend_from_slice(b",\"ts\":");
    integer(out, call.start);
    out.extend_from_slice(b",\"dur\":");
    integer(out, call.duration);
    out.extend_from_slice(&call.function.head);
    out.extend_from_slice(call.arguments);
    out.push(b'}');
    outcome_json(out, call);
    out.extend_from_slice(b"}\n");
}

/// A lane that is new.
pub(in crate::trace) fn lane(out: &mut Vec<u8>, lane: u32, store: u64, thread: &str) {
    out.extend_from_slice(b"{\"event\":\"lane\",\"lane\":");
    integer(out, lane);
    out.extend_from_slice(b",\"store\":");
    integer(out, store);
    out.extend_from_slice(b",\"thread\":\"");
    escape_json(out, thread.as_bytes(), false);
    out.extend_from_slice(b"\"}\n");
}

/// The end of the trace.
pub(in crate::trace) fn end(out: &mut Vec<u8>, calls: u64, dropped: u64, from: Option<u64>) {
    out.extend_from_slice(b"{\"event\":\"end\",\"calls\":");
    integer(out, calls);
    out.extend_from_slice(b",\"dropped\":");
    integer(out, dropped);
    if let Some(from) = from {
        out.extend_from_slice(b",\"dropped_from\":");
        integer(out, from);
    }
    out.extend_from_slice(b"}\n");
}
