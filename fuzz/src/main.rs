//! Runs targets on stable Rust: each in a process of its own, with inputs made from a seed.
//!
//! ```text
//!   this process ── starts, waits, keeps what failed ──> one child for each target
//!   child        writes each input to a file before it runs it; ends at a panic, or when it takes too long
//! ```

mod child;
mod mutate;

use clap::Parser;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use wardian_fuzz::{TARGETS, Target, target};

#[derive(Parser, Clone, Debug)]
#[command(about = "Runs fuzz targets on stable Rust: all, or those that are named")]
struct Options {
    /// Targets to run; all unless some are named.
    targets: Vec<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the inputs follow from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Targets that run at the same time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Runs this one input of the one target that is named, in this process.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Ends an input that takes longer, in seconds.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
    /// Ends an input that makes the process larger than this, in MiB.
    #[arg(long, default_value_t = 4096)]
    rss: u64,
    /// Where inputs that failed are kept, and the one that runs.
    #[arg(long, default_value_os_t = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts"))]
    artifacts: PathBuf,
    /// Inputs to begin with beside those of the repository, in folders named like the targets.
    #[arg(long, default_value_os_t = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"))]
    corpus: PathBuf,
    /// Tells the kinds of outcomes that were seen, too.
    #[arg(long)]
    kinds: bool,
    /// Lists the targets.
    #[arg(long)]
    list: bool,
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        TARGETS.iter().for_each(|t| println!("{}", t.name));
        return ExitCode::SUCCESS;
    }
    let targets = match chosen(&options) {
        Ok(targets) => targets,
        Err(name) => {
            let known: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
            eprintln!("no target is called `{name}`; there are {}", known.join(", "));
            return ExitCode::from(2);
        }
    };
    match (&options.replay, targets.as_slice()) {
        (Some(path), [target]) => replay(*target, path),
        (Some(_), _) => {
            eprintln!("--replay needs the name of one target");
            ExitCode::from(2)
        }
        (None, [target]) if options.child => child::run(*target, &options),
        (None, targets) => supervise(&options, targets),
    }
}

fn chosen(options: &Options) -> Result<Vec<Target>, String> {
    if options.targets.is_empty() {
        return Ok(TARGETS.to_vec());
    }
    options.targets.iter().map(|name| target(name).ok_or_else(|| name.clone())).collect()
}

fn replay(target: Target, path: &Path) -> ExitCode {
    let data = match std::fs::read(path) {
        Ok(data) => data,
        Err(error) => {
            eprintln!("{} cannot be read: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    (target.run)(&data);
    for kind in wardian_fuzz::outcome::take() {
        println!("{kind}");
    }
    println!("{}: {} bytes ran without a finding", target.name, data.len());
    ExitCode::SUCCESS
}

/// Runs every target in a child, so many at a time, and tells which failed.
fn supervise(options: &Options, targets: &[Target]) -> ExitCode {
    let mut failed = Vec::new();
    for batch in targets.chunks(options.jobs.max(1)) {
        let children: Vec<_> = batch.iter().map(|t| (*t, start(options, *t))).collect();
        for (target, child) in children {
            if !finished(options, target, child) {
                failed.push(target.name);
            }
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("findings in: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn start(options: &Options, target: Target) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").arg(target.name);
    for (name, value) in [
        ("--seconds", options.seconds),
        ("--seed", options.seed),
        ("--timeout", options.timeout),
        ("--rss", options.rss),
    ] {
        command.arg(name).arg(value.to_string());
    }
    if options.kinds {
        command.arg("--kinds");
    }
    command.arg("--artifacts").arg(&options.artifacts).arg("--corpus").arg(&options.corpus);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// Waits for a child, and passes on what it said. Whether it found nothing.
fn finished(options: &Options, target: Target, child: std::io::Result<Child>) -> bool {
    let ended = child.and_then(|mut child| {
        let mut text = String::new();
        child.stdout.take().expect("it is a pipe").read_to_string(&mut text)?;
        print!("{text}");
        child.wait()
    });
    match ended {
        Ok(status) if status.success() => return true,
        Ok(status) => eprintln!("{}: {status}", target.name),
        Err(error) => {
            eprintln!("{}: the process cannot be run: {error}", target.name);
            return false;
        }
    }
    let current = child::current_path(&options.artifacts, target);
    let Ok(input) = std::fs::read(&current) else {
        eprintln!("{}: no input was running", target.name);
        return false;
    };
    let kept = options.artifacts.join(target.name).join(format!("{:016x}", mutate::hash(&input)));
    match std::fs::copy(&current, &kept) {
        Ok(_) => eprintln!(
            "{}: the input is kept; run it again with\n  cargo run --release --manifest-path {} -- {} --replay {}",
            target.name,
            Path::new("fuzz").join("Cargo.toml").display(),
            target.name,
            kept.display()
        ),
        Err(error) => eprintln!("{}: {} cannot be kept: {error}", target.name, current.display()),
    }
    false
}
