//! The trace event format: an array of complete events, which viewers also read if its end is missing.

use super::{Ending, outcome_json};
use crate::trace::value::{escape_json, integer, thousandths};

#[inline]
pub(in crate::trace) fn call(out: &mut Vec<u8>, call: &Ending<'_>) {
    out.extend_from_slice(b",\n{\"ph\":\"X\",\"pid\":1,\"tid\":");
    integer(out, call.place.lane);
    out.extend_from_slice(b",\"ts\":");
    thousandths(out, call.start);
    out.extend_from_slice(b",\"dur\":");
    thousandths(out, call.duration);
    out.extend_from_slice(&call.function.head);
    out.extend_from_slice(call.arguments);
    out.push(b'}');
    outcome_json(out, call);
    out.extend_from_slice(b"}}");
}

/// What comes first.
pub(in crate::trace) const BEGIN: &[u8] =
    b"[\n{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"wardian\"}}";

/// A lane that is new.
pub(in crate::trace) fn lane(out: &mut Vec<u8>, lane: u32, thread: &str) {
    out.extend_from_slice(b",\n{\"ph\":\"M\",\"pid\":1,\"tid\":");
    integer(out, lane);
    out.extend_from_slice(b",\"name\":\"thread_name\",\"args\":{\"name\":\"");
    escape_json(out, thread.as_bytes(), false);
    out.extend_from_slice(b"\"}}");
}

/// The end of the trace.
pub(in crate::trace) fn end(out: &mut Vec<u8>, dropped: u64, from: Option<u64>) {
    if let Some(from) = from {
        out.extend_from_slice(b",\n{\"ph\":\"i\",\"s\":\"g\",\"pid\":1,\"tid\":0,\"ts\":");
        thousandths(out, from);
        out.extend_from_slice(b",\"name\":\"limit reached\",\"args\":{\"dropped\":");
        integer(out, dropped);
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(b"\n]\n");
}
