//! Names of guests on terminals and in pages.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A name without what would move the cursor or worse.
pub(crate) fn printable(name: &str) -> String {
    // Guests choose names, and terminals obey control characters, some of them invisible ones.
    let is_format = |c: char| c.width().unwrap_or(0) == 0;
    name.chars().map(|c| if c.is_control() || is_format(c) { '\u{fffd}' } else { c }).collect()
}

/// Text in a page.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A name in so many columns: both of its ends if it has more.
pub(crate) fn shorten(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let half = (width - 1) / 2;
    let fitting = |chars: &mut dyn Iterator<Item = char>| {
        let mut used = 0;
        let fits = |c: &char| {
            used += c.width().unwrap_or(0);
            used <= half
        };
        chars.take_while(fits).collect::<Vec<char>>()
    };
    let start = fitting(&mut name.chars());
    let end = fitting(&mut name.chars().rev());
    start.into_iter().chain(['…']).chain(end.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::{printable, shorten};
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn long_and_strange_names_fit() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcdefghij", 5), "ab…ij");
        assert!(shorten("字字字字字字字字", 7).width() <= 7);
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
