//! Wardian beside wasmtime and wasmi, in one process, in turns. See `README.md`.

mod calls;
mod children;
mod cold;
mod cpu;
mod dump;
mod engines;
mod generate;
mod hooks;
mod instantiate;
mod measure;
mod observe;
mod options;
mod report;
mod snapshot;
mod stop;
mod translate;
mod trap;
mod variants;

use engines::{POOLING, WASMI, WASMTIME};
use hooks::WITHOUT;
use measure::{ABSOLUTE, Row};
use options::{Options, Result};
use report::{Group, Target};

type Run = fn(&Options) -> Result<Vec<Row>>;

const fn at_most(peer: &'static str, rows: &'static str, mean: f64, worst: f64) -> Target {
    Target { peer, rows, mean, worst }
}

/// At most so many nanoseconds in each row.
const fn within(rows: &'static str, nanoseconds: f64) -> Target {
    at_most(ABSOLUTE, rows, ANY, nanoseconds)
}

const ANY: f64 = f64::INFINITY;

/// Groups of figures, and what is to be shown.
const GROUPS: &[(&str, Run, &[Target])] = &[
    ("cpu", cpu::run, &[at_most(WASMTIME, "", 1.0, 1.15)]),
    // Nothing is to be met; a mean of times and rates would say nothing.
    ("translate", translate::run, &[at_most(WASMI, "validate", ANY, ANY)]),
    ("cold", cold::run, &[]),
    ("entry", calls::entry, &[at_most(WASMTIME, "", ANY, 0.8)]),
    ("host", calls::host, &[at_most(WASMTIME, "", ANY, 1.25)]),
    ("instantiate", instantiate::run, &[at_most(POOLING, "", ANY, 1.0)]),
    ("trap", trap::run, &[at_most(WASMTIME, "stack overflow", 0.5, ANY)]),
    (
        "compile",
        children::compile,
        &[at_most(WASMTIME, "time", 1.0, ANY), at_most(WASMTIME, "peak memory", 1.0, ANY)],
    ),
    ("idle", children::idle, &[]),
    ("listener", hooks::listener, &[within("pair", 10.0), at_most(WITHOUT, "off", 1.02, 1.05)]),
    ("stack", hooks::stack, &[within("50 frames", 1000.0)]),
    (
        "snapshot",
        snapshot::run,
        &[within("snapshot, small", 50.0), within("snapshot+restore, small", 150.0)],
    ),
    ("stop", stop::run, &[within(stop::ABOVE, 2e6)]),
    ("checked", variants::checked, &[at_most(variants::GUARDED, "", 1.35, ANY)]),
    (
        "observe",
        observe::run,
        &[within("exact over", 30.0), within("traced", 200.0), at_most(WITHOUT, "sampled", 1.03, ANY)],
    ),
    ("sampler", variants::sampler, &[at_most(WITHOUT, "", 1.03, ANY)]),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some(children::CHILD) => children::child(&args[1..]),
        Some("dump") if args.len() == 3 => dump::run(&args[1], &args[2]),
        Some("--help" | "-h") => {
            print!("{}", options::HELP);
            Ok(())
        }
        _ => Options::parse(args.into_iter()).and_then(|options| run(&options)),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<()> {
    let mut groups = Vec::new();
    for &(name, run, targets) in GROUPS {
        if options.groups.is_empty() || options.groups.iter().any(|g| g == name) {
            let group = Group { name, rows: run(options)?, targets };
            println!("{}", report::table(&group));
            groups.push(group);
        }
    }
    if options.json {
        println!("{}", report::json(&groups));
    }
    Ok(())
}
