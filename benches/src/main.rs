//! Wardian beside wasmtime and wasmi, in one process, in turns. See `README.md`.

mod calls;
mod checkpoint;
mod children;
mod cold;
mod commands;
mod cpu;
mod criu;
mod curves;
mod document;
mod drivers;
mod dump;
mod engines;
mod exceptions;
mod fork;
mod gc;
mod generate;
mod groups;
mod hooks;
mod image;
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
mod warmup;

use groups::GROUPS;
use options::{Options, Result};
use report::Group;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some(children::CHILD) => children::child(&args[1..]),
        Some("dump") if args.len() == 3 => dump::run(&args[1], &args[2]),
        Some("--help" | "-h") => {
            print!("{}", options::HELP);
            Ok(())
        }
        Some("report") => Options::parse(args.into_iter().skip(1)).and_then(|options| {
            let out = options.out.clone().ok_or("report needs `--out FILE.md`")?;
            document::write(&Options { peers: true, ..options }, &out)
        }),
        _ => Options::parse(args.into_iter()).and_then(|options| run(&options).map(|_| ())),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

/// Runs the groups that are wanted, and prints their tables.
fn run(options: &Options) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for kind in GROUPS {
        if options.groups.is_empty() || options.groups.iter().any(|g| g == kind.name) {
            let group =
                Group { name: kind.name, rows: (kind.run)(options)?, targets: kind.targets };
            println!("{}", report::table(&group));
            groups.push(group);
        }
    }
    if options.json {
        println!("{}", report::json(&groups));
    }
    Ok(groups)
}
