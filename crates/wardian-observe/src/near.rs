//! Names that are similar to one that fits no function.

use std::cmp::Reverse;

/// Bytes of a name that is compared; nobody mistypes longer ones.
const LONGEST: usize = 256;
/// How many names are compared: a module may have a million.
const COMPARED: usize = 200_000;
/// From 0 to 1, how similar names have to be.
const SIMILAR: f64 = 0.8;

/// Of these names those that are most similar to a pattern that fits none of them, the most similar first: names
/// that have its text in them, in upper or lower case, then names that look like it as a whole or in their last
/// part.
///
/// ```
/// let names = ["core::fmt::write", "app::parse_line", "app::Parser::next"].map(str::to_owned);
/// assert_eq!(wardian_observe::near_names("parse_lien", names.clone(), 1), ["app::parse_line"]);
/// assert_eq!(wardian_observe::near_names("PARSER*", names, 1), ["app::Parser::next"]);
/// ```
pub fn near_names(
    pattern: &str,
    names: impl IntoIterator<Item = String>,
    most: usize,
) -> Vec<String> {
    let wanted = pattern.replace(['*', '?'], "").to_lowercase();
    if wanted.is_empty() || wanted.len() > LONGEST {
        return Vec::new();
    }
    let names = names.into_iter().filter(|name| name.len() <= LONGEST).take(COMPARED);
    let scored = names.filter_map(|name| Some((score(&wanted, &name)?, name)));
    let mut scored: Vec<(u32, String)> = scored.collect();
    scored.sort_by(|a, b| (Reverse(a.0), a.1.len(), &a.1).cmp(&(Reverse(b.0), b.1.len(), &b.1)));
    scored.dedup();
    scored.into_iter().map(|(_, name)| name).take(most).collect()
}

/// How similar a name is, in thousandths and a little; twice that for a name that has the whole text in it.
fn score(wanted: &str, name: &str) -> Option<u32> {
    let name = name.to_lowercase();
    if name.contains(wanted) {
        return Some(2000);
    }
    let last = |name: &str| name.rsplit([':', '.', '/']).next().unwrap_or_default().to_owned();
    let whole = strsim::normalized_damerau_levenshtein(wanted, &name);
    let part = strsim::normalized_damerau_levenshtein(&last(wanted), &last(&name));
    let best = whole.max(part);
    let off = is_mistyped(wanted, &name) || is_mistyped(&last(wanted), &last(&name));
    // Of names whose last parts are equally similar that which is as a whole.
    (best >= SIMILAR || off).then_some(((best + whole / 100.0) * 1000.0) as u32)
}

/// Short names differ in much as soon as they differ at all: one letter of up to four, two of longer ones.
fn is_mistyped(wanted: &str, name: &str) -> bool {
    let allowed = if wanted.len() <= 4 { 1 } else { 2 };
    wanted.len() > 2
        && wanted.len().abs_diff(name.len()) <= allowed
        && strsim::damerau_levenshtein(wanted, name) <= allowed
}

#[cfg(test)]
mod tests {
    use super::near_names;

    #[test]
    fn what_is_most_similar_comes_first() {
        let names = ["main.main", "main.(*T).Hot", "runtime.mallocgc", "runtime.malg", "hot"];
        let near = |pattern| near_names(pattern, names.map(str::to_owned), 2);
        assert_eq!(near("mian.main"), ["main.main"]);
        assert_eq!(near("*Malloc*"), ["runtime.mallocgc"]);
        assert_eq!(near("xyz*"), Vec::<String>::new());
        assert_eq!(near("T).hot"), ["main.(*T).Hot", "hot"]);
        assert_eq!(near("main.Hott"), ["main.(*T).Hot", "hot"]);
        assert_eq!(near("*"), Vec::<String>::new());
        assert_eq!(near(&"x".repeat(10_000)), Vec::<String>::new());
    }
}
