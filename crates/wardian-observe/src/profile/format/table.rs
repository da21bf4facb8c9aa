//! Tables for terminals.

use super::describe;
use crate::printable::{printable, shorten};
use crate::{FunctionSummary, Profile};
use std::fmt::Write;

impl Profile {
    /// The `top` functions in which most of one quantity (an index into [`Profile::value_types`]) was
    /// measured, as a table of at most `width` columns, if that is at least 40: in the function itself,
    /// and with all that it called. Names that are too long are cut in the middle.
    ///
    /// # Panics
    ///
    /// There is no such quantity.
    pub fn table(&self, top: usize, width: usize, value: usize) -> String {
        let mut functions = self.summary().functions;
        functions.retain(|f| f.total.iter().any(|amount| *amount > 0));
        let key = |f: &FunctionSummary| {
            (std::cmp::Reverse((f.own[value], f.total[value])), f.name.clone())
        };
        functions.sort_by_key(key);
        let left_out = functions.len().saturating_sub(top);
        functions.truncate(top);
        let mut text = self.head(value);
        if functions.is_empty() {
            text.push_str("nothing was seen\n");
        } else {
            self.rows(&mut text, &functions, width, value);
        }
        if left_out > 0 {
            let s = if left_out == 1 { "" } else { "s" };
            let _ = writeln!(text, "... and {left_out} more function{s}");
        }
        for note in &self.meta().notes {
            let _ = writeln!(text, "{}", printable(note));
        }
        text
    }

    fn head(&self, value: usize) -> String {
        let meta = self.meta();
        let ty = self.value_types()[value];
        let mut parts = vec![
            format!("{} profile of {}", self.kind(), printable(&meta.program)),
            format!("{} engine", meta.engine),
            format!("{:.3} s", meta.duration.as_secs_f64()),
            format!("{} {} in all", ty.unit.show(self.total(value)), ty.name),
            describe(self),
        ];
        parts.retain(|part| !part.is_empty());
        parts.join(", ") + "\n"
    }

    fn rows(&self, text: &mut String, functions: &[FunctionSummary], width: usize, value: usize) {
        let types = self.value_types();
        let all = self.total(value).max(1);
        let others: Vec<usize> = (0..types.len()).filter(|other| *other != value).collect();
        let mut head = vec!["self".to_owned(), "self%".into(), "total".into(), "total%".into()];
        head.extend(others.iter().map(|other| types[*other].name.to_owned()));
        let mut rows = vec![(head, "function".to_owned())];
        for function in functions {
            let show = |value: usize, amount: u64| types[value].unit.show(amount);
            let percent = |part: u64| format!("{:.1}%", part as f64 * 100.0 / all as f64);
            let (own, total) = (function.own[value], function.total[value]);
            let mut cells =
                vec![show(value, own), percent(own), show(value, total), percent(total)];
            cells.extend(others.iter().map(|other| show(*other, function.own[*other])));
            rows.push((cells, printable(&function.name)));
        }
        let columns = rows[0].0.len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| rows.iter().map(|(cells, _)| cells[column].len()).max().unwrap_or(0))
            .collect();
        let used: usize = widths.iter().map(|w| w + 2).sum();
        let left = width.max(40).saturating_sub(used).max(16);
        for (cells, name) in rows {
            for (cell, width) in cells.iter().zip(&widths) {
                let _ = write!(text, "{cell:>width$}  ");
            }
            let _ = writeln!(text, "{}", shorten(&name, left));
        }
    }
}
