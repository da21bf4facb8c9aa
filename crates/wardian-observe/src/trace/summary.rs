//! Calls and times by function.

use super::format::End;
use super::function::Function;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// Calls by function, those that took longest by themselves first. Shown as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceSummary {
    /// One for each function that was called.
    pub rows: Vec<TraceRow>,
}

/// The calls of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceRow {
    /// Its name, with what terminals would not take for text escaped.
    pub name: String,
    /// How often it was called.
    pub calls: u64,
    /// How often a function of WASI gave an error, or a call was aborted by an error other than an exit.
    pub errors: u64,
    /// Time in it and in what it called; of recursive calls only the outermost count.
    pub total: Duration,
    /// Time in it alone.
    pub own: Duration,
}

impl fmt::Display for TraceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Duration = self.rows.iter().map(|row| row.own).sum();
        let share = |own: Duration| 100.0 * own.as_secs_f64() / all.as_secs_f64().max(1e-9);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(f, "  self%    self ms   total ms      calls     errors function")?;
        let mut line = |name: &str, calls, errors: u64, total, own: Duration| {
            let errors = if errors > 0 { errors.to_string() } else { String::new() };
            let (percent, own, total) = (share(own), ms(own), ms(total));
            writeln!(f, "{percent:6.1}% {own:10.3} {total:10.3} {calls:10} {errors:>10} {name}")
        };
        for row in &self.rows {
            line(&row.name, row.calls, row.errors, row.total, row.own)?;
        }
        let calls = self.rows.iter().map(|row| row.calls).sum();
        line("all", calls, self.rows.iter().map(|row| row.errors).sum(), all, all)
    }
}

/// What is counted while guests run. Times are raw.
#[derive(Default)]
pub(super) struct Stats {
    /// By number of the function.
    functions: Vec<Counts>,
    /// Open calls by lane and function, for those that have any.
    open: HashMap<(u32, u32), u32>,
}

#[derive(Clone, Default)]
struct Counts {
    name: String,
    calls: u64,
    errors: u64,
    total: u64,
    own: u64,
}

impl Stats {
    #[inline]
    pub(super) fn begin(&mut self, lane: u32, function: &Function, counts: bool) {
        let number = function.number as usize;
        if number >= self.functions.len() {
            self.functions.resize(number + 1, Counts::default());
        }
        let entry = &mut self.functions[number];
        if entry.calls == 0 {
            entry.name.clone_from(&function.name);
        }
        entry.calls += u64::from(counts);
        *self.open.entry((lane, function.number)).or_default() += 1;
    }

    #[inline]
    pub(super) fn end(
        &mut self,
        lane: u32,
        function: &Function,
        took: u64,
        inner: u64,
        end: &End<'_>,
    ) {
        let entry = &mut self.functions[function.number as usize];
        let failed = match end {
            End::Returned(results) => function.system.is_some_and(|s| s.error(results).is_some()),
            End::Failed(_) => true,
            _ => false,
        };
        entry.errors += u64::from(failed);
        entry.own += took.saturating_sub(inner);
        let key = (lane, function.number);
        if let Some(open) = self.open.get_mut(&key) {
            *open -= 1;
            if *open == 0 {
                entry.total += took;
                self.open.remove(&key);
            }
        }
    }

    pub(super) fn summary(&self, nanoseconds: impl Fn(u64) -> u64) -> TraceSummary {
        let time = |raw| Duration::from_nanos(nanoseconds(raw));
        let called = self.functions.iter().filter(|counts| counts.calls > 0);
        let row = |counts: &Counts| TraceRow {
            name: counts.name.clone(),
            calls: counts.calls,
            errors: counts.errors,
            total: time(counts.total),
            own: time(counts.own),
        };
        let mut rows: Vec<_> = called.map(row).collect();
        rows.sort_by(|a, b| b.own.cmp(&a.own).then_with(|| a.name.cmp(&b.name)));
        TraceSummary { rows }
    }
}
