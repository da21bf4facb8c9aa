//! Whole programs by the command lines of the engines, each run in a process of its own, without caches.

use crate::measure::{Figure, Row, median_and_min};
use crate::options::{Options, Result};
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
    /// What gives a directory as the guest's root, `DIR` standing for its path.
    directory: &'static [&'static str],
}

const WARDIAN: (&str, &str) = ("wardian", "WARDIAN_BENCH_WARDIAN");
const WARDIAN_DIRECTORY: &[&str] = &["--dir", "DIR:/"];

const ENGINES: [Engine; 8] = [
    Engine {
        name: crate::engines::TIERED,
        command: WARDIAN.0,
        variable: WARDIAN.1,
        before: &["run", "--no-cache", "--engine", "tiered"],
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
        directory: &["--dir", "DIR::/"],
    },
    Engine {
        name: "wasmi lazy",
        command: "wasmi",
        variable: "WARDIAN_BENCH_WASMI",
        before: &["--compilation-mode", "lazy"],
        directory: &["--dir", "DIR::/"],
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
];

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
    // Tables of one kind, so that the means are of times.
    println!(
        "{}",
        crate::report::table(&crate::report::Group {
            name: "peak memory",
            rows: peaks,
            targets: &[],
        })
    );
    Ok(times)
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
        for round in 0..options.rounds {
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
        let figure = |engine: &Engine, values: Vec<f64>| {
            let (median, min) = median_and_min(values);
            Figure { engine: engine.name, median, min }
        };
        let mut time = Row { name: self.name.clone(), figures: Vec::new() };
        let mut peak = Row { name: format!("memory: {}", self.name), figures: Vec::new() };
        for (engine, _, times, peaks) in engines {
            time.figures.push(figure(engine, times));
            peak.figures.push(figure(engine, peaks));
        }
        Ok((time, peak))
    }

    fn run(&self, engine: &Engine, path: &PathBuf) -> Result<Run> {
        let input = match &self.input {
            Some(input) => Stdio::from(File::open(input)?),
            None => Stdio::null(),
        };
        // A file rather than a pipe, so that nobody has to empty it meanwhile.
        let kept = std::env::temp_dir().join(format!("wardian-cold-{}", std::process::id()));
        let began = Instant::now();
        let directory = self.directory.iter().flat_map(|directory| {
            engine.directory.iter().map(|word| word.replace("DIR", directory))
        });
        let child = Command::new(path)
            .args(engine.before)
            .args(directory)
            .arg(&self.file)
            .args(&self.args)
            .stdin(input)
            .stdout(File::create(&kept)?)
            .stderr(Stdio::null())
            .spawn()?;
        let ended = child.wait4()?;
        let nanoseconds = began.elapsed().as_nanos() as f64;
        let output = std::fs::read(&kept)?;
        std::fs::remove_file(&kept)?;
        if !ended.status.success() {
            return Err(format!("ended with {}", ended.status).into());
        }
        Ok(Run { nanoseconds, peak_bytes: ended.rusage.maxrss as f64, output })
    }
}

impl Engine {
    fn find(&self) -> Option<PathBuf> {
        if let Some(path) = std::env::var_os(self.variable) {
            return Some(path.into());
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join(self.command)).find(|p| p.is_file())
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
