//! The command line.

use std::error::Error;
use std::path::PathBuf;

/// What goes wrong in a benchmark is reported and ends it.
pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// How times are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Processor time of the measuring thread: other processes disturb it less.
    Cpu,
    /// Time on the wall.
    Wall,
}

/// What to run, and how.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Groups of figures: `cpu`, `entry`, …; all when empty.
    pub(crate) groups: Vec<String>,
    /// Only rows whose name contains this.
    pub(crate) filter: Option<String>,
    /// Measurements of each engine, whose median counts.
    pub(crate) rounds: usize,
    /// Milliseconds that one measurement takes at least.
    pub(crate) sample_ms: u64,
    pub(crate) clock: Clock,
    /// Leaves wasmi out.
    pub(crate) no_interpreter: bool,
    /// Leaves Wardian's interpreter and its tiers out.
    pub(crate) no_interpreters: bool,
    /// Also prints everything as JSON.
    pub(crate) json: bool,
    /// Also engines in other processes.
    pub(crate) peers: bool,
    /// Where a report is to be written.
    pub(crate) out: Option<PathBuf>,
}

/// The text of `--help`.
pub(crate) const HELP: &str = "\
wardian-benches [GROUP]… [OPTIONS]
wardian-benches report --out FILE.md [GROUP]… [OPTIONS]: also write a report, with charts in a folder
beside it that has its name

Groups: cpu warmup gc exceptions translate cold entry host instantiate trap compile idle listener stack snapshot image
fork forkable checkpoint stop checked capture observe sampler curves all (default: all)

  --filter TEXT      only rows whose name contains TEXT
  --rounds N         interleaved rounds, medians count (default 15, or WARDIAN_BENCH_ROUNDS)
  --sample-ms N      least time of one measurement (default 20)
  --clock cpu|wall   processor time of the thread (default), or wall clock
  --no-wasmi         leave wasmi out
  --compiled         leave all interpreters out (they take most of the time), and tiers
  --peers            also engines in other processes: node, if it is on the path, in `cpu`, `gc` and
                     `exceptions`; in `cpu` the guests as native code, if cargo can build them; drivers named by variables
  --json             print the results as JSON after the tables

wardian-benches dump FILE DIR: write the machine code of every function of both compilers

WARDIAN_BENCH_GUEST=FILE: one more module of `(i32) -> i64` exports for `cpu`.
WARDIAN_BENCH_MODULE=FILE.wasm: the module for `compile` and `translate` instead of a generated one.
WARDIAN_BENCH_PROGRAMS=FILE: what `cold` runs, see README.md. WARDIAN_BENCH_WARDIAN, _WASMTIME, _WASMI and
_WAZERO, _NODE, _WASM3, _IWASM=FILE: commands that are not on the path.
WARDIAN_BENCH_WASM3_DRIVER, _WAMR_DRIVER, _NATIVE=FILE: drivers for `--peers`, see README.md.
";

impl Options {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Options> {
        let rounds = std::env::var("WARDIAN_BENCH_ROUNDS").ok().map(|r| r.parse()).transpose()?;
        let mut options = Options {
            groups: Vec::new(),
            filter: None,
            rounds: rounds.unwrap_or(15),
            sample_ms: 20,
            clock: Clock::Cpu,
            no_interpreter: false,
            no_interpreters: false,
            json: false,
            peers: false,
            out: None,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--filter" => options.filter = Some(value()?),
                "--rounds" => options.rounds = value()?.parse()?,
                "--sample-ms" => options.sample_ms = value()?.parse()?,
                "--clock" => {
                    options.clock = match value()?.as_str() {
                        "cpu" => Clock::Cpu,
                        "wall" => Clock::Wall,
                        other => return Err(format!("there is no clock `{other}`").into()),
                    }
                }
                "--no-wasmi" => options.no_interpreter = true,
                "--compiled" => {
                    options.no_interpreter = true;
                    options.no_interpreters = true;
                }
                "--json" => options.json = true,
                "--peers" => options.peers = true,
                "--out" => options.out = Some(value()?.into()),
                // `cargo bench` passes it.
                "--bench" => {}
                "all" => options.groups.clear(),
                group if crate::groups::GROUPS.iter().any(|g| g.name == group) => {
                    options.groups.push(group.to_owned());
                }
                other => return Err(format!("`{other}` is unknown; see --help").into()),
            }
        }
        options.rounds = options.rounds.max(1);
        Ok(options)
    }

    /// Whether a row is wanted.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.filter.as_ref().is_none_or(|f| row.contains(f.as_str()))
    }
}
