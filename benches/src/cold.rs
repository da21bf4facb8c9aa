//! Whole programs by the command lines of the engines, each run in a process of its own, without caches.

use crate::drivers::{V8, WAMR, WASM3};
use crate::measure::{Figure, Row};
use crate::options::{Options, Result};
use crate::{children, commands};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use wait4::Wait4;

/// An engine's command.
struct Engine {
    name: &'static str,
    /// Its name on the path.
    command: &'static str,
    /// The variable that tells where it is otherwise.
    variable: &'static str,
    before: &'static [&'static str],
    /// What gives a directory as the guest's root, `DIR` standing for its path. Where that does not occur,
    /// the command cannot give a directory another name, and is started in it.
    directory: &'static [&'static str],
}

const WARDIAN: (&str, &str) = ("wardian", "WARDIAN_BENCH_WARDIAN");
const WARDIAN_DIRECTORY: &[&str] = &["--dir", "DIR:/"];

const ENGINES: [Engine; 12] = [
    Engine {
        name: crate::engines::TIERED,
        command: WARDIAN.0,
        variable: WARDIAN.1,
        before: &["run", "--no-cache", "--engine", "tiered"],
        directory: WARDIAN_DIRECTORY,
    },
    Engine {
        name: "tiered lazy",
        command: WARDIAN.0,
        variable: WARDIAN.1,
        before: &["run", "--no-cache", "--engine", "tiered", "--lazy-validation"],
        directory: WARDIAN_DIRECTORY,
    },
    Engine {
        name: crate::engines::WARDIAN,
        command: WARDIAN.0,
        variable: WARDIAN.1,
        before: &["run", "--no-cache", "--engine", "jit"],
        directory: WARDIAN_DIRECTORY,
    },
    Engine {
        name: crate::engines::INTERPRETED,
        command: WARDIAN.0,
        variable: WARDIAN.1,
        before: &["run", "--no-cache", "--engine", "interp"],
        directory: WARDIAN_DIRECTORY,
    },
    Engine {
        name: crate::engines::WASMTIME,
        command: "wasmtime",
        variable: "WARDIAN_BENCH_WASMTIME",
        before: &["run", "-C", "cache=n"],
        directory: &["--dir", "DIR::/"],
    },
    Engine {
        name: crate::engines::WASMI,
        command: "wasmi",
        variable: "WARDIAN_BENCH_WASMI",
        before: &[],
        directory: &["--dir", "."],
    },
    Engine {
        name: "wasmi lazy",
        command: "wasmi",
        variable: "WARDIAN_BENCH_WASMI",
        before: &["--compilation-mode", "lazy"],
        directory: &["--dir", "."],
    },
    Engine {
        name: "wazero",
        command: "wazero",
        variable: "WARDIAN_BENCH_WAZERO",
        before: &["run"],
        directory: &["-mount", "DIR:/"],
    },
    Engine {
        name: "wazero interp",
        command: "wazero",
        variable: "WARDIAN_BENCH_WAZERO",
        before: &["run", "-interpreter"],
        directory: &["-mount", "DIR:/"],
    },
    Engine {
        name: V8,
        command: "node",
        variable: "WARDIAN_BENCH_NODE",
        before: &["--no-warnings", NODE_SCRIPT],
        directory: &["--dir", "DIR"],
    },
    Engine {
        name: WASM3,
        command: "wasm3",
        variable: "WARDIAN_BENCH_WASM3",
        before: &["--stack-size", "1048576"],
        directory: &["--dir", "DIR"],
    },
    Engine {
        name: WAMR,
        command: "iwasm",
        variable: "WARDIAN_BENCH_IWASM",
        before: &["--stack-size=1048576"],
        directory: &["--map-dir=/::DIR"],
    },
];

/// Rounds at most: programs take seconds.
const ROUNDS: usize = 5;

/// A WASI program in node.
const NODE_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/wasi.mjs");

/// A line of the list: `NAME [dir=DIRECTORY] FILE [ARGUMENT]… [< INPUT]`, words in double quotes may have
/// spaces. The directory is the guest's root.
struct Program {
    name: String,
    directory: Option<String>,
    file: String,
    args: Vec<String>,
    input: Option<String>,
}

/// What one run showed.
struct Run {
    nanoseconds: f64,
    peak_bytes: f64,
    output: Vec<u8>,
}

/// Wall time and peak memory of each program.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let Some(list) = std::env::var_os("WARDIAN_BENCH_PROGRAMS") else {
        eprintln!("cold: WARDIAN_BENCH_PROGRAMS is not set; nothing to run");
        return Ok(Vec::new());
    };
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for line in std::fs::read_to_string(list)?.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let program = Program::parse(line)?;
        if options.wants(&program.name) {
            let (time, peak) = program.measure(options)?;
            times.push(time);
            peaks.push(peak);
        }
    }
    times.extend(peaks);
    Ok(times)
}

/// The commands that there are, and what they say of their versions.
pub(crate) fn versions() -> Vec<(&'static str, String)> {
    ENGINES.iter().filter_map(Engine::version).collect()
}

