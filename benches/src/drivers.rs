//! Engines in processes of their own that call functions of a module on request, so that they take turns with
//! those in this process. See "Engines in other processes" in `README.md`.

use crate::commands;
use crate::measure::Contender;
use crate::options::{Clock, Options, Result};
use std::cell::{RefCell, RefMut};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// V8, by node.
pub(crate) const V8: &str = "V8";
/// The interpreter wasm3.
pub(crate) const WASM3: &str = "wasm3";
/// WAMR, whose driver is built with its fast interpreter.
pub(crate) const WAMR: &str = "WAMR";
/// The guests' sources, compiled for this machine.
pub(crate) const NATIVE: &str = "native";

/// A driver that runs.
pub(crate) struct Driver {
    engine: &'static str,
    /// How it is started.
    command: Command,
    /// What it says that it is.
    pub(crate) version: String,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// All drivers that there are, with a module that lives as long as they do.
pub(crate) struct Drivers {
    drivers: Vec<RefCell<Driver>>,
    _files: Vec<NamedTempFile>,
}

impl Drivers {
    /// Starts those that are wanted and found. One that does not start is named, and left out.
    pub(crate) fn start(options: &Options, wasm: &[u8]) -> Result<Drivers> {
        let mut all = Drivers { drivers: Vec::new(), _files: Vec::new() };
        if !options.peers {
            return Ok(all);
        }
        all.add_v8(options, wasm)?;
        let module = file(".wasm", wasm)?;
        let commands = [
            (NATIVE, native()),
            (WASM3, std::env::var_os("WARDIAN_BENCH_WASM3_DRIVER").map(PathBuf::from)),
            (WAMR, std::env::var_os("WARDIAN_BENCH_WAMR_DRIVER").map(PathBuf::from)),
        ];
        for (engine, command) in commands {
            let Some(path) = command else { continue };
            let mut command = Command::new(&path);
            command.arg(module.path());
            all.add(options, engine, &path, command);
        }
        all._files.push(module);
        Ok(all)
    }

    /// V8 alone, for modules that the others have no form of, or cannot run.
    pub(crate) fn v8(options: &Options, wasm: &[u8]) -> Result<Drivers> {
        let mut all = Drivers { drivers: Vec::new(), _files: Vec::new() };
        if options.peers {
            all.add_v8(options, wasm)?;
        }
        Ok(all)
    }

    fn add_v8(&mut self, options: &Options, wasm: &[u8]) -> Result<()> {
        let Some(node) = commands::find("WARDIAN_BENCH_NODE", "node") else {
            eprintln!("{V8}: no `node` on the path, and WARDIAN_BENCH_NODE is not set; left out");
            return Ok(());
        };
        let module = file(".wasm", wasm)?;
        let script = file(".mjs", include_bytes!("../drivers/node.mjs"))?;
        let mut command = Command::new(&node);
        command.args([script.path(), module.path()]);
        self.add(options, V8, &node, command);
        self._files.extend([module, script]);
        Ok(())
    }

    fn add(&mut self, options: &Options, engine: &'static str, path: &Path, command: Command) {
        match Driver::start(engine, command, options.clock) {
            Ok(driver) => self.drivers.push(RefCell::new(driver)),
            Err(error) => eprintln!("{engine} ({}): {error}; left out", path.display()),
        }
    }

    /// The first of them, to call it without having it warmed up.
    pub(crate) fn first(&self) -> Option<RefMut<'_, Driver>> {
        self.drivers.first().map(RefCell::borrow_mut)
    }

    /// What the drivers say that they are, with the columns in which their figures stand.
    pub(crate) fn versions(&self) -> Vec<(&'static str, String)> {
        self.drivers.iter().map(|d| (d.borrow().engine, d.borrow().version.clone())).collect()
    }

    /// A contender of each that can call this function, with the result that is expected of one unit of work.
    /// The rest is named.
    pub(crate) fn contenders<'a>(&'a self, name: &'a str, expected: i64) -> Vec<Contender<'a>> {
        let mut contenders = Vec::new();
        for cell in &self.drivers {
            let mut driver = cell.borrow_mut();
            let engine = driver.engine;
            match driver.revive().and_then(|()| driver.warm_up(name)) {
                Ok(sum) if sum == expected => {
                    contenders.push(Contender::timed(engine, move |units, _| {
                        cell.borrow_mut().call(name, units)
                    }));
                }
                Ok(sum) => eprintln!("{name}: {engine} gives {sum}, not {expected}; left out"),
                Err(error) => eprintln!("{name}: {engine}: {error}; left out"),
            }
        }
        contenders
    }
}

