//! The text format, accepted wherever the binary format is.

use crate::DecodeError;
use std::borrow::Cow;

/// The binary form of `input`, which is either a binary module already or the text format.
///
/// # Errors
///
/// Text that does not parse: the message holds the line, the column and the line itself.
pub fn to_binary(input: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    if !looks_like_text(input) {
        return Ok(Cow::Borrowed(input));
    }
    wat::parse_bytes(input).map_err(|e| DecodeError::new(e.to_string(), None))
}

/// Text begins, after blanks and comments, with `(`. Anything else is left to the binary decoder,
/// whose message about the first bytes then says what was found.
fn looks_like_text(input: &[u8]) -> bool {
    if input.starts_with(b"\0") {
        return false;
    }
    let text = &input[..input.len().min(4096)];
    let first = text.iter().find(|b| !b.is_ascii_whitespace());
    match first {
        Some(b'(') => true,
        Some(b';') => text.windows(2).any(|w| w == b";;"),
        _ => false,
    }
}
