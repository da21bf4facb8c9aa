//! Tables in Markdown.

use crate::measure::{Row, geometric_mean};
use crate::report::{pairs, shown};
use std::fmt::Write as _;

/// A table of these engines' medians, and of the ratios that make sense among them.
pub(crate) fn table(title: &str, rows: &[&Row], engines: &[&'static str], mean: bool) -> String {
    let pairs = pairs(engines);
    let mut out = format!("| {title} |");
    for engine in engines {
        let _ = write!(out, " {engine} |");
    }
    for (one, other) in &pairs {
        let _ = write!(out, " {one} / {other} |");
    }
    out.push_str("\n|---|");
    out.push_str(&"---:|".repeat(engines.len() + pairs.len()));
    out.push('\n');
    for row in rows.iter().filter(|r| engines.iter().any(|e| r.of(e).is_some())) {
        let _ = write!(out, "| {} |", name(row));
        for engine in engines {
            let text = row.of(engine).map_or(String::new(), |f| shown(&row.name, f.median));
            let _ = write!(out, " {text} |");
        }
        for (one, other) in &pairs {
            let _ = write!(out, " {} |", ratio(row, one, other));
        }
        out.push('\n');
    }
    if mean {
        let _ = write!(out, "| geometric mean |{}", " |".repeat(engines.len()));
        for (one, other) in &pairs {
            let mean = geometric_mean(rows.iter().filter_map(|r| r.between(one, other)));
            let _ = write!(out, " {} |", mean.map_or(String::new(), |m| format!("**{m:.3}**")));
        }
        out.push('\n');
    }
    out
}

/// A point of a curve is named after the curve, which the title says already.
pub(crate) fn name(row: &Row) -> String {
    let name = match row.x {
        Some(_) => row.name.rsplit_once(": ").map_or(row.name.as_str(), |(_, point)| point),
        None => &row.name,
    };
    name.replace('|', "\\|")
}

/// The ratio of the medians, and the quartiles of the ratios of single rounds.
fn ratio(row: &Row, one: &str, other: &str) -> String {
    let Some(ratio) = row.between(one, other) else { return String::new() };
    match row.spread(one, other) {
        Some((low, high)) => format!("{ratio:.2} ({low:.2} to {high:.2})"),
        None => format!("{ratio:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::engines::{WARDIAN, WASMTIME};
    use crate::measure::{Figure, Row};

    #[test]
    fn ratios_with_their_spread() {
        let figures =
            vec![Figure::of(WARDIAN, vec![1.0, 2.0, 3.0]), Figure::of(WASMTIME, vec![4.0; 3])];
        let row = Row::new("fib", figures);
        let table = super::table("cpu", &[&row, &row], &[WARDIAN, WASMTIME], true);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "| cpu | wardian | wasmtime | wardian / wasmtime |");
        assert_eq!(lines[2], "| fib | 2.00 ns | 4.00 ns | 0.50 (0.38 to 0.62) |");
        assert_eq!(lines[4], "| geometric mean | | | **0.500** |");
    }
}