impl Driver {
    fn start(engine: &'static str, mut command: Command, clock: Clock) -> Result<Driver> {
        command.arg(match clock {
            Clock::Cpu => "cpu",
            Clock::Wall => "wall",
        });
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (child, to, from) = spawned(&mut command)?;
        let mut driver = Driver { engine, command, version: String::new(), child, to, from };
        driver.greeted()?;
        Ok(driver)
    }

    /// Starts it again if it has ended: what it could not run may have ended it.
    fn revive(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            (self.child, self.to, self.from) = spawned(&mut self.command)?;
            self.greeted()?;
        }
        Ok(())
    }

    fn greeted(&mut self) -> Result<()> {
        let line = self.answer()?;
        let version = line.strip_prefix("ready ").ok_or_else(|| format!("said `{line}`"))?;
        self.version = version.to_owned();
        Ok(())
    }

    /// A line; what went wrong if it says so.
    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(format!("ended with {}", self.child.wait()?).into());
        }
        let line = line.trim_end();
        match line.strip_prefix("error ") {
            Some(error) => Err(error.into()),
            None => Ok(line.to_owned()),
        }
    }

    /// The checksum, and the time as the driver has measured it.
    pub(crate) fn call(&mut self, name: &str, units: u64) -> Result<(i64, Duration)> {
        let to = self.to.as_mut().ok_or("no pipe")?;
        writeln!(to, "{name} {units}")?;
        to.flush()?;
        let line = self.answer()?;
        let (sum, nanoseconds) = line.split_once(' ').ok_or_else(|| format!("said `{line}`"))?;
        Ok((sum.parse()?, Duration::from_nanos(nanoseconds.parse()?)))
    }

    /// One unit of work again and again, until what is hot has been compiled.
    fn warm_up(&mut self, name: &str) -> Result<i64> {
        let began = Instant::now();
        loop {
            let (sum, _) = self.call(name, 1)?;
            if self.engine != V8 || began.elapsed() >= crate::cpu::WARM_UP {
                return Ok(sum);
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The end of its input ends it; otherwise it is ended.
        drop(self.to.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process, and both ends of what is said.
fn spawned(command: &mut Command) -> Result<(Child, Option<ChildStdin>, BufReader<ChildStdout>)> {
    let mut child = command.spawn()?;
    let to = child.stdin.take();
    let from = BufReader::new(child.stdout.take().ok_or("no pipe")?);
    Ok((child, to, from))
}

fn file(suffix: &str, content: &[u8]) -> Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile()?;
    file.write_all(content)?;
    Ok(file)
}

/// The native driver: that in `WARDIAN_BENCH_NATIVE`, or built by cargo.
fn native() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("WARDIAN_BENCH_NATIVE") {
        return Some(path.into());
    }
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = std::env::temp_dir().join("target-bench-guests");
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", "native"])
        .current_dir(guests)
        .env("CARGO_TARGET_DIR", &target)
        .status();
    match built {
        Ok(status) if status.success() => Some(target.join("release/native")),
        Ok(status) => {
            eprintln!("the native guests were not built: cargo ended with {status}");
            None
        }
        Err(error) => {
            eprintln!("the native guests were not built: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers seven, has no `missing`, and is ended by `deadly`.
    const SCRIPT: &str = r#"
        echo "ready a shell for $2, $1"
        while read name number; do
            case $name in
            missing) echo "error there is none" ;;
            deadly) exit 3 ;;
            *) echo "7 $number" ;;
            esac
        done"#;

    fn drivers() -> Result<Drivers> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh", "module"]);
        let driver = Driver::start(WASM3, command, Clock::Wall)?;
        assert_eq!(driver.version, "a shell for wall, module");
        Ok(Drivers { drivers: vec![RefCell::new(driver)], _files: Vec::new() })
    }

    /// What a driver cannot do, or gives otherwise, leaves it out of that row only.
    #[test]
    fn left_out_of_single_rows() -> Result<()> {
        let drivers = drivers()?;
        for (name, expected, count) in
            [("one", 7, 1), ("missing", 7, 0), ("deadly", 7, 0), ("other", 8, 0), ("two", 7, 1)]
        {
            assert_eq!(drivers.contenders(name, expected).len(), count, "{name}");
        }
        let mut driver = drivers.drivers[0].borrow_mut();
        assert_eq!(driver.call("one", 250)?, (7, Duration::from_nanos(250)));
        Ok(())
    }

    /// An engine that ends says how.
    #[test]
    fn an_end_is_an_error() -> Result<()> {
        let drivers = drivers()?;
        let mut driver = drivers.drivers[0].borrow_mut();
        let error = driver.call("deadly", 1).err().ok_or("it ended")?.to_string();
        assert_eq!(error, "ended with exit status: 3");
        Ok(())
    }
}
