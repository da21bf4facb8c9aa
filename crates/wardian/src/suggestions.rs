//! Suggestions: names that are similar to one that is missing.

/// Names that are longer are not compared: nobody mistypes them.
const LONGEST: usize = 128;

/// How many candidates of a fitting length are compared; modules may have a million.
const MOST: usize = 2000;

/// The candidate with the fewest differences from the wanted name, if at least half of the name is the same.
/// Names of several parts are compared part by part, and the last part decides which is the most similar.
pub(crate) fn nearest<'a, const N: usize>(
    wanted: [&str; N],
    candidates: impl Iterator<Item = [&'a str; N]>,
) -> Option<[&'a str; N]> {
    let last = wanted.last().map_or(0, |name| name.len());
    let limit = 3.max(last / 4);
    let is_long = |names: &[&str; N]| names.iter().any(|name| name.len() > LONGEST);
    if is_long(&wanted) {
        return None;
    }
    // A character may have four bytes.
    let fits = |c: &[&str; N]| {
        !is_long(c) && c.iter().zip(&wanted).all(|(a, b)| a.len().abs_diff(b.len()) <= 4 * limit)
    };
    candidates
        .filter(fits)
        .take(MOST)
        .map(|c| (std::array::from_fn::<usize, N, _>(|i| distance(c[i], wanted[i])), c))
        .filter(|(d, c)| {
            let longer = c.last().map_or(0, |name| name.len()).max(last);
            d.iter().sum::<usize>() <= limit && d.last().is_none_or(|d| 2 * d <= longer)
        })
        .min_by_key(|(d, c)| (d.iter().sum::<usize>(), *c))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance: insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances() {
        for (a, b, d) in [("", "abc", 3), ("fd_raed", "fd_read", 2), ("same", "same", 0)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_is_found_and_the_far_are_not() {
        let names = [["env", "read"], ["env", "write"], ["other", "raed"]];
        assert_eq!(nearest(["env", "raed"], names.into_iter()), Some(["env", "read"]));
        assert_eq!(nearest(["env", "seek_to"], names.into_iter()), None);
        let short = [["m", "f"], ["n", "abc"]];
        assert_eq!(nearest(["m", "g"], short.into_iter()), None);
        assert_eq!(nearest(["m", "xyz"], short.into_iter()), None);
        assert_eq!(nearest(["n", "f"], short.into_iter()), Some(["m", "f"]));
    }

    #[test]
    fn much_to_compare_takes_no_time() {
        let long = "x".repeat(4 << 20);
        let many: Vec<String> = (0..300_000).map(|i| format!("{i:0>100}")).collect();
        let start = std::time::Instant::now();
        assert_eq!(nearest([&long[..]], std::iter::repeat_n([&long[..]], 100)), None);
        let wanted = "y".repeat(100);
        assert_eq!(nearest([&wanted[..]], many.iter().map(|name| [&name[..]])), None);
        assert!(start.elapsed().as_secs() < 10);
    }
}