impl Program {
    fn parse(line: &str) -> Result<Program> {
        let mut words = words(line).into_iter().peekable();
        let name = words.next();
        let directory =
            words.next_if(|w| w.starts_with("dir=")).map(|w| w["dir=".len()..].to_owned());
        let (Some(name), Some(file)) = (name, words.next()) else {
            return Err(format!("a program is `NAME FILE ARGUMENT… < INPUT`, not `{line}`").into());
        };
        let mut args: Vec<String> = words.collect();
        let mut input = None;
        if args.len() > 1 && args[args.len() - 2] == "<" {
            input = args.pop();
            args.pop();
        }
        Ok(Program { name, directory, file, args, input })
    }

    /// All engines in turn. An engine that fails, or whose output is another than the first one's, has no
    /// figure, and that is said.
    fn measure(&self, options: &Options) -> Result<(Row, Row)> {
        let mut engines = Vec::new();
        let mut expected: Option<Vec<u8>> = None;
        for engine in &ENGINES {
            let Some(command) = engine.find() else { continue };
            match self.run(engine, &command) {
                Ok(run) if expected.as_ref().is_none_or(|e| *e == run.output) => {
                    expected = Some(run.output);
                    engines.push((engine, command, Vec::new(), Vec::new()));
                }
                Ok(_) => eprintln!("{}: {} prints something else", self.name, engine.name),
                Err(error) => eprintln!("{}: {}: {error}", self.name, engine.name),
            }
        }
        for round in 0..options.rounds.min(ROUNDS) {
            let mut order: Vec<usize> = (0..engines.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for i in order {
                let run = self.run(engines[i].0, &engines[i].1)?;
                engines[i].2.push(run.nanoseconds);
                engines[i].3.push(run.peak_bytes);
            }
        }
        let mut time = Row::new(&self.name, Vec::new());
        let mut peak = Row::new(format!("memory: {}", self.name), Vec::new());
        // A table of its own, so that the means are of one kind.
        peak.part = "peak memory".to_owned();
        for (engine, _, times, peaks) in engines {
            time.figures.push(Figure::of(engine.name, times));
            peak.figures.push(Figure::of(engine.name, peaks));
        }
        Ok((time, peak))
    }

    fn run(&self, engine: &Engine, path: &PathBuf) -> Result<Run> {
        let input = match &self.input {
            Some(input) => Stdio::from(File::open(input)?),
            None => Stdio::null(),
        };
        // A file rather than a pipe, so that nobody has to empty it meanwhile.
        let kept = tempfile::NamedTempFile::new()?;
        let figures = tempfile::NamedTempFile::new()?;
        let directory = self.directory.iter().flat_map(|directory| {
            engine.directory.iter().map(|word| word.replace("DIR", directory))
        });
        let mut command = Command::new(std::env::current_exe()?);
        command.args([children::CHILD, ALONE]).arg(figures.path()).arg(path);
        if let Some(inside) = &self.directory
            && !engine.directory.iter().any(|word| word.contains("DIR"))
        {
            command.current_dir(inside);
        }
        let status = command
            .args(engine.before)
            .args(directory)
            .arg(std::path::absolute(&self.file)?)
            .args(&self.args)
            .stdin(input)
            .stdout(kept.reopen()?)
            .status()?;
        if !status.success() {
            return Err(format!("it was not started: {status}").into());
        }
        let text = std::fs::read_to_string(figures.path())?;
        let mut words = text.splitn(3, ' ');
        let mut number = || words.next().unwrap_or_default().parse::<f64>();
        let (nanoseconds, peak_bytes) = (number()?, number()?);
        match words.next() {
            Some("") | None => {}
            Some(failure) => return Err(format!("ended with {failure}").into()),
        }
        Ok(Run { nanoseconds, peak_bytes, output: std::fs::read(kept.path())? })
    }
}

/// The task of a child that runs a program and writes what it took to a file.
pub(crate) const ALONE: &str = "cold";

/// The child's side: time, peak memory and, if it failed, how. A process begins with the peak of the one that
/// started it, so that one has to be small: this, and not the one that has run all other groups.
pub(crate) fn alone(figures: &str, program: &str, args: &[String]) -> Result<()> {
    let began = Instant::now();
    let child = Command::new(program).args(args).stderr(Stdio::null()).spawn()?;
    let ended = child.wait4()?;
    let took = began.elapsed().as_nanos();
    let failure = if ended.status.success() { String::new() } else { ended.status.to_string() };
    Ok(std::fs::write(figures, format!("{took} {} {failure}", ended.rusage.maxrss))?)
}

impl Engine {
    /// The first line that the command says of its version, for each engine that is there.
    fn version(&self) -> Option<(&'static str, String)> {
        let output = Command::new(self.find()?).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|l| !l.trim().is_empty())?;
        Some((self.name, line.trim().to_owned()))
    }

    fn find(&self) -> Option<PathBuf> {
        commands::find(self.variable, self.command)
    }
}

/// Words of a line.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut open) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => (quoted, open) = (!quoted, true),
            c if c.is_whitespace() && !quoted => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            c => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_may_be_quoted() {
        assert_eq!(super::words(r#"a  "b c" "" d"x y""#), ["a", "b c", "", "dx y"]);
    }
}
