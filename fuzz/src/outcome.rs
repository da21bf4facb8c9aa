//! What happened while a body ran: the stable runner's only measure of what an input reached.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that something of this kind happened. Kinds are few: no numbers that vary freely.
pub fn note(kind: impl Into<String>) {
    SEEN.with(|seen| seen.borrow_mut().insert(kind.into()));
}

/// All kinds since the last time.
pub fn take() -> BTreeSet<String> {
    SEEN.with(|seen| std::mem::take(&mut *seen.borrow_mut()))
}

/// Notes an error by its kind: text without digits and what is quoted.
pub(crate) fn note_error(what: &str, error: &dyn std::fmt::Display) {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let mut quoted = false;
    let kind = first.chars().filter(|c| {
        quoted ^= matches!(c, '`' | '"');
        !quoted && c.is_ascii() && !c.is_ascii_digit()
    });
    note(format!("{what}: {}", kind.take(32).collect::<String>()));
}
