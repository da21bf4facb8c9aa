//! The text format, accepted wherever the binary format is.

use crate::DecodeError;
use std::borrow::Cow;

/// The binary form of `input`, which is either a binary module already or the text format.
///
/// # Errors
///
/// Text that does not parse: the message holds the line, the column and the line itself. Any text, in a build without
/// the feature `wat`.
pub fn to_binary(input: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    if !looks_like_text(input) {
        return Ok(Cow::Borrowed(input));
    }
    parse(input)
}

#[cfg(feature = "wat")]
fn parse(input: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    wat::parse_bytes(input).map_err(|e| DecodeError::new(e.to_string(), None))
}

#[cfg(not(feature = "wat"))]
fn parse(_: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    let why = "a module in the text format, which this build of Wardian does not read: it was made without the feature \
               `wat`";
    Err(DecodeError::new(why.to_owned(), None))
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

#[cfg(test)]
mod tests {
    use super::to_binary;

    #[test]
    fn text_is_read_or_the_feature_is_named() {
        let text = b"(; a comment ;) (module (func))";
        match (to_binary(text), cfg!(feature = "wat")) {
            (Ok(binary), true) => assert!(binary.starts_with(b"\0asm")),
            (Err(error), false) => {
                assert!(error.to_string().contains("the feature `wat`"), "{error}");
            }
            (other, _) => panic!("{other:?}"),
        }
        assert_eq!(
            *to_binary(b"\0asm\x01\0\0\0").expect("binary stays as it is"),
            *b"\0asm\x01\0\0\0"
        );
    }
}
