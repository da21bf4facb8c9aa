//! The report: all groups, their tables and charts, as Markdown.

mod charts;
mod machine;
mod summary;
mod tables;

use crate::drivers::{NATIVE, V8, WAMR, WASM3};
use crate::engines::{INTERPRETED, TIERED, WARDIAN, WASMI, WASMTIME};
use crate::groups::GROUPS;
use crate::measure::Row;
use crate::options::{Clock, Options, Result};
use crate::report::{Group, engines, has_mean};
use charts::{Label, Series, Words};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Engines that execute machine code, in the order of the tables.
const COMPILED: [&str; 5] = [WARDIAN, TIERED, WASMTIME, V8, NATIVE];
/// Engines that interpret.
const INTERPRETERS: [&str; 4] = [INTERPRETED, WASMI, WASM3, WAMR];

/// Runs the groups, and writes the report and, in a folder beside it that has its name, the charts.
pub(crate) fn write(options: &Options, out: &Path) -> Result<()> {
    let charts = out.with_extension("");
    std::fs::create_dir_all(&charts)?;
    let mut machine = machine::machine();
    let versions = machine::versions(options)?;
    let groups = crate::run(options)?;
    machine.push(("load after", machine::load()));
    let mut report = Report { text: String::new(), charts };
    report.text.push_str(INTRODUCTION);
    report.run(options, &machine, &versions)?;
    report.text.push_str(&summary::all(&groups));
    report.text.push_str(&summary::behind(&groups));
    for group in groups.iter().filter(|g| !g.rows.is_empty()) {
        report.group(group)?;
    }
    Ok(std::fs::write(out, report.text)?)
}

const INTRODUCTION: &str = "\
# Benchmarks

Wardian beside other engines, in figures of one run. This file and its charts are written by
`wardian-benches report`; see [benches/README.md](../benches/README.md) for how to make it anew, what each group
measures in detail, and what is to be shown.

## How it is measured

- Wardian, wasmtime and wasmi are libraries in one process. Other engines of `cpu` run in processes of their own,
  which do what they are asked and say how long it took. All of them take turns: A B C, C B A, and so on.
- Each measurement takes at least some milliseconds; a figure is the median of all rounds. A ratio is that of
  the medians, followed by the quartiles of the ratios of single rounds, outside of which it may lie. Where
  they are far apart, the ratio says little. Below 1 Wardian is faster or smaller.
- The times are processor time of the measuring thread unless said otherwise, since other processes disturb
  that less than the wall clock. Compilation, on two threads, and whole programs are timed on the wall.
- Checksums are compared between engines. An engine that cannot run a row, or gives something else, has no
  figure there.
- All engines have their defaults, but 512 KiB of stack for guests and two threads to compile. Wardian and
  wasmtime both mitigate speculation in bounds checks by default.
- The columns `wardian`, `tiered` and `interpreted` are Wardian: compiled before it runs, with tiers, and
  interpreted.

";

struct Report {
    text: String,
    charts: PathBuf,
}

