//! Names of guests on terminals and in pages.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A name of a guest's without what would move the cursor of a terminal or worse: control characters, line
/// ends among them, and what is invisible or changes the direction of writing. In their place are
/// replacement characters.
///
/// ```
/// assert_eq!(wardian_observe::printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
/// ```
pub fn printable(name: &str) -> String {
    // Guests choose names, and terminals obey control characters, some of them invisible ones.
    let is_format = |c: char| c.width().unwrap_or(0) == 0;
    name.chars().map(|c| if c.is_control() || is_format(c) { '\u{fffd}' } else { c }).collect()
}

/// Text for a page: what means something in HTML and XML is escaped.
///
/// ```
/// assert_eq!(wardian_observe::escape_html("a<b>"), "a&lt;b&gt;");
/// ```
pub fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A name in so many columns of a terminal, at least three: both of its ends if it has more.
///
/// ```
/// assert_eq!(wardian_observe::shorten("abcdefghij", 5), "ab…ij");
/// ```
pub fn shorten(name: &str, width: usize) -> String {
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
