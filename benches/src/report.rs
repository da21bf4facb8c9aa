//! Tables for people, JSON for programs.

use crate::drivers::{WAMR, WASM3};
use crate::engines::{INTERPRETED, TIERED, WARDIAN, WASMI};
use crate::measure::{ABSOLUTE, Row, geometric_mean};
use std::fmt::Write as _;

/// What a group has to show: Wardian's figure at most `mean` times the peer's in geometric mean, and
/// at most `worst` times in any row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The peer.
    pub(crate) peer: &'static str,
    /// Only rows whose name begins so.
    pub(crate) rows: &'static str,
    pub(crate) mean: f64,
    pub(crate) worst: f64,
}

/// A measured group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) targets: &'static [Target],
}

impl Group {
    /// The names of its tables, and their rows.
    pub(crate) fn parts(&self) -> Vec<(&str, Vec<&Row>)> {
        let mut parts: Vec<(&str, Vec<&Row>)> = Vec::new();
        for row in &self.rows {
            match parts.iter_mut().find(|(part, _)| *part == row.part) {
                Some((_, rows)) => rows.push(row),
                None => parts.push((&row.part, vec![row])),
            }
        }
        parts
    }
}

/// The engines that have figures in these rows, in the order in which they come.
pub(crate) fn engines(rows: &[&Row]) -> Vec<&'static str> {
    let mut engines = Vec::new();
    for figure in rows.iter().flat_map(|r| r.figures.iter()) {
        if !engines.contains(&figure.engine) {
            engines.push(figure.engine);
        }
    }
    engines
}

/// Whose figures are divided by whose: Wardian's by each peer's, and its other ways by what is like them.
pub(crate) fn pairs(engines: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    let interpreters = [TIERED, INTERPRETED, WASM3, WAMR];
    let peers = engines.iter().filter(|e| **e != WARDIAN && !interpreters.contains(e));
    let has = |pair: &(&str, &str)| engines.contains(&pair.0) && engines.contains(&pair.1);
    let others =
        [(TIERED, WARDIAN), (INTERPRETED, WASMI), (INTERPRETED, WASM3), (INTERPRETED, WAMR)];
    // Whole programs, whose tables begin with it: what is compiled before it runs is no match there.
    let base = if engines.first() == Some(&TIERED) { TIERED } else { WARDIAN };
    peers.map(|peer| (base, *peer)).chain(others).filter(has).collect()
}

/// A figure in a unit that suits it: bytes if the row's name says so, otherwise nanoseconds.
pub(crate) fn shown(row: &str, value: f64) -> String {
    if row.contains("MB/s") {
        return format!("{value:.1}");
    }
    let memory: &[(f64, &str)] =
        &[((1 << 30) as f64, "GiB"), ((1 << 20) as f64, "MiB"), (1024.0, "KiB"), (1.0, "B")];
    let time: &[(f64, &str)] = &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let units = if row.contains("memory ") || row.contains("memory:") { memory } else { time };
    let unit = units.iter().find(|u| value >= u.0).unwrap_or(&units[3]);
    format!("{:.2} {}", value / unit.0, unit.1)
}

/// The tables of a group, with means and verdicts.
pub(crate) fn table(group: &Group) -> String {
    let mut out = String::new();
    for (part, rows) in group.parts() {
        let title = if part.is_empty() { group.name } else { part };
        out.push_str(&part_table(title, &rows, has_mean(group, &rows)));
    }
    for target in group.targets {
        out.push_str(&verdict(group, target));
    }
    out
}

/// Whether a mean over these rows says something: they are of one kind.
pub(crate) fn has_mean(group: &Group, rows: &[&Row]) -> bool {
    rows.len() > 1
        && rows.iter().all(|r| r.x.is_none() && !r.name.starts_with("virtual"))
        && group.targets.iter().all(|t| t.rows.is_empty())
}

fn part_table(title: &str, rows: &[&Row], mean: bool) -> String {
    let engines = engines(rows);
    let pairs = pairs(&engines);
    let width = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0).max(16);
    let mut out = String::new();
    let mut header = format!("{title:width$}");
    for engine in &engines {
        let _ = write!(header, " {engine:>16}");
    }
    for (one, other) in &pairs {
        let one = if *one == WARDIAN { "" } else { one };
        let _ = write!(header, " {:>18}", format!("{one}/{other}"));
    }
    let _ = writeln!(out, "{header}");
    for row in rows {
        let _ = write!(out, "{:width$}", row.name);
        for engine in &engines {
            let text = row.of(engine).map_or("-".into(), |f| shown(&row.name, f.median));
            let _ = write!(out, " {text:>16}");
        }
        for (one, other) in &pairs {
            let text = row.between(one, other).map_or("-".into(), |r| format!("{r:.3}"));
            let _ = write!(out, " {text:>18}");
        }
        out.push('\n');
    }
    if mean {
        let _ = write!(out, "{:width$}", "geometric mean");
        let _ = write!(out, "{:1$}", "", 17 * engines.len());
        for (one, other) in &pairs {
            let mean = geometric_mean(rows.iter().filter_map(|r| r.between(one, other)));
            let text = mean.map_or("-".into(), |r| format!("{r:.3}"));
            let _ = write!(out, " {text:>18}");
        }
        out.push('\n');
    }
    out
}

fn verdict(group: &Group, target: &Target) -> String {
    let rows =
        || group.rows.iter().filter(|r| r.part.is_empty() && r.name.starts_with(target.rows));
    let ratios = || rows().filter_map(|r| r.ratio(target.peer));
    let Some(mean) = geometric_mean(ratios()) else { return String::new() };
    let mut out = String::new();
    let what = if target.rows.is_empty() { group.name } else { target.rows };
    let peer = target.peer;
    if peer == ABSOLUTE {
        for row in rows() {
            let figure = row.ratio(peer).unwrap_or_default();
            let mark = if figure <= target.worst { "met" } else { "MISSED" };
            let (figure, limit) = (shown(&row.name, figure), shown(&row.name, target.worst));
            let _ = writeln!(out, "  {mark}: {} {figure}, limit {limit}", row.name);
        }
        return out;
    }
    if target.mean.is_finite() {
        let mark = if mean <= target.mean { "met" } else { "MISSED" };
        let _ = writeln!(out, "  {mark}: {what} {mean:.3} × {peer}, target {:.2}", target.mean);
    }
    if target.worst.is_finite() {
        for row in rows().filter(|r| r.ratio(target.peer).is_some_and(|r| r > target.worst)) {
            let ratio = row.ratio(target.peer).unwrap_or_default();
            let name = &row.name;
            let _ =
                writeln!(out, "  MISSED: {name} {ratio:.3} × {peer}, limit {:.2}", target.worst);
        }
    }
    out
}

/// Everything as JSON: `{"cpu": {"fib": {"wardian": {"median": …, "min": …}, …}, …}, …}`.
pub(crate) fn json(groups: &[Group]) -> String {
    object(groups.iter().map(|group| {
        let rows = group.rows.iter().map(|row| {
            let figures = row.figures.iter().map(|f| {
                let text = format!("{{\"median\": {}, \"min\": {}}}", f.median, f.min);
                (f.engine.to_owned(), text)
            });
            (row.name.clone(), object(figures))
        });
        (group.name.to_owned(), object(rows))
    }))
}

fn object(items: impl Iterator<Item = (String, String)>) -> String {
    let items: Vec<String> = items.map(|(key, value)| format!("{key:?}: {value}")).collect();
    format!("{{{}}}", items.join(", "))
}