impl Report {
    fn run(
        &mut self,
        options: &Options,
        machine: &[(&str, String)],
        versions: &[(String, String)],
    ) -> Result<()> {
        self.text.push_str("## This run\n\n| | |\n|---|---|\n");
        for (what, which) in machine {
            writeln!(self.text, "| {what} | {which} |")?;
        }
        writeln!(
            self.text,
            "| rounds; least time of a measurement | {}; {} ms |",
            options.rounds, options.sample_ms
        )?;
        for (engine, version) in versions {
            writeln!(self.text, "| {engine} | {version} |")?;
        }
        if machine::was_busy(machine) {
            self.text.push_str(
                "\n**Other programs ran meanwhile**: the load before the run is theirs. Times on the wall \
                 are longer than they need be, those of several threads most of all, and ratios spread more.\n",
            );
        }
        let clock = if options.clock == Clock::Wall { ", on the wall clock" } else { "" };
        let args: Vec<String> = std::env::args().skip(1).collect();
        writeln!(self.text, "\nCommand{clock}: `cargo run --release -- {}`\n", args.join(" "))?;
        let mut set: Vec<String> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with("WARDIAN_BENCH_"))
            .map(|name| format!("`{name}`"))
            .collect();
        set.sort();
        if !set.is_empty() {
            writeln!(self.text, "Set in its environment: {}.\n", set.join(", "))?;
        }
        Ok(())
    }

    fn group(&mut self, group: &Group) -> Result<()> {
        let about = GROUPS.iter().find(|g| g.name == group.name).map_or("", |g| g.about);
        writeln!(self.text, "## {}\n\n{about}\n", group.name)?;
        for (number, (part, rows)) in group.parts().into_iter().enumerate() {
            let title = if part.is_empty() { group.name } else { part };
            if !part.is_empty() {
                let mut first = part.chars();
                let upper = first.next().into_iter().flat_map(char::to_uppercase);
                writeln!(self.text, "### {}\n", upper.chain(first).collect::<String>())?;
            }
            let file = format!("{}-{number}", group.name);
            match group.name {
                "cpu" => self.processor(&file, title, &rows)?,
                "cold" => self.programs(&file, title, &rows)?,
                "curves" => self.curve(&file, title, &rows)?,
                _ => {}
            }
            let all = engines(&rows);
            if group.name == "cpu" {
                for family in [&COMPILED[..], &INTERPRETERS] {
                    let here: Vec<_> = family.iter().copied().filter(|e| all.contains(e)).collect();
                    self.table(title, &rows, &here, true);
                }
            } else {
                self.table(title, &rows, &all, has_mean(group, &rows));
            }
        }
        Ok(())
    }

    fn table(&mut self, title: &str, rows: &[&Row], engines: &[&'static str], mean: bool) {
        if !engines.is_empty() {
            self.text.push_str(&tables::table(title, rows, engines, mean));
            self.text.push('\n');
        }
    }

    /// Refers to a chart, which `draw` writes.
    fn chart(
        &mut self,
        file: &str,
        title: &str,
        draw: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let path = self.charts.join(format!("{file}.svg"));
        draw(&path)?;
        let folder = self.charts.file_name().unwrap_or_default().to_string_lossy();
        writeln!(self.text, "![{title}]({folder}/{file}.svg)\n")?;
        Ok(())
    }

    /// Ratios of the rows, once for compiled engines and once for interpreters.
    fn processor(&mut self, file: &str, title: &str, rows: &[&Row]) -> Result<()> {
        let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
        for (one, others, suffix) in [
            (WARDIAN, &[WASMTIME, V8, NATIVE][..], "compiled"),
            (INTERPRETED, &[WASMI, WASM3, WAMR], "interpreted"),
        ] {
            let series: Vec<Series> = others
                .iter()
                .map(|other| ratios(rows, one, other))
                .filter(|s| !s.points.is_empty())
                .collect();
            if series.is_empty() {
                continue;
            }
            let title = format!("{title}: {one}, as a ratio to");
            let words = Words {
                title: &title,
                axis: "time / the other engine's; below 1 Wardian is faster",
            };
            self.chart(&format!("{file}-{suffix}"), &title, |path| {
                charts::dots(path, &words, &names, &series, charts::factor, true)
            })?;
        }
        Ok(())
    }

    fn programs(&mut self, file: &str, title: &str, rows: &[&Row]) -> Result<()> {
        let memory = rows.iter().any(|r| r.name.starts_with("memory:"));
        let names: Vec<&str> =
            rows.iter().map(|r| r.name.strip_prefix("memory: ").unwrap_or(&r.name)).collect();
        let series: Vec<Series> = engines(rows).iter().map(|e| medians_by_row(rows, e)).collect();
        let (axis, label): (_, Label) =
            if memory { ("peak memory", charts::memory) } else { ("wall time", charts::time) };
        let title = format!("{title}: {axis} of whole programs");
        let words = Words { title: &title, axis };
        self.chart(file, &title, |path| charts::dots(path, &words, &names, &series, label, false))
    }

    fn curve(&mut self, file: &str, title: &str, rows: &[&Row]) -> Result<()> {
        let series: Vec<Series> = engines(rows)
            .iter()
            .map(|engine| {
                let point = |r: &&Row| Some((r.x?, r.of(engine)?.median));
                Series { engine, points: rows.iter().filter_map(point).collect() }
            })
            .collect();
        let (axis, label): (&str, Label) = match title {
            t if t.contains("size") => ("size of the module", charts::bytes),
            t if t.contains("number of functions") => {
                ("functions with a listener, of 1000", charts::count)
            }
            t if t.contains("number") => ("instances alive", charts::count),
            _ => ("calls on the stack", charts::count),
        };
        let y: Label = if title.starts_with("memory") { charts::memory } else { charts::time };
        let words = Words { title, axis };
        self.chart(file, title, |path| charts::lines(path, &words, &series, label, y))
    }
}

/// One dot for each row that both have.
fn ratios(rows: &[&Row], one: &str, other: &'static str) -> Series {
    let ratio = |(number, row): (u32, &&Row)| Some((row.between(one, other)?, f64::from(number)));
    Series { engine: other, points: (0..).zip(rows).filter_map(ratio).collect() }
}

fn medians_by_row(rows: &[&Row], engine: &'static str) -> Series {
    let median = |(number, row): (u32, &&Row)| Some((row.of(engine)?.median, f64::from(number)));
    Series { engine, points: (0..).zip(rows).filter_map(median).collect() }
}
