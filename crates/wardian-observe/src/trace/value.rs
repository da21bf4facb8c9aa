//! Values as text for people or as JSON, written into a buffer that is there already.

use std::io::Write;
use wardian::ValType;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// For people: `3, "etc/hosts"`.
    Text,
    /// For people, with the names of WASI's parameters: `fd=3, path="etc/hosts"`.
    Named,
    /// The inside of a JSON object.
    Json,
}

/// A list of values, each of which may have a name.
pub(super) struct Fields<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) style: Style,
    empty: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, style: Style) -> Fields<'a> {
        Fields { out, style, empty: true }
    }

    /// Begins the next value.
    pub(super) fn name(&mut self, name: &str) {
        let separator: &[u8] = if self.style == Style::Json { b"," } else { b", " };
        if !self.empty {
            self.out.extend_from_slice(separator);
        }
        self.empty = false;
        match self.style {
            Style::Text => {}
            Style::Named => {
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
            Style::Json => {
                self.out.push(b'"');
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
        }
    }

    /// A word of ours, such as a flag.
    pub(super) fn word(&mut self, word: impl std::fmt::Display) {
        let quote: &[u8] = if self.style == Style::Json { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        // A vector takes all.
        let _ = write!(self.out, "{word}");
        self.out.extend_from_slice(quote);
    }

    /// A string of the guest's, of which `cut` says that more came after it.
    pub(super) fn string(&mut self, bytes: &[u8], cut: bool) {
        if self.style == Style::Json {
            self.out.push(b'"');
            escape_json(self.out, bytes, cut);
            self.out.extend_from_slice(if cut { "…\"".as_bytes() } else { b"\"" });
        } else {
            self.out.push(b'"');
            escape_text(self.out, bytes, cut);
            self.out.extend_from_slice(if cut { b"\"..." } else { b"\"" });
        }
    }

    /// Values with names, as one.
    pub(super) fn record(&mut self, fill: impl FnOnce(&mut Fields<'_>)) {
        self.out.push(b'{');
        let style = if self.style == Style::Text { Style::Named } else { self.style };
        fill(&mut Fields::new(self.out, style));
        self.out.push(b'}');
    }

    /// Values without names, as one.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Fields<'_>, T),
    ) {
        self.out.push(b'[');
        for (i, it) in items.into_iter().enumerate() {
            if i > 0 {
                self.out.extend_from_slice(if self.style == Style::Json { b"," } else { b", " });
            }
            item(&mut Fields::new(self.out, self.style), it);
        }
        self.out.push(b']');
    }
}

/// An integer of up to 64 bits: whether it is negative, and how far it is from zero.
pub(super) trait Integer {
    fn parts(self) -> (bool, u64);
}

macro_rules! integers {
    ($($unsigned:ty, $signed:ty;)*) => {
        $(impl Integer for $unsigned {
            #[inline]
            fn parts(self) -> (bool, u64) {
                (false, self as u64)
            }
        }
        impl Integer for $signed {
            #[inline]
            fn parts(self) -> (bool, u64) {
                (self < 0, self.unsigned_abs().into())
            }
        })*
    };
}

integers!(u32, i32; u64, i64;);

impl Integer for usize {
    #[inline]
    fn parts(self) -> (bool, u64) {
        (false, self as u64)
    }
}

/// An integer, in decimal. Digits are made in their final place: to read again what was just written in
/// smaller pieces, as a copy does, takes longer than to make them.
#[inline]
pub(super) fn integer(out: &mut Vec<u8>, value: impl Integer) {
    let (negative, mut rest) = value.parts();
    if rest < 10 && !negative {
        return out.push(b'0' + rest as u8);
    }
    let len = usize::from(negative) + rest.checked_ilog10().unwrap_or(0) as usize + 1;
    let begin = out.len();
    // Room of a constant size needs no call.
    out.extend_from_slice(&[b'-'; 24]);
    out.truncate(begin + len);
    let digits = &mut out[begin..];
    let mut at = len;
    let mut pair = |at: usize, number: u64| {
        let pair = number as usize * 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    };
    // Each division waits for the one before, so there are few.
    while rest >= 10_000 {
        let four = rest % 10_000;
        rest /= 10_000;
        at -= 4;
        pair(at + 2, four % 100);
        pair(at, four / 100);
    }
    if rest >= 100 {
        at -= 2;
        pair(at, rest % 100);
        rest /= 100;
    }
    if rest >= 10 {
        pair(at - 2, rest);
    } else {
        digits[at - 1] = b'0' + rest as u8;
    }
}

/// All numbers of two digits.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut i = 0;
    while i < 100 {
        pairs[2 * i] = b'0' + (i / 10) as u8;
        pairs[2 * i + 1] = b'0' + (i % 10) as u8;
        i += 1;
    }
    pairs
};

/// A value from its raw slots.
#[inline]
pub(super) fn value(out: &mut Vec<u8>, ty: ValType, slots: &[u64], json: bool) {
    let slot = slots.first().copied().unwrap_or_default();
    match ty {
        ValType::I32 => integer(out, slot as i32),
        ValType::I64 => integer(out, slot as i64),
        ValType::F32 => float(out, f32::from_bits(slot as u32), f32::is_finite, json),
        ValType::F64 => float(out, f64::from_bits(slot), f64::is_finite, json),
        ValType::V128 => {
            let quote = if json { "\"" } else { "" };
            let high = slots.get(1).copied().unwrap_or_default();
            let _ = write!(out, "{quote}0x{high:016x}{slot:016x}{quote}");
        }
        ValType::Ref(_) if slot == 0 => out.extend_from_slice(b"null"),
        ValType::Ref(_) => out.extend_from_slice(if json { b"\"ref\"" } else { b"ref" }),
    }
}

/// JSON has no numbers for what is not finite.
fn float<F: std::fmt::Debug + Copy>(
    out: &mut Vec<u8>,
    value: F,
    is_finite: impl Fn(F) -> bool,
    json: bool,
) {
    let quote = if json && !is_finite(value) { "\"" } else { "" };
    let _ = write!(out, "{quote}{value:?}{quote}");
}

/// A time in nanoseconds, with the unit that suits it.
pub(super) fn duration(out: &mut Vec<u8>, nanoseconds: u64) {
    let (unit, name): (u64, &[u8]) = match nanoseconds {
        0..1_000 => {
            integer(out, nanoseconds);
            return out.extend_from_slice(b"ns");
        }
        1_000..1_000_000 => (1_000, b"us"),
        1_000_000..1_000_000_000 => (1_000_000, b"ms"),
        _ => (1_000_000_000, b"s"),
    };
    thousandths(out, nanoseconds / (unit / 1000));
    out.extend_from_slice(name);
}

/// A number of thousandths with its three decimals.
pub(super) fn thousandths(out: &mut Vec<u8>, value: u64) {
    integer(out, value / 1000);
    let rest = value % 1000;
    let digit = |n: u64| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

/// Text that no terminal and no reader of lines takes for anything but text. `cut` says that an
/// incomplete character at the end is none of the guest's doing.
pub(super) fn escape_text(out: &mut Vec<u8>, bytes: &[u8], cut: bool) {
    for_each_char(bytes, cut, |part| match part {
        Ok('\n') => out.extend_from_slice(b"\\n"),
        Ok('\t') => out.extend_from_slice(b"\\t"),
        Ok('\r') => out.extend_from_slice(b"\\r"),
        Ok('\0') => out.extend_from_slice(b"\\0"),
        Ok(c @ ('"' | '\\')) => out.extend_from_slice(&[b'\\', c as u8]),
        Ok(c) if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        Ok(c) if is_deceptive(c) => {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        Ok(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Err(byte) => {
            let _ = write!(out, "\\x{byte:02x}");
        }
    });
}

/// The inside of a JSON string. Bytes that are no text become U+FFFD.
pub(super) fn escape_json(out: &mut Vec<u8>, bytes: &[u8], cut: bool) {
    for_each_char(bytes, cut, |part| match part {
        Ok('\n') => out.extend_from_slice(b"\\n"),
        Ok(c @ ('"' | '\\')) => out.extend_from_slice(&[b'\\', c as u8]),
        Ok(c) if c.is_control() || is_deceptive(c) => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        Ok(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Err(_) => out.extend_from_slice("\u{fffd}".as_bytes()),
    });
}

fn for_each_char(bytes: &[u8], cut: bool, mut each: impl FnMut(Result<char, u8>)) {
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        chunk.valid().chars().for_each(|c| each(Ok(c)));
        let is_last = chunks.peek().is_none();
        let incomplete =
            std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
        if !(cut && is_last && incomplete) {
            chunk.invalid().iter().for_each(|byte| each(Err(*byte)));
        }
    }
}

/// Control characters outside ASCII, and those that are not seen or change the direction of others. None
/// needs more than four hexadecimal digits.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        let text = |bytes: &[u8], cut| {
            let (mut text, mut json) = (Vec::new(), Vec::new());
            Fields::new(&mut text, Style::Text).string(bytes, cut);
            Fields::new(&mut json, Style::Json).string(bytes, cut);
            let json: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
            (
                String::from_utf8(text).expect("it is text"),
                json.as_str().expect("a string").to_owned(),
            )
        };
        for (bytes, cut, expected, json) in [
            (&b"a\"b\\\n"[..], false, r#""a\"b\\\n""#, "a\"b\\\n"),
            (b"\x1b[31m\x07\x7f", false, r#""\x1b[31m\x07\x7f""#, "\x1b[31m\x07\x7f"),
            ("é\u{202e}\u{9b}".as_bytes(), false, r#""é\u{202e}\u{9b}""#, "é\u{202e}\u{9b}"),
            (b"\xff\xc3", false, r#""\xff\xc3""#, "\u{fffd}\u{fffd}"),
            (b"abc\xc3", true, r#""abc"..."#, "abc…"),
        ] {
            assert_eq!(text(bytes, cut), (expected.to_owned(), json.to_owned()));
        }
    }

    #[test]
    fn integers() {
        let powers = (0..20).map(|n| 10u64.pow(n));
        for value in powers.flat_map(|p| [p - 1, p, p + 1]).chain([u64::MAX, 1 << 63]) {
            let mut out = Vec::new();
            integer(&mut out, value);
            out.push(b' ');
            integer(&mut out, value as i64);
            out.push(b' ');
            integer(&mut out, value as i32);
            let expected = format!("{value} {} {}", value as i64, value as i32);
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }

    #[test]
    fn durations() {
        for (nanoseconds, expected) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.000us"),
            (12_345, "12.345us"),
            (999_999_999, "999.999ms"),
            (61_000_456_789, "61.000s"),
        ] {
            let mut out = Vec::new();
            duration(&mut out, nanoseconds);
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }
}
