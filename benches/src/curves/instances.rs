//! By the number of instances that are alive, each in its own store and called once: time and memory of each.

use crate::children;
use crate::engines::{INTERPRETED, POOLING, WARDIAN, WASMI, WASMTIME};
use crate::measure::Row;
use crate::options::{Options, Result};

const COUNTS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// Each engine and number in a fresh process.
pub(super) fn run(options: &Options) -> Result<Vec<Row>> {
    let (time, memory) =
        ("time of each instance by their number", "memory of each instance by their number");
    let mut rows = Vec::new();
    for count in COUNTS {
        let names = [format!("{time}: {count} alive"), format!("resident memory: {count} alive")];
        if !names.iter().any(|name| options.wants(name)) {
            continue;
        }
        let mut engines = vec![WARDIAN, POOLING, WASMTIME];
        if !options.no_interpreters {
            engines.push(INTERPRETED);
        }
        engines.push(WASMI);
        let rounds = options.rounds.min(3);
        let args = ["instances", &count.to_string()];
        let both = children::rows(options, &engines, rounds, &args, &names)?;
        rows.extend(
            both.into_iter().zip([time, memory]).map(|(row, curve)| row.at(curve, count as f64)),
        );
    }
    // The rows of a curve together.
    rows.sort_by(|a, b| b.part.cmp(&a.part));
    Ok(rows)
}
