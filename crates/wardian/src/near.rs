//! Names that are near to one that is missing.

/// The candidate with the fewest differences from what was wanted, if it is near at all. Names of
/// several parts are compared part by part, and the last part decides how near is near.
pub(crate) fn nearest<'a, const N: usize>(
    wanted: [&str; N],
    candidates: impl Iterator<Item = [&'a str; N]>,
) -> Option<[&'a str; N]> {
    let limit = 3.max(wanted.last().map_or(0, |name| name.len() / 4));
    candidates
        .map(|c| (c.iter().zip(&wanted).map(|(a, b)| distance(a, b)).sum::<usize>(), c))
        .filter(|(d, _)| *d <= limit)
        .min()
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
    }
}
